//! API keys as records: made, found, listed, revoked.
//!
//! A secret is `tg_`, 160 random bits, and a checksum by which a mistyped key is told from a foreign one
//! without asking anybody. It is shown once and never stored: the record holds its BLAKE3 hash. The random
//! part is too long to be guessed, so that a plain hash is enough and a slow one would only cost nodes time.
//!
//! The public identifier is the beginning of the hash. Looking a key up by hash, by identifier, or in a list
//! is then one read of the one record at `/key/<id>`, and no index can disagree with it. Knowing half of a
//! hash is of no help in finding what it was made of.

use bytes::Bytes;
use prost::Message;
use tollgate_policy::Subject;
use tollgate_proto::admin::v1 as admin;

use crate::base32;
use crate::clock;
use crate::error::{Error, Result};
use crate::store::{Entry, Outcome, SharedStore, Txn};

/// Where the records are.
pub(crate) const PREFIX: &str = "/key/";

/// Bytes of a hash that become the identifier: 80 bits, so that two keys never share one.
const ID_BYTES: usize = 10;
const SECRET_BYTES: usize = 20;
const CHECKSUM_CHARS: usize = 6;
const MOST_NAME_CHARS: usize = 100;
/// Keys read at once for a list.
const SEARCHED: usize = 500;
/// Keys read at most for one page of a list.
const MOST_SEARCHED: usize = 10_000;

/// BLAKE3 hash of a whole secret: how nodes ask for a key.
pub(crate) type Hash = [u8; 32];

/// A key's record.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Record {
    #[prost(bytes = "bytes", tag = "1")]
    hash: Bytes,
    #[prost(string, tag = "2")]
    subject: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(uint64, tag = "4")]
    created_ms: u64,
    /// 0 while it is valid.
    #[prost(uint64, tag = "5")]
    revoked_ms: u64,
    /// Empty where it is of its subject's tier.
    #[prost(string, tag = "6")]
    tier: String,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) hash: Hash,
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) created_ms: u64,
    pub(crate) revoked_ms: Option<u64>,
    /// Empty where it is of its subject's tier.
    pub(crate) tier: String,
}

/// What was found of a hash at a revision of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The key, if there is one and it is valid.
    pub(crate) key: Option<Key>,
    /// The revision. Orders what is found at different times: the higher one is the newer.
    pub(crate) revision: u64,
}

/// Reads and writes keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    store: SharedStore,
}

