//! What must hold, whatever happens. Knows only what was admitted and what went over the wire.

mod books;
mod stamps;

use std::collections::BTreeMap;

use books::Spending;
pub(crate) use stamps::Allowed;
use stamps::Stamps;

use tollgate_quota::node::{Admission, Ask, Settled};
use tollgate_quota::owner::{CounterState, Holding, Owner};
use tollgate_quota::{
    Counter, Generation, Incarnation, Kind, NodeMessage, OwnerMessage, OwnerTime, Window,
};

use crate::world::Open;

/// A broken invariant, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

type Ledger = (Incarnation, i64, Counter, Window, Generation);

#[derive(Debug, Clone, Default)]
pub(crate) struct Oracle {
    /// Units admitted under each label and not refunded.
    admitted: BTreeMap<(Counter, Window), u64>,
    /// Stamps of counters without windows.
    stamps: BTreeMap<Counter, Stamps>,
    /// The last totals of every ledger on the wire.
    reports: BTreeMap<Ledger, [u64; 3]>,
    grants: BTreeMap<(u64, Ledger), u64>,
    spending: Spending,
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
    /// take `slack_ms`, the difference between any owner's clock and the true time; for kinds without
    /// windows, never more than the limit in any interval that ends here. Answers the admission's number.
    pub(crate) fn admitted(
        &mut self,
        (now, slack_ms): (u64, u64),
        asks: &[Ask],
        admission: &Admission,
        allowed: &[Allowed],
    ) -> Result<u64, Violation> {
        self.admissions += 1;
        let told = admission.limits.iter().zip(allowed);
        for (ask, (told, allowed)) in asks.iter().zip(told).filter(|(ask, _)| ask.units > 0) {
            let kind = ask.counter.kind();
            if !kind.is_windowed() {
                let stamps = self.stamps.entry(ask.counter.pool().clone()).or_default();
                let excess = stamps.excess((now, 0), kind, *allowed, ask.units);
                check(excess <= 0, || {
                    format!(
                        "I1: {excess} units too many of {allowed:?} admitted for {}",
                        ask.counter
                    )
                })?;
                stamps.add(now, self.admissions, ask.units);
                continue;
            }
            let label = (ask.counter.pool().clone(), told.window);
            let total = self.admitted.entry(label).or_default();
            *total += ask.units;
            let allowed = allowed.units;
            check(*total <= allowed, || {
                format!(
                    "I1: {} of {allowed} units admitted for {} in {:?}",
                    *total, ask.counter, told.window
                )
            })?;
            if !kind.has_windows() {
                continue;
            }
            let window_ms = kind.window_ms();
            let (start, end) = (told.window.start(window_ms).0, told.window.end(window_ms).0);
            check(now + slack_ms >= start && now < end + slack_ms, || {
                format!("I4: stamped at {now} for {} in {start}..{end}", ask.counter)
            })?;
        }
        Ok(self.admissions)
    }

    pub(crate) fn settled(&mut self, open: &Open, settled: &[Settled]) {
        let Some((admission, number)) = &open.admission else {
            return;
        };
        for ((ask, told), settled) in open.asks.iter().zip(&admission.limits).zip(settled) {
            if let Some(stamps) = self.stamps.get_mut(ask.counter.pool()) {
                stamps.refund(*number, settled.refunded);
                continue;
            }
            let label = (ask.counter.pool().clone(), told.window);
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

    /// Whether an ask is due to be admitted now: none where that depends on what happens within
    /// `lag_ms`, the time that reports and clocks are behind.
    pub(crate) fn is_due(
        &self,
        now: u64,
        ask: &Ask,
        allowed: Allowed,
        lag_ms: u64,
    ) -> Option<bool> {
        let kind = ask.counter.kind();
        if kind.is_windowed() {
            let window = Window::at(OwnerTime(now), kind.window_ms());
            let sure = window.end(kind.window_ms()).0 > now + lag_ms;
            let fits = self.total(ask.counter.pool(), window) + ask.units <= allowed.units;
            return sure.then_some(fits);
        }
        let excess = |now, late_ms| {
            let stamps = self.stamps.get(ask.counter.pool());
            let none = Stamps::default();
            stamps
                .unwrap_or(&none)
                .excess((now, late_ms), kind, allowed, ask.units)
        };
        match (excess(now + lag_ms, 0) <= 0, excess(now, lag_ms) <= 0) {
            (false, _) => Some(false),
            (true, true) => Some(true),
            (true, false) => None,
        }
    }

    /// I3 of the node: totals never fall.
    pub(crate) fn reported(&mut self, message: &NodeMessage) -> Result<(), Violation> {
        for a in &message.accounts {
            let of = (a.window, a.generation);
            let key = (
                message.incarnation,
                a.epoch.0,
                a.counter.clone(),
                of.0,
                of.1,
            );
            let new = [a.seen, a.returned, a.spent];
            let old = self.reports.insert(key, new).unwrap_or_default();
            check(old.iter().zip(&new).all(|(old, new)| old <= new), || {
                format!("I3: totals of {} fell from {old:?} to {new:?}", a.counter)
            })?;
        }
        Ok(())
    }

    /// I3 of the owner.
    pub(crate) fn told(&mut self, store: u64, message: &OwnerMessage) -> Result<(), Violation> {
        for a in &message.accounts {
            let key = (
                message.incarnation,
                message.epoch.0,
                a.counter.clone(),
                a.window,
                a.generation,
            );
            let old = self.grants.insert((store, key), a.granted);
            let old = old.unwrap_or_default();
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
            let gone = |n: &Holding| match counter.kind().is_windowed() {
                true => 0,
                false => n.spent.min(n.granted - n.returned),
            };
            let out: u64 = nodes.iter().map(|n| n.granted - n.returned - gone(n)).sum();
            // Where the limit itself is the mark, one that was lowered leaves more out than it allows.
            let lowered = free == 0 && hwm < out && by_horizon(counter.kind());
            check(lowered || out + free <= hwm, || {
                format!("I2: {counter}: out {out} + free {free} > hwm {hwm}")
            })?;
        }
        Ok(())
    }
}

/// Whether the limit is the mark of what may be out, because nothing is written per counter.
pub(crate) fn by_horizon(kind: Kind) -> bool {
    !kind.is_windowed() || kind.window_ms() <= 10_000
}
