//! Kinds without windows: sliding ones and buckets.
//!
//! What is *outstanding* at nodes counts inside the limit, so that it does not matter when a node uses it,
//! gives it back or is granted more. Units that cannot come back leave what is outstanding: when the report
//! arrives that says so, or when the lease of the node that held them ends (R4); both are later than their
//! stamp. What becomes of them then is the [`Stock`]'s business.
//!
//! A new owner knows nothing of what earlier ones handed out, but for what [`Recorded`] writes down. It hands out nothing
//! before all that is dead, its leases included, on any clock, and begins with what is certainly there then.

mod bucket;
mod recorded;
mod slots;

use bucket::Bucket;
pub(super) use recorded::Recorded;
use slots::Slots;

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
}

impl Rolling {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            stock: None,
            outstanding: 0,
        }
    }

    /// When nothing that an earlier owner handed out counts any more, and this one may begin.
    fn begins_at(&self, context: &Context<'_>) -> Option<OwnerTime> {
        let inherited = if self.kind.is_recorded() {
            context.horizon.unrecorded?
        } else {
            context.horizon.inherited?
        };
        if inherited == OwnerTime(0) {
            return Some(inherited);
        }
        let config = context.config;
        let dead = inherited.after(config.lease_ms + config.clock_skew_ms);
        Some(match self.kind {
            Kind::Sliding { window_ms } => dead.after(window_ms),
            Kind::Bucket { .. }
            | Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => dead,
        })
    }

    fn begin(&self, context: &Context<'_>, spec: &LimitSpec) -> Option<Stock> {
        let inherited = context.horizon.inherited?;
        Some(match self.kind {
            Kind::Bucket { window_ms } => {
                // What came in before may have been handed out by another.
                let empty_at = match inherited {
                    OwnerTime(0) => inherited,
                    inherited => inherited.after(context.config.clock_skew_ms),
                };
                Stock::Bucket(Bucket::new(window_ms, empty_at, spec))
            }
            kind @ (Kind::Sliding { .. }
            | Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent) => Stock::Slots(Slots::new(kind.window_ms())),
        })
    }

    /// Lets time pass.
    fn pass(&mut self, context: &Context<'_>) {
        let outstanding = self.outstanding;
        if let Some(stock) = &mut self.stock {
            stock.pass(context.now, outstanding);
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
            self.stock = self.begin(context, spec);
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

    /// A later owner begins when all that was handed out before is dead, and knows of nothing that was spent: it
    /// need not be told.
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
