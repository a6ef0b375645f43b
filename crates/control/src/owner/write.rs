//! Reads and guarded writes of what the machines keep in the store.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_quota::owner::{Commit, Event, HorizonRecord, LedgerRow, Load, Record};
use tollgate_quota::{Counter, Shard};
use tracing::{debug, error};

use super::leave::Leaving;
use super::{horizon, record};
use crate::error::{Error, Result};
use crate::metrics;
use crate::ownership::{Ownership, guarded};
use crate::store::{Outcome, SharedStore, Txn};

/// Most records and rows written by one transaction, within a store's 128. One counter's are at most half.
pub(super) const MOST_OPERATIONS: usize = 120;

/// A shard, and the epoch in which something is asked for it.
pub(super) type Held = (Shard, u64);

/// What is to be read.
#[derive(Debug)]
pub(super) enum Read {
    Counter(Held, Counter),
    Horizon(Held),
}

/// A record to be written.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) term: Held,
    pub(super) what: What,
    pub(super) expected: i64,
}

/// What it says.
#[derive(Debug)]
pub(super) enum What {
    Counter {
        counter: Counter,
        record: Record,
        /// Rows to write with it.
        rows: Vec<LedgerRow>,
    },
    Horizon(HorizonRecord),
}

impl Read {
    pub(super) fn term(&self) -> Held {
        match self {
            Self::Counter(term, _) | Self::Horizon(term) => *term,
        }
    }
}

impl Write {
    /// Operations of a transaction: it writes a record and its rows, and compares the record's revision and that of the
    /// shard's owner.
    pub(super) fn operations(&self) -> usize {
        match &self.what {
            What::Counter { rows, .. } => (1 + rows.len()).max(2),
            What::Horizon(_) => 2,
        }
    }

    /// What the machine is to hear of it.
    fn heard(self, outcome: Commit) -> (Held, Event) {
        let event = match self.what {
            What::Counter { counter, .. } => Event::Persisted { counter, outcome },
            What::Horizon(_) => Event::HorizonPersisted(outcome),
        };
        (self.term, event)
    }
}

/// Reads and writes of this replica.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) store: SharedStore,
    pub(super) ownership: Ownership,
}

/// What came of it, and whether the store failed.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) events: Vec<(Held, Event)>,
    pub(super) failed: bool,
}

impl Desk {
    pub(super) async fn read(&self, read: Read) -> Answered {
        let (term, event, failed) = match read {
            Read::Counter(term, counter) => {
                let outcome = self.load(&counter).await;
                let failed = outcome == Load::Failed;
                (term, Event::Loaded { counter, outcome }, failed)
            }
            Read::Horizon(term) => {
                let outcome = self.load_horizon(term.0).await;
                let failed = outcome == Load::Failed;
                (term, Event::HorizonLoaded(outcome), failed)
            }
        };
        Answered {
            events: vec![(term, event)],
            failed,
        }
    }

    async fn load(&self, counter: &Counter) -> Load {
        let read = match counter.kind().is_ledger() {
            true => self.read_rows(counter).await,
            false => self.read_record(counter).await,
        };
        read.unwrap_or_else(|error| {
            if matches!(error, Error::Damaged { .. }) {
                error!(%error, "cannot hand out units of a counter");
            } else {
                debug!(%error, "cannot read a counter");
            }
            Load::Failed
        })
    }

    async fn read_record(&self, counter: &Counter) -> Result<Load> {
        let Some(entry) = self.store.get(&record::path(counter)).await?.entry else {
            return Ok(Load::Absent);
        };
        let (_, record) = record::decode(&entry)?;
        Ok(Load::Found(record, signed(entry.mod_revision)))
    }

    /// Reads a counter's record and rows at one revision.
    async fn read_rows(&self, counter: &Counter) -> Result<Load> {
        let listing = self.store.range(&record::ledger(counter)).await?;
        let (mut found, mut rows) = (None, Vec::new());
        for entry in &listing.entries {
            match record::decode_row(entry)? {
                Some(row) => rows.push(row),
                None => found = Some((record::decode(entry)?.1, signed(entry.mod_revision))),
            }
        }
        Ok(Load::Rows {
            record: found,
            rows,
        })
    }

