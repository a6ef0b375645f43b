//! The store of one machine: one redb file, written durably, held by one process at a time.
//!
//! A thread of its own writes: it takes every transaction that waits, runs them one after the other, each at
//! its own revision, and makes all of them durable with one sync. Whoever waits learns the outcome only then.
//!
//! Changes are kept in memory for watchers, up to a bound. A watcher that has fallen behind it is told that
//! its position is compacted, as etcd would.

mod file;
mod history;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use self::file::File;
use self::history::{History, HistoryFeed};
use super::{Batch, BoxFuture, Feed, FeedEnd, Listing, Lookup, Outcome, Store, Txn};
use crate::error::{Error, Result};

/// Transactions that may wait for the writer.
const QUEUE: usize = 256;

/// Most transactions made durable by one sync.
const GROUP: usize = 64;

/// The name of the file in its directory.
pub const FILE_NAME: &str = "control.redb";

/// The embedded store. Cheap to share by [`Arc`]; the last one dropped closes the file.
#[derive(Debug)]
pub struct Embedded {
    file: Arc<File>,
    history: Arc<History>,
    writer: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Job {
    txn: Txn,
    reply: oneshot::Sender<Result<Outcome>>,
}

impl Embedded {
    /// Opens the store in a directory, creating both as needed.
    ///
    /// # Errors
    /// [`Error::StoreOpen`] where the directory cannot be used, the file is damaged, or another process
    /// holds it.
    pub fn open(directory: &Path) -> Result<Self> {
        let file = Arc::new(File::open(directory)?);
        let history = Arc::new(History::new(file.revision()?));
        let (sender, jobs) = mpsc::channel(QUEUE);
        let writer = Writer {
            file: Arc::clone(&file),
            history: Arc::clone(&history),
            jobs,
        };
        let thread = std::thread::Builder::new()
            .name("embedded-store".to_owned())
            .spawn(|| writer.run())
            .map_err(|error| Error::StoreOpen(format!("cannot start its thread: {error}")))?;
        Ok(Self {
            file,
            history,
            writer: Some(sender),
            thread: Some(thread),
        })
    }

    /// Forgets changes up to and including `revision`: watchers that have not seen them are told so.
    pub fn compact(&self, revision: u64) {
        self.history.compact(revision);
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&File) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || read(&file))
            .await
            .map_err(|error| {
                Error::StoreUnavailable(format!("the reading thread failed: {error}"))
            })?
    }
}

impl Store for Embedded {
    fn is_exclusive(&self) -> bool {
        true
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Lookup>> {
        let key = key.to_owned();
        Box::pin(self.read(move |file| file.get(&key)))
    }

    fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing>> {
        let prefix = prefix.to_owned();
        Box::pin(self.read(move |file| file.page(&prefix, "", usize::MAX)))
    }

    fn page<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing>> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        Box::pin(self.read(move |file| file.page(&prefix, &after, limit)))
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome>> {
        Box::pin(async move {
            txn.check()?;
            let gone = || Error::StoreUnavailable("its thread has ended".to_owned());
            let writer = self.writer.as_ref().ok_or_else(gone)?;
            let (reply, outcome) = oneshot::channel();
            let queued = writer.send(Job { txn, reply }).await;
            queued.map_err(|_| gone())?;
            let lost = |_| Error::OutcomeUnknown("its thread ended in the middle".to_owned());
            outcome.await.map_err(lost)?
        })
    }

    fn feed<'a>(
        &'a self,
        prefix: &'a str,
        after: u64,
    ) -> BoxFuture<'a, std::result::Result<Box<dyn Feed>, FeedEnd>> {
        let feed = HistoryFeed::new(Arc::clone(&self.history), prefix.to_owned(), after);
        Box::pin(async move { Ok(Box::new(feed) as Box<dyn Feed>) })
    }
}

impl Drop for Embedded {
    /// Waits for the writer to finish what it has begun, so that the file is free when this returns.
    fn drop(&mut self) {
        drop(self.writer.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has already failed whoever waited; there is nobody left to tell.
            drop(thread.join());
        }
    }
}

struct Writer {
    file: Arc<File>,
    history: Arc<History>,
    jobs: mpsc::Receiver<Job>,
}

impl Writer {
    fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP);
        while let Some(first) = self.jobs.blocking_recv() {
            group.push(first);
            while group.len() < GROUP
                && let Ok(job) = self.jobs.try_recv()
            {
                group.push(job);
            }
            self.write(&mut group);
        }
    }

    fn write(&self, group: &mut Vec<Job>) {
        let txns: Vec<_> = group.iter().map(|job| &job.txn).collect();
        match self.file.write(&txns) {
            Ok(results) => {
                for batch in results.iter().filter_map(|(_, batch)| batch.clone()) {
                    self.history.push(batch);
                }
                for (job, (outcome, _)) in group.drain(..).zip(results) {
                    // Whoever gave up waiting does not hear of it; the write stands all the same.
                    drop(job.reply.send(Ok(outcome)));
                }
            }
            // Nothing was written. One of them may have met a damaged record: the others need not suffer.
            Err(Error::Damaged { .. }) if group.len() > 1 => {
                for job in group.drain(..) {
                    self.write(&mut vec![job]);
                }
            }
            Err(error) => {
                for job in group.drain(..) {
                    drop(job.reply.send(Err(error.clone())));
                }
            }
        }
    }
}

/// What a transaction did: its outcome, and its changes if it wrote any.
type Written = (Outcome, Option<Batch>);
