//! The judge. It knows what was promised and what an outsider saw, and nothing of how the gateway works.
//!
//! What it compares, for every counter:
//!
//! - **label**: units that the nodes' logs say bear a window's label never exceed the limit;
//! - **interval**: at the provider at most two limits' worth arrives in any interval shorter than the window;
//! - **inside**: at the provider at most one limit's worth arrives in the part of a window in which nothing of
//!   the window before can still be under way.
//!
//! The first would believe a node that lies; the others believe the provider's ledger alone. A request may
//! arrive late: `lateness` is how long a stopped process may keep it. A limit that was changed is taken as the
//! highest that was in force while a window ran: what was handed out under a higher one stays.

use std::collections::BTreeMap;

use serde::Serialize;

use super::stage::{Amounts, Cell, LIMITS};

/// What is assumed of clocks and delays.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Assumptions {
    /// Length of every window.
    pub(super) window_ms: u64,
    /// Longest time from a request's stamp to its arrival.
    pub(super) lateness_ms: u64,
    /// Largest difference between two clocks.
    pub(super) skew_ms: u64,
}

/// One request that reached the provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at_ms: u64,
    pub(super) key: usize,
    /// Tokens the provider charges.
    pub(super) tokens: u64,
}

/// Amounts that were in force.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) amounts: Amounts,
    /// When it was first sent to the control plane.
    pub(super) from_ms: u64,
    /// When every replica ran a later one; none for the last.
    pub(super) until_ms: Option<u64>,
}

/// Units admitted by counter and window, as the nodes' logs say.
pub(super) type Admitted = BTreeMap<(Cell, u64), u64>;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// In the order of their times.
    pub(super) arrivals: Vec<Arrival>,
    pub(super) admitted: Admitted,
    pub(super) settings: Vec<Setting>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Broken {
    pub(super) promise: &'static str,
    pub(super) limit: &'static str,
    /// Number of the key or team.
    pub(super) member: usize,
    /// Begin of the window or interval, milliseconds since 1970.
    pub(super) from_ms: u64,
    pub(super) units: u64,
    pub(super) allowed: u64,
}

/// The verdict.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verdict {
    /// Comparisons made, by promise.
    pub(super) checks: BTreeMap<&'static str, u64>,
    pub(super) broken: Vec<Broken>,
}

/// Compares all that was seen with what was promised.
pub(super) fn judge(assumed: Assumptions, evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    for (&(cell, window), &units) in &evidence.admitted {
        let from_ms = window * assumed.window_ms;
        let allowed = evidence.highest(cell.limit, from_ms, from_ms + assumed.window_ms);
        verdict.check("label", cell, from_ms, (units, allowed));
    }
    for cell in Cell::all() {
        let unit = LIMITS[cell.limit].unit;
        let arrivals = evidence.arrivals.iter();
        let of_cell = arrivals.filter(|arrival| Cell::of(cell.limit, arrival.key) == cell);
        let units: Vec<(u64, u64)> = of_cell.map(|a| (a.at_ms, unit.of(a.tokens))).collect();
        verdict.intervals(assumed, evidence, cell, &units);
        verdict.insides(assumed, evidence, cell, &units);
    }
    verdict
}

impl Evidence {
    /// The highest amount of a limit in force at any time from `from_ms` to `to_ms`.
    fn highest(&self, limit: usize, from_ms: u64, to_ms: u64) -> u64 {
        let in_force = self.settings.iter().filter(|setting| {
            setting.from_ms <= to_ms && setting.until_ms.is_none_or(|until| until >= from_ms)
        });
        let amounts = in_force.map(|setting| setting.amounts[limit].unwrap_or(u64::MAX));
        // Before the first setting there is no policy, and nothing is admitted.
        amounts.max().unwrap_or(0)
    }

    /// The amount of a limit over a whole window, where it was the same all the time.
    pub(super) fn constant(&self, limit: usize, from_ms: u64, to_ms: u64) -> Option<u64> {
        let highest = self.highest(limit, from_ms, to_ms);
        let in_force = self.settings.iter().filter(|setting| {
            setting.from_ms <= to_ms && setting.until_ms.is_none_or(|until| until >= from_ms)
        });
        let mut amounts = in_force.map(|setting| setting.amounts[limit]);
        amounts
            .all(|amount| amount == Some(highest))
            .then_some(highest)
    }
}

impl Verdict {
    fn check(
        &mut self,
        promise: &'static str,
        cell: Cell,
        from_ms: u64,
        (units, allowed): (u64, u64),
    ) {
        *self.checks.entry(promise).or_default() += 1;
        if units > allowed {
            self.broken.push(Broken {
                promise,
                limit: LIMITS[cell.limit].name,
                member: cell.member,
                from_ms,
                units,
                allowed,
            });
        }
    }

    /// Of all intervals of the greatest length that the promise covers, those that end with an arrival hold
    /// the most. Their requests bear the labels of the window in which the first can have been stamped, and
    /// of that in which the last can have been.
    fn intervals(
        &mut self,
        assumed: Assumptions,
        evidence: &Evidence,
        cell: Cell,
        units: &[(u64, u64)],
    ) {
        let late = assumed.lateness_ms + assumed.skew_ms;
        let Some(length) = assumed.window_ms.checked_sub(late) else {
            return;
        };
        let of_window = |at: u64| {
            let from = at / assumed.window_ms * assumed.window_ms;
            evidence.highest(cell.limit, from, from + assumed.window_ms)
        };
        let (mut first, mut sum) = (0, 0);
        for &(at, more) in units {
            sum += more;
            while units[first].0 + length <= at {
                sum -= units[first].1;
                first += 1;
            }
            let allowed = of_window(at.saturating_sub(length + late)).saturating_add(of_window(at));
            let from = units[first].0;
            self.check("interval", cell, from, (sum, allowed));
        }
    }

    fn insides(
        &mut self,
        assumed: Assumptions,
        evidence: &Evidence,
        cell: Cell,
        units: &[(u64, u64)],
    ) {
        let mut windows: BTreeMap<u64, u64> = BTreeMap::new();
        for &(at, more) in units {
            let (window, into) = (at / assumed.window_ms, at % assumed.window_ms);
            let early_enough = into + assumed.skew_ms < assumed.window_ms;
            if into >= assumed.lateness_ms + assumed.skew_ms && early_enough {
                *windows.entry(window).or_default() += more;
            }
        }
        for (window, units) in windows {
            let from_ms = window * assumed.window_ms;
            let allowed = evidence.highest(cell.limit, from_ms, from_ms + assumed.window_ms);
            self.check("inside", cell, from_ms, (units, allowed));
        }
    }
}

#[cfg(test)]
mod tests;
