//! How long to wait before trying again.

use std::time::Duration;

/// Full jitter over a doubling ceiling: each wait is drawn evenly from nothing up to the ceiling. Waiting
/// clients then spread out instead of coming back together after an outage.
///
/// Source: Brooker, "Exponential Backoff and Jitter" (2015), the variant "full jitter".
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Ceilings start at `first` and double up to `most`.
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            failures: 0,
        }
    }

    /// Counts one more failure, and draws the wait after it.
    pub(crate) fn fail(&mut self) -> Duration {
        let wait = self.draw();
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Draws the wait that one more failure would bring.
    pub(crate) fn draw(&self) -> Duration {
        let factor = 1 << self.failures.min(16);
        let ceiling = self.first.saturating_mul(factor).min(self.most);
        ceiling.mul_f64(fraction())
    }

    /// Starts again from the first ceiling.
    pub(crate) fn succeed(&mut self) {
        self.failures = 0;
    }
}

/// A random number from 0 up to 1. Where the system has no randomness to give, the middle: a wait without
/// jitter is better than none.
fn fraction() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_most_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for ceiling in [100, 200, 400, 800, 1000, 1000] {
            assert!(backoff.fail() < Duration::from_millis(ceiling));
        }
        for _ in 0..100 {
            backoff.fail();
        }
        backoff.succeed();
        assert!(backoff.fail() < Duration::from_millis(100));
    }

    #[test]
    fn waits_differ() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(10));
        let waits: Vec<_> = (0..8).map(|_| backoff.fail()).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
