//! What must hold, whatever happens. Knows only what was admitted and what went over the wire.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_quota::node::{Admission, Ask, Settled};
use tollgate_quota::owner::{CounterState, LedgerRow, Owner};
use tollgate_quota::{
    Close, Counter, Incarnation, Kind, NodeMessage, OwnerMessage, OwnerTime, Window,
};

use crate::store::Store;

/// A broken invariant, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Units admitted under each label and not refunded.
    admitted: BTreeMap<(Counter, Window), u64>,
    /// The last totals of every ledger on the wire.
    reports: BTreeMap<(Incarnation, i64, Counter, Window), [u64; 3]>,
    grants: BTreeMap<(Incarnation, i64, Counter, Window), u64>,
    /// What each process has truly spent, and what it had reserved when it died.
    spent: BTreeMap<(Incarnation, Counter), u64>,
    doubt: BTreeMap<(Incarnation, Counter), u64>,
    /// What its requests used beyond their reservations: a process may die before anybody can know.
    overrun: BTreeMap<(Incarnation, Counter), u64>,
    /// Processes that died with their journals.
    lost: BTreeSet<Incarnation>,
    pub(crate) admissions: u64,
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation(what()))
    }
}

impl Oracle {
    /// I1 and I4: never more than the limit under a label, and each stamp within its window, give or
    /// take `slack_ms`, the difference between any owner's clock and the true time.
    pub(crate) fn admitted(
        &mut self,
        (now, slack_ms): (u64, u64),
        asks: &[Ask],
        admission: &Admission,
        store: &Store,
    ) -> Result<(), Violation> {
        self.admissions += 1;
        for (ask, told) in asks
            .iter()
            .zip(&admission.limits)
            .filter(|(ask, _)| ask.units > 0)
        {
            let label = (ask.counter.clone(), told.window);
            let total = self.admitted.entry(label).or_default();
            *total += ask.units;
            let allowed = store.allowed(&ask.counter, told.window);
            check(*total <= allowed, || {
                format!(
                    "I1: {} of {allowed} units admitted for {} in {:?}",
                    *total, ask.counter, told.window
                )
            })?;
            if !ask.counter.kind().has_windows() {
                continue;
            }
            let window_ms = ask.counter.kind().window_ms();
            let (start, end) = (told.window.start(window_ms).0, told.window.end(window_ms).0);
            check(now + slack_ms >= start && now < end + slack_ms, || {
                format!("I4: stamped at {now} for {} in {start}..{end}", ask.counter)
            })?;
        }
        Ok(())
    }

    pub(crate) fn settled(&mut self, asks: &[Ask], admission: &Admission, settled: &[Settled]) {
        for ((ask, told), settled) in asks.iter().zip(&admission.limits).zip(settled) {
            let label = (ask.counter.clone(), told.window);
            *self.admitted.entry(label).or_default() -= settled.refunded;
        }
    }

    pub(crate) fn spent(&mut self, by: Incarnation, asks: &[Ask], actual: &[u64]) {
        for (ask, actual) in asks.iter().zip(actual) {
            let key = (by, ask.counter.clone());
            *self.overrun.entry(key.clone()).or_default() += actual.saturating_sub(ask.units);
            *self.spent.entry(key).or_default() += actual;
        }
    }

    /// A process died with a request open: its slots are free, and all that it had reserved may have been used.
    pub(crate) fn died(&mut self, process: Incarnation, asks: &[Ask]) {
        for ask in asks {
            if ask.counter.kind() == Kind::Concurrent {
                let label = (ask.counter.clone(), Window(1));
                *self.admitted.entry(label).or_default() -= ask.units;
            } else {
                let doubt = self.doubt.entry((process, ask.counter.clone()));
                *doubt.or_default() += ask.units;
            }
        }
    }

    /// A process died and its journal is lost, with what it had inherited.
    pub(crate) fn lost(&mut self, process: Incarnation, inherited: &[Close]) {
        self.lost.insert(process);
        self.lost
            .extend(inherited.iter().map(|close| close.incarnation));
    }

    /// I5, once all is quiet: a row says no more than was spent and charges no less, and what is closed is
    /// charged what was in doubt at most; a living process's row is exact.
    pub(crate) fn books(
        &self,
        row: &LedgerRow,
        counter: &Counter,
        alive: bool,
    ) -> Result<(), Violation> {
        let key = (row.incarnation, counter.clone());
        let spent = self.spent.get(&key).copied().unwrap_or(0);
        let doubt = self.doubt.get(&key).copied().unwrap_or(0);
        check(row.settled <= spent, || {
            format!("I5: {counter}: {row:?} settled more than the {spent} that were spent")
        })?;
        if alive {
            return check(row.settled == spent, || {
                format!("I5: {counter}: {row:?} lost some of the {spent} that were spent")
            });
        }
        let overrun = self.overrun.get(&key).copied().unwrap_or(0);
        check(row.charge() + overrun >= spent + doubt, || {
            format!(
                "I5: {counter}: {row:?} is charged less than {spent} spent and {doubt} in doubt"
            )
        })?;
        let lost = self.lost.contains(&row.incarnation);
        check(lost || row.closed || row.charge() == row.settled, || {
            format!("I5: {counter}: {row:?} was not closed")
        })
    }

    /// Units admitted under a label and not refunded.
    pub(crate) fn total(&self, counter: &Counter, window: Window) -> u64 {
        self.admitted
            .get(&(counter.clone(), window))
            .copied()
            .unwrap_or(0)
    }

    /// I3 of the node: totals never fall.
    pub(crate) fn reported(&mut self, message: &NodeMessage) -> Result<(), Violation> {
        for a in &message.accounts {
            let key = (message.incarnation, a.epoch.0, a.counter.clone(), a.window);
            let new = [a.seen, a.returned, a.spent];
            let old = self.reports.insert(key, new).unwrap_or_default();
            check(old.iter().zip(&new).all(|(old, new)| old <= new), || {
                format!("I3: totals of {} fell from {old:?} to {new:?}", a.counter)
            })?;
        }
        Ok(())
    }

    /// I3 of the owner.
    pub(crate) fn told(&mut self, message: &OwnerMessage) -> Result<(), Violation> {
        for a in &message.accounts {
            let key = (
                message.incarnation,
                message.epoch.0,
                a.counter.clone(),
                a.window,
            );
            let old = self.grants.insert(key, a.granted).unwrap_or_default();
            check(old <= a.granted, || {
                format!(
                    "I3: granted of {} fell from {old} to {}",
                    a.counter, a.granted
                )
            })?;
        }
        Ok(())
    }

    /// I2: what is out and what is free was debited.
    pub(crate) fn escrow(&self, owner: &Owner, now: OwnerTime) -> Result<(), Violation> {
        for CounterState {
            counter,
            hwm,
            free,
            nodes,
            limit,
            books,
            ..
        } in owner.snapshot(now)
        {
            if let Some(books) = books {
                let sum = books.settled + books.outstanding + books.suspense + books.free;
                check(sum == limit + books.debt, || {
                    format!("I2: {counter}: {books:?} of {limit} do not balance")
                })?;
                continue;
            }
            let out: u64 = nodes.iter().map(|n| n.granted - n.returned).sum();
            check(out + free <= hwm, || {
                format!("I2: {counter}: out {out} + free {free} > hwm {hwm}")
            })?;
        }
        Ok(())
    }
}
