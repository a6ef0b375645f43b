//! Quota leases: limits that hold exactly over many nodes, with no remote call per request.
//!
//! Two state machines, [`owner::Owner`] and [`node::Node`], speak the *block escrow* protocol. Units
//! (requests, tokens) are objects that move: the owner debits them durably before it hands them out
//! in blocks, nodes admit requests from what they hold, and units come back only when a node
//! returns them. Every message carries totals, so loss, repetition and reordering are harmless. The
//! idea is escrow (O'Neil 1986), also known as the demarcation protocol or the bounded counter.
//!
//! This crate does **not** read clocks, touch sockets, spawn, log, or know protobuf: time and
//! messages are arguments, and what has to be done is returned. Its shells live in the control plane
//! and in the node. It serves *fixed* windows of 1 s to a year, *sliding* ones and *buckets* of up to 1 h,
//! windows of the calendar, budgets that never end, and slots ([`Kind`]).
//!
//! # What is promised
//! At most L units bear the label of one window of one counter, whatever any clock, process, message
//! or store reply does; L is the largest limit that was in force in that window. Each is stamped
//! while the granting owner's clock was in the window. An observer who counts by his own clock may
//! see up to 2L in an interval shorter than a window, as with any fixed window.
//!
//! Of a *sliding* limit at most L units are stamped in any interval as long as the window, of a *bucket*
//! with rate r and burst B at most B + r t in any interval t, measured on owners' clocks. An observer to
//! whom requests take between d and d + J sees what an interval longer by J allows.
//!
//! Of money and tokens: what was truly used and what is reserved never exceed the limit together, but
//! for what requests used beyond their reservations; nothing that was used is forgotten, whoever dies. Of slots:
//! no more requests are open in living processes than there are.
//!
//! # Names
//! - A *counter* ([`Counter`]) is a limit together with the subject it counts for; an *account* is a
//!   counter in one window ([`Window`], aligned to the Unix epoch on the owner's clock).
//! - Counters are divided into *shards* ([`Shard`]) by their names. The *owner* of a shard is one
//!   control-plane replica; its term is the *epoch*, the revision of the shard's ownership key, which only rises. An old owner may go on acting after its term:
//!   nothing here relies on stopping it.
//! - An *incarnation* is one process of a node. Grants for another one are dropped.
//! - Per account, epoch and incarnation there is a *ledger* of totals: `granted` (by the owner; what
//!   the node got of it is `seen`), `returned` and `spent` (by the node). *Outstanding* is
//!   `granted - returned - spent`; part of it is `held` by open reservations, the rest is idle.
//! - `hwm`, the *high-water mark*, is how much of the limit was ever debited in the window; `free` is
//!   what its owner debited and nobody holds.
//!
//! # Rules, and what each prevents
//! - **R1 Debit before vend.** `hwm` is raised by a transaction guarded by the ownership key's
//!   modification revision and the record's own revision, in at most 16 steps per window, before units of
//!   the step are handed out. A write with unknown outcome is charged but not used until re-read. The
//!   record holds the limit in force with its policy revision; a debit obeys the newer of that and
//!   policy's, so that a lagging new owner cannot bring back a limit already lowered.
//! - **R2 Failover pessimism.** A new owner starts with `free = 0` and vends `limit - hwm`. The old
//!   one may still vend what it had debited: that lies below the mark.
//! - **R3 Totals, not deltas.** Receivers take the maximum. A node forgets an account only when it
//!   refuses everything for it from then on, or a late grant would be counted from zero.
//! - **R4 No credit without return.** A dead node's units stay charged until the window ends. Where no
//!   window ends, what a node holds lasts for the length of a *lease* from its last word on it. Then it
//!   is written off: it counts as spent at that moment, and the *generation* of the node's account
//!   rises, so that neither a late grant nor a late return revives it.
//! - **R5 Return = remove first, then tell.**
//! - **R6 Deadlines.** The owner says how long the window lasts counted from its *receipt* of a
//!   message whose sending time it echoes; the node adds that, less drift, to the sending time. The
//!   sending precedes the receipt, so the node's deadline is never late, whatever the delay.
//! - **R7 Stamp after take.** Units are taken, *then* the clock is read; past the deadline they are
//!   put back ([`node::Node::reserve`], [`node::Node::stamp`]). No pause in between can hurt.
//! - **R8 Windows never go back**, on owners (the record's window counts) and nodes.
//! - **R9 Spent never falls.** A reservation keeps its units `held`; only what cannot come back is
//!   reported as spent, at settlement. Refunds are `held` to idle.
//!
//! Windows longer than an hour, budgets and slots cannot wait for an end that gives everything back, so
//! their charge is kept in a *ledger* ([`owner::LedgerRow`]): a durable row per process, in totals that
//! outlive terms. Writing the row is the grant (R1), so a new owner reads the rows and goes on. A row is
//! charged `max(granted - returned - freed, settled)`. Nothing but the process's own word, its heir's or an
//! operator's lowers that (R4): a process notes in a journal how far it will go at most before it goes there
//! ([`node::Note`]), and whoever holds the lock that it held all its life may say so once it is dead
//! ([`Close`]). The first closing frees what lies beyond the mark; what the dead one gave back and what was
//! on its way to it count no more; what it spent counts whoever says it.
//!
//! # Keepings
//! The rules above are those of a high-water mark per counter, which windows of more than 10 s have.
//! Shorter windows, sliding limits and buckets have one record for all of them, the *horizon*: the owner
//! of an epoch hands out until then (`owner/horizon.rs`). A new owner begins with windows that begin
//! after the horizon it finds, unless an owner that ended in good order left word of the one before in the
//! horizon's last record (`owner/legacy.rs`). Sliding limits and buckets have records of their own
//! besides (`owner/keeping/rolling/marks.rs`): what is charged, and a mark below which everything lies that
//! goes out before the next record. So the next owner hands out the rest at once; what lies below the
//! mark counts until it is dead, a lease and the difference of two clocks after the horizon.
//!
//! R1 to R5 and R8 bound the count and need no clock; R6 and R7 tie the label to the time.
//! Invariant, at all times: sum of (granted - returned) over the nodes + `free` <= `hwm` <= limit.
//!
//! # Sharing
//! Blocks shrink with what is left (factoring) and reach some seconds of demand ahead; as a window
//! begins, the demand of the last one is served without being asked. Whoever lacks units takes a
//! *ticket*: one queue per account, oldest first, everything free goes to its head until it has its
//! need whole. When free units do not suffice, the other holders are asked for all their idle ones,
//! most idle first, waiting ones included. Half measures fail on small limits: three nodes with one
//! idle unit each must be able to serve a request for three.
//!
//! When nobody has anything idle, the head is refused, and from then on a *bound* is told: the most a
//! node can be given besides what it has, so that hopeless requests end where they arrive. When next
//! to nothing is left, units are *scarce*: holders keep nothing idle and each request gets just its
//! need; a request for too much while there is plenty does not bring that about, or one caller could
//! make every other wait. Bounds and recalls are versioned state in every reply, not events: a lost
//! or overtaken one costs a heartbeat.
//!
//! A request over several limits takes them in one fixed order and keeps what it has while it waits
//! for the next, within a bounded wait; undoing before waiting would let two nodes swap the same
//! units for ever.
//!
//! # Standing shares
//! A part of each window of a limit can be promised to processes for windows to come ([`Promise`]), durably and before
//! they are told (R1). An owner begins each window with what is promised of it below its mark, so that owners hand out
//! the rest, and nothing is promised of a window that any owner may have begun. The process begins such a window by
//! itself, once it is certain that owners have (R6, from both sides), and uses its units under a ledger of its own. Who
//! reaches whom plays no part in that, and nothing but the end of the window, or the process's own return of units,
//! takes anything back (R4). After a restore as much as policy allows counts as promised for as long as promises reach;
//! of a limit that was lowered since the copy was taken that may be less than is promised. A limit that is lowered below
//! what is promised comes down as promises end.
//!
//! # What the shells must keep to
//! - Owner's time never goes back within an epoch; node time is a monotonic clock that goes on during
//!   suspend. Where a node's wall clock and that clock part (a virtual machine was restored), it
//!   starts a new [`node::Node`] with a new incarnation.
//! - A process that ends in good order may leave its state to the next one of its node ([`node::Estate`]), which takes it
//!   up at most once, in a way that outlasts a crash, and only while node time is the same clock: of the same start of the
//!   machine, and not parted from the wall clock meanwhile.
//! - Between the last grant that a restored store does not know of and its thaw lies more time than the clocks of two
//!   owners differ by.
//! - Reads are linearizable; transactions carry both guards; each effect is answered exactly once.
//! - Messages may be lost, repeated, delayed and reordered, but not altered.
//! - Records may be deleted an hour after the end of the last window that they speak of, not earlier.

mod clock;
mod counter;
mod error;
mod kind;
mod limit;
mod message;
pub mod node;
pub mod owner;
mod period;
mod promise;
#[cfg(test)]
mod properties;
mod shard;

pub use clock::{NodeTime, OwnerTime, Window};
pub use counter::Counter;
pub use error::Error;
pub use kind::{Kind, LONGEST_FIXED_MS, LONGEST_WINDOW_MS};
pub use limit::{LimitSpec, Limits, Shares};
pub use message::{
    Close, Coming, Epoch, Generation, Incarnation, LONGEST_LEASE_MS, NodeAccount, NodeMessage,
    OwnerAccount, OwnerMessage,
};
pub use period::{Period, Span, Zone};
pub use promise::{Promise, Promises};
pub use shard::Shard;
