use std::collections::HashMap;
use std::sync::Arc;

use crate::{Counter, Error, Kind};

/// What policy says of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSpec {
    /// How it counts over time.
    pub kind: Kind,
    /// How many units (requests, tokens) each window of each counter of this limit may admit.
    pub units: u64,
    /// The policy revision this was read from. A counter never obeys a lower one than it has obeyed.
    pub revision: u64,
}

/// Every limit in force, by name: what an owner is given whenever policy changes.
#[derive(Debug, Clone, Default)]
pub struct Limits(HashMap<Arc<str>, LimitSpec>);

impl Limits {
    /// Collects the limits of one policy revision.
    ///
    /// # Errors
    /// [`Error::WindowLength`] for a window that no keeping serves.
    pub fn new(specs: impl IntoIterator<Item = (Arc<str>, LimitSpec)>) -> Result<Self, Error> {
        let specs: HashMap<_, _> = specs.into_iter().collect();
        specs.values().try_for_each(|spec| spec.kind.check())?;
        Ok(Self(specs))
    }

    /// The limit of `counter`, unless policy has none of that name and kind.
    #[must_use]
    pub fn of(&self, counter: &Counter) -> Option<LimitSpec> {
        let spec = self.0.get(counter.limit())?;
        (spec.kind == counter.kind()).then_some(*spec)
    }
}
