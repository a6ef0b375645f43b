//! A store with guarded transactions: linearizable, durable, and sometimes silent about what it did. It can be
//! restored from a copy of itself.

use std::collections::BTreeMap;

use tollgate_quota::owner::{Commit, HorizonRecord, LedgerRow, Load, Record};
use tollgate_quota::{Counter, Epoch, Incarnation, OwnerTime, Promise, Window};

/// What is durable.
#[derive(Debug, Clone, Default)]
struct State {
    revision: i64,
    /// Modification revision of the ownership key.
    epoch: i64,
    keys: BTreeMap<Counter, (Record, i64)>,
    /// The rows of counters that are kept by them.
    rows: BTreeMap<Counter, BTreeMap<(Window, Incarnation), LedgerRow>>,
    horizon: Option<(HorizonRecord, i64)>,
    /// What the horizon was before the last change of epoch.
    horizon_before: Option<(HorizonRecord, i64)>,
    /// Per counter: the highest policy revision that was in force.
    newest: BTreeMap<Counter, u64>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    state: State,
    copy: Option<State>,
    /// Tells a restored store from the one that the copy was taken of.
    identity: u64,
    /// Nothing is to be handed out, since it was restored.
    pub(crate) frozen: bool,
    /// When that ended.
    pub(crate) thawed: Option<OwnerTime>,
    /// True times at which another policy revision came into force for what the horizon keeps.
    revisions: Vec<(u64, u64)>,
    /// Per counter and window: the largest limit that was in force.
    in_force: BTreeMap<(Counter, Window), u64>,
    /// All that was ever promised, by the first window of each promise, whatever became of the store.
    promised: BTreeMap<Counter, BTreeMap<(Incarnation, Window), Promise>>,
    /// Transactions compare nothing.
    pub(crate) unguarded: bool,
}

impl Store {
    /// Never 0.
    pub(crate) fn identity(&self) -> u64 {
        self.identity + 1
    }

    /// Somebody becomes owner.
    pub(crate) fn take_over(&mut self) -> Epoch {
        self.state.revision += 1;
        self.state.epoch = self.state.revision;
        Epoch(self.state.epoch)
    }

    pub(crate) fn back_up(&mut self) {
        self.copy = Some(self.state.clone());
    }

    /// Everything since the copy is forgotten; revisions go on `bump` after it.
    pub(crate) fn restore(&mut self, bump: i64) {
        if let Some(copy) = self.copy.take() {
            self.state = copy;
            self.state.revision += bump;
            self.identity += 1;
            self.frozen = true;
        }
    }

    pub(crate) fn thaw(&mut self, now: OwnerTime) {
        self.frozen = false;
        self.thawed = Some(now);
    }

    pub(crate) fn read_horizon(&self) -> Load<HorizonRecord> {
        let found = |(record, modified)| Load::Found(record, modified);
        self.state.horizon.clone().map_or(Load::Absent, found)
    }

    /// The horizon as it was one renewal ago.
    pub(crate) fn read_horizon_early(&self) -> Load<HorizonRecord> {
        match (&self.state.horizon_before, &self.state.horizon) {
            (Some((record, _)), Some((_, modified))) => Load::Found(record.clone(), *modified),
            _ => self.read_horizon(),
        }
    }

    pub(crate) fn horizon_modified(&self) -> i64 {
        let horizon = self.state.horizon.as_ref();
        horizon.map_or(0, |(_, modified)| *modified)
    }

    pub(crate) fn write_horizon(
        &mut self,
        (epoch, now): (Epoch, u64),
        record: HorizonRecord,
        expected: i64,
    ) -> Commit {
        if self.state.epoch != epoch.0 {
            return Commit::Lost;
        }
        if self.horizon_modified() != expected {
            return Commit::Conflict;
        }
        let state = &mut self.state;
        state.revision += 1;
        let policy = record.revision;
        let horizon = Some((record, state.revision));
        state.horizon_before = std::mem::replace(&mut state.horizon, horizon);
        if self
            .revisions
            .last()
            .is_none_or(|(_, last)| policy != *last)
        {
            self.revisions.push((now, policy));
        }
        Commit::Committed(self.state.revision)
    }

    /// The policy revisions that were in force at some time since `since`.
    pub(crate) fn revisions_since(&self, since: u64) -> impl Iterator<Item = u64> + '_ {
        let older = self.revisions.partition_point(|(at, _)| *at <= since);
        let in_force = &self.revisions[older.saturating_sub(1)..];
        in_force.iter().map(|(_, revision)| *revision)
    }

    pub(crate) fn read(&self, counter: &Counter) -> Load {
        let record = self.state.keys.get(counter).cloned();
        if counter.kind().is_ledger() {
            let rows = self.rows(counter).cloned().collect();
            return Load::Rows { record, rows };
        }
        record.map_or(Load::Absent, |(record, modified)| {
            Load::Found(record, modified)
        })
    }

    fn rows(&self, counter: &Counter) -> impl Iterator<Item = &LedgerRow> {
        let rows = self.state.rows.get(counter).into_iter();
        rows.flat_map(BTreeMap::values)
    }

    pub(crate) fn all_rows(&self) -> impl Iterator<Item = (&Counter, &LedgerRow)> {
        let counters = self.state.rows.keys();
        counters.flat_map(|counter| self.rows(counter).map(move |row| (counter, row)))
    }

    pub(crate) fn row(&self, counter: &Counter, of: Incarnation) -> Option<&LedgerRow> {
        self.rows(counter).find(|row| row.incarnation == of)
    }

    pub(crate) fn modified(&self, counter: &Counter) -> i64 {
        let key = self.state.keys.get(counter);
        key.map_or(0, |(_, modified)| *modified)
    }

    pub(crate) fn write(
        &mut self,
        epoch: Epoch,
        counter: &Counter,
        (record, rows): (Record, Vec<LedgerRow>),
        expected: i64,
    ) -> Commit {
        if !self.unguarded && self.state.epoch != epoch.0 {
            return Commit::Lost;
        }
        if !self.unguarded && self.modified(counter) != expected {
            return Commit::Conflict;
        }
        let state = &mut self.state;
        state.revision += 1;
        let (window, limit, revision) = (record.window, record.limit, record.revision);
        let promised = self.promised.entry(counter.clone()).or_default();
        for (to, promise) in record.promises.iter() {
            let known = promised.entry((to, promise.from)).or_insert(promise);
            known.through = known.through.max(promise.through);
        }
        state.keys.insert(counter.clone(), (record, state.revision));
        let rows = rows
            .into_iter()
            .map(|row| ((row.window, row.incarnation), row));
        state.rows.entry(counter.clone()).or_default().extend(rows);
        let newest = state.newest.entry(counter.clone()).or_default();
        let in_force = self.in_force.entry((counter.clone(), window)).or_default();
        // A limit that policy had already replaced is not in force, whoever writes it.
        if revision >= *newest {
            *newest = revision;
            *in_force = limit.max(*in_force);
        }
        Commit::Committed(self.state.revision)
    }

    /// What may be admitted under that label: before the first debit, what is promised. A limit that is lowered below
    /// that comes down as promises end.
    pub(crate) fn allowed(&self, counter: &Counter, window: Window) -> u64 {
        let promises = self.promised.get(counter).into_iter().flatten();
        let covering = promises.filter(|(_, promise)| promise.covers(window));
        let promised = covering.map(|(_, promise)| promise.units).sum();
        let label = (counter.clone(), window);
        self.in_force
            .get(&label)
            .copied()
            .unwrap_or(0)
            .max(promised)
    }
}
