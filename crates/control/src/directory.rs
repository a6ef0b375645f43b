//! Keys on their way to the nodes that asked for them, and their changes after that.
//!
//! A node asks for a key when it first sees it. From then on it is told of every change, of the key itself and of
//! what is said of its subject or any above it, without its asking and without any waiting together of changes: a
//! revocation must not wait. A key that does not exist is answered once and not followed, so that callers who try
//! random keys leave nothing behind here: a secret cannot come to exist after it has been tried.
//!
//! What a node is told is put together from several records, which are read one after the other. It bears the
//! revision that the first of them was read at: all that happened before is in it. Of what happened since, some may
//! be and some may not; but for that there is an event, after which all is read anew and bears a later revision.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tollgate_policy::Subject;
use tollgate_proto::node::v1::{Key as NodeKey, KeyUpdate};
use tracing::warn;

use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::keys::{self, Found, Hash, Key, Keys};
use crate::metrics;
use crate::store::watch::{Change, Watch};
use crate::store::{Entry, Event, SharedStore};
use crate::subjects::{self, Standing, Subjects};

/// Keys that one node may follow. Further ones are not answered: an answer whose later changes are missed
/// would outlive a revocation.
pub(crate) const MOST_KEYS: usize = 262_144;

/// All followed keys are read again so often: a lost event must not keep a revoked key alive.
const RECONCILE: Duration = Duration::from_secs(60);
/// The same after some could not be read.
const RETRY: Duration = Duration::from_secs(1);
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
    /// For each followed key what was last offered.
    known: HashMap<Hash, Option<Offered>>,
    waiting: HashMap<Hash, Option<NodeKey>>,
}

/// What a node was last told of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offered {
    revision: u64,
    /// Eight bytes of the BLAKE3 hash of what it was told, so that telling it the same again can be left out.
    print: u64,
}

/// What holds for a key at a revision of the store. None: there is no such key, or it is revoked.
#[derive(Clone, Debug)]
struct State {
    key: Option<NodeKey>,
    revision: u64,
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
    fn offer(&self, hash: &Hash, state: &State) {
        {
            let mut contents = self.state.lock();
            let Some(known) = contents.known.get_mut(hash) else {
                return;
            };
            let news = state.offered();
            if known.is_some_and(|known| known.revision >= news.revision) {
                return;
            }
            let same = known.is_some_and(|known| known.print == news.print);
            *known = Some(news);
            if same {
                return;
            }
            contents.waiting.insert(*hash, state.key.clone());
        }
        self.arrived.notify_one();
    }
}

impl State {
    fn offered(&self) -> Offered {
        let print = match &self.key {
            None => 0,
            Some(key) => {
                // A map has no order, and the same labels must look the same.
                let labels: BTreeMap<_, _> = key.labels.iter().collect();
                let mut hasher = blake3::Hasher::new();
                for (name, value) in labels {
                    hasher.update(name.as_bytes()).update(b"=");
                    hasher.update(value.as_bytes()).update(b"\n");
                }
                let rest = NodeKey {
                    labels: HashMap::new(),
                    ..key.clone()
                };
                hasher.update(&rest.encode_to_vec());
                let mut print = [0; 8];
                hasher.finalize_xof().fill(&mut print);
                u64::from_le_bytes(print)
            }
        };
        Offered {
            revision: self.revision,
            print,
        }
    }
}

fn update(hash: &Hash, key: Option<NodeKey>) -> KeyUpdate {
    KeyUpdate {
        hash: bytes::Bytes::copy_from_slice(hash),
        key,
    }
}

