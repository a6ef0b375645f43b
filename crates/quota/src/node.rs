//! The node: keeps units of many counters and admits requests from them, without asking anybody
//! while it has some.

mod account;
mod book;
mod estate;
mod mark;
mod outcome;
mod report;
mod request;
mod units;
mod waiting;

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use book::{Book, Slot};
pub use estate::{Bequest, Estate, Totals};
pub use mark::Note;
use outcome::Spread;
pub use outcome::{
    Admission, Admitted, Ask, CounterView, Denial, Edges, Foresight, Outcome, PerAsk, RequestId,
    Scope, Settled, Wake, Why,
};
use report::Outbox;
use request::{Part, Phase, Request};
use units::{Label, WindowEnd};

use crate::{Close, Counter, Error, Incarnation, NodeTime, OwnerMessage, Window};

/// What a node may be tuned by. The defaults are those of the design.
#[derive(Debug, Clone)]
pub struct Config {
    /// Largest drift between this node's clock and an owner's, in parts per million.
    pub drift_ppm: u64,
    /// Messages are collected for this long when someone waits, in milliseconds.
    pub urgent_ms: u64,
    /// Messages are collected for this long when nobody waits and it matters that the owner hears, in milliseconds.
    pub relaxed_ms: u64,
    /// Time between heartbeats, in milliseconds.
    pub heartbeat_ms: u64,
    /// How far ahead of demand idle units are kept before they are given back, in milliseconds.
    pub ahead_ms: u64,
    /// Requests waiting at once; further ones are refused as unanswered.
    pub max_waiters: usize,
    /// Whether the shell keeps a journal ([`Node::poll_notes`]), from which an heir can tell what this process
    /// had, should it die.
    pub journaled: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            drift_ppm: 200,
            urgent_ms: 1,
            relaxed_ms: 100,
            heartbeat_ms: 1_000,
            ahead_ms: 4_000,
            max_waiters: 10_000,
            journaled: false,
        }
    }
}

/// Waits longer than this are cut to it, in milliseconds: an account that was asked for stays in
/// memory at least this long.
const LONGEST_WAIT_MS: u64 = 2_000;

/// Room kept for so many requests' parts.
const MOST_SPARE: usize = 1_024;

/// The node's state machine. A copy goes on by itself: for trying out what may happen.
///
/// The shell holds it under one mutex, calls it with readings of one clock, and drains
/// [`Node::poll_wake`] after every call.
#[derive(Debug, Clone)]
pub struct Node {
    name: Arc<str>,
    incarnation: Incarnation,
    config: Config,
    book: Book,
    requests: HashMap<RequestId, Request, BuildHasherDefault<Spread>>,
    /// Room for parts that settled requests left behind, empty: the next requests need not allocate.
    spare: Vec<Vec<Part>>,
    last_id: u64,
    /// Ends of the waits, earliest first.
    waits: BTreeSet<(NodeTime, RequestId)>,
    wakes: VecDeque<Wake>,
    /// Accounts to whose queue units may have come.
    refilled: Vec<Slot>,
    /// Counters of which somebody waited in vain for a word, until there is one.
    silent: HashSet<Counter>,
    outbox: Outbox,
    draining: bool,
    /// Accounts of which more is to be noted in the journal.
    unnoted: Vec<Slot>,
    /// What is to be closed for dead processes.
    inherited: Vec<Close>,
    /// This process was closed although it lives.
    disowned: bool,
}

impl Node {
    /// Starts a process of the node called `name`. `incarnation` is a fresh random number.
    #[must_use]
    pub fn new(name: &str, incarnation: Incarnation, config: Config) -> Self {
        Self {
            name: name.into(),
            incarnation,
            book: Book::new(config.journaled, incarnation),
            config,
            requests: HashMap::default(),
            spare: Vec::new(),
            last_id: 0,
            waits: BTreeSet::new(),
            wakes: VecDeque::new(),
            refilled: Vec::new(),
            silent: HashSet::new(),
            outbox: Outbox::default(),
            draining: false,
            unnoted: Vec::new(),
            inherited: Vec::new(),
            disowned: false,
        }
    }

