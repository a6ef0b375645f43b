//! Limits that are raised for a while, as records. The owner of the counter writes them, and reads them when its term
//! begins.

use prost::Message;
use tollgate_quota::owner::{Event, Raise};
use tollgate_quota::{Counter, OwnerTime, Shard};
use tracing::{error, warn};

use super::record::escaped;
use super::write::Desk;
use super::{Done, Raising, Shell};
use crate::error::{Error, Result};
use crate::ownership::guard;
use crate::store::{Entry, Outcome};

/// Where they are.
pub(super) const PREFIX: &str = "/q/raise/";

/// A raise as stored.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Record {
    #[prost(string, tag = "1")]
    counter: String,
    #[prost(uint64, tag = "2")]
    units: u64,
    #[prost(uint64, tag = "3")]
    until_ms: u64,
}

/// A counter that is raised.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) counter: Counter,
    pub(super) raise: Raise,
}

impl Shell {
    /// For shards whose terms begin. Until they are read, policy's limits hold, which are lower.
    pub(super) fn load_raises(&mut self, shards: Vec<Shard>) {
        let (desk, wait) = (self.desk.clone(), self.backoff.draw());
        self.jobs.spawn(async move {
            match desk.load_raises().await {
                Ok(raises) => Done::Raises(shards, Some(raises)),
                Err(error) => {
                    warn!(%error, "cannot read which limits are raised, trying again");
                    tokio::time::sleep(wait).await;
                    Done::Raises(shards, None)
                }
            }
        });
    }

    pub(super) fn raises(&mut self, shards: Vec<Shard>, raises: Option<Vec<Stored>>) {
        let Some(raises) = raises else {
            return self.load_raises(shards);
        };
        for Stored { counter, raise } in raises {
            let shard = counter.shard();
            if shards.contains(&shard) {
                let raise = Some(raise);
                self.step(shard, Event::Raised { counter, raise });
            }
        }
    }

    pub(super) fn raise(&mut self, raising: Box<Raising>) {
        let shard = raising.counter.shard();
        // Dropping it tells the asker to look at the standing.
        let Some(epoch) = self.terms.epoch(shard) else {
            return;
        };
        let desk = self.desk.clone();
        self.jobs.spawn(async move {
            let outcome = desk.write_raise((shard, epoch), &raising).await;
            Done::Raised(raising, outcome)
        });
    }

    pub(super) fn raised(&mut self, raising: Raising, outcome: Result<()>) {
        if outcome.is_ok() {
            let Raising { counter, raise, .. } = &raising;
            let (counter, raise) = (counter.clone(), *raise);
            self.step(counter.shard(), Event::Raised { counter, raise });
        }
        // Whoever asked may have gone.
        let _ = raising.done.send(outcome);
    }
}

impl Desk {
    /// Reads all of them. One that is damaged is passed over: policy's limit, which is lower, holds.
    pub(super) async fn load_raises(&self) -> Result<Vec<Stored>> {
        let listing = self.store.range(PREFIX).await?;
        let read = listing.entries.iter().filter_map(|entry| {
            let damaged = |error: &Error| error!(%error, "passing over a limit that is raised");
            decode(entry).inspect_err(damaged).ok()
        });
        Ok(read.collect())
    }

    /// Writes one, or removes it, together with what the audit says of it.
    pub(super) async fn write_raise(&self, term: (Shard, u64), raising: &Raising) -> Result<()> {
        let path = path(&raising.counter);
        let txn = raising.audit.put_done(guard(term));
        let wanted = raising.raise.map(|raise| encode(&raising.counter, raise));
        let txn = match &wanted {
            Some(record) => txn.put(&path, record.clone()),
            None => txn.delete(&path),
        };
        match self.store.commit(txn).await {
            Ok(Outcome::Committed(_)) => Ok(()),
            Ok(Outcome::Conflict) => Err(Error::Busy("the limit has another owner by now")),
            Err(Error::OutcomeUnknown(reason)) => {
                let found = self.store.get(&path).await?.entry;
                let done = found.map(|entry| entry.value.to_vec()) == wanted;
                done.then_some(()).ok_or(Error::OutcomeUnknown(reason))
            }
            Err(error) => Err(error),
        }
    }
}

/// When the raise of that record is over.
pub(super) fn ends_at(entry: &Entry) -> Result<OwnerTime> {
    Ok(decode(entry)?.raise.until)
}

fn path(counter: &Counter) -> String {
    format!("{PREFIX}{}", escaped(counter))
}

fn encode(counter: &Counter, raise: Raise) -> Vec<u8> {
    let record = Record {
        counter: counter.as_str().to_owned(),
        units: raise.units,
        until_ms: raise.until.0,
    };
    record.encode_to_vec()
}

fn decode(entry: &Entry) -> Result<Stored> {
    let damaged = |reason: String| Error::Damaged {
        key: entry.key.clone(),
        reason,
    };
    let record = Record::decode(entry.value.clone()).map_err(|e| damaged(e.to_string()))?;
    let counter = Counter::parse(&record.counter).map_err(|e| damaged(e.to_string()))?;
    let raise = Raise {
        units: record.units,
        until: OwnerTime(record.until_ms),
    };
    Ok(Stored { counter, raise })
}

#[cfg(test)]
mod tests {
    use tollgate_quota::Kind;

    use super::*;

    #[test]
    fn a_raise_is_read_back() {
        let counter = Counter::new("month", Kind::Endless, "cost_usd=endless/team=a/b").unwrap();
        let raise = Raise {
            units: 7,
            until: OwnerTime(1_700_000_000_000),
        };
        let entry = Entry {
            key: path(&counter),
            value: encode(&counter, raise).into(),
            create_revision: 1,
            mod_revision: 1,
        };
        let stored = decode(&entry).unwrap();
        assert_eq!((stored.counter, stored.raise), (counter, raise));
        assert_eq!(ends_at(&entry).unwrap(), raise.until);
    }
}
