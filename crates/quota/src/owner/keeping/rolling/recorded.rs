//! Sliding limits longer than some seconds: what they were charged is written down, so that a new owner goes on at once.
//!
//! The record holds what is charged, by the time of its release, and a mark. *At any time what is out, and what was
//! charged since the record was composed, is at most the mark*: where more is to go out, a new record is written first
//! (R1). So a successor knows of all that may have been handed out. What is charged counts until its release; the mark
//! counts from the latest moment at which a unit of it can be stamped, the end of the old owner's horizon and of the
//! leases that were granted by then. The rest of the limit it hands out at once (R2), be the old owner still at work.

use super::slots::Slots;
use super::{Rolling, Stock};
use crate::owner::account::{Context, Wishes, Write};
use crate::owner::keeping::link::Link;
use crate::owner::keeping::{Keeping, Lack, Shown, Turn};
use crate::owner::{Commit, Load, Record};
use crate::{Incarnation, OwnerTime, Promises};

/// What is being written.
#[derive(Debug, Clone)]
struct Written {
    record: Record,
    /// Charged since it was composed.
    since: u64,
    /// Whether it holds what a reset has left.
    is_reset: bool,
}

#[derive(Debug, Clone)]
pub(in crate::owner::keeping) struct Recorded {
    rolling: Rolling,
    /// The durable record and its key's modification revision (0: there is none).
    stored: (Option<Record>, i64),
    /// Whether `stored` was ever read.
    known: bool,
    /// Whether the stored mark is this owner's to use: it wrote it, and knows what went out since.
    is_own: bool,
    /// Charged since the stored record was composed.
    since: u64,
    link: Link<Written>,
    /// A reset is to be written.
    resetting: bool,
}

impl Recorded {
    pub(in crate::owner::keeping) fn new(rolling: Rolling) -> Self {
        Self {
            rolling,
            stored: (None, 0),
            known: false,
            is_own: false,
            since: 0,
            link: Link::reading(),
            resetting: false,
        }
    }

    /// What earlier owners have charged, or may have.
    fn inherited(&self, context: &Context<'_>) -> Option<Slots> {
        let (config, horizon) = (context.config, &context.horizon);
        let inherited = horizon.inherited?;
        let window_ms = self.rolling.kind.window_ms();
        let mut slots = Slots::new(window_ms);
        if let Some(record) = &self.stored.0 {
            let until = match inherited {
                _ if record.epoch == context.epoch => horizon.until.max(context.now),
                // A record without a horizon: it cannot have been later than now.
                OwnerTime(0) => context.now,
                inherited => inherited,
            };
            // Nothing that was handed out by then counts any longer.
            let dead = until
                .after(config.lease_ms + config.clock_skew_ms)
                .after(window_ms);
            for (at, units) in &record.charged {
                slots.insert(at.after(config.clock_skew_ms).min(dead), *units);
            }
            slots.insert(dead, record.hwm);
        }
        Some(slots)
    }

    /// What may go out under the mark, whichever of the record that is stored and the one that is being written is
    /// durable.
    fn headroom(&self) -> u64 {
        let room = |record: &Record, since: u64| {
            let used = self.rolling.outstanding.saturating_add(since);
            record.hwm.saturating_sub(used)
        };
        let stored = self.stored.0.as_ref().filter(|_| self.is_own);
        let stored = stored.map_or(0, |record| room(record, self.since));
        let written = self.link.writing();
        written.map_or(stored, |it| stored.min(room(&it.record, it.since)))
    }

    fn charged(&self) -> u64 {
        match &self.rolling.stock {
            Some(Stock::Slots(slots)) => slots.charged(),
            Some(Stock::Bucket(_)) | None => 0,
        }
    }

    /// Whether a successor would find nothing that counts.
    fn is_stored_empty(&self) -> bool {
        let stored = self.stored.0.as_ref();
        stored.is_none_or(|it| it.hwm == 0 && it.charged.is_empty())
    }

    /// The record of now, by which so much more may go out.
    fn compose(&self, context: &Context<'_>, headroom: u64) -> Option<Record> {
        let Some(Stock::Slots(slots)) = &self.rolling.stock else {
            return None;
        };
        let mut slots = slots.clone();
        slots.pass(context.now);
        Some(Record {
            window: self.rolling.kind.span(context.now).window,
            hwm: self.rolling.outstanding + headroom,
            limit: context.spec.map_or(0, |spec| spec.units),
            revision: context.spec.map_or(0, |spec| spec.revision),
            epoch: context.epoch,
            promises: Promises::default(),
            charged: slots.in_brief(),
        })
    }
}

impl Keeping for Recorded {
    fn is_read_first(&self) -> bool {
        true
    }

    fn roll(&mut self, context: &Context<'_>) -> Turn {
        let ready = self.known && context.horizon.in_force;
        if ready && self.rolling.stock.is_none() {
            self.rolling.stock = self.inherited(context).map(Stock::Slots);
        }
        self.rolling.pass(context);
        Turn::Same
    }

    fn ends_at(&self) -> Option<OwnerTime> {
        None
    }

    fn limit(&self, context: &Context<'_>) -> Option<u64> {
        self.rolling.limit(context)
    }

