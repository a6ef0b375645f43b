//! Kinds without windows: sliding ones and buckets.
//!
//! What is *outstanding* at nodes counts inside the limit, so that it does not matter when a node uses it,
//! gives it back or is granted more. Units that cannot come back leave what is outstanding: when the report
//! arrives that says so, or when the lease of the node that held them ends (R4); both are later than their
//! stamp. What becomes of them then is the [`Stock`]'s business.
//!
//! A new owner knows of what earlier ones handed out by what is written down ([`Marks`]), and begins with the rest. Where
//! something may have been handed out of which nothing tells, as before a store was restored, it hands out nothing before
//! all that is dead.

mod bucket;
mod marks;
mod slots;

use bucket::Bucket;
use marks::{Marks, Use};
use slots::Slots;

use crate::owner::account::{Context, Wishes, Write};
use crate::owner::keeping::{Keeping, Lack, Shown, Turn};
use crate::owner::{Commit, Load, Record};
use crate::{Incarnation, Kind, LimitSpec, OwnerTime};

/// What can be handed out, and what time does to it.
#[derive(Debug, Clone)]
enum Stock {
    Slots(Slots),
    Bucket(Bucket),
}

#[derive(Debug, Clone)]
pub(super) struct Rolling {
    kind: Kind,
    marks: Marks,
    /// None until it is known what earlier owners handed out.
    stock: Option<Stock>,
    /// Units at nodes that they may still use or give back.
    outstanding: u64,
    /// Those of them that earlier owners granted out of a bucket, and when they are dead.
    inherited: Option<(OwnerTime, u64)>,
}

impl Rolling {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            marks: Marks::new(kind),
            stock: None,
            outstanding: 0,
            inherited: None,
        }
    }

    /// When nothing counts any more that an earlier owner handed out and nothing tells of, and this one may begin.
    fn begins_at(&self, context: &Context<'_>) -> Option<OwnerTime> {
        let unrecorded = context.horizon.unrecorded?;
        if unrecorded == OwnerTime(0) {
            return Some(unrecorded);
        }
        let config = context.config;
        let dead = unrecorded.after(config.lease_ms + config.clock_skew_ms);
        Some(match self.kind {
            Kind::Sliding { window_ms } => dead.after(window_ms),
            Kind::Bucket { .. }
            | Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => dead,
        })
    }

    /// Begins with what earlier owners have charged, or may have.
    fn begin(&mut self, context: &Context<'_>) {
        let ready = self.marks.is_known() && context.horizon.in_force;
        let spec = context.spec_now().filter(|_| ready);
        let (Some(spec), Some(begins_at)) = (spec, self.begins_at(context)) else {
            return;
        };
        self.stock = Some(match self.kind {
            Kind::Bucket { window_ms } => {
                let mut bucket = self.bucket(window_ms, context, &spec);
                // Before that, all that it holds may be at nodes: nothing comes in.
                bucket.dry_until(begins_at);
                Stock::Bucket(bucket)
            }
            Kind::Sliding { .. }
            | Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => Stock::Slots(self.slots(context)),
        });
    }

    /// What counts of a sliding limit.
    fn slots(&self, context: &Context<'_>) -> Slots {
        let window_ms = self.kind.window_ms();
        let mut slots = Slots::new(window_ms);
        if let Some((record, dead)) = self.marks.stored(context) {
            let released = dead.after(window_ms);
            for (at, units) in &record.charged {
                let at = at.after(context.config.clock_skew_ms);
                slots.insert(at.min(released), *units);
            }
            slots.insert(released, record.hwm);
        }
        slots
    }

    /// What is left of a bucket.
    fn bucket(&mut self, window_ms: u64, context: &Context<'_>, spec: &LimitSpec) -> Bucket {
        let Some((record, dead)) = self.marks.stored(context) else {
            return Bucket::full(window_ms, OwnerTime(0), spec);
        };
        let (at, lacking, burst) = match record.charged[..] {
            [(at, lacking), (_, burst)] => (at, lacking, burst),
            _ => (OwnerTime(0), 0, spec.burst),
        };
        let at = at.after(context.config.clock_skew_ms).min(dead);
        // It may have held more then, or less, which is not there if it holds more now.
        let mut bucket = Bucket::full(window_ms, at, &LimitSpec { burst, ..*spec });
        bucket.take(lacking.saturating_add(record.hwm));
        bucket.adopt(spec, record.hwm);
        self.outstanding = record.hwm;
        self.inherited = Some((dead, record.hwm));
        bucket
    }

    /// Lets time pass.
    fn pass(&mut self, context: &Context<'_>) {
        if let Some((dead, units)) = self.inherited.take_if(|(dead, _)| *dead <= context.now) {
            self.pass_to(dead);
            self.outstanding -= units;
            self.marks.charge(dead, units);
        }
        self.pass_to(context.now);
    }

    fn pass_to(&mut self, now: OwnerTime) {
        if let Some(stock) = &mut self.stock {
            stock.pass(now, self.outstanding);
        }
        self.marks.pass(now);
    }

    fn begun(&self, context: &Context<'_>) -> bool {
        self.begins_at(context).is_some_and(|at| context.now >= at)
    }

    /// Units charged for a window, and not released.
    fn charged(&self) -> u64 {
        match &self.stock {
            Some(Stock::Slots(slots)) => slots.charged(),
            Some(Stock::Bucket(_)) | None => 0,
        }
    }

    /// The limit's size: the most that can be out at once.
    fn size(&self, spec: &LimitSpec) -> u64 {
        match self.kind {
            Kind::Bucket { .. } => spec.burst,
            Kind::Sliding { .. }
            | Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => spec.units,
        }
    }

    /// Whether nothing is out, and nothing counted as time passed last.
    fn rests(&self) -> bool {
        self.outstanding == 0 && self.stock.as_ref().is_none_or(Stock::rests)
    }

    /// The record of now, by which so much more may go out.
    fn compose(&self, context: &Context<'_>, headroom: u64) -> Option<Record> {
        let charged = match self.stock.clone()? {
            Stock::Slots(mut slots) => {
                slots.pass(context.now);
                slots.in_brief()
            }
            Stock::Bucket(mut bucket) => {
                bucket.pass(context.now, self.outstanding);
                bucket.lacking(self.outstanding)
            }
        };
        let hwm = self.outstanding + headroom;
        Some(self.marks.compose(context, hwm, charged))
    }
}

