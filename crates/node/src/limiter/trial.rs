//! Asks whose answer nobody waits for: what limits in shadow mode say.
//!
//! A trial takes its turn like a request that waits. When whoever began it is done before the answer comes, the
//! limiter keeps what is to be settled, and settles it then: so a shadow counts exactly what it would have admitted,
//! however fast requests end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tollgate_quota::Counter;
use tollgate_quota::node::{Ask, Outcome, RequestId};

use super::{LONGEST_WAIT, Limiter, Reservation, ReservationId, State, Waiter};
use crate::metrics;

/// What became of units that nobody waits for. One that is dropped unsettled holds nothing any more.
#[derive(Debug)]
pub(crate) enum Trial {
    /// They are held.
    Held(Reservation),
    /// They may come yet.
    Waiting(Waiter),
    /// The limit has no room for them.
    Refused,
    /// Nobody could say.
    Unknown,
}

/// What a trial is settled at once its answer comes.
#[derive(Debug)]
pub(super) struct Late {
    actual: u64,
    limit: Arc<str>,
}

impl Limiter {
    /// Asks for units that nobody waits for: whoever asks goes on, whatever the answer is. Units that are missing
    /// may still come while the trial lasts, for at most `wait`.
    pub(crate) fn try_out(self: &Arc<Self>, ask: Ask<&Counter>, wait: Duration) -> Trial {
        let (reserved, outcome, receiver) = self.begin(&[ask], wait);
        match (outcome, receiver) {
            (_, Some(receiver)) => Trial::Waiting(self.waiter(reserved, 1, receiver)),
            (outcome, None) => Trial::of(self, reserved, &outcome),
        }
    }
}

impl State {
    pub(super) fn settle_late(&mut self, id: RequestId, late: &Late, outcome: &Outcome) {
        match outcome {
            Outcome::Admitted(_) => self.settle(id, &[late.actual]),
            Outcome::Denied(denial) if denial.why.is_for_want_of_units() => {
                metrics::would_refuse(&late.limit);
            }
            Outcome::Denied(_) | Outcome::Taken | Outcome::Waiting => {}
        }
    }
}

impl Waiter {
    /// The answer, if it has come.
    fn poll(&mut self) -> Option<Outcome> {
        match self.receiver.try_recv() {
            Ok(outcome) => {
                self.resolved = true;
                Some(outcome)
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

impl Waiter {
    /// Leaves the answer to whoever brings it.
    fn leave(mut self, actual: u64, limit: &Arc<str>) {
        let limiter = Arc::clone(&self.limiter);
        let mut state = limiter.state.lock();
        let id = self.reserved.id;
        if state.term != self.reserved.term {
            return;
        }
        let limit = Arc::clone(limit);
        let late = Late { actual, limit };
        if state.waiting.remove(&id).is_some() {
            state.late.insert(id, late);
            self.resolved = true;
        } else if let Some(outcome) = self.poll() {
            // It came just now.
            state.settle_late(id, &late, &outcome);
            limiter.after(&mut state);
        }
    }
}

// === impl Trial ===

impl Trial {
    fn of(limiter: &Arc<Limiter>, reserved: ReservationId, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Admitted(_) => Self::Held(Reservation {
                limiter: Arc::clone(limiter),
                reserved,
                asks: 1,
                settled: false,
            }),
            Outcome::Denied(denial) if denial.why.is_for_want_of_units() => Self::Refused,
            Outcome::Denied(_) | Outcome::Taken | Outcome::Waiting => Self::Unknown,
        }
    }

    /// Takes in an answer that has come in the meantime.
    pub(crate) fn look(&mut self) {
        if let Self::Waiting(waiter) = self
            && let Some(outcome) = waiter.poll()
        {
            *self = Self::of(&Arc::clone(&waiter.limiter), waiter.reserved, &outcome);
        }
    }

    /// Waits for the answer, where it is still under way.
    pub(crate) async fn answered(&mut self) {
        if let Self::Waiting(waiter) = self {
            let outcome = waiter.outcome(LONGEST_WAIT).await;
            *self = outcome.map_or(Self::Unknown, |outcome| {
                Self::of(&Arc::clone(&waiter.limiter), waiter.reserved, &outcome)
            });
        }
    }

    /// Takes in an answer that has come in the meantime, and says whether the limit would have refused.
    pub(crate) fn refuses(&mut self) -> bool {
        self.look();
        matches!(self, Self::Refused)
    }

    /// Ends it at what was really used. Where the answer is still under way, it is taken into account when it comes.
    pub(crate) fn settle(mut self, actual: u64, limit: &Arc<str>) {
        if self.refuses() {
            metrics::would_refuse(limit);
        }
        match self {
            Self::Held(mut reservation) => reservation.settle(&[actual]),
            Self::Waiting(waiter) if actual > 0 => waiter.leave(actual, limit),
            Self::Waiting(_) | Self::Refused | Self::Unknown => {}
        }
    }
}
