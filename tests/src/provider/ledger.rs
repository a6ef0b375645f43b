//! What really reached the provider, and how each request ended.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How a request ended, as the provider saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not ended yet.
    InFlight,
    /// Sent whole, as an API would send it (oddities included).
    Completed,
    /// An error status or a reply that is not a completion.
    Refused,
    /// The provider itself broke the reply off, by its behaviour.
    Cut,
    /// The client went away before the reply's end.
    Cancelled,
}

/// One request for a completion that could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the request at this provider, from 0.
    pub seq: u64,
    /// Wall clock at arrival, milliseconds since 1970.
    pub arrived_ms: u64,
    /// [`key_hash`] of the credential, from whichever header holds it; empty if absent.
    pub key_hash: String,
    /// The model's name as received.
    pub model: String,
    /// The request's nonce: what follows `nonce=` in the last user message; empty if absent.
    pub nonce: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Cap on the output that the request carried.
    pub max_tokens: Option<u32>,
    /// Prompt tokens reported to the client; 0 while no usage was sent.
    pub prompt_tokens: u64,
    /// Completion tokens reported to the client; 0 while no usage was sent.
    pub completion_tokens: u64,
    /// Content chunks handed to the connection.
    pub chunks_sent: u32,
    /// Body bytes handed to the connection.
    pub bytes_sent: u64,
    /// HTTP status of the reply; 0 if none was sent.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Wall clock at its end, milliseconds since 1970. For [`Outcome::Cancelled`]: when the
    /// provider saw the client's disconnect.
    pub ended_ms: Option<u64>,
}

/// Totals since the start, or since the last `DELETE /_ledger`; kept even with `--no-ledger`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// TCP connections accepted.
    pub connections: u64,
    /// Completion requests.
    pub requests: u64,
    /// Of those, the ones in flight now.
    pub in_flight: u64,
    /// See [`Outcome::Completed`].
    pub completed: u64,
    /// See [`Outcome::Refused`].
    pub refused: u64,
    /// See [`Outcome::Cut`].
    pub cut: u64,
    /// See [`Outcome::Cancelled`].
    pub cancelled: u64,
    /// Visits of `/_redirected`: above 0, somebody followed a provider's redirect.
    pub redirects_followed: u64,
    /// Sum of the prompt tokens reported.
    pub prompt_tokens: u64,
    /// Sum of the completion tokens reported.
    pub completion_tokens: u64,
}

/// The form in which a key may appear in a ledger: the first 16 hex digits of its BLAKE3 hash.
pub fn key_hash(key: &str) -> String {
    let mut hex = blake3::hash(key.as_bytes()).to_hex().to_string();
    hex.truncate(16);
    hex
}

/// Wall clock, milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// A bounded ring of entries plus counters.
#[derive(Debug)]
pub(super) struct Ledger {
    ring: Mutex<Ring>,
    stats: Mutex<Stats>,
    capacity: usize,
    next_seq: AtomicU64,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Entry>,
}

impl Ledger {
    /// Keeps the last `capacity` entries; 0 keeps counters only.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            ring: Mutex::default(),
            stats: Mutex::default(),
            capacity,
            next_seq: AtomicU64::new(0),
        }
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn keeps_entries(&self) -> bool {
        self.capacity > 0
    }

    /// Enters a request; the ticket must be told how it ends, or it ends as cancelled when dropped.
    pub(super) fn open(self: &Arc<Self>, seq: u64, entry: Option<Entry>) -> Ticket {
        self.count(|stats| {
            stats.requests += 1;
            stats.in_flight += 1;
        });
        if let Some(entry) = entry {
            let mut ring = lock(&self.ring);
            if ring.entries.len() == self.capacity {
                ring.entries.pop_front();
            }
            ring.entries.push_back(entry);
        }
        Ticket {
            ledger: Arc::clone(self),
            seq,
            tally: Tally::default(),
            ended: false,
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut lock(&self.stats));
    }

    pub(super) fn stats(&self) -> Stats {
        *lock(&self.stats)
    }

    /// The entries from number `from` on, `most` of them at most.
    pub(super) fn entries(&self, from: u64, most: usize) -> Vec<Entry> {
        let ring = lock(&self.ring);
        let wanted = ring.entries.iter().filter(|entry| entry.seq >= from);
        wanted.take(most).cloned().collect()
    }

    /// Forgets entries and totals; requests in flight are still counted as in flight.
    pub(super) fn clear(&self) {
        lock(&self.ring).entries.clear();
        self.count(|stats| {
            *stats = Stats {
                in_flight: stats.in_flight,
                ..Stats::default()
            };
        });
    }
}

/// Facts about a reply, gathered without a lock while it is being sent.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) status: u16,
    pub(super) chunks: u32,
    pub(super) bytes: u64,
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
}

/// The obligation to enter how a request ended, exactly once.
#[derive(Debug)]
pub(super) struct Ticket {
    ledger: Arc<Ledger>,
    seq: u64,
    pub(super) tally: Tally,
    ended: bool,
}

impl Ticket {
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let tally = &self.tally;
        self.ledger.count(|stats| {
            stats.in_flight -= 1;
            stats.prompt_tokens += tally.prompt_tokens;
            stats.completion_tokens += tally.completion_tokens;
            match outcome {
                Outcome::InFlight => {}
                Outcome::Completed => stats.completed += 1,
                Outcome::Refused => stats.refused += 1,
                Outcome::Cut => stats.cut += 1,
                Outcome::Cancelled => stats.cancelled += 1,
            }
        });
        if self.ledger.keeps_entries() {
            self.write(outcome);
        }
    }

    fn write(&self, outcome: Outcome) {
        let mut ring = lock(&self.ledger.ring);
        // Entries are in the order of their numbers but for races of a few places, and the one
        // sought may have been cleared away.
        let Some(entry) = ring.entries.iter_mut().rev().find(|e| e.seq == self.seq) else {
            return;
        };
        entry.status = self.tally.status;
        entry.chunks_sent = self.tally.chunks;
        entry.bytes_sent = self.tally.bytes;
        entry.prompt_tokens = self.tally.prompt_tokens;
        entry.completion_tokens = self.tally.completion_tokens;
        entry.outcome = outcome;
        entry.ended_ms = Some(wall_ms());
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section leaves the data consistent at every step, so a panic elsewhere while
    // holding the lock does not make them unusable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
