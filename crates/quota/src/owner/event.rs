use std::sync::Arc;

use crate::owner::{HorizonRecord, LedgerRow, Raise};
use crate::{
    Close, Counter, Epoch, Incarnation, Limits, NodeMessage, OwnerMessage, OwnerTime, Promises,
    Window,
};

/// What is durable of one counter. One key in the store, written only under the ownership guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The window `hwm` belongs to.
    pub window: Window,
    /// High-water mark: units of that window that may have been handed out by any owner, or were promised.
    pub hwm: u64,
    /// The limit in force.
    pub limit: u64,
    /// The policy revision `limit` came from.
    pub revision: u64,
    /// The term of the owner that wrote this.
    pub epoch: Epoch,
    /// What is promised of this window and later ones.
    pub promises: Promises,
    /// Of a sliding limit: units that are charged, and when they no longer count, earliest first. Of a bucket: when this was
    /// composed and how many units it lacked, and when it is full again and what it holds then. Of both, `hwm` is what may be out, or have been spent
    /// since then.
    pub charged: Vec<(OwnerTime, u64)>,
}

/// What happened to the owner.
#[derive(Debug, Clone)]
pub enum Event {
    /// Policy changed: all limits of the newest revision.
    Limits(Arc<Limits>),
    /// A node's message arrived.
    Node(NodeMessage),
    /// The answer to [`Effect::Load`].
    Loaded {
        /// Which counter was read.
        counter: Counter,
        /// What the read found.
        outcome: Load,
    },
    /// The answer to [`Effect::Persist`].
    Persisted {
        /// Which counter was written.
        counter: Counter,
        /// What became of the write.
        outcome: Commit,
    },
    /// The answer to [`Effect::LoadHorizon`].
    HorizonLoaded(Load<HorizonRecord>),
    /// The answer to [`Effect::PersistHorizon`].
    HorizonPersisted(Commit),
    /// The stream of that node process ended.
    Disconnected(Incarnation),
    /// An operator vouches that a process is dead, and for what it has spent: its share is closed at
    /// [`Close::mark`], even if it was closed at a higher one.
    Release(Close),
    /// A counter is raised for a while, or no more, and that is durable. It holds across changes of policy.
    Raised {
        /// Which counter.
        counter: Counter,
        /// To what; none when that is over.
        raise: Option<Raise>,
    },
    /// Keep the counter although no node speaks of it, so that its state is there to be seen.
    Open(Counter),
    /// Forgive all that was spent of a counter. [`crate::owner::CounterState::pending`] tells when it is done.
    Reset(Counter),
    /// Time passed; at the latest due at [`crate::owner::Owner::next_deadline`].
    Tick,
}

/// What a linearizable read of a key, and of the rows of a counter that is kept by them, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load<R = Record> {
    /// The record, and the key's modification revision.
    Found(R, i64),
    /// No such key.
    Absent,
    /// The counter is kept by rows: the record with the key's modification revision, if there is one, and the
    /// rows of all windows, read at one revision of the store.
    Rows {
        /// The record.
        record: Option<(Record, i64)>,
        /// The rows.
        rows: Vec<LedgerRow>,
    },
    /// The store did not answer; the owner tries again.
    Failed,
}

/// What became of a guarded write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It is durable; the key's new modification revision.
    Committed(i64),
    /// Certainly not written: the key's modification revision was another one.
    Conflict,
    /// Certainly not written: this owner's term is over (the ownership guard failed).
    Lost,
    /// Nobody knows: a time-out, or a broken connection after sending.
    Unknown,
}

/// What the shell must do. Reads and writes are each answered by exactly one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the counter's key (linearizable, after the ownership key was created), and with it the rows of a
    /// counter whose kind is kept by them ([`crate::Kind::is_ledger`]).
    Load(Counter),
    /// Write the counter's key, and these rows with it, in a transaction guarded by the ownership key's creation
    /// revision and this key's modification revision (0: the key must not exist).
    Persist {
        /// Which counter.
        counter: Counter,
        /// What to write.
        record: Record,
        /// Rows to write, each whole. At most [`crate::owner::MOST_ROWS`].
        rows: Vec<LedgerRow>,
        /// The modification revision the key must have.
        expected_mod_revision: i64,
    },
    /// Read the horizon's key (linearizable, after the ownership key was created).
    LoadHorizon,
    /// Write the horizon's key, with both guards as for [`Effect::Persist`].
    PersistHorizon {
        /// What to write.
        record: HorizonRecord,
        /// The modification revision the key must have.
        expected_mod_revision: i64,
    },
    /// Send to the node process's stream, if it has one.
    Send(OwnerMessage),
    /// Give up ownership; this owner does nothing more.
    StepDown(Reason),
}

/// Why an owner gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A guarded write found another owner.
    GuardFailed,
    /// A node, or a record in the store, bears a later epoch.
    LaterEpoch(Epoch),
}
