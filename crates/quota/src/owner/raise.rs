//! Limits that are raised for a while.
//!
//! An owner that has not heard of one obeys policy, which is the lower limit: it may be told late.

use std::collections::HashMap;

use crate::{Counter, OwnerTime};

/// A limit that one counter has for a while instead of a lower one in policy. For a bucket: so many units come in
/// within its window, and at least so many can be saved up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raise {
    /// Units.
    pub units: u64,
    /// It ends then.
    pub until: OwnerTime,
}

/// All that an owner was told of.
#[derive(Debug, Clone, Default)]
pub(super) struct Raises(HashMap<Counter, Raise>);

impl Raises {
    pub(super) fn set(&mut self, counter: &Counter, raise: Option<Raise>) {
        match raise {
            Some(raise) => self.0.insert(counter.clone(), raise),
            None => self.0.remove(counter),
        };
    }

    /// What the counter is raised to at that time.
    pub(super) fn of(&self, counter: &Counter, now: OwnerTime) -> Option<Raise> {
        let raise = self.0.get(counter).copied();
        raise.filter(|raise| now < raise.until)
    }

    /// Drops those that are over.
    pub(super) fn forget(&mut self, now: OwnerTime) {
        self.0.retain(|_, raise| now < raise.until);
    }
}
