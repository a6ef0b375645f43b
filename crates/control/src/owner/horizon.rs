//! The horizon's record in the store: until when the owner may hand out units whose charge is not written down
//! counter by counter.

use prost::Message;
use tollgate_quota::owner::{Commit, Event, HorizonRecord, Load};
use tollgate_quota::{Epoch, OwnerTime};
use tracing::{debug, error};

use super::write::{Answered, Desk, signed};
use crate::error::{Error, Result};
use crate::ownership::guard;
use crate::store::Entry;

/// Where the record is. There is one shard now.
const PATH: &str = "/q/horizon/0";

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Stored {
    #[prost(uint64, tag = "1")]
    until: u64,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(int64, tag = "3")]
    epoch: i64,
}

fn encode(record: &HorizonRecord) -> Vec<u8> {
    let stored = Stored {
        until: record.until.0,
        revision: record.revision,
        epoch: record.epoch.0,
    };
    stored.encode_to_vec()
}

fn decode(entry: &Entry) -> Result<HorizonRecord> {
    let damaged = |error: prost::DecodeError| Error::Damaged {
        key: entry.key.clone(),
        reason: error.to_string(),
    };
    let stored = Stored::decode(entry.value.clone()).map_err(damaged)?;
    Ok(HorizonRecord {
        until: OwnerTime(stored.until),
        revision: stored.revision,
        epoch: Epoch(stored.epoch),
    })
}

impl Desk {
    pub(super) async fn load_horizon(&self) -> Answered {
        let outcome = match self.store.get(PATH).await {
            Ok(lookup) => match lookup.entry.as_ref().map(decode).transpose() {
                Ok(Some(record)) => {
                    let revision = lookup.entry.map_or(0, |entry| entry.mod_revision);
                    Load::Found(record, signed(revision))
                }
                Ok(None) => Load::Absent,
                Err(damaged) => {
                    error!(error = %damaged, "cannot hand out units by the horizon");
                    Load::Failed
                }
            },
            Err(unread) => {
                debug!(error = %unread, "cannot read the horizon");
                Load::Failed
            }
        };
        Answered {
            failed: outcome == Load::Failed,
            events: vec![Event::HorizonLoaded(outcome)],
        }
    }

    pub(super) async fn write_horizon(&self, record: HorizonRecord, expected: i64) -> Answered {
        let expected = u64::try_from(expected).unwrap_or(0);
        let txn = guard(self.epoch)
            .when_modified(PATH, expected)
            .put(PATH, encode(&record));
        let outcome = self.commit(txn).await;
        Answered {
            failed: outcome == Commit::Unknown,
            events: vec![Event::HorizonPersisted(outcome)],
        }
    }

    /// At the end of a term that hands out nothing more: the next one need not wait longer than leases last.
    pub(super) async fn lower_horizon(&self, record: HorizonRecord) -> Result<()> {
        let txn = guard(self.epoch).put(PATH, encode(&record));
        // A conflict means that somebody else is the owner by now, and has read it already.
        self.store.commit(txn).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_read_back() {
        let record = HorizonRecord {
            until: OwnerTime(1_700_000_000_000),
            revision: 7,
            epoch: Epoch(9),
        };
        let entry = Entry {
            key: PATH.to_owned(),
            value: encode(&record).into(),
            create_revision: 1,
            mod_revision: 2,
        };
        assert_eq!(decode(&entry).unwrap(), record);
        let damaged = Entry {
            value: vec![0xff].into(),
            ..entry
        };
        assert!(matches!(decode(&damaged), Err(Error::Damaged { .. })));
    }
}
