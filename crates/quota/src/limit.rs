use std::collections::HashMap;
use std::sync::Arc;

use crate::{Counter, Error, Kind};

/// What policy says of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSpec {
    /// How it counts over time.
    pub kind: Kind,
    /// How many units (requests, tokens) each window of each counter of this limit may admit; for a
    /// bucket, how many come in within one.
    pub units: u64,
    /// For a bucket, how many units can be saved up: the most that is ever admitted at once. Of no
    /// meaning for other kinds.
    pub burst: u64,
    /// The policy revision this was read from. A counter never obeys a lower one than it has obeyed.
    pub revision: u64,
}

/// Every limit in force, by name: what an owner is given whenever policy changes.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    by_name: HashMap<Arc<str>, LimitSpec>,
    revision: u64,
}

impl Limits {
    /// Collects the limits of one policy revision.
    ///
    /// # Errors
    /// [`Error::WindowLength`] for a window that no keeping serves.
    pub fn new(specs: impl IntoIterator<Item = (Arc<str>, LimitSpec)>) -> Result<Self, Error> {
        let by_name: HashMap<_, _> = specs.into_iter().collect();
        by_name.values().try_for_each(|spec| spec.kind.check())?;
        let revision = by_name.values().map(|spec| spec.revision).max();
        Ok(Self {
            by_name,
            revision: revision.unwrap_or(0),
        })
    }

    /// The limit of `counter`, unless policy has none of that name and kind.
    #[must_use]
    pub fn of(&self, counter: &Counter) -> Option<LimitSpec> {
        let spec = self.by_name.get(counter.limit())?;
        (spec.kind == counter.kind()).then_some(*spec)
    }

    /// The policy revision that the limits were read from; 0 without any.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }
}
