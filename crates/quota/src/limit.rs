use std::collections::HashMap;
use std::sync::Arc;

use crate::counter::check_window;
use crate::{Counter, Error};

/// What policy says of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSpec {
    /// How many units (requests, tokens) each window of each counter of this limit may admit.
    pub units: u64,
    /// Length of the window in milliseconds.
    pub window_ms: u64,
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
    /// [`Error::WindowLength`] for a window that the counted keeping does not serve.
    pub fn new(specs: impl IntoIterator<Item = (Arc<str>, LimitSpec)>) -> Result<Self, Error> {
        let specs: HashMap<_, _> = specs.into_iter().collect();
        specs
            .values()
            .try_for_each(|spec| check_window(spec.window_ms))?;
        Ok(Self(specs))
    }

    /// The limit of `counter`, unless policy has none of that name with that window.
    #[must_use]
    pub fn of(&self, counter: &Counter) -> Option<LimitSpec> {
        let spec = self.0.get(counter.limit())?;
        (spec.window_ms == counter.window_ms()).then_some(*spec)
    }
}
