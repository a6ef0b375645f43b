use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::owner::row::{Fit, Row};
use crate::owner::session::Sessions;
use crate::owner::{Commit, Config, Load, Record};
use crate::{
    Counter, Epoch, Generation, Incarnation, LimitSpec, NodeAccount, NodeMessage, OwnerAccount,
    OwnerTime, Window,
};

/// A node's word on its demand counts for this long, in milliseconds.
pub(super) const DEMAND_FRESH_MS: u64 = 2_000;
/// The wait between failed reads is doubled this often at most.
const LONGEST_BACKOFF: u32 = 5;

/// What an account needs to know of the world at one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) now: OwnerTime,
    pub(super) epoch: Epoch,
    pub(super) config: &'a Config,
    pub(super) sessions: &'a Sessions,
    /// What policy says of the counter's limit, if it has it.
    pub(super) spec: Option<LimitSpec>,
}

/// What an account wants done.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Tell these processes the account's state.
    pub(super) tell: BTreeSet<Incarnation>,
    /// Read the key.
    pub(super) read: bool,
    /// Write the key, if its modification revision still is this.
    pub(super) write: Option<(Record, i64)>,
    /// Look again at that time at the latest.
    pub(super) look_at: Option<OwnerTime>,
    /// A record bears a later epoch than this owner's.
    pub(super) overtaken_by: Option<Epoch>,
}

impl Wishes {
    pub(super) fn look(&mut self, at: OwnerTime) {
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// The account's dealings with the store: at most one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Being read.
    Reading,
    /// The read failed; to be tried again at that time.
    Retrying(OwnerTime),
    /// Nothing under way.
    Ready,
    /// That record is being written.
    Writing(Record),
}

/// How the units of a window stand against what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    /// Nobody was refused.
    Ample,
    /// A large request was refused: no more can be had than what is `free` and what is `idle` at
    /// nodes. Who needs less goes on as before.
    Bounded { free: u64, idle: u64 },
    /// Next to nothing is left, and this can be had at most: holders keep nothing idle, and each
    /// request gets what it needs and no more.
    Scarce(u64),
}

impl Supply {
    pub(super) fn is_scarce(self) -> bool {
        matches!(self, Self::Scarce(_))
    }
}

/// One counter in its current window, as its owner sees it.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) counter: Counter,
    /// Never goes back (R8).
    pub(super) window: Window,
    /// The durable record and its key's modification revision (0: there is none).
    pub(super) stored: (Option<Record>, i64),
    /// Whether `stored` was ever read.
    pub(super) known: bool,
    pub(super) link: Link,
    /// Reads that failed one after another.
    failures: u32,
    /// The part of the limit that is durably debited in `window` (R1).
    pub(super) hwm: u64,
    /// Debited by this owner and held by nobody. A new owner starts with none (R2).
    pub(super) free: u64,
    /// Boxed, since a map of one has room for eleven.
    pub(super) rows: BTreeMap<Incarnation, Box<Row>>,
    /// Processes that wait for units, oldest first; at most one ticket each.
    pub(super) tickets: VecDeque<Incarnation>,
    /// Orders what is said about `supply` and recalls.
    pub(super) version: u64,
    pub(super) supply: Supply,
    /// Whose tickets were refused in this step.
    pub(super) refused: Vec<Incarnation>,
    /// Some row is recalled.
    pub(super) recalling: bool,
    /// News that units can be had again goes out then, not at once for each returned unit.
    pub(super) relief_at: Option<OwnerTime>,
    pub(super) relieved_at: OwnerTime,
    /// Sums over the rows: demand in units per second, idle units and those on their way.
    pub(super) demand: u64,
    pub(super) idle: u64,
    /// The entry among the owner's timers.
    pub(super) timer: Option<OwnerTime>,
}

