//! How much of the limits could be used: what callers who wanted more than there was got of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::oracle::Evidence;
use super::stage::{Cell, LIMITS};

/// Windows of one amount.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Usage {
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
fn bar(amount: u64, faults: bool) -> f64 {
    match (faults, amount) {
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

/// Adds up the windows in which a counter's amount stayed the same and callers were refused by its limit, and
/// by no other: of two limits that bind, one cannot be used up. A window that `weather` does not name belongs to
/// neither sum: what happened before reaches into it.
pub(super) fn usage(
    window_ms: u64,
    evidence: &Evidence,
    refused: &BTreeSet<(Cell, u64)>,
    weather: &BTreeMap<u64, Weather>,
) -> Vec<Usage> {
    let mut sums: BTreeMap<(&'static str, u64, bool), (u64, f64, f64)> = BTreeMap::new();
    for &(cell, window) in refused {
        let from = window * window_ms;
        let Some(amount) = evidence.constant(cell.limit, from, from + window_ms) else {
            continue;
        };
        let Some(weather) = weather.get(&window) else {
            continue;
        };
        let mut wider = cell.wider();
        if wider.any(|wider| refused.contains(&(wider, window))) {
            continue;
        }
        let admitted = evidence.admitted.get(&(cell, window));
        let part = admitted.copied().unwrap_or(0) as f64 / amount as f64;
        let key = (
            LIMITS[cell.limit].unit.name(),
            amount,
            *weather == Weather::Stormy,
        );
        let (windows, sum, worst) = sums.entry(key).or_insert((0, 0.0, f64::INFINITY));
        *windows += 1;
        *sum += part;
        *worst = worst.min(part);
    }
    let usage = |((unit, amount, faults), (windows, sum, worst))| Usage {
        unit,
        amount,
        faults,
        windows,
        mean: sum / windows as f64,
        worst,
        bar: bar(amount, faults),
    };
    sums.into_iter().map(usage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::oracle::Setting;

    #[test]
    fn windows_count_where_callers_were_refused_and_the_weather_is_known() {
        let setting = Setting {
            amounts: [Some(10), None, None],
            from_ms: 0,
            until_ms: None,
        };
        let cell = Cell::of(0, 1);
        let mut evidence = Evidence {
            settings: vec![setting],
            ..Evidence::default()
        };
        for (window, units) in [(5, 10), (6, 9), (7, 4), (8, 1)] {
            evidence.admitted.insert((cell, window), units);
        }
        // Window 8 was never full, of window 9 nothing is known.
        let refused = BTreeSet::from([(cell, 5), (cell, 6), (cell, 7), (cell, 9)]);
        let weather = BTreeMap::from([
            (5, Weather::Calm),
            (6, Weather::Calm),
            (7, Weather::Stormy),
            (8, Weather::Calm),
        ]);
        let found = usage(20_000, &evidence, &refused, &weather);
        let calm = &found[0];
        assert_eq!((calm.amount, calm.faults, calm.windows), (10, false, 2));
        assert!((calm.mean - 0.95).abs() < 1e-9 && (calm.worst - 0.9).abs() < 1e-9);
        let stormy = &found[1];
        assert_eq!((stormy.faults, stormy.windows), (true, 1));
        assert!((stormy.mean - 0.4).abs() < 1e-9);
        assert_eq!(found.len(), 2);
    }
}
