//! Until when this owner may hand out units whose charge is not written down counter by counter.
//!
//! One record for all of them says: *the owner of this epoch may hand out until H*. It is renewed ahead of
//! time, in transactions guarded like every other. A new owner reads it once it holds the epoch, after which
//! no renewal of an earlier owner can succeed, and so knows when all that others handed out has begun at the
//! latest, whatever became of them. The record also holds the highest policy revision that was obeyed, so
//! that a new owner whose policy lags does not hand out by an older one.

use std::sync::Arc;

use crate::owner::legacy::{self, Legacies, Legacy};
use crate::owner::{Commit, Config, Effect, Load};
use crate::{Counter, Epoch, OwnerTime};

/// What is durable of the horizon. One key in the store, written only under the ownership guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HorizonRecord {
    /// Nothing is handed out by the owner of `epoch` once its clock shows this.
    pub until: OwnerTime,
    /// The highest policy revision that was in force.
    pub revision: u64,
    /// The term of the owner that wrote this.
    pub epoch: Epoch,
    /// Until then units may have been handed out of which no record tells, though their kind has records.
    pub unrecorded: OwnerTime,
    /// Until then units may have been handed out, of kinds without records, of which `left` does not tell.
    pub untold: OwnerTime,
    /// What the owner left word of as it ended.
    pub left: Arc<[(Counter, Legacy)]>,
}

/// What the accounts see of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// Until when earlier owners may have handed out; none while that is not known. 0 when there was none.
    pub(super) inherited: Option<OwnerTime>,
    /// Until when earlier owners may have handed out without a record of it where the kind has one; none while that is not
    /// known.
    pub(super) unrecorded: Option<OwnerTime>,
    /// Until when earlier owners may have handed out, of kinds without records, of which nobody left word; none while that is
    /// not known.
    pub(super) untold: Option<OwnerTime>,
    /// Until when this owner may.
    pub(super) until: OwnerTime,
    /// Whether the policy that this owner knows is durably in force.
    pub(super) in_force: bool,
}

/// The dealings with the store: at most one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Link {
    /// Not yet of use.
    Idle,
    Reading,
    /// A read failed; to be tried again at that time.
    Retrying(OwnerTime),
    Ready,
    Writing(HorizonRecord),
}

/// What is to be done about the horizon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Load,
    Persist(HorizonRecord, i64),
}

