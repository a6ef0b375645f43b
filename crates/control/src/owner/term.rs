//! One term: the machine of one shard in one epoch.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_quota::owner::{Books, CounterState, Effect, Event, Owner};
use tollgate_quota::{OwnerTime, Shard};

use crate::placement::Held;

/// One epoch of ownership of one shard.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) machine: Owner,
    pub(super) epoch: u64,
    /// Reads and writes that the machine has asked for and not heard of.
    pending: usize,
    /// Set once the shard is being handed over: how far that is.
    pub(super) leaving: Option<Stage>,
    deadline: Option<OwnerTime>,
}

/// How far the handing over of a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What was under way ends: the last writes build on it.
    Finishing,
    /// The last writes are under way.
    Writing,
    /// The shard is being released.
    Releasing,
}

/// All terms of this replica, by shard.
#[derive(Debug, Default)]
pub(super) struct Terms {
    terms: BTreeMap<Shard, Term>,
    /// When each machine is to be looked at by time alone.
    deadlines: BTreeSet<(OwnerTime, Shard)>,
}

impl Terms {
    pub(super) fn begin(&mut self, shard: Shard, epoch: u64, machine: Owner) {
        self.end(shard);
        let term = Term {
            machine,
            epoch,
            pending: 0,
            leaving: None,
            deadline: None,
        };
        self.terms.insert(shard, term);
    }

    /// Whether there was one to end.
    pub(super) fn end(&mut self, shard: Shard) -> bool {
        let ended = self.terms.remove(&shard);
        if let Some(deadline) = ended.as_ref().and_then(|term| term.deadline) {
            self.deadlines.remove(&(deadline, shard));
        }
        ended.is_some()
    }

    /// Lets a machine take a step. None where the shard is not held.
    pub(super) fn step(
        &mut self,
        shard: Shard,
        now: OwnerTime,
        event: Event,
    ) -> Option<(u64, Vec<Effect>)> {
        let term = self.terms.get_mut(&shard)?;
        let effects = term.machine.step(now, event);
        let deadline = term.machine.next_deadline();
        if deadline != term.deadline {
            if let Some(old) = std::mem::replace(&mut term.deadline, deadline) {
                self.deadlines.remove(&(old, shard));
            }
            self.deadlines.extend(deadline.map(|at| (at, shard)));
        }
        Some((term.epoch, effects))
    }

    pub(super) fn next_deadline(&self) -> Option<OwnerTime> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Those that are to be looked at by now.
    pub(super) fn due(&self, now: OwnerTime) -> Vec<Shard> {
        let due = self.deadlines.iter().take_while(|(at, _)| *at <= now);
        due.map(|(_, shard)| *shard).collect()
    }

    /// Notes that a machine will hear of so many reads or writes.
    pub(super) fn expect(&mut self, (shard, epoch): (Shard, u64), count: usize) {
        if let Some(term) = self.of(shard, epoch) {
            term.pending += count;
        }
    }

    /// Notes that a machine hears of one of them. False where that term is over.
    pub(super) fn answered(&mut self, (shard, epoch): (Shard, u64)) -> bool {
        let term = self.of(shard, epoch);
        let found = term.map(|term| term.pending = term.pending.saturating_sub(1));
        found.is_some()
    }

    fn of(&mut self, shard: Shard, epoch: u64) -> Option<&mut Term> {
        let term = self.terms.get_mut(&shard);
        term.filter(|term| term.epoch == epoch)
    }

    pub(super) fn get_mut(&mut self, shard: Shard) -> Option<&mut Term> {
        self.terms.get_mut(&shard)
    }

    /// In which epoch the shard is held.
    pub(super) fn epoch(&self, shard: Shard) -> Option<u64> {
        self.terms.get(&shard).map(|term| term.epoch)
    }

    /// How the shard is held.
    pub(super) fn held(&self, shard: Shard) -> Option<Held> {
        let term = self.terms.get(&shard)?;
        Some(Held {
            epoch: term.epoch,
            is_leaving: term.leaving.is_some(),
        })
    }

    pub(super) fn shards(&self) -> Vec<Shard> {
        self.terms.keys().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The shards whose counters are handed out here, and in which epoch.
    pub(super) fn served(&self) -> BTreeMap<Shard, u64> {
        let serving = self.terms.iter().filter(|(_, term)| term.leaving.is_none());
        serving.map(|(shard, term)| (*shard, term.epoch)).collect()
    }

    /// The live state of every counter in memory.
    pub(super) fn snapshot(&self, now: OwnerTime) -> Vec<CounterState> {
        let terms = self.terms.values();
        terms.flat_map(|term| term.machine.snapshot(now)).collect()
    }

    /// The books of all limits kept by rows, one sum for each, and by how much they do not balance.
    pub(super) fn books(&self, now: OwnerTime) -> BTreeMap<String, (Books, u64)> {
        let mut limits: BTreeMap<String, (Books, u64)> = BTreeMap::new();
        for term in self.terms.values() {
            for (counter, limit, books) in term.machine.books(now) {
                let name = counter.limit();
                if !limits.contains_key(name) {
                    limits.insert(name.to_owned(), Default::default());
                }
                if let Some((sum, imbalance)) = limits.get_mut(name) {
                    sum.add(&books);
                    *imbalance += books.imbalance(limit);
                }
            }
        }
        limits
    }
}

impl Term {
    /// Whether the machine waits for nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.pending == 0
    }
}
