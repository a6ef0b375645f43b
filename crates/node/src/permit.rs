//! The units that a request holds, from its admission to its settlement.

mod growth;
mod held;
mod queueing;
mod room;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_policy::table::{Unit, Use};
use tollgate_quota::node::Denial;

use crate::limiter::{LONGEST_WAIT, Limiter, Trial};
use crate::plan::{Line, Plan};
pub(crate) use growth::Course;
use growth::Growth;
use held::Held;
pub(crate) use room::Room;

/// The units that a request holds.
#[derive(Debug)]
pub(crate) struct Permit {
    plan: Arc<Plan>,
    held: Held,
    /// What was taken for the answer beside that, as it grew.
    growth: Growth,
    /// What attempts held after which others were reserved for.
    before: Vec<Before>,
    /// What is held for an attempt beside another.
    beside: Option<Held>,
    /// What limits say that only tell what they would refuse, in the plan's order.
    shadows: Vec<Trial>,
}

/// What an attempt held after which another was reserved for.
#[derive(Debug)]
struct Before {
    held: Held,
    growth: Growth,
    /// What it is to be settled at when the request ends, where it is not settled yet.
    due: Option<Charge>,
}

impl Before {
    fn settle(&mut self, lines: &[Line]) {
        if let Some(charge) = self.due.take() {
            self.held.settle_with(&mut self.growth, lines, charge);
        }
    }
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

// === impl Needs ===

impl Needs {
    /// Those of an attempt that uses at most so much. It is a request to the provider, also where callers' limits do
    /// not count it again.
    pub(crate) fn of_attempt(most: Use) -> Self {
        let most = Use {
            requests: 1,
            ..most
        };
        Self {
            worst: most,
            expected: most,
        }
    }
}

// === impl Permit ===

impl Permit {
    /// Takes what these needs come to from all limits of the plan, or nothing. Waits for the owners of limits that
    /// have to be asked, and, where policy says so, for limits to have room, if they will before `until`.
    ///
    /// # Errors
    /// The limit that has no room, or for which nobody answered.
    pub(crate) async fn take(
        limiter: &Arc<Limiter>,
        plan: &Arc<Plan>,
        needs: Needs,
        until: Instant,
    ) -> Result<Self, Denial> {
        let held = Held::take_patiently(limiter, &plan.lines, needs, until).await?;
        let shadows = plan.shadows.iter();
        let shadows = shadows.map(|line| limiter.try_out(line.ask(&needs), LONGEST_WAIT));
        Ok(Self {
            shadows: shadows.collect(),
            plan: Arc::clone(plan),
            held,
            growth: Growth::default(),
            before: Vec::new(),
            beside: None,
        })
    }

    /// Takes room for an attempt under these ceilings of a deployment and its provider.
    ///
    /// # Errors
    /// The ceiling that has no room.
    pub(crate) async fn take_room(&self, ceilings: &Arc<[Line]>) -> Result<Room, Denial> {
        Room::take(self.held.limiter(), ceilings, self.held.needs.worst).await
    }

    /// What the request may use, or what is left of it to be tried.
    pub(crate) fn needs(&self) -> &Needs {
        &self.held.needs
    }

    /// The limits that the units are of.
    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Whether an attempt was charged already.
    pub(crate) fn was_charged(&self) -> bool {
        let charge = |it: &Before| it.due.or(it.held.charge);
        let mut charges = self.before.iter().map(charge);
        charges.any(|charge| charge != Some(Charge::Nothing))
    }

    /// Reserves for another attempt that needs so much, after one that was, or may have been, charged: that one stays so.
    /// The request itself is counted once. False where only requests are limited: nothing is held anew.
    ///
    /// # Errors
    /// The limit that has no room for another attempt. What is held stays.
    pub(crate) async fn renew(&mut self, charge: Charge, needs: Needs) -> Result<bool, Denial> {
        let Some(held) = self.once_more(needs).await? else {
            return Ok(false);
        };
        let mut last = Before {
            held: std::mem::replace(&mut self.held, held),
            growth: std::mem::take(&mut self.growth),
            due: Some(charge),
        };
        // With slots, the first attempt's reservation has those of the request: it stays open to the end.
        if !self.plan.holds_slots() {
            last.settle(&self.plan.lines);
        }
        self.before.push(last);
        Ok(true)
    }

