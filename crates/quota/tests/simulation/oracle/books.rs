//! What was truly spent, and what the rows of ledgers make of it.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_quota::owner::LedgerRow;
use tollgate_quota::{Close, Counter, Incarnation, Kind, Window};

use crate::oracle::{Oracle, Violation, check};
use crate::world::Open;

/// What processes did to ledgers.
#[derive(Debug, Clone, Default)]
pub(super) struct Spending {
    /// What each process has truly spent, and what it had reserved besides when it died.
    spent: BTreeMap<(Incarnation, Counter), u64>,
    doubt: BTreeMap<(Incarnation, Counter), u64>,
    /// What its requests used beyond their reservations: a process may die before anybody can know.
    overrun: BTreeMap<(Incarnation, Counter), u64>,
    /// Processes that died with their journals.
    lost: BTreeSet<Incarnation>,
    /// The lowest mark that heirs closed each share at.
    marks: BTreeMap<(Incarnation, Counter), u64>,
}

impl Oracle {
    /// Of an open request's asks so much is used by now.
    pub(crate) fn spent(&mut self, by: Incarnation, open: &Open, used: &[u64]) {
        let before = open.spent.iter().zip(used);
        for (ask, (before, used)) in open.asks.iter().zip(before) {
            if !ask.counter.kind().is_ledger() {
                continue;
            }
            let key = (by, ask.counter.clone());
            let overrun = used.saturating_sub(ask.units);
            *self.spending.overrun.entry(key.clone()).or_default() += overrun;
            *self.spending.spent.entry(key).or_default() += used.saturating_sub(*before);
        }
    }

    /// A request has ended with its process: its slots are free.
    pub(crate) fn ended(&mut self, open: &Open) {
        for ask in &open.asks {
            if ask.counter.kind() == Kind::Concurrent {
                let label = (ask.counter.clone(), Window(1));
                *self.admitted.entry(label).or_default() -= ask.units;
            }
        }
    }

    /// A process died, or began anew, with a request open, which may have used, or go on to use, all that was reserved.
    pub(crate) fn gave_up(&mut self, process: Incarnation, open: &Open) {
        if open.admission.is_none() {
            return;
        }
        for (ask, spent) in open.asks.iter().zip(&open.spent) {
            if ask.counter.kind() == Kind::Endless {
                let doubt = self.spending.doubt.entry((process, ask.counter.clone()));
                *doubt.or_default() += ask.units - spent;
            }
        }
    }

    /// A process died and its journal is lost, with what it had inherited.
    pub(crate) fn lost(&mut self, process: Incarnation, legacy: &[Close]) {
        let lost = &mut self.spending.lost;
        lost.insert(process);
        lost.extend(legacy.iter().map(|close| close.incarnation));
    }

    /// A process says what the dead have left.
    pub(crate) fn closing(&mut self, closes: &[Close]) {
        for close in closes {
            let key = (close.incarnation, close.counter.clone());
            let mark = self.spending.marks.entry(key).or_insert(close.mark);
            *mark = close.mark.min(*mark);
        }
    }

    /// What an operator can say of processes that died with their journals: who asks providers knows what was spent,
    /// and leaves charged what is in doubt.
    pub(crate) fn records_of_lost<'a>(
        &self,
        rows: impl Iterator<Item = (&'a Counter, &'a LedgerRow)>,
    ) -> Vec<Close> {
        let Spending {
            spent, doubt, lost, ..
        } = &self.spending;
        let known = rows.map(|(counter, row)| (row.incarnation, counter.clone()));
        let all: BTreeSet<_> = spent.keys().cloned().chain(known).collect();
        let of_lost = all.into_iter().filter(|(of, _)| lost.contains(of));
        let close = |key: (Incarnation, Counter)| {
            let settled = spent.get(&key).copied().unwrap_or(0);
            Close {
                mark: settled + doubt.get(&key).copied().unwrap_or(0),
                settled,
                incarnation: key.0,
                counter: key.1,
                window: Window(1),
            }
        };
        of_lost.map(close).collect()
    }

    /// I5, at all times: a row says no more than was spent, and of what is closed nothing that was spent or in doubt
    /// comes back by itself.
    pub(crate) fn row(&self, row: &LedgerRow, counter: &Counter) -> Result<(), Violation> {
        let key = (row.incarnation, counter.clone());
        let of = |figures: &BTreeMap<_, u64>| figures.get(&key).copied().unwrap_or(0);
        let spent = of(&self.spending.spent);
        check(row.settled <= spent, || {
            format!("I5: {counter}: {row:?} settled more than the {spent} that were spent")
        })?;
        if !row.closed {
            return Ok(());
        }
        let (doubt, overrun) = (of(&self.spending.doubt), of(&self.spending.overrun));
        check(row.charge() + overrun >= spent + doubt, || {
            format!(
                "I5: {counter}: {row:?} is charged less than {spent} spent and {doubt} in doubt"
            )
        })?;
        let mark = of(&self.spending.marks);
        let lost = self.spending.lost.contains(&row.incarnation);
        check(lost || row.charge() >= mark, || {
            format!("I5: {counter}: {row:?} is charged less than its mark of {mark}")
        })
    }

    /// I5, once all is quiet: a living process's row is exact, and a dead one's is closed.
    pub(crate) fn quiet_row(
        &self,
        row: &LedgerRow,
        counter: &Counter,
        alive: bool,
    ) -> Result<(), Violation> {
        self.row(row, counter)?;
        let key = (row.incarnation, counter.clone());
        let spent = self.spending.spent.get(&key).copied().unwrap_or(0);
        if alive {
            return check(row.settled == spent, || {
                format!("I5: {counter}: {row:?} lost some of the {spent} that were spent")
            });
        }
        let lost = self.spending.lost.contains(&row.incarnation);
        check(lost || row.closed || row.charge() == row.settled, || {
            format!("I5: {counter}: {row:?} was not closed")
        })
    }

    /// Whatever was spent is in a row.
    pub(crate) fn all_booked(
        &self,
        row: impl Fn(&Counter, Incarnation) -> bool,
    ) -> Result<(), Violation> {
        for ((process, counter), spent) in &self.spending.spent {
            check(*spent == 0 || row(counter, *process), || {
                format!("I5: {counter}: {spent} that {process:?} spent are in no row")
            })?;
        }
        Ok(())
    }
}
