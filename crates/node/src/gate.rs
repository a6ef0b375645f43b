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
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use relief::{Beat, Relief};
pub(crate) use shares::{Rank, TenantId, Visitor};
use shares::{Shares, Ticket, Verdict};

/// How long a loop is watched before it is judged, and how often it is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(20);

/// The places for requests, and those before them for strangers.
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
    /// Strangers at the door, and how many there may be.
    strangers: usize,
    most_strangers: usize,
    /// When an event loop last told how it fared.
    told: Instant,
    /// Requests let in and refused since then.
    admitted: u32,
    refused: u32,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    tenant: TenantId,
    /// When it was given, by the gate's own time.
    since: Duration,
}

/// A request at the door whose caller may be anybody: it has no place yet.
#[derive(Debug)]
pub(crate) struct Stranger {
    gate: Arc<Gate>,
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
    /// Lets at most `most` requests in at once, served by so many event loops, and so many strangers wait at the door.
    pub(crate) fn new(most: usize, strangers: usize, loops: usize) -> Self {
        let began = Instant::now();
        Self {
            began,
            inner: Mutex::new(Inner {
                shares: Shares::new(most),
                relief: Relief::new(most, loops),
                strangers: 0,
                most_strangers: strangers.max(1),
                told: began,
                admitted: 0,
                refused: 0,
                waiting: HashMap::new(),
            }),
            idle: Notify::new(),
        }
    }

    /// Asks for a place. The rank is only asked for where places are scarce.
    pub(crate) fn enter(self: &Arc<Self>, visitor: Visitor, rank: impl FnOnce() -> Rank) -> Entry {
        let tenant = visitor.tenant;
        let now = self.began.elapsed();
        let mut inner = self.inner.lock();
        match inner.shares.enter(now, visitor, rank) {
            Verdict::Admitted => {
                inner.admitted += 1;
                // Others may be owed more, now that this one has more.
                inner.let_in();
                Entry::Admitted(self.pass(tenant, now))
            }
            Verdict::Refused(rank) => {
                inner.refused += 1;
                Entry::Refused(rank)
            }
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

    /// Lets a request wait at the door until it is known who comes. None where too many do, or where places are so scarce
    /// that whoever is known comes first.
    pub(crate) fn stranger(self: &Arc<Self>) -> Option<Stranger> {
        let mut inner = self.inner.lock();
        let is_let_wait = inner.strangers < inner.most_strangers && inner.shares.has_plenty();
        is_let_wait.then(|| {
            inner.strangers += 1;
            let gate = Arc::clone(self);
            Stranger { gate }
        })
    }

    /// A request was refused before it asked for a place. That keeps an event loop busy, too.
    pub(crate) fn turned_away(&self) {
        self.inner.lock().refused += 1;
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

    /// Watches the event loop that this runs on, which is to have one thread, and has fewer requests let in while it
    /// falls behind.
    pub(crate) async fn keep_pace(self: Arc<Self>) {
        let metrics = Handle::current().metrics();
        loop {
            let (began, busy) = (Instant::now(), metrics.worker_total_busy_duration(0));
            let mut least_late = Duration::MAX;
            while began.elapsed() < INTERVAL {
                let before = Instant::now();
                tokio::time::sleep(LOOK).await;
                least_late = least_late.min(before.elapsed().saturating_sub(LOOK));
            }
            let busy = metrics.worker_total_busy_duration(0).saturating_sub(busy);
            self.told(least_late, percent(busy, began.elapsed()));
        }
    }

    fn told(&self, least_late: Duration, busy: u8) {
        let mut inner = self.inner.lock();
        let beat = Beat {
            least_late,
            busy,
            is_refusing: inner.refused > inner.admitted,
        };
        (inner.admitted, inner.refused) = (0, 0);
        let now = Instant::now();
        let passed = now.duration_since(inner.told);
        inner.told = now;
        inner.shares.pass(passed);
        let (before, taken) = (inner.shares.places(), inner.shares.taken());
        let places = inner.relief.told(beat, taken);
        if places != before {
            inner.shares.resize(places);
        }
        inner.let_in();
    }

    fn pass(self: &Arc<Self>, tenant: TenantId, since: Duration) -> Pass {
        Pass {
            gate: Arc::clone(self),
            tenant,
            since,
        }
    }

    fn leave(&self, tenant: TenantId, since: Duration) {
        let mut inner = self.inner.lock();
        inner.shares.leave(self.began.elapsed(), tenant, since);
        inner.let_in();
        if inner.is_idle() {
            self.idle.notify_waiters();
        }
    }
}

fn percent(part: Duration, of: Duration) -> u8 {
    let percent = part.as_micros() * 100 / of.as_micros().max(1);
    u8::try_from(percent).unwrap_or(u8::MAX)
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
        self.shares.taken() == 0 && self.shares.waiting() == 0 && self.strangers == 0
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
        Some(self.gate.pass(self.tenant, self.gate.began.elapsed()))
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
            self.gate.leave(self.tenant, self.gate.began.elapsed());
        }
    }
}

// === impl Stranger ===

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut inner = self.gate.inner.lock();
        inner.strangers -= 1;
        if inner.is_idle() {
            self.gate.idle.notify_waiters();
        }
    }
}

// === impl Pass ===

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.leave(self.tenant, self.since);
    }
}

#[cfg(test)]
mod tests;
