//! What an owner that ends in good order says of counters whose charge is written down nowhere else, so that the next one
//! goes on at once.
//!
//! It is a part of the horizon's last record. Times are the clock's of the owner that wrote it; whoever reads it counts
//! everything for as much longer as the clocks of two owners may differ.

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
    /// Since then nothing was handed out.
    pub at: OwnerTime,
    /// Units at nodes: of the window of that time, or for one lease more.
    pub out: u64,
    /// Units that are charged besides, and when they no longer count, earliest first. Of a bucket: those that it lacks, and
    /// when the last of them comes in.
    pub charged: Vec<(OwnerTime, u64)>,
}

impl Legacy {
    fn counts(&self, now: OwnerTime, config: &Config) -> bool {
        let charged = self.charged.last().map(|(until, _)| *until);
        let out = self.at.after(config.lease_ms + LONGEST_BRIEF_MS);
        now <= charged.unwrap_or(out).max(out).after(config.clock_skew_ms)
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
    let size = |(counter, legacy): &(Counter, Legacy)| {
        counter.as_str().len() + NUMBER_BYTES * (3 + 2 * legacy.charged.len())
    };
    let bytes: usize = left.iter().map(size).sum();
    left.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    (bytes <= MOST_BYTES).then(|| left.into())
}
