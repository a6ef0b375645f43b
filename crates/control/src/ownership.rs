//! Who hands out quota: one replica at a time, fenced by the store.
//!
//! The record at [`OWN`] names the owner, and the revision that last wrote it is the owner's **epoch**. Every
//! write of a quota record is guarded by that revision, so that writes of an owner that has been replaced
//! fail, however long they were on their way, and without anybody having to make sure that it has stopped.
//!
//! That is also why a new owner may take over at once from one that may still be alive: what the old one
//! still hands out lies below the high-water marks that it wrote while it was the owner, and the new one
//! begins above them (rules R1 and R2 of the lease protocol). Taking over early costs units that stay unused
//! until their window ends, never a limit.
//!
//! The epoch is the record's *changing* revision rather than its creating one, because one transaction can
//! replace a record but cannot remove and create it: a takeover then is one step, with no moment in between.
//!
//! Leases of the store play no part: they may lapse early or late, and a lapsed one proves nothing.

use prost::Message;
use tracing::info;

use crate::clock;
use crate::error::{Error, Result};
use crate::store::{Entry, Outcome, SharedStore, Txn};

/// The owner's record. There is one shard now.
pub(crate) const OWN: &str = "/q/own/0";
/// Rewritten by a living owner, so that another replica can tell.
const BEAT: &str = "/q/beat/0";

/// The owner's record.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Record {
    #[prost(string, tag = "1")]
    name: String,
    /// Tells one claim from every other, where the store did not say what became of it.
    #[prost(uint64, tag = "2")]
    nonce: u64,
    #[prost(uint64, tag = "3")]
    claimed_ms: u64,
    /// Where other replicas reach it. Empty where it cannot be said.
    #[prost(string, tag = "4")]
    url: String,
}

/// This replica's part in it.
#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    store: SharedStore,
    me: Replica,
}

/// A replica of the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Where others reach it. Empty where it cannot be said.
    pub url: String,
}

/// What a replica that waits sees of the owner. While it changes, the owner is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) owner: Replica,
    pub(crate) epoch: u64,
    beat: u64,
}

impl Ownership {
    pub(crate) fn new(store: SharedStore, me: Replica) -> Self {
        Self { store, me }
    }

    /// This replica's name.
    pub(crate) fn name(&self) -> &str {
        &self.me.name
    }

    /// Becomes the owner in place of the record of that revision, 0 where there is none. Returns the epoch.
    ///
    /// # Errors
    /// [`Error::NotOwner`] where the record is another one by now: of several that claim, one succeeds.
    pub(crate) async fn claim(&self, over: u64) -> Result<u64> {
        let record = Record {
            name: self.me.name.clone(),
            url: self.me.url.clone(),
            nonce: getrandom::u64().map_err(|error| Error::Randomness(error.to_string()))?,
            claimed_ms: clock::wall_ms(),
        };
        let txn = Txn::new()
            .when_modified(OWN, over)
            .put(OWN, record.encode_to_vec());
        let epoch = match self.store.commit(txn).await {
            Ok(Outcome::Committed(epoch)) => epoch,
            Ok(Outcome::Conflict) => {
                return Err(Error::NotOwner(Replica {
                    name: "another".to_owned(),
                    url: String::new(),
                }));
            }
            Err(Error::OutcomeUnknown(reason)) => {
                let now = self.store.get(OWN).await?.entry;
                let ours = now.filter(|entry| decode(entry).is_ok_and(|found| found == record));
                ours.ok_or(Error::OutcomeUnknown(reason))?.mod_revision
            }
            Err(error) => return Err(error),
        };
        info!(epoch, over, "handing out quota");
        Ok(epoch)
    }

    /// Whether the epoch is still the current one.
    pub(crate) async fn holds(&self, epoch: u64) -> Result<bool> {
        let entry = self.store.get(OWN).await?.entry;
        Ok(entry.is_some_and(|entry| entry.mod_revision == epoch))
    }

    /// Shows that the owner is alive. False where it no longer is the owner.
    pub(crate) async fn beat(&self, epoch: u64) -> Result<bool> {
        let now = clock::wall_ms().to_string();
        let outcome = self.store.commit(guard(epoch).put(BEAT, now)).await?;
        Ok(outcome != Outcome::Conflict)
    }

    /// Gives ownership up, so that another replica need not wait.
    pub(crate) async fn release(&self, epoch: u64) -> Result<()> {
        // A conflict means that somebody else has taken it already.
        self.store.commit(guard(epoch).delete(OWN)).await?;
        Ok(())
    }

    /// Looks for the owner. None where there is none.
    pub(crate) async fn look(&self) -> Result<Option<Sighting>> {
        let Some(own) = self.store.get(OWN).await?.entry else {
            return Ok(None);
        };
        let beat = self.store.get(BEAT).await?.entry;
        let Record { name, url, .. } = decode(&own)?;
        Ok(Some(Sighting {
            owner: Replica { name, url },
            epoch: own.mod_revision,
            beat: beat.map_or(0, |entry| entry.mod_revision),
        }))
    }
}

/// A transaction that only the owner of this epoch can make.
pub(crate) fn guard(epoch: u64) -> Txn {
    Txn::new().when_modified(OWN, epoch)
}

fn decode(entry: &Entry) -> Result<Record> {
    Record::decode(entry.value.clone()).map_err(|error| Error::Damaged {
        key: entry.key.clone(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::embedded::Embedded;

    fn replica(name: &str) -> Replica {
        Replica {
            name: name.to_owned(),
            url: format!("http://{name}:1"),
        }
    }

    #[tokio::test]
    async fn a_takeover_raises_the_epoch_and_fences_the_old_owner() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let a = Ownership::new(Arc::clone(&store), replica("a"));
        let b = Ownership::new(Arc::clone(&store), replica("b"));

        let first = a.claim(0).await.unwrap();
        assert!(a.beat(first).await.unwrap());
        let second = b.claim(first).await.unwrap();
        assert!(
            a.claim(first).await.is_err(),
            "of two that claim one succeeds"
        );
        assert!(second > first);
        assert!(!a.holds(first).await.unwrap());
        assert!(!a.beat(first).await.unwrap());
        let write = guard(first).put("/q/acct/x", "1");
        assert_eq!(store.commit(write).await.unwrap(), Outcome::Conflict);
        assert_eq!(b.look().await.unwrap().unwrap().owner, replica("b"));

        a.release(first).await.unwrap();
        assert!(
            b.holds(second).await.unwrap(),
            "the old owner cannot release what it lost"
        );
        let again = b.claim(second).await.unwrap();
        assert!(
            again > second,
            "a claim by the owner itself is a new epoch as well"
        );
        b.release(again).await.unwrap();
        assert_eq!(b.look().await.unwrap(), None);
    }
}