impl Keys {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self { store }
    }

    /// Makes a key and returns its secret beside it. That there is such a tier is for the caller to know.
    pub(crate) async fn create(
        &self,
        subject: &str,
        name: &str,
        tier: &str,
    ) -> Result<(Key, String)> {
        check(subject, name)?;
        let secret = new_secret()?;
        let hash = *blake3::hash(secret.as_bytes()).as_bytes();
        let key = Key {
            id: id(&hash),
            hash,
            subject: subject.to_owned(),
            name: name.to_owned(),
            created_ms: clock::wall_ms(),
            revoked_ms: None,
            tier: tier.to_owned(),
        };
        let path = path(&key.id);
        let txn = Txn::new().when_created(&path, 0).put(&path, key.encode());
        match self.store.commit(txn).await {
            Ok(Outcome::Committed(_)) => Ok((key, secret)),
            // Eighty random bits have met eighty others: the system's randomness is broken.
            Ok(Outcome::Conflict) => Err(Error::Randomness("two keys are alike".to_owned())),
            Err(Error::OutcomeUnknown(reason)) => match self.get(&key.id).await {
                Ok((found, _)) if found.hash == hash => Ok((key, secret)),
                Ok(_) | Err(_) => Err(Error::OutcomeUnknown(reason)),
            },
            Err(error) => Err(error),
        }
    }

    /// Finds what a hash stands for.
    pub(crate) async fn find(&self, hash: &Hash) -> Result<Found> {
        let lookup = self.store.get(&path(&id(hash))).await?;
        match lookup.entry {
            Some(entry) => Ok(Found {
                revision: lookup.revision,
                ..found(&entry, hash)?
            }),
            None => Ok(Found {
                key: None,
                revision: lookup.revision,
            }),
        }
    }

    /// Revokes a key. One that is revoked already stays as it is.
    pub(crate) async fn revoke(&self, id: &str) -> Result<Key> {
        loop {
            let (mut key, revision) = self.get(id).await?;
            if key.revoked_ms.is_some() {
                return Ok(key);
            }
            key.revoked_ms = Some(clock::wall_ms());
            let path = path(id);
            let txn = Txn::new()
                .when_modified(&path, revision)
                .put(&path, key.encode());
            match self.store.commit(txn).await? {
                Outcome::Committed(_) => return Ok(key),
                Outcome::Conflict => {}
            }
        }
    }

    /// Lists keys of a subject and of what is below it, by identifier, those after `after`. Returns the
    /// identifier to go on after, if there may be more.
    ///
    /// Keys are not sorted by subject: with a narrow one many are looked at for few. So the search stops
    /// after [`MOST_SEARCHED`] keys, and a page may hold fewer than asked for without being the last.
    pub(crate) async fn list(
        &self,
        subject: Option<&Subject>,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<Key>, Option<String>)> {
        let (mut keys, mut last) = (Vec::new(), after.to_owned());
        for _ in 0..MOST_SEARCHED / SEARCHED {
            let after = if last.is_empty() {
                String::new()
            } else {
                path(&last)
            };
            let page = self.store.page(PREFIX, &after, SEARCHED).await?;
            for entry in &page.entries {
                if keys.len() == limit {
                    return Ok((keys, Some(last)));
                }
                let key = Key::decode(entry)?;
                last.clone_from(&key.id);
                if subject.is_none_or(|above| key.is_within(above)) {
                    keys.push(key);
                }
            }
            if !page.more {
                return Ok((keys, None));
            }
        }
        Ok((keys, Some(last)))
    }

    /// A key and the revision of its record.
    async fn get(&self, id: &str) -> Result<(Key, u64)> {
        let lookup = self.store.get(&path(id)).await?;
        let missing = || Error::NotFound {
            what: "key",
            name: id.to_owned(),
        };
        let entry = lookup.entry.ok_or_else(missing)?;
        Ok((Key::decode(&entry)?, entry.mod_revision))
    }
}

impl Key {
    fn encode(&self) -> Vec<u8> {
        let record = Record {
            hash: Bytes::copy_from_slice(&self.hash),
            subject: self.subject.clone(),
            name: self.name.clone(),
            created_ms: self.created_ms,
            revoked_ms: self.revoked_ms.unwrap_or(0),
            tier: self.tier.clone(),
        };
        record.encode_to_vec()
    }

    pub(crate) fn decode(entry: &Entry) -> Result<Self> {
        let damaged = |reason: String| Error::Damaged {
            key: entry.key.clone(),
            reason,
        };
        let record = Record::decode(entry.value.clone());
        let record = record.map_err(|error| damaged(error.to_string()))?;
        let hash = Hash::try_from(&record.hash[..]);
        Ok(Self {
            id: entry.key.trim_start_matches(PREFIX).to_owned(),
            hash: hash.map_err(|_| damaged("its hash is not 32 bytes long".to_owned()))?,
            subject: record.subject,
            name: record.name,
            created_ms: record.created_ms,
            revoked_ms: (record.revoked_ms > 0).then_some(record.revoked_ms),
            tier: record.tier,
        })
    }

    fn is_within(&self, above: &Subject) -> bool {
        Subject::parse(&self.subject).is_ok_and(|subject| subject.is_within(above))
    }

    /// As operators see it.
    pub(crate) fn to_admin(&self) -> admin::Key {
        admin::Key {
            id: self.id.clone(),
            subject: self.subject.clone(),
            name: self.name.clone(),
            created_at: Some(clock::timestamp(self.created_ms)),
            revoked_at: self.revoked_ms.map(clock::timestamp),
            tier: self.tier.clone(),
        }
    }
}

/// What a record says of a hash that leads to it.
pub(crate) fn found(entry: &Entry, hash: &Hash) -> Result<Found> {
    let key = Key::decode(entry)?;
    let valid = key.hash == *hash && key.revoked_ms.is_none();
    Ok(Found {
        key: valid.then_some(key),
        revision: entry.mod_revision,
    })
}

/// The identifier of the key with this hash.
pub(crate) fn id(hash: &Hash) -> String {
    format!("k{}", base32::encode(&hash[..ID_BYTES]))
}

