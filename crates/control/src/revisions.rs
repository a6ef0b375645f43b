//! The policy as a list of immutable revisions and one pointer to the current one.
//!
//! - `/policy/blob/<digest>/<i>`: the encoded policy in pieces, named by its content;
//! - `/policy/rev/<n>`: number n's place in the history;
//! - `/policy/current`: the pointer.
//!
//! The pieces are written first and are of no consequence until a revision names them; the revision and the
//! pointer then change in one transaction that is guarded by the pointer as it was read. A policy of any
//! size becomes current at once or not at all, and of two concurrent changes one fails and learns which won.
//! A crash in between leaves pieces that the next attempt finds already there.

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};
use prost::Message;
use tollgate_proto::admin::v1 as admin;
use tollgate_proto::policy::v1::Policy;

use crate::clock;
use crate::error::{Error, Result};
use crate::store::{Entry, Outcome, SharedStore, Txn};

/// The pointer's key.
pub(crate) const CURRENT: &str = "/policy/current";
const REVISIONS: &str = "/policy/rev/";
const BLOBS: &str = "/policy/blob/";

/// Well below etcd's limit for one request.
const PIECE_BYTES: usize = 512 << 10;
/// Largest encoded policy.
const MOST_BYTES: usize = 16 << 20;

/// The pointer's value, and a revision's place in the history.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Record {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(uint64, tag = "2")]
    applied_ms: u64,
    #[prost(string, tag = "3")]
    message: String,
    #[prost(string, tag = "4")]
    digest: String,
    #[prost(uint32, tag = "5")]
    pieces: u32,
    /// Tells our own write from another's of the same content, where the store did not say.
    #[prost(uint64, tag = "6")]
    nonce: u64,
}

/// A revision's place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    record: Record,
}

/// The current revision as it was read, to be changed from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// None before the first.
    pub(crate) revision: Option<Revision>,
    /// Revision of the pointer in the store, 0 where there is none.
    pointer: u64,
    /// Revision of the store at which it was read.
    pub(crate) read_at: u64,
}

/// Reads and writes revisions.
#[derive(Clone, Debug)]
pub(crate) struct Revisions {
    store: SharedStore,
}

