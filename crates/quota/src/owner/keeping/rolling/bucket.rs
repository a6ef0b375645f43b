//! A token bucket (the generic cell rate algorithm in another form): level + outstanding <= burst.
//!
//! *Why it is exact.* A unit is in the bucket until it is spent: refill stops at the burst less what is
//! outstanding. What is stamped within an interval of length t was outstanding or in the bucket at its
//! beginning, or came in since: at most burst + rate * t.
//!
//! The level is below nothing where more counts as outstanding than there was: units that an earlier owner may have handed
//! out, and those at nodes where the burst was lowered. Once nothing is outstanding it is not: what was stamped until then
//! kept to the bound, and from then on an empty bucket does.

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
    level: i128,
    at: OwnerTime,
}

impl Bucket {
    /// A bucket that was full at that time.
    pub(super) fn full(window_ms: u64, at: OwnerTime, spec: &LimitSpec) -> Self {
        let mut bucket = Self {
            parts: window_ms,
            rate: spec.units,
            burst: spec.burst,
            level: 0,
            at,
        };
        bucket.fill(0);
        bucket
    }

    /// Counts on nothing being there until that time.
    pub(super) fn dry_until(&mut self, at: OwnerTime) {
        if at > self.at {
            (self.level, self.at) = (self.level.min(0), at);
        }
    }

    /// Lets come in what time brings. Called before what was outstanding until now changes.
    pub(super) fn pass(&mut self, now: OwnerTime, outstanding: u64) {
        let came = i128::from(self.rate) * i128::from(now.since(self.at));
        if outstanding == 0 {
            self.level = self.level.max(0);
        }
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

    fn room(&self, outstanding: u64) -> i128 {
        self.in_parts(self.burst) - self.in_parts(outstanding)
    }

    fn in_parts(&self, units: u64) -> i128 {
        i128::from(units) * i128::from(self.parts)
    }

    /// Whole units that can be handed out.
    pub(super) fn level(&self) -> u64 {
        units(self.level / i128::from(self.parts))
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

    /// How many units it lacks now besides those outstanding; and when it is full again, and what it holds then. Nothing
    /// where it lacks none.
    pub(super) fn lacking(&self, outstanding: u64) -> Vec<(OwnerTime, u64)> {
        let parts = i128::from(self.parts);
        let lacking = units((self.room(outstanding) - self.level + parts - 1) / parts);
        match lacking {
            0 => Vec::new(),
            lacking => vec![(self.at, lacking), (self.filled_at(self.burst), self.burst)],
        }
    }

    /// When so many units are there if nothing more goes out.
    pub(super) fn filled_at(&self, wanted: u64) -> OwnerTime {
        let lacking = (self.in_parts(wanted) - self.level).max(0);
        let rate = i128::from(self.rate.max(1));
        self.at.after(units((lacking + rate - 1) / rate))
    }
}

/// A number of units or milliseconds: 0 where it is below that, and as high as it can be told.
fn units(number: i128) -> u64 {
    u64::try_from(number.max(0)).unwrap_or(u64::MAX)
}
