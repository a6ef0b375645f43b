//! One term: the event loop around the machine.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep_until};
use tollgate_quota::owner::{Books, Config, Effect, Event, HorizonRecord, Owner, Reason};
use tollgate_quota::{Counter, Epoch, Incarnation, NodeMessage, OwnerTime};
use tracing::{debug, error, info, warn};

use super::raises::Stored;
use super::sweep::Sweeper;
use super::write::{Answered, Desk, MOST_OPERATIONS, Write, after};
use super::{Input, Raising, Shell, Streams, Thawing};
use crate::backoff::Backoff;
use crate::clock::OwnerClock;
use crate::error::Error;
use crate::metrics;
use crate::origin::Origin;
use crate::snapshot::Current;

/// Writes wait so long for others to share their transaction.
const COALESCE: Duration = Duration::from_millis(1);
/// Transactions under way at once.
const TXNS: usize = 4;
/// Reads under way at once.
const READS: usize = 64;
/// Messages taken in before anything else is looked at again.
const TAKEN: usize = 64;
/// The clock is compared with the wall clock so often.
const CLOCK: Duration = Duration::from_secs(1);
/// A larger difference ends the term.
const MOST_DRIFT_MS: u64 = 10;
/// A sign of life for other replicas goes out so often.
const BEAT: Duration = Duration::from_secs(1);
/// When no sign of life has arrived for so long, another replica may have taken over: longer than those wait.
const DOUBT: Duration = Duration::from_secs(6);
/// Old records are removed so often.
const SWEEP: Duration = Duration::from_secs(600);

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The process is going down.
    Shutdown,
    /// Another replica has taken over, or may have.
    Lost,
    /// The wall clock was corrected, or quota thawed: this replica goes on in a new term.
    Anew,
}

/// What a job under way has brought.
pub(super) enum Done {
    Read(Answered),
    Written(Answered),
    Horizon(Answered),
    /// Whether this is still the owner; none where the store did not say.
    Beaten(Option<bool>),
    Swept(Sweeper),
    /// The limits that are raised; none where they could not be read.
    Raises(Option<Vec<Stored>>),
    Raised(Box<Raising>, Result<(), Error>),
    /// The counters that have open shares; none where they could not be read.
    Open(Option<Vec<Counter>>),
    Thawed(Box<Thawing>, Result<(), Error>),
}

/// One epoch of ownership.
pub(super) struct Term {
    pub(super) machine: Owner,
    pub(super) clock: OwnerClock,
    pub(super) desk: Desk,
    current: Current,
    reads: VecDeque<Counter>,
    pub(super) writes: VecDeque<Write>,
    /// When the waiting writes go out, even if more could join them.
    flush_at: Option<Instant>,
    pub(super) jobs: JoinSet<Done>,
    reading: usize,
    writing: usize,
    backoff: Backoff,
    /// When the store last said that this is the owner, or nodes were last sent to look for another.
    confirmed: Instant,
    /// Which store this is.
    pub(super) origin: Origin,
    /// While quota is frozen: when a process last had more to say before it can be thawed.
    pub(super) unfinished: Option<Instant>,
    /// And which processes stand in this store.
    pub(super) here: HashSet<Incarnation>,
    sweeper: Sweeper,
    pub(super) end: Option<End>,
}

/// What a term does by the clock.
struct Chores {
    clock: Interval,
    beat: Interval,
    sweep: Interval,
}

