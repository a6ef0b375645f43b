//! Fixed windows longer than some seconds: a high-water mark per counter.
//!
//! The mark `hwm` says how much of the window's limit was ever debited by any owner; it is raised in a few
//! steps per window, before units of the step are handed out (R1). `free` is what this owner debited and
//! nobody holds; a new owner starts with none and vends what lies above the mark (R2). Units that are not
//! given back stay charged until the window ends (R4), so nothing has to be noted when they are spent.

use crate::owner::account::{Context, Wishes};
use crate::owner::keeping::{Keeping, Lack, Shown, Turn};
use crate::owner::{Commit, Load, Record};
use crate::{Incarnation, OwnerTime, Window};

/// The wait between failed reads is doubled this often at most.
const LONGEST_BACKOFF: u32 = 5;

/// The dealings with the store: at most one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Being read.
    Reading,
    /// The read failed; to be tried again at that time.
    Retrying(OwnerTime),
    /// Nothing under way.
    Ready,
    /// That record is being written.
    Writing(Record),
}

#[derive(Debug)]
pub(super) struct Counted {
    window_ms: u64,
    /// Never goes back (R8).
    window: Window,
    /// The durable record and its key's modification revision (0: there is none).
    stored: (Option<Record>, i64),
    /// Whether `stored` was ever read.
    known: bool,
    link: Link,
    /// Reads that failed one after another.
    failures: u32,
    /// The part of the limit that is durably debited in `window` (R1).
    hwm: u64,
    /// Debited by this owner and held by nobody. A new owner starts with none (R2).
    free: u64,
}

impl Counted {
    pub(super) fn new(window_ms: u64, now: OwnerTime) -> Self {
        Self {
            window_ms,
            window: Window::at(now, window_ms),
            stored: (None, 0),
            known: false,
            link: Link::Reading,
            failures: 0,
            hwm: 0,
            free: 0,
        }
    }

    /// The limit to be in force and its revision: the stored one unless policy's is newer (a new
    /// owner whose policy lags must not bring back a limit that was lowered already).
    fn in_force(&self, context: &Context<'_>) -> Option<(u64, u64)> {
        let stored = self.stored.0.map(|record| (record.limit, record.revision));
        let policy = context.spec.map(|spec| (spec.units, spec.revision));
        match (stored, policy) {
            (Some(stored), Some(policy)) => Some(if policy.1 > stored.1 { policy } else { stored }),
            (stored, policy) => stored.or(policy),
        }
    }

    fn end(&self) -> OwnerTime {
        self.window.end(self.window_ms)
    }

    fn out(&self) -> u64 {
        self.hwm - self.free
    }

    /// Units that are debited, and within the limit that is durably in force as well as within a lower one
    /// that is about to be.
    fn usable_of(&self, limit: u64) -> u64 {
        let in_force = self
            .stored
            .0
            .map_or(limit, |record| record.limit.min(limit));
        self.free.min(in_force.saturating_sub(self.out()))
    }

    fn roll_to(&mut self, window: Window) -> Turn {
        if window <= self.window {
            return Turn::Same;
        }
        self.window = window;
        self.hwm = 0;
        self.free = 0;
        Turn::Anew
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
}

impl Keeping for Counted {
    fn is_read_first(&self) -> bool {
        true
    }

    fn roll(&mut self, context: &Context<'_>) -> Turn {
        self.roll_to(Window::at(context.now, self.window_ms))
    }

    fn window(&self) -> Window {
        self.window
    }

    fn ends_at(&self) -> Option<OwnerTime> {
        Some(self.end())
    }

    fn limit(&self, context: &Context<'_>) -> Option<u64> {
        let (limit, _) = self.in_force(context).filter(|_| self.known)?;
        Some(limit)
    }

    fn free_total(&self, context: &Context<'_>) -> u64 {
        let limit = self.limit(context).unwrap_or(0);
        limit.saturating_sub(self.out())
    }

    fn usable(&self, context: &Context<'_>, _to: Incarnation) -> u64 {
        self.limit(context).map_or(0, |limit| self.usable_of(limit))
    }

    fn is_over(&self, context: &Context<'_>) -> bool {
        self.limit(context).is_some_and(|limit| self.out() > limit)
    }