    /// Takes the units of every ask or none, waiting for missing ones until `wait_until` (at most
    /// 2 s) and keeping meanwhile what it has. Follow [`Outcome::Taken`] by [`Node::stamp`].
    ///
    /// Asks are taken in the order of their counters, whatever their order here, so two nodes never
    /// hold what the other waits for. An ask of zero units always passes.
    pub fn reserve<C: Borrow<Counter>>(
        &mut self,
        now: NodeTime,
        asks: &[Ask<C>],
        wait_until: NodeTime,
    ) -> (RequestId, Outcome) {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        let wait_until = wait_until.min(now.after(LONGEST_WAIT_MS));
        let parts = self.spare.pop().unwrap_or_default();
        let request = Request::new(id, (asks, parts), &mut self.book, now, wait_until);
        let outcome = self.proceed(now, request);
        self.refill(now);
        (id, outcome)
    }

    /// Stamps a taken reservation with a clock reading made *after* the take (R7): `Admitted`. Where a
    /// window ended in between, everything is put back and tried anew: `Waiting` (a [`Wake`] follows,
    /// perhaps at once) or `Denied`. Never `Taken`. An id that is not taken is answered with `Waiting`.
    pub fn stamp(&mut self, now: NodeTime, id: RequestId) -> Outcome {
        let Some(request) = self.requests.get_mut(&id) else {
            return Outcome::Waiting;
        };
        if request.phase != Phase::Taken {
            return Outcome::Waiting;
        }
        if request.is_in_time(&mut self.book, now) {
            request.phase = Phase::Admitted;
            let admission = admission(request, &mut self.book, now);
            self.ask_before_dry(now, id);
            return Outcome::Admitted(admission);
        }
        let Some(mut request) = self.requests.remove(&id) else {
            return Outcome::Waiting;
        };
        request.late = true;
        self.undo(now, &mut request);
        request.come_round(&mut self.book, now);
        let mut outcome = self.proceed(now, request);
        if outcome == Outcome::Taken {
            // Another reading of the clock is due for these units.
            self.wakes.push_back(Wake { id, outcome });
            outcome = Outcome::Waiting;
        }
        self.refill(now);
        outcome
    }

    /// Ends an admitted reservation: `actual` units per ask, in the order of the asks. What was
    /// reserved beyond can be used again at once; what was used beyond becomes debt that blocks
    /// further admission. Answers what became of each ask, in the same order.
    ///
    /// # Errors
    /// [`Error::NotOpen`] when it is not admitted or settled already, [`Error::Figures`] when
    /// `actual` has another length than the asks. Neither changes anything.
    pub fn settle(
        &mut self,
        now: NodeTime,
        id: RequestId,
        actual: &[u64],
    ) -> Result<PerAsk<Settled>, Error> {
        let open = self
            .requests
            .get(&id)
            .filter(|r| r.phase == Phase::Admitted);
        let asks = open.ok_or(Error::NotOpen(id.0))?.parts.len();
        if asks != actual.len() {
            return Err(Error::Figures {
                asks,
                given: actual.len(),
            });
        }
        let mut settled = PerAsk::from_elem(Settled::default(), asks);
        let mut parts = self
            .requests
            .remove(&id)
            .map(|r| r.parts)
            .unwrap_or_default();
        for part in parts.drain(..) {
            settled[part.ask] = self.settle_part(now, &part, actual[part.ask]);
        }
        if self.spare.len() < MOST_SPARE {
            self.spare.push(parts);
        }
        self.refill(now);
        Ok(settled)
    }

    fn settle_part(&mut self, now: NodeTime, part: &Part, actual: u64) -> Settled {
        let Some(account) = part.account(&mut self.book) else {
            let actual = actual.max(part.spent);
            return Settled {
                spent: actual.min(part.units),
                lapsed: part.units.abs_diff(actual),
                ..Settled::default()
            };
        };
        let rest = actual.saturating_sub(part.spent);
        let (spent, refunded, overrun) = account.settle(part.pieces(), rest);
        let delay = if overrun > 0 {
            self.config.urgent_ms
        } else {
            account.patience_ms(&self.config)
        };
        self.outbox.mark(account, part.slot, now.after(delay));
        self.note(part.slot);
        if refunded > 0 {
            self.refilled.push(part.slot);
        }
        Settled {
            spent: part.spent + spent,
            refunded,
            overrun,
            lapsed: 0,
        }
    }