impl From<Act> for Effect {
    fn from(act: Act) -> Self {
        match act {
            Act::Load => Self::LoadHorizon,
            Act::Persist(record, expected_mod_revision) => Self::PersistHorizon {
                record,
                expected_mod_revision,
            },
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Horizon {
    epoch: Epoch,
    link: Link,
    /// The key's modification revision (0: there is none).
    mod_revision: i64,
    stored: Option<HorizonRecord>,
    inherited: Option<OwnerTime>,
    unrecorded: OwnerTime,
    untold: OwnerTime,
    legacies: Legacies,
    /// Others may have handed out until then, whatever is found.
    floor: OwnerTime,
    until: OwnerTime,
    /// Some counter needs it.
    pub(super) in_use: bool,
}

impl Horizon {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            link: Link::Idle,
            mod_revision: 0,
            stored: None,
            inherited: None,
            unrecorded: OwnerTime(0),
            untold: OwnerTime(0),
            legacies: Legacies::default(),
            floor: OwnerTime(0),
            until: OwnerTime(0),
            in_use: false,
        }
    }

    /// Counts on others having handed out until `now`.
    pub(super) fn distrust(&mut self, now: OwnerTime) {
        self.floor = self.floor.max(now);
    }

    /// The record of an owner that hands out nothing after `now`, and leaves word of that. What it found still holds: an
    /// earlier owner whose lease ended before its horizon may go on until then.
    pub(super) fn last(
        &self,
        now: OwnerTime,
        left: Vec<(Counter, Legacy)>,
    ) -> Option<HorizonRecord> {
        let own = self.stored.as_ref();
        let own = own.filter(|record| record.epoch == self.epoch)?;
        let until = own.until.min(now.after(1)).max(self.inherited?);
        let left = legacy::in_order(left);
        Some(HorizonRecord {
            until,
            untold: left.as_ref().map_or(until, |_| self.untold),
            left: left.unwrap_or_default(),
            ..own.clone()
        })
    }

    /// What earlier owners left word of.
    pub(super) fn legacies(&self) -> &Legacies {
        &self.legacies
    }

    /// Forgets of it what counts no longer.
    pub(super) fn forget(&mut self, now: OwnerTime, config: &Config) {
        self.legacies.forget(now, config);
    }

    pub(super) fn view(&self, revision: u64) -> View {
        View {
            inherited: self.inherited,
            unrecorded: self.inherited.map(|_| self.unrecorded),
            untold: self.inherited.map(|_| self.untold),
            until: self.until,
            in_force: self
                .stored
                .as_ref()
                .is_some_and(|stored| stored.revision == revision),
        }
    }

    /// What there is to do now, for a policy of that revision.
    pub(super) fn work(&mut self, now: OwnerTime, revision: u64, config: &Config) -> Option<Act> {
        if !self.in_use {
            return None;
        }
        match self.link {
            Link::Idle => {
                self.link = Link::Reading;
                Some(Act::Load)
            }
            Link::Retrying(at) if now >= at => {
                self.link = Link::Reading;
                Some(Act::Load)
            }
            Link::Ready => {
                let known = self.stored.as_ref().map_or(0, |stored| stored.revision);
                let due = self.until <= now.after(config.horizon_ms - config.renew_ms);
                if !due && known >= revision {
                    return None;
                }
                let until = self.until.max(now.after(config.horizon_ms));
                let record = HorizonRecord {
                    until,
                    revision: known.max(revision),
                    epoch: self.epoch,
                    unrecorded: self.unrecorded,
                    untold: until,
                    left: Arc::default(),
                };
                self.link = Link::Writing(record.clone());
                Some(Act::Persist(record, self.mod_revision))
            }
            Link::Reading | Link::Retrying(_) | Link::Writing(_) => None,
        }
    }

    /// When [`Horizon::work`] has something to do again by time alone.
    pub(super) fn look_at(&self, config: &Config) -> Option<OwnerTime> {
        match self.link {
            Link::Retrying(at) if self.in_use => Some(at),
            Link::Ready if self.in_use => {
                let ahead = config.horizon_ms - config.renew_ms;
                Some(OwnerTime(self.until.0.saturating_sub(ahead)))
            }
            Link::Idle | Link::Reading | Link::Retrying(_) | Link::Ready | Link::Writing(_) => None,
        }
    }

    /// Takes in what a read found. An epoch that is later than this owner's ends its term.
    pub(super) fn loaded(
        &mut self,
        now: OwnerTime,
        outcome: &Load<HorizonRecord>,
        config: &Config,
    ) -> Result<(), Epoch> {
        if self.link != Link::Reading {
            return Ok(());
        }
        let (record, mod_revision) = match outcome {
            // No horizon has rows.
            Load::Failed | Load::Rows { .. } => {
                self.link = Link::Retrying(now.after(config.retry_ms));
                return Ok(());
            }
            Load::Absent => (None, 0),
            Load::Found(record, mod_revision) => (Some(record.clone()), *mod_revision),
        };
        if let Some(record) = record.as_ref().filter(|it| it.epoch > self.epoch) {
            return Err(record.epoch);
        }
        self.link = Link::Ready;
        self.adopt(record, mod_revision);
        Ok(())
    }

    /// What is durable: of this owner's own epoch it is this owner's horizon, of an earlier one it is the
    /// bound of all that others did.
    fn adopt(&mut self, record: Option<HorizonRecord>, mod_revision: i64) {
        let unrecorded = record.as_ref().map_or(OwnerTime(0), |it| it.unrecorded);
        self.unrecorded = self.unrecorded.max(unrecorded).max(self.floor);
        match &record {
            Some(record) if record.epoch == self.epoch => self.until = self.until.max(record.until),
            Some(record) => {
                let until = record.until.max(self.floor);
                self.inherited = self.inherited.max(Some(until));
                self.untold = self.untold.max(record.untold);
                self.legacies.adopt(&record.left);
            }
            None => self.inherited = self.inherited.max(Some(self.floor)),
        }
        self.untold = self.untold.max(self.floor);
        self.stored = record;
        self.mod_revision = mod_revision;
    }

    /// Takes in what became of a renewal. Where that is not known it counts for others, but not here.
    pub(super) fn persisted(&mut self, outcome: Commit) -> Option<Act> {
        let Link::Writing(record) = &self.link else {
            return None;
        };
        match outcome {
            Commit::Committed(mod_revision) => {
                let record = record.clone();
                self.link = Link::Ready;
                self.adopt(Some(record), mod_revision);
                None
            }
            Commit::Conflict | Commit::Unknown | Commit::Lost => {
                self.link = Link::Reading;
                Some(Act::Load)
            }
        }
    }
}
