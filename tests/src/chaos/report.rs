//! What a run found, as a table for people and JSON for programs.

use std::fmt;

use serde::Serialize;

use super::balance::Balance;
use super::callers::Met;
use super::member::Member;
use super::oracle::{Assumptions, Verdict};
use super::storm::Record;
use super::usage::Usage;
use super::watch::Look;

/// All figures of a run; its `Display` is the table.
#[derive(Debug, Serialize)]
pub struct Report {
    pub(super) seed: u64,
    pub(super) seconds: u64,
    pub(super) assumed: Assumptions,
    pub(super) verdict: Verdict,
    pub(super) usage: Vec<Usage>,
    pub(super) balance: Balance,
    pub(super) calls: Calls,
    pub(super) outages: Outages,
    pub(super) record: Record,
}

/// What callers met.
#[derive(Debug, Serialize)]
pub(super) struct Calls {
    answered: u64,
    refused: u64,
    unavailable: u64,
    failed: std::collections::BTreeMap<String, u64>,
    /// Requests that reached the provider.
    pub(super) arrived: u64,
    /// Requests that the nodes logged as admitted; fewer than arrived where a node was killed.
    pub(super) logged: u64,
}

/// Times without something, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Outages {
    /// From one owner's last sign to the next owner's first.
    takeovers: Spread,
    /// A node that answers had no stream to an owner.
    unconnected: Spread,
    /// A node could not say whether a limit had units.
    undecided: Spread,
    /// From a storm's end until all was well.
    pub(super) recoveries: Spread,
}

/// Durations.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Spread {
    count: usize,
    median_ms: u64,
    longest_ms: u64,
    sum_ms: u64,
}

impl Spread {
    /// Sums durations up.
    pub(super) fn of(mut durations: Vec<u64>) -> Self {
        durations.sort_unstable();
        Self {
            count: durations.len(),
            median_ms: durations.get(durations.len() / 2).copied().unwrap_or(0),
            longest_ms: durations.last().copied().unwrap_or(0),
            sum_ms: durations.iter().sum(),
        }
    }
}

impl From<Met> for Calls {
    fn from(met: Met) -> Self {
        Self {
            answered: met.answered,
            refused: met.refused,
            unavailable: met.unavailable,
            failed: met.failed,
            arrived: 0,
            logged: 0,
        }
    }
}

impl Outages {
    /// Measures them in what was seen.
    pub(super) fn of(looks: &[Look], met: &Met, recoveries: Vec<u64>) -> Self {
        let mute = met.mute.iter().map(|(_, from, to)| to - from);
        Self {
            takeovers: Spread::of(takeovers(looks)),
            unconnected: Spread::of(unconnected(looks)),
            undecided: Spread::of(mute.collect()),
            recoveries: Spread::of(recoveries),
        }
    }
}

/// From the last look that found owners of all shards to the next one.
fn takeovers(looks: &[Look]) -> Vec<u64> {
    let mut takeovers = Vec::new();
    let (mut owned_at, mut gap) = (None, false);
    for look in looks {
        if !look.is_owned() {
            gap = owned_at.is_some();
            continue;
        }
        if let Some(since) = owned_at.replace(look.at_ms).filter(|_| gap) {
            takeovers.push(look.at_ms - since);
        }
        gap = false;
    }
    takeovers
}

fn unconnected(looks: &[Look]) -> Vec<u64> {
    let mut gaps = Vec::new();
    for node in Member::nodes() {
        let mut since = None;
        for look in looks {
            match look.connected.get(&node) {
                Some(false) => since = since.or(Some(look.at_ms)),
                Some(true) => gaps.extend(since.take().map(|since| look.at_ms - since)),
                // It is dead or frozen, and asks nobody for anything.
                None => since = None,
            }
        }
    }
    gaps
}

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.verdict.broken.is_empty()
            && self.balance.faults.is_empty()
            && self.balance.counters > 0
            && self.record.defects.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} s of load", self.seed, self.seconds)?;
        self.promises(f)?;
        self.used(f)?;
        self.met(f)?;
        let faults: Vec<String> = self
            .record
            .faults
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        writeln!(f, "faults: {}", faults.join(", "))?;
        for defect in &self.record.defects {
            writeln!(f, "DEFECT {defect}")?;
        }
        let verdict = if self.is_clean() {
            "every promise was kept"
        } else {
            "PROMISES WERE BROKEN"
        };
        writeln!(f, "{verdict}")
    }
}

