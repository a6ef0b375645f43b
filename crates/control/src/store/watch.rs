//! A watch that lasts: it resumes where it was, survives compaction, and reconnects with jitter.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Batch, Entry, Event, Feed, FeedEnd, SharedStore};
use crate::backoff::Backoff;
use crate::error::Result;

const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Only control replicas watch a store, a handful of them: they need not spread out over long.
const MOST_WAIT: Duration = Duration::from_secs(2);

/// What a [`Watch`] has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Records changed.
    Events(Vec<Event>),
    /// Changes may have been missed: whoever holds a copy reads it again, now. Later events follow from
    /// `revision` on; those that the new reading already shows are recognised by their revisions.
    Gap {
        /// The store's revision from which events follow.
        revision: u64,
    },
}

/// Changes of all keys under a prefix, without end.
///
/// It keeps no copy of the records, so that it can stand over millions of them; [`Mirror`] does.
#[derive(Debug)]
pub struct Watch {
    store: SharedStore,
    prefix: String,
    /// Everything up to here has been delivered.
    revision: u64,
    state: State,
    backoff: Backoff,
}

#[derive(Debug)]
enum State {
    /// There is no feed; ask for one, not before the time.
    Idle { not_before: Option<Instant> },
    /// A feed runs.
    Live(Box<dyn Feed>),
    /// The feed's position has been compacted away; find a new one, not before the time.
    Compacted { not_before: Option<Instant> },
}

impl Watch {
    /// Watches keys that start with `prefix`, for changes after `revision`.
    #[must_use]
    pub fn new(store: SharedStore, prefix: impl Into<String>, revision: u64) -> Self {
        Self {
            store,
            prefix: prefix.into(),
            revision,
            state: State::Idle { not_before: None },
            backoff: Backoff::new(FIRST_WAIT, MOST_WAIT),
        }
    }

    /// Waits for the next change. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Change {
        loop {
            match &mut self.state {
                State::Idle { not_before } => {
                    wait(*not_before).await;
                    let opened = self.store.feed(&self.prefix, self.revision).await;
                    match opened {
                        Ok(feed) => self.state = State::Live(feed),
                        Err(end) => self.end(end),
                    }
                }
                State::Live(feed) => match feed.next().await {
                    Ok(batch) => {
                        self.backoff.succeed();
                        if let Some(change) = self.deliver(batch) {
                            return change;
                        }
                    }
                    Err(end) => self.end(end),
                },
                State::Compacted { not_before } => {
                    wait(*not_before).await;
                    match self.store.get(&self.prefix).await {
                        Ok(lookup) => {
                            self.revision = lookup.revision;
                            self.state = State::Idle { not_before: None };
                            let revision = lookup.revision;
                            return Change::Gap { revision };
                        }
                        Err(error) => {
                            debug!(%error, prefix = self.prefix, "cannot read the store's revision");
                            let not_before = Some(Instant::now() + self.backoff.fail());
                            self.state = State::Compacted { not_before };
                        }
                    }
                }
            }
        }
    }

    fn deliver(&mut self, batch: Batch) -> Option<Change> {
        let seen = self.revision;
        self.revision = self.revision.max(batch.revision);
        let mut events = batch.events;
        events.retain(|event| event.revision() > seen);
        (!events.is_empty()).then_some(Change::Events(events))
    }

    fn end(&mut self, end: FeedEnd) {
        self.state = match end {
            FeedEnd::Compacted => {
                warn!(
                    prefix = self.prefix,
                    revision = self.revision,
                    "watch fell behind compaction, reading again"
                );
                State::Compacted { not_before: None }
            }
            FeedEnd::Lost(error) => {
                let wait = self.backoff.fail();
                warn!(%error, prefix = self.prefix, ?wait, "watch lost, reconnecting");
                State::Idle {
                    not_before: Some(Instant::now() + wait),
                }
            }
        };
    }
}

async fn wait(not_before: Option<Instant>) {
    if let Some(time) = not_before {
        tokio::time::sleep_until(time).await;
    }
}

