//! The keys of callers, as far as this node has met them.
//!
//! A key is looked up by the BLAKE3 hash of its whole text; the text itself is never kept. The first use of a
//! key on a node asks the control plane; from then on the control plane tells of every change, so that a
//! revoked key stops working at once and a node cut off goes on with what it knows. That a key does *not*
//! exist is remembered for a few seconds only. Both memories are bounded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tollgate_policy::Subject;
use tollgate_policy::table::{self, Labels};
use tollgate_proto::node::v1::{Key, KeyUpdate};

use crate::clock;
use crate::error::Error;
use crate::gate::TenantId;
use crate::plan::{Plan, Plans};
use crate::revision::Revision;

/// BLAKE3 hash of a key.
pub(crate) type Hash = [u8; 32];

/// A request that waits for the control plane's word on a key.
type Waiting = oneshot::Sender<Option<Arc<Known>>>;

/// How long an unknown key is remembered as such.
const NEGATIVE_TIME: Duration = Duration::from_secs(10);
/// Most unknown keys remembered, and most asked about at once.
const MOST_NEGATIVE: usize = 16_384;
const MOST_PENDING: usize = 4_096;
/// How long a request waits for the control plane's word on its key.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long a limit's refusal is held against a key: what was decided then may have changed.
const LONGEST_OVER_QUOTA: Duration = Duration::from_secs(10);
/// Longest key that is looked at.
const LONGEST_KEY: usize = 256;

/// The keys that this node has met.
#[derive(Debug)]
pub(crate) struct Keys {
    known: RwLock<HashMap<Hash, Arc<Known>>>,
    unknown: Mutex<HashMap<Hash, Instant>>,
    pending: Mutex<HashMap<Hash, Vec<Waiting>>>,
    ask: mpsc::Sender<Hash>,
    most: usize,
}

/// A caller, as far as this node can tell by itself.
#[derive(Debug)]
pub(crate) enum Caller {
    Known(Arc<Known>),
    /// Only the control plane knows whether there is such a key.
    Unmet(Hash),
    /// There is no key, or it is known that it does not exist.
    Refused(Error),
}

/// A key that exists.
#[derive(Debug)]
pub(crate) struct Known {
    /// Public identifier.
    pub(crate) id: Arc<str>,
    /// To whom it belongs.
    pub(crate) subject: Subject,
    /// The tier that it is of, by itself or by its subject.
    pub(crate) tier: Option<Box<str>>,
    /// The labels of its subject.
    pub(crate) labels: Labels,
    /// The name that its owner gave it.
    pub(crate) name: String,
    /// Who shares a node's places with it: its organisation.
    pub(crate) tenant: TenantId,
    /// The subject that is shut out, and the key with it.
    blocked_by: Option<Box<str>>,
    plans: Plans,
    /// Until when a limit has no room for it, by the boot clock in milliseconds; 0 where none said so.
    over_quota_until: AtomicU64,
}

// === impl Keys ===

impl Keys {
    /// Starts with nothing known. The hashes to ask the control plane for arrive at the receiver.
    pub(crate) fn new(most: usize) -> (Self, mpsc::Receiver<Hash>) {
        let (ask, asked) = mpsc::channel(MOST_PENDING);
        let keys = Self {
            known: RwLock::default(),
            unknown: Mutex::default(),
            pending: Mutex::default(),
            ask,
            most,
        };
        (keys, asked)
    }

    /// Finds the key of a request by its `authorization` value.
    ///
    /// # Errors
    /// No key, no such key, or nobody to ask about one that this node has not met.
    pub(crate) async fn authenticate(
        &self,
        authorization: Option<&[u8]>,
    ) -> Result<Arc<Known>, Error> {
        match self.recognise(authorization) {
            Caller::Known(known) => Ok(known),
            Caller::Unmet(hash) => self.resolve(hash).await,
            Caller::Refused(error) => Err(error),
        }
    }

