//! A sliding window: units stay charged for its length, counted from when the owner heard of their use.
//!
//! *Why it is exact.* At any moment what is outstanding and what was charged within the last T is at most
//! the limit. Whatever was stamped in an interval of length T was outstanding at its stamp, and was charged
//! no earlier than that; so at the end of the interval all of it is outstanding or charged within the last T.

use std::collections::VecDeque;

use crate::OwnerTime;

/// Charges of so many parts of a window are noted together, and released when the last of them may be: a
/// window wastes at most one part in so many.
const PARTS: u64 = 256;
/// The same where they are written down.
const FEW_PARTS: u64 = 16;

#[derive(Debug, Clone)]
pub(super) struct Slots {
    window_ms: u64,
    /// When charges are released, and how much, earliest first.
    slots: VecDeque<(OwnerTime, u64)>,
    charged: u64,
}

impl Slots {
    pub(super) fn new(window_ms: u64) -> Self {
        Self {
            window_ms,
            slots: VecDeque::new(),
            charged: 0,
        }
    }

    /// Units charged and not released.
    pub(super) fn charged(&self) -> u64 {
        self.charged
    }

    /// Releases what was charged a window ago.
    pub(super) fn pass(&mut self, now: OwnerTime) {
        while let Some((_, units)) = self.slots.pop_front_if(|(at, _)| *at <= now) {
            self.charged -= units;
        }
    }

    /// Releases everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.charged = 0;
    }

    /// Counts units until then.
    pub(super) fn insert(&mut self, at: OwnerTime, units: u64) {
        if units == 0 {
            return;
        }
        let place = self.slots.partition_point(|(earlier, _)| *earlier < at);
        match self.slots.get_mut(place) {
            Some((same, charged)) if *same == at => *charged += units,
            Some(_) | None => self.slots.insert(place, (at, units)),
        }
        self.charged += units;
    }

    /// What is charged and when it is released, in few parts: some of it a little later than it is.
    pub(super) fn in_brief(&self) -> Vec<(OwnerTime, u64)> {
        let part = (self.window_ms / FEW_PARTS).max(1);
        let mut brief: Vec<(OwnerTime, u64)> = Vec::new();
        for (at, units) in &self.slots {
            let at = OwnerTime(at.0.div_ceil(part) * part);
            match brief.last_mut() {
                Some((same, charged)) if *same == at => *charged += units,
                Some(_) | None => brief.push((at, *units)),
            }
        }
        brief
    }

    /// Charges units whose use is heard of now.
    pub(super) fn charge(&mut self, now: OwnerTime, units: u64) {
        let part = (self.window_ms / PARTS).max(1);
        let slot_end = OwnerTime((now.0 / part + 1) * part);
        self.insert(slot_end.after(self.window_ms), units);
    }

    /// When so many units will have been released; none if that is more than is charged.
    pub(super) fn released_at(&self, units: u64) -> Option<OwnerTime> {
        let mut sum = 0u64;
        let enough = |(at, released): &(OwnerTime, u64)| {
            sum = sum.saturating_add(*released);
            (sum >= units).then_some(*at)
        };
        self.slots.iter().find_map(enough)
    }
}
