//! Removes the records of windows and raises that are long over, and rows of dead processes that say nothing.

use std::collections::HashMap;

use tollgate_quota::{OwnerTime, Shard};
use tracing::{debug, warn};

use super::write::MOST_OPERATIONS;
use super::{raises, record};
use crate::audit;
use crate::error::Result;
use crate::ownership::guard;
use crate::store::{Entry, Outcome, SharedStore};

/// A window must be over for so long: nothing of it can be on its way any more.
const OVER_MS: u64 = 3_600_000;
/// Records looked at together.
const PAGE: usize = 500;

/// Removes what is over, sweep by sweep, in one term.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    /// Rows that a sweep found empty, and the revisions that wrote them. One that the next sweep finds unchanged goes:
    /// nothing that its dead process said can be on its way any more.
    empty: HashMap<String, u64>,
}

impl Sweeper {
    /// Looks at every record and row once, for the owner of that shard in that epoch. Returns how many were removed.
    pub(super) async fn sweep(
        &mut self,
        store: &SharedStore,
        term: (Shard, u64),
        now: OwnerTime,
    ) -> Result<usize> {
        let mut removed = 0;
        let before = std::mem::take(&mut self.empty);
        for prefix in [record::PREFIX, record::LEDGERS, raises::PREFIX] {
            let mut after = String::new();
            loop {
                let page = store.page(prefix, &after, PAGE).await?;
                let old = page
                    .entries
                    .iter()
                    .filter(|entry| is_over(entry, now) || self.is_long_empty(entry, &before));
                removed += remove(store, term, &old.collect::<Vec<_>>()).await?;
                match page.entries.last() {
                    Some(last) if page.more => after.clone_from(&last.key),
                    Some(_) | None => break,
                }
            }
        }
        Ok(removed + audit::trim(store).await?)
    }

    /// Whether the row was empty at the sweep before, too; else it is noted where it is.
    fn is_long_empty(&mut self, entry: &Entry, before: &HashMap<String, u64>) -> bool {
        if !entry.key.starts_with(record::LEDGERS) || !is_empty(entry) {
            return false;
        }
        if before.get(&entry.key) == Some(&entry.mod_revision) {
            return true;
        }
        self.empty.insert(entry.key.clone(), entry.mod_revision);
        false
    }
}

/// Removes those that have not changed since they were read. Returns how many.
async fn remove(store: &SharedStore, term: (Shard, u64), old: &[&Entry]) -> Result<usize> {
    let mut removed = 0;
    for batch in old.chunks(MOST_OPERATIONS) {
        let txn = batch.iter().fold(guard(term), |txn, entry| {
            txn.when_modified(&entry.key, entry.mod_revision)
                .delete(&entry.key)
        });
        match store.commit(txn).await? {
            Outcome::Committed(_) => removed += batch.len(),
            Outcome::Conflict => debug!("a record changed while it was to be removed"),
        }
    }
    Ok(removed)
}

/// Whether a row is closed and of no account: its process spent nothing, as of slots, and nothing of it is in doubt. What
/// was spent has to be known for as long as its window lasts, by process: closings are repeated.
fn is_empty(entry: &Entry) -> bool {
    let row = record::decode_row(entry).ok().flatten();
    row.is_some_and(|row| row.closed && row.settled == 0 && row.charge() == 0)
}

