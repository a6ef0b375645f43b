//! The one place state is kept: small records under `/`-separated keys, written by guarded transactions.
//!
//! Two stores implement [`Store`]: [`etcd`] for a fleet and [`embedded`] for one machine. One contract suite
//! (`tests/control/store.rs`) runs over both, so the rest of the crate never asks which one it has.
//!
//! The model is etcd's, because the lease protocol needs exactly that: one revision counter for the whole
//! store; each record remembers the revision that created it and the one that last changed it; a transaction
//! compares those and writes, or writes nothing; a watch sees every change once, in order.
//!
//! What a store does *not* offer: leases that expire (a lapsed etcd lease proves nothing about the process
//! that held it), locks, and reads of the past.

pub mod embedded;
pub mod etcd;
pub mod watch;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};

/// A future that a [`Store`] returns. Boxed, so that the trait has an object form.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A shared store.
pub type SharedStore = Arc<dyn Store>;

/// Most compares, puts or deletes in one transaction (etcd's default `--max-txn-ops`).
pub const MAX_TXN_OPS: usize = 128;

/// Most bytes of keys and values in one transaction. Below etcd's default request limit of 1.5 MiB, with
/// room for the framing.
pub const MAX_TXN_BYTES: usize = 1_400_000;

/// A record as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Bytes,
    /// Revision of the transaction that created it.
    pub create_revision: u64,
    /// Revision of the transaction that last wrote it.
    pub mod_revision: u64,
}

/// Records read at one revision, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The records.
    pub entries: Vec<Entry>,
    /// The store's revision that they were read at.
    pub revision: u64,
    /// Whether more follow the last one.
    pub more: bool,
}

/// One record, or its absence, read at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The record, if there is one.
    pub entry: Option<Entry>,
    /// The store's revision that it was read at.
    pub revision: u64,
}

/// A condition of a transaction. Revision 0 means that the key does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The record was created by this revision.
    Created {
        /// Its key.
        key: String,
        /// The revision.
        revision: u64,
    },
    /// The record was last written by this revision.
    Modified {
        /// Its key.
        key: String,
        /// The revision.
        revision: u64,
    },
}

/// A guarded transaction: if every compare holds, all puts and deletes happen at one revision, else none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// Conditions.
    pub compares: Vec<Compare>,
    /// Records to write.
    pub puts: Vec<(String, Bytes)>,
    /// Keys to remove.
    pub deletes: Vec<String>,
}

/// What became of a transaction whose outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every write happened, at this revision.
    Committed(u64),
    /// A compare failed, nothing was written.
    Conflict,
}

/// A change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The record was written.
    Put(Entry),
    /// The record was removed.
    Delete {
        /// Its key.
        key: String,
        /// The revision that removed it.
        revision: u64,
    },
}

/// Changes of one or more whole revisions, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The changes.
    pub events: Vec<Event>,
    /// The last revision among them.
    pub revision: u64,
}

/// Why a [`Feed`] ended.
#[derive(Debug)]
pub enum FeedEnd {
    /// Changes after the wanted revision have been forgotten: what is held must be read again.
    Compacted,
    /// The connection to the store is gone: ask for a new feed from the same revision.
    Lost(Error),
}

/// One subscription to changes. It ends at the first trouble; [`watch::Watch`] makes it last.
pub trait Feed: Send + fmt::Debug {
    /// Waits for the next changes. Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, std::result::Result<Batch, FeedEnd>>;
}

