//! A counter's record in the store.

use prost::Message;
use tollgate_quota::owner::{LedgerRow, Record};
use tollgate_quota::{Counter, Epoch, Incarnation, OwnerTime, Promise, Window};

use crate::error::{Error, Result};
use crate::store::Entry;

/// Where the records of counters with a mark are.
pub(super) const PREFIX: &str = "/q/acct/";
/// Where the records of counters that are kept by rows are, each followed by its rows.
pub(super) const LEDGERS: &str = "/q/ledger/";

/// The last part of a record's key among its rows'.
const RECORD: &str = "record";

/// The record as stored. The counter's name is part of it, so that the key need not be read back.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(string, tag = "1")]
    counter: String,
    #[prost(uint64, tag = "2")]
    window: u64,
    #[prost(uint64, tag = "3")]
    hwm: u64,
    #[prost(uint64, tag = "4")]
    limit: u64,
    #[prost(uint64, tag = "5")]
    revision: u64,
    #[prost(int64, tag = "6")]
    epoch: i64,
    #[prost(message, repeated, tag = "7")]
    promises: Vec<StoredPromise>,
    #[prost(message, repeated, tag = "8")]
    charged: Vec<StoredCharge>,
}

/// Units that are charged, and when they no longer count.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct StoredCharge {
    #[prost(uint64, tag = "1")]
    until: u64,
    #[prost(uint64, tag = "2")]
    units: u64,
}

impl StoredCharge {
    pub(super) fn all(charged: &[(OwnerTime, u64)]) -> Vec<Self> {
        let charge = |&(until, units): &(OwnerTime, u64)| Self {
            until: until.0,
            units,
        };
        charged.iter().map(charge).collect()
    }

    pub(super) fn read(self) -> (OwnerTime, u64) {
        (OwnerTime(self.until), self.units)
    }
}

/// What is promised to one process.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct StoredPromise {
    #[prost(fixed64, tag = "1")]
    incarnation: u64,
    #[prost(uint64, tag = "2")]
    units: u64,
    #[prost(uint64, tag = "3")]
    from: u64,
    #[prost(uint64, tag = "4")]
    through: u64,
}

/// A row as stored. Counter, window and process are its key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct StoredRow {
    #[prost(string, tag = "1")]
    node: String,
    #[prost(uint64, tag = "2")]
    granted: u64,
    #[prost(uint64, tag = "3")]
    returned: u64,
    #[prost(uint64, tag = "4")]
    settled: u64,
    #[prost(uint64, tag = "5")]
    freed: u64,
    #[prost(bool, tag = "6")]
    closed: bool,
    #[prost(uint64, tag = "7")]
    forgiven: u64,
}

/// The key of a counter's record. What is not plain in a key is written as `%` and two digits, so that two
/// counters never share a key and no name can reach out of the prefix.
pub(super) fn path(counter: &Counter) -> String {
    if counter.kind().is_ledger() {
        return ledger(counter) + RECORD;
    }
    let mut path = String::from(PREFIX);
    escape(counter, true, &mut path);
    path
}

/// A counter's name as the last part of a key.
pub(super) fn escaped(counter: &Counter) -> String {
    let mut name = String::new();
    escape(counter, false, &mut name);
    name
}

/// What the keys of a counter's record and rows begin with. No slash is left in the counter's name, so that no
/// counter's keys are among another's.
pub(super) fn ledger(counter: &Counter) -> String {
    format!("{LEDGERS}{}/", escaped(counter))
}

/// The key of a process's row.
pub(super) fn row_path(counter: &Counter, row: &LedgerRow) -> String {
    let (window, of) = (row.window.0, row.incarnation.0);
    format!("{}{window}/{of:016x}", ledger(counter))
}

fn escape(counter: &Counter, slashes: bool, into: &mut String) {
    for byte in counter.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'=' => {
                into.push(char::from(byte));
            }
            b'/' if slashes => into.push('/'),
            _ => into.push_str(&format!("%{byte:02x}")),
        }
    }
}

pub(super) fn encode_row(row: &LedgerRow) -> Vec<u8> {
    let stored = StoredRow {
        node: row.node.to_string(),
        granted: row.granted,
        returned: row.returned,
        settled: row.settled,
        freed: row.freed,
        closed: row.closed,
        forgiven: row.forgiven,
    };
    stored.encode_to_vec()
}

/// Reads a row. None where the key is a record's.
pub(super) fn decode_row(entry: &Entry) -> Result<Option<LedgerRow>> {
    let damaged = |reason: &str| Error::Damaged {
        key: entry.key.clone(),
        reason: reason.to_owned(),
    };
    let name = entry.key.strip_prefix(LEDGERS);
    let (_, name) = name
        .and_then(|name| name.split_once('/'))
        .ok_or_else(|| damaged("its key is not a row's"))?;
    if name == RECORD {
        return Ok(None);
    }
    let (window, of) = name
        .split_once('/')
        .and_then(|(window, of)| Some((window.parse().ok()?, u64::from_str_radix(of, 16).ok()?)))
        .ok_or_else(|| damaged("its key is not a row's"))?;
    let stored = StoredRow::decode(entry.value.clone()).map_err(|e| damaged(&e.to_string()))?;
    if stored.forgiven > stored.settled {
        return Err(damaged("more is forgiven than was spent"));
    }
    Ok(Some(LedgerRow {
        window: Window(window),
        incarnation: Incarnation(of),
        node: stored.node.into(),
        granted: stored.granted,
        returned: stored.returned,
        settled: stored.settled,
        freed: stored.freed,
        closed: stored.closed,
        forgiven: stored.forgiven,
    }))
}

