//! Reads and guarded writes of counters' records.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_quota::Counter;
use tollgate_quota::owner::{Commit, Event, Load, Record};
use tracing::{debug, error};

use super::record;
use crate::error::Error;
use crate::metrics;
use crate::ownership::{Ownership, guard};
use crate::store::{Outcome, SharedStore, Txn};

/// Most records written by one transaction, which compares and writes each, within a store's 128.
pub(super) const MOST_RECORDS: usize = 60;

/// A record to be written.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) counter: Counter,
    pub(super) record: Record,
    pub(super) expected: i64,
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
        let outcome = match self.store.get(&record::path(&counter)).await {
            Ok(lookup) => match lookup.entry.as_ref().map(record::decode).transpose() {
                Ok(Some((_, record))) => {
                    let revision = lookup.entry.map_or(0, |entry| entry.mod_revision);
                    Load::Found(record, signed(revision))
                }
                Ok(None) => Load::Absent,
                Err(damaged) => {
                    error!(error = %damaged, "cannot hand out units of a counter");
                    Load::Failed
                }
            },
            Err(unread) => {
                debug!(error = %unread, "cannot read a counter");
                Load::Failed
            }
        };
        Answered {
            failed: outcome == Load::Failed,
            events: vec![Event::Loaded { counter, outcome }],
        }
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
            txn.when_modified(&path, expected).put(path, value)
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
