//! A token bucket (the generic cell rate algorithm in another form): level + outstanding <= burst.
//!
//! *Why it is exact.* A unit is in the bucket until it is spent: refill stops at the burst less what is
//! outstanding. What is stamped within an interval of length t was outstanding or in the bucket at its
//! beginning, or came in since: at most burst + rate * t.

use crate::{LimitSpec, OwnerTime};

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    /// A unit has so many parts, one of which comes in per millisecond for each unit of `rate`: no rate is
    /// rounded.
    parts: u64,
    /// Units that come in within a window, so parts per millisecond.
    rate: u64,
    burst: u64,
    /// Parts that can be handed out, as of `at`. Amounts of money in such parts need more than 64 bits.
    level: u128,
    at: OwnerTime,
}

impl Bucket {
    /// A bucket that was empty at that time.
    pub(super) fn new(window_ms: u64, empty_at: OwnerTime, spec: &LimitSpec) -> Self {
        Self {
            parts: window_ms,
            rate: spec.units,
            burst: spec.burst,
            level: 0,
            at: empty_at,
        }
    }

    /// Holds so much at that time.
    pub(super) fn hold(&mut self, units: u64, at: OwnerTime) {
        (self.level, self.at) = (self.in_parts(units), at);
    }

    /// Lets come in what time brings. Called before what was outstanding until now changes.
    pub(super) fn pass(&mut self, now: OwnerTime, outstanding: u64) {
        let came = u128::from(self.rate) * u128::from(now.since(self.at));
        self.level = (self.level + came).min(self.room(outstanding));
        self.at = self.at.max(now);
    }

    /// Obeys another rate or burst from now on.
    pub(super) fn adopt(&mut self, spec: &LimitSpec, outstanding: u64) {
        self.rate = spec.units;
        self.burst = spec.burst;
        self.level = self.level.min(self.room(outstanding));
    }

    /// Brings in all that there is room for.
    pub(super) fn fill(&mut self, outstanding: u64) {
        self.level = self.room(outstanding);
    }

    fn room(&self, outstanding: u64) -> u128 {
        self.in_parts(self.burst.saturating_sub(outstanding))
    }

    fn in_parts(&self, units: u64) -> u128 {
        u128::from(units) * u128::from(self.parts)
    }

    /// Whole units that can be handed out.
    pub(super) fn level(&self) -> u64 {
        u64::try_from(self.level / u128::from(self.parts)).unwrap_or(u64::MAX)
    }

    pub(super) fn is_full(&self) -> bool {
        self.level >= self.room(0)
    }

    pub(super) fn take(&mut self, units: u64) {
        self.level -= self.in_parts(units);
    }

    pub(super) fn give_back(&mut self, units: u64) {
        self.level += self.in_parts(units);
    }

    /// How many whole units it lacks besides those outstanding, and when all of them would have come in; none where it is
    /// full.
    pub(super) fn lacking(&self, outstanding: u64) -> Option<(OwnerTime, u64)> {
        let lacking = self
            .burst
            .saturating_sub(outstanding)
            .saturating_sub(self.level());
        (lacking > 0 || outstanding > 0).then(|| (self.filled_at(self.burst), lacking))
    }

    /// When so many units are there if nothing more goes out.
    pub(super) fn filled_at(&self, units: u64) -> OwnerTime {
        let lacking = self.in_parts(units).saturating_sub(self.level);
        let ms = lacking.div_ceil(u128::from(self.rate.max(1)));
        self.at.after(u64::try_from(ms).unwrap_or(u64::MAX))
    }
}
