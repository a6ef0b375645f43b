//! Takes units from every limit at once, before a request is sent anywhere.
//!
//! The shell around the quota crate's node machine: it holds the machine under one mutex, reads the clock for
//! it, and wakes the requests that wait. Calls are short and do no I/O; the mutex is never held across an
//! `.await`. What the machine wants to say to the owners is sent by `quota_stream`.

mod edge;
mod lock;
mod outgoing;
mod queue;
mod reservation;
mod trial;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tollgate_quota::node::{
    Admission, Ask, CounterView, Denial, Estate, Foresight, Node, Note, Outcome, RequestId, Wake,
};
use tollgate_quota::{Close, Counter, Incarnation, NodeTime, OwnerMessage};

use edge::no_answer;
use lock::Mutex;
pub(crate) use outgoing::Outgoing;
use queue::Queues;
pub(crate) use queue::{Behind, Place};
pub(crate) use reservation::{Reservation, Waiter};
use trial::Late;
pub(crate) use trial::Trial;

use crate::clock;
use crate::journal::Inheritance;

/// How long a request waits for the owner's answer about all its limits together. An owner that has nothing left
/// says so at once; this bounds the first use of a limit, which costs the owner a durable write, and an owner
/// that does not answer at all.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The limits of this node.
#[derive(Debug)]
pub(crate) struct Limiter {
    name: String,
    state: Mutex<State>,
    /// Told when something is to be sent earlier than the sender thought.
    earlier: Notify,
    /// Told when something is to be noted in the journal.
    unnoted: Notify,
    journaled: bool,
    /// Requests that wait for limits to have room.
    queues: Arc<Queues>,
    /// The second in which it was last said that a limit does not hold.
    told_unbounded: AtomicU64,
}

#[derive(Debug)]
struct State {
    machine: Node,
    waiting: HashMap<RequestId, oneshot::Sender<Outcome>>,
    /// Trials that are over for those who began them, while their answers are under way.
    late: HashMap<RequestId, Late>,
    /// When the sender will look next.
    sender_wakes: NodeTime,
    draining: Draining,
    /// Counts the machines that this process has had.
    term: u64,
    /// The store that all of the machine's totals stand in; 0 while none was heard of.
    store: u64,
    /// All that dead processes have left to this one, and what it has had under earlier numbers, closed or not.
    legacy: Vec<Close>,
}

/// Names a request's reservation over all machines of this process.
#[derive(Debug, Clone, Copy)]
struct ReservationId {
    term: u64,
    id: RequestId,
}

/// How far shutting down has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Draining {
    No,
    /// Nobody waits any more. What is left is not given back yet.
    Begun,
    /// The last message was handed to the stream.
    Said,
}

// === impl Limiter ===

impl Limiter {
    /// Starts with nothing, or with what the last process has left. `incarnation` is a random number of this process.
    /// Where a journal is kept, what it holds of earlier ones is given.
    pub(crate) fn new(name: &str, incarnation: u64, inherited: Option<Inheritance>) -> Self {
        let journaled = inherited.is_some();
        let Inheritance { closes, estate } = inherited.unwrap_or_default();
        let (mut machine, store) = match estate {
            Some((estate, store)) => {
                let config = config(journaled);
                (Node::resume(name, config, now(), &estate), store)
            }
            None => (machine(name, incarnation, journaled), 0),
        };
        let legacy = closes;
        machine.inherit(legacy.clone());
        Self {
            name: name.to_owned(),
            state: Mutex::new(State {
                machine,
                waiting: HashMap::new(),
                late: HashMap::new(),
                sender_wakes: NodeTime(0),
                draining: Draining::No,
                term: 0,
                store,
                legacy,
            }),
            earlier: Notify::new(),
            unnoted: Notify::new(),
            journaled,
            queues: Arc::default(),
            told_unbounded: AtomicU64::new(u64::MAX),
        }
    }

