//! How much of the limits could be used: what callers who wanted more than there was got of it.
//!
//! What comes anew is looked at window by window of the run, budgets from one raise to the next. A counter's
//! window is one in which callers were refused by it, by no other limit, and its amount stayed the same. A
//! request is refused rightly where less is left than has to be reserved for it, so that much is not wanted of
//! limits on tokens and money.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Serialize;

use super::limits::{Cell, Kind, LIMITS, ROLLING_PART, Unit};
use super::oracle::{Arrival, Evidence};
use super::stage::Amounts;

/// Windows of one amount.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Usage {
    pub(super) kind: &'static str,
    pub(super) unit: &'static str,
    pub(super) amount: u64,
    /// Whether faults were at work.
    pub(super) faults: bool,
    /// Counters' windows in which callers were refused.
    pub(super) windows: u64,
    /// Admitted of what could have been, over all of them.
    pub(super) mean: f64,
    /// The same in the worst of them.
    pub(super) worst: f64,
    /// What the mean should reach. A run is not judged by it.
    pub(super) bar: f64,
}

/// Faults cost capacity, and of a small limit one unit that lies idle is much.
fn bar(unit: Unit, amount: u64, faults: bool) -> f64 {
    match (faults, unit.requests(amount)) {
        (true, _) => 0.80,
        (false, 1_000..) => 0.99,
        (false, _) => 0.95,
    }
}

/// In which windows faults were at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Calm,
    Stormy,
}

/// A part of a stage of one weather.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    pub(super) weather: Weather,
    /// Windows of the run. What happened before reaches into others.
    pub(super) windows: Range<u64>,
    /// When its amounts were pushed.
    pub(super) from_ms: u64,
    /// When all was well after it.
    pub(super) until_ms: u64,
    /// Its amounts, and those before.
    pub(super) amounts: Amounts,
    pub(super) before: Amounts,
}

/// What is looked at.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) window_ms: u64,
    pub(super) evidence: &'a Evidence,
    /// Counters and windows in which somebody was refused by them.
    pub(super) refused: &'a BTreeSet<(Cell, u64)>,
    pub(super) phases: &'a [Phase],
    /// The most that was reserved for one request, by limit.
    pub(super) reserved: [u64; LIMITS.len()],
}

/// A counter in a time: how much of which amount was used, of what could be.
#[derive(Debug, Clone, Copy)]
struct Part {
    amount: u64,
    used: u64,
    usable: u64,
}

#[derive(Debug, Default)]
struct Sum {
    windows: u64,
    parts: f64,
    worst: Option<f64>,
}

/// Adds it up.
pub(super) fn usage(seen: &Seen<'_>) -> Vec<Usage> {
    let mut sums: BTreeMap<(usize, u64, bool), Sum> = BTreeMap::new();
    for phase in seen.phases {
        for cell in Cell::all() {
            for part in seen.parts(phase, cell) {
                let faults = phase.weather == Weather::Stormy;
                let sum = sums.entry((cell.limit, part.amount, faults)).or_default();
                let part = (part.used as f64 / part.usable.max(1) as f64).min(1.0);
                sum.windows += 1;
                sum.parts += part;
                sum.worst = Some(sum.worst.map_or(part, |worst| worst.min(part)));
            }
        }
    }
    let usage = |((limit, amount, faults), sum): ((usize, u64, bool), Sum)| Usage {
        kind: LIMITS[limit].kind.name(),
        unit: LIMITS[limit].unit.name(),
        amount,
        faults,
        windows: sum.windows,
        mean: sum.parts / sum.windows as f64,
        worst: sum.worst.unwrap_or(0.0),
        bar: bar(LIMITS[limit].unit, amount, faults),
    };
    sums.into_iter().map(usage).collect()
}