impl Chores {
    fn new() -> Self {
        let every = |mut interval: Interval| {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Self {
            clock: every(interval(CLOCK)),
            beat: every(interval(BEAT)),
            sweep: every(interval_at(Instant::now() + SWEEP, SWEEP)),
        }
    }
}

impl Term {
    /// Begins a term. `stepped` says that the one before ended because the clock was corrected.
    pub(super) fn new(shell: &Shell, (epoch, origin): (u64, Origin), stepped: bool) -> Self {
        let mut current = shell.current.clone();
        let limits = current
            .borrow_and_update()
            .as_ref()
            .map(|snapshot| snapshot.limits.clone());
        let number = Epoch(i64::try_from(epoch).unwrap_or(i64::MAX));
        let clock = OwnerClock::start();
        let mut machine = Owner::new(number, Config::default(), limits.unwrap_or_default());
        if stepped {
            machine.distrust_horizon(clock.now());
        }
        if origin.thawed_ms > 0 {
            machine.restored(OwnerTime(origin.thawed_ms));
        }
        if origin.is_frozen() {
            machine.freeze();
        }
        Self {
            machine,
            clock,
            desk: Desk {
                store: shell.store.clone(),
                ownership: shell.ownership.clone(),
                epoch,
            },
            current,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            flush_at: None,
            jobs: JoinSet::new(),
            reading: 0,
            writing: 0,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(2)),
            confirmed: Instant::now(),
            origin,
            unfinished: None,
            here: HashSet::new(),
            sweeper: Sweeper::default(),
            end: None,
        }
    }

    /// Runs until the term ends.
    pub(super) async fn run(&mut self, shell: &mut Shell) -> End {
        let mut chores = Chores::new();
        self.load_raises();
        self.look_for_open_shares();
        let mut inputs = Vec::with_capacity(TAKEN);
        loop {
            if let Some(end) = self.end {
                return end;
            }
            self.start_jobs();
            let deadline = self.machine.next_deadline();
            let wait = deadline.map_or(CLOCK, |time| self.clock.until(time));
            tokio::select! {
                () = shell.shutdown.cancelled() => return End::Shutdown,
                Some(done) = self.jobs.join_next() => self.done(done, &shell.streams),
                taken = shell.inputs.recv_many(&mut inputs, TAKEN) => {
                    if taken == 0 {
                        return End::Shutdown;
                    }
                    for input in inputs.drain(..) {
                        self.take(input, &mut shell.streams);
                    }
                }
                changed = self.current.changed() => {
                    if changed.is_err() {
                        return End::Shutdown;
                    }
                    self.limits_changed(&shell.streams);
                }
                () = sleep_until(self.flush_at.unwrap_or_else(Instant::now)), if self.can_flush() => {
                    self.flush();
                }
                () = tokio::time::sleep(wait), if deadline.is_some() => {
                    self.step(Event::Tick, &shell.streams);
                }
                _ = chores.clock.tick() => self.check_clock(),
                _ = chores.beat.tick() => {
                    self.measure_books();
                    self.doubt(&mut shell.streams);
                    self.beat();
                }
                _ = chores.sweep.tick() => self.sweep(),
            }
        }
    }

    fn take(&mut self, input: Input, streams: &mut Streams) {
        match input {
            Input::Opened {
                stream,
                incarnation,
                outlet,
            } => streams.open(stream, incarnation, outlet),
            Input::Closed {
                stream,
                incarnation,
            } => {
                if streams.close(stream, incarnation) {
                    self.step(Event::Disconnected(incarnation), streams);
                }
            }
            Input::Message(mut message, store) => {
                metrics::quota_message();
                self.note_unfinished(&message, store);
                if store != 0 && store != self.origin.store {
                    // The node learns by the answer that what it holds is void.
                    message.accounts.clear();
                }
                self.keep_known(&mut message);
                self.step(Event::Node(message), streams);
            }
            Input::Release(close) => self.step(Event::Release(close), streams),
            Input::Reset(counter) => self.step(Event::Reset(counter), streams),
            Input::Raise(raising) => self.raise(raising),
            Input::Thaw(thawing) => self.thaw(thawing),
            Input::Counters(reply) => {
                let states = self.machine.snapshot(self.clock.now()).collect();
                // Whoever asked may have gone.
                let _ = reply.send(states);
            }
        }
    }

