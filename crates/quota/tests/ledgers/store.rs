//! A store with guarded transactions: linearizable, durable, and sometimes silent about what it did.

use std::collections::BTreeMap;

use tollgate_quota::owner::{Commit, LedgerRow, Load, Record};
use tollgate_quota::{Counter, Epoch, Incarnation, Window};

#[derive(Debug, Default)]
pub(crate) struct Store {
    revision: i64,
    /// Creation revision of the ownership key.
    epoch: i64,
    keys: BTreeMap<Counter, (Record, i64)>,
    /// The rows of counters that are kept by them.
    rows: BTreeMap<Counter, BTreeMap<(Window, Incarnation), LedgerRow>>,
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

    pub(crate) fn read(&self, counter: &Counter) -> Load {
        if counter.kind().is_ledger() {
            return Load::Rows {
                record: self.keys.get(counter).copied(),
                rows: self.rows(counter).cloned().collect(),
            };
        }
        self.keys
            .get(counter)
            .map_or(Load::Absent, |(record, revision)| {
                Load::Found(*record, *revision)
            })
    }

    pub(crate) fn rows(&self, counter: &Counter) -> impl Iterator<Item = &LedgerRow> {
        self.rows
            .get(counter)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    pub(crate) fn all_rows(&self) -> impl Iterator<Item = (&Counter, &LedgerRow)> {
        let rows = |(counter, rows): (_, _)| {
            let rows: &BTreeMap<_, LedgerRow> = rows;
            rows.values().map(move |row| (counter, row))
        };
        self.rows.iter().flat_map(rows)
    }

    pub(crate) fn row(&self, counter: &Counter, of: Incarnation) -> Option<&LedgerRow> {
        self.rows(counter).find(|row| row.incarnation == of)
    }

    pub(crate) fn modified(&self, counter: &Counter) -> i64 {
        self.keys.get(counter).map_or(0, |(_, revision)| *revision)
    }

    pub(crate) fn write(
        &mut self,
        epoch: Epoch,
        counter: &Counter,
        (record, rows): (Record, Vec<LedgerRow>),
        expected: i64,
    ) -> Commit {
        let modified = self.modified(counter);
        if !self.unguarded && self.epoch != epoch.0 {
            return Commit::Lost;
        }
        if !self.unguarded && modified != expected {
            return Commit::Conflict;
        }
        self.revision += 1;
        self.keys.insert(counter.clone(), (record, self.revision));
        let by_process = rows
            .into_iter()
            .map(|row| ((row.window, row.incarnation), row));
        self.rows
            .entry(counter.clone())
            .or_default()
            .extend(by_process);
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