impl Seen<'_> {
    /// What a phase tells of a counter.
    fn parts(&self, phase: &Phase, cell: Cell) -> Vec<Part> {
        if cell.rule().kind.is_budget() {
            return self.of_budget(phase, cell).into_iter().collect();
        }
        let windows = phase.windows.clone();
        windows
            .filter(|window| self.binds(cell, *window..*window + 1))
            .filter_map(|window| self.of_window(cell, window))
            .collect()
    }

    /// Whether the counter's limit refused somebody in these windows, and no other limit of theirs: of two limits
    /// that bind, one cannot be used up.
    fn binds(&self, cell: Cell, windows: Range<u64>) -> bool {
        let refuses = |cell: Cell| {
            windows
                .clone()
                .any(|window| self.refused.contains(&(cell, window)))
        };
        refuses(cell) && !cell.wider().any(refuses)
    }

    fn of_window(&self, cell: Cell, window: u64) -> Option<Part> {
        let (from, to) = (window * self.window_ms, (window + 1) * self.window_ms);
        let amount = self.evidence.constant(cell.limit, from, to)?;
        let reached = || {
            self.arrivals(cell)
                .filter(|arrival| (from..to).contains(&arrival.at_ms))
        };
        let (used, usable) = match cell.rule().kind {
            Kind::Fixed => {
                let admitted = self.evidence.admitted.get(&(cell, window));
                let used = admitted.copied().unwrap_or(0);
                (used, amount - self.unusable(cell).min(amount))
            }
            Kind::Sliding(parts) => (reached().count() as u64, amount * parts),
            Kind::Bucket => (reached().count() as u64, amount * ROLLING_PART),
            Kind::Slots => (self.busy_ms(cell, from..to), amount * self.window_ms),
            Kind::Month | Kind::Endless => return None,
        };
        Some(Part {
            amount,
            used,
            usable,
        })
    }

    /// How long slots were taken within a time, all together.
    fn busy_ms(&self, cell: Cell, time: Range<u64>) -> u64 {
        let within = |arrival: &Arrival| {
            let (from, to) = (
                arrival.at_ms.max(time.start),
                arrival.until_ms.min(time.end),
            );
            to.saturating_sub(from)
        };
        self.arrivals(cell).map(within).sum()
    }

    /// A budget that a phase has raised.
    fn of_budget(&self, phase: &Phase, cell: Cell) -> Option<Part> {
        let (before, total) = (phase.before[cell.limit], phase.amounts[cell.limit]?);
        let amount = total - before.unwrap_or(0);
        if amount == 0 || !self.binds(cell, phase.windows.clone()) {
            return None;
        }
        let spent = |until_ms: u64| -> u64 {
            let arrivals = self.arrivals(cell);
            let earlier = arrivals.filter(|arrival| arrival.at_ms < until_ms);
            earlier.map(|a| cell.rule().unit.of(a.tokens)).sum()
        };
        let spent_before = spent(phase.from_ms);
        let room = total.saturating_sub(spent_before);
        Some(Part {
            amount,
            used: spent(phase.until_ms) - spent_before,
            usable: room.saturating_sub(self.unusable(cell)),
        })
    }

    fn arrivals(&self, cell: Cell) -> impl Iterator<Item = &Arrival> {
        let arrivals = self.evidence.arrivals.iter();
        arrivals.filter(move |arrival| arrival.counts_in(cell))
    }

    /// Less than a request's reservation is of no use.
    fn unusable(&self, cell: Cell) -> u64 {
        match cell.rule().unit {
            Unit::Requests | Unit::Slots => 0,
            Unit::Tokens | Unit::Cost => self.reserved[cell.limit].saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::limits::Model;
    use crate::chaos::oracle::Setting;

    const WINDOW_MS: u64 = 20_000;

    fn amounts(limit: usize, amount: u64) -> Amounts {
        let mut amounts = Amounts::default();
        amounts[limit] = Some(amount);
        amounts
    }

    fn evidence(limit: usize, amount: u64) -> Evidence {
        let setting = Setting {
            amounts: amounts(limit, amount),
            from_ms: 0,
            until_ms: None,
        };
        Evidence {
            settings: vec![setting],
            ..Evidence::default()
        }
    }

    fn phase(weather: Weather, windows: Range<u64>, amounts: Amounts) -> Phase {
        Phase {
            weather,
            from_ms: windows.start * WINDOW_MS,
            until_ms: windows.end * WINDOW_MS,
            windows,
            amounts,
            before: Amounts::default(),
        }
    }

    fn found(evidence: &Evidence, refused: &BTreeSet<(Cell, u64)>, phases: &[Phase]) -> Vec<Usage> {
        usage(&Seen {
            window_ms: WINDOW_MS,
            evidence,
            refused,
            phases,
            reserved: [40; LIMITS.len()],
        })
    }

    /// A request of 10 tokens in and 8 out.
    fn arrival(model: Model, at_ms: u64) -> Arrival {
        Arrival {
            at_ms,
            until_ms: at_ms + 5_000,
            broken_off: false,
            key: 1,
            model,
            tokens: (10, 8),
        }
    }

    #[test]
    fn windows_count_where_callers_were_refused_and_the_weather_is_known() {
        let cell = Cell::of(0, 1);
        let mut evidence = evidence(0, 10);
        for (window, units) in [(5, 10), (6, 9), (7, 4), (8, 1)] {
            evidence.admitted.insert((cell, window), units);
        }
        // Window 8 was never full, of window 9 nothing is known.
        let refused = BTreeSet::from([(cell, 5), (cell, 6), (cell, 7), (cell, 9)]);
        let amounts = amounts(0, 10);
        let phases = [
            phase(Weather::Calm, 5..7, amounts),
            phase(Weather::Stormy, 7..8, amounts),
            phase(Weather::Calm, 8..9, amounts),
        ];
        let found = found(&evidence, &refused, &phases);
        let calm = &found[0];
        assert_eq!((calm.amount, calm.faults, calm.windows), (10, false, 2));
        assert!((calm.mean - 0.95).abs() < 1e-9 && (calm.worst - 0.9).abs() < 1e-9);
        let stormy = &found[1];
        assert_eq!((stormy.faults, stormy.windows), (true, 1));
        assert!((stormy.mean - 0.4).abs() < 1e-9);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn without_windows_it_is_what_came_in_meanwhile_and_of_slots_the_time() {
        for (limit, model, expected) in [(4, Model::Flow, 3.0 / 8.0), (8, Model::Hold, 15.0 / 40.0)]
        {
            let mut evidence = evidence(limit, 2);
            let at = |n: u64| arrival(model, 5 * WINDOW_MS + n * 1_000);
            evidence.arrivals = (1..4).map(at).collect();
            let refused = BTreeSet::from([(Cell::of(limit, 1), 5)]);
            let phases = [phase(Weather::Calm, 5..6, amounts(limit, 2))];
            let found = found(&evidence, &refused, &phases);
            assert!((found[0].mean - expected).abs() < 1e-9, "{found:?}");
        }
    }

    #[test]
    fn a_budget_is_measured_by_what_was_left_of_it_as_it_was_raised() {
        let mut evidence = evidence(6, 100_000);
        // 26,000 each: one before, two in the phase, of which 100,000 - 26,000 and no reservation can be used.
        let times = [4 * WINDOW_MS, 5 * WINDOW_MS + 1, 5 * WINDOW_MS + 2];
        evidence.arrivals = times.map(|at| arrival(Model::Spend, at)).to_vec();
        let refused = BTreeSet::from([(Cell::of(6, 1), 6)]);
        let phases = [phase(Weather::Calm, 5..8, amounts(6, 100_000))];
        let found = found(&evidence, &refused, &phases);
        assert_eq!(found[0].kind, "endless");
        let expected = 52_000.0 / (74_000.0 - 39.0);
        assert!((found[0].mean - expected).abs() < 1e-9, "{found:?}");
    }
}
