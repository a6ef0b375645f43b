//! Units that a request holds, or waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tollgate_quota::node::Outcome;

use super::{Limiter, ReservationId};

/// Units held by one request. They must be settled; a reservation that is dropped unsettled is refunded
/// whole, as nothing can have been done with it.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(super) limiter: Arc<Limiter>,
    pub(super) reserved: ReservationId,
    pub(super) asks: usize,
    pub(super) settled: bool,
}

impl Reservation {
    /// The limits that the units are of.
    pub(crate) fn limiter(&self) -> &Arc<Limiter> {
        &self.limiter
    }

    /// Notes that so many units of these asks, by their places, are used for certain. They stay so, whatever
    /// the reservation is settled at.
    pub(crate) fn spend(&self, units: &[(usize, u64)]) {
        if !self.settled {
            self.limiter.spend(self.reserved, units);
        }
    }

    /// Ends the reservation: what was really used, one figure per ask in their order.
    pub(crate) fn settle(&mut self, actual: &[u64]) {
        if !self.settled {
            self.settled = true;
            self.limiter.settle(self.reserved, actual);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(&vec![0; self.asks]);
        }
    }
}

/// A request that waits; dropping it withdraws the request.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(super) limiter: Arc<Limiter>,
    pub(super) reserved: ReservationId,
    pub(super) asks: usize,
    pub(super) receiver: oneshot::Receiver<Outcome>,
    pub(super) resolved: bool,
}

impl Waiter {
    /// Waits for the outcome, for `wait` or a little longer; none where the limiter began anew.
    pub(super) async fn outcome(&mut self, wait: Duration) -> Option<Outcome> {
        // The machine ends the wait; it is only told that time has passed, as the sender may be stuck.
        let mut patience = wait;
        let outcome = loop {
            match timeout(patience, &mut self.receiver).await {
                Ok(outcome) => break outcome,
                Err(_) => self.limiter.tick(),
            }
            patience = Duration::from_millis(2);
        };
        self.resolved = true;
        outcome.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.resolved {
            return;
        }
        self.limiter.withdraw(self.reserved);
        // Admitted in the instant before the caller went away.
        self.receiver.close();
        if let Ok(Outcome::Admitted(_)) = self.receiver.try_recv() {
            self.limiter.settle(self.reserved, &vec![0; self.asks]);
        }
    }
}