    /// Notes that at least `total` units of an admitted reservation's ask are used and cannot come back,
    /// whatever it is settled at. Where no window ends, a unit that is held keeps another from coming in,
    /// so what is certain is said before the reservation ends.
    ///
    /// # Errors
    /// [`Error::NotOpen`] when the reservation is not admitted or is settled already, or has no such ask.
    pub fn spend(
        &mut self,
        now: NodeTime,
        id: RequestId,
        ask: usize,
        total: u64,
    ) -> Result<(), Error> {
        let open = self
            .requests
            .get_mut(&id)
            .filter(|r| r.phase == Phase::Admitted);
        let parts = open.map(|request| request.parts.as_mut_slice());
        let part = parts.and_then(|parts| parts.iter_mut().find(|part| part.ask == ask));
        let part = part.ok_or(Error::NotOpen(id.0))?;
        if part.spend(&mut self.book, total) {
            let slot = part.slot;
            if let Some(account) = self.book.get_mut(slot) {
                let delay = account.patience_ms(&self.config);
                self.outbox.mark(account, slot, now.after(delay));
            }
        }
        Ok(())
    }

    /// Withdraws a request that waits, or was taken and not stamped, undoing all of it. False when
    /// there is none such: it was refused, or is admitted and has to be settled.
    pub fn cancel(&mut self, now: NodeTime, id: RequestId) -> bool {
        if self
            .requests
            .get(&id)
            .is_none_or(|r| r.phase == Phase::Admitted)
        {
            return false;
        }
        if let Some(mut request) = self.requests.remove(&id) {
            self.leave_queue(&request);
            self.undo(now, &mut request);
        }
        self.refill(now);
        true
    }

    /// Takes in an owner's message. One meant for another process is dropped.
    pub fn receive(&mut self, now: NodeTime, message: &OwnerMessage) {
        // An echo from the future is not one of ours; nothing could be built on it.
        if message.incarnation != self.incarnation || message.echo_t_node > now {
            return;
        }
        for told in &message.accounts {
            let end = self.window_end(now, message.echo_t_node, told.rem_ms);
            let slot = self.book.open(&told.counter, now);
            let Some(account) = self.book.get_mut(slot) else {
                continue;
            };
            let before = (account.label, account.answered(message.epoch));
            account.hear_promises(&told.promises, self.config.drift_ppm);
            if account.hear((message.epoch, now), told, end) {
                let changed = before != (account.label, account.answered(message.epoch));
                if changed && told.keep.is_some() {
                    // Someone elsewhere waits for the answer to a recall.
                    self.outbox
                        .mark(account, slot, now.after(self.config.urgent_ms));
                }
                self.refilled.push(slot);
                self.note(slot);
                self.silent.remove(&told.counter);
            }
        }
        self.hear_closed(&message.closed);
        self.refill(now);
        for told in &message.accounts {
            self.insist(now, &told.counter);
        }
    }

    /// The owner counted `rem_ms` from its receipt of a message that left here at `echo`, which was
    /// before now, and its clock runs at most `drift_ppm` faster or slower (R6).
    fn window_end(&self, now: NodeTime, echo: NodeTime, rem_ms: u64) -> WindowEnd {
        let drift = rem_ms
            .saturating_mul(self.config.drift_ppm)
            .div_ceil(1_000_000);
        WindowEnd {
            earliest: echo.after(rem_ms.saturating_sub(drift)),
            latest: now.after(rem_ms + drift + 2),
        }
    }

    /// Refuses the requests whose wait is over. Due at [`Node::next_tick`].
    pub fn tick(&mut self, now: NodeTime) {
        while let Some((_, id)) = self
            .waits
            .first()
            .copied()
            .filter(|(until, _)| *until <= now)
        {
            if !self.comes_round(now, id) {
                self.expire_first(now);
            }
        }
    }