impl Stock {
    fn pass(&mut self, now: OwnerTime, outstanding: u64) {
        match self {
            Self::Slots(slots) => slots.pass(now),
            Self::Bucket(bucket) => bucket.pass(now, outstanding),
        }
    }

    /// Whether nothing of it counts, when nothing is out besides.
    fn rests(&self) -> bool {
        match self {
            Self::Slots(slots) => slots.charged() == 0,
            Self::Bucket(bucket) => bucket.is_full(),
        }
    }

    fn room(&self, size: u64, outstanding: u64) -> u64 {
        let room = size.saturating_sub(outstanding);
        match self {
            Self::Slots(slots) => room.saturating_sub(slots.charged()),
            Self::Bucket(bucket) => room.min(bucket.level()),
        }
    }
}

impl Keeping for Rolling {
    fn is_read_first(&self) -> bool {
        true
    }

    fn roll(&mut self, context: &Context<'_>) -> Turn {
        if self.stock.is_none() {
            self.begin(context);
        }
        self.pass(context);
        let spec = context.spec_now().filter(|_| context.horizon.in_force);
        if let (Some(Stock::Bucket(bucket)), Some(spec)) = (&mut self.stock, &spec) {
            bucket.adopt(spec, self.outstanding);
        }
        Turn::Same
    }

    fn ends_at(&self) -> Option<OwnerTime> {
        None
    }

    fn limit(&self, context: &Context<'_>) -> Option<u64> {
        let ready = self.stock.is_some() && context.horizon.in_force && self.begun(context);
        let spec = context.spec_now().filter(|_| ready)?;
        Some(self.size(&spec))
    }

    fn free_total(&self, context: &Context<'_>) -> u64 {
        let size = self.limit(context).unwrap_or(0);
        let room = |stock: &Stock| stock.room(size, self.outstanding);
        self.stock.as_ref().map_or(0, room)
    }

    fn usable(&self, context: &Context<'_>, _to: Incarnation) -> u64 {
        if context.now < context.horizon.until {
            let under_mark = self.marks.headroom(self.outstanding);
            self.free_total(context).min(under_mark)
        } else {
            0
        }
    }

    fn is_over(&self, context: &Context<'_>) -> bool {
        let size = self.limit(context);
        size.is_some_and(|size| self.outstanding + self.charged() > size)
    }

