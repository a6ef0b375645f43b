//! The judge. It knows what was promised and what an outsider saw, and nothing of how the gateway works.
//!
//! What it compares, for every counter:
//!
//! - of fixed windows (`oracle/windows.rs`): **label**: units that the nodes' logs say bear a window's label
//!   never exceed the limit; **interval**: at the provider at most two limits' worth arrives in any interval
//!   shorter than the window; **inside**: at most one limit's worth arrives of what can bear one label only;
//! - of what has no windows (`oracle/rolling.rs`): **sliding**: at most the limit in any interval of the
//!   window's length; **bucket**: at most what it holds and what comes in meanwhile, in any interval;
//! - of what outlives everything (`oracle/ledgers.rs`): **budget**: what the provider served never costs more;
//!   **slots**: never are more requests open at the provider.
//!
//! The label would believe a node that lies; the others believe the provider's ledger alone. A request may
//! arrive late: by [`Assumptions::delay_ms`], and by the time for which some node stood still meanwhile. A limit
//! that was changed is taken as the highest that was in force: what was handed out under a higher one stays.

mod ledgers;
mod rolling;
mod windows;

use std::collections::BTreeMap;

use serde::Serialize;

use super::limits::{Cell, Kind, LIMITS, Model};
use super::stage::Amounts;

/// How long what was handed out under a higher limit may be used after it was lowered, where no window ends:
/// a lease, and the time in which news of it travels.
const LEFT_OVER_MS: u64 = 5_000;

/// What is assumed of clocks and delays.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Assumptions {
    /// Length of every fixed window.
    pub(super) window_ms: u64,
    /// Longest time from a request's stamp to its arrival, while its node runs.
    pub(super) delay_ms: u64,
    /// Largest difference between two clocks.
    pub(super) skew_ms: u64,
    /// Longest time after which the provider sees that a request was broken off.
    pub(super) notice_ms: u64,
}

/// One request that reached the provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at_ms: u64,
    /// When the provider was done with it.
    pub(super) until_ms: u64,
    /// Whether somebody broke it off: it was over some time before `until_ms`.
    pub(super) broken_off: bool,
    pub(super) key: usize,
    pub(super) model: Model,
    /// Tokens the provider charges, input and output.
    pub(super) tokens: (u64, u64),
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
    /// When some node stood still: begin and end.
    pub(super) freezes: Vec<(u64, u64)>,
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
    /// Comparisons made, by limit and promise.
    pub(super) checks: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    pub(super) broken: Vec<Broken>,
}

/// What reached the provider of one counter.
#[derive(Debug, Clone, Copy)]
struct Use {
    /// The earliest time of its stamp.
    from_ms: u64,
    at_ms: u64,
    /// The earliest time at which it can have been over.
    until_ms: u64,
    units: u64,
}

/// Compares all that was seen with what was promised.
pub(super) fn judge(assumed: Assumptions, evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    windows::labels(&mut verdict, assumed, evidence);
    let earliest = earliest(assumed.delay_ms, &evidence.freezes, &evidence.arrivals);
    for cell in Cell::all() {
        let rule = cell.rule();
        let arrivals = evidence.arrivals.iter().zip(&earliest);
        let of_cell = arrivals.filter(|(arrival, _)| arrival.counts_in(cell));
        let uses: Vec<Use> = of_cell
            .map(|(arrival, from_ms)| Use {
                from_ms: *from_ms,
                at_ms: arrival.at_ms,
                until_ms: arrival.over_ms(assumed),
                units: rule.unit.of(arrival.tokens),
            })
            .collect();
        match rule.kind {
            Kind::Fixed => windows::judge(&mut verdict, assumed, evidence, (cell, &uses)),
            Kind::Sliding(parts) => {
                rolling::sliding(&mut verdict, assumed, evidence, (cell, &uses), parts);
            }
            Kind::Bucket => rolling::bucket(&mut verdict, assumed, evidence, (cell, &uses)),
            Kind::Month | Kind::Endless => {
                ledgers::budget(&mut verdict, evidence, (cell, &uses));
            }
            Kind::Slots => ledgers::slots(&mut verdict, evidence, (cell, &uses)),
        }
    }
    verdict
}

/// The earliest time at which each request can have been stamped. Times and results are in order.
fn earliest(delay_ms: u64, freezes: &[(u64, u64)], arrivals: &[Arrival]) -> Vec<u64> {
    let mut freezes = freezes.to_vec();
    freezes.sort_unstable();
    // A request may have been held up by one after the other.
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in freezes {
        match merged.last_mut() {
            Some((_, end)) if from <= *end + delay_ms => *end = (*end).max(to),
            Some(_) | None => merged.push((from, to)),
        }
    }
    let mut passed = 0;
    let earliest = arrivals.iter().map(|arrival| {
        let usual = arrival.at_ms.saturating_sub(delay_ms);
        while merged.get(passed).is_some_and(|(_, end)| *end < usual) {
            passed += 1;
        }
        match merged.get(passed) {
            Some((from, _)) => usual.min(from.saturating_sub(delay_ms)),
            None => usual,
        }
    });
    earliest.collect()
}

impl Arrival {
    /// Whether it counts in that counter.
    pub(super) fn counts_in(&self, cell: Cell) -> bool {
        cell.rule().model == self.model && Cell::of(cell.limit, self.key) == cell
    }

    /// The earliest time at which it can have been over.
    fn over_ms(&self, assumed: Assumptions) -> u64 {
        let early = if self.broken_off {
            assumed.notice_ms
        } else {
            0
        };
        self.until_ms.saturating_sub(early).max(self.at_ms)
    }
}

impl Evidence {
    fn in_force(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = &Setting> {
        self.settings.iter().filter(move |setting| {
            setting.from_ms <= to_ms && setting.until_ms.is_none_or(|until| until >= from_ms)
        })
    }

    /// The highest amount of a limit in force at any time from `from_ms` to `to_ms`.
    fn highest(&self, limit: usize, from_ms: u64, to_ms: u64) -> u64 {
        let in_force = self.in_force(from_ms, to_ms);
        let amounts = in_force.map(|setting| setting.amounts[limit].unwrap_or(u64::MAX));
        // Before the first setting there is no policy, and nothing is admitted.
        amounts.max().unwrap_or(0)
    }

    /// The amount of a limit over a whole window, where it was the same all the time.
    pub(super) fn constant(&self, limit: usize, from_ms: u64, to_ms: u64) -> Option<u64> {
        let highest = self.highest(limit, from_ms, to_ms);
        let mut in_force = self.in_force(from_ms, to_ms);
        in_force
            .all(|setting| setting.amounts[limit] == Some(highest))
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
        let limit = LIMITS[cell.limit].name;
        let of_limit = self.checks.entry(limit).or_default();
        *of_limit.entry(promise).or_default() += 1;
        if units > allowed {
            self.broken.push(Broken {
                promise,
                limit,
                member: cell.member,
                from_ms,
                units,
                allowed,
            });
        }
    }
}

#[cfg(test)]
mod tests;