pub(super) fn encode(counter: &Counter, record: &Record) -> Vec<u8> {
    let stored = Stored {
        counter: counter.as_str().to_owned(),
        window: record.window.0,
        hwm: record.hwm,
        limit: record.limit,
        revision: record.revision,
        epoch: record.epoch.0,
        promises: record.promises.iter().map(promise).collect(),
        charged: StoredCharge::all(&record.charged),
    };
    stored.encode_to_vec()
}

fn promise((of, promise): (Incarnation, Promise)) -> StoredPromise {
    StoredPromise {
        incarnation: of.0,
        units: promise.units,
        from: promise.from.0,
        through: promise.through.0,
    }
}

fn promised(stored: &StoredPromise) -> (Incarnation, Promise) {
    let promise = Promise {
        units: stored.units,
        from: Window(stored.from),
        through: Window(stored.through),
    };
    (Incarnation(stored.incarnation), promise)
}

pub(super) fn decode(entry: &Entry) -> Result<(Counter, Record)> {
    let damaged = |reason: String| Error::Damaged {
        key: entry.key.clone(),
        reason,
    };
    let stored = Stored::decode(entry.value.clone()).map_err(|error| damaged(error.to_string()))?;
    let counter = Counter::parse(&stored.counter).map_err(|error| damaged(error.to_string()))?;
    if path(&counter) != entry.key {
        return Err(damaged(format!("it speaks of {counter}")));
    }
    let record = Record {
        window: Window(stored.window),
        hwm: stored.hwm,
        limit: stored.limit,
        revision: stored.revision,
        epoch: Epoch(stored.epoch),
        promises: stored.promises.iter().map(promised).collect(),
        charged: stored.charged.into_iter().map(StoredCharge::read).collect(),
    };
    Ok((counter, record))
}

/// The counter that a record or a row is of, and the latest window of which it says anything.
pub(super) fn window_of(entry: &Entry) -> Result<(Counter, Window)> {
    if entry.key.starts_with(LEDGERS)
        && let Some(row) = decode_row(entry)?
    {
        return Ok((counter_of(entry)?, row.window));
    }
    let (counter, record) = decode(entry)?;
    Ok((
        counter,
        record
            .window
            .max(record.promises.last().unwrap_or_default()),
    ))
}

/// The counter that the key of a row names.
fn counter_of(entry: &Entry) -> Result<Counter> {
    let name = entry.key.strip_prefix(LEDGERS);
    let name = name.and_then(|name| name.split_once('/'));
    let counter = name.and_then(|(name, _)| Counter::parse(&unescape(name)?).ok());
    counter.ok_or_else(|| Error::Damaged {
        key: entry.key.clone(),
        reason: "its key names no counter".to_owned(),
    })
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(byte, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use tollgate_quota::Kind;

    use super::*;

    #[test]
    fn records_are_read_back_and_keys_are_plain() {
        let counter =
            Counter::new("per-key", Kind::Fixed { window_ms: 60_000 }, "a b/é%\0").unwrap();
        let promise = Promise {
            units: 2,
            from: Window(8),
            through: Window(18),
        };
        let record = Record {
            window: Window(7),
            hwm: 5,
            limit: 100,
            revision: 3,
            epoch: Epoch(9),
            promises: [(Incarnation(u64::MAX), promise)].into_iter().collect(),
            charged: vec![(OwnerTime(8), 3), (OwnerTime(9), 1)],
        };
        let entry = Entry {
            key: path(&counter),
            value: encode(&counter, &record).into(),
            create_revision: 1,
            mod_revision: 2,
        };
        assert_eq!(decode(&entry).unwrap(), (counter.clone(), record));
        assert_eq!(window_of(&entry).unwrap(), (counter, Window(18)));
        assert!(entry.key.ends_with("a%20b/%c3%a9%25%00"), "{}", entry.key);

        let stray = Entry {
            key: format!("{PREFIX}other"),
            ..entry
        };
        assert!(matches!(decode(&stray), Err(Error::Damaged { .. })));
    }

    #[test]
    fn rows_are_read_back_and_lie_under_their_counter_alone() {
        let kind = Kind::Endless;
        let counter = Counter::new("budget", kind, "cost_usd=endless/team=a").unwrap();
        let other = Counter::new("budget", kind, "cost_usd=endless/team=a/b").unwrap();
        let row = LedgerRow {
            granted: 50,
            returned: 7,
            settled: 40,
            freed: 3,
            forgiven: 11,
            closed: true,
            ..LedgerRow::new(Window(685), Incarnation(u64::MAX - 1), "n1".into())
        };
        let entry = Entry {
            key: row_path(&counter, &row),
            value: encode_row(&row).into(),
            create_revision: 1,
            mod_revision: 2,
        };
        assert_eq!(decode_row(&entry).unwrap(), Some(row));
        assert_eq!(window_of(&entry).unwrap(), (counter.clone(), Window(685)));
        assert!(entry.key.starts_with(&ledger(&counter)));
        assert!(path(&counter).starts_with(&ledger(&counter)));
        assert!(
            !path(&other).starts_with(&ledger(&counter)),
            "{}",
            path(&other)
        );
        let record = Entry {
            key: path(&counter),
            ..entry.clone()
        };
        assert_eq!(decode_row(&record).unwrap(), None);
        let stray = Entry {
            key: format!("{}12", ledger(&counter)),
            ..entry
        };
        assert!(matches!(decode_row(&stray), Err(Error::Damaged { .. })));
    }
}
