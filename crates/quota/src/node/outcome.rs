use std::hash::Hasher;

use smallvec::SmallVec;

use crate::{Counter, Window};

/// One for each ask of a request, in their order. Requests meet few limits: up to six take no allocation.
pub type PerAsk<T> = SmallVec<[T; 6]>;

/// Names one request's reservation at this node process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Spreads numbers over a map (Fibonacci hashing: Knuth, The Art of Computer Programming, volume 3, section 6.4):
/// request ids, which are counted up here, so nobody can choose them to collide, and what counters bring along as
/// their hash.
#[derive(Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// So many units of that counter, which is given or lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask<C = Counter> {
    /// Which counter.
    pub counter: C,
    /// How many units.
    pub units: u64,
}

/// Where a reservation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every unit is taken: read the clock anew and call [`crate::node::Node::stamp`] at once.
    Taken,
    /// Some units are missing and asked for. A [`Wake`] follows, by the wait's end at the latest.
    Waiting,
    /// Admitted; to be settled exactly once with [`crate::node::Node::settle`].
    Admitted(Admission),
    /// Refused; nothing is held.
    Denied(Denial),
}

/// What an admitted request holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// One per ask, in the order of the asks.
    pub limits: PerAsk<Admitted>,
}

/// One limit of an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The window whose label the units bear; 0 for kinds without windows.
    pub window: Window,
    /// The limit as last told by the owner.
    pub limit: u64,
    /// An estimate of what the fleet can still admit in that window.
    pub remaining: u64,
    /// Milliseconds to the window's end (estimated a little early), or until the whole limit can be had again; 0 where
    /// that is nobody's to tell.
    pub reset_ms: u64,
}

/// A refusal, and the ask it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Index of the ask that was refused.
    pub ask: usize,
    /// Its counter.
    pub counter: Counter,
    /// Why.
    pub why: Why,
}

/// Why an ask was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The window's units are used up.
    Exhausted {
        /// The limit in force.
        limit: u64,
        /// Milliseconds to the next window, or until so many units have come in, or until it is worth trying again.
        retry_after_ms: u64,
    },
    /// What is left is for others who share the limit.
    OverShare {
        /// The limit in force.
        limit: u64,
        /// The part of it that the asker may have while the others want as much as they do, and has.
        share: u64,
        /// Milliseconds to the next window, or until it is worth trying again.
        retry_after_ms: u64,
    },
    /// More units than the whole limit: no window can ever admit it.
    TooLarge {
        /// The limit in force.
        limit: u64,
    },
    /// The owner gave no units within the wait.
    NoAnswer,
    /// The window ended between taking and stamping, and the wait is over.
    Late,
}

impl Why {
    /// Whether the limit has no room, rather than nobody having answered.
    #[must_use]
    pub fn is_for_want_of_units(&self) -> bool {
        match self {
            Self::Exhausted { .. } | Self::OverShare { .. } | Self::TooLarge { .. } => true,
            Self::NoAnswer | Self::Late => false,
        }
    }
}

/// News for a waiting request: `Taken` (then stamp) or `Denied`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// Which request.
    pub id: RequestId,
    /// Where it stands now.
    pub outcome: Outcome,
}

/// What a settlement did to one ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Units that stay spent.
    pub spent: u64,
    /// Units that went back and can be used again.
    pub refunded: u64,
    /// Units used beyond the reservation, now debt of the window.
    pub overrun: u64,
    /// Units (refunds or overruns) of windows that are over: nothing to move.
    pub lapsed: u64,
}

/// What a node knows of a counter, for headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterView {
    /// The limit as last told by the owner.
    pub limit: u64,
    /// An estimate of what the fleet can still admit.
    pub remaining: u64,
    /// Milliseconds to the window's end, or until the whole limit can be had again; 0 where that is nobody's to tell.
    pub reset_ms: u64,
    /// Idle units at this node.
    pub avail: i64,
    /// Requests waiting at this node.
    pub waiters: usize,
}

/// What would become of a request for units, as far as a node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foresight {
    /// The counter's owner has not been heard of yet, and would be asked.
    Unknown,
    /// They would be taken.
    AtOnce,
    /// The owner would be asked.
    Asks,
    /// It would be refused.
    Refused(Why),
}

/// How far a moment is from the edges of its window. Both are no more than they are by any owner's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edges {
    /// Which window.
    pub window: Window,
    /// Milliseconds since its beginning.
    pub since_ms: u64,
    /// Milliseconds to its end.
    pub left_ms: u64,
}

/// Which accounts a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that changed since they were last sent, if any.
    Changed,
    /// All open ones; made even when there are none, as a sign of life.
    All,
}