/// As nodes see a key and what holds for its subject.
fn to_node(key: &Key, standing: Standing) -> NodeKey {
    let tier = if key.tier.is_empty() {
        standing.tier
    } else {
        key.tier.clone()
    };
    NodeKey {
        id: key.id.clone(),
        subject: key.subject.clone(),
        name: key.name.clone(),
        tier,
        labels: standing.labels.into_iter().collect(),
        blocked_by: standing.blocked_by,
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
    subjects: Subjects,
    followed: Mutex<Followed>,
}

#[derive(Debug, Default)]
struct Followed {
    by_hash: HashMap<Hash, Follower>,
    /// The keys of each subject that have been found.
    by_subject: BTreeMap<Box<str>, HashSet<Hash>>,
}

/// Who follows one key.
#[derive(Debug, Default)]
struct Follower {
    inboxes: Vec<Arc<Inbox>>,
    /// Once the key was found.
    subject: Option<Box<str>>,
}

impl Directory {
    pub(crate) fn new(store: SharedStore) -> Arc<Self> {
        Arc::new(Self {
            keys: Keys::new(SharedStore::clone(&store)),
            subjects: Subjects::new(SharedStore::clone(&store)),
            store,
            followed: Mutex::default(),
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
        let mut followed = self.followed.lock();
        let follower = followed.by_hash.entry(hash).or_default();
        follower.inboxes.push(Arc::clone(inbox));
        Follow::New
    }

    /// Looks a followed key up and puts it into the inbox.
    pub(crate) async fn resolve(&self, inbox: &Arc<Inbox>, hash: &Hash) -> Result<()> {
        let state = self.read(hash).await?;
        metrics::key_lookup(state.key.is_some());
        inbox.offer(hash, &state);
        if state.key.is_none() {
            self.unfollow(inbox, hash);
        }
        Ok(())
    }

    async fn read(&self, hash: &Hash) -> Result<State> {
        let found = self.keys.find(hash).await?;
        self.complete(hash, found).await
    }

    /// Adds to a key what holds for its subject.
    async fn complete(&self, hash: &Hash, found: Found) -> Result<State> {
        let Found { key, revision } = found;
        let Some(key) = key else {
            return Ok(State {
                key: None,
                revision,
            });
        };
        let subject = Subject::parse(&key.subject).map_err(|error| Error::Damaged {
            key: key.id.clone(),
            reason: error.to_string(),
        })?;
        // Noted before its records are read: a change after that is an event that finds the key.
        self.followed.lock().note(hash, &subject);
        let standing = self.subjects.standing(&subject).await?;
        Ok(State {
            key: Some(to_node(&key, standing)),
            revision,
        })
    }

    /// Makes an inbox follow nothing any more.
    pub(crate) fn leave(&self, inbox: &Arc<Inbox>) {
        let known = std::mem::take(&mut inbox.state.lock().known);
        let mut followed = self.followed.lock();
        for hash in known.keys() {
            followed.remove(hash, inbox);
        }
    }

    fn unfollow(&self, inbox: &Arc<Inbox>, hash: &Hash) {
        inbox.state.lock().known.remove(hash);
        self.followed.lock().remove(hash, inbox);
    }

    /// Runs for ever: hears of changes and hands them on.
    pub(crate) async fn run(self: Arc<Self>) {
        let start = self.start().await;
        let watch = |prefix| Watch::new(SharedStore::clone(&self.store), prefix, start);
        let (mut keys, mut subjects) = (watch(keys::PREFIX), watch(subjects::PREFIX));
        let mut reconcile = interval(RECONCILE);
        reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let whole = tokio::select! {
                change = keys.next() => match change {
                    Change::Events(events) => self.hear_of_keys(&events).await,
                    Change::Gap { .. } => self.reconcile().await,
                },
                change = subjects.next() => match change {
                    Change::Events(events) => self.hear_of_subjects(&events).await,
                    Change::Gap { .. } => self.reconcile().await,
                },
                _ = reconcile.tick() => self.reconcile().await,
            };
            if !whole {
                reconcile.reset_after(RETRY);
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

    /// False where something has to be read again later.
    async fn hear_of_keys(&self, events: &[Event]) -> bool {
        let mut whole = true;
        let mut removed = false;
        for event in events {
            match event {
                Event::Put(entry) => whole &= self.hear_of_key(entry).await,
                Event::Delete { .. } => removed = true,
            }
        }
        // Nobody but an operator with a tool for the store removes keys; the name of one does not tell its
        // whole hash, so all are looked at.
        if removed {
            whole &= self.reconcile().await;
        }
        whole
    }

    async fn hear_of_key(&self, entry: &Entry) -> bool {
        let heard = async {
            let hash = Key::decode(entry)?.hash;
            if self.followed.lock().by_hash.contains_key(&hash) {
                let state = self.complete(&hash, keys::found(entry, &hash)?).await?;
                self.deliver(&hash, &state);
            }
            Ok::<_, Error>(())
        };
        let heard = heard.await;
        if let Err(error) = &heard {
            warn!(%error, "cannot read a changed key, trying later");
        }
        heard.is_ok()
    }

    /// False where something has to be read again later.
    async fn hear_of_subjects(&self, events: &[Event]) -> bool {
        let mut hashes = HashSet::new();
        {
            let followed = self.followed.lock();
            for event in events {
                hashes.extend(followed.within(subjects::subject_of(event.key())));
            }
        }
        self.read_again(hashes).await
    }

    fn deliver(&self, hash: &Hash, state: &State) {
        let inboxes = {
            let followed = self.followed.lock();
            let follower = followed.by_hash.get(hash);
            follower.map(|it| it.inboxes.clone()).unwrap_or_default()
        };
        for inbox in inboxes {
            inbox.offer(hash, state);
            if state.key.is_none() {
                self.unfollow(&inbox, hash);
            }
        }
    }

    /// Reads every followed key again.
    async fn reconcile(&self) -> bool {
        let hashes = self.followed.lock().by_hash.keys().copied().collect();
        self.read_again(hashes).await
    }

    /// Reads keys again and hands on what is new. False where some could not be read.
    async fn read_again(&self, hashes: HashSet<Hash>) -> bool {
        let reads = futures_util::stream::iter(hashes);
        let reads = reads.map(async |hash| (hash, self.read(&hash).await));
        let mut reads = std::pin::pin!(reads.buffer_unordered(READERS));
        let mut failed = 0_usize;
        while let Some((hash, state)) = reads.next().await {
            match state {
                Ok(state) => self.deliver(&hash, &state),
                Err(_) => failed += 1,
            }
        }
        if failed > 0 {
            warn!(failed, "some keys could not be read again, trying later");
        }
        failed == 0
    }
}

impl Followed {
    /// Remembers the subject of a followed key. It never changes.
    fn note(&mut self, hash: &Hash, subject: &Subject) {
        if let Some(follower) = self.by_hash.get_mut(hash)
            && follower.subject.is_none()
        {
            follower.subject = Some(subject.as_str().into());
            let keys = self.by_subject.entry(subject.as_str().into());
            keys.or_default().insert(*hash);
        }
    }

    /// The keys of a subject and of all below it.
    fn within(&self, path: &str) -> Vec<Hash> {
        // Below are the paths that go on with `/`, all of them before those that go on with the next character.
        let (first, end) = (format!("{path}/"), format!("{path}0"));
        let below = self
            .by_subject
            .range::<str, _>((
                std::ops::Bound::Included(first.as_str()),
                std::ops::Bound::Excluded(end.as_str()),
            ))
            .map(|(_, hashes)| hashes);
        let itself = self.by_subject.get(path);
        below.chain(itself).flatten().copied().collect()
    }

    fn remove(&mut self, hash: &Hash, inbox: &Arc<Inbox>) {
        let Some(follower) = self.by_hash.get_mut(hash) else {
            return;
        };
        follower.inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
        if !follower.inboxes.is_empty() {
            return;
        }
        let subject = self.by_hash.remove(hash).and_then(|it| it.subject);
        if let Some(subject) = subject
            && let Some(hashes) = self.by_subject.get_mut(&subject)
        {
            hashes.remove(hash);
            if hashes.is_empty() {
                self.by_subject.remove(&subject);
            }
        }
    }
}

#[cfg(test)]
mod tests;
