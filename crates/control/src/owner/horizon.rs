//! The horizons' records in the store: until when the owner of a shard may hand out units whose charge is not written down
//! counter by counter.

use prost::Message;
use tollgate_quota::owner::{HorizonRecord, Legacy, Load};
use tollgate_quota::{Counter, Epoch, OwnerTime, Shard};
use tracing::{debug, error};

use super::write::{Desk, signed};
use crate::error::{Error, Result};
use crate::store::Entry;

/// Where the records are, by shard.
const PREFIX: &str = "/q/horizon/";
/// The one of all counters, before they were divided into shards. It counts where a shard has none of its own.
const FORMER: &str = "/q/horizon/0";

#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(uint64, tag = "1")]
    until: u64,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(int64, tag = "3")]
    epoch: i64,
    /// Absent where the owner left no word of what it had handed out.
    #[prost(uint64, optional, tag = "5")]
    untold: Option<u64>,
    #[prost(message, repeated, tag = "6")]
    left: Vec<StoredLegacy>,
    /// Absent where the owner kept no records of some limits without windows.
    #[prost(uint64, optional, tag = "7")]
    unrecorded: Option<u64>,
}

/// What is left word of, of one counter.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredLegacy {
    #[prost(string, tag = "1")]
    counter: String,
    #[prost(uint64, tag = "2")]
    at: u64,
    #[prost(uint64, tag = "3")]
    out: u64,
}

pub(super) fn path(shard: Shard) -> String {
    format!("{PREFIX}{:03}", shard.0)
}

pub(super) fn encode(record: &HorizonRecord) -> Vec<u8> {
    let stored = Stored {
        until: record.until.0,
        revision: record.revision,
        epoch: record.epoch.0,
        unrecorded: Some(record.unrecorded.0),
        untold: Some(record.untold.0),
        left: record.left.iter().map(StoredLegacy::of).collect(),
    };
    stored.encode_to_vec()
}

impl StoredLegacy {
    fn of((counter, legacy): &(Counter, Legacy)) -> Self {
        Self {
            counter: counter.as_str().to_owned(),
            at: legacy.at.0,
            out: legacy.out,
        }
    }

    fn read(self) -> std::result::Result<(Counter, Legacy), tollgate_quota::Error> {
        let legacy = Legacy {
            at: OwnerTime(self.at),
            out: self.out,
        };
        Ok((Counter::parse(&self.counter)?, legacy))
    }
}

fn decode(entry: &Entry) -> Result<HorizonRecord> {
    let damaged = |reason: String| Error::Damaged {
        key: entry.key.clone(),
        reason,
    };
    let stored = Stored::decode(entry.value.clone()).map_err(|error| damaged(error.to_string()))?;
    let left: std::result::Result<Vec<_>, _> =
        stored.left.into_iter().map(StoredLegacy::read).collect();
    Ok(HorizonRecord {
        until: OwnerTime(stored.until),
        revision: stored.revision,
        epoch: Epoch(stored.epoch),
        unrecorded: OwnerTime(stored.unrecorded.unwrap_or(stored.until)),
        untold: OwnerTime(stored.untold.unwrap_or(stored.until)),
        left: left.map_err(|error| damaged(error.to_string()))?.into(),
    })
}

impl Desk {
    pub(super) async fn load_horizon(&self, shard: Shard) -> Load<HorizonRecord> {
        let read = self.read_horizon(shard).await;
        read.unwrap_or_else(|error| {
            if matches!(error, Error::Damaged { .. }) {
                error!(%error, "cannot hand out units by the horizon");
            } else {
                debug!(%error, "cannot read the horizon");
            }
            Load::Failed
        })
    }

    async fn read_horizon(&self, shard: Shard) -> Result<Load<HorizonRecord>> {
        if let Some(entry) = self.store.get(&path(shard)).await?.entry {
            return Ok(Load::Found(decode(&entry)?, signed(entry.mod_revision)));
        }
        // The shard's own record does not exist, which is what the first write of it is to find.
        let former = self.store.get(FORMER).await?.entry;
        let former = former.as_ref().map(decode).transpose()?;
        Ok(former.map_or(Load::Absent, |record| Load::Found(record, 0)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_quota::Kind;

    use super::*;
    use crate::ownership::{Ownership, Replica};
    use crate::store::embedded::Embedded;
    use crate::store::{SharedStore, Txn};

    fn record(until: u64) -> HorizonRecord {
        HorizonRecord {
            until: OwnerTime(until),
            revision: 7,
            epoch: Epoch(9),
            unrecorded: OwnerTime(3),
            untold: OwnerTime(4),
            left: Arc::default(),
        }
    }

    #[test]
    fn the_record_is_read_back() {
        let kind = Kind::Fixed { window_ms: 4_000 };
        let legacy = Legacy {
            at: OwnerTime(1_700_000_000_001),
            out: 2,
        };
        let record = HorizonRecord {
            left: [(Counter::new("limit", kind, "acme/ada").unwrap(), legacy)].into(),
            ..record(1_700_000_000_000)
        };
        let entry = Entry {
            key: path(Shard(3)),
            value: encode(&record).into(),
            create_revision: 1,
            mod_revision: 2,
        };
        assert_eq!(decode(&entry).unwrap(), record);
        // Of one that says nothing of that, all of it has to be waited for.
        let older = Stored {
            until: 5,
            ..Stored::default()
        };
        let older = decode(&Entry {
            value: older.encode_to_vec().into(),
            ..entry.clone()
        });
        assert_eq!(older.unwrap().untold, OwnerTime(5));
        let damaged = Entry {
            value: vec![0xff].into(),
            ..entry
        };
        assert!(matches!(decode(&damaged), Err(Error::Damaged { .. })));
    }

    #[tokio::test]
    async fn the_one_horizon_of_old_bounds_every_shard_until_it_has_its_own() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let desk = Desk {
            store: Arc::clone(&store),
            ownership: Ownership::new(Arc::clone(&store), Replica::default(), 1),
        };
        assert_eq!(desk.load_horizon(Shard(4)).await, Load::Absent);
        let put = Txn::new().put(FORMER, encode(&record(5)));
        store.commit(put).await.unwrap();
        assert_eq!(desk.load_horizon(Shard(4)).await, Load::Found(record(5), 0));
        let put = Txn::new().put(path(Shard(4)), encode(&record(6)));
        store.commit(put).await.unwrap();
        let found = desk.load_horizon(Shard(4)).await;
        assert!(matches!(found, Load::Found(own, 1..) if own == record(6)));
    }
}
