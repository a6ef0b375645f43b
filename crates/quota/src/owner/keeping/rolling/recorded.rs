//! Sliding limits longer than some seconds: what they were charged is written down, so that a new owner goes on at once.
//!
//! The record holds what is charged, by the time of its release, and a mark. *At any time what is out, and what was
//! charged within the last window and since the record was composed, is at most the mark*: where more is to go out, a
//! new record is written first (R1). So a successor knows of all that may have been handed out. What is charged counts
//! until its release; the mark counts from the latest moment at which a unit of it can be stamped, the end of the old
//! owner's horizon and of the leases that were granted by then. The rest of the limit it hands out at once (R2), be the
//! old owner still at work.
//!
//! The mark reaches some seconds ahead, so that nobody waits for a store that is slow, and is written anew a few times
//! per window, so that little of it was charged long ago. Of a write whose outcome nobody knows either record may be
//! durable: until another one certainly is, what goes out stays below both marks.

use super::slots::Slots;
use super::{Rolling, Stock};
use crate::owner::account::{Context, Wishes, Write};
use crate::owner::keeping::link::Link;
use crate::owner::keeping::{Keeping, Lack, Shown, Turn};
use crate::owner::{Commit, Load, Record};
use crate::{Incarnation, OwnerTime, Promises};

/// The mark reaches so far ahead of demand, and of what the limit lets through, in seconds.
const AHEAD_S: u64 = 5;
/// Most writes of unknown outcome; beyond them nothing goes out before one is known.
const MOST_DOUBTFUL: usize = 8;

/// A record that is, or may be, durable.
#[derive(Debug, Clone)]
struct Written {
    record: Record,
    /// Charged since it was composed.
    since: Slots,
    /// Whether it holds what a reset has left.
    is_reset: bool,
}

impl Written {
    /// What may go out under its mark.
    fn room(&self, outstanding: u64) -> u64 {
        let used = outstanding.saturating_add(self.since.charged());
        self.record.hwm.saturating_sub(used)
    }
}

#[derive(Debug, Clone)]
pub(in crate::owner::keeping) struct Recorded {
    rolling: Rolling,
    /// The durable record, as it was found, and its key's modification revision (0: there is none).
    stored: (Option<Record>, i64),
    /// Whether `stored` was ever read.
    known: bool,
    /// The durable record, where this owner has written it.
    own: Option<Written>,
    /// Those that may be durable instead.
    doubtful: Vec<Written>,
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
            own: None,
            doubtful: Vec::new(),
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

    /// Every record that may be durable.
    fn records(&mut self) -> impl Iterator<Item = &mut Written> {
        let certain = self.own.iter_mut().chain(&mut self.doubtful);
        certain.chain(self.link.writing_mut())
    }

    /// What may go out under the mark, whichever record is durable.
    fn headroom(&self) -> u64 {
        let Some(own) = &self.own else {
            return 0;
        };
        if self.doubtful.len() > MOST_DOUBTFUL {
            return 0;
        }
        let others = self.doubtful.iter().chain(self.link.writing());
        let room = |it: &Written| it.room(self.rolling.outstanding);
        others.map(room).fold(room(own), u64::min)
    }

    /// Whether much of its mark has been charged by now.
    fn is_stale(&self, step: u64) -> bool {
        let own = self.own.as_ref();
        own.is_some_and(|it| it.since.charged() >= step)
    }

    /// What is to be there to go out under a new mark; none where the one that is there will do.
    fn wanted(&self, context: &Context<'_>, lack: &Lack) -> Option<u64> {
        let size = self.limit(context).unwrap_or(0);
        let step = size.div_ceil(context.config.steps.max(1)).max(1);
        let at_pace = size.saturating_mul(AHEAD_S * 1_000) / self.rolling.kind.window_ms();
        let ahead = lack.demand.saturating_mul(AHEAD_S).min(at_pace).max(step);
        let (headroom, stale) = (self.headroom(), self.is_stale(step));
        let most = size.saturating_sub(self.rolling.outstanding);
        let low = headroom < lack.demand.min(step / 2);
        match lack.head {
            Some((_, shortage)) => {
                let wanted = ahead.max(headroom.saturating_add(shortage)).min(most);
                (stale || self.resetting || wanted > headroom).then_some(wanted)
            }
            None if low || stale || self.resetting => Some(ahead.min(most)),
            // Noted once that nothing counts any more.
            None => {
                let rests = self.rolling.outstanding == 0 && self.rolling.charged() == 0;
                (rests && !self.is_stored_empty()).then_some(0)
            }
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
        self.records().for_each(|it| it.since.pass(context.now));
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
        self.records().for_each(|it| it.since.charge(now, units));
    }

    fn loaded(&mut self, context: &Context<'_>, outcome: Load, wishes: &mut Wishes) -> Turn {
        let Some(found) = self.link.loaded(context, outcome, wishes) else {
            return Turn::Same;
        };
        self.known = true;
        if found.record == self.stored {
            return Turn::News;
        }
        self.stored = found.record;
        // Either a write of this owner's turns out to be durable, or an empty record was swept away.
        let is_stored = |it: &Written| Some(&it.record) == self.stored.0.as_ref();
        let at = self.doubtful.iter().position(is_stored);
        self.own = at.map(|at| self.doubtful.swap_remove(at));
        self.doubtful.clear();
        Turn::News
    }

    fn persisted(&mut self, _context: &Context<'_>, outcome: Commit, wishes: &mut Wishes) -> Turn {
        let Some(written) = self.link.written() else {
            return Turn::Same;
        };
        match outcome {
            Commit::Committed(mod_revision) => {
                self.stored = (Some(written.record.clone()), mod_revision);
                self.resetting &= !written.is_reset;
                self.own = Some(written);
                // They were to follow the record that this one has followed.
                self.doubtful.clear();
            }
            Commit::Unknown => {
                self.doubtful.push(written);
                self.link.read(wishes);
            }
            Commit::Conflict | Commit::Lost => self.link.read(wishes),
        }
        Turn::Same
    }

    fn prepare(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        self.rolling.prepare(context, wishes);
        self.link.retry(context, wishes);
    }

    /// Raises the mark when units are short, or will be within a second, and writes it anew where much of it was charged;
    /// and notes once that nothing counts any more.
    fn debit(&mut self, context: &Context<'_>, lack: &Lack, wishes: &mut Wishes) {
        if !self.link.is_ready() || self.rolling.stock.is_none() {
            return;
        }
        let Some(headroom) = self.wanted(context, lack) else {
            return;
        };
        let Some(record) = self.compose(context, headroom) else {
            return;
        };
        self.link.write(Written {
            record: record.clone(),
            since: Slots::new(self.rolling.kind.window_ms()),
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
