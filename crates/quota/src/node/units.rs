//! What an account of a node is made of: labels, ledgers, units taken, and what the owner said.

use std::collections::VecDeque;

use crate::node::RequestId;
use crate::node::estate::Totals;
use crate::{Coming, Epoch, Generation, NodeTime, OwnerAccount, Window};

/// Time constant of the demand estimate, in seconds.
const DEMAND_TAU_S: f64 = 1.0;
/// Demand below this many units per second counts as none.
pub(super) const DEMAND_FLOOR: f64 = 0.05;

/// Units asked for per second: every unit adds `1/tau` and the sum decays with time constant `tau`,
/// whose expectation under steady arrivals is their rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    pub(super) rate: f64,
    pub(super) at: NodeTime,
}

impl Demand {
    pub(super) fn read(self, now: NodeTime) -> f64 {
        match now.since(self.at) {
            // Not worth a power.
            _ if self.rate < DEMAND_FLOOR => 0.0,
            0 => self.rate,
            ms => self.rate * (-(ms as f64) / (1_000.0 * DEMAND_TAU_S)).exp(),
        }
    }

    pub(super) fn add(&mut self, now: NodeTime, units: u64) {
        self.rate = self.read(now) + units as f64 / DEMAND_TAU_S;
        self.at = now;
    }
}

/// Totals of one account under one epoch. All four but `held` only rise (R3).
#[derive(Debug, Clone, Copy)]
pub(super) struct Ledger {
    pub(super) epoch: Epoch,
    pub(super) seen: u64,
    pub(super) returned: u64,
    pub(super) spent: u64,
    /// Reserved: outstanding, but may still come back (R9).
    pub(super) held: u64,
    /// Given back to the owner of this epoch of what the process was promised, whose ledger is another.
    pub(super) promised_back: u64,
}

impl Ledger {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            epoch: self.epoch,
            seen: self.seen,
            returned: self.returned,
            spent: self.spent,
            promised_back: self.promised_back,
        }
    }

    /// That of an epoch in which nothing has happened.
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            seen: 0,
            returned: 0,
            spent: 0,
            held: 0,
            promised_back: 0,
        }
    }

    pub(super) fn avail(&self) -> i64 {
        signed(self.seen) - signed(self.returned) - signed(self.spent) - signed(self.held)
    }
}

/// Counts stay far below 2^63; one that does not is cut off rather than wrapped.
pub(super) fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// What units bear. What is said of a lower label than a node has heard of is refused (R3, R8).
///
/// Kinds with windows have the window alone, others the epoch and the generation: units of another owner, or
/// of a generation that was written off, are void as those of a window that is over are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    pub(super) window: Window,
    pub(super) epoch: Epoch,
    pub(super) generation: Generation,
}

impl Label {
    pub(super) fn of(window: Window) -> Self {
        Self {
            window,
            ..Self::default()
        }
    }
}

/// Units taken from one epoch's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) epoch: Epoch,
    pub(super) units: u64,
}

/// Units taken for one ask, oldest epoch first. Nearly always one piece.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    first: Option<Piece>,
    rest: Vec<Piece>,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Piece) {
        match self.first {
            None => self.first = Some(piece),
            Some(_) => self.rest.push(piece),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Piece> + '_ {
        self.first.iter().chain(&self.rest).copied()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Piece> {
        self.first.iter_mut().chain(&mut self.rest)
    }
}

/// What binds a node of all that the owner last said of an account; the highest (epoch, version) wins.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) exhausted_above: Option<u64>,
    pub(super) keep: Option<u64>,
    /// Up to where a part may go, where that is what binds.
    pub(super) share: Option<u64>,
    /// When more can be had.
    pub(super) coming: Vec<Coming>,
}

impl Bounds {
    /// Most of the time nothing does.
    pub(super) fn of(told: &OwnerAccount) -> Option<Box<Self>> {
        (told.exhausted_above.is_some() || told.keep.is_some()).then(|| {
            Box::new(Self {
                exhausted_above: told.exhausted_above,
                keep: told.keep,
                share: told.share,
                coming: told.coming.clone(),
            })
        })
    }
}

/// Requests that wait, oldest first. Most of the time there are none, and a word says so.
#[derive(Debug, Clone, Default)]
#[expect(clippy::box_collection, reason = "nearly all of very many are empty")]
pub(super) struct Queue(Option<Box<VecDeque<RequestId>>>);

impl Queue {
    pub(super) fn front(&self) -> Option<RequestId> {
        self.0.as_ref()?.front().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, id: RequestId) {
        self.0.get_or_insert_default().push_back(id);
    }

    pub(super) fn remove(&mut self, id: RequestId) {
        if let Some(queue) = &mut self.0 {
            queue.retain(|waiting| *waiting != id);
            if queue.is_empty() {
                self.0 = None;
            }
        }
    }
}

/// When so many units can be had that lie between two amounts.
pub(super) fn between(fewer: Coming, more: Coming, units: u64) -> u64 {
    let part = u128::from(units - fewer.units) * u128::from(more.in_ms.saturating_sub(fewer.in_ms));
    let part = part.div_ceil(u128::from((more.units - fewer.units).max(1)));
    fewer
        .in_ms
        .saturating_add(u64::try_from(part).unwrap_or(u64::MAX))
}

/// Between which readings of the node's clock a window ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowEnd {
    pub(super) earliest: NodeTime,
    pub(super) latest: NodeTime,
}
