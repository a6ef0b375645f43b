//! What operators did to limits, as records that sort the latest first.

use prost::Message;
use tollgate_proto::admin::v1 as admin;

use crate::clock;
use crate::error::{Error, Result};
use crate::store::{Entry, SharedStore, Txn};

/// Where the records are.
const PREFIX: &str = "/audit/";
/// So many are kept.
const MOST: usize = 10_000;
/// Records read, or removed, at once.
const PAGE: usize = 100;
/// Longest name of who asks, and longest reason, in bytes.
const MOST_BY: usize = 128;
const MOST_REASON: usize = 512;

/// One record.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Record {
    #[prost(uint64, tag = "1")]
    at_ms: u64,
    /// Tells it from others of the same millisecond.
    #[prost(fixed64, tag = "2")]
    nonce: u64,
    #[prost(string, tag = "3")]
    by: String,
    #[prost(string, tag = "4")]
    action: String,
    #[prost(string, tag = "5")]
    counter: String,
    #[prost(string, tag = "6")]
    detail: String,
    #[prost(string, tag = "7")]
    reason: String,
    #[prost(bool, tag = "8")]
    done: bool,
}

/// Who asks for something, and why.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    by: String,
    reason: String,
}

impl Asker {
    /// Checks what a request says of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] where one of them is missing or too long.
    pub(crate) fn new(by: &str, reason: &str) -> Result<Self> {
        let check = |field, text: &str, most| {
            let missing = "is empty: the audit has to say who asked for this, and why";
            match text.trim().len() {
                0 => Err(Error::field(field, missing)),
                length if length > most => {
                    let message = format!("has {length} bytes; use {most} at most");
                    Err(Error::field(field, message))
                }
                _ => Ok(text.trim().to_owned()),
            }
        };
        Ok(Self {
            by: check("by", by, MOST_BY)?,
            reason: check("reason", reason, MOST_REASON)?,
        })
    }

    /// A record of what is done now to that counter.
    pub(crate) fn record(self, action: &str, counter: &str, detail: String) -> Result<Record> {
        Ok(Record {
            at_ms: clock::wall_ms(),
            nonce: getrandom::u64().map_err(|error| Error::Randomness(error.to_string()))?,
            by: self.by,
            action: action.to_owned(),
            counter: counter.to_owned(),
            detail,
            reason: self.reason,
            done: false,
        })
    }
}

impl Record {
    /// Adds it, as done, to the transaction that does it.
    pub(crate) fn put_done(&self, txn: Txn) -> Txn {
        let done = Self {
            done: true,
            ..self.clone()
        };
        txn.put(self.path(), done.encode_to_vec())
    }

    /// Writes it before what it speaks of is done, so that nothing is done without a record.
    pub(crate) async fn announce(&self, store: &SharedStore) -> Result<()> {
        let put = Txn::new().put(self.path(), self.encode_to_vec());
        store.commit(put).await?;
        Ok(())
    }

    /// Notes that it is done.
    pub(crate) async fn done(&self, store: &SharedStore) -> Result<()> {
        store.commit(self.put_done(Txn::new())).await?;
        Ok(())
    }

    /// The later, the lower.
    fn path(&self) -> String {
        format!("{PREFIX}{:020}-{:016x}", u64::MAX - self.at_ms, self.nonce)
    }

    fn decode_entry(entry: &Entry) -> Result<Self> {
        Self::decode(entry.value.clone()).map_err(|error| Error::Damaged {
            key: entry.key.clone(),
            reason: error.to_string(),
        })
    }

    fn to_admin(&self) -> admin::AuditRecord {
        admin::AuditRecord {
            at: Some(clock::timestamp(self.at_ms)),
            by: self.by.clone(),
            action: self.action.clone(),
            counter: self.counter.clone(),
            detail: self.detail.clone(),
            reason: self.reason.clone(),
            done: self.done,
        }
    }
}

/// Lists records, the latest first, from after that key; with the key to go on after, if there are more.
pub(crate) async fn list(
    store: &SharedStore,
    after: &str,
    limit: usize,
) -> Result<(Vec<admin::AuditRecord>, Option<String>)> {
    let after = match after {
        "" => String::new(),
        after => format!("{PREFIX}{after}"),
    };
    let page = store.page(PREFIX, &after, limit).await?;
    let records = page.entries.iter();
    let records = records.map(|entry| Ok(Record::decode_entry(entry)?.to_admin()));
    let last = page.entries.last().filter(|_| page.more);
    let next = last.map(|entry| entry.key.trim_start_matches(PREFIX).to_owned());
    Ok((records.collect::<Result<_>>()?, next))
}

/// Removes what is older than the latest [`MOST`]. Returns how many were removed.
pub(crate) async fn trim(store: &SharedStore) -> Result<usize> {
    keep(store, MOST).await
}

async fn keep(store: &SharedStore, most: usize) -> Result<usize> {
    let (mut after, mut kept, mut removed) = (String::new(), 0, 0);
    loop {
        let page = store.page(PREFIX, &after, PAGE).await?;
        let old = page.entries.iter().skip(most - kept);
        let remove = old.fold(Txn::new(), |txn, entry| txn.delete(&entry.key));
        if !remove.deletes.is_empty() {
            removed += remove.deletes.len();
            store.commit(remove).await?;
        }
        kept = most.min(kept + page.entries.len());
        match page.entries.last() {
            Some(last) if page.more => after.clone_from(&last.key),
            Some(_) | None => return Ok(removed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::embedded::Embedded;

    #[tokio::test]
    async fn the_latest_come_first_and_the_oldest_go() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        for at_ms in 1..=250 {
            let asker = Asker::new("ada", " why ").unwrap();
            let record = asker.record("reset", "month", String::new()).unwrap();
            Record { at_ms, ..record }.announce(&store).await.unwrap();
        }
        assert_eq!(keep(&store, 120).await.unwrap(), 130);
        assert_eq!(keep(&store, 120).await.unwrap(), 0);
        let (first, next) = list(&store, "", 100).await.unwrap();
        let (rest, end) = list(&store, &next.unwrap(), 100).await.unwrap();
        assert_eq!((first.len(), rest.len(), end), (100, 20, None));
        assert_eq!(first[0].at, Some(clock::timestamp(250)));
        assert_eq!(rest[19].at, Some(clock::timestamp(131)));
        assert_eq!((first[0].reason.as_str(), first[0].done), ("why", false));
    }

    #[test]
    fn who_asks_has_to_say_why() {
        for (by, reason) in [("", "why"), ("ada", " "), (&"x".repeat(129), "why")] {
            assert!(
                matches!(Asker::new(by, reason), Err(Error::Invalid(_))),
                "{by:.9}"
            );
        }
    }
}
