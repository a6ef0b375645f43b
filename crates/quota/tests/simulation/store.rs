//! A store with guarded transactions: linearizable, durable, and sometimes silent about what it did.

use std::collections::BTreeMap;

use tollgate_quota::owner::{Commit, HorizonRecord, Load, Record};
use tollgate_quota::{Counter, Epoch, Window};

#[derive(Debug, Default)]
pub(crate) struct Store {
    revision: i64,
    /// Creation revision of the ownership key.
    epoch: i64,
    keys: BTreeMap<Counter, (Record, i64)>,
    horizon: Option<(HorizonRecord, i64)>,
    /// What the horizon was before the last change of epoch.
    horizon_before: Option<(HorizonRecord, i64)>,
    /// True times at which another policy revision came into force for what the horizon keeps.
    revisions: Vec<(u64, u64)>,
    /// Per counter and window: the largest limit that was in force.
    in_force: BTreeMap<(Counter, Window), u64>,
    /// Per counter: the highest policy revision that was in force.
    newest: BTreeMap<Counter, u64>,
    /// Transactions compare nothing.
    pub(crate) unguarded: bool,
}

impl Store {
    /// Somebody becomes owner.
    pub(crate) fn take_over(&mut self) -> Epoch {
        self.revision += 1;
        self.epoch = self.revision;
        Epoch(self.epoch)
    }

    pub(crate) fn read_horizon(&self) -> Load<HorizonRecord> {
        let found = |(record, modified)| Load::Found(record, modified);
        self.horizon.map_or(Load::Absent, found)
    }

    /// The horizon as it was one renewal ago.
    pub(crate) fn read_horizon_early(&self) -> Load<HorizonRecord> {
        match (self.horizon_before, self.horizon) {
            (Some((record, _)), Some((_, modified))) => Load::Found(record, modified),
            _ => self.read_horizon(),
        }
    }

    pub(crate) fn write_horizon(
        &mut self,
        (epoch, now): (Epoch, u64),
        record: HorizonRecord,
        expected: i64,
    ) -> Commit {
        if self.epoch != epoch.0 {
            return Commit::Lost;
        }
        if self.horizon.map_or(0, |(_, modified)| modified) != expected {
            return Commit::Conflict;
        }
        self.revision += 1;
        self.horizon_before = self.horizon;
        self.horizon = Some((record, self.revision));
        if self
            .revisions
            .last()
            .is_none_or(|(_, newest)| record.revision > *newest)
        {
            self.revisions.push((now, record.revision));
        }
        Commit::Committed(self.revision)
    }

    /// The policy revisions of which one was in force at some time since `since`.
    pub(crate) fn revisions_since(&self, since: u64) -> std::ops::RangeInclusive<u64> {
        let newest = self.revisions.last().map_or(0, |(_, revision)| *revision);
        let older = self.revisions.iter().rev().find(|(at, _)| *at <= since);
        let first = self.revisions.first().map_or(0, |(_, revision)| *revision);
        older.map_or(first, |(_, revision)| *revision)..=newest
    }

    pub(crate) fn read(&self, counter: &Counter) -> Load {
        self.keys
            .get(counter)
            .map_or(Load::Absent, |(record, revision)| {
                Load::Found(*record, *revision)
            })
    }

    pub(crate) fn write(
        &mut self,
        epoch: Epoch,
        counter: &Counter,
        record: Record,
        expected: i64,
    ) -> Commit {
        let modified = self.keys.get(counter).map_or(0, |(_, revision)| *revision);
        if !self.unguarded && self.epoch != epoch.0 {
            return Commit::Lost;
        }
        if !self.unguarded && modified != expected {
            return Commit::Conflict;
        }
        self.revision += 1;
        self.keys.insert(counter.clone(), (record, self.revision));
        let newest = self.newest.entry(counter.clone()).or_default();
        let in_force = self
            .in_force
            .entry((counter.clone(), record.window))
            .or_default();
        // A limit that policy had already replaced is not in force, whoever writes it.
        if record.revision >= *newest {
            *newest = record.revision;
            *in_force = record.limit.max(*in_force);
        }
        Commit::Committed(self.revision)
    }

    /// What may be admitted under that label; nothing before the first debit.
    pub(crate) fn allowed(&self, counter: &Counter, window: Window) -> u64 {
        self.in_force
            .get(&(counter.clone(), window))
            .copied()
            .unwrap_or(0)
    }
}
