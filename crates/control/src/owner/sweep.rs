//! Removes the records of windows and raises that are long over.

use tollgate_quota::OwnerTime;
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

/// Looks at every record and row once. Returns how many were removed.
pub(super) async fn sweep(store: &SharedStore, epoch: u64, now: OwnerTime) -> Result<usize> {
    let mut removed = 0;
    for prefix in [record::PREFIX, record::LEDGERS, raises::PREFIX] {
        removed += sweep_under(prefix, store, epoch, now).await?;
    }
    Ok(removed + audit::trim(store).await?)
}

async fn sweep_under(
    prefix: &str,
    store: &SharedStore,
    epoch: u64,
    now: OwnerTime,
) -> Result<usize> {
    let (mut after, mut removed) = (String::new(), 0);
    loop {
        let page = store.page(prefix, &after, PAGE).await?;
        let old: Vec<_> = page
            .entries
            .iter()
            .filter(|entry| is_over(entry, now))
            .collect();
        for batch in old.chunks(MOST_OPERATIONS) {
            let txn = batch.iter().fold(guard(epoch), |txn, entry| {
                txn.when_modified(&entry.key, entry.mod_revision)
                    .delete(&entry.key)
            });
            match store.commit(txn).await? {
                Outcome::Committed(_) => removed += batch.len(),
                Outcome::Conflict => debug!("a record changed while it was to be removed"),
            }
        }
        match page.entries.last() {
            Some(last) if page.more => after.clone_from(&last.key),
            Some(_) | None => return Ok(removed),
        }
    }
}

/// Whether the window, or the raise, was over so long ago.
fn is_over(entry: &Entry, now: OwnerTime) -> bool {
    let then = OwnerTime(now.0.saturating_sub(OVER_MS));
    let over = if entry.key.starts_with(raises::PREFIX) {
        raises::ends_at(entry).map(|end| end <= then)
    } else {
        record::window_of(entry).map(|(counter, window)| {
            counter.kind().has_windows() && counter.kind().span(then).window > window
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
    use tollgate_quota::{Counter, Epoch, Incarnation, Kind, Period, Window, Zone};

    use super::*;
    use crate::ownership::{Ownership, Replica};
    use crate::store::Txn;
    use crate::store::embedded::Embedded;

    #[tokio::test]
    async fn only_records_of_long_past_windows_go_and_only_for_the_owner() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let epoch = Ownership::new(Arc::clone(&store), Replica::default())
            .claim(0)
            .await
            .unwrap();
        let now = OwnerTime(1_000 * 60_000);
        for (name, window) in [("old", 900), ("edge", 939), ("young", 940), ("now", 1_000)] {
            let counter = Counter::new(name, Kind::Fixed { window_ms: 60_000 }, "").unwrap();
            let record = Record {
                window: Window(window),
                hwm: 1,
                limit: 1,
                revision: 1,
                epoch: Epoch(1),
            };
            let put = Txn::new().put(record::path(&counter), record::encode(&counter, &record));
            store.commit(put).await.unwrap();
        }
        assert_eq!(
            sweep(&store, epoch + 1, now).await.unwrap(),
            0,
            "not the owner"
        );
        assert_eq!(sweep(&store, epoch, now).await.unwrap(), 2);
        let left = store.range(record::PREFIX).await.unwrap();
        let left: Vec<_> = left
            .entries
            .iter()
            .map(|e| record::decode(e).unwrap().0)
            .collect();
        assert!(
            left.iter()
                .all(|counter| ["young", "now"].contains(&counter.limit())),
            "{left:?}"
        );
    }

    #[tokio::test]
    async fn rows_of_past_months_go_and_those_without_a_window_stay() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let epoch = Ownership::new(Arc::clone(&store), Replica::default())
            .claim(0)
            .await
            .unwrap();
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
            };
            let put = Txn::new()
                .put(record, record::encode(&counter, &value))
                .put(record::row_path(&counter, &row), record::encode_row(&row));
            store.commit(put).await.unwrap();
        }
        let early = OwnerTime(now.0 - 1);
        assert_eq!(sweep(&store, epoch, early).await.unwrap(), 0);
        assert_eq!(sweep(&store, epoch, now).await.unwrap(), 1);
        let left = store.range(record::LEDGERS).await.unwrap();
        assert_eq!(left.entries.len(), 6, "three records, three rows");
    }
}
