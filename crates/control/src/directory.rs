//! Keys on their way to the nodes that asked for them, and their changes after that.
//!
//! A node asks for a key when it first sees it. From then on it is told of every change, without its asking
//! and without any waiting together of changes: a revocation must not wait. A key that does not exist is
//! answered once and not followed, so that callers who try random keys leave nothing behind here: a secret
//! cannot come to exist after it has been tried.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tollgate_proto::node::v1::{Key as NodeKey, KeyUpdate};
use tracing::warn;

use crate::backoff::Backoff;
use crate::error::Result;
use crate::keys::{self, Found, Hash, Key, Keys};
use crate::metrics;
use crate::store::watch::{Change, Watch};
use crate::store::{Entry, Event, SharedStore};

/// Keys that one node may follow. Further ones are not answered: an answer whose later changes are missed
/// would outlive a revocation.
pub(crate) const MOST_KEYS: usize = 262_144;

/// All followed keys are read again so often: a lost event must not keep a revoked key alive.
const RECONCILE: Duration = Duration::from_secs(60);
/// Keys read at once while reconciling.
const READERS: usize = 32;

/// What is on its way to one node: for each key the newest state only, so that memory is bounded by the
/// keys it follows, however slowly it reads.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<Contents>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Contents {
    /// For each followed key the revision last offered, and whether it was valid then.
    known: HashMap<Hash, Option<(u64, bool)>>,
    waiting: HashMap<Hash, Option<NodeKey>>,
}

impl Inbox {
    /// Waits until something has arrived, and takes it.
    pub(crate) async fn take(&self) -> Vec<KeyUpdate> {
        loop {
            let arrived = self.arrived.notified();
            let waiting = std::mem::take(&mut self.state.lock().waiting);
            if !waiting.is_empty() {
                return waiting
                    .into_iter()
                    .map(|(hash, key)| update(&hash, key))
                    .collect();
            }
            arrived.await;
        }
    }

    /// Puts a state in, unless a newer one is known or nothing is new.
    fn offer(&self, hash: &Hash, found: &Found) {
        {
            let mut contents = self.state.lock();
            let Some(known) = contents.known.get_mut(hash) else {
                return;
            };
            let news = (found.revision, found.key.is_some());
            if !is_newer(*known, news) {
                return;
            }
            *known = Some(news);
            let key = found.key.as_ref().map(Key::to_node);
            contents.waiting.insert(*hash, key);
        }
        self.arrived.notify_one();
    }
}

fn update(hash: &Hash, key: Option<NodeKey>) -> KeyUpdate {
    KeyUpdate {
        hash: bytes::Bytes::copy_from_slice(hash),
        key,
    }
}

/// Whether `news` says something that `known` does not.
fn is_newer(known: Option<(u64, bool)>, news: (u64, bool)) -> bool {
    match known {
        None => true,
        Some((revision, valid)) if valid == news.1 => valid && news.0 > revision,
        Some((revision, _)) => news.0 > revision,
    }
}

/// What became of the wish to follow a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// It is followed from now on, and to be looked up.
    New,
    /// It was followed already.
    Known,
    /// It is not followed: there are too many.
    TooMany,
}

/// Who follows which key.
#[derive(Debug)]
pub(crate) struct Directory {
    store: SharedStore,
    keys: Keys,
    followers: Mutex<HashMap<Hash, Vec<Arc<Inbox>>>>,
}

impl Directory {
    pub(crate) fn new(store: SharedStore) -> Arc<Self> {
        Arc::new(Self {
            keys: Keys::new(SharedStore::clone(&store)),
            store,
            followers: Mutex::new(HashMap::new()),
        })
    }

    /// Makes an inbox follow a key.
    pub(crate) fn follow(&self, inbox: &Arc<Inbox>, hash: Hash) -> Follow {
        {
            let mut contents = inbox.state.lock();
            if contents.known.contains_key(&hash) {
                return Follow::Known;
            }
            if contents.known.len() >= MOST_KEYS {
                return Follow::TooMany;
            }
            contents.known.insert(hash, None);
        }
        let mut followers = self.followers.lock();
        followers.entry(hash).or_default().push(Arc::clone(inbox));
        Follow::New
    }

    /// Looks a followed key up and puts it into the inbox.
    pub(crate) async fn resolve(&self, inbox: &Arc<Inbox>, hash: &Hash) -> Result<()> {
        let found = self.keys.find(hash).await?;
        metrics::key_lookup(found.key.is_some());
        inbox.offer(hash, &found);
        if found.key.is_none() {
            self.unfollow(inbox, hash);
        }
        Ok(())
    }

    /// Makes an inbox follow nothing any more.
    pub(crate) fn leave(&self, inbox: &Arc<Inbox>) {
        let known = std::mem::take(&mut inbox.state.lock().known);
        let mut followers = self.followers.lock();
        for hash in known.keys() {
            remove(&mut followers, hash, inbox);
        }
    }

    fn unfollow(&self, inbox: &Arc<Inbox>, hash: &Hash) {
        inbox.state.lock().known.remove(hash);
        remove(&mut self.followers.lock(), hash, inbox);
    }