    fn take(&mut self, _to: Incarnation, units: u64) {
        self.outstanding += units;
        if let Some(Stock::Bucket(bucket)) = &mut self.stock {
            bucket.take(units);
        }
    }

    fn give_back(&mut self, _from: Incarnation, units: u64) {
        self.outstanding -= units;
        if let Some(Stock::Bucket(bucket)) = &mut self.stock {
            bucket.give_back(units);
        }
    }

    fn reset(&mut self, _context: &Context<'_>) {
        match &mut self.stock {
            Some(Stock::Slots(slots)) => slots.clear(),
            Some(Stock::Bucket(bucket)) => bucket.fill(self.outstanding),
            None => {}
        }
        self.marks.reset();
    }

    fn spend(&mut self, now: OwnerTime, units: u64) {
        self.outstanding -= units;
        if let Some(Stock::Slots(slots)) = &mut self.stock {
            slots.charge(now, units);
        }
        self.marks.charge(now, units);
    }

    fn loaded(&mut self, context: &Context<'_>, outcome: Load, wishes: &mut Wishes) -> Turn {
        match self.marks.loaded(context, outcome, wishes) {
            true => Turn::News,
            false => Turn::Same,
        }
    }

    fn persisted(&mut self, _context: &Context<'_>, outcome: Commit, wishes: &mut Wishes) -> Turn {
        self.marks.persisted(outcome, wishes);
        Turn::Same
    }

    fn prepare(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        // Nobody else wakes those who wait for this owner's beginning.
        if let Some(at) = self.begins_at(context).filter(|at| context.now < *at) {
            wishes.look(at);
        }
        self.marks.retry(context, wishes);
    }

    /// Raises the mark when units are short, or will be within a second, and writes it anew where much of it was spent;
    /// and notes once that nothing counts any more.
    fn debit(&mut self, context: &Context<'_>, lack: &Lack, wishes: &mut Wishes) {
        if !self.marks.is_ready() || self.stock.is_none() {
            return;
        }
        let of = Use {
            size: self.limit(context).unwrap_or(0),
            rate: context.spec_now().map_or(0, |spec| spec.units),
            outstanding: self.outstanding,
            rests: self.rests(),
        };
        if let Some(headroom) = self.marks.wanted(context, of, lack)
            && let Some(record) = self.compose(context, headroom)
        {
            wishes.write = Some(self.marks.write(record));
        }
    }

    /// What is out, and no more: the rest of the mark is given up.
    fn last(&self, context: &Context<'_>) -> Option<Write> {
        let record = self.compose(context, 0)?;
        self.marks.last(record).filter(|_| self.marks.is_ready())
    }

    fn refills_at(&self, context: &Context<'_>) -> OwnerTime {
        let at = self.comes_at(context, self.free_total(context).saturating_add(1));
        at.unwrap_or(context.now).max(context.now.after(1))
    }

    fn comes_at(&self, context: &Context<'_>, units: u64) -> Option<OwnerTime> {
        let size = self.limit(context).filter(|size| units <= *size)?;
        Some(match self.stock.as_ref()? {
            Stock::Slots(slots) => {
                let lacking = units.saturating_sub(self.free_total(context));
                // What is out would have to be spent first.
                let at = slots.released_at(lacking);
                at.unwrap_or(context.now.after(self.kind.window_ms()))
            }
            Stock::Bucket(bucket) => bucket.filled_at(units.min(size)),
        })
    }

    /// Begun anew, it would take its own mark for another's: so that is written off first.
    fn is_past(&self, now: OwnerTime) -> bool {
        let written_off = self.stock.is_none() || self.marks.is_empty();
        let rests = |stock: &Stock| {
            let mut later = stock.clone();
            later.pass(now, self.outstanding);
            later.rests()
        };
        let idle = self.outstanding == 0 && self.marks.is_resting();
        idle && written_off && self.stock.as_ref().is_none_or(rests)
    }

    fn shown(&self, context: &Context<'_>) -> Option<Shown> {
        let size = self.limit(context)?;
        let mut stock = self.stock.clone()?;
        stock.pass(context.now, self.outstanding);
        Some(Shown {
            window: None,
            hwm: size,
            free: stock.room(size, self.outstanding),
            rows: None,
            forgiven: 0,
            pending: self.marks.is_resetting(),
            promised: 0,
        })
    }
}
