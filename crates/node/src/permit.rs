//! The units that a request holds, from its admission to its settlement.

use std::sync::Arc;
use std::time::Duration;

use tollgate_policy::table::{Unit, Use};
use tollgate_quota::node::{Admission, Denial};

use crate::limiter::{LONGEST_WAIT, Reservation, Trial};
use crate::plan::{Line, Plan};

/// The units that a request holds.
#[derive(Debug)]
pub(crate) struct Permit {
    plan: Arc<Plan>,
    held: Held,
    /// What attempts held whose outcome is unknown. They are settled, or to be settled at the end.
    before: Vec<Held>,
    /// What limits say that only tell what they would refuse, in the plan's order.
    shadows: Vec<Trial>,
}

/// The units of one reservation.
#[derive(Debug)]
struct Held {
    reservation: Reservation,
    admission: Admission,
    needs: Needs,
    /// What it was settled at.
    charge: Option<Charge>,
    /// What it is to be settled at when the request ends.
    due: Option<Charge>,
}

/// What a request may use, before it is known what it used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// At most.
    pub(crate) worst: Use,
    /// By experience, for limits that reserve the expected output.
    pub(crate) expected: Use,
}

/// What a reservation is settled at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charge {
    /// Nothing was sent: not even the request counts.
    Nothing,
    /// This is what was used.
    Used(Use),
    /// A provider may have done the work: what was reserved, at most this.
    Unknown(Use),
}

/// The state of the tightest limit of each unit, for the caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LimitState([Option<Gauge>; Unit::ALL.len()]);

/// The state of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gauge {
    /// Units that a window admits.
    pub(crate) limit: u64,
    /// Units that are left in this one, as far as known.
    pub(crate) remaining: u64,
    /// Until the next window.
    pub(crate) reset: Duration,
}

// === impl Permit ===

impl Permit {
    pub(crate) fn new(
        plan: Arc<Plan>,
        needs: Needs,
        reservation: Reservation,
        admission: Admission,
    ) -> Self {
        let limiter = reservation.limiter();
        let shadows = plan.shadows.iter();
        let shadows = shadows.map(|line| limiter.try_out(line.ask(&needs), LONGEST_WAIT));
        Self {
            shadows: shadows.collect(),
            plan,
            held: Held {
                reservation,
                admission,
                needs,
                charge: None,
                due: None,
            },
            before: Vec::new(),
        }
    }

    /// What the request may use, or what is left of it to be tried.
    pub(crate) fn needs(&self) -> &Needs {
        &self.held.needs
    }

    /// The limits that the units are of.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether an attempt was charged already.
    pub(crate) fn was_charged(&self) -> bool {
        !self.before.is_empty()
    }

    /// Reserves for another attempt, after one that may have been charged: that one stays so, at most `unknown`.
    /// The request itself is counted once. False where only requests are limited: nothing is held anew.
    ///
    /// # Errors
    /// The limit that has no room for another attempt. What is held stays.
    pub(crate) async fn renew(&mut self, unknown: Use) -> Result<bool, Denial> {
        if !self.plan.varies() {
            return Ok(false);
        }
        let mut needs = self.held.needs;
        needs.worst.requests = 0;
        needs.expected.requests = 0;
        let limiter = Arc::clone(self.held.reservation.limiter());
        let (reservation, admission) = limiter
            .reserve(&self.plan.asks(&needs), LONGEST_WAIT)
            .await?;
        let held = Held {
            reservation,
            admission,
            needs,
            charge: None,
            due: None,
        };
        let mut last = std::mem::replace(&mut self.held, held);
        if self.plan.holds_slots() {
            // The first attempt's reservation has the request's slots: it stays open to the end.
            last.due = Some(Charge::Unknown(unknown));
        } else {
            last.settle(&self.plan, Charge::Unknown(unknown));
        }
        self.before.push(last);
        Ok(true)
    }

