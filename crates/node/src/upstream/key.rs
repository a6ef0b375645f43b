//! A provider's key, as the policy says where it is.
//!
//! A key in a file is read again while the node runs: keys are rotated, and access tokens, such as those of
//! Google and Azure, last an hour. A variable of the process cannot change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tollgate_policy::table::Credential;

use crate::config::Secret;

/// How long a file is taken to be what it was. Reading it takes microseconds, so that a request may wait for it.
const FRESH: Duration = Duration::from_secs(5);

/// What was found: a key, none where the policy names none, or why there is none.
pub(super) type Found = Result<Option<Secret>, String>;

/// Tells keys apart without showing them: the beginning of a hash of the text that nothing else is hashed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) u64);

/// A key and where it comes from.
#[derive(Debug)]
pub(crate) struct Key {
    source: Credential,
    found: ArcSwap<Found>,
    /// When the source was last looked at, in milliseconds of boot time.
    looked: AtomicU64,
}

impl Key {
    /// Looks a key up. `now` is boot time, here and below.
    pub(super) fn new(source: &Credential, now: Duration) -> Self {
        Self {
            source: source.clone(),
            found: ArcSwap::from_pointee(read(source)),
            looked: AtomicU64::new(millis(now)),
        }
    }

    /// The key as it is now, or was a few seconds ago.
    pub(super) fn current(&self, now: Duration) -> Arc<Found> {
        if self.may_change() && self.is_due(millis(now)) {
            self.look_again();
        }
        self.found.load_full()
    }

    /// Whether another may come in its place while the node runs.
    pub(super) fn may_change(&self) -> bool {
        matches!(self.source, Credential::File(_))
    }

    /// Which key it is now, or was a few seconds ago. None where there is none to be had.
    pub(crate) fn fingerprint(&self, now: Duration) -> Option<Fingerprint> {
        Fingerprint::of(&self.current(now))
    }

    /// Which key it is at this moment.
    pub(crate) fn look_again(&self) -> Option<Fingerprint> {
        let known = self.found.load();
        match read(&self.source) {
            // A file that is missing or empty while it is being replaced takes no key away.
            Err(problem) if known.is_ok() => {
                tracing::warn!(problem, "the last key of a provider stays in use");
            }
            found if found != **known => self.found.store(Arc::new(found)),
            _ => {}
        }
        Fingerprint::of(&self.found.load())
    }

    /// Whether it is time to look again. Of several threads, one is told so.
    fn is_due(&self, now: u64) -> bool {
        let looked = self.looked.load(Ordering::Relaxed);
        now.saturating_sub(looked) >= millis(FRESH)
            && self
                .looked
                .compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Fingerprint {
    pub(super) fn of(found: &Found) -> Option<Self> {
        const CONTEXT: &str = "tollgate 2026-11-27 fingerprint of a provider's key";
        let key = found.as_ref().ok()?.as_ref();
        let text = key.map_or("", Secret::reveal);
        let hash = blake3::derive_key(CONTEXT, text.as_bytes());
        hash.first_chunk().map(|it| Self(u64::from_le_bytes(*it)))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Looks a key up where the policy says.
pub(super) fn read(source: &Credential) -> Found {
    match source {
        Credential::None => Ok(None),
        Credential::Env(name) => {
            #[expect(
                clippy::disallowed_methods,
                reason = "the policy, which arrives while the node runs, names the variable"
            )]
            let value = std::env::var(name);
            match value {
                Ok(value) if !value.trim().is_empty() => Ok(Some(Secret::new(value.trim()))),
                _ => Err(format!(
                    "the environment variable {name} is not set at this node"
                )),
            }
        }
        Credential::File(path) => match std::fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => Ok(Some(Secret::new(text.trim()))),
            Ok(_) => Err(format!("the credential file {} is empty", path.display())),
            Err(error) => Err(format!(
                "read the credential file {}: {error}",
                path.display()
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key that is known so many seconds after the start.
    fn at(key: &Key, seconds: u64) -> Result<String, ()> {
        let found = key.current(Duration::from_secs(seconds));
        match &*found {
            Ok(Some(secret)) => Ok(secret.reveal().to_owned()),
            Ok(None) | Err(_) => Err(()),
        }
    }

    #[test]
    fn a_file_is_read_again_and_never_takes_a_key_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "one\n").unwrap();
        let key = Key::new(&Credential::File(path.clone()), Duration::from_secs(100));
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(at(&key, 104).as_deref(), Ok("one"));
        assert_eq!(at(&key, 105).as_deref(), Ok("two"));
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(at(&key, 110).as_deref(), Ok("two"), "an empty file");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(at(&key, 115).as_deref(), Ok("two"), "a missing file");
        std::fs::write(&path, "three").unwrap();
        assert_eq!(at(&key, 119).as_deref(), Ok("two"), "too soon");
        assert_eq!(at(&key, 120).as_deref(), Ok("three"));
        assert_eq!(at(&key, 7).as_deref(), Ok("three"), "an earlier time");
    }

    #[test]
    fn keys_are_told_apart_without_showing_them() {
        let of = |key: &str| Fingerprint::of(&Ok(Some(Secret::new(key))));
        assert_eq!(of("sk-1"), of("sk-1"));
        assert_ne!(of("sk-1"), of("sk-2"));
        let none = [Fingerprint::of(&Ok(None)), of("")];
        assert!(none[0].is_some() && none[0] == none[1]);
        assert_eq!(Fingerprint::of(&Err("not set".to_owned())), None);
        let plain = blake3::hash(b"sk-1");
        let plain = plain.as_bytes().first_chunk().copied().unwrap();
        assert_ne!(of("sk-1"), Some(Fingerprint(u64::from_le_bytes(plain))));
    }

    #[test]
    fn a_key_that_was_missing_may_come() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = Key::new(&Credential::File(path.clone()), Duration::ZERO);
        assert_eq!(at(&key, 5), Err(()));
        std::fs::write(&path, "late").unwrap();
        assert_eq!(at(&key, 10).as_deref(), Ok("late"));
    }
}
