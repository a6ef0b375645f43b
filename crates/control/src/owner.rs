//! The shell around the owners of shards: it feeds the state machines of `tollgate_quota` with messages,
//! time and the store's answers, and carries out what they decide.
//!
//! One task owns everything here. The machines decide nothing by looking at a clock or a store; their
//! effects are the only way anything happens.
//!
//! A [`Term`] is one epoch of ownership of one shard, with a machine of its own. It ends when another replica takes
//! over, when the shard is handed over (`leave`), when the wall clock and the terms' own clock part (a correction would
//! move the windows' edges), or at shutdown. While the store is away terms go on: what has been debited can still be
//! handed out, and writes are tried again. Which shards this replica is to own it finds out in `placing`.

mod handle;
mod horizon;
mod inputs;
mod leave;
mod placing;
mod raises;
mod record;
mod restore;
mod streams;
mod sweep;
mod term;
mod write;
mod written;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tollgate_quota::owner::{Effect, Event, Reason};
use tollgate_quota::{Incarnation, Shard};
use tracing::{error, info, warn};

pub(crate) use self::handle::Handle;
use self::handle::{Input, Raising, Standing, Thawing};
use self::leave::Leaving;
use self::placing::{Acted, Placing};
use self::raises::Stored;
use self::streams::Streams;
pub(crate) use self::streams::{Answer, Outlet};
use self::sweep::Sweeper;
use self::term::Terms;
use self::write::{Answered, Desk, MOST_OPERATIONS, Read, What, Write, after};
use self::written::{Page, Search};
use crate::backoff::Backoff;
use crate::clock::{self, OwnerClock};
use crate::error::{Error, Result};
use crate::metrics;
use crate::origin::Origin;
use crate::ownership::{Ownership, Replica, Sighting};
use crate::snapshot::Current;
use crate::store::SharedStore;

/// Messages of nodes that may wait for the owner.
const INPUTS: usize = 1024;
/// Messages taken in before anything else is looked at again.
const TAKEN: usize = 64;
/// Writes wait so long for others to share their transaction.
const COALESCE: Duration = Duration::from_millis(1);
/// Transactions under way at once.
const TXNS: usize = 4;
/// Reads under way at once.
const READS: usize = 64;
/// The clock is compared with the wall clock, and the books are measured, so often.
const SECOND: Duration = Duration::from_secs(1);
/// A larger difference ends all terms.
const MOST_DRIFT_MS: u64 = 10;
/// Old records are removed so often.
const SWEEP: Duration = Duration::from_secs(600);

/// What a job under way has brought.
enum Done {
    Read(Answered),
    Written(Answered),
    Looked(Result<(Sighting, Option<Origin>)>),
    Acted(Acted),
    Left(Vec<Leaving>, Result<()>),
    Swept(Sweeper),
    /// The limits that are raised; none where they could not be read.
    Raises(Vec<Shard>, Option<Vec<Stored>>),
    Raised(Box<Raising>, Result<()>),
    /// Counters that the store says something of.
    Found(Page),
    Thawed(Box<Thawing>, Result<()>),
}

/// The task.
#[derive(Debug)]
pub(crate) struct Shell {
    desk: Desk,
    current: Current,
    shutdown: CancellationToken,
    inputs: mpsc::Receiver<Input>,
    standing: watch::Sender<Arc<Standing>>,
    streams: Streams,
    terms: Terms,
    clock: OwnerClock,
    placing: Placing,
    /// Which store this is.
    origin: Origin,
    /// While quota is frozen: when a process last had more to say before it can be thawed, and which processes stand in
    /// which store.
    unfinished: Option<Instant>,
    here: HashSet<(u64, Incarnation)>,
    reads: VecDeque<Read>,
    writes: VecDeque<Write>,
    /// When the waiting writes go out, even if more could join them.
    flush_at: Option<Instant>,
    jobs: JoinSet<Done>,
    reading: usize,
    writing: usize,
    backoff: Backoff,
    /// Shards of which all is written that is to be left behind.
    leaving: Vec<Leaving>,
    sweeper: Option<Sweeper>,
    search: Search,
    /// Limits whose books were measured last.
    measured: BTreeSet<String>,
}

/// What is done by the clock.
struct Chores {
    second: Interval,
    sweep: Interval,
}

