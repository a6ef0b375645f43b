//! How fast a target answers: until the first token, and for each token after it.
//!
//! Both are kept apart, so that a long answer is not taken for a slow target. Each is a peak EWMA as in Finagle's
//! `PeakEwma`: a slower sample counts at once, a faster one slowly, by the time that has passed.

use std::time::Duration;

/// Time over which a former peak loses most of its weight.
const DECAY_S: f64 = 10.0;

/// What a first token is thought to take of an unknown target's whole answer, in later tokens.
const FIRST_IN_TOKENS: f64 = 20.0;

/// How fast a target answers, as far as it is known. Seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    first: Peak,
    per_token: Peak,
    /// Attempts under way when those began that were measured, itself included.
    load: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    value: f64,
    at: Option<Duration>,
}

impl Peak {
    fn observe(&mut self, sample: f64, now: Duration) {
        let Some(at) = self.at else {
            (self.value, self.at) = (sample, Some(now));
            return;
        };
        if sample >= self.value {
            self.value = sample;
        } else {
            let kept = (-now.saturating_sub(at).as_secs_f64() / DECAY_S).exp();
            self.value = self.value * kept + sample * (1.0 - kept);
        }
        self.at = Some(at.max(now));
    }
}

impl Pace {
    /// The first token of an answer came.
    pub(crate) fn first(&mut self, took: Duration, load: u32, now: Duration) {
        self.meet(load);
        self.first.observe(took.as_secs_f64(), now);
    }

    /// So many tokens after the first came.
    pub(crate) fn tokens(&mut self, took: Duration, tokens: u64, now: Duration) {
        if tokens > 0 {
            let sample = took.as_secs_f64() / count(tokens);
            self.per_token.observe(sample, now);
        }
    }

    /// A whole answer of so many tokens came at once. What of its time belongs to the first token is not known: it is
    /// shared out as before.
    pub(crate) fn whole(&mut self, took: Duration, tokens: u64, load: u32, now: Duration) {
        let took = took.as_secs_f64();
        let expected = self.predict(tokens).filter(|it| *it > 0.0);
        let (first, per_token) = match (expected, self.per_token.at) {
            (Some(expected), Some(_)) => {
                let factor = took / expected;
                (self.first.value * factor, self.per_token.value * factor)
            }
            _ => {
                let per_token = took / (FIRST_IN_TOKENS + count(tokens));
                (per_token * FIRST_IN_TOKENS, per_token)
            }
        };
        self.meet(load);
        self.first.observe(first, now);
        self.per_token.observe(per_token, now);
    }

    /// Nothing came for so long: it is at least as slow.
    pub(crate) fn silent(&mut self, waited: Duration, now: Duration) {
        if waited.as_secs_f64() > self.first.value {
            self.first.observe(waited.as_secs_f64(), now);
        }
    }

    /// Seconds that an answer of so many tokens takes; none where nothing is known.
    pub(crate) fn predict(&self, tokens: u64) -> Option<f64> {
        self.first.at?;
        Some(self.first.value + self.per_token.value * count(tokens))
    }

    /// The time to the first token and for each after it; none where nothing is known.
    pub(crate) fn known(&self) -> Option<(Duration, Duration)> {
        self.first.at?;
        let time = |peak: Peak| Duration::try_from_secs_f64(peak.value).unwrap_or(Duration::MAX);
        Some((time(self.first), time(self.per_token)))
    }

    /// Where a target stands in the order of those that answer soonest: seconds, less is better.
    ///
    /// One of which nothing is known is asked at once, by one request at a time. What is known of one that nobody asks
    /// ages, so that it is asked again in the end, by one request at a time too. One that has more to do than when it
    /// was measured is thought to be slower, by the root of how much more: else all would go to the fastest before
    /// its answers can tell that it has become slow.
    pub(crate) fn rank(&self, tokens: u64, in_flight: u32, now: Duration) -> f64 {
        const UNKNOWN: f64 = 1e12;
        let Some(predicted) = self.predict(tokens) else {
            return match in_flight {
                0 => 0.0,
                more => UNKNOWN + f64::from(more),
            };
        };
        if in_flight == 0 {
            let idle = now.saturating_sub(self.first.at.unwrap_or_default());
            return predicted * (-idle.as_secs_f64() / DECAY_S).exp();
        }
        let growth = (f64::from(in_flight) + 1.0) / (self.load + 1.0);
        predicted * growth.max(1.0).sqrt()
    }

    fn meet(&mut self, load: u32) {
        /// Weight of the newest, as in TCP's smoothed round-trip time.
        const NEWEST: f64 = 1.0 / 8.0;
        let load = f64::from(load);
        self.load = match self.first.at {
            None => load,
            Some(_) => self.load + (load - self.load) * NEWEST,
        };
    }
}

/// A number of tokens. Beyond 2^32 they are all the same here.
fn count(tokens: u64) -> f64 {
    f64::from(u32::try_from(tokens).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
