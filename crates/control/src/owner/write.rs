//! Reads and guarded writes of counters' records.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_quota::Counter;
use tollgate_quota::owner::{Commit, Event, LedgerRow, Load, Record};
use tracing::{debug, error};

use super::record;
use crate::error::{Error, Result};
use crate::metrics;
use crate::ownership::{Ownership, guard};
use crate::store::{Outcome, SharedStore, Txn};

/// Most records and rows written by one transaction, within a store's 128. One counter's are at most half.
pub(super) const MOST_OPERATIONS: usize = 120;

/// A record to be written.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) counter: Counter,
    pub(super) record: Record,
    /// Rows to write with it.
    pub(super) rows: Vec<LedgerRow>,
    pub(super) expected: i64,
}

impl Write {
    /// Operations of a transaction.
    pub(super) fn operations(&self) -> usize {
        1 + self.rows.len()
    }
}

/// Reads and writes in one term.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) store: SharedStore,
    pub(super) ownership: Ownership,
    pub(super) epoch: u64,
}

/// What came of it, and whether the store failed.
pub(super) struct Answered {
    pub(super) events: Vec<Event>,
    pub(super) failed: bool,
}

impl Desk {
    pub(super) async fn load(&self, counter: Counter) -> Answered {
        let read = match counter.kind().is_ledger() {
            true => self.read_rows(&counter).await,
            false => self.read_record(&counter).await,
        };
        let outcome = read.unwrap_or_else(|error| {
            if matches!(error, Error::Damaged { .. }) {
                error!(%error, "cannot hand out units of a counter");
            } else {
                debug!(%error, "cannot read a counter");
            }
            Load::Failed
        });
        Answered {
            failed: outcome == Load::Failed,
            events: vec![Event::Loaded { counter, outcome }],
        }
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

    /// Writes records in one transaction: all of them or none.
    pub(super) async fn write(&self, writes: Vec<Write>) -> Answered {
        let started = Instant::now();
        let outcome = self.commit(self.transaction(&writes)).await;
        let name = match outcome {
            Commit::Committed(_) => "committed",
            Commit::Conflict => "conflict",
            Commit::Lost => "lost",
            Commit::Unknown => "unknown",
        };
        metrics::quota_write(name, started.elapsed().as_secs_f64());
        let events = writes.into_iter();
        let events = events.map(|Write { counter, .. }| Event::Persisted { counter, outcome });
        Answered {
            events: events.collect(),
            failed: outcome == Commit::Unknown,
        }
    }

    fn transaction(&self, writes: &[Write]) -> Txn {
        writes.iter().fold(guard(self.epoch), |txn, write| {
            let path = record::path(&write.counter);
            let expected = u64::try_from(write.expected).unwrap_or(0);
            let value = record::encode(&write.counter, &write.record);
            let txn = txn.when_modified(&path, expected).put(path, value);
            write.rows.iter().fold(txn, |txn, row| {
                txn.put(
                    record::row_path(&write.counter, row),
                    record::encode_row(row),
                )
            })
        })
    }

    pub(super) async fn commit(&self, txn: Txn) -> Commit {
        match self.store.commit(txn).await {
            Ok(Outcome::Committed(revision)) => Commit::Committed(signed(revision)),
            Ok(Outcome::Conflict) => self.explain().await,
            Err(Error::OutcomeUnknown(reason)) => {
                debug!(reason, "cannot tell whether counters were written");
                Commit::Unknown
            }
            // Nothing was written. To the machine an unknown outcome is the safe reading of that.
            Err(error) => {
                debug!(%error, "cannot write counters");
                Commit::Unknown
            }
        }
    }

    /// Why a guarded write conflicted: because of the guard, or because of a record.
    async fn explain(&self) -> Commit {
        match self.ownership.holds(self.epoch).await {
            Ok(false) => Commit::Lost,
            // Where the store cannot say, the records are read again, and the next write tells.
            Ok(true) | Err(_) => Commit::Conflict,
        }
    }
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
