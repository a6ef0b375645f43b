//! What is written down of a counter without windows, so that a new owner goes on at once.
//!
//! The record holds what is charged and a mark. *At any time what is out, and what was spent since the record was
//! composed, is at most the mark*: where more is to go out, a new record is written first (R1). So a successor knows of all
//! that may have been handed out, and hands out the rest at once (R2), be the old owner still at work. What is charged
//! counts until its release. The mark counts from the latest moment at which a unit of it can be stamped, the end of the
//! old owner's horizon and of the leases that were granted by then: for a sliding limit a window more, during which what
//! was spent under it a window ago makes room under it again.
//!
//! *A bucket* is told as it was when the record was composed, and all of the mark as outstanding from then on: taken out
//! of it, be it from what was to come in only later, and in the way of what comes in. The mark is at most that much, so
//! whatever the old owner hands out the bucket's bound (`bucket.rs`) holds for the units of both. Nothing makes room
//! under its mark again: it is written anew.
//!
//! The mark reaches some seconds ahead, so that nobody waits for a store that is slow, and is written anew a few times
//! per window, so that little of it was spent long ago; twice a second at most. Of a write whose outcome nobody knows
//! either record may be durable: until another one certainly is, what goes out stays below both marks.

use super::slots::Slots;
use crate::kind::FOREVER_MS;
use crate::owner::account::{Context, Wishes, Write};
use crate::owner::keeping::Lack;
use crate::owner::keeping::link::Link;
use crate::owner::{Commit, Load, Record};
use crate::{Kind, OwnerTime, Promises};

/// The mark reaches so far ahead of demand, and of what the limit lets through, in seconds,
const AHEAD_S: u64 = 5;
/// and no further than this part of the limit: a successor can hand out the rest.
const MOST_AHEAD: u64 = 4;
/// It is written anew for no less than what the limit lets through in this time, in milliseconds.
const SHORTEST_STEP_MS: u64 = 500;
/// Most writes of unknown outcome; beyond them nothing goes out before one is known.
const MOST_DOUBTFUL: usize = 8;

/// A record that is, or may be, durable.
#[derive(Debug, Clone)]
struct Written {
    record: Record,
    /// Spent since it was composed.
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

/// A counter without windows, as its marks are to follow it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    /// The most that can be out at once.
    pub(super) size: u64,
    /// Units that the limit lets through in a window.
    pub(super) rate: u64,
    pub(super) outstanding: u64,
    /// Nothing is out, and nothing counts.
    pub(super) rests: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Marks {
    kind: Kind,
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

impl Marks {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            stored: (None, 0),
            known: false,
            own: None,
            doubtful: Vec::new(),
            link: Link::reading(),
            resetting: false,
        }
    }

    /// Whether it was read what others have written.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Whether a write can begin.
    pub(super) fn is_ready(&self) -> bool {
        self.link.is_ready()
    }

    /// Whether nothing is under way.
    pub(super) fn is_resting(&self) -> bool {
        self.link.is_resting()
    }

    /// The durable record, and when nothing under its mark can be stamped any more; none where there is none, or that is
    /// not known.
    pub(super) fn stored(&self, context: &Context<'_>) -> Option<(&Record, OwnerTime)> {
        let (config, horizon) = (context.config, &context.horizon);
        let record = self.stored.0.as_ref()?;
        let until = match horizon.inherited? {
            _ if record.epoch == context.epoch => horizon.until.max(context.now),
            // A record without a horizon: it cannot have been later than now.
            OwnerTime(0) => context.now,
            inherited => inherited,
        };
        Some((record, until.after(config.lease_ms + config.clock_skew_ms)))
    }

    /// Whether a successor would find nothing that counts.
    pub(super) fn is_empty(&self) -> bool {
        let stored = self.stored.0.as_ref();
        stored.is_none_or(|it| it.hwm == 0 && it.charged.is_empty())
    }

    /// Whether a reset is not durable yet.
    pub(super) fn is_resetting(&self) -> bool {
        self.resetting
    }

    /// All that is charged was forgiven: that is to be written.
    pub(super) fn reset(&mut self) {
        self.resetting = true;
    }

    /// Every record that may be durable.
    fn records(&mut self) -> impl Iterator<Item = &mut Written> {
        let certain = self.own.iter_mut().chain(&mut self.doubtful);
        certain.chain(self.link.writing_mut())
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, now: OwnerTime) {
        self.records().for_each(|it| it.since.pass(now));
    }

    /// Units that were out cannot come back any more.
    pub(super) fn charge(&mut self, now: OwnerTime, units: u64) {
        self.records().for_each(|it| it.since.charge(now, units));
    }

