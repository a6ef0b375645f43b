//! The units that a request holds, from its admission to its settlement.

use std::sync::Arc;
use std::time::Duration;

use tollgate_policy::table::Unit;
use tollgate_quota::node::Admission;

use crate::limiter::Reservation;
use crate::plan::Plan;

/// The units that a request holds.
#[derive(Debug)]
pub(crate) struct Permit {
    reservation: Reservation,
    plan: Arc<Plan>,
    admission: Admission,
    reserved_tokens: u64,
}

/// What a reservation is settled at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charge {
    /// Nothing was sent: neither request nor tokens.
    Nothing,
    /// The request, and so many tokens.
    Tokens(u64),
    /// The request, and all the tokens that were reserved.
    Reservation,
}

/// The state of the tightest limit of each kind, for the caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LimitState {
    pub(crate) requests: Option<Gauge>,
    pub(crate) tokens: Option<Gauge>,
}

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
        reservation: Reservation,
        plan: Arc<Plan>,
        admission: Admission,
        reserved_tokens: u64,
    ) -> Self {
        Self {
            reservation,
            plan,
            admission,
            reserved_tokens,
        }
    }

    /// Ends the reservation at what the request is charged.
    pub(crate) fn settle(mut self, charge: Charge) {
        let (requests, tokens) = match charge {
            Charge::Nothing => (0, 0),
            Charge::Tokens(tokens) => (1, tokens),
            Charge::Reservation => (1, self.reserved_tokens),
        };
        let actual: Vec<_> = self
            .plan
            .lines
            .iter()
            .map(|line| match line.unit {
                Unit::Requests => requests,
                Unit::Tokens => tokens,
            })
            .collect();
        self.reservation.settle(&actual);
    }

    /// Each limit with its dimensions, the number of the window, and the units reserved, as logs show them:
    /// `per-key/key=k1@29384756:1 app@29384756:350`.
    pub(crate) fn labels(&self) -> String {
        use std::fmt::Write;
        let mut labels = String::new();
        for (line, admitted) in self.plan.lines.iter().zip(&self.admission.limits) {
            let space = if labels.is_empty() { "" } else { " " };
            let units = line.units(self.reserved_tokens);
            // Writing into a string cannot fail.
            let _ = write!(
                labels,
                "{space}{}@{}:{units}",
                line.label, admitted.window.0
            );
        }
        labels
    }

    /// The tightest limit of each kind.
    pub(crate) fn state(&self) -> LimitState {
        let mut state = LimitState::default();
        for (line, admitted) in self.plan.lines.iter().zip(&self.admission.limits) {
            let gauge = Gauge {
                limit: admitted.limit,
                remaining: admitted.remaining,
                reset: Duration::from_millis(admitted.reset_ms),
            };
            state.tighten(line.unit, gauge);
        }
        state
    }
}

impl LimitState {
    /// Takes one more limit into account.
    pub(crate) fn tighten(&mut self, unit: Unit, gauge: Gauge) {
        let place = match unit {
            Unit::Requests => &mut self.requests,
            Unit::Tokens => &mut self.tokens,
        };
        if place.is_none_or(|known| gauge.remaining < known.remaining) {
            *place = Some(gauge);
        }
    }
}
