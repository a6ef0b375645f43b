//! Who hands out quota: of each shard of counters one replica at a time, fenced by the store.
//!
//! The record of a shard below [`OWNERS`] names its owner, and the revision that last wrote it is the **epoch**. Every
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
//! A replica registers below [`REPLICAS`], and writes that record anew while it lives, so that the others can tell.
//! Leases of the store play no part: they may lapse early or late, and a lapsed one proves nothing.

use std::collections::BTreeMap;

use prost::Message;
use tollgate_quota::Shard;

use crate::clock;
use crate::error::{Error, Result};
use crate::store::{Entry, Outcome, SharedStore, Txn};

/// The owners' records, by shard.
const OWNERS: &str = "/q/own/";
/// The replicas' records, by name.
const REPLICAS: &str = "/q/replica/";

/// An owner's record, or a replica's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Record {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(fixed64, tag = "5")]
    process: u64,
    /// When the shard was claimed, or the latest sign of life.
    #[prost(uint64, tag = "3")]
    at_ms: u64,
    /// Where other replicas reach it. Empty where it cannot be said.
    #[prost(string, tag = "4")]
    url: String,
}

/// A replica of the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Where others reach it. Empty where it cannot be said.
    pub url: String,
}

/// One process of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) replica: Replica,
    /// Tells it from earlier and later ones of the same name.
    pub(crate) number: u64,
}

/// What the store says at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sighting {
    /// Who owns each shard, and in which epoch.
    pub(crate) owners: BTreeMap<Shard, (Process, u64)>,
    /// All who have registered, and the revisions of their last signs of life.
    pub(crate) replicas: Vec<(Process, u64)>,
}

/// This process's part in it.
#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    store: SharedStore,
    me: Process,
}

impl Ownership {
    /// `number` is a random one.
    pub(crate) fn new(store: SharedStore, replica: Replica, number: u64) -> Self {
        let me = Process { replica, number };
        Self { store, me }
    }

    /// This process.
    pub(crate) fn me(&self) -> &Process {
        &self.me
    }

    /// Becomes the owner of shards in place of the records of those revisions, 0 where there is none. Returns the
    /// epoch; none where one of the records is another by now: of several that claim, one succeeds. At most as many as
    /// a transaction can compare.
    pub(crate) async fn claim(&self, shards: &[(Shard, u64)]) -> Result<Option<u64>> {
        let txn = shards.iter().fold(Txn::new(), |txn, (shard, over)| {
            txn.when_modified(path(*shard), *over)
                .put(path(*shard), self.record())
        });
        match self.store.commit(txn).await? {
            Outcome::Committed(epoch) => Ok(Some(epoch)),
            Outcome::Conflict => Ok(None),
        }
    }

    /// Gives a sign of life, in place of the one of that revision, 0 where there is none. False where the record is
    /// another by now.
    pub(crate) async fn register(&self, over: u64) -> Result<bool> {
        let key = format!("{REPLICAS}{}", self.me.replica.name);
        let txn = Txn::new().when_modified(&key, over).put(key, self.record());
        Ok(self.store.commit(txn).await? != Outcome::Conflict)
    }

    /// Takes this process's registration back, so that nobody waits for a sign of it.
    pub(crate) async fn deregister(&self) -> Result<()> {
        let sighting = self.look().await?;
        let mut mine = sighting.replicas.iter();
        if let Some((_, revision)) = mine.find(|(process, _)| *process == self.me) {
            let key = format!("{REPLICAS}{}", self.me.replica.name);
            // A conflict means that a later process of this name is there.
            let txn = Txn::new().when_modified(&key, *revision).delete(key);
            self.store.commit(txn).await?;
        }
        Ok(())
    }

    /// Looks who is there, and who owns what.
    pub(crate) async fn look(&self) -> Result<Sighting> {
        let mut sighting = Sighting::default();
        // First who is there: whoever owns anything had registered before.
        for entry in self.store.range(REPLICAS).await?.entries {
            sighting
                .replicas
                .push((decode(&entry)?, entry.mod_revision));
        }
        for entry in self.store.range(OWNERS).await?.entries {
            if let Some(shard) = shard_of(&entry.key) {
                let owner = (decode(&entry)?, entry.mod_revision);
                sighting.owners.insert(shard, owner);
            }
        }
        Ok(sighting)
    }

