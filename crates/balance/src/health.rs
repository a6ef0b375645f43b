//! What traffic told of whether somebody can be asked: a target, or a provider as a whole.

use std::time::Duration;

mod condition;
mod recent;

pub use condition::Condition;
use recent::Recent;

/// One doubling of the ejection time is forgotten for each span of this length without an ejection.
const FORGET_EVERY: Duration = Duration::from_secs(10);

/// The share of its traffic that somebody who comes back begins with.
const FIRST_SHARE: f64 = 0.1;

/// An attempt that finds out whether others are right may take its time, but no longer.
const SUSPECTED_FOR: Duration = Duration::from_secs(3);

/// Others' word that is to be believed without an attempt is, for no longer.
const BELIEVED_FOR: Duration = Duration::from_secs(30);

/// Nobody is suspected again so soon after an attempt has shown the suspicion to be wrong; nor for so many times as long as
/// it was believed.
const CLEARED_FOR: Duration = Duration::from_secs(10);
const CLEARED_TIMES: u32 = 4;

/// When a target is ejected, for how long, and how it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthConfig {
    /// So many failures in a row eject. 0 is read as 1.
    pub failures: u32,
    /// So many failed of a hundred attempts of the last 10 s eject.
    pub error_percent: u32,
    /// Below so many attempts in the last 10 s their percentage says nothing.
    pub least_attempts: u32,
    /// Answers that took more than so many times as long as those of at least half of the peers, in hundredths, eject
    /// as failures do. None: no answer is too slow.
    pub slow_percent: Option<u32>,
    /// The first ejection lasts so long; each further one twice the last. One doubling is forgotten every 10 s that
    /// pass without an ejection.
    pub first_ejection: Duration,
    /// No ejection lasts longer.
    pub longest_ejection: Duration,
    /// Once the time is over, so many attempts at once may find out whether it works again. 0 is read as 1.
    pub probes: u32,
    /// So many of them in a row must succeed.
    pub passes: u32,
    /// After that its share of the traffic grows to the full one over so long.
    pub slow_start: Duration,
    /// How long a limited target is left alone when it does not say for how long: so that it is back within five seconds
    /// of having room again, with the request that finds out.
    pub default_cool_down: Duration,
    /// A target that asks for more is asked again after this.
    pub longest_cool_down: Duration,
}

impl Default for HealthConfig {
    /// 3 failures in a row, or 25 % of at least 10; 1 s doubling to 30 s; 2 probes, one by one, and 10 s to come back;
    /// cool-down 5 s, at most 60 s.
    fn default() -> Self {
        Self {
            failures: 3,
            error_percent: 25,
            least_attempts: 10,
            slow_percent: None,
            first_ejection: Duration::from_secs(1),
            longest_ejection: Duration::from_secs(30),
            probes: 1,
            passes: 2,
            slow_start: Duration::from_secs(10),
            default_cool_down: Duration::from_secs(3),
            longest_cool_down: Duration::from_secs(60),
        }
    }
}

/// Whether a target should be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Yes.
    Ready,
    /// It failed lately: only if there is nothing better.
    Ejected,
    /// It asked to be left alone, and would refuse: no.
    Cooling,
}

/// How a target comes back from a cool-down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Return {
    /// At once, after one probe.
    Whole,
    /// Its share grows as after an ejection: it asked for slower growth.
    Gradual,
}

/// The health of one target, or of all targets of a provider together.
///
/// Ejection is that of outlier detection by consecutive errors and by failure percentage (Envoy; gRPC proposal A50),
/// with an exponential time. Coming back is that of a circuit breaker's half-open state (M. Nygard, "Release It!"),
/// followed by a slow start. What is not known is well.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Health {
    /// Failures since the last success.
    failures: u32,
    /// Slow answers since the last that was not.
    slow: u32,
    recent: Recent,
    /// Ejections that are not forgotten.
    ejections: u32,
    state: State,
    cooling_until: Duration,
    /// Until when what others say counts for nothing.
    cleared_until: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// It was never away.
    #[default]
    Well,
    /// It takes part again.
    Back { since: Duration, gradually: bool },
    /// It does not take part, but for probes once `until` has come.
    Away {
        since: Duration,
        until: Duration,
        /// Probes under way.
        probes: u32,
        /// Successes still wanted.
        wanted: u32,
        gradually: bool,
        /// Others say that it is away: nothing was seen of it here yet.
        suspected: bool,
    },
}