/// A copy of all records under a prefix that is kept current.
///
/// After a gap it reads everything again and reports only the differences: what did not change is not
/// reported, so that nothing downstream is rebuilt for nothing.
#[derive(Debug)]
pub struct Mirror {
    store: SharedStore,
    prefix: String,
    watch: Watch,
    entries: BTreeMap<String, Entry>,
    /// The copy shows everything up to here, whatever events still arrive.
    read_at: u64,
    stale: bool,
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Mirror {
    /// Reads the records and watches from there.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`](crate::error::Error::StoreUnavailable) where the first reading fails.
    pub async fn open(store: SharedStore, prefix: impl Into<String>) -> Result<Self> {
        let prefix = prefix.into();
        let listing = store.range(&prefix).await?;
        let entries = listing.entries.into_iter();
        Ok(Self {
            watch: Watch::new(SharedStore::clone(&store), prefix.clone(), listing.revision),
            store,
            prefix,
            entries: entries.map(|entry| (entry.key.clone(), entry)).collect(),
            read_at: listing.revision,
            stale: false,
            backoff: Backoff::new(FIRST_WAIT, MOST_WAIT),
            not_before: None,
        })
    }

    /// The records, by key.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Reads everything again with the next call of [`Mirror::next`]: the safety net against an event that
    /// was lost without anybody noticing.
    pub fn reconcile(&mut self) {
        self.stale = true;
    }

    /// Waits for records to change, and returns the changes, already applied to the copy. Dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Vec<Event> {
        loop {
            let events = if self.stale {
                self.read_again().await
            } else {
                match self.watch.next().await {
                    Change::Events(events) => self.apply(events),
                    Change::Gap { .. } => {
                        self.stale = true;
                        continue;
                    }
                }
            };
            if !events.is_empty() {
                return events;
            }
        }
    }

    async fn read_again(&mut self) -> Vec<Event> {
        wait(self.not_before).await;
        match self.store.range(&self.prefix).await {
            Ok(listing) => {
                self.stale = false;
                self.not_before = None;
                self.backoff.succeed();
                self.read_at = self.read_at.max(listing.revision);
                let fresh = listing.entries.into_iter();
                let fresh = fresh.map(|entry| (entry.key.clone(), entry)).collect();
                let events = difference(&self.entries, &fresh, listing.revision);
                self.entries = fresh;
                events
            }
            Err(error) => {
                let wait = self.backoff.fail();
                warn!(%error, prefix = self.prefix, ?wait, "cannot read records again");
                self.not_before = Some(Instant::now() + wait);
                Vec::new()
            }
        }
    }

    fn apply(&mut self, events: Vec<Event>) -> Vec<Event> {
        let mut applied = Vec::with_capacity(events.len());
        for event in events {
            if event.revision() <= self.read_at {
                continue;
            }
            match &event {
                Event::Put(entry) => {
                    self.entries.insert(entry.key.clone(), entry.clone());
                }
                Event::Delete { key, .. } => {
                    self.entries.remove(key);
                }
            }
            applied.push(event);
        }
        applied
    }
}

/// The events that turn `old` into `new`, deletions last.
fn difference(
    old: &BTreeMap<String, Entry>,
    new: &BTreeMap<String, Entry>,
    revision: u64,
) -> Vec<Event> {
    let changed = |entry: &&Entry| {
        old.get(&entry.key).map(|known| known.mod_revision) != Some(entry.mod_revision)
    };
    let puts = new.values().filter(changed).cloned().map(Event::Put);
    let gone = old.keys().filter(|key| !new.contains_key(*key)).cloned();
    puts.chain(gone.map(|key| Event::Delete { key, revision }))
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(key: &str, mod_revision: u64) -> (String, Entry) {
        let entry = Entry {
            key: key.to_owned(),
            value: Bytes::new(),
            create_revision: 1,
            mod_revision,
        };
        (key.to_owned(), entry)
    }

    #[test]
    fn difference_names_only_what_changed_and_deletes_last() {
        let old = BTreeMap::from([entry("/a", 1), entry("/b", 2), entry("/c", 3)]);
        let new = BTreeMap::from([entry("/b", 2), entry("/c", 7), entry("/d", 8)]);
        let events = difference(&old, &new, 9);
        let keys: Vec<_> = events.iter().map(Event::key).collect();
        assert_eq!(keys, ["/c", "/d", "/a"]);
        assert!(matches!(&events[2], Event::Delete { revision: 9, .. }));
        assert!(difference(&new, &new, 9).is_empty());
    }
}
