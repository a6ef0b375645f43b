//! Fixed windows longer than some seconds: a high-water mark per counter.
//!
//! The mark `hwm` says how much of the window's limit was ever debited by any owner; it is raised in a few
//! steps per window, before units of the step are handed out (R1). `free` is what this owner debited and
//! nobody holds; a new owner starts with none and vends what lies above the mark (R2). Units that are not
//! given back stay charged until the window ends (R4), so nothing has to be noted when they are spent.
//!
//! What is promised of a window ([`Promises`]) is below the mark from its beginning. The record holds both, so that a
//! promise is written only where no owner has begun a window that it covers.

mod promised;

use crate::owner::account::{Context, Wishes, Write};
use crate::owner::keeping::link::Link;
use crate::owner::keeping::{Force, Keeping, Lack, Rested, Shown, Turn, in_force};
use crate::owner::{Commit, Load, Record};
use crate::{Incarnation, OwnerTime, Promise, Promises, Window};

/// What is being written.
#[derive(Debug, Clone)]
struct Written {
    record: Record,
    /// By how much the mark is lowered for it, before anything else.
    forgiven: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Counted {
    window_ms: u64,
    /// Never goes back (R8).
    window: Window,
    /// The durable record and its key's modification revision (0: there is none).
    stored: (Option<Record>, i64),
    /// Whether `stored` was ever read.
    known: bool,
    link: Link<Written>,
    /// The part of the limit that is durably debited in `window` (R1).
    hwm: u64,
    /// Debited by this owner and held by nobody. A new owner starts with none (R2).
    free: u64,
    /// Handed out by this owner and spent: what a reset can forgive. What an earlier owner handed out may be out.
    gone: u64,
    forgiven: u64,
    /// A reset is to be written.
    resetting: bool,
}

impl Counted {
    pub(super) fn new(window_ms: u64, now: OwnerTime) -> Self {
        Self {
            window_ms,
            window: Window::at(now, window_ms),
            stored: (None, 0),
            known: false,
            link: Link::reading(),
            hwm: 0,
            free: 0,
            gone: 0,
            forgiven: 0,
            resetting: false,
        }
    }

