//! What traffic told about targets.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// When a target is ejected and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthConfig {
    /// So many failures in a row eject a target. 0 is read as 1.
    pub failures: u32,
    /// The first ejection lasts so long; each further one, with no success between them, twice the last.
    pub first_ejection: Duration,
    /// No ejection lasts longer.
    pub longest_ejection: Duration,
    /// How long a limited target is left alone when it does not say for how long.
    pub default_cool_down: Duration,
    /// A target that asks for more is asked again after this.
    pub longest_cool_down: Duration,
}

impl Default for HealthConfig {
    /// 3 failures; 1 s doubling to 30 s; cool-down 5 s, at most 60 s.
    fn default() -> Self {
        Self {
            failures: 3,
            first_ejection: Duration::from_secs(1),
            longest_ejection: Duration::from_secs(30),
            default_cool_down: Duration::from_secs(5),
            longest_cool_down: Duration::from_secs(60),
        }
    }
}

/// Whether a target should be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Yes.
    Ready,
    /// It failed lately: only if there is nothing better.
    Ejected,
    /// It asked to be left alone, and would refuse: no.
    Cooling,
}

/// The health of targets, learned from the outcome of real attempts.
///
/// The ejection scheme is that of outlier detection by consecutive errors (Envoy; gRPC proposal
/// A50), with an exponential time. A target never heard of is ready.
#[derive(Debug, Clone)]
pub struct Health<T> {
    config: HealthConfig,
    targets: HashMap<T, Record>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// Failures since the last success.
    failures: u32,
    /// Ejections since the last success outside of one.
    ejections: u32,
    ejected_until: Duration,
    cooling_until: Duration,
}

impl<T: Copy + Eq + Hash> Health<T> {
    /// The health of targets of which nothing is known.
    #[must_use]
    pub fn new(config: HealthConfig) -> Self {
        Self {
            config,
            targets: HashMap::new(),
        }
    }

    /// An attempt succeeded: the failures are forgotten, and an ejection ends. A success in the
    /// midst of an ejection may be one of a target that comes and goes, so it leaves the next
    /// ejection as long as it would have been. A cool-down stays: it is the target's own word.
    pub fn success(&mut self, target: T, now: Duration) {
        let Some(record) = self.targets.get_mut(&target) else {
            return;
        };
        record.failures = 0;
        if now >= record.ejected_until {
            record.ejections = 0;
        }
        record.ejected_until = Duration::ZERO;
    }

    /// An attempt failed by the target's fault. Failures of attempts that were under way when the
    /// target was ejected are not held against it twice.
    pub fn failure(&mut self, target: T, now: Duration) {
        let config = self.config;
        let record = self.targets.entry(target).or_default();
        if now < record.ejected_until {
            return;
        }
        record.failures = record.failures.saturating_add(1);
        if record.failures >= config.failures {
            let time = config
                .first_ejection
                .saturating_mul(1 << record.ejections.min(30));
            record.ejected_until = now.saturating_add(time.min(config.longest_ejection));
            record.ejections = record.ejections.saturating_add(1);
        }
    }

    /// The target is over a limit and wants to be left alone for `wait`, or does not say how long.
    /// A longer cool-down already running stays.
    pub fn cool_down(&mut self, target: T, wait: Option<Duration>, now: Duration) {
        let wait = wait
            .unwrap_or(self.config.default_cool_down)
            .min(self.config.longest_cool_down);
        let record = self.targets.entry(target).or_default();
        record.cooling_until = record.cooling_until.max(now.saturating_add(wait));
    }

    /// Whether the target should be tried.
    #[must_use]
    pub fn standing(&self, target: T, now: Duration) -> Standing {
        match self.targets.get(&target) {
            Some(record) if now < record.cooling_until => Standing::Cooling,
            Some(record) if now < record.ejected_until => Standing::Ejected,
            Some(_) | None => Standing::Ready,
        }
    }

    /// How long the target still wants to be left alone, if at all. Where every target of a route
    /// is cooling, the least of these is what to tell the caller.
    #[must_use]
    pub fn cooling_for(&self, target: T, now: Duration) -> Option<Duration> {
        let until = self.targets.get(&target)?.cooling_until;
        until.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// Forgets the targets that `keep` does not name, as when policy has changed.
    pub fn retain(&mut self, keep: impl Fn(T) -> bool) {
        self.targets.retain(|target, _| keep(*target));
    }
}

#[cfg(test)]
mod tests;
