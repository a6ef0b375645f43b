//! The latest changes, kept in memory for watchers.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::store::{Batch, BoxFuture, Event, Feed, FeedEnd};

/// Revisions remembered at most.
const MOST_REVISIONS: usize = 4096;
/// Bytes of keys and values remembered at most.
const MOST_BYTES: usize = 8 << 20;

/// A bounded log of changes.
#[derive(Debug)]
pub(super) struct History {
    log: Mutex<Log>,
    latest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Log {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// Changes up to and including this revision are forgotten.
    forgotten: u64,
}

impl History {
    /// Nothing before and including `revision` is known.
    pub(super) fn new(revision: u64) -> Self {
        Self {
            log: Mutex::new(Log {
                batches: VecDeque::new(),
                bytes: 0,
                forgotten: revision,
            }),
            latest: watch::Sender::new(revision),
        }
    }

    pub(super) fn push(&self, batch: Batch) {
        let revision = batch.revision;
        {
            let mut log = self.log.lock();
            log.bytes += weight(&batch);
            log.batches.push_back(Arc::new(batch));
            while log.batches.len() > MOST_REVISIONS || log.bytes > MOST_BYTES {
                log.forget_first();
            }
        }
        self.latest.send_replace(revision);
    }

    pub(super) fn compact(&self, revision: u64) {
        let mut log = self.log.lock();
        while log
            .batches
            .front()
            .is_some_and(|batch| batch.revision <= revision)
        {
            log.forget_first();
        }
    }

    /// The changes after `revision`, if they are still known.
    fn after(&self, revision: u64) -> Option<Vec<Arc<Batch>>> {
        let log = self.log.lock();
        if revision < log.forgotten {
            return None;
        }
        let from = log
            .batches
            .partition_point(|batch| batch.revision <= revision);
        Some(log.batches.range(from..).cloned().collect())
    }
}

impl Log {
    fn forget_first(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.bytes -= weight(&batch);
            self.forgotten = batch.revision;
        }
    }
}

fn weight(batch: &Batch) -> usize {
    let bytes = |event: &Event| match event {
        Event::Put(entry) => entry.key.len() + entry.value.len(),
        Event::Delete { key, .. } => key.len(),
    };
    batch.events.iter().map(bytes).sum()
}

/// Reads the history under a prefix, from a revision on.
#[derive(Debug)]
pub(super) struct HistoryFeed {
    history: Arc<History>,
    prefix: String,
    position: u64,
    latest: watch::Receiver<u64>,
}

impl HistoryFeed {
    pub(super) fn new(history: Arc<History>, prefix: String, after: u64) -> Self {
        let latest = history.latest.subscribe();
        Self {
            history,
            prefix,
            position: after,
            latest,
        }
    }

    async fn wait(&mut self) -> Result<Batch, FeedEnd> {
        loop {
            self.latest.mark_unchanged();
            let batches = self
                .history
                .after(self.position)
                .ok_or(FeedEnd::Compacted)?;
            if let Some(last) = batches.last() {
                self.position = last.revision;
                let events = batches.iter().flat_map(|batch| &batch.events);
                let ours = events.filter(|event| event.key().starts_with(&self.prefix));
                let events: Vec<_> = ours.cloned().collect();
                if !events.is_empty() {
                    let revision = self.position;
                    return Ok(Batch { events, revision });
                }
            }
            // The history holds the sender, and this feed the history: it cannot be closed.
            let _ = self.latest.changed().await;
        }
    }
}

impl Feed for HistoryFeed {
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, FeedEnd>> {
        Box::pin(self.wait())
    }
}