    pub(super) fn wake(window_ms: u64, rested: &Rested, context: &Context<'_>) -> Self {
        let mut link = Link::reading();
        link.found();
        let record = Record {
            window: rested.window,
            hwm: rested.hwm,
            limit: rested.limit,
            revision: rested.revision,
            epoch: context.epoch,
            promises: Promises::default(),
            charged: Vec::new(),
        };
        Self {
            window: rested.window,
            stored: (Some(record), rested.mod_revision),
            known: true,
            link,
            hwm: rested.hwm,
            free: rested.free,
            gone: rested.gone,
            ..Self::new(window_ms, context.now)
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
    fn usable_of(&self, context: &Context<'_>, limit: u64) -> u64 {
        let stored = self.stored.0.as_ref();
        let stored = stored.map(|record| record.limit.max(context.raised));
        let in_force = stored.map_or(limit, |stored| stored.min(limit));
        self.free.min(in_force.saturating_sub(self.out()))
    }

    /// Whether the window may have been handed out by owners of whom a restored store knows nothing.
    fn is_lost(&self, context: &Context<'_>) -> bool {
        self.window.start(self.window_ms) < context.restore.not_before
    }

    fn roll_to(&mut self, context: &Context<'_>, window: Window) -> Turn {
        if window <= self.window {
            return Turn::Same;
        }
        self.window = window;
        self.hwm = self.promised_of(context, window);
        self.free = 0;
        self.gone = 0;
        self.forgiven = 0;
        // What it was to forgive is over.
        self.resetting = false;
        Turn::Anew
    }

    /// A reset is durable: the mark is lower by what it forgave, which was spent and handed out by nobody else.
    fn forgive(&mut self, window: Window, units: u64) {
        if self.resetting && window == self.window {
            self.resetting = false;
            self.hwm -= units;
            self.gone -= units;
            self.forgiven += units;
        }
    }

    /// Adopts the durable record, if it is of the current window. Of one that has none nothing is debited but what is
    /// promised. What the mark rose by is this owner's to vend if this owner wrote it, on top of what it knew
    /// of (R1); otherwise somebody else may have (R2).
    fn charge(&mut self, context: &Context<'_>, known: bool) {
        let current = |record: &&Record| record.window == self.window;
        let Some(record) = self.stored.0.as_ref().filter(current) else {
            self.hwm = self.hwm.max(self.promised_of(context, self.window));
            return;
        };
        if record.hwm > self.hwm {
            if known && record.epoch == context.epoch {
                self.free += record.hwm - self.hwm;
            }
            self.hwm = record.hwm;
        }
    }
}

impl Keeping for Counted {
    fn is_read_first(&self) -> bool {
        true
    }

    fn roll(&mut self, context: &Context<'_>) -> Turn {
        self.roll_to(context, Window::at(context.now, self.window_ms))
    }

    fn window(&self) -> Window {
        self.window
    }

    fn ends_at(&self) -> Option<OwnerTime> {
        Some(self.end())
    }

    fn limit(&self, context: &Context<'_>) -> Option<u64> {
        let force = in_force(context, self.stored.0.as_ref()).filter(|_| self.known)?;
        Some(force.limit)
    }

    fn free_total(&self, context: &Context<'_>) -> u64 {
        let limit = self.limit(context).filter(|_| !self.is_lost(context));
        limit.unwrap_or(0).saturating_sub(self.out())
    }

    fn usable(&self, context: &Context<'_>, _to: Incarnation) -> u64 {
        let limit = self.limit(context).filter(|_| !self.is_lost(context));
        limit.map_or(0, |limit| self.usable_of(context, limit))
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

    fn reset(&mut self, _context: &Context<'_>) {
        self.resetting = true;
    }

    fn spend(&mut self, _now: OwnerTime, units: u64) {
        self.gone += units;
    }

    fn promised(&self, to: Incarnation) -> u64 {
        let promises = self.promises(to);
        let now = promises.iter().filter(|it| it.covers(self.window));
        now.map(|it| it.units).sum()
    }

    fn promises(&self, to: Incarnation) -> Vec<Promise> {
        let stored = self.stored.0.as_ref();
        stored.map_or_else(Vec::new, |it| it.promises.of(to, self.window))
    }

    fn loaded(&mut self, context: &Context<'_>, outcome: Load, wishes: &mut Wishes) -> Turn {
        let Some(found) = self.link.loaded(context, outcome, wishes) else {
            return Turn::Same;
        };
        self.stored = found.record;
        let window = self.stored.0.as_ref().map_or(Window(0), |it| it.window);
        let rolled = self.roll_to(context, window);
        self.charge(context, self.known);
        self.known = true;
        match rolled {
            Turn::Anew => Turn::Anew,
            Turn::Same | Turn::News => Turn::News,
        }
    }

    fn persisted(&mut self, context: &Context<'_>, outcome: Commit, wishes: &mut Wishes) -> Turn {
        let Some(Written { record, forgiven }) = self.link.written() else {
            return Turn::Same;
        };
        match outcome {
            Commit::Committed(mod_revision) => {
                let news = self
                    .stored
                    .0
                    .as_ref()
                    .map_or(!record.promises.is_empty(), |it| {
                        it.limit != record.limit || it.promises != record.promises
                    });
                self.forgive(record.window, forgiven);
                self.stored = (Some(record), mod_revision);
                self.charge(context, true);
                if news { Turn::News } else { Turn::Same }
            }
            Commit::Conflict | Commit::Unknown | Commit::Lost => {
                self.link.read(wishes);
                Turn::Same
            }
        }
    }

    fn prepare(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        self.link.retry(context, wishes);
    }

    /// Raises the durable mark when units are short, or will be within a second, and carries over a
    /// limit that changed in this window.
    fn debit(&mut self, context: &Context<'_>, lack: &Lack, wishes: &mut Wishes) {
        let Some(Force {
            units,
            revision,
            limit,
        }) = in_force(context, self.stored.0.as_ref())
        else {
            return;
        };
        if !self.link.is_ready() {
            return;
        }
        let forgiven = if self.resetting { self.gone } else { 0 };
        let hwm = self.hwm - forgiven;
        let step = limit
            .div_ceil(context.config.steps.max(1))
            .max(context.config.smallest_step);
        let low = self.usable_of(context, limit) < lack.demand.min(step / 2);
        let raise = match lack.head {
            Some((_, shortage)) => step.max(shortage),
            None if low => step,
            None => 0,
        };
        let raise = raise.min(limit.saturating_sub(hwm));
        let raise = if self.is_lost(context) { 0 } else { raise };
        let changed = self
            .stored
            .0
            .as_ref()
            .is_some_and(|r| r.window == self.window && r.limit != units);
        let renewed = self.renewed(context, units, &lack.members);
        if raise == 0 && !changed && !self.resetting && renewed.is_none() {
            return;
        }
        let record = Record {
            window: self.window,
            hwm: hwm + raise,
            limit: units,
            revision,
            epoch: context.epoch,
            promises: renewed.unwrap_or_else(|| self.promises_since()),
            charged: Vec::new(),
        };
        self.link.write(Written {
            record: record.clone(),
            forgiven,
        });
        wishes.write = Some(Write {
            record,
            rows: Vec::new(),
            expected_mod_revision: self.stored.1,
        });
    }

    /// What was debited and nobody holds is given up: the next owner may debit it.
    fn last(&self, context: &Context<'_>) -> Option<Write> {
        let (Some(stored), expected_mod_revision) = &self.stored else {
            return None;
        };
        let current = stored.window == self.window && stored.hwm == self.hwm;
        if self.free == 0 || !current || !self.link.is_ready() {
            return None;
        }
        Some(Write {
            record: Record {
                hwm: self.hwm - self.free,
                epoch: context.epoch,
                ..stored.clone()
            },
            rows: Vec::new(),
            expected_mod_revision: *expected_mod_revision,
        })
    }

    fn rested(&self, context: &Context<'_>) -> Option<Rested> {
        let (Some(stored), mod_revision) = &self.stored else {
            return None;
        };
        let own = stored.epoch == context.epoch && stored.window == self.window;
        let settled = self.link.is_ready() && stored.hwm == self.hwm && stored.promises.is_empty();
        (own && settled && !self.resetting && self.forgiven == 0).then_some(Rested {
            window: self.window,
            limit: stored.limit,
            revision: stored.revision,
            mod_revision: *mod_revision,
            hwm: self.hwm,
            free: self.free,
            gone: self.gone,
        })
    }

    fn refills_at(&self, _context: &Context<'_>) -> OwnerTime {
        self.end()
    }

    fn is_past(&self, now: OwnerTime) -> bool {
        self.link.is_resting() && Window::at(now, self.window_ms) > self.window
    }

    fn shown(&self, context: &Context<'_>) -> Option<Shown> {
        // A window that is over has nothing live: the counter is only not yet asked for again.
        (self.window >= Window::at(context.now, self.window_ms)).then(|| Shown {
            window: Some((self.window, self.window.start(self.window_ms), self.end())),
            hwm: self.hwm,
            free: self.free,
            rows: None,
            forgiven: self.forgiven,
            pending: self.resetting,
            promised: self.promised_of(context, self.window),
        })
    }
}