impl Revisions {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self { store }
    }

    /// Reads the pointer.
    pub(crate) async fn head(&self) -> Result<Head> {
        let lookup = self.store.get(CURRENT).await?;
        let Some(entry) = lookup.entry else {
            return Ok(Head {
                read_at: lookup.revision,
                ..Head::default()
            });
        };
        Ok(Head {
            read_at: lookup.revision,
            revision: Some(Revision::decode(&entry)?),
            pointer: entry.mod_revision,
        })
    }

    /// Finds a revision by its number.
    pub(crate) async fn find(&self, number: u64) -> Result<Revision> {
        let lookup = self.store.get(&path(number)).await?;
        let missing = || Error::NotFound {
            what: "policy revision",
            name: number.to_string(),
        };
        Revision::decode(&lookup.entry.ok_or_else(missing)?)
    }

    /// Reads a revision's policy and checks it against its digest.
    pub(crate) async fn policy(&self, revision: &Revision) -> Result<Policy> {
        let record = &revision.record;
        let prefix = blob_prefix(&record.digest);
        let listing = self.store.range(&prefix).await?;
        let pieces: BTreeMap<_, _> = listing.entries.iter().map(|e| (&e.key, &e.value)).collect();
        let mut bytes = BytesMut::new();
        for index in 0..record.pieces {
            if let Some(piece) = pieces.get(&piece_path(&record.digest, index)) {
                bytes.extend_from_slice(piece);
            }
        }
        let damaged = |reason: String| Error::Damaged {
            key: prefix.clone(),
            reason,
        };
        if digest(&bytes) != record.digest {
            return Err(damaged("its content is not what its name says".to_owned()));
        }
        Policy::decode(bytes.freeze()).map_err(|error| damaged(error.to_string()))
    }

    /// Lists revisions, newest first, those before `before` (0: from the newest).
    pub(crate) async fn list(&self, before: u64, limit: u64) -> Result<Vec<Revision>> {
        let newest = self.head().await?.number();
        let last = if before == 0 {
            newest
        } else {
            newest.min(before - 1)
        };
        let first = last.saturating_sub(limit);
        let count = usize::try_from(last - first).unwrap_or(usize::MAX);
        if count == 0 {
            return Ok(Vec::new());
        }
        let page = self.store.page(REVISIONS, &path(first), count).await?;
        page.entries.iter().rev().map(Revision::decode).collect()
    }

    /// Makes a policy the next revision, if `head` is still current.
    pub(crate) async fn append(
        &self,
        head: &Head,
        policy: &Policy,
        message: &str,
    ) -> Result<Revision> {
        let bytes = encode(policy);
        if bytes.len() > MOST_BYTES {
            let message = format!("is {} bytes encoded, {MOST_BYTES} at most", bytes.len());
            return Err(Error::field("policy", message));
        }
        let digest = digest(&bytes);
        let pieces = self.write_pieces(&digest, &bytes).await?;
        let record = Record {
            revision: head.number() + 1,
            applied_ms: clock::wall_ms(),
            message: message.to_owned(),
            digest,
            pieces,
            nonce: getrandom::u64().map_err(|error| Error::Randomness(error.to_string()))?,
        };
        self.point(head, record).await
    }

    /// Writes the pieces of a policy, those that are not there yet. Returns their number.
    async fn write_pieces(&self, digest: &str, bytes: &Bytes) -> Result<u32> {
        let mut count = 0;
        for piece in bytes.chunks(PIECE_BYTES) {
            let path = piece_path(digest, count);
            let piece = bytes.slice_ref(piece);
            // A conflict means that it is there: its name stands for its content.
            self.store
                .commit(Txn::new().when_created(&path, 0).put(&path, piece))
                .await?;
            count += 1;
        }
        Ok(count)
    }

    async fn point(&self, head: &Head, record: Record) -> Result<Revision> {
        let value = record.encode_to_vec();
        let path = path(record.revision);
        let txn = Txn::new()
            .when_modified(CURRENT, head.pointer)
            .when_created(&path, 0)
            .put(&path, value.clone())
            .put(CURRENT, value);
        let unknown = match self.store.commit(txn).await {
            Ok(Outcome::Committed(_)) => return Ok(Revision { record }),
            Ok(Outcome::Conflict) => None,
            Err(Error::OutcomeUnknown(reason)) => Some(reason),
            Err(error) => return Err(error),
        };
        let now = self.head().await.map_err(|error| match &unknown {
            Some(reason) => Error::OutcomeUnknown(reason.clone()),
            None => error,
        })?;
        match now.revision {
            Some(revision) if revision.record == record => Ok(revision),
            Some(_) if now.pointer != head.pointer => Err(Error::Superseded {
                expected: head.number(),
                current: now.number(),
            }),
            Some(_) | None => {
                let reason =
                    unknown.unwrap_or_else(|| "the history is ahead of its pointer".to_owned());
                Err(Error::OutcomeUnknown(reason))
            }
        }
    }
}

impl Head {
    /// The current revision's number; 0 before the first.
    pub(crate) fn number(&self) -> u64 {
        self.revision.as_ref().map_or(0, Revision::number)
    }
}

impl Revision {
    fn decode(entry: &Entry) -> Result<Self> {
        let record = Record::decode(entry.value.clone());
        let record = record.map_err(|error| Error::Damaged {
            key: entry.key.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { record })
    }

    /// Its number, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.record.revision
    }

    /// As operators see it.
    pub(crate) fn to_admin(&self) -> admin::PolicyRevision {
        admin::PolicyRevision {
            revision: self.record.revision,
            applied_at: Some(clock::timestamp(self.record.applied_ms)),
            message: self.record.message.clone(),
            digest: self.record.digest.clone(),
        }
    }
}

/// Encodes a policy so that equal ones have equal bytes: the entries of each map by their names. Protobuf
/// messages may be joined end to end, so each entry is written as a policy of its own.
fn encode(policy: &Policy) -> Bytes {
    // Every field by name: one that the contract gets later must not be left out here.
    let Policy {
        providers,
        deployments,
        pools,
        models,
        limits,
        tiers,
        explanations,
    } = policy;
    let mut parts = Vec::new();
    let rest = Policy::default;
    parts.extend(entries(providers, |providers| Policy {
        providers,
        ..rest()
    }));
    parts.extend(entries(deployments, |deployments| Policy {
        deployments,
        ..rest()
    }));
    parts.extend(entries(pools, |pools| Policy { pools, ..rest() }));
    parts.extend(entries(models, |models| Policy { models, ..rest() }));
    parts.push(Policy {
        limits: limits.clone(),
        explanations: *explanations,
        ..rest()
    });
    parts.extend(entries(tiers, |tiers| Policy { tiers, ..rest() }));
    let mut bytes = BytesMut::new();
    for part in parts {
        bytes.extend_from_slice(&part.encode_to_vec());
    }
    bytes.freeze()
}

