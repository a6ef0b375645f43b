//! Counts the requests that the node works on, decides who comes in when there is not room for all, and knows when
//! the last one is done.
//!
//! A request is over when its response body is dropped, not when its handler returns: a stream is produced
//! after that. So its place is held by a guard that travels with the body.
//!
//! The shell around [`Shares`] and [`Relief`]: one short lock, and the waking of those who wait. Below the node's
//! bounds a request costs that lock twice, and allocates nothing.

mod relief;
mod shares;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use relief::Relief;
pub(crate) use shares::{Rank, TenantId, Visitor};
use shares::{Shares, Ticket, Verdict};

/// How long a loop is watched before it is judged, and how often it is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(20);

/// The places for requests.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The origin of the times that the shares are told.
    began: Instant,
    inner: Mutex<Inner>,
    idle: Notify,
}

#[derive(Debug)]
struct Inner {
    shares: Shares,
    relief: Relief,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    tenant: TenantId,
}

/// What becomes of a request at the gate.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It has a place.
    Admitted(Pass),
    /// There will be one soon.
    Waits(Turn, Rank),
    /// There is none.
    Refused(Rank),
}

/// The turn of a request that waits. Dropped, it gives up.
#[derive(Debug)]
pub(crate) struct Turn {
    gate: Arc<Gate>,
    tenant: TenantId,
    ticket: Ticket,
    patience: Duration,
    given: oneshot::Receiver<()>,
    resolved: bool,
}

// === impl Gate ===

impl Gate {
    /// Lets at most `most` requests in at once, served by so many event loops.
    pub(crate) fn new(most: usize, loops: usize) -> Self {
        Self {
            began: Instant::now(),
            inner: Mutex::new(Inner {
                shares: Shares::new(most),
                relief: Relief::new(most, loops),
                waiting: HashMap::new(),
            }),
            idle: Notify::new(),
        }
    }

    /// Asks for a place. The rank is only asked for where places are scarce.
    pub(crate) fn enter(self: &Arc<Self>, visitor: Visitor, rank: impl FnOnce() -> Rank) -> Entry {
        let tenant = visitor.tenant;
        let mut inner = self.inner.lock();
        match inner.shares.enter(self.began.elapsed(), visitor, rank) {
            Verdict::Admitted => {
                // Others may be owed more, now that this one has more.
                inner.let_in();
                Entry::Admitted(self.pass(tenant))
            }
            Verdict::Refused(rank) => Entry::Refused(rank),
            Verdict::Waits {
                ticket,
                rank,
                patience,
                instead_of,
            } => {
                if let Some(other) = instead_of {
                    // Its receiver learns it by the end of the channel.
                    inner.waiting.remove(&other);
                }
                let (sender, given) = oneshot::channel();
                inner.waiting.insert(ticket, sender);
                let turn = Turn {
                    gate: Arc::clone(self),
                    tenant,
                    ticket,
                    patience,
                    given,
                    resolved: false,
                };
                Entry::Waits(turn, rank)
            }
        }
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.inner.lock().shares.taken()
    }

    /// Requests that may be in flight now.
    pub(crate) fn places(&self) -> usize {
        self.inner.lock().shares.places()
    }

    /// Returns once no request is in flight, and none waits.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.inner.lock().is_idle() {
                return;
            }
            notified.await;
        }
    }

    /// Watches how late the event loop is that this runs on, and has fewer requests let in while it falls behind.
    pub(crate) async fn keep_pace(&self) {
        loop {
            let until = Instant::now() + INTERVAL;
            let mut least = Duration::MAX;
            while Instant::now() < until {
                let before = Instant::now();
                tokio::time::sleep(LOOK).await;
                least = least.min(before.elapsed().saturating_sub(LOOK));
            }
            self.late(least);
        }
    }

    fn late(&self, least: Duration) {
        let mut inner = self.inner.lock();
        let (before, taken) = (inner.shares.places(), inner.shares.taken());
        let places = inner.relief.late(least, taken);
        if places != before {
            inner.shares.resize(places);
            inner.let_in();
        }
    }

    fn pass(self: &Arc<Self>, tenant: TenantId) -> Pass {
        Pass {
            gate: Arc::clone(self),
            tenant,
        }
    }

    fn leave(&self, tenant: TenantId) {
        let mut inner = self.inner.lock();
        inner.shares.leave(self.began.elapsed(), tenant);
        inner.let_in();
        if inner.is_idle() {
            self.idle.notify_waiters();
        }
    }
}

impl Inner {
    /// Gives the places that are free to those who wait and are to have them.
    fn let_in(&mut self) {
        while let Some(ticket) = self.shares.next() {
            if let Some(sender) = self.waiting.remove(&ticket) {
                // One who has gone meanwhile gives the place back itself.
                let _ = sender.send(());
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.shares.taken() == 0 && self.shares.waiting() == 0
    }
}

// === impl Turn ===

impl Turn {
    /// Waits for a place. None where there was none in time, or another request was worth more.
    pub(crate) async fn come(mut self) -> Option<Pass> {
        let patience = self.patience;
        let given = timeout(patience, &mut self.given).await;
        if !matches!(given, Ok(Ok(()))) && !self.was_given() {
            return None;
        }
        self.resolved = true;
        Some(self.gate.pass(self.tenant))
    }

    /// Gives up, unless a place was given in the meantime.
    fn was_given(&mut self) -> bool {
        let mut inner = self.gate.inner.lock();
        inner.waiting.remove(&self.ticket);
        if inner.shares.cancel(self.ticket) {
            inner.let_in();
            if inner.is_idle() {
                self.gate.idle.notify_waiters();
            }
            drop(inner);
            self.resolved = true;
            return false;
        }
        drop(inner);
        // Neither waiting nor given: another request took its turn.
        self.given.try_recv().is_ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.resolved && self.was_given() {
            self.gate.leave(self.tenant);
        }
    }
}

// === impl Pass ===

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.leave(self.tenant);
    }
}

#[cfg(test)]
mod tests;
