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
    shares: HashMap<Arc<str>, Shares>,
    /// Per cent of each window.
    promised: HashMap<Arc<str>, u32>,
    revision: u64,
}

/// What each of those who share a limit is sure of, in per cent, by whose part it is ([`Counter::who`]). Others get
/// what these do not want.
pub type Shares = Arc<[(Box<str>, u32)]>;

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
            shares: HashMap::new(),
            promised: HashMap::new(),
            revision: revision.unwrap_or(0),
        })
    }

    /// Says of these limits, by name, that their parts are not equal.
    #[must_use]
    pub fn with_shares(mut self, shares: impl IntoIterator<Item = (Arc<str>, Shares)>) -> Self {
        self.shares.extend(shares);
        self
    }

    /// Says of these limits, by name, how much of each window of theirs is promised ahead, in per cent. Of meaning for
    /// fixed windows of more than 10 s up to an hour.
    #[must_use]
    pub fn with_promises(mut self, promised: impl IntoIterator<Item = (Arc<str>, u32)>) -> Self {
        self.promised.extend(promised);
        self
    }

    /// How much of each window of `counter` is promised ahead, in per cent.
    #[must_use]
    pub fn promised(&self, counter: &Counter) -> u32 {
        self.promised.get(counter.limit()).copied().unwrap_or(0)
    }

    /// The shares of the limit of `counter`; nothing where its parts are equal.
    #[must_use]
    pub fn shares(&self, counter: &Counter) -> &[(Box<str>, u32)] {
        self.shares
            .get(counter.limit())
            .map_or(&[], |shares| shares)
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