    /// Takes the units of every ask, or none. Waits at most `wait` where some are missing.
    ///
    /// # Errors
    /// The first ask that was refused, and why.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        asks: &[Ask<&Counter>],
        wait: Duration,
    ) -> Result<(Reservation, Admission), Denial> {
        let (reserved, outcome, receiver) = self.begin(asks, wait);
        let outcome = match receiver {
            None => outcome,
            Some(receiver) => self.wait(reserved, asks, receiver, wait).await,
        };
        match outcome {
            Outcome::Admitted(admission) => {
                let reservation = Reservation {
                    limiter: Arc::clone(self),
                    reserved,
                    asks: asks.len(),
                    settled: false,
                };
                Ok((reservation, admission))
            }
            Outcome::Denied(denial) => Err(denial),
            // `begin` and `wait` resolve both; a machine that breaks this rule refuses the request.
            Outcome::Taken | Outcome::Waiting => Err(no_answer(asks)),
        }
    }

    fn begin(
        &self,
        asks: &[Ask<&Counter>],
        wait: Duration,
    ) -> (ReservationId, Outcome, Option<oneshot::Receiver<Outcome>>) {
        let mut state = self.state.lock();
        let now = now();
        let until = now.after(millis(wait));
        let (id, outcome) = state.machine.reserve(now, asks, until);
        let outcome = state.stamped(id, outcome);
        let receiver = match outcome {
            Outcome::Waiting => {
                let (sender, receiver) = oneshot::channel();
                state.waiting.insert(id, sender);
                Some(receiver)
            }
            Outcome::Taken | Outcome::Admitted(_) | Outcome::Denied(_) => None,
        };
        self.after(&mut state);
        let reserved = ReservationId {
            term: state.term,
            id,
        };
        (reserved, outcome, receiver)
    }

    async fn wait(
        self: &Arc<Self>,
        reserved: ReservationId,
        asks: &[Ask<&Counter>],
        receiver: oneshot::Receiver<Outcome>,
        wait: Duration,
    ) -> Outcome {
        let mut waiter = self.waiter(reserved, asks.len(), receiver);
        let outcome = waiter.outcome(wait).await;
        outcome.unwrap_or_else(|| Outcome::Denied(no_answer(asks)))
    }

    fn waiter(
        self: &Arc<Self>,
        reserved: ReservationId,
        asks: usize,
        receiver: oneshot::Receiver<Outcome>,
    ) -> Waiter {
        Waiter {
            limiter: Arc::clone(self),
            reserved,
            asks,
            receiver,
            resolved: false,
        }
    }

    /// What is known of a counter here.
    pub(crate) fn view(&self, counter: &Counter) -> Option<CounterView> {
        self.state.lock().machine.view(now(), counter)
    }

    /// What would become of a request for these units now. Nothing is taken, and nobody asked.
    pub(crate) fn foresee(&self, ask: &Ask<&Counter>) -> Foresight {
        self.state.lock().machine.foresee(now(), ask)
    }

    /// Takes in what an owner says.
    pub(crate) fn receive(&self, message: &OwnerMessage) {
        let mut state = self.state.lock();
        state.machine.receive(now(), message);
        if state.machine.is_disowned() {
            tracing::warn!(
                "this process's leases were closed by an operator or an heir: beginning anew"
            );
            self.renew(&mut state, crate::random::number());
        }
        self.after(&mut state);
    }

    /// What is to be made durable in the journal, once there is something. To be called by one task only.
    pub(crate) async fn notes(&self) -> Vec<Note> {
        loop {
            let unnoted = self.unnoted.notified();
            let notes = self.state.lock().machine.poll_notes();
            if !notes.is_empty() {
                return notes;
            }
            unnoted.await;
        }
    }

    /// Those notes are durable.
    pub(crate) fn noted(&self, notes: &[Note]) {
        let mut state = self.state.lock();
        state.machine.noted(now(), notes);
        self.after(&mut state);
    }

    /// What dead processes have left and the owner has not closed yet.
    pub(crate) fn inherited(&self) -> Vec<Close> {
        self.state.lock().machine.inherited().to_vec()
    }

    /// The last notes, when everything is settled and drained.
    pub(crate) fn last_notes(&self) -> Vec<Note> {
        self.state.lock().machine.last_notes()
    }

    /// What the next process needs to go on in this one's place, and the store that its totals stand in; none where
    /// something is held for somebody still.
    pub(crate) fn estate(&self) -> Option<(Estate, u64)> {
        let state = self.state.lock();
        Some((state.machine.estate()?, state.store))
    }

    /// Begins anew under another number, with nothing: what the process held stays charged until its windows
    /// end. For a process whose clock has stood still, as in a snapshot of its machine: its leases may be over
    /// without its knowledge.
    pub(crate) fn begin_anew(&self, incarnation: u64) {
        let mut state = self.state.lock();
        self.renew(&mut state, incarnation);
    }

    /// The store that this process's totals stand in; 0 while none was heard of.
    pub(crate) fn store(&self) -> u64 {
        self.state.lock().store
    }

    /// Hears which store grants stand in. Where it was another one, it was restored from an older copy: all that is
    /// held is given up, and closed with what was used of it. So is all that was left to this process, since the copy
    /// may not know that it is closed.
    pub(crate) fn stands_in(&self, store: u64) {
        let mut state = self.state.lock();
        // Some control planes cannot tell.
        if store == 0 || store == state.store {
            return;
        }
        if std::mem::replace(&mut state.store, store) == 0 {
            return;
        }
        tracing::warn!("the control plane's store was restored from an older copy: beginning anew");
        self.renew(&mut state, crate::random::number());
        let legacy = state.legacy.clone();
        state.machine.inherit(legacy);
    }

    fn renew(&self, state: &mut State, incarnation: u64) {
        let own = state.machine.last_notes();
        state.legacy.extend(own.iter().map(Note::close));
        let inherited = state.machine.inherited().to_vec();
        state.machine = machine(&self.name, incarnation, self.journaled);
        state.machine.inherit(inherited);
        state.term += 1;
        // Those who wait are told that nobody answered.
        state.waiting.clear();
        state.late.clear();
        state.sender_wakes = NodeTime(0);
        self.earlier.notify_one();
    }

    /// Refuses all who wait. The sender then gives back what it can tell of, and ends.
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        state.machine.drain(now());
        state.draining = Draining::Begun;
        self.after(&mut state);
        self.earlier.notify_one();
    }

    fn tick(&self) {
        let mut state = self.state.lock();
        state.machine.tick(now());
        self.after(&mut state);
    }

    fn settle(&self, reserved: ReservationId, actual: &[u64]) {
        let mut state = self.state.lock();
        // What an earlier machine held stays charged as a whole.
        if state.term == reserved.term {
            state.settle(reserved.id, actual);
            self.after(&mut state);
        }
    }

    fn spend(&self, reserved: ReservationId, units: &[(usize, u64)]) {
        let mut state = self.state.lock();
        if state.term == reserved.term {
            for (ask, total) in units {
                state.spend(reserved.id, *ask, *total);
            }
            self.after(&mut state);
        }
    }

    fn withdraw(&self, reserved: ReservationId) {
        let mut state = self.state.lock();
        if state.term == reserved.term {
            state.machine.cancel(now(), reserved.id);
            state.waiting.remove(&reserved.id);
            self.after(&mut state);
        }
    }

    /// To be called after every call of the machine: hands on its news and wakes the sender where a message
    /// became due earlier.
    fn after(&self, state: &mut State) {
        state.deliver();
        if state.machine.has_notes() {
            self.unnoted.notify_one();
        }
        let due = state.due();
        if due < state.sender_wakes {
            state.sender_wakes = due;
            self.earlier.notify_one();
        }
    }
}