impl Chores {
    fn new() -> Self {
        let every = |mut interval: Interval| {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Self {
            second: every(interval(SECOND)),
            sweep: every(interval_at(Instant::now() + SWEEP, SWEEP)),
        }
    }
}

impl Shell {
    pub(crate) fn new(
        store: SharedStore,
        me: Replica,
        current: Current,
        shutdown: CancellationToken,
    ) -> (Self, Handle) {
        let (sender, inputs) = mpsc::channel(INPUTS);
        let standing = watch::Sender::new(Arc::default());
        let handle = Handle::new(sender, standing.subscribe());
        // It only tells processes of one name apart. Without randomness the time does, as they start one by one.
        let process = getrandom::u64().unwrap_or_else(|_| clock::wall_ms());
        let ownership = Ownership::new(SharedStore::clone(&store), me, process);
        let shell = Self {
            desk: Desk { store, ownership },
            current,
            shutdown,
            inputs,
            standing,
            streams: Streams::default(),
            terms: Terms::default(),
            clock: OwnerClock::start(),
            placing: Placing::default(),
            origin: Origin::default(),
            unfinished: None,
            here: HashSet::new(),
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            flush_at: None,
            jobs: JoinSet::new(),
            reading: 0,
            writing: 0,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(2)),
            leaving: Vec::new(),
            sweeper: Some(Sweeper::default()),
            search: Search::default(),
            measured: BTreeSet::new(),
        };
        (shell, handle)
    }

    /// Runs until shutdown.
    pub(crate) async fn run(mut self) {
        // Without limits the machines would take every counter for one that policy no longer has.
        let read = self.current.wait_for(Option::is_some);
        let read = self.shutdown.run_until_cancelled(read).await;
        if read.is_none_or(|read| read.is_err()) {
            return;
        }
        self.clock = OwnerClock::start();
        self.look();
        self.serve().await;
        self.leave_all().await;
        let down = Error::Busy("this control replica is going down");
        self.streams.end(&down);
        self.standing.send_replace(Arc::default());
    }