    pub(super) async fn write(&self, writes: Vec<Write>) -> Answered {
        let started = Instant::now();
        let outcomes = self.commit(&writes).await;
        let name = match outcomes.first() {
            Some(Commit::Committed(_)) => "committed",
            Some(Commit::Unknown) => "unknown",
            Some(_) if outcomes.contains(&Commit::Lost) => "lost",
            Some(Commit::Conflict | Commit::Lost) | None => "conflict",
        };
        metrics::quota_write(name, started.elapsed().as_secs_f64());
        let failed = outcomes.contains(&Commit::Unknown);
        let events = writes.into_iter().zip(outcomes);
        let events = events.map(|(write, outcome)| write.heard(outcome));
        Answered {
            events: events.collect(),
            failed,
        }
    }

    /// Writes all or nothing. Returns what became of each.
    async fn commit(&self, writes: &[Write]) -> Vec<Commit> {
        let all = |outcome: Commit| vec![outcome; writes.len()];
        match self.store.commit(transaction(writes)).await {
            Ok(Outcome::Committed(revision)) => all(Commit::Committed(signed(revision))),
            Ok(Outcome::Conflict) => self.explain(writes).await,
            Err(Error::OutcomeUnknown(reason)) => {
                debug!(reason, "cannot tell whether counters were written");
                all(Commit::Unknown)
            }
            // Nothing was written. To the machine an unknown outcome is the safe reading of that.
            Err(error) => {
                debug!(%error, "cannot write counters");
                all(Commit::Unknown)
            }
        }
    }

    /// Why guarded writes conflicted: because of a guard, or because of a record.
    async fn explain(&self, writes: &[Write]) -> Vec<Commit> {
        let owners = self.ownership.look().await;
        let owners = owners.map(|sighting| sighting.owners);
        let outcome = |(shard, epoch): Held| match &owners {
            Ok(owners) if owners.get(&shard).map(|(_, epoch)| *epoch) != Some(epoch) => {
                Commit::Lost
            }
            // Where the store cannot say, the records are read again, and the next write tells.
            Ok(_) | Err(_) => Commit::Conflict,
        };
        writes.iter().map(|write| outcome(write.term)).collect()
    }

    /// Releases shards, each as far as it is still held.
    pub(super) async fn release(&self, shards: &[Leaving]) -> Result<()> {
        if self.store.commit(release(shards)).await? != Outcome::Conflict {
            return Ok(());
        }
        for shard in shards {
            // A conflict means that somebody else has taken it already.
            self.store
                .commit(release(std::slice::from_ref(shard)))
                .await?;
        }
        Ok(())
    }
}

fn transaction(writes: &[Write]) -> Txn {
    let mut terms: Vec<_> = writes.iter().map(|write| write.term).collect();
    terms.sort_unstable();
    terms.dedup();
    let txn = terms.into_iter().fold(Txn::new(), guarded);
    writes.iter().fold(txn, |txn, write| {
        let expected = u64::try_from(write.expected).unwrap_or(0);
        match &write.what {
            What::Counter {
                counter,
                record,
                rows,
            } => {
                let path = record::path(counter);
                let value = record::encode(counter, record);
                let txn = txn.when_modified(&path, expected).put(path, value);
                rows.iter().fold(txn, |txn, row| {
                    txn.put(record::row_path(counter, row), record::encode_row(row))
                })
            }
            What::Horizon(record) => {
                let path = horizon::path(write.term.0);
                let value = horizon::encode(record);
                txn.when_modified(&path, expected).put(path, value)
            }
        }
    })
}

fn release(shards: &[Leaving]) -> Txn {
    shards.iter().fold(Txn::new(), |txn, leaving| {
        let (shard, _) = leaving.term;
        let txn = guarded(txn, leaving.term).delete(crate::ownership::path(shard));
        match &leaving.horizon {
            Some(record) => txn.put(horizon::path(shard), horizon::encode(record)),
            None => txn,
        }
    })
}

/// Waits after a failure before the machine hears of it, since it asks again at once.
pub(super) async fn after(answered: Answered, wait: Duration) -> Answered {
    if answered.failed {
        tokio::time::sleep(wait).await;
    }
    answered
}

pub(super) fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
