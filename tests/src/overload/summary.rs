//! The figures, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::arm::Arm;
use crate::load::Report;

/// What the show measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub(super) flood: Vec<Crowd>,
    pub(super) load: Vec<Step>,
}

/// How a crowd fared of which the first may flood.
#[derive(Debug, Serialize)]
pub(super) struct Crowd {
    name: String,
    /// The part of what the first asked for that was answered.
    first: f64,
    /// The same of the others.
    others: f64,
    /// The same of the one among them that fared worst.
    worst: f64,
    /// Jain's index of the others' answers: 1 is all alike.
    jain: f64,
    p50_ms: f64,
    /// The highest of the others' p99.
    p99_ms: f64,
    failures: BTreeMap<String, u64>,
}

/// How a node fared under a load.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    arm: Arm,
    /// In parts of what ours can do.
    times: f64,
    asked_per_s: f64,
    answered_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    refused_p50_ms: f64,
    refused_p99_ms: f64,
    refused_max_ms: f64,
    /// The node's memory after the load, and the most that it has had by then.
    rss_mib: f64,
    peak_mib: f64,
    failures: BTreeMap<String, u64>,
}

impl Crowd {
    pub(super) fn of(name: &str, reports: &[Report]) -> Self {
        let part = |it: &Report| it.ok as f64 / it.due.max(1) as f64;
        let (first, others) = reports.split_at(reports.len().min(1));
        let sum = |of: fn(&Report) -> u64| others.iter().map(of).sum::<u64>() as f64;
        let squares: f64 = others.iter().map(|it| (it.ok as f64).powi(2)).sum();
        let mut failures = BTreeMap::new();
        for (kind, count) in others.iter().flat_map(|it| &it.failures) {
            *failures.entry(kind.clone()).or_default() += count;
        }
        let worst = |of: fn(&Report) -> f64| others.iter().map(of).fold(0.0, f64::max);
        Self {
            name: name.to_owned(),
            first: first.first().map_or(0.0, part),
            others: sum(|it| it.ok) / sum(|it| it.due).max(1.0),
            worst: others.iter().map(part).fold(1.0, f64::min),
            jain: sum(|it| it.ok).powi(2) / (others.len() as f64 * squares).max(1.0),
            p50_ms: worst(|it| it.total_us.p50) / 1000.0,
            p99_ms: worst(|it| it.total_us.p99) / 1000.0,
            failures,
        }
    }
}

impl Step {
    pub(super) fn of(arm: Arm, times: f64, it: &Report, memory: [u64; 2]) -> Self {
        let [rss_mib, peak_mib] = memory.map(|bytes| bytes as f64 / 1_048_576.0);
        let seconds = it.load.duration.as_secs_f64();
        Self {
            arm,
            times,
            asked_per_s: it.due as f64 / seconds,
            answered_per_s: it.rate,
            p50_ms: it.total_us.p50 / 1000.0,
            p99_ms: it.total_us.p99 / 1000.0,
            refused_p50_ms: it.refused_us.p50 / 1000.0,
            refused_p99_ms: it.refused_us.p99 / 1000.0,
            refused_max_ms: it.refused_us.max / 1000.0,
            rss_mib,
            peak_mib,
            failures: it.failures.clone(),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "twenty tenants at 0.7 of their shares; the first at 20 shares where it floods"
        )?;
        writeln!(
            f,
            "  {:18} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8}",
            "", "first", "others", "worst", "Jain", "p50 ms", "p99 ms"
        )?;
        for it in &self.flood {
            let [first, others, worst] = [it.first, it.others, it.worst].map(|part| part * 100.0);
            writeln!(
                f,
                "  {:18} {first:>7.2}% {others:>7.2}% {worst:>7.2}% {:>6.3} {:>8.0} {:>8.0}",
                it.name, it.jain, it.p50_ms, it.p99_ms
            )?;
        }
        if let [calm, flood, _] = self.flood.as_slice() {
            let lost = (calm.others - flood.others) * 100.0;
            let slower = flood.p99_ms / calm.p99_ms;
            writeln!(f, "  the others lose {lost:.2} % (wanted: at most 1 %)")?;
            writeln!(f, "  and their p99 is {slower:.2}x (wanted: at most 1.25x)")?;
        }
        self.show_load(f)
    }
}

impl Figures {
    fn show_load(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "from half of what the node can do to ten times as much; plain: a budget that lets everybody in"
        )?;
        writeln!(
            f,
            "  {:5} {:>5} {:>9} {:>9} {:>8} {:>8} {:>12} {:>12} {:>8} {:>8}",
            "",
            "load",
            "asked/s",
            "answers/s",
            "p50 ms",
            "p99 ms",
            "refused p50",
            "refused p99",
            "RSS MiB",
            "peak MiB"
        )?;
        for it in &self.load {
            writeln!(
                f,
                "  {:5} {:>4}x {:>9.0} {:>9.0} {:>8.0} {:>8.0} {:>9.2} ms {:>9.2} ms {:>8.1} {:>8.1}",
                it.arm,
                it.times,
                it.asked_per_s,
                it.answered_per_s,
                it.p50_ms,
                it.p99_ms,
                it.refused_p50_ms,
                it.refused_p99_ms,
                it.rss_mib,
                it.peak_mib
            )?;
        }
        let ours = self.load.iter().filter(|it| it.arm == Arm::Ours);
        let rates = || ours.clone().filter(|it| it.times >= 1.0);
        let peak = rates().map(|it| it.answered_per_s).fold(0.0, f64::max);
        let least = rates().map(|it| it.answered_per_s).fold(f64::MAX, f64::min);
        let part = least / peak * 100.0;
        writeln!(
            f,
            "  goodput of ours is at least {part:.0} % of its peak (wanted: 90 %, refusals within 10 ms, flat memory)"
        )
    }
}
