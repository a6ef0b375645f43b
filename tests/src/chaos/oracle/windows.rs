//! Fixed windows.

use std::collections::BTreeMap;

use super::{Assumptions, Evidence, Use, Verdict};
use crate::chaos::limits::Cell;

/// Compares what the nodes' logs say with the limits.
pub(super) fn labels(verdict: &mut Verdict, assumed: Assumptions, evidence: &Evidence) {
    for (&(cell, window), &units) in &evidence.admitted {
        let from_ms = window * assumed.window_ms;
        let allowed = evidence.highest(cell.limit, from_ms, from_ms + assumed.window_ms);
        verdict.check("label", cell, from_ms, (units, allowed));
    }
}

/// Compares what reached the provider with the limits.
pub(super) fn judge(
    verdict: &mut Verdict,
    assumed: Assumptions,
    evidence: &Evidence,
    of_cell: (Cell, &[Use]),
) {
    intervals(verdict, assumed, evidence, of_cell);
    insides(verdict, assumed, evidence, of_cell);
}

/// Of all requests stamped within less than a window of each other, those before one arrival are the most. They
/// bear the labels of the window in which the first can have been stamped, and of that in which the last can
/// have been.
fn intervals(
    verdict: &mut Verdict,
    assumed: Assumptions,
    evidence: &Evidence,
    (cell, uses): (Cell, &[Use]),
) {
    let length = assumed.window_ms - assumed.skew_ms;
    let of_window = |at: u64| {
        let from = at / assumed.window_ms * assumed.window_ms;
        evidence.highest(cell.limit, from, from + assumed.window_ms)
    };
    let (mut first, mut sum) = (0, 0);
    for last in uses {
        sum += last.units;
        while uses[first].from_ms + length <= last.at_ms {
            sum -= uses[first].units;
            first += 1;
            if uses.get(first).is_none_or(|next| next.at_ms > last.at_ms) {
                break;
            }
        }
        let Some(earliest) = uses.get(first).filter(|next| next.at_ms <= last.at_ms) else {
            continue;
        };
        let begin = earliest.from_ms.saturating_sub(assumed.skew_ms);
        let allowed = of_window(begin).saturating_add(of_window(last.at_ms + assumed.skew_ms));
        verdict.check("interval", cell, earliest.at_ms, (sum, allowed));
    }
}

/// What was stamped and arrived within one window bears that window's label.
fn insides(
    verdict: &mut Verdict,
    assumed: Assumptions,
    evidence: &Evidence,
    (cell, uses): (Cell, &[Use]),
) {
    let mut windows: BTreeMap<u64, u64> = BTreeMap::new();
    for one in uses {
        let window = one.at_ms / assumed.window_ms;
        let begin = window * assumed.window_ms;
        let late_enough = one.from_ms >= begin + assumed.skew_ms;
        if late_enough && one.at_ms + assumed.skew_ms < begin + assumed.window_ms {
            *windows.entry(window).or_default() += one.units;
        }
    }
    for (window, units) in windows {
        let from_ms = window * assumed.window_ms;
        let allowed = evidence.highest(cell.limit, from_ms, from_ms + assumed.window_ms);
        verdict.check("inside", cell, from_ms, (units, allowed));
    }
}
