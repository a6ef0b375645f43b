//! What operators say of subjects, as records: tier, labels, blocked.
//!
//! A subject's record is at `/subject/<path>`. What holds for a key follows from the records of its subject and of
//! all above it: the nearest tier and labels win, blocked anywhere is blocked. So what is said of an organisation
//! is one record, however many keys it has, and nothing has to be copied when it changes.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use prost::Message;
use tollgate_policy::table::Labels;
use tollgate_policy::{Subject, labels};
use tollgate_proto::admin::v1 as admin;

use crate::clock;
use crate::error::{Error, Result};
use crate::store::{Entry, Outcome, SharedStore, Txn};

/// Where the records are.
pub(crate) const PREFIX: &str = "/subject/";

/// Subjects read at once for a list, and at most for one page of it.
const SEARCHED: usize = 500;
const MOST_SEARCHED: usize = 10_000;

/// A subject's record.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Record {
    /// Empty for none.
    #[prost(string, tag = "1")]
    tier: String,
    #[prost(btree_map = "string, string", tag = "2")]
    labels: BTreeMap<String, String>,
    #[prost(bool, tag = "3")]
    blocked: bool,
    #[prost(uint64, tag = "4")]
    updated_ms: u64,
}

/// What is said of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) path: String,
    /// Empty for none.
    pub(crate) tier: String,
    pub(crate) labels: Labels,
    pub(crate) blocked: bool,
    pub(crate) updated_ms: u64,
}

/// What holds for the keys of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Empty for none.
    pub(crate) tier: String,
    pub(crate) labels: Labels,
    /// The subject that is blocked, the highest of several. Empty for none.
    pub(crate) blocked_by: String,
}

/// Reads and writes what is said of subjects.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    store: SharedStore,
}

impl Subjects {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self { store }
    }

    /// Changes what is said of a subject. That there is such a tier is for the caller to know.
    pub(crate) async fn set(&self, change: &admin::SetSubjectRequest) -> Result<Said> {
        let subject = parse(&change.path)?;
        let path = path(&subject);
        loop {
            let entry = self.store.get(&path).await?.entry;
            let revision = entry.as_ref().map_or(0, |entry| entry.mod_revision);
            let mut said = match &entry {
                Some(entry) => Said::decode(entry)?,
                None => Said::nothing(&subject),
            };
            said.change(change)?;
            said.updated_ms = clock::wall_ms();
            let txn = Txn::new()
                .when_modified(&path, revision)
                .put(&path, said.encode());
            match self.store.commit(txn).await? {
                Outcome::Committed(_) => return Ok(said),
                // Somebody else changed it: the change is made to what it is now.
                Outcome::Conflict => {}
            }
        }
    }

    /// What is said of a subject, if anything is.
    pub(crate) async fn get(&self, subject: &Subject) -> Result<Option<Said>> {
        let entry = self.store.get(&path(subject)).await?.entry;
        entry.as_ref().map(Said::decode).transpose()
    }

    /// What holds for the keys of a subject.
    pub(crate) async fn standing(&self, subject: &Subject) -> Result<Standing> {
        let reads = subject.and_above().map(|path| async move {
            let key = format!("{PREFIX}{path}");
            let entry = self.store.get(&key).await?.entry;
            entry.as_ref().map(Said::decode).transpose()
        });
        let mut standing = Standing::default();
        // From the top down, so that what is nearer wins.
        for said in try_join_all(reads).await?.into_iter().flatten() {
            standing.inherit(said);
        }
        Ok(standing)
    }

    /// Lists what is said of a subject and of those below it, by path, after `after`. Returns the path to go on
    /// after, if there may be more; a page may hold fewer than asked for without being the last.
    pub(crate) async fn list(
        &self,
        above: Option<&Subject>,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<Said>, Option<String>)> {
        let prefix = above.map_or_else(|| PREFIX.to_owned(), path);
        let (mut subjects, mut last) = (Vec::new(), after.to_owned());
        for _ in 0..MOST_SEARCHED / SEARCHED {
            let after = match last.as_str() {
                "" => String::new(),
                last => format!("{PREFIX}{last}"),
            };
            let page = self.store.page(&prefix, &after, SEARCHED).await?;
            for entry in &page.entries {
                if subjects.len() == limit {
                    return Ok((subjects, Some(last)));
                }
                let said = Said::decode(entry)?;
                last.clone_from(&said.path);
                if above.is_none_or(|above| is_within(&said.path, above)) {
                    subjects.push(said);
                }
            }
            if !page.more {
                return Ok((subjects, None));
            }
        }
        Ok((subjects, Some(last)))
    }

    /// Takes back all that is said of a subject. Repeating it does no harm.
    pub(crate) async fn delete(&self, subject: &Subject) -> Result<()> {
        self.store
            .commit(Txn::new().delete(path(subject)))
            .await
            .map(|_| ())
    }
}

impl Said {
    fn nothing(subject: &Subject) -> Self {
        Self {
            path: subject.as_str().to_owned(),
            tier: String::new(),
            labels: Labels::new(),
            blocked: false,
            updated_ms: 0,
        }
    }

    fn change(&mut self, change: &admin::SetSubjectRequest) -> Result<()> {
        if let Some(tier) = &change.tier {
            self.tier.clone_from(tier);
        }
        if let Some(blocked) = change.blocked {
            self.blocked = blocked;
        }
        for name in &change.remove_labels {
            self.labels.remove(name);
        }
        let labels = change.set_labels.clone();
        self.labels.extend(labels);
        labels::check(&self.labels).map_err(|error| Error::field("set_labels", error.to_string()))
    }

    fn encode(&self) -> Vec<u8> {
        let record = Record {
            tier: self.tier.clone(),
            labels: self.labels.clone(),
            blocked: self.blocked,
            updated_ms: self.updated_ms,
        };
        record.encode_to_vec()
    }

    fn decode(entry: &Entry) -> Result<Self> {
        let record = Record::decode(entry.value.clone()).map_err(|error| Error::Damaged {
            key: entry.key.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            path: subject_of(&entry.key).to_owned(),
            tier: record.tier,
            labels: record.labels,
            blocked: record.blocked,
            updated_ms: record.updated_ms,
        })
    }

    /// As operators see it.
    pub(crate) fn to_admin(&self) -> admin::Subject {
        admin::Subject {
            path: self.path.clone(),
            tier: self.tier.clone(),
            labels: self.labels.clone().into_iter().collect(),
            blocked: self.blocked,
            updated_at: Some(clock::timestamp(self.updated_ms)),
        }
    }
}

impl Standing {
    /// Takes in what is said nearer to the key.
    fn inherit(&mut self, said: Said) {
        if !said.tier.is_empty() {
            self.tier = said.tier;
        }
        self.labels.extend(said.labels);
        if said.blocked && self.blocked_by.is_empty() {
            self.blocked_by = said.path;
        }
    }
}

/// The subject that a record's key names.
pub(crate) fn subject_of(key: &str) -> &str {
    key.strip_prefix(PREFIX).unwrap_or(key)
}

/// Reads the path of a request.
pub(crate) fn parse(path: &str) -> Result<Subject> {
    Subject::parse(path).map_err(|error| Error::field("path", error.to_string()))
}

fn path(subject: &Subject) -> String {
    format!("{PREFIX}{subject}")
}

fn is_within(path: &str, above: &Subject) -> bool {
    Subject::parse(path).is_ok_and(|subject| subject.is_within(above))
}

#[cfg(test)]
mod tests;