    /// Runs for ever: hears of changes and hands them on.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut watch = Watch::new(
            SharedStore::clone(&self.store),
            keys::PREFIX,
            self.start().await,
        );
        let mut reconcile = interval(RECONCILE);
        reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                change = watch.next() => match change {
                    Change::Events(events) => self.hear(&events).await,
                    Change::Gap { .. } => self.reconcile().await,
                },
                _ = reconcile.tick() => self.reconcile().await,
            }
        }
    }

    /// The revision to watch from. What happened before is seen by whoever looks a key up.
    async fn start(&self) -> u64 {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            match self.store.get(keys::PREFIX).await {
                Ok(lookup) => return lookup.revision,
                Err(error) => {
                    let wait = backoff.fail();
                    warn!(%error, ?wait, "cannot watch keys yet");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn hear(&self, events: &[Event]) {
        let mut removed = false;
        for event in events {
            match event {
                Event::Put(entry) => self.hear_of(entry),
                Event::Delete { .. } => removed = true,
            }
        }
        // Nobody but an operator with a tool for the store removes keys; the name of one does not tell its
        // whole hash, so all are looked at.
        if removed {
            self.reconcile().await;
        }
    }

    fn hear_of(&self, entry: &Entry) {
        let hash = match Key::decode(entry) {
            Ok(key) => key.hash,
            Err(error) => return warn!(%error, "cannot read a changed key"),
        };
        match keys::found(entry, &hash) {
            Ok(found) => self.deliver(&hash, &found),
            Err(error) => warn!(%error, "cannot read a changed key"),
        }
    }

    fn deliver(&self, hash: &Hash, found: &Found) {
        let followers = self.followers.lock().get(hash).cloned().unwrap_or_default();
        for inbox in followers {
            inbox.offer(hash, found);
            if found.key.is_none() {
                self.unfollow(&inbox, hash);
            }
        }
    }

    /// Reads every followed key again. Those that cannot be read now come next time.
    async fn reconcile(&self) {
        let hashes: Vec<_> = self.followers.lock().keys().copied().collect();
        let reads = futures_util::stream::iter(hashes);
        let reads = reads.map(async |hash| (hash, self.keys.find(&hash).await));
        let mut reads = std::pin::pin!(reads.buffer_unordered(READERS));
        let mut failed = 0_usize;
        while let Some((hash, found)) = reads.next().await {
            match found {
                Ok(found) => self.deliver(&hash, &found),
                Err(_) => failed += 1,
            }
        }
        if failed > 0 {
            warn!(failed, "some keys could not be read again, trying later");
        }
    }
}

fn remove(followers: &mut HashMap<Hash, Vec<Arc<Inbox>>>, hash: &Hash, inbox: &Arc<Inbox>) {
    if let Some(inboxes) = followers.get_mut(hash) {
        inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
        if inboxes.is_empty() {
            followers.remove(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::Embedded;

    #[tokio::test]
    async fn a_followed_key_is_answered_once_and_its_revocation_pushed() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let directory = Directory::new(Arc::clone(&store));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(Arc::clone(&directory).run());

        let keys = Keys::new(store);
        let (key, _) = keys.create("acme", "").await.unwrap();
        let inbox = Arc::new(Inbox::default());
        assert_eq!(directory.follow(&inbox, key.hash), Follow::New);
        assert_eq!(directory.follow(&inbox, key.hash), Follow::Known);
        directory.resolve(&inbox, &key.hash).await.unwrap();
        directory.reconcile().await;
        let updates = inbox.take().await;
        assert_eq!(updates.len(), 1, "{updates:?}");
        assert_eq!(updates[0].key.as_ref().unwrap().id, key.id);

        keys.revoke(&key.id).await.unwrap();
        let updates = inbox.take().await;
        assert_eq!(updates, [update(&key.hash, None)]);
        assert!(
            directory.followers.lock().is_empty(),
            "a revoked key is not followed"
        );
    }

    #[tokio::test]
    async fn unknown_keys_are_answered_and_leave_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
        let directory = Directory::new(store);
        let inbox = Arc::new(Inbox::default());
        for n in 0..100 {
            let hash = [n; 32];
            assert_eq!(directory.follow(&inbox, hash), Follow::New);
            directory.resolve(&inbox, &hash).await.unwrap();
        }
        assert_eq!(inbox.take().await.len(), 100);
        assert!(directory.followers.lock().is_empty());
        assert!(inbox.state.lock().known.is_empty());
    }

    #[test]
    fn an_old_reading_never_undoes_newer_news() {
        for (known, news, newer) in [
            (None, (3, true), true),
            (Some((5, false)), (4, true), false),
            (Some((4, true)), (5, false), true),
            (Some((5, true)), (5, true), false),
            (Some((5, true)), (6, true), true),
            (Some((5, false)), (9, false), false),
        ] {
            assert_eq!(is_newer(known, news), newer, "{known:?} {news:?}");
        }
    }
}
