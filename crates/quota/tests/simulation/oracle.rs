//! What must hold, whatever happens. Knows only what was admitted and what went over the wire.

use std::collections::BTreeMap;

use tollgate_quota::node::{Admission, Ask, Settled};
use tollgate_quota::owner::{CounterState, Owner};
use tollgate_quota::{Counter, Incarnation, NodeMessage, OwnerMessage, OwnerTime, Window};

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
            ..
        } in owner.snapshot(now)
        {
            let out: u64 = nodes.iter().map(|n| n.granted - n.returned).sum();
            check(out + free <= hwm, || {
                format!("I2: {counter}: out {out} + free {free} > hwm {hwm}")
            })?;
        }
        Ok(())
    }
}