    fn record(&self) -> Vec<u8> {
        let record = Record {
            name: self.me.replica.name.clone(),
            url: self.me.replica.url.clone(),
            process: self.me.number,
            at_ms: clock::wall_ms(),
        };
        record.encode_to_vec()
    }
}

/// A transaction that only the owner of the shard in this epoch can make.
pub(crate) fn guard(term: (Shard, u64)) -> Txn {
    guarded(Txn::new(), term)
}

/// The transaction, to be made only by the owner of the shard in this epoch as well.
pub(crate) fn guarded(txn: Txn, (shard, epoch): (Shard, u64)) -> Txn {
    txn.when_modified(path(shard), epoch)
}

/// The key of a shard's owner.
pub(crate) fn path(shard: Shard) -> String {
    format!("{OWNERS}{:03}", shard.0)
}

fn shard_of(key: &str) -> Option<Shard> {
    let number = key.strip_prefix(OWNERS)?;
    // Before there were shards, there was one owner, of a shorter key.
    let number = Some(number).filter(|number| number.len() == 3)?;
    number.parse().ok().map(Shard)
}

fn decode(entry: &Entry) -> Result<Process> {
    let record = Record::decode(entry.value.clone()).map_err(|error| Error::Damaged {
        key: entry.key.clone(),
        reason: error.to_string(),
    })?;
    let Record {
        name, url, process, ..
    } = record;
    Ok(Process {
        replica: Replica { name, url },
        number: process,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::embedded::Embedded;

    fn ownership(store: &SharedStore, name: &str, number: u64) -> Ownership {
        let replica = Replica {
            name: name.to_owned(),
            url: format!("http://{name}:1"),
        };
        Ownership::new(Arc::clone(store), replica, number)
    }

    #[tokio::test]
    async fn a_takeover_raises_the_epoch_and_fences_the_old_owner() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let (a, b) = (ownership(&store, "a", 1), ownership(&store, "b", 2));
        let (one, two) = (Shard(0), Shard(255));

        let first = a.claim(&[(one, 0), (two, 0)]).await.unwrap().unwrap();
        let second = b.claim(&[(one, first)]).await.unwrap().unwrap();
        assert!(second > first);
        let late = a.claim(&[(one, first), (two, first)]).await.unwrap();
        assert_eq!(late, None, "of two that claim one succeeds");
        let write = |term| guard(term).put("/q/acct/x", "1");
        let outcome = store.commit(write((one, first))).await.unwrap();
        assert_eq!(outcome, Outcome::Conflict);
        let outcome = store.commit(write((two, first))).await.unwrap();
        assert!(
            matches!(outcome, Outcome::Committed(_)),
            "the other shard is its own still"
        );
        let seen = b.look().await.unwrap().owners;
        assert_eq!(seen[&one], (b.me().clone(), second));
        assert_eq!(seen[&two], (a.me().clone(), first));
        let again = b.claim(&[(one, second)]).await.unwrap().unwrap();
        assert!(
            again > second,
            "a claim by the owner itself is a new epoch as well"
        );
    }

    #[tokio::test]
    async fn one_process_of_a_name_is_registered() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let (old, new) = (ownership(&store, "a", 1), ownership(&store, "a", 2));
        assert!(old.register(0).await.unwrap());
        let at = old.look().await.unwrap().replicas[0].1;
        assert!(new.register(at).await.unwrap());
        assert!(!old.register(at).await.unwrap());
        old.deregister().await.unwrap();
        let replicas = new.look().await.unwrap().replicas;
        assert_eq!(replicas[0].0, *new.me(), "not the old one's to take back");
        new.deregister().await.unwrap();
        assert!(new.look().await.unwrap().replicas.is_empty());
    }
}