/// An attempt, as health knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Try {
    began: Duration,
    is_probe: bool,
}

impl Try {
    /// The same, after its probe was handed back.
    pub(crate) fn no_probe(self) -> Self {
        Self {
            is_probe: false,
            ..self
        }
    }
}

impl Health {
    /// An attempt begins.
    pub(crate) fn begin(&mut self, now: Duration) -> Try {
        let mut is_probe = false;
        if let State::Away { until, probes, .. } = &mut self.state {
            is_probe = now >= *until;
            *probes += u32::from(is_probe);
        }
        Try {
            began: now,
            is_probe,
        }
    }

    /// It ends without a word on health: the request was at fault, or nobody waits any more.
    pub(crate) fn release(&mut self, it: Try) {
        if let State::Away { since, probes, .. } = &mut self.state
            && it.is_probe
            && *since <= it.began
        {
            *probes = probes.saturating_sub(1);
        }
    }

    /// An attempt succeeded. One that began before the ejection says nothing about it. A cool-down stays: it is the
    /// target's own word.
    pub(crate) fn success(&mut self, config: &HealthConfig, it: Try, now: Duration) {
        self.release(it);
        self.failures = 0;
        self.recent.note(false, now);
        let State::Away {
            since,
            until,
            wanted,
            gradually,
            suspected,
            ..
        } = &mut self.state
        else {
            return;
        };
        if *suspected {
            let believed = until.saturating_sub(*since);
            let cleared = CLEARED_FOR.max(believed.saturating_mul(CLEARED_TIMES));
            self.cleared_until = now.saturating_add(cleared);
        } else if it.began < *since {
            return;
        }
        *wanted = wanted.saturating_sub(1);
        if *wanted == 0 {
            let gradually = *gradually && !config.slow_start.is_zero();
            self.state = State::Back {
                since: now,
                gradually,
            };
        }
    }