impl Account {
    pub(super) fn new(counter: Counter, now: OwnerTime) -> Self {
        Self {
            window: Window::at(now, counter.window_ms()),
            counter,
            stored: (None, 0),
            known: false,
            link: Link::Reading,
            failures: 0,
            hwm: 0,
            free: 0,
            rows: BTreeMap::new(),
            tickets: VecDeque::new(),
            version: 1,
            supply: Supply::Ample,
            refused: Vec::new(),
            recalling: false,
            relief_at: None,
            relieved_at: OwnerTime(0),
            demand: 0,
            idle: 0,
            timer: None,
        }
    }

    /// The limit to be in force and its revision: the stored one unless policy's is newer (a new
    /// owner whose policy lags must not bring back a limit that was lowered already).
    pub(super) fn limit(&self, context: &Context<'_>) -> Option<(u64, u64)> {
        let stored = self.stored.0.map(|record| (record.limit, record.revision));
        let policy = context.spec.map(|spec| (spec.units, spec.revision));
        match (stored, policy) {
            (Some(stored), Some(policy)) => Some(if policy.1 > stored.1 { policy } else { stored }),
            (stored, policy) => stored.or(policy),
        }
    }

    /// Whether there is anything to tell nodes.
    pub(super) fn is_answerable(&self, context: &Context<'_>) -> bool {
        self.known && self.limit(context).is_some()
    }

    /// Begins the window of the owner's clock, if it is later than the account's.
    pub(super) fn roll(&mut self, context: &Context<'_>) {
        self.roll_to(context, Window::at(context.now, self.counter.window_ms()));
    }

    fn roll_to(&mut self, context: &Context<'_>, window: Window) {
        if window <= self.window {
            return;
        }
        self.window = window;
        self.hwm = 0;
        self.free = 0;
        self.supply = Supply::Ample;
        self.recalling = false;
        self.relief_at = None;
        self.rows
            .retain(|incarnation, _| context.sessions.reachable(*incarnation, context));
        for row in self.rows.values_mut() {
            row.roll(context.now.since(row.heard_at) <= DEMAND_FRESH_MS);
        }
        self.tickets
            .retain(|incarnation| self.rows.contains_key(incarnation));
        self.idle = 0;
        self.demand = self
            .rows
            .values()
            .fold(0, |sum: u64, row| sum.saturating_add(row.demand));
    }

    /// Takes in a node's report. Totals count only for this very account: same window, epoch and
    /// generation. What the node wants counts always.
    pub(super) fn report(
        &mut self,
        context: &Context<'_>,
        message: &NodeMessage,
        report: &NodeAccount,
    ) {
        let row = self
            .rows
            .entry(message.incarnation)
            .or_insert_with(|| Box::new(Row::new(message.node.clone())));
        if self.supply.is_scarce() && row.recalled.is_none() {
            row.recalled = Some((self.version, context.now));
        }
        let ledger = report.epoch == context.epoch && report.generation == Generation::FIRST;
        let fit = match (report.window == self.window, ledger) {
            (true, true) => Fit::Ledger,
            (true, false) => Fit::Window,
            (false, _) => Fit::Neither,
        };
        let before = (row.idle(), row.demand);
        if fit == Fit::Ledger {
            self.free += row.merge_totals(report);
        }
        row.merge_state(context.now, message.t_node, report, fit);
        self.idle = self
            .idle
            .saturating_sub(before.0)
            .saturating_add(row.idle());
        self.demand = self
            .demand
            .saturating_sub(before.1)
            .saturating_add(row.demand);
        let waits = row.need > 0;
        let has_ticket = self.tickets.contains(&message.incarnation);
        match (waits, has_ticket) {
            (true, false) => self.tickets.push_back(message.incarnation),
            (false, true) => self.tickets.retain(|holder| *holder != message.incarnation),
            _ => {}
        }
    }

