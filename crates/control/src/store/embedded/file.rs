//! The redb file: what is in it and how it is read and written.

use std::path::Path;

use bytes::Bytes;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction,
};

use super::{FILE_NAME, Written};
use crate::error::{Error, Result};
use crate::store::{Batch, Compare, Entry, Event, Listing, Lookup, Outcome, Txn};

/// Key to creating revision, changing revision (8 bytes each, little-endian), value.
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// The store's own numbers.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const REVISION: &str = "revision";
const FORMAT: &str = "format";
const FORMAT_NOW: u64 = 1;

/// Bytes of pages kept in memory. redb's own default is 1 GiB.
const CACHE_BYTES: usize = 16 << 20;

/// The open file.
#[derive(Debug)]
pub(super) struct File {
    database: Database,
}

impl File {
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let shown = directory.display();
        std::fs::create_dir_all(directory)
            .map_err(|error| Error::StoreOpen(format!("cannot create {shown}: {error}")))?;
        let path = directory.join(FILE_NAME);
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&path)
            .map_err(|error| Error::StoreOpen(explain(&path, &error)))?;
        // The file is new, perhaps: its name must survive a power cut as well.
        std::fs::File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| Error::StoreOpen(format!("cannot write to {shown}: {error}")))?;
        let file = Self { database };
        file.prepare()
            .map_err(|error| Error::StoreOpen(format!("{}: {error}", path.display())))?;
        Ok(file)
    }

    /// Makes the tables, and refuses a format of a later version.
    fn prepare(&self) -> Result<()> {
        let write = self.begin()?;
        {
            write.open_table(RECORDS).map_err(failed)?;
            let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
            let format = number(&numbers, FORMAT)?;
            if format > FORMAT_NOW {
                let reason =
                    format!("format {format} was written by a later version: use that one");
                return Err(Error::StoreRefused(reason));
            }
            numbers.insert(FORMAT, FORMAT_NOW).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    fn begin(&self) -> Result<WriteTransaction> {
        let mut write = self.database.begin_write().map_err(failed)?;
        write
            .set_durability(Durability::Immediate)
            .map_err(failed)?;
        Ok(write)
    }

    pub(super) fn revision(&self) -> Result<u64> {
        let read = self.database.begin_read().map_err(failed)?;
        let numbers = read.open_table(NUMBERS).map_err(failed)?;
        number(&numbers, REVISION)
    }

    pub(super) fn get(&self, key: &str) -> Result<Lookup> {
        let read = self.database.begin_read().map_err(failed)?;
        let revision = number(&read.open_table(NUMBERS).map_err(failed)?, REVISION)?;
        let records = read.open_table(RECORDS).map_err(failed)?;
        let found = records.get(key).map_err(failed)?;
        let entry = found.map(|value| decode(key, value.value())).transpose()?;
        Ok(Lookup { entry, revision })
    }

    pub(super) fn page(&self, prefix: &str, after: &str, limit: usize) -> Result<Listing> {
        let read = self.database.begin_read().map_err(failed)?;
        let revision = number(&read.open_table(NUMBERS).map_err(failed)?, REVISION)?;
        let records = read.open_table(RECORDS).map_err(failed)?;
        let mut listing = Listing {
            revision,
            ..Listing::default()
        };
        let start = prefix.max(after);
        for item in records.range(start..).map_err(failed)? {
            let (key, value) = item.map_err(failed)?;
            let key = key.value();
            if !key.starts_with(prefix) {
                break;
            }
            if key == after {
                continue;
            }
            if listing.entries.len() == limit {
                listing.more = true;
                break;
            }
            listing.entries.push(decode(key, value.value())?);
        }
        Ok(listing)
    }

    /// Runs transactions one after the other and makes all of them durable at once.
    ///
    /// A failure before the sync leaves nothing behind; one of the sync itself leaves the outcome unknown.
    pub(super) fn write(&self, txns: &[&Txn]) -> Result<Vec<Written>> {
        let write = self.begin()?;
        let mut results = Vec::with_capacity(txns.len());
        {
            let mut records = write.open_table(RECORDS).map_err(failed)?;
            let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
            let before = number(&numbers, REVISION)?;
            let mut revision = before;
            for txn in txns {
                let written = run(&mut records, txn, revision)?;
                if let (Outcome::Committed(next), _) = &written {
                    revision = *next;
                }
                results.push(written);
            }
            if revision == before {
                // Nothing changed, so that there is nothing to sync: dropping the transaction undoes it.
                return Ok(results);
            }
            numbers.insert(REVISION, revision).map_err(failed)?;
        }
        write
            .commit()
            .map_err(|error| Error::OutcomeUnknown(error.to_string()))?;
        Ok(results)
    }
}

/// Runs one transaction after revision `revision`.
fn run(records: &mut Table<'_, &str, &[u8]>, txn: &Txn, revision: u64) -> Result<Written> {
    for compare in &txn.compares {
        if !holds(records, compare)? {
            return Ok((Outcome::Conflict, None));
        }
    }
    let next = revision + 1;
    let mut events = Vec::with_capacity(txn.puts.len() + txn.deletes.len());
    for (key, value) in &txn.puts {
        let known = revisions(records, key)?;
        let entry = Entry {
            key: key.clone(),
            value: value.clone(),
            create_revision: known.map_or(next, |(created, _)| created),
            mod_revision: next,
        };
        records
            .insert(key.as_str(), encode(&entry).as_slice())
            .map_err(failed)?;
        events.push(Event::Put(entry));
    }
    for key in &txn.deletes {
        if records.remove(key.as_str()).map_err(failed)?.is_some() {
            events.push(Event::Delete {
                key: key.clone(),
                revision: next,
            });
        }
    }
    if events.is_empty() {
        return Ok((Outcome::Committed(revision), None));
    }
    let batch = Batch {
        events,
        revision: next,
    };
    Ok((Outcome::Committed(next), Some(batch)))
}

fn holds(records: &Table<'_, &str, &[u8]>, compare: &Compare) -> Result<bool> {
    let (key, wanted) = match compare {
        Compare::Created { key, revision } | Compare::Modified { key, revision } => {
            (key, *revision)
        }
    };
    let (created, modified) = revisions(records, key)?.unwrap_or((0, 0));
    Ok(match compare {
        Compare::Created { .. } => created == wanted,
        Compare::Modified { .. } => modified == wanted,
    })
}

/// The revisions that created and last changed a record.
fn revisions(records: &Table<'_, &str, &[u8]>, key: &str) -> Result<Option<(u64, u64)>> {
    let found = records.get(key).map_err(failed)?;
    let entry = found.map(|value| decode(key, value.value())).transpose()?;
    Ok(entry.map(|entry| (entry.create_revision, entry.mod_revision)))
}

fn number(numbers: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64> {
    let found = numbers.get(name).map_err(failed)?;
    Ok(found.map_or(0, |value| value.value()))
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + entry.value.len());
    bytes.extend_from_slice(&entry.create_revision.to_le_bytes());
    bytes.extend_from_slice(&entry.mod_revision.to_le_bytes());
    bytes.extend_from_slice(&entry.value);
    bytes
}

fn decode(key: &str, bytes: &[u8]) -> Result<Entry> {
    let head = bytes.split_first_chunk::<8>();
    let rest = head.and_then(|(created, rest)| Some((created, rest.split_first_chunk::<8>()?)));
    let Some((created, (modified, value))) = rest else {
        return Err(Error::Damaged {
            key: key.to_owned(),
            reason: format!("{} bytes are too few", bytes.len()),
        });
    };
    Ok(Entry {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value),
        create_revision: u64::from_le_bytes(*created),
        mod_revision: u64::from_le_bytes(*modified),
    })
}

/// A failure that leaves nothing behind: the transaction it happened in is dropped.
fn failed(error: impl std::fmt::Display) -> Error {
    Error::StoreUnavailable(error.to_string())
}

fn explain(path: &Path, error: &redb::DatabaseError) -> String {
    let path = path.display();
    if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
        return format!(
            "{path} is in use: stop the other tollgate on this directory, or choose another"
        );
    }
    format!("{path}: {error}")
}