    /// The next news for a waiting request. To be drained after every other call.
    pub fn poll_wake(&mut self) -> Option<Wake> {
        let Self {
            wakes, requests, ..
        } = self;
        // A request that was withdrawn or stamped since its units arrived is not woken.
        let stale = |Wake { id, outcome }: &Wake| {
            let taken = requests.get(id).is_some_and(|r| r.phase == Phase::Taken);
            *outcome == Outcome::Taken && !taken
        };
        while let Some(wake) = wakes.pop_front() {
            if !stale(&wake) {
                return Some(wake);
            }
        }
        None
    }

    /// A stream to an owner was opened: the next message is due at once and carries every account.
    pub fn connected(&mut self, now: NodeTime) {
        self.outbox.heartbeat_at = now;
        self.outbox.repeat = true;
    }

    /// Whether asking for these units would be a wait in vain: they are not at hand, a request waited for a word
    /// about their counter until its time was up, and there has been none since. For those who can do without:
    /// the demand is noted, so that the owner is asked on.
    pub fn is_unanswered<C: Borrow<Counter>>(&mut self, now: NodeTime, ask: &Ask<C>) -> bool {
        let counter = ask.counter.borrow();
        if self.silent.is_empty() || !self.silent.contains(counter) {
            return false;
        }
        let slot = self.book.open(counter, now);
        let Some(account) = self.book.get_mut(slot) else {
            return true;
        };
        if account.is_open(now) && i64::try_from(ask.units).is_ok_and(|it| it <= account.avail()) {
            return false;
        }
        account.note_demand(now, ask.units);
        let relaxed = now.after(self.config.relaxed_ms);
        self.outbox.mark(account, slot, relaxed);
        self.note(slot);
        true
    }

    /// The limit in force for a counter, and in how many milliseconds so many units of it can be had, more than a
    /// whole limit in several windows. None where nothing is known that speaks against having them at once.
    #[must_use]
    pub fn comes_in_ms(&self, now: NodeTime, counter: &Counter, units: u64) -> Option<(u64, u64)> {
        self.book
            .get(self.book.find(counter)?)?
            .comes_in_ms(now, units)
    }

    /// How far a counter's window is from its edges at `now`; none while it is not open, or has no edges in
    /// milliseconds.
    #[must_use]
    pub fn edges(&self, now: NodeTime, counter: &Counter) -> Option<Edges> {
        self.book.get(self.book.find(counter)?)?.edges(now)
    }

    /// The number of this process.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether it is shutting down.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining
    }

    /// What would become of a request for these units now. Takes nothing and asks nobody.
    #[must_use]
    pub fn foresee(&self, now: NodeTime, ask: &Ask<&Counter>) -> Foresight {
        let account = self.book.find(ask.counter);
        let account = account.and_then(|slot| self.book.get(slot));
        let heard = account.filter(|account| account.label > Label::default());
        heard.map_or(Foresight::Unknown, |it| it.foresee(now, ask.units))
    }

    /// What is known of a counter here; `None` before its owner was first heard.
    #[must_use]
    pub fn view(&self, now: NodeTime, counter: &Counter) -> Option<CounterView> {
        let account = self.book.get(self.book.find(counter)?)?;
        let open = account.is_open(now);
        (account.label > Label::default()).then(|| CounterView {
            limit: account.limit,
            remaining: if open {
                account.remaining
            } else {
                account.limit
            },
            reset_ms: account.resets_in_ms(now),
            avail: if open { account.avail() } else { 0 },
            waiters: account.queue.len(),
        })
    }
}

fn admission(request: &Request, book: &mut Book, now: NodeTime) -> Admission {
    let nothing = Admitted {
        window: Window(0),
        limit: 0,
        remaining: 0,
        reset_ms: 0,
    };
    let mut limits = PerAsk::from_elem(nothing, request.parts.len());
    for part in &request.parts {
        let Some(account) = part.account(book) else {
            continue;
        };
        limits[part.ask] = Admitted {
            window: account.label.window,
            limit: account.limit,
            remaining: account.remaining,
            reset_ms: account.resets_in_ms(now),
        };
    }
    Admission { limits }
}

#[cfg(test)]
mod tests;