    /// What is known of a caller without asking anybody.
    pub(crate) fn recognise(&self, authorization: Option<&[u8]>) -> Caller {
        let Some(key) = bearer(authorization) else {
            return Caller::Refused(Error::KeyMissing);
        };
        if key.len() > LONGEST_KEY || !key.starts_with(b"tg_") {
            return Caller::Refused(Error::KeyInvalid);
        }
        let hash = *blake3::hash(key).as_bytes();
        if let Some(known) = self.known.read().get(&hash) {
            return Caller::Known(Arc::clone(known));
        }
        if self.is_unknown(&hash) {
            return Caller::Refused(Error::KeyInvalid);
        }
        Caller::Unmet(hash)
    }

    /// Asks the control plane for a key that this node has not met.
    ///
    /// # Errors
    /// There is no such key, or nobody says so in time.
    pub(crate) async fn resolve(&self, hash: Hash) -> Result<Arc<Known>, Error> {
        const UNREACHABLE: Error = Error::NotReady {
            why: "this node has not met the key before and cannot reach the control plane",
        };
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut pending = self.pending.lock();
            let full = pending.len() >= MOST_PENDING;
            match pending.entry(hash) {
                Entry::Occupied(mut waiting) => {
                    waiting.get_mut().retain(|one| !one.is_closed());
                    waiting.get_mut().push(sender);
                    false
                }
                Entry::Vacant(_) if full => return Err(UNREACHABLE),
                Entry::Vacant(place) => {
                    place.insert(vec![sender]);
                    true
                }
            }
        };
        if first && self.ask.try_send(hash).is_err() {
            self.pending.lock().remove(&hash);
            return Err(UNREACHABLE);
        }
        match tokio::time::timeout(LONGEST_WAIT, receiver).await {
            Ok(Ok(Some(known))) => Ok(known),
            Ok(Ok(None)) => Err(Error::KeyInvalid),
            Ok(Err(_)) | Err(_) => {
                self.give_up(&hash);
                Err(UNREACHABLE)
            }
        }
    }

    /// Forgets a question that nobody waits for any more.
    fn give_up(&self, hash: &Hash) {
        let mut pending = self.pending.lock();
        if let Some(waiting) = pending.get_mut(hash) {
            waiting.retain(|one| !one.is_closed());
            if waiting.is_empty() {
                pending.remove(hash);
            }
        }
    }

    fn is_unknown(&self, hash: &Hash) -> bool {
        let mut unknown = self.unknown.lock();
        match unknown.get(hash) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                unknown.remove(hash);
                false
            }
            None => false,
        }
    }

    /// Takes in what the control plane says of a key. True where it changed what is to be kept on disk.
    pub(crate) fn update(&self, update: &KeyUpdate) -> bool {
        let Ok(hash) = Hash::try_from(update.hash.as_ref()) else {
            tracing::warn!(
                length = update.hash.len(),
                "the control plane named a key by no hash"
            );
            return false;
        };
        let known = update.key.as_ref().and_then(Known::new).map(Arc::new);
        let changed = match &known {
            Some(known) => self.remember(hash, Arc::clone(known)),
            None => self.known.write().remove(&hash).is_some(),
        };
        if known.is_none() {
            self.remember_unknown(hash);
        } else {
            self.unknown.lock().remove(&hash);
        }
        for waiting in self.pending.lock().remove(&hash).into_iter().flatten() {
            // One that has gone away in the meantime needs no answer.
            let _ = waiting.send(known.clone());
        }
        changed
    }

    fn remember(&self, hash: Hash, known: Arc<Known>) -> bool {
        let mut all = self.known.write();
        if all.len() >= self.most && !all.contains_key(&hash) {
            // Any one will do: it is asked for again when it comes back.
            if let Some(victim) = all.keys().next().copied() {
                all.remove(&victim);
            }
        }
        match all.entry(hash) {
            // Its plans stay, as nothing about it changed.
            Entry::Occupied(old) if old.get().is_same(&known) => false,
            Entry::Occupied(mut old) => {
                old.insert(known);
                true
            }
            Entry::Vacant(place) => {
                place.insert(known);
                true
            }
        }
    }

    fn remember_unknown(&self, hash: Hash) {
        let now = Instant::now();
        let mut unknown = self.unknown.lock();
        if unknown.len() >= MOST_NEGATIVE {
            unknown.retain(|_, until| *until > now);
        }
        if unknown.len() < MOST_NEGATIVE {
            unknown.insert(hash, now + NEGATIVE_TIME);
        }
    }

    /// The hashes of all known keys, and of those that requests wait for.
    pub(crate) fn hashes(&self) -> (Vec<Hash>, Vec<Hash>) {
        let known = self.known.read().keys().copied().collect();
        let pending = self.pending.lock().keys().copied().collect();
        (known, pending)
    }

    /// All known keys, for the snapshot.
    pub(crate) fn to_updates(&self) -> Vec<KeyUpdate> {
        let known = self.known.read();
        let update = |(hash, known): (&Hash, &Arc<Known>)| KeyUpdate {
            hash: bytes::Bytes::copy_from_slice(hash),
            key: Some(known.to_key()),
        };
        known.iter().map(update).collect()
    }
}