// === impl State ===

impl State {
    /// Follows `Taken` by the second look at the clock that makes a reservation valid (R7).
    fn stamped(&mut self, id: RequestId, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Taken => self.machine.stamp(now(), id),
            Outcome::Waiting | Outcome::Admitted(_) | Outcome::Denied(_) => outcome,
        }
    }

    fn deliver(&mut self) {
        while let Some(Wake { id, outcome }) = self.machine.poll_wake() {
            let outcome = self.stamped(id, outcome);
            if matches!(outcome, Outcome::Waiting | Outcome::Taken) {
                continue;
            }
            if let Some(late) = self.late.remove(&id) {
                self.settle_late(id, &late, &outcome);
                continue;
            }
            let undelivered = match self.waiting.remove(&id) {
                Some(sender) => sender.send(outcome).err(),
                None => Some(outcome),
            };
            // The caller went away in the meantime: nothing was done with the units.
            if let Some(Outcome::Admitted(admission)) = undelivered {
                self.settle(id, &vec![0; admission.limits.len()]);
            }
        }
    }

    fn settle(&mut self, id: RequestId, actual: &[u64]) {
        if let Err(error) = self.machine.settle(now(), id, actual) {
            tracing::error!(%error, "settling a reservation failed: this is a defect");
        }
    }

    fn spend(&mut self, id: RequestId, ask: usize, total: u64) {
        if let Err(error) = self.machine.spend(now(), id, ask, total) {
            tracing::error!(%error, "noting what a reservation used failed: this is a defect");
        }
    }

    fn due(&self) -> NodeTime {
        let heartbeat = self.machine.next_heartbeat();
        [self.machine.next_message(), self.machine.next_tick()]
            .into_iter()
            .flatten()
            .fold(heartbeat, NodeTime::min)
    }
}

fn machine(name: &str, incarnation: u64, journaled: bool) -> Node {
    Node::new(name, Incarnation(incarnation), config(journaled))
}

fn config(journaled: bool) -> tollgate_quota::node::Config {
    tollgate_quota::node::Config {
        journaled,
        ..tollgate_quota::node::Config::default()
    }
}

fn now() -> NodeTime {
    NodeTime(millis(clock::boot_time()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(feature = "loom")]
#[cfg(test)]
mod interleavings;
#[cfg(not(feature = "loom"))]
#[cfg(test)]
mod tests;
