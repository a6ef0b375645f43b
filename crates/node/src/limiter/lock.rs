//! The lock that the limiter's state is under. With the feature `loom`, which is for tests only, it is one that has
//! threads take it in every order that there is.

#[cfg(not(feature = "loom"))]
pub(super) use parking_lot::Mutex;

#[cfg(feature = "loom")]
pub(super) use modelled::Mutex;

#[cfg(feature = "loom")]
mod modelled {
    use loom::sync::MutexGuard;

    #[derive(Debug)]
    pub(in crate::limiter) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in crate::limiter) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        #[expect(
            clippy::expect_used,
            reason = "a panic under the lock has failed the test already"
        )]
        pub(in crate::limiter) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a lock that is not poisoned")
        }
    }
}