fn path(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn check(subject: &str, name: &str) -> Result<()> {
    Subject::parse(subject).map_err(|error| Error::field("subject", error.to_string()))?;
    if name.chars().count() > MOST_NAME_CHARS {
        let message = format!("is longer than {MOST_NAME_CHARS} characters; choose a shorter one");
        return Err(Error::field("name", message));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::field(
            "name",
            "contains control characters; leave them out",
        ));
    }
    Ok(())
}

fn new_secret() -> Result<String> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| Error::Randomness(error.to_string()))?;
    let random = base32::encode(&random);
    let checksum = checksum(&random);
    Ok(format!("tg_{random}{checksum}"))
}

fn checksum(random: &str) -> String {
    let hash = blake3::hash(random.as_bytes());
    let mut text = base32::encode(&hash.as_bytes()[..4]);
    text.truncate(CHECKSUM_CHARS);
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::embedded::Embedded;

    fn keys() -> (tempfile::TempDir, Keys) {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path()).unwrap();
        (directory, Keys::new(Arc::new(store)))
    }

    #[test]
    fn a_secret_is_long_random_and_carries_its_checksum() {
        let secret = new_secret().unwrap();
        assert_eq!(secret.len(), 3 + 32 + CHECKSUM_CHARS);
        let (random, sum) = secret[3..].split_at(32);
        assert_eq!(checksum(random), sum);
        assert_ne!(new_secret().unwrap(), secret);
    }

    #[tokio::test]
    async fn a_key_is_found_by_the_hash_of_its_secret_until_it_is_revoked() {
        let (_directory, keys) = keys();
        let (key, secret) = keys.create("acme/search/ada", "laptop", "").await.unwrap();
        let hash = *blake3::hash(secret.as_bytes()).as_bytes();
        let found = keys.find(&hash).await.unwrap();
        assert_eq!(found.key.as_ref(), Some(&key));

        let revoked = keys.revoke(&key.id).await.unwrap();
        assert!(revoked.revoked_ms.is_some());
        assert_eq!(
            keys.revoke(&key.id).await.unwrap(),
            revoked,
            "repeating does no harm"
        );
        let gone = keys.find(&hash).await.unwrap();
        assert_eq!(gone.key, None);
        assert!(gone.revision > found.revision);
        assert_eq!(keys.find(&[7; 32]).await.unwrap().key, None);
    }

    #[tokio::test]
    async fn the_secret_is_nowhere_in_the_store() {
        let (directory, keys) = keys();
        let (_, secret) = keys.create("acme", "", "").await.unwrap();
        let file = directory.path().join(crate::store::embedded::FILE_NAME);
        let bytes = std::fs::read(file).unwrap();
        let needle = &secret.as_bytes()[3..19];
        assert!(!bytes.windows(needle.len()).any(|window| window == needle));
    }

    #[tokio::test]
    async fn lists_are_paged_and_filtered_by_subject() {
        let (_directory, keys) = keys();
        for subject in ["acme/a", "acme/a/b", "acme/ab", "other"] {
            keys.create(subject, "", "").await.unwrap();
        }
        let (all, next) = keys.list(None, "", 10).await.unwrap();
        assert_eq!((all.len(), next), (4, None));
        let (first, next) = keys.list(None, "", 3).await.unwrap();
        let (rest, end) = keys.list(None, &next.unwrap(), 3).await.unwrap();
        assert_eq!((first.len(), rest.len(), end), (3, 1, None));
        let above = Subject::parse("acme/a").unwrap();
        let (within, _) = keys.list(Some(&above), "", 10).await.unwrap();
        let mut subjects: Vec<_> = within.into_iter().map(|key| key.subject).collect();
        subjects.sort();
        assert_eq!(subjects, ["acme/a", "acme/a/b"]);
    }

    #[tokio::test]
    async fn wrong_subjects_and_names_are_refused_by_field() {
        let (_directory, keys) = keys();
        let name = "x".repeat(101);
        for (subject, name, field) in [
            ("", "", "subject"),
            ("Acme", "", "subject"),
            ("a/b/c/d/e/f/g/h/i", "", "subject"),
            ("acme", name.as_str(), "name"),
            ("acme", "a\nb", "name"),
        ] {
            let error = keys.create(subject, name, "").await.unwrap_err();
            let Error::Invalid(faults) = error else {
                panic!("{error:?}");
            };
            assert_eq!(faults[0].path, field, "{subject} {name}");
        }
        let error = keys.revoke("knone").await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    }
}