    /// Drops accounts of counters that the limit of that name does not have now: it counts something else, or
    /// by other dimensions, and its amount is not theirs. A node whose policy lags, or is ahead, waits the
    /// moment until it does not.
    fn keep_known(&self, message: &mut NodeMessage) {
        let current = self.current.borrow();
        let Some(snapshot) = &*current else { return };
        message.accounts.retain(|account| {
            let counter = &account.counter;
            let name = format!("{}/{}", counter.limit(), counter.subject());
            snapshot.table.limit_of_counter(&name).is_some()
        });
    }

    fn limits_changed(&mut self, streams: &Streams) {
        let snapshot = self.current.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            self.step(Event::Limits(snapshot.limits.clone()), streams);
        }
    }

    /// Lets the machine take one step, and does what it says.
    pub(super) fn step(&mut self, event: Event, streams: &Streams) {
        for effect in self.machine.step(self.clock.now(), event) {
            match effect {
                Effect::Load(counter) => self.reads.push_back(counter),
                Effect::Persist {
                    counter,
                    record,
                    rows,
                    expected_mod_revision: expected,
                } => {
                    let write = Write {
                        counter,
                        record,
                        rows,
                        expected,
                    };
                    self.write(write);
                }
                Effect::LoadHorizon => self.load_horizon(),
                Effect::PersistHorizon {
                    record,
                    expected_mod_revision,
                } => self.write_horizon(record, expected_mod_revision),
                Effect::Send(message) => streams.send(&message),
                Effect::StepDown(reason) => self.step_down(reason),
            }
        }
    }

    pub(super) fn write(&mut self, write: Write) {
        self.writes.push_back(write);
        self.flush_at
            .get_or_insert_with(|| Instant::now() + COALESCE);
    }

    fn load_horizon(&mut self) {
        let (desk, wait) = (self.desk.clone(), self.next_wait());
        self.jobs
            .spawn(async move { Done::Horizon(after(desk.load_horizon().await, wait).await) });
    }

    fn write_horizon(&mut self, record: HorizonRecord, expected: i64) {
        let (desk, wait) = (self.desk.clone(), self.next_wait());
        self.jobs.spawn(async move {
            Done::Horizon(after(desk.write_horizon(record, expected).await, wait).await)
        });
    }

    fn step_down(&mut self, reason: Reason) {
        warn!(
            ?reason,
            epoch = self.desk.epoch,
            "no longer the owner of quota"
        );
        self.end = Some(End::Lost);
    }

    /// Starts what waits, within bounds.
    fn start_jobs(&mut self) {
        while self.reading < READS
            && let Some(counter) = self.reads.pop_front()
        {
            let (desk, wait) = (self.desk.clone(), self.next_wait());
            self.reading += 1;
            self.jobs
                .spawn(async move { Done::Read(after(desk.load(counter).await, wait).await) });
        }
        while self.writing < TXNS && self.waiting_operations() >= MOST_OPERATIONS {
            self.flush();
        }
    }

    fn waiting_operations(&self) -> usize {
        self.writes.iter().map(Write::operations).sum()
    }

    pub(super) fn can_flush(&self) -> bool {
        self.writing < TXNS && !self.writes.is_empty()
    }

    /// Starts one transaction with what waits.
    pub(super) fn flush(&mut self) {
        let mut left = MOST_OPERATIONS;
        let fitting = self.writes.iter().take_while(|write| {
            let fits = write.operations() <= left;
            left = left.saturating_sub(write.operations());
            fits
        });
        let count = fitting.count();
        let batch: Vec<_> = self.writes.drain(..count).collect();
        if self.writes.is_empty() {
            self.flush_at = None;
        }
        let (desk, wait) = (self.desk.clone(), self.next_wait());
        self.writing += 1;
        self.jobs
            .spawn(async move { Done::Written(after(desk.write(batch).await, wait).await) });
    }

    /// How long a job waits if the store fails it.
    pub(super) fn next_wait(&mut self) -> Duration {
        self.backoff.draw()
    }

    pub(super) fn done(&mut self, done: Result<Done, JoinError>, streams: &Streams) {
        let answered = match done {
            Ok(Done::Read(answered)) => {
                self.reading -= 1;
                answered
            }
            Ok(Done::Written(answered)) => {
                self.writing -= 1;
                answered
            }
            Ok(Done::Horizon(answered)) => answered,
            Ok(Done::Beaten(Some(true))) => {
                self.confirmed = Instant::now();
                return;
            }
            Ok(Done::Beaten(None)) => return,
            Ok(Done::Swept(sweeper)) => {
                self.sweeper = sweeper;
                return;
            }
            Ok(Done::Raises(None)) => return self.load_raises(),
            Ok(Done::Raises(Some(raises))) => return self.raises(raises, streams),
            Ok(Done::Raised(raising, outcome)) => return self.raised(raising, outcome, streams),
            Ok(Done::Open(counters)) => return self.opened(counters, streams),
            Ok(Done::Thawed(thawing, outcome)) => return self.thawed(*thawing, outcome),
            Ok(Done::Beaten(Some(false))) => return self.step_down(Reason::GuardFailed),
            Err(error) => {
                // The machine would wait for its answer for ever: begin a new term.
                error!(%error, "a job of the owner failed, beginning a new term");
                self.end = Some(End::Anew);
                return;
            }
        };
        if answered.failed {
            self.backoff.fail();
        } else {
            self.backoff.succeed();
        }
        for event in answered.events {
            self.step(event, streams);
        }
    }

    fn check_clock(&mut self) {
        let drift_ms = self.clock.drift_ms();
        if drift_ms > MOST_DRIFT_MS {
            warn!(
                drift_ms,
                "the wall clock was corrected, beginning a new term"
            );
            self.end = Some(End::Anew);
        }
    }

    /// Where the store has been out of reach for long, it may be within another replica's, which then has taken
    /// over: nodes are sent to look. Those that find no other come back and go on with what was debited.
    fn doubt(&mut self, streams: &mut Streams) {
        if self.desk.store.is_exclusive() || self.confirmed.elapsed() < DOUBT {
            return;
        }
        self.confirmed = Instant::now();
        warn!(
            "the store is out of reach, another replica may hand out quota: sending nodes to look"
        );
        let lost = Error::Busy("this control replica has lost its store, try another one");
        for incarnation in streams.end(&lost) {
            self.step(Event::Disconnected(incarnation), streams);
        }
    }

    /// Measures the books, one sum per limit.
    fn measure_books(&self) {
        let mut limits: BTreeMap<&str, (Books, u64)> = BTreeMap::new();
        for (counter, limit, books) in self.machine.books(self.clock.now()) {
            let (sum, imbalance) = limits.entry(counter.limit()).or_default();
            sum.add(&books);
            *imbalance += books.imbalance(limit);
        }
        for (limit, (books, imbalance)) in limits {
            metrics::ledger(limit, &books, imbalance);
        }
    }

    fn beat(&mut self) {
        if self.desk.store.is_exclusive() {
            return;
        }
        let desk = self.desk.clone();
        self.jobs.spawn(async move {
            match desk.ownership.beat(desk.epoch).await {
                Ok(owner) => Done::Beaten(Some(owner)),
                Err(error) => {
                    debug!(%error, "cannot give a sign of life");
                    Done::Beaten(None)
                }
            }
        });
    }

    fn sweep(&mut self) {
        let (desk, now) = (self.desk.clone(), self.clock.now());
        let mut sweeper = std::mem::take(&mut self.sweeper);
        self.jobs.spawn(async move {
            match sweeper.sweep(&desk.store, desk.epoch, now).await {
                Ok(0) => {}
                Ok(removed) => info!(removed, "removed records that are over"),
                Err(error) => warn!(%error, "cannot remove records that are over, trying later"),
            }
            Done::Swept(sweeper)
        });
    }
}
