//! Sliding limits and buckets: what they promise of every interval.

use std::collections::VecDeque;

use super::{Assumptions, Evidence, LEFT_OVER_MS, Use, Verdict};
use crate::chaos::limits::{Cell, ROLLING_PART};

/// Of all requests that were certainly stamped within one of so many parts of a window's length, those before one arrival are the most.
pub(super) fn sliding(
    verdict: &mut Verdict,
    assumed: Assumptions,
    evidence: &Evidence,
    (cell, uses): (Cell, &[Use]),
    parts: u64,
) {
    let length = assumed.window_ms / parts;
    let mut before: VecDeque<&Use> = VecDeque::new();
    let mut sum = 0;
    for last in uses {
        before.push_back(last);
        sum += last.units;
        while let Some(first) = before.pop_front_if(|first| first.from_ms + length <= last.at_ms) {
            sum -= first.units;
        }
        let Some(first) = before.front() else {
            continue;
        };
        let since = last.at_ms.saturating_sub(length + LEFT_OVER_MS);
        let allowed = evidence.highest(cell.limit, since, last.at_ms);
        verdict.check("sliding", cell, first.at_ms, (sum, allowed));
    }
}

/// While the amount stays the same: what arrived since any moment is at most what the bucket holds and what came
/// in since the first of it was stamped. The moment that leaves least room is carried along.
pub(super) fn bucket(
    verdict: &mut Verdict,
    assumed: Assumptions,
    evidence: &Evidence,
    (cell, uses): (Cell, &[Use]),
) {
    let length = u128::from(assumed.window_ms / ROLLING_PART);
    for (amount, from_ms, until_ms) in steady(evidence, cell.limit) {
        let amount = u128::from(amount);
        let within = |one: &&Use| one.from_ms >= from_ms && one.at_ms <= until_ms;
        // Units since the moment, and the moment.
        let mut tightest: Option<(u128, u64)> = None;
        for one in uses.iter().filter(within) {
            // Beginning here leaves less room than beginning earlier, if more came in since than was used.
            let kept = tightest.filter(|(used, since)| {
                used * length > amount * u128::from(one.from_ms.saturating_sub(*since))
            });
            let (used, since) = kept.unwrap_or((0, one.from_ms));
            let used = used + u128::from(one.units);
            tightest = Some((used, since));
            let allowed = amount + amount * u128::from(one.at_ms - since) / length;
            let narrow = |units: u128| u64::try_from(units).unwrap_or(u64::MAX);
            verdict.check("bucket", cell, since, (narrow(used), narrow(allowed)));
        }
    }
}

/// Times in which a limit's amount was the same, and nothing of a higher one before can be left. A limit that is new is
/// not asked for by nodes that do not know it yet.
fn steady(evidence: &Evidence, limit: usize) -> Vec<(u64, u64, u64)> {
    let mut steady = Vec::new();
    let mut begin = 0;
    for (index, setting) in evidence.settings.iter().enumerate() {
        let next = evidence.settings.get(index + 1);
        let until = next.map_or(u64::MAX, |next| next.from_ms);
        let amount = setting.amounts[limit];
        if let Some(amount) = amount {
            steady.push((amount, setting.from_ms.max(begin), until));
        }
        let lowered = next.is_some_and(|next| next.amounts[limit] < amount);
        if amount.is_none() {
            begin = begin.max(setting.until_ms.unwrap_or(u64::MAX));
        } else if lowered {
            let left_over = |until: u64| until.saturating_add(LEFT_OVER_MS);
            begin = begin.max(setting.until_ms.map_or(u64::MAX, left_over));
        }
    }
    steady.retain(|(_, from, until)| from < until);
    steady
}
