//! What an owner that ends in good order says of brief windows, whose charge is written down nowhere else, so that the
//! next one goes on at once.
//!
//! It is a part of the horizon's last record. Times are the clock's of the owner that wrote it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kind::LONGEST_BRIEF_MS;
use crate::owner::Config;
use crate::{Counter, OwnerTime};

/// More than so many bytes are not written: the next owner waits instead.
const MOST_BYTES: usize = 256 * 1024;
/// What a number takes at most.
const NUMBER_BYTES: usize = 12;

/// The charge of one counter, as its owner left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legacy {
    /// Since then nothing was handed out. It tells the window.
    pub at: OwnerTime,
    /// Units of that window that were handed out and did not come back.
    pub out: u64,
}

impl Legacy {
    fn counts(&self, now: OwnerTime, config: &Config) -> bool {
        let over = self.at.after(LONGEST_BRIEF_MS);
        now <= over.after(config.clock_skew_ms)
    }
}

/// What earlier owners left word of.
#[derive(Debug, Clone, Default)]
pub(super) struct Legacies {
    by_counter: HashMap<Counter, Legacy>,
}

impl Legacies {
    pub(super) fn of(&self, counter: &Counter) -> Option<&Legacy> {
        self.by_counter.get(counter)
    }

    pub(super) fn adopt(&mut self, left: &[(Counter, Legacy)]) {
        self.by_counter.extend(left.iter().cloned());
    }

    pub(super) fn forget(&mut self, now: OwnerTime, config: &Config) {
        self.by_counter
            .retain(|_, legacy| legacy.counts(now, config));
    }

    /// Of counters that this owner never met.
    pub(super) fn untouched(
        &self,
        is_kept: impl Fn(&Counter) -> bool,
    ) -> impl Iterator<Item = (Counter, Legacy)> {
        let untouched = self.by_counter.iter().filter(move |(it, _)| !is_kept(it));
        untouched.map(|(counter, legacy)| (counter.clone(), legacy.clone()))
    }
}

/// What is to be written of all that; none where it is too much.
pub(super) fn in_order(mut left: Vec<(Counter, Legacy)>) -> Option<Arc<[(Counter, Legacy)]>> {
    let size = |(counter, _): &(Counter, Legacy)| counter.as_str().len() + 3 * NUMBER_BYTES;
    let bytes: usize = left.iter().map(size).sum();
    left.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    (bytes <= MOST_BYTES).then(|| left.into())
}
