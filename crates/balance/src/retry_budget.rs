//! Keeping retries a small share of the requests.

use std::time::Duration;

/// One retry, in the unit the budget counts in.
const RETRY: u64 = 1_000_000;

/// How many retries are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudgetConfig {
    /// Retries earned by each request, in thousandths: 100 allows one retry for ten requests.
    pub per_mille: u32,
    /// Retries allowed per second whatever the traffic, so that a quiet service may retry at all.
    pub per_second: u32,
    /// The most retries saved up, and what there is at the start.
    pub most: u32,
}

impl Default for RetryBudgetConfig {
    /// 10 % of the requests, and one per second, saved up to 100.
    fn default() -> Self {
        Self {
            per_mille: 100,
            per_second: 1,
            most: 100,
        }
    }
}

/// A token bucket filled by requests and, slowly, by time.
///
/// What time brings, and what can be saved up, is shared out among all processes that keep such a budget: together they
/// have the one floor, not each its own. What requests bring needs no sharing, as they are shared out already.
///
/// Over any span the retries of all stay below `most` + the span's requests × `per_mille` / 1000 + its
/// seconds × `per_second`, or one for each process where `most` is less. The idea is that of Finagle's `RetryBudget`, which tower's `TpsBudget`
/// follows, and of retry throttling in gRPC proposal A6; unlike the first two it needs no ring of
/// time slots, because savings are capped instead of expiring.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    config: RetryBudgetConfig,
    /// What is saved up, in millionths of a retry.
    saved: u64,
    /// Up to when time has been credited.
    credited: Duration,
    /// How many processes share the floor. At least 1.
    sharers: u32,
}

impl RetryBudget {
    /// A full budget.
    #[must_use]
    pub fn new(config: RetryBudgetConfig) -> Self {
        Self {
            config,
            saved: u64::from(config.most) * RETRY,
            credited: Duration::ZERO,
            sharers: 1,
        }
    }

    /// So many processes share the floor, this one included. 0 is read as 1.
    pub fn share(&mut self, sharers: u32, now: Duration) {
        self.credit(now);
        self.sharers = sharers.max(1);
        self.save(0);
    }

    /// Counts one request; call it once per request, not per attempt.
    pub fn deposit(&mut self, now: Duration) {
        self.credit(now);
        self.save(u64::from(self.config.per_mille) * (RETRY / 1000));
    }

    /// Takes one retry, or says that there is none left.
    #[must_use = "without a retry from the budget there must be no retry"]
    pub fn withdraw(&mut self, now: Duration) -> bool {
        self.credit(now);
        match self.saved.checked_sub(RETRY) {
            Some(rest) => {
                self.saved = rest;
                true
            }
            None => false,
        }
    }

    /// Credits the time since the last call. Time that runs backwards credits nothing.
    fn credit(&mut self, now: Duration) {
        let Some(span) = now.checked_sub(self.credited) else {
            return;
        };
        self.credited = now;
        // A millionth of a retry per microsecond at one retry per second. What is left of a
        // microsecond is dropped, in favour of fewer retries.
        let earned = span
            .as_micros()
            .saturating_mul(u128::from(self.config.per_second));
        let earned = earned / u128::from(self.sharers);
        self.save(u64::try_from(earned).unwrap_or(u64::MAX));
    }

    fn save(&mut self, amount: u64) {
        self.saved = self.saved.saturating_add(amount).min(self.most());
    }

    fn most(&self) -> u64 {
        let all = self.config.most;
        // Less than one would be none.
        u64::from((all / self.sharers).max(all.min(1))) * RETRY
    }
}

#[cfg(test)]
mod tests;
