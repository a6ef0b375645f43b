//! Kinds without windows: sliding ones and buckets.
//!
//! What is *outstanding* at nodes counts inside the limit, so that it does not matter when a node uses it,
//! gives it back or is granted more. Units that cannot come back leave what is outstanding: when the report
//! arrives that says so, or when the lease of the node that held them ends (R4); both are later than their
//! stamp. What becomes of them then is the [`Stock`]'s business.
//!
//! A new owner knows of what earlier ones handed out what [`Recorded`] writes down, and what they left word of: such units
//! are outstanding until their leases are dead on any clock. Where nobody did, it hands out nothing before all that is
//! dead, and begins with what is certainly there then.

mod bucket;
mod recorded;
mod slots;

use bucket::Bucket;
pub(super) use recorded::Recorded;
use slots::Slots;

use crate::owner::Legacy;
use crate::owner::account::{Context, Wishes};
use crate::owner::keeping::{Keeping, Shown, Turn};
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
    /// None until it is known when earlier owners' grants are dead.
    stock: Option<Stock>,
    /// Units at nodes that they may still use or give back.
    outstanding: u64,
    /// Those of them that an earlier owner granted, and when they are dead.
    inherited: Option<(OwnerTime, u64)>,
}

impl Rolling {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            stock: None,
            outstanding: 0,
            inherited: None,
        }
    }

    /// When nothing counts any more that an earlier owner handed out and left no word of, and this one may begin.
    fn begins_at(&self, context: &Context<'_>) -> Option<OwnerTime> {
        let unknown = if self.kind.is_recorded() {
            context.horizon.unrecorded?
        } else {
            context.horizon.untold?
        };
        if unknown == OwnerTime(0) {
            return Some(unknown);
        }
        let config = context.config;
        let dead = unknown.after(config.lease_ms + config.clock_skew_ms);
        Some(match self.kind {
            Kind::Sliding { window_ms } => dead.after(window_ms),
            Kind::Bucket { .. }
            | Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => dead,
        })
    }

    fn begin(&mut self, context: &Context<'_>, spec: &LimitSpec) {
        let Some(begins_at) = self.begins_at(context) else {
            return;
        };
        // Before that, all that a bucket holds may be at nodes: nothing comes in.
        let mut stock = match self.kind {
            Kind::Bucket { window_ms } => Stock::Bucket(Bucket::new(window_ms, begins_at, spec)),
            kind @ (Kind::Sliding { .. }
            | Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent) => Stock::Slots(Slots::new(kind.window_ms())),
        };
        if let Some(legacy) = context.legacy {
            let config = context.config;
            let dead = legacy.at.after(config.lease_ms + config.clock_skew_ms);
            self.outstanding += legacy.out;
            self.inherited = Some((dead, legacy.out));
            match &mut stock {
                Stock::Slots(slots) => {
                    for (until, units) in &legacy.charged {
                        slots.insert(until.after(config.clock_skew_ms), *units);
                    }
                }
                Stock::Bucket(bucket) => {
                    let at = legacy.at.after(config.clock_skew_ms).max(begins_at);
                    let lacking = legacy.charged.iter().map(|(_, units)| units).sum::<u64>();
                    bucket.hold(spec.burst.saturating_sub(legacy.out + lacking), at);
                }
            }
        }
        self.stock = Some(stock);
    }

    /// Lets time pass.
    fn pass(&mut self, context: &Context<'_>) {
        if let Some((dead, units)) = self.inherited.take_if(|(dead, _)| *dead <= context.now) {
            self.pass_to(dead);
            self.outstanding -= units;
            if let Some(Stock::Slots(slots)) = &mut self.stock {
                slots.insert(dead.after(self.kind.window_ms()), units);
            }
        }
        self.pass_to(context.now);
    }

    fn pass_to(&mut self, now: OwnerTime) {
        if let Some(stock) = &mut self.stock {
            stock.pass(now, self.outstanding);
        }
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
}

impl Stock {
    fn pass(&mut self, now: OwnerTime, outstanding: u64) {
        match self {
            Self::Slots(slots) => slots.pass(now),
            Self::Bucket(bucket) => bucket.pass(now, outstanding),
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
    fn roll(&mut self, context: &Context<'_>) -> Turn {
        let spec = context.spec_now().filter(|_| context.horizon.in_force);
        if let Some(spec) = &spec
            && self.stock.is_none()
        {
            self.begin(context, spec);
        }
        self.pass(context);
        let outstanding = self.outstanding;
        if let (Some(Stock::Bucket(bucket)), Some(spec)) = (&mut self.stock, &spec) {
            bucket.adopt(spec, outstanding);
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
            self.free_total(context)
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

    /// A later owner is told no more than is known then.
    fn reset(&mut self, _context: &Context<'_>) {
        match &mut self.stock {
            Some(Stock::Slots(slots)) => slots.clear(),
            Some(Stock::Bucket(bucket)) => bucket.fill(self.outstanding),
            None => {}
        }
    }

    fn spend(&mut self, now: OwnerTime, units: u64) {
        self.outstanding -= units;
        if let Some(Stock::Slots(slots)) = &mut self.stock {
            slots.charge(now, units);
        }
    }

    fn prepare(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        // Nobody else wakes those who wait for this owner's beginning.
        if let Some(at) = self.begins_at(context).filter(|at| context.now < *at) {
            wishes.look(at);
        }
    }

    fn legacy(&self, context: &Context<'_>) -> Option<Legacy> {
        let mut left = self.clone();
        left.pass(context);
        let Some(stock) = left.stock else {
            return context.legacy.cloned();
        };
        let lease_ms = context.config.lease_ms;
        let charged = match stock {
            Stock::Slots(slots) => slots.in_brief(),
            // What is out comes in once it is dead.
            Stock::Bucket(bucket) => {
                let lacking = bucket.lacking(left.outstanding).into_iter();
                let later = |(at, units): (OwnerTime, u64)| (at.after(lease_ms), units);
                lacking.map(later).collect()
            }
        };
        // What an earlier owner granted is dead a little later, if it left just now.
        let granted_by = |(dead, _): (OwnerTime, u64)| OwnerTime(dead.0.saturating_sub(lease_ms));
        let at = left
            .inherited
            .map_or(context.now, granted_by)
            .max(context.now);
        let says = left.outstanding > 0 || !charged.is_empty();
        says.then_some(Legacy {
            at,
            out: left.outstanding,
            charged,
        })
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

    fn is_past(&self, now: OwnerTime) -> bool {
        let rested = |stock: &Stock| {
            let mut later = stock.clone();
            later.pass(now, self.outstanding);
            match later {
                Stock::Slots(slots) => slots.charged() == 0,
                Stock::Bucket(bucket) => bucket.is_full(),
            }
        };
        self.outstanding == 0 && self.stock.as_ref().is_none_or(rested)
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
            pending: false,
            promised: 0,
        })
    }
}