/// A policy of each entry of a map, by name.
fn entries<V: Clone>(
    map: &HashMap<String, V>,
    part: impl Fn(HashMap<String, V>) -> Policy,
) -> Vec<Policy> {
    let sorted: BTreeMap<_, _> = map.iter().collect();
    let one = |(name, value): (&String, &V)| [(name.clone(), value.clone())].into();
    sorted.into_iter().map(|entry| part(one(entry))).collect()
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Numbers have twenty digits, so that their order as text is their order.
fn path(number: u64) -> String {
    format!("{REVISIONS}{number:020}")
}

fn blob_prefix(digest: &str) -> String {
    format!("{BLOBS}{digest}/")
}

fn piece_path(digest: &str, index: u32) -> String {
    format!("{BLOBS}{digest}/{index:06}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_proto::policy::v1::{Limit, Pool, Provider, Tier};

    use super::*;
    use crate::store::embedded::Embedded;

    fn revisions() -> (tempfile::TempDir, Revisions) {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path()).unwrap();
        (directory, Revisions::new(Arc::new(store)))
    }

    fn policy(pools: usize) -> Policy {
        let names = (0..pools).map(|n| (format!("pool-{n}"), Pool::default()));
        Policy {
            providers: [("p".to_owned(), Provider::default())].into(),
            pools: names.collect(),
            limits: vec![Limit {
                name: "all".to_owned(),
                ..Limit::default()
            }],
            ..Policy::default()
        }
    }

    #[test]
    fn equal_policies_have_equal_bytes_and_are_read_back() {
        let policy = |pools| {
            let mut policy = policy(pools);
            policy.tiers = (0..9)
                .map(|n| (format!("tier-{n}"), Tier::default()))
                .collect();
            policy
        };
        let bytes = encode(&policy(100));
        assert_eq!(encode(&policy(100)), bytes);
        assert_eq!(Policy::decode(bytes).unwrap(), policy(100));
    }

    #[tokio::test]
    async fn a_large_policy_is_stored_in_pieces_and_read_back_whole() {
        let (_directory, revisions) = revisions();
        let mut large = policy(1);
        large.limits = (0..40_000)
            .map(|n| Limit {
                name: format!("limit-{n}-{}", "x".repeat(40)),
                ..Limit::default()
            })
            .collect();
        let head = revisions.head().await.unwrap();
        let revision = revisions.append(&head, &large, "big").await.unwrap();
        assert!(revision.record.pieces > 3);
        assert_eq!(revisions.policy(&revision).await.unwrap(), large);
        assert_eq!(revisions.find(1).await.unwrap(), revision);
    }

    #[tokio::test]
    async fn of_two_changes_from_one_revision_the_second_learns_which_won() {
        let (_directory, revisions) = revisions();
        let head = revisions.head().await.unwrap();
        revisions.append(&head, &policy(1), "first").await.unwrap();
        let error = revisions
            .append(&head, &policy(2), "second")
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::Superseded {
                    expected: 0,
                    current: 1
                }
            ),
            "{error:?}"
        );
        let head = revisions.head().await.unwrap();
        assert_eq!(
            revisions
                .append(&head, &policy(2), "again")
                .await
                .unwrap()
                .number(),
            2
        );
    }

    #[tokio::test]
    async fn history_is_listed_newest_first_in_pages() {
        let (_directory, revisions) = revisions();
        assert!(revisions.list(0, 10).await.unwrap().is_empty());
        for pools in 1..=5 {
            let head = revisions.head().await.unwrap();
            revisions
                .append(&head, &policy(pools), "more")
                .await
                .unwrap();
        }
        let numbers = async |before, limit| -> Vec<u64> {
            let page = revisions.list(before, limit).await.unwrap();
            page.iter().map(Revision::number).collect()
        };
        assert_eq!(numbers(0, 2).await, [5, 4]);
        assert_eq!(numbers(4, 2).await, [3, 2]);
        assert_eq!(numbers(2, 10).await, [1]);
        assert!(numbers(1, 10).await.is_empty());
    }

    #[tokio::test]
    async fn a_damaged_piece_is_noticed() {
        let (_directory, revisions) = revisions();
        let head = revisions.head().await.unwrap();
        let revision = revisions.append(&head, &policy(1), "").await.unwrap();
        let piece = piece_path(&revision.record.digest, 0);
        revisions
            .store
            .commit(Txn::new().put(piece, "other"))
            .await
            .unwrap();
        let error = revisions.policy(&revision).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    }
}