// === impl Known ===

impl Known {
    pub(crate) fn new(key: &Key) -> Option<Self> {
        match Subject::parse(&key.subject) {
            Ok(subject) => Some(Self {
                id: key.id.as_str().into(),
                tenant: TenantId::of_org(subject.org()),
                subject,
                tier: filled(&key.tier),
                labels: key.labels.clone().into_iter().collect(),
                name: key.name.clone(),
                blocked_by: filled(&key.blocked_by),
                plans: Plans::default(),
                over_quota_until: AtomicU64::new(0),
            }),
            Err(error) => {
                tracing::warn!(key = key.id, %error, "passing over a key with a bad subject");
                None
            }
        }
    }

    /// Who asks, as the policy's table knows callers.
    pub(crate) fn caller(&self) -> table::Caller<'_> {
        table::Caller {
            key: &self.id,
            key_name: &self.name,
            subject: &self.subject,
            tier: self.tier.as_deref(),
            labels: &self.labels,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        // A key that is left out here keeps plans that are no longer right.
        let of = |it: &Self| it.to_key();
        of(self) == of(other)
    }

    fn to_key(&self) -> Key {
        let text = |it: &Option<Box<str>>| it.as_deref().unwrap_or_default().to_owned();
        Key {
            id: self.id.to_string(),
            subject: self.subject.as_str().to_owned(),
            name: self.name.clone(),
            tier: text(&self.tier),
            labels: self.labels.clone().into_iter().collect(),
            blocked_by: text(&self.blocked_by),
        }
    }

    /// Lets the key pass unless its subject, or one above, is shut out.
    ///
    /// # Errors
    /// [`Error::SubjectBlocked`].
    pub(crate) fn admit(&self) -> Result<(), Error> {
        match &self.blocked_by {
            None => Ok(()),
            Some(subject) => Err(Error::SubjectBlocked {
                subject: subject.to_string(),
            }),
        }
    }

    /// Takes note of whether limits had room for the last request.
    pub(crate) fn note_room(&self, refusal: Option<&Error>) {
        let until = if let Some(Error::LimitExceeded { retry_after, .. }) = refusal {
            let wait = (*retry_after).min(LONGEST_OVER_QUOTA);
            now_ms() + u64::try_from(wait.as_millis()).unwrap_or(0)
        } else {
            0
        };
        // Mostly it is as it was, and the line stays in the caches of all processors.
        if self.over_quota_until.load(Ordering::Relaxed) != until {
            self.over_quota_until.store(until, Ordering::Relaxed);
        }
    }

    /// Whether a limit has refused the key, and will not admit it yet.
    pub(crate) fn is_over_quota(&self) -> bool {
        let until = self.over_quota_until.load(Ordering::Relaxed);
        until > 0 && now_ms() < until
    }

    /// The counters that must admit this key's requests for a model, worked out once per policy revision.
    pub(crate) fn plan(
        &self,
        revision: &Revision,
        model: &tollgate_policy::table::Model,
    ) -> Result<Arc<Plan>, Error> {
        self.plans.get(revision, self, model)
    }
}

fn now_ms() -> u64 {
    u64::try_from(clock::boot_time().as_millis()).unwrap_or(0)
}

/// An empty text says that there is none.
fn filled(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

fn bearer(authorization: Option<&[u8]>) -> Option<&[u8]> {
    let (scheme, key) = authorization?.split_at_checked(7)?;
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests;