    /// Reserves for an attempt beside the one under way. The request itself is counted once.
    ///
    /// # Errors
    /// The limit that has no room for another attempt.
    pub(crate) async fn reserve_beside(&mut self) -> Result<(), Denial> {
        self.beside = self.once_more(self.held.needs).await?;
        Ok(())
    }

    /// Takes what another attempt needs. None where only requests are limited.
    async fn once_more(&self, mut needs: Needs) -> Result<Option<Held>, Denial> {
        if !self.plan.varies() {
            return Ok(None);
        }
        needs.worst.requests = 0;
        needs.expected.requests = 0;
        let held = Held::take(self.held.limiter(), &self.plan.lines, needs).await?;
        Ok(Some(held))
    }

    /// Ends what is held for one of two attempts at what that one is charged. False where nothing is.
    pub(crate) fn settle_beside(&mut self, charge: Charge) -> bool {
        let Some(mut held) = self.beside.take() else {
            return false;
        };
        held.settle(&self.plan.lines, charge);
        self.before.push(Before {
            held,
            growth: Growth::default(),
            due: None,
        });
        true
    }

    /// Notes what the request has used for certain while it runs.
    pub(crate) fn used(&self, used: &Use) {
        self.held.used(&self.plan.lines, used);
    }

    /// Has limits that hold what answers mostly use hold enough for what the answer has used so far.
    pub(crate) fn keep_up(&mut self, used: &Use) -> Course {
        let Self { plan, held, .. } = self;
        let limits = (&*plan.lines, &*held.unbounded);
        self.growth
            .keep_up(held.limiter(), limits, &held.needs, used)
    }

    /// Waits until it is known whether they do.
    pub(crate) async fn kept_up(&mut self) {
        self.growth.answered().await;
    }

    /// Ends the reservation at what the request is charged.
    pub(crate) fn settle(mut self, charge: Charge) {
        // An attempt that was under way beside the last: nobody knows what it did.
        self.settle_beside(Charge::Unknown(self.held.needs.worst));
        for before in &mut self.before {
            before.settle(&self.plan.lines);
        }
        let (growth, lines) = (&mut self.growth, &self.plan.lines);
        self.held.settle_with(growth, lines, charge);
        if self.plan.shadows.is_empty() {
            return;
        }
        let shadows = std::mem::take(&mut self.shadows);
        let held: Vec<_> = self.all_held().collect();
        for (line, trial) in self.plan.shadows.iter().zip(shadows) {
            let charged = |held: &&Held| Some(line.charged(&held.needs, held.charge?));
            trial.settle(held.iter().filter_map(charged).sum(), &line.limit.name);
        }
    }

    fn all_held(&self) -> impl Iterator<Item = &Held> {
        let before = self.before.iter().map(|it| &it.held);
        before.chain(&self.beside).chain([&self.held])
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
    /// units reserved, as logs show them: `per-key/key=k1@29384756:1 app@sliding:350`. Further attempts that were
    /// reserved for follow. A limit that let the request through because nobody answered for it is `@unbounded`.
    pub(crate) fn labels(&self) -> String {
        use std::fmt::Write;
        let mut labels = String::new();
        for held in self.all_held() {
            let counts = held.needs.worst.requests > 0;
            let lines = self.plan.lines.iter().zip(&held.admission.limits);
            for (place, (line, admitted)) in lines.enumerate() {
                let units = line.reserved(&held.needs);
                if units == 0 && !counts {
                    continue;
                }
                let space = if labels.is_empty() { "" } else { " " };
                // Writing into a string cannot fail.
                let _ = write!(labels, "{space}{}@", line.label);
                let kind = line.limit.kind;
                let _ = if held.unbounded.contains(&place) {
                    labels.write_str("unbounded")
                } else if kind.has_windows() {
                    write!(labels, "{}", admitted.window.0)
                } else {
                    labels.write_str(kind.name())
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
