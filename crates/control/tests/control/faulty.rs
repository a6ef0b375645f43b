//! A store that loses answers, as a network does, at the test's word.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tollgate_control::error::{Error, Result};
use tollgate_control::store::{
    BoxFuture, Feed, FeedEnd, Listing, Lookup, Outcome, SharedStore, Store, Txn,
};

/// What happens to a write whose answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It is done all the same.
    After,
    /// It is not done either.
    Before,
}

/// Loses the answers of chosen writes.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: SharedStore,
    /// Says of each write by its number, from 0, and its content, whether its answer is lost.
    plan: fn(usize, &Txn) -> Option<Lost>,
    writes: AtomicUsize,
    lost: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(inner: SharedStore, plan: fn(usize, &Txn) -> Option<Lost>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan,
            writes: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        })
    }

    /// Answers lost so far.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        let Some(lost) = (self.plan)(number, &txn) else {
            return self.inner.commit(txn).await;
        };
        self.lost.fetch_add(1, Ordering::SeqCst);
        if lost == Lost::After {
            self.inner.commit(txn).await?;
        }
        Err(Error::OutcomeUnknown("the answer was lost".to_owned()))
    }
}

impl Store for Faulty {
    fn identity(&self) -> BoxFuture<'_, Result<u64>> {
        self.inner.identity()
    }

    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Lookup>> {
        self.inner.get(key)
    }

    fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing>> {
        self.inner.range(prefix)
    }

    fn page<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing>> {
        self.inner.page(prefix, after, limit)
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome>> {
        Box::pin(self.commit(txn))
    }

    fn feed<'a>(
        &'a self,
        prefix: &'a str,
        after: u64,
    ) -> BoxFuture<'a, std::result::Result<Box<dyn Feed>, FeedEnd>> {
        self.inner.feed(prefix, after)
    }
}
