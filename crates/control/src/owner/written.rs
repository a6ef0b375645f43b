//! Counters of which the store says something, and perhaps no node does: what was spent of a budget, and what is in
//! doubt, is shown to operators and measured whoever owns it since when.
//!
//! When shards are gained, what is kept by rows is looked through page by page, and each counter is read as if a node had
//! asked for it; what nodes do ask for goes first.

use std::time::Duration;

use tollgate_quota::owner::{Event, LedgerRow};
use tollgate_quota::{Counter, OwnerTime};
use tracing::{info, warn};

use super::write::Desk;
use super::{Done, Shell, record};
use crate::error::Result;

/// Rows looked at together.
const PAGE: usize = 500;
/// The wait after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Counters read so at most; beyond them those are shown that nodes ask for.
const MOST: usize = 100_000;

/// How far that is.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// It goes on.
    busy: bool,
    /// Shards were gained meanwhile: all of it is to be looked through again.
    again: bool,
    /// Counters found so far.
    found: usize,
    /// Where the next page begins, once what came before is read.
    next: Option<String>,
}

/// One page of what the store says.
#[derive(Debug)]
pub(super) struct Page {
    counters: Vec<Counter>,
    /// Where the next one begins; none where this is the last.
    next: Option<String>,
}

impl Shell {
    /// Begins to look through what is kept by rows.
    pub(super) fn search(&mut self) {
        if self.search.busy {
            self.search.again = true;
            return;
        }
        self.search = Search {
            busy: true,
            next: Some(String::new()),
            ..Search::default()
        };
    }

    /// Looks at the next page, unless others wait for the store.
    pub(super) fn search_on(&mut self) {
        if !self.reads.is_empty() {
            return;
        }
        let Some(after) = self.search.next.take() else {
            return;
        };
        let (desk, now) = (self.desk.clone(), self.clock.now());
        self.jobs.spawn(async move {
            let page = desk.written(&after, now).await;
            if let Err(error) = &page {
                warn!(%error, "cannot look for what was spent, trying again");
                tokio::time::sleep(RETRY).await;
            }
            let again = |_| Page {
                counters: Vec::new(),
                next: Some(after),
            };
            Done::Found(page.unwrap_or_else(again))
        });
    }

    pub(super) fn found(&mut self, page: Page) {
        let frozen = self.origin.is_frozen();
        for counter in page.counters {
            // While quota is frozen, operators are shown whatever stands in the way of its thaw.
            if frozen || self.is_known(&counter) {
                self.search.found += 1;
                self.step(counter.shard(), Event::Open(counter));
            }
        }
        self.search.next = page.next;
        if self.search.found >= MOST && !frozen && self.search.next.take().is_some() {
            info!(counters = MOST, "further budgets are shown once in use");
        }
        if self.search.next.is_none() {
            self.search.busy = false;
            if self.search.again {
                self.search();
            }
        }
    }
}

impl Desk {
    /// A page of the counters kept by rows that have one of a window that is not over which says anything.
    async fn written(&self, after: &str, now: OwnerTime) -> Result<Page> {
        let (rows, next) = self.rows(after, now).await?;
        let says = |row: &LedgerRow| !row.closed || row.settled > 0 || row.charge() > 0;
        let rows = rows.into_iter().filter(|(_, row)| says(row));
        let mut counters: Vec<_> = rows.map(|(counter, _)| counter).collect();
        counters.dedup();
        Ok(Page { counters, next })
    }

    /// A page of the rows of windows that are not over, and where the next page begins, if there is one.
    pub(super) async fn rows(
        &self,
        after: &str,
        now: OwnerTime,
    ) -> Result<(Vec<(Counter, LedgerRow)>, Option<String>)> {
        let page = self.store.page(record::LEDGERS, after, PAGE).await?;
        let mut rows = Vec::new();
        for entry in &page.entries {
            let Some(row) = record::decode_row(entry)? else {
                continue;
            };
            let (counter, window) = record::window_of(entry)?;
            if counter.kind().span(now).window <= window {
                rows.push((counter, row));
            }
        }
        let last = page.entries.last().filter(|_| page.more);
        Ok((rows, last.map(|entry| entry.key.clone())))
    }
}
