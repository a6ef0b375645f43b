//! A counter's record in the store.

use prost::Message;
use tollgate_quota::owner::Record;
use tollgate_quota::{Counter, Epoch, Window};

use crate::error::{Error, Result};
use crate::store::Entry;

/// Where the records are.
pub(super) const PREFIX: &str = "/q/acct/";

/// The record as stored. The counter's name is part of it, so that the key need not be read back.
#[derive(Clone, PartialEq, Eq, prost::Message)]
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
}

/// The key of a counter's record. What is not plain in a key is written as `%` and two digits, so that two
/// counters never share a key and no name can reach out of the prefix.
pub(super) fn path(counter: &Counter) -> String {
    let mut path = String::from(PREFIX);
    for byte in counter.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'=' | b'/' => {
                path.push(char::from(byte));
            }
            _ => path.push_str(&format!("%{byte:02x}")),
        }
    }
    path
}

pub(super) fn encode(counter: &Counter, record: &Record) -> Vec<u8> {
    let stored = Stored {
        counter: counter.as_str().to_owned(),
        window: record.window.0,
        hwm: record.hwm,
        limit: record.limit,
        revision: record.revision,
        epoch: record.epoch.0,
    };
    stored.encode_to_vec()
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
    };
    Ok((counter, record))
}

#[cfg(test)]
mod tests {
    use tollgate_quota::Kind;

    use super::*;

    #[test]
    fn records_are_read_back_and_keys_are_plain() {
        let counter =
            Counter::new("per-key", Kind::Fixed { window_ms: 60_000 }, "a b/é%\0").unwrap();
        let record = Record {
            window: Window(7),
            hwm: 5,
            limit: 100,
            revision: 3,
            epoch: Epoch(9),
        };
        let entry = Entry {
            key: path(&counter),
            value: encode(&counter, &record).into(),
            create_revision: 1,
            mod_revision: 2,
        };
        assert_eq!(decode(&entry).unwrap(), (counter, record));
        assert!(entry.key.ends_with("a%20b/%c3%a9%25%00"), "{}", entry.key);

        let stray = Entry {
            key: format!("{PREFIX}other"),
            ..entry
        };
        assert!(matches!(decode(&stray), Err(Error::Damaged { .. })));
    }
}