/// Whether the window, or the raise, was over so long ago.
fn is_over(entry: &Entry, now: OwnerTime) -> bool {
    let then = OwnerTime(now.0.saturating_sub(OVER_MS));
    let over = if entry.key.starts_with(raises::PREFIX) {
        raises::ends_at(entry).map(|end| end <= then)
    } else {
        record::window_of(entry).and_then(|(counter, window)| {
            let kind = counter.kind();
            if !kind.is_windowed() {
                // Where nothing is out, and nothing counts any more, no record says the same.
                let (_, record) = record::decode(entry)?;
                let last = record.charged.last().map_or(OwnerTime(0), |(at, _)| *at);
                return Ok(record.hwm == 0 && last <= then);
            }
            Ok(kind.has_windows() && kind.span(then).window > window)
        })
    };
    match over {
        Ok(over) => over,
        Err(error) => {
            warn!(%error, "leaving a damaged record where it is");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_quota::owner::{LedgerRow, Record};
    use tollgate_quota::{
        Counter, Epoch, Incarnation, Kind, Period, Promise, Promises, Window, Zone,
    };

    use super::*;
    use crate::ownership::{Ownership, Replica};
    use crate::store::Txn;
    use crate::store::embedded::Embedded;

    async fn own(store: &SharedStore) -> (Shard, u64) {
        let ownership = Ownership::new(Arc::clone(store), Replica::default(), 1);
        let claimed = ownership.claim(&[(Shard(0), 0)]).await.unwrap();
        (Shard(0), claimed.unwrap())
    }

    fn promises(through: u64) -> Promises {
        let (from, through) = (Window(1), Window(through));
        let promise = Promise {
            units: 1,
            from,
            through,
        };
        [(Incarnation(1), promise)].into_iter().collect()
    }

    #[tokio::test]
    async fn only_records_of_long_past_windows_go_and_only_for_the_owner() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let term = own(&store).await;
        let now = OwnerTime(1_000 * 60_000);
        for (name, window, promised) in [
            ("old", 900, 0),
            ("edge", 939, 939),
            ("young", 940, 0),
            ("now", 1_000, 0),
            ("promised", 900, 940),
        ] {
            let counter = Counter::new(name, Kind::Fixed { window_ms: 60_000 }, "").unwrap();
            let record = Record {
                window: Window(window),
                hwm: 1,
                limit: 1,
                revision: 1,
                epoch: Epoch(1),
                promises: promises(promised),
                charged: Vec::new(),
            };
            let put = Txn::new().put(record::path(&counter), record::encode(&counter, &record));
            store.commit(put).await.unwrap();
        }
        assert_eq!(
            Sweeper::default()
                .sweep(&store, (term.0, term.1 + 1), now)
                .await
                .unwrap(),
            0,
            "not the owner"
        );
        assert_eq!(
            Sweeper::default().sweep(&store, term, now).await.unwrap(),
            2
        );
        let left = store.range(record::PREFIX).await.unwrap();
        let left: Vec<_> = left
            .entries
            .iter()
            .map(|e| record::decode(e).unwrap().0)
            .collect();
        assert!(
            left.iter()
                .all(|counter| ["young", "now", "promised"].contains(&counter.limit())),
            "{left:?}"
        );
    }

    #[tokio::test]
    async fn a_sliding_limits_record_goes_once_it_says_nothing() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let term = own(&store).await;
        let now = OwnerTime(1_800_000_000_000);
        let over = OwnerTime(now.0 - OVER_MS);
        let kind = Kind::Sliding { window_ms: 60_000 };
        let records = [
            ("gone", 0, vec![]),
            ("over", 0, vec![(over, 3)]),
            ("charged", 0, vec![(over, 3), (over.after(1), 1)]),
            ("marked", 1, vec![]),
        ];
        for (name, hwm, charged) in records {
            let counter = Counter::new(name, kind, "a").unwrap();
            let value = Record {
                window: Window(1),
                hwm,
                limit: 5,
                revision: 1,
                epoch: Epoch(1),
                promises: Promises::default(),
                charged,
            };
            let put = Txn::new().put(record::path(&counter), record::encode(&counter, &value));
            store.commit(put).await.unwrap();
        }
        let removed = Sweeper::default().sweep(&store, term, now).await.unwrap();
        assert_eq!(removed, 2);
        let left = store.page(record::PREFIX, "", 10).await.unwrap().entries;
        let left: Vec<_> = left.iter().map(|entry| entry.key.as_str()).collect();
        assert!(
            left[0].contains("charged") && left[1].contains("marked"),
            "{left:?}"
        );
    }

    #[tokio::test]
    async fn rows_of_past_months_go_and_those_without_a_window_stay() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let term = own(&store).await;
        let month = Kind::Calendar {
            period: Period::Month,
            zone: Zone::named("Asia/Tokyo").unwrap(),
        };
        let now = month
            .span(OwnerTime(1_800_000_000_000))
            .start
            .after(OVER_MS);
        let this = month.span(now).window;
        for (kind, window) in [
            (month, Window(this.0 - 1)),
            (month, this),
            (Kind::Endless, Window(1)),
            (Kind::Concurrent, Window(1)),
        ] {
            let counter = Counter::new("l", kind, "a/b").unwrap();
            let row = LedgerRow::new(window, Incarnation(7), "n".into());
            let (record, epoch) = (record::path(&counter), Epoch(1));
            let value = Record {
                window,
                hwm: 0,
                limit: 1,
                revision: 1,
                epoch,
                promises: Promises::default(),
                charged: Vec::new(),
            };
            let put = Txn::new()
                .put(record, record::encode(&counter, &value))
                .put(record::row_path(&counter, &row), record::encode_row(&row));
            store.commit(put).await.unwrap();
        }
        let early = OwnerTime(now.0 - 1);
        assert_eq!(
            Sweeper::default().sweep(&store, term, early).await.unwrap(),
            0
        );
        assert_eq!(
            Sweeper::default().sweep(&store, term, now).await.unwrap(),
            1
        );
        let left = store.range(record::LEDGERS).await.unwrap();
        assert_eq!(left.entries.len(), 6, "three records, three rows");
    }

    #[tokio::test]
    async fn rows_of_the_dead_that_say_nothing_go_at_the_second_sweep() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let term = own(&store).await;
        let counter = Counter::new("slots", Kind::Concurrent, "a").unwrap();
        let dead = LedgerRow {
            granted: 4,
            freed: 4,
            closed: true,
            ..LedgerRow::new(Window(1), Incarnation(1), "n".into())
        };
        let of = |of, row: &LedgerRow| LedgerRow {
            incarnation: Incarnation(of),
            ..row.clone()
        };
        let alive = LedgerRow {
            closed: false,
            ..of(2, &dead)
        };
        let spent = LedgerRow {
            settled: 1,
            freed: 3,
            ..of(3, &dead)
        };
        let doubtful = LedgerRow {
            freed: 3,
            ..of(4, &dead)
        };
        let put = async |row: &LedgerRow| {
            let put = Txn::new().put(record::row_path(&counter, row), record::encode_row(row));
            store.commit(put).await.unwrap();
        };
        for row in [&dead, &alive, &spent, &doubtful, &of(5, &dead)] {
            put(row).await;
        }
        let mut sweeper = Sweeper::default();
        let now = OwnerTime(1_800_000_000_000);
        assert_eq!(sweeper.sweep(&store, term, now).await.unwrap(), 0);
        // One is written anew meanwhile.
        put(&of(5, &dead)).await;
        assert_eq!(sweeper.sweep(&store, term, now).await.unwrap(), 1);
        assert_eq!(sweeper.sweep(&store, term, now).await.unwrap(), 1);
        let left = store.range(record::LEDGERS).await.unwrap();
        assert_eq!(left.entries.len(), 3);
    }
}