/// A durable store of records. See the module's documentation.
pub trait Store: Send + Sync + fmt::Debug {
    /// Whether this process is the only one that can use the store, so that nobody need be told that it is
    /// alive.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// Tells this store from a copy of it that was restored elsewhere or later. 0 where that cannot be told.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] where the store cannot be reached in time.
    fn identity(&self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async { Ok(0) })
    }

    /// Reads one record, as of now.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] where the store cannot be reached in time.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Lookup>>;

    /// Reads every record whose key starts with `prefix`, all at one revision.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] where the store cannot be reached in time.
    fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing>>;

    /// Reads up to `limit` records whose key starts with `prefix` and sorts after `after` (empty: from the
    /// first). Successive pages may be of different revisions.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] where the store cannot be reached in time.
    fn page<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing>>;

    /// Runs a guarded transaction.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] where it may or may not have happened (read again before relying on
    /// either); [`Error::StoreUnavailable`] where it surely did not; [`Error::StoreRefused`] where it can
    /// never succeed as it is.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome>>;

    /// Subscribes to changes of keys that start with `prefix`, those after revision `after`.
    ///
    /// # Errors
    /// As [`FeedEnd`].
    fn feed<'a>(
        &'a self,
        prefix: &'a str,
        after: u64,
    ) -> BoxFuture<'a, std::result::Result<Box<dyn Feed>, FeedEnd>>;
}

impl Txn {
    /// Begins a transaction without conditions and writes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that the key was last written by this revision; 0 that it does not exist.
    #[must_use]
    pub fn when_modified(mut self, key: impl Into<String>, revision: u64) -> Self {
        let key = key.into();
        self.compares.push(Compare::Modified { key, revision });
        self
    }

    /// Requires that the key was created by this revision; 0 that it does not exist.
    #[must_use]
    pub fn when_created(mut self, key: impl Into<String>, revision: u64) -> Self {
        let key = key.into();
        self.compares.push(Compare::Created { key, revision });
        self
    }

    /// Writes a record.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.puts.push((key.into(), value.into()));
        self
    }

    /// Removes a record, if it exists.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.deletes.push(key.into());
        self
    }

    /// Refuses what some store could not run, so that both refuse the same.
    ///
    /// # Errors
    /// [`Error::StoreRefused`] naming the reason.
    pub(crate) fn check(&self) -> Result<()> {
        let ops = self
            .compares
            .len()
            .max(self.puts.len() + self.deletes.len());
        if ops > MAX_TXN_OPS {
            let reason = format!("{ops} operations in one transaction, {MAX_TXN_OPS} at most");
            return Err(Error::StoreRefused(reason));
        }
        let bytes: usize = self.puts.iter().map(|(k, v)| k.len() + v.len()).sum();
        if bytes > MAX_TXN_BYTES {
            let reason = format!("{bytes} bytes in one transaction, {MAX_TXN_BYTES} at most");
            return Err(Error::StoreRefused(reason));
        }
        let mut written: Vec<&str> = self.puts.iter().map(|(key, _)| key.as_str()).collect();
        written.extend(self.deletes.iter().map(String::as_str));
        written.sort_unstable();
        if written.first().is_some_and(|key| key.is_empty()) {
            return Err(Error::StoreRefused("an empty key".to_owned()));
        }
        if let Some(pair) = written.windows(2).find(|pair| pair[0] == pair[1]) {
            let reason = format!("key {} written twice in one transaction", pair[0]);
            return Err(Error::StoreRefused(reason));
        }
        Ok(())
    }
}

impl Event {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision that changed it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match self {
            Self::Put(entry) => entry.mod_revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(txn: &Txn) -> String {
        match txn.check() {
            Err(Error::StoreRefused(reason)) => reason,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn refuses_what_etcd_would_refuse() {
        let many = (0..=MAX_TXN_OPS).fold(Txn::new(), |txn, n| txn.put(format!("/{n}"), "x"));
        assert!(refusal(&many).contains("129 operations"));
        let compares =
            (0..=MAX_TXN_OPS).fold(Txn::new(), |txn, n| txn.when_created(format!("/{n}"), 0));
        assert!(refusal(&compares).contains("129 operations"));
        let big = Txn::new().put("/a", vec![0; MAX_TXN_BYTES]);
        assert!(refusal(&big).contains("bytes"));
        assert!(refusal(&Txn::new().put("/a", "1").delete("/a")).contains("written twice"));
        assert!(refusal(&Txn::new().delete("")).contains("empty key"));
    }

    #[test]
    fn accepts_a_full_transaction() {
        let full = (0..MAX_TXN_OPS).fold(Txn::new(), |txn, n| {
            txn.when_modified(format!("/{n}"), 0)
                .put(format!("/{n}"), "x")
        });
        full.check().unwrap();
    }
}