    async fn serve(&mut self) {
        let shutdown = self.shutdown.clone();
        let mut chores = Chores::new();
        let mut inputs = Vec::with_capacity(TAKEN);
        loop {
            self.start_jobs();
            self.streams.flush();
            let deadline = self.terms.next_deadline();
            let wait = deadline.map_or(SECOND, |time| self.clock.until(time));
            let (flush_at, look_at) = (self.flush_at, self.placing.look_at);
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(done) = self.jobs.join_next() => self.done(done),
                taken = self.inputs.recv_many(&mut inputs, TAKEN) => {
                    if taken == 0 {
                        return;
                    }
                    for input in inputs.drain(..) {
                        self.take(input);
                    }
                }
                changed = self.current.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.limits_changed();
                }
                () = sleep_until(flush_at.unwrap_or_else(Instant::now)), if self.can_flush() => {
                    self.flush();
                }
                () = tokio::time::sleep(wait), if deadline.is_some() => {
                    for shard in self.terms.due(self.clock.now()) {
                        self.step(shard, Event::Tick);
                    }
                }
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {
                    self.look();
                }
                _ = chores.second.tick() => {
                    self.check_clock();
                    self.measure_books();
                }
                _ = chores.sweep.tick() => self.sweep(),
            }
        }
    }

    fn limits_changed(&mut self) {
        let snapshot = self.current.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            for shard in self.terms.shards() {
                self.step(shard, Event::Limits(Arc::clone(&snapshot.limits)));
            }
        }
    }

    /// Lets a shard's machine take one step, and does what it says.
    fn step(&mut self, shard: Shard, event: Event) {
        let now = self.clock.now();
        let Some((epoch, effects)) = self.terms.step(shard, now, event) else {
            return;
        };
        for effect in effects {
            self.perform((shard, epoch), effect);
        }
    }

    fn perform(&mut self, term: (Shard, u64), effect: Effect) {
        match effect {
            Effect::Load(counter) => self.read(Read::Counter(term, counter)),
            Effect::LoadHorizon => self.read(Read::Horizon(term)),
            Effect::Persist {
                counter,
                record,
                rows,
                expected_mod_revision: expected,
            } => {
                let what = What::Counter {
                    counter,
                    record,
                    rows,
                };
                self.write(Write {
                    term,
                    what,
                    expected,
                });
            }
            Effect::PersistHorizon {
                record,
                expected_mod_revision: expected,
            } => {
                let what = What::Horizon(record);
                self.write(Write {
                    term,
                    what,
                    expected,
                });
            }
            Effect::Send(message) => self.streams.answer(message),
            Effect::StepDown(reason) => self.step_down(term.0, reason),
        }
    }

    fn read(&mut self, read: Read) {
        self.terms.expect(read.term(), 1);
        self.reads.push_back(read);
    }

    fn write(&mut self, write: Write) {
        self.terms.expect(write.term, 1);
        self.writes.push_back(write);
        self.flush_at
            .get_or_insert_with(|| Instant::now() + COALESCE);
    }

    fn step_down(&mut self, shard: Shard, reason: Reason) {
        warn!(?reason, shard = shard.0, "no longer the owner of a shard");
        if let Reason::LaterEpoch(epoch) = reason {
            self.placing.overtaken(epoch);
        }
        self.end_terms(&[shard]);
        self.look_soon();
    }

    /// Starts what waits, within bounds.
    fn start_jobs(&mut self) {
        while self.reading < READS
            && let Some(read) = self.reads.pop_front()
        {
            let (desk, wait) = (self.desk.clone(), self.backoff.draw());
            self.reading += 1;
            self.jobs
                .spawn(async move { Done::Read(after(desk.read(read).await, wait).await) });
        }
        while self.writing < TXNS && self.waiting_operations() >= MOST_OPERATIONS {
            self.flush();
        }
        self.search_on();
        self.start_leaving();
    }

    fn waiting_operations(&self) -> usize {
        self.writes.iter().map(Write::operations).sum()
    }

    fn can_flush(&self) -> bool {
        self.writing < TXNS && !self.writes.is_empty()
    }

    /// Starts one transaction with what waits.
    fn flush(&mut self) {
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
        let (desk, wait) = (self.desk.clone(), self.backoff.draw());
        self.writing += 1;
        self.jobs
            .spawn(async move { Done::Written(after(desk.write(batch).await, wait).await) });
    }

    fn done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Read(answered)) => {
                self.reading -= 1;
                self.answered(answered);
            }
            Ok(Done::Written(answered)) => {
                self.writing -= 1;
                self.answered(answered);
            }
            Ok(Done::Looked(looked)) => self.looked(looked),
            Ok(Done::Acted(acted)) => self.acted(acted),
            Ok(Done::Left(left, outcome)) => self.left(left, outcome),
            Ok(Done::Swept(sweeper)) => self.sweeper = Some(sweeper),
            Ok(Done::Raises(shards, raises)) => self.raises(shards, raises),
            Ok(Done::Raised(raising, outcome)) => self.raised(*raising, outcome),
            Ok(Done::Found(page)) => self.found(page),
            Ok(Done::Thawed(thawing, outcome)) => self.thawed(*thawing, outcome),
            Err(error) => {
                // Machines would wait for its answer for ever: begin new terms.
                error!(%error, "a job of the owner failed, beginning new terms");
                self.begin_anew();
            }
        }
    }

    fn answered(&mut self, answered: Answered) {
        if answered.failed {
            self.backoff.fail();
        } else {
            self.backoff.succeed();
        }
        for (term, event) in answered.events {
            // What a term asked for that is over concerns nobody.
            if self.terms.answered(term) {
                self.step(term.0, event);
                self.go_on_leaving(term.0);
            }
        }
    }

    fn check_clock(&mut self) {
        let drift_ms = self.clock.drift_ms();
        if drift_ms > MOST_DRIFT_MS {
            warn!(
                drift_ms,
                "the wall clock was corrected, beginning new terms"
            );
            self.placing.distrust(self.terms.shards());
            self.begin_anew();
        }
    }

    /// Ends all terms and forgets what is under way for them; the next look finds that their shards are to be claimed
    /// anew, as whatever was thawed, or begins by another clock, counts on others until now.
    fn begin_anew(&mut self) {
        self.jobs.abort_all();
        self.jobs = JoinSet::new();
        self.placing.give_up();
        (self.reading, self.writing) = (0, 0);
        self.reads.clear();
        self.writes.clear();
        self.leaving.clear();
        self.flush_at = None;
        self.sweeper.get_or_insert_default();
        self.search = Search::default();
        self.clock = OwnerClock::start();
        let shards = self.terms.shards();
        self.end_terms(&shards);
        self.look_soon();
    }

    /// The holder of the first shard removes what is over, for all.
    fn sweep(&mut self) {
        let first = Shard(0);
        let Some(epoch) = self.terms.epoch(first) else {
            return;
        };
        let Some(mut sweeper) = self.sweeper.take() else {
            return;
        };
        let (desk, now) = (self.desk.clone(), self.clock.now());
        self.jobs.spawn(async move {
            match sweeper.sweep(&desk.store, (first, epoch), now).await {
                Ok(0) => {}
                Ok(removed) => info!(removed, "removed records that are over"),
                Err(error) => warn!(%error, "cannot remove records that are over, trying later"),
            }
            Done::Swept(sweeper)
        });
    }

    /// Measures the books, one sum per limit.
    fn measure_books(&mut self) {
        let limits = self.terms.books(self.clock.now());
        let before = std::mem::take(&mut self.measured);
        for limit in before.iter().filter(|limit| !limits.contains_key(*limit)) {
            metrics::ledger(limit, &tollgate_quota::owner::Books::default(), 0);
        }
        for (limit, (books, imbalance)) in limits {
            metrics::ledger(&limit, &books, imbalance);
            self.measured.insert(limit);
        }
    }
}

#[cfg(test)]
mod tests;
