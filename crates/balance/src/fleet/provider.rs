//! A provider with all its targets: whether it can be reached, and whether it takes the key.

use std::time::Duration;

use super::Outcome;
use crate::health::{Condition, Health, HealthConfig, Return, Try};

/// What is known of a provider.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Provider {
    /// Whether it can be reached.
    pub(super) reach: Health,
    /// Whether it takes the key.
    pub(super) key: Health,
}

/// An attempt, as its provider knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tries {
    reach: Try,
    key: Try,
}

impl Tries {
    /// The same, after its probes were handed back.
    pub(super) fn no_probe(self) -> Self {
        Self {
            reach: self.reach.no_probe(),
            key: self.key.no_probe(),
        }
    }
}

impl Provider {
    /// An attempt at one of its targets begins.
    pub(super) fn begin(&mut self, now: Duration) -> Tries {
        Tries {
            reach: self.reach.begin(now),
            key: self.key.begin(now),
        }
    }

    /// How an attempt went.
    pub(super) fn went(
        &mut self,
        config: &HealthConfig,
        it: Tries,
        outcome: Outcome,
        now: Duration,
    ) {
        match outcome {
            Outcome::Nothing => self.reach.release(it.reach),
            Outcome::Unreachable => self.reach.failure(config, it.reach, now),
            Outcome::Answered
            | Outcome::Failed
            | Outcome::Overloaded(_)
            | Outcome::Limited(..)
            | Outcome::KeyRefused(_) => self.reach.success(config, it.reach, now),
        }
        match outcome {
            // Who answers, or counts against a limit, has taken the key.
            Outcome::Answered | Outcome::Limited(..) => self.key.success(config, it.key, now),
            Outcome::KeyRefused(wait) => {
                let wait = (Some(wait), Return::Whole);
                self.key.cool_down(config, wait, now);
            }
            Outcome::Nothing | Outcome::Unreachable | Outcome::Failed | Outcome::Overloaded(_) => {
                self.key.release(it.key)
            }
        }
    }

    /// How it stands, and why.
    pub(super) fn condition(&self, config: &HealthConfig, now: Duration) -> Condition {
        let reach = self.reach.condition(config, now);
        reach.worse(self.key.condition(config, now))
    }

    /// How long it wants to be left alone, if at all.
    pub(super) fn cooling_for(&self, now: Duration) -> Option<Duration> {
        self.reach.cooling_for(now).max(self.key.cooling_for(now))
    }

    /// The same, without probes under way: those are another's.
    pub(super) fn without_tries(self) -> Self {
        Self {
            reach: self.reach.without_tries(),
            key: self.key.without_tries(),
        }
    }
}