    /// An attempt failed by the target's fault. Those that began before the ejection, or within it for want of
    /// anything better, are not held against it twice.
    pub(crate) fn failure(&mut self, config: &HealthConfig, it: Try, now: Duration) {
        self.recent.note(true, now);
        if let State::Away {
            since, suspected, ..
        } = self.state
        {
            if suspected || (it.is_probe && since <= it.began) {
                self.eject(config, now);
            }
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let percent = self.recent.failed_percent(config.least_attempts, now);
        let too_many = percent.is_some_and(|percent| percent >= config.error_percent);
        if self.failures >= config.failures || too_many {
            self.eject(config, now);
        }
    }

    /// An answer came, in a time that was too long or was not, compared with those of peers.
    pub(crate) fn compared(&mut self, config: &HealthConfig, is_slow: bool, now: Duration) {
        self.slow = if is_slow { self.slow + 1 } else { 0 };
        if self.slow >= config.failures && !matches!(self.state, State::Away { .. }) {
            self.eject(config, now);
        }
    }

    fn eject(&mut self, config: &HealthConfig, now: Duration) {
        if let State::Back { since, .. } = self.state {
            let well = now.saturating_sub(since).as_secs() / FORGET_EVERY.as_secs();
            let forgotten = u32::try_from(well).unwrap_or(u32::MAX);
            self.ejections = self.ejections.saturating_sub(forgotten);
        }
        let time = config
            .first_ejection
            .saturating_mul(1 << self.ejections.min(30));
        // What a provider has asked for in the meantime may last longer.
        let asked = match self.state {
            State::Away { until, .. } => until,
            State::Well | State::Back { .. } => Duration::ZERO,
        };
        let until = asked.max(now.saturating_add(time.min(config.longest_ejection)));
        *self = Self {
            ejections: self.ejections.saturating_add(1),
            cooling_until: self.cooling_until,
            state: State::Away {
                since: now,
                until,
                probes: 0,
                wanted: config.passes.max(1),
                gradually: true,
                suspected: false,
            },
            ..Self::default()
        };
    }

    /// Others say that it is away, which is believed for so long: until then attempts go there only for want of anything
    /// better. The next that ends decides: one failure is enough to eject, one success clears it. Until then, but for a
    /// moment only, one attempt at a time goes there. What was seen here counts more: nothing changes where it is away
    /// already, and not for a while after it was cleared. So whoever is wrong, or lies, turns requests elsewhere now and
    /// then, for a fifth of the time at most, and takes nobody down.
    pub(crate) fn suspect(&mut self, believed: Duration, now: Duration) -> bool {
        let is_away = matches!(self.state, State::Away { .. });
        if is_away || now < self.cleared_until || now < self.cooling_until {
            return false;
        }
        self.state = State::Away {
            since: now,
            until: now.saturating_add(believed.min(BELIEVED_FOR)),
            probes: 0,
            wanted: 1,
            gradually: false,
            suspected: true,
        };
        true
    }

    /// The target has too much to do and wants to be left alone for so long: it is out for that time at least. Unlike
    /// one over a limit it is asked for want of anything better, as it may be mistaken.
    pub(crate) fn stay_away(&mut self, config: &HealthConfig, wait: Duration, now: Duration) {
        if !matches!(self.state, State::Away { .. }) {
            self.eject(config, now);
        }
        if let State::Away { until, .. } = &mut self.state {
            *until = (*until).max(now.saturating_add(wait.min(config.longest_cool_down)));
        }
    }

    /// The target is over a limit and wants to be left alone for `wait`, or does not say how long. A longer cool-down
    /// or ejection already running stays. One probe decides whether it is back.
    pub(crate) fn cool_down(
        &mut self,
        config: &HealthConfig,
        (wait, how): (Option<Duration>, Return),
        now: Duration,
    ) {
        let wait = wait
            .unwrap_or(config.default_cool_down)
            .min(config.longest_cool_down);
        self.cooling_until = self.cooling_until.max(now.saturating_add(wait));
        let state = match self.state {
            // Its probes went out before, and their word counts no more.
            State::Away {
                until,
                wanted,
                gradually,
                ..
            } => (until, wanted, gradually),
            State::Well | State::Back { .. } => (now, 1, how == Return::Gradual),
        };
        let (until, wanted, gradually) = state;
        self.state = State::Away {
            since: now,
            until,
            probes: 0,
            wanted,
            gradually: gradually || how == Return::Gradual,
            suspected: false,
        };
    }

    /// How it stands, and why.
    pub(crate) fn condition(&self, config: &HealthConfig, now: Duration) -> Condition {
        if let Some(left) = self.cooling_for(now) {
            return Condition::Cooling(left);
        }
        match self.state {
            State::Away {
                until,
                suspected: true,
                ..
            } if now >= until.saturating_add(SUSPECTED_FOR) => Condition::Well,
            State::Away { until, probes, .. } if now < until || probes >= config.probes.max(1) => {
                Condition::Ejected(until.saturating_sub(now))
            }
            State::Away { .. } => Condition::Probed,
            State::Back {
                since,
                gradually: true,
            } => {
                let over = now.saturating_sub(since).as_secs_f64();
                let share = over / config.slow_start.as_secs_f64();
                match share.clamp(FIRST_SHARE, 1.0) {
                    share if share < 1.0 => Condition::Returning(share),
                    _ => Condition::Well,
                }
            }
            State::Well | State::Back { .. } => Condition::Well,
        }
    }

    /// Since when it does not take part but for probes, by what was seen here.
    pub(crate) fn away_since(&self) -> Option<Duration> {
        match self.state {
            State::Away {
                since,
                suspected: false,
                ..
            } => Some(since),
            State::Away { .. } | State::Well | State::Back { .. } => None,
        }
    }

    /// How long it still wants to be left alone, if at all.
    pub(crate) fn cooling_for(&self, now: Duration) -> Option<Duration> {
        let left = self.cooling_until.checked_sub(now);
        left.filter(|left| !left.is_zero())
    }

    /// The same, without probes under way: those are another's.
    pub(crate) fn without_tries(mut self) -> Self {
        if let State::Away { probes, .. } = &mut self.state {
            *probes = 0;
        }
        self
    }
}

#[cfg(test)]
mod tests;