    /// Takes in what a read found.
    pub(super) fn loaded(&mut self, context: &Context<'_>, outcome: Load, wishes: &mut Wishes) {
        if self.link != Link::Reading {
            return;
        }
        let (record, mod_revision) = match outcome {
            Load::Failed => {
                // Doubled each time, so that many counters do not fall upon a store that recovers.
                let wait = context.config.retry_ms << self.failures.min(LONGEST_BACKOFF);
                self.failures += 1;
                self.link = Link::Retrying(context.now.after(wait));
                return;
            }
            Load::Absent => (None, 0),
            Load::Found(record, mod_revision) => (Some(record), mod_revision),
        };
        if let Some(record) = record.filter(|record| record.epoch > context.epoch) {
            wishes.overtaken_by = Some(record.epoch);
            return;
        }
        self.link = Link::Ready;
        self.failures = 0;
        self.stored = (record, mod_revision);
        if let Some(record) = record {
            self.roll_to(context, record.window);
            self.charge(context, record, self.known);
        }
        self.known = true;
        wishes.tell.extend(self.rows.keys());
    }

    /// Takes in what became of a write. Only what is known to be durable may be vended: where that is
    /// not known, or the key was not as expected, it is read again.
    pub(super) fn persisted(
        &mut self,
        context: &Context<'_>,
        outcome: Commit,
        wishes: &mut Wishes,
    ) {
        let Link::Writing(record) = self.link else {
            return;
        };
        match outcome {
            Commit::Committed(mod_revision) => {
                self.link = Link::Ready;
                if self
                    .stored
                    .0
                    .is_some_and(|before| before.limit != record.limit)
                {
                    wishes.tell.extend(self.rows.keys());
                }
                self.stored = (Some(record), mod_revision);
                self.charge(context, record, true);
            }
            Commit::Conflict | Commit::Unknown | Commit::Lost => {
                self.link = Link::Reading;
                wishes.read = true;
            }
        }
    }

    /// Adopts the durable mark of the current window. What it rose by is this owner's to vend if this
    /// owner wrote it, on top of what it knew of (R1); otherwise somebody else may have (R2).
    fn charge(&mut self, context: &Context<'_>, record: Record, known: bool) {
        if record.window != self.window || record.hwm <= self.hwm {
            return;
        }
        if known && record.epoch == context.epoch {
            self.free += record.hwm - self.hwm;
        }
        self.hwm = record.hwm;
    }

    /// The account's state towards one process.
    pub(super) fn tell(&self, context: &Context<'_>, to: Incarnation) -> Option<OwnerAccount> {
        if !self.is_answerable(context) {
            return None;
        }
        let row = self.rows.get(&to)?;
        let end = self.window.end(self.counter.window_ms());
        let received_at = context.sessions.get(to)?.received_at;
        let limit = self.limit(context)?.0;
        Some(OwnerAccount {
            counter: self.counter.clone(),
            window: self.window,
            generation: Generation::FIRST,
            granted: row.granted,
            // One millisecond less, because the receipt was read with that much of a step.
            rem_ms: end.since(received_at.after(1)),
            version: self.version,
            exhausted_above: self.bound(to, row),
            keep: row.recalled.map(|_| 0),
            limit,
            remaining: self.free_total(limit).saturating_add(self.idle).min(limit),
        })
    }

    /// The most that a node can be given, where that is to be told.
    fn bound(&self, to: Incarnation, row: &Row) -> Option<u64> {
        match self.supply {
            Supply::Ample => None,
            Supply::Scarce(above) => Some(above),
            // What is idle elsewhere by its last report could not be had for it.
            Supply::Bounded { free, .. } if self.refused.contains(&to) => Some(free),
            // Whoever has a ticket will be given its need or refused; until then it is told none.
            Supply::Bounded { .. } if row.need > 0 => None,
            Supply::Bounded { free, idle } => {
                Some(free.saturating_add(idle.saturating_sub(row.idle())))
            }
        }
    }

    /// Nothing said about this account matters any more: its window is over and nobody waits.
    pub(super) fn is_over(&self, now: OwnerTime) -> bool {
        let resting = matches!(self.link, Link::Ready | Link::Retrying(_));
        resting
            && self.tickets.is_empty()
            && Window::at(now, self.counter.window_ms()) > self.window
    }
}