impl Report {
    fn promises(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28}{:>12}{:>10}", "promise", "checks", "broken")?;
        for (limit, promises) in &self.verdict.checks {
            for (promise, checks) in promises {
                let broken = self.verdict.broken.iter();
                let broken = broken.filter(|b| (b.limit, b.promise) == (*limit, *promise));
                let broken = broken.count();
                let promise = format!("{limit}: {promise}");
                writeln!(f, "{promise:<28}{checks:>12}{broken:>10}")?;
            }
        }
        let (counters, faults) = (self.balance.counters, self.balance.faults.len());
        writeln!(f, "{:<28}{counters:>12}{faults:>10}", "books")?;
        for broken in self.verdict.broken.iter().take(20) {
            writeln!(
                f,
                "BROKEN {}: {} of {} {} from {} ms on, {} are allowed",
                broken.promise,
                broken.units,
                broken.limit,
                broken.member,
                broken.from_ms,
                broken.allowed
            )?;
        }
        for fault in self.balance.faults.iter().take(20) {
            writeln!(f, "BROKEN books: {fault}")?;
        }
        Ok(())
    }

    fn used(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<9}{:<9}{:>11}{:>8}{:>9}{:>12}{:>10}{:>10}",
            "used", "unit", "limit", "faults", "windows", "mean", "worst", "bar"
        )?;
        for usage in &self.usage {
            let faults = if usage.faults { "yes" } else { "no" };
            writeln!(
                f,
                "{:<9}{:<9}{:>11}{:>8}{:>9}{:>10.1} %{:>8.1} %{:>8.0} %  {}",
                usage.kind,
                usage.unit,
                usage.amount,
                faults,
                usage.windows,
                usage.mean * 100.0,
                usage.worst * 100.0,
                usage.bar * 100.0,
                if usage.mean >= usage.bar {
                    "met"
                } else {
                    "MISSED"
                }
            )?;
        }
        Ok(())
    }

    fn met(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = &self.calls;
        writeln!(
            f,
            "calls: {} answered, {} refused, {} undecided, failed {:?}; {} reached the provider, {} were logged",
            calls.answered,
            calls.refused,
            calls.unavailable,
            calls.failed,
            calls.arrived,
            calls.logged
        )?;
        let outages = &self.outages;
        for (name, spread) in [
            ("shards without an owner", &outages.takeovers),
            ("node without all owners", &outages.unconnected),
            ("node undecided", &outages.undecided),
            ("storm's end until all well", &outages.recoveries),
        ] {
            writeln!(
                f,
                "{name:<28}{:>5} times, median {:>6} ms, longest {:>6} ms, together {:>8} ms",
                spread.count, spread.median_ms, spread.longest_ms, spread.sum_ms
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_ms: u64, shards: &[(u8, u64)], connected: bool) -> Look {
        Look {
            at_ms,
            shards: shards
                .iter()
                .map(|(n, count)| (Member::Control(*n), *count))
                .collect(),
            connected: [(Member::Node(0), connected)].into(),
        }
    }

    #[test]
    fn outages_are_measured_from_sign_to_sign() {
        let looks = [
            look(800, &[(0, 200)], true),
            look(1_000, &[(0, 200), (1, 56)], true),
            look(1_200, &[(0, 200), (1, 56)], true),
            look(1_400, &[(1, 56)], false),
            // The old owner does not know yet.
            look(1_600, &[(1, 256), (0, 200)], false),
            look(1_800, &[(0, 0), (1, 256)], true),
        ];
        assert_eq!(takeovers(&looks), [400]);
        assert_eq!(unconnected(&looks), [400]);
        let spread = Spread::of(vec![3, 1, 2]);
        assert_eq!(
            (spread.median_ms, spread.longest_ms, spread.sum_ms),
            (2, 3, 6)
        );
    }
}