    /// What may go out under the mark, whichever record is durable.
    pub(super) fn headroom(&self, outstanding: u64) -> u64 {
        let Some(own) = &self.own else {
            return 0;
        };
        if self.doubtful.len() > MOST_DOUBTFUL {
            return 0;
        }
        let others = self.doubtful.iter().chain(self.link.writing());
        let room = |it: &Written| it.room(outstanding);
        others.map(room).fold(room(own), u64::min)
    }

    /// What is to be there to go out under a new mark; none where the one that is there will do.
    pub(super) fn wanted(&self, context: &Context<'_>, of: Use, lack: &Lack) -> Option<u64> {
        let at_pace = |ms: u64| of.rate.saturating_mul(ms) / self.kind.window_ms();
        let step = of.size.div_ceil(context.config.steps.max(1));
        let step = step.max(at_pace(SHORTEST_STEP_MS)).min(of.size).max(1);
        let most_ahead = at_pace(AHEAD_S * 1_000).min(of.size / MOST_AHEAD);
        let ahead = lack.demand.saturating_mul(AHEAD_S);
        let ahead = ahead.min(most_ahead).max(step);
        let own = self.own.as_ref();
        let stale = own.is_some_and(|it| it.since.charged() >= step);
        let headroom = self.headroom(of.outstanding);
        let most = of.size.saturating_sub(of.outstanding);
        let low = headroom < lack.demand.min(step / 2);
        match lack.head {
            Some((_, shortage)) => {
                let wanted = ahead.max(headroom.saturating_add(shortage)).min(most);
                (stale || self.resetting || wanted > headroom).then_some(wanted)
            }
            // Noted once that nothing counts any more, and nobody asks.
            None if of.rests && lack.demand == 0 => {
                (self.resetting || !self.is_empty()).then_some(0)
            }
            None => {
                let wanted = ahead.min(most);
                // Where nearly all is out, no mark leaves much.
                let low = low && wanted > headroom;
                (low || stale || self.resetting).then_some(wanted)
            }
        }
    }

    /// The record by which no more than `hwm` are out or were spent, since this was charged.
    pub(super) fn compose(
        &self,
        context: &Context<'_>,
        hwm: u64,
        charged: Vec<(OwnerTime, u64)>,
    ) -> Record {
        Record {
            window: self.kind.span(context.now).window,
            hwm,
            limit: context.spec.map_or(0, |spec| spec.units),
            revision: context.spec.map_or(0, |spec| spec.revision),
            epoch: context.epoch,
            promises: Promises::default(),
            charged,
        }
    }

    /// Writes a record.
    pub(super) fn write(&mut self, record: Record) -> Write {
        let window_ms = match self.kind {
            Kind::Sliding { window_ms } => window_ms,
            Kind::Bucket { .. }
            | Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => FOREVER_MS,
        };
        self.link.write(Written {
            record: record.clone(),
            since: Slots::new(window_ms),
            is_reset: self.resetting,
        });
        self.over(record)
    }

    /// The write of a record in place of the one that is there.
    fn over(&self, record: Record) -> Write {
        Write {
            record,
            rows: Vec::new(),
            expected_mod_revision: self.stored.1,
        }
    }

    /// The write of an owner's last record, where it differs from what is durable.
    pub(super) fn last(&self, record: Record) -> Option<Write> {
        let same = |it: &Record| it.hwm == record.hwm && it.charged == record.charged;
        let says = record.hwm > 0 || !record.charged.is_empty();
        let differs = self.stored.0.as_ref().map_or(says, |it| !same(it));
        differs.then(|| self.over(record))
    }

    /// Takes in what a read found. Answers whether it could be read.
    pub(super) fn loaded(
        &mut self,
        context: &Context<'_>,
        outcome: Load,
        wishes: &mut Wishes,
    ) -> bool {
        let Some(found) = self.link.loaded(context, outcome, wishes) else {
            return false;
        };
        self.known = true;
        if found.record != self.stored {
            self.stored = found.record;
            // Either a write of this owner's turns out to be durable, or an empty record was swept away.
            let is_stored = |it: &Written| Some(&it.record) == self.stored.0.as_ref();
            let at = self.doubtful.iter().position(is_stored);
            self.own = at.map(|at| self.doubtful.swap_remove(at));
            self.doubtful.clear();
        }
        true
    }

    /// Takes in what became of a write.
    pub(super) fn persisted(&mut self, outcome: Commit, wishes: &mut Wishes) {
        let Some(written) = self.link.written() else {
            return;
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
    }

    /// Tries a read anew that failed.
    pub(super) fn retry(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        self.link.retry(context, wishes);
    }
}
