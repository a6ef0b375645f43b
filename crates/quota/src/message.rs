//! What nodes and owners tell each other. Every count is a total that never falls (R3), so a message
//! may be lost, repeated or overtaken; everything else is the sender's state at that moment.

use std::sync::Arc;

use crate::{Counter, NodeTime, OwnerTime, Promise, Window};

/// One process of a node: a random number drawn when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// One term of ownership: the store's modification revision of the ownership key, strictly rising.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

/// Rises when an owner writes a node's outstanding units off: what is said of a lower one is dropped by
/// both sides. Counters with a window end are never written off, so theirs is always
/// [`Generation::FIRST`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation of every account whose units end with a window.
    pub const FIRST: Self = Self(0);

    /// The generation that begins now. It is told from those before and after, because each lasts for a
    /// lease's length at least, which is longer than the second that is its number.
    pub(crate) fn at(now: OwnerTime) -> Self {
        Self(u32::try_from(now.0 / 1_000).unwrap_or(u32::MAX))
    }
}

/// No owner lets what it granted of a limit without windows last longer than this from a node's last word
/// on it, in milliseconds.
pub const LONGEST_LEASE_MS: u64 = 10_000;

/// From a node to the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMessage {
    /// The node's name, for people.
    pub node: Arc<str>,
    /// The process that speaks.
    pub incarnation: Incarnation,
    /// The node's clock when this message was made. The owner echoes it (R6).
    pub t_node: NodeTime,
    /// The accounts that changed, or all open ones in a heartbeat.
    pub accounts: Vec<NodeAccount>,
    /// What dead processes of this node have left behind, until the owner says that it is closed.
    pub closes: Vec<Close>,
}

/// The last word about a dead process's share of a counter that is kept by rows. Only who knows that the process
/// is dead, because it holds the lock that the process held all its life, may say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The dead process.
    pub incarnation: Incarnation,
    /// Which counter.
    pub counter: Counter,
    /// The latest window in which the process may have reserved anything. In later ones its mark is 0.
    pub window: Window,
    /// The process had not reserved and spent more than this together, ever. 0 where its end has ended
    /// whatever it had reserved.
    pub mark: u64,
    /// What it had spent for good, as far as it has noted.
    pub settled: u64,
}

impl Close {
    /// Whether both speak of the same share.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        self.incarnation == other.incarnation && self.counter == other.counter
    }
}

/// A node's state of one counter. `seen`, `returned` and `spent` are totals of the account
/// (counter, window, epoch, incarnation, generation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAccount {
    /// Which counter.
    pub counter: Counter,
    /// The window the totals belong to; 0 while the node has heard of none, and for kinds without windows.
    pub window: Window,
    /// The epoch the totals belong to; 0 while the node has heard of none.
    pub epoch: Epoch,
    /// The generation the totals belong to.
    pub generation: Generation,
    /// The highest `granted` the node has received.
    pub seen: u64,
    /// Units given back: removed from the node's own before they are counted here (R5).
    pub returned: u64,
    /// Units that can never come back (R9). May exceed `seen` after an overrun.
    pub spent: u64,
    /// Units missing, beyond those in `seen`, for the oldest waiting request (and any debt) at the
    /// node; 0 when nobody waits.
    pub need: u64,
    /// Demand in units per second, an exponentially weighted mean, rounded up.
    pub demand: u64,
    /// Idle units at the node over all epochs; negative for debt.
    pub avail: i64,
    /// Requests waiting for units of this counter.
    pub waiters: u32,
    /// The highest [`OwnerAccount::version`] the node has obeyed in this window and epoch.
    pub answered: u64,
    /// Units given back of those that it was promised of this window, to the owner of this epoch.
    pub promised_back: u64,
}

/// From the owner to one process of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerMessage {
    /// The owner's term.
    pub epoch: Epoch,
    /// Whom it is for; any other process drops it.
    pub incarnation: Incarnation,
    /// `t_node` of the node's message whose receipt every `rem_ms` is counted from (R6).
    pub echo_t_node: NodeTime,
    /// The owner's clock when this message was made.
    pub owner_now: OwnerTime,
    /// The accounts it speaks of.
    pub accounts: Vec<OwnerAccount>,
    /// The shares of dead processes that are durably closed, as the process had said.
    pub closed: Vec<Close>,
}

/// The owner's state of one counter towards one process of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerAccount {
    /// Which counter.
    pub counter: Counter,
    /// The window this is about; 0 for kinds without windows.
    pub window: Window,
    /// The generation this is about.
    pub generation: Generation,
    /// Total of units granted to that process in this window and epoch.
    pub granted: u64,
    /// Milliseconds from the receipt of the echoed node message for which units are usable at least: to the
    /// end of the window, or of the lease for kinds without windows.
    pub rem_ms: u64,
    /// Orders `exhausted_above` and `keep`: the highest version wins, whatever arrives last.
    pub version: u64,
    /// When set, the owner can give this node no more than this besides what it has: requests that
    /// lack more are refused on the spot instead of asking.
    pub exhausted_above: Option<u64>,
    /// When set, the node gives back idle units above this number at once, now and whenever units
    /// come back to it.
    pub keep: Option<u64>,
    /// The limit in force.
    pub limit: u64,
    /// The owner's estimate of what the whole fleet can still admit in this window.
    pub remaining: u64,
    /// Where it is refused because others who share the limit want what is left: up to where its part may go.
    pub share: Option<u64>,
    /// When more can be had, for kinds without windows and together with `exhausted_above`: one unit above
    /// that, what the node was refused just now, and the whole limit, fewest first.
    pub coming: Vec<Coming>,
    /// What the process is promised of this window and later ones, besides what is granted.
    pub promises: Vec<Promise>,
}

/// When a node can be given more, if what is out is used up and nobody else is given any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coming {
    /// So many units, besides what the node has.
    pub units: u64,
    /// Milliseconds from `owner_now` until they can be had.
    pub in_ms: u64,
}