    fn take(&mut self, _to: Incarnation, units: u64) {
        self.free -= units;
    }

    fn give_back(&mut self, _from: Incarnation, units: u64) {
        self.free += units;
    }

    fn loaded(&mut self, context: &Context<'_>, outcome: Load, wishes: &mut Wishes) -> Turn {
        if self.link != Link::Reading {
            return Turn::Same;
        }
        let (record, mod_revision) = match outcome {
            Load::Failed => {
                // Doubled each time, so that many counters do not fall upon a store that recovers.
                let wait = context.config.retry_ms << self.failures.min(LONGEST_BACKOFF);
                self.failures += 1;
                self.link = Link::Retrying(context.now.after(wait));
                return Turn::Same;
            }
            Load::Absent => (None, 0),
            Load::Found(record, mod_revision) => (Some(record), mod_revision),
        };
        if let Some(record) = record.filter(|record| record.epoch > context.epoch) {
            wishes.overtaken_by = Some(record.epoch);
            return Turn::Same;
        }
        self.link = Link::Ready;
        self.failures = 0;
        self.stored = (record, mod_revision);
        let mut turn = Turn::News;
        if let Some(record) = record {
            if self.roll_to(record.window) == Turn::Anew {
                turn = Turn::Anew;
            }
            self.charge(context, record, self.known);
        }
        self.known = true;
        turn
    }

    fn persisted(&mut self, context: &Context<'_>, outcome: Commit, wishes: &mut Wishes) -> Turn {
        let Link::Writing(record) = self.link else {
            return Turn::Same;
        };
        match outcome {
            Commit::Committed(mod_revision) => {
                self.link = Link::Ready;
                let before = self.stored.0.map(|before| before.limit);
                self.stored = (Some(record), mod_revision);
                self.charge(context, record, true);
                match before {
                    Some(limit) if limit != record.limit => Turn::News,
                    Some(_) | None => Turn::Same,
                }
            }
            Commit::Conflict | Commit::Unknown | Commit::Lost => {
                self.link = Link::Reading;
                wishes.read = true;
                Turn::Same
            }
        }
    }

    fn prepare(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        if let Link::Retrying(at) = self.link {
            if context.now >= at {
                self.link = Link::Reading;
                wishes.read = true;
            } else {
                wishes.look(at);
            }
        }
    }

    /// Raises the durable mark when units are short, or will be within a second, and carries over a
    /// limit that changed in this window.
    fn debit(&mut self, context: &Context<'_>, lack: &Lack, wishes: &mut Wishes) {
        let Some((units, revision)) = self.in_force(context) else {
            return;
        };
        if self.link != Link::Ready {
            return;
        }
        let step = units
            .div_ceil(context.config.steps.max(1))
            .max(context.config.smallest_step);
        let low = self.usable_of(units) < lack.demand.min(step / 2);
        let raise = match lack.head {
            Some((_, shortage)) => step.max(shortage),
            None if low => step,
            None => 0,
        };
        let raise = raise.min(units.saturating_sub(self.hwm));
        let changed = self
            .stored
            .0
            .is_some_and(|r| r.window == self.window && r.limit != units);
        if raise == 0 && !changed {
            return;
        }
        let record = Record {
            window: self.window,
            hwm: self.hwm + raise,
            limit: units,
            revision,
            epoch: context.epoch,
        };
        self.link = Link::Writing(record);
        wishes.write = Some((record, self.stored.1));
    }

    fn refills_at(&self, _context: &Context<'_>) -> OwnerTime {
        self.end()
    }

    fn is_past(&self, now: OwnerTime) -> bool {
        let resting = matches!(self.link, Link::Ready | Link::Retrying(_));
        resting && Window::at(now, self.window_ms) > self.window
    }

    fn shown(&self, context: &Context<'_>) -> Option<Shown> {
        // A window that is over has nothing live: the counter is only not yet asked for again.
        (self.window >= Window::at(context.now, self.window_ms)).then(|| Shown {
            window: Some((self.window, self.window.start(self.window_ms), self.end())),
            hwm: self.hwm,
            free: self.free,
        })
    }
}