    /// Notes what the request has used for certain while it runs. It makes a difference to limits without
    /// windows only: there what is held and might come back keeps other requests out.
    pub(crate) fn used(&self, used: &Use) {
        let lines = self.plan.lines.iter().enumerate();
        let rolling = lines.filter(|(_, line)| line.is_rolling());
        let counts = self.held.needs.worst.requests;
        let used = Use {
            requests: used.requests.min(counts),
            ..*used
        };
        let units: Vec<_> = rolling
            .map(|(ask, line)| (ask, line.units(&used)))
            .filter(|(_, units)| *units > 0)
            .collect();
        if !units.is_empty() {
            self.held.reservation.spend(&units);
        }
    }

    /// Ends the reservation at what the request is charged.
    pub(crate) fn settle(mut self, charge: Charge) {
        for before in &mut self.before {
            if let Some(charge) = before.due.take() {
                before.settle(&self.plan, charge);
            }
        }
        self.held.settle(&self.plan, charge);
        let held: Vec<_> = self.before.iter().chain([&self.held]).collect();
        for (line, trial) in self.plan.shadows.iter().zip(self.shadows.drain(..)) {
            let charged = |held: &&Held| Some(line.charged(&held.needs, held.charge?));
            trial.settle(held.iter().filter_map(charged).sum(), &line.limit.name);
        }
    }

    /// The limits that would have refused the request, were they not mere shadows, as far as they have answered.
    pub(crate) fn would_refuse(&mut self) -> Vec<&Line> {
        let lines = self.plan.shadows.iter().zip(&mut self.shadows);
        let refusing = lines.filter_map(|(line, trial)| trial.refuses().then_some(line));
        refusing.collect()
    }

    /// An answer had so many output tokens.
    pub(crate) fn learn(&self, output: u64) {
        self.plan.learn(output);
    }

    /// Each limit with its dimensions, the number of the window (or the limit's kind, where it has none), and the
    /// units reserved, as logs show them: `per-key/key=k1@29384756:1 app@sliding:350`. Further attempts that were reserved for follow.
    pub(crate) fn labels(&self) -> String {
        use std::fmt::Write;
        let mut labels = String::new();
        for held in self.before.iter().chain([&self.held]) {
            let counts = held.needs.worst.requests > 0;
            for (line, admitted) in self.plan.lines.iter().zip(&held.admission.limits) {
                let units = line.reserved(&held.needs);
                if units == 0 && !counts {
                    continue;
                }
                let space = if labels.is_empty() { "" } else { " " };
                // Writing into a string cannot fail.
                let _ = write!(labels, "{space}{}@", line.label);
                let _ = match line.limit.kind {
                    kind if kind.has_windows() => write!(labels, "{}", admitted.window.0),
                    kind => labels.write_str(kind.name()),
                };
                let _ = write!(labels, ":{units}");
            }
        }
        labels
    }

    /// The tightest limit of each unit.
    pub(crate) fn state(&self) -> LimitState {
        let mut state = LimitState::default();
        for (line, admitted) in self.plan.lines.iter().zip(&self.held.admission.limits) {
            let gauge = Gauge {
                limit: admitted.limit,
                remaining: admitted.remaining,
                reset: Duration::from_millis(admitted.reset_ms),
            };
            state.tighten(line.limit.measure.unit, gauge);
        }
        state
    }
}

// === impl Held ===

impl Held {
    fn settle(&mut self, plan: &Plan, charge: Charge) {
        let charged = |line: &Line| line.charged(&self.needs, charge);
        let actual: Vec<_> = plan.lines.iter().map(charged).collect();
        self.charge = Some(charge);
        self.reservation.settle(&actual);
    }
}

// === impl LimitState ===

impl LimitState {
    /// Takes one more limit into account.
    pub(crate) fn tighten(&mut self, unit: Unit, gauge: Gauge) {
        for (place, of) in self.0.iter_mut().zip(Unit::ALL) {
            if of == unit && place.is_none_or(|known| gauge.remaining < known.remaining) {
                *place = Some(gauge);
            }
        }
    }

    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// What is known, by unit.
    pub(crate) fn gauges(&self) -> impl Iterator<Item = (Unit, &Gauge)> {
        let pairs = Unit::ALL.into_iter().zip(&self.0);
        pairs.filter_map(|(unit, gauge)| Some((unit, gauge.as_ref()?)))
    }
}