    fn free_total(&self, context: &Context<'_>) -> u64 {
        self.rolling.free_total(context)
    }

    fn usable(&self, context: &Context<'_>, to: Incarnation) -> u64 {
        self.rolling.usable(context, to).min(self.headroom())
    }

    fn is_over(&self, context: &Context<'_>) -> bool {
        self.rolling.is_over(context)
    }

    fn take(&mut self, to: Incarnation, units: u64) {
        self.rolling.take(to, units);
    }

    fn give_back(&mut self, from: Incarnation, units: u64) {
        self.rolling.give_back(from, units);
    }

    fn reset(&mut self, context: &Context<'_>) {
        self.rolling.reset(context);
        self.resetting = true;
    }

    fn spend(&mut self, now: OwnerTime, units: u64) {
        self.rolling.spend(now, units);
        self.since = self.since.saturating_add(units);
        if let Some(written) = self.link.writing_mut() {
            written.since = written.since.saturating_add(units);
        }
    }

    fn loaded(&mut self, context: &Context<'_>, outcome: Load, wishes: &mut Wishes) -> Turn {
        if !self.link.is_reading() {
            return Turn::Same;
        }
        let (record, mod_revision) = match outcome {
            Load::Failed => {
                self.link.failed(context);
                return Turn::Same;
            }
            // No such counter has rows.
            Load::Absent | Load::Rows { .. } => (None, 0),
            Load::Found(record, mod_revision) => (Some(record), mod_revision),
        };
        let later = record.as_ref().map(|record| record.epoch);
        if let Some(epoch) = later.filter(|epoch| *epoch > context.epoch) {
            wishes.overtaken_by = Some(epoch);
            return Turn::Same;
        }
        self.link.found();
        self.stored = (record, mod_revision);
        self.known = true;
        Turn::News
    }

    fn persisted(&mut self, _context: &Context<'_>, outcome: Commit, wishes: &mut Wishes) -> Turn {
        let Some(written) = self.link.written() else {
            return Turn::Same;
        };
        match outcome {
            Commit::Committed(mod_revision) => {
                self.stored = (Some(written.record), mod_revision);
                self.since = written.since;
                self.is_own = true;
                self.resetting &= !written.is_reset;
            }
            Commit::Conflict | Commit::Unknown | Commit::Lost => {
                // Whichever record is durable, what is out is below its mark; more goes out by the next.
                self.is_own = false;
                self.link.read(wishes);
            }
        }
        Turn::Same
    }

    fn prepare(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        self.rolling.prepare(context, wishes);
        self.link.retry(context, wishes);
    }

    /// Raises the mark when units are short, or will be within a second; and notes once that nothing counts any more.
    fn debit(&mut self, context: &Context<'_>, lack: &Lack, wishes: &mut Wishes) {
        if !self.link.is_ready() || self.rolling.stock.is_none() {
            return;
        }
        let size = self.limit(context).unwrap_or(0);
        let step = size.div_ceil(context.config.steps.max(1)).max(1);
        let headroom = self.headroom();
        let low = headroom < lack.demand.min(step / 2);
        let raise = match lack.head {
            Some((_, shortage)) => step.max(shortage),
            None if low => step,
            None => 0,
        };
        let raised = headroom.saturating_add(raise).min(self.free_total(context));
        let rests = self.rolling.outstanding == 0 && self.charged() == 0;
        let empties = rests && raise == 0 && !self.is_stored_empty();
        if raised <= headroom && !empties && !self.resetting {
            return;
        }
        let headroom = if empties { 0 } else { raised };
        let Some(record) = self.compose(context, headroom) else {
            return;
        };
        self.link.write(Written {
            record: record.clone(),
            since: 0,
            is_reset: self.resetting,
        });
        wishes.write = Some(Write {
            record,
            rows: Vec::new(),
            expected_mod_revision: self.stored.1,
        });
    }

    /// What is out, and no more: the rest of the mark is given up.
    fn last(&self, context: &Context<'_>) -> Option<Write> {
        let record = self.compose(context, 0).filter(|_| self.link.is_ready())?;
        let (stored, expected_mod_revision) = &self.stored;
        let same = |it: &Record| it.hwm == record.hwm && it.charged == record.charged;
        let says = record.hwm > 0 || !record.charged.is_empty();
        let differs = stored.as_ref().map_or(says, |it| !same(it));
        differs.then_some(Write {
            record,
            rows: Vec::new(),
            expected_mod_revision: *expected_mod_revision,
        })
    }

    fn refills_at(&self, context: &Context<'_>) -> OwnerTime {
        self.rolling.refills_at(context)
    }

    fn comes_at(&self, context: &Context<'_>, units: u64) -> Option<OwnerTime> {
        self.rolling.comes_at(context, units)
    }

    /// Begun anew, it would take its own mark for another's: so that is written off first.
    fn is_past(&self, now: OwnerTime) -> bool {
        let untouched = self.rolling.stock.is_none();
        self.link.is_resting() && self.rolling.is_past(now) && (untouched || self.is_stored_empty())
    }

    fn shown(&self, context: &Context<'_>) -> Option<Shown> {
        let shown = self.rolling.shown(context)?;
        Some(Shown {
            pending: self.resetting,
            ..shown
        })
    }
}
