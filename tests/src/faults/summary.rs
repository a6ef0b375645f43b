//! The figures, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::misbehaviours::{Case, Kind};
use crate::arm::Arm;
use crate::load::Report;

/// What the show measured.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    pub(super) misbehaviours: Vec<Misbehaviours>,
    pub(super) disconnects: Vec<Disconnects>,
    pub(super) nonces: Vec<Nonces>,
}

/// Misbehaving providers beside one that is well.
#[derive(Debug, Serialize)]
pub(super) struct Misbehaviours {
    pub(super) arm: Arm,
    pub(super) rows: Vec<Misbehaviour>,
    /// Lines of the node's log that tell of one.
    pub(super) panics: usize,
    pub(super) redirects_followed: u64,
    pub(super) rss_before_mib: f64,
    pub(super) rss_peak_mib: f64,
}

/// How callers fared with one of them.
#[derive(Debug, Serialize)]
pub(super) struct Misbehaviour {
    behaviour: &'static str,
    name: String,
    kind: Kind,
    asked: u64,
    answered: u64,
    /// Those that ended as a success and were none.
    falsely: u64,
    /// The highest p99 of both edges, whole and streamed.
    p99_ms: f64,
    /// Those of the warm-up included.
    failures: BTreeMap<String, u64>,
    examples: BTreeMap<String, String>,
}

/// Callers who went away.
#[derive(Debug, Serialize)]
pub(super) struct Disconnects {
    pub(super) arm: Arm,
    pub(super) gone: u64,
    pub(super) reached_provider: u64,
    /// Requests that the provider saw ended by us.
    pub(super) told: u64,
    pub(super) told_p50_ms: u64,
    pub(super) told_p99_ms: u64,
    pub(super) told_max_ms: u64,
    /// Those that it was let finish although nobody waited.
    pub(super) kept: u64,
    /// Requests that the limit's owner knows of, where there is a limit.
    pub(super) settled: Option<u64>,
    pub(super) asked_after: u64,
    pub(super) refused_after: u64,
}

/// Requests whose answers repeat their nonce.
#[derive(Debug, Serialize)]
pub(super) struct Nonces {
    pub(super) arm: Arm,
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) cancelled: u64,
    /// Answers with anything that is not their own.
    pub(super) foreign: u64,
    failures: BTreeMap<String, u64>,
    examples: BTreeMap<String, String>,
    pub(super) in_flight_after: u64,
}

/// Failures that an honest stream may end with; any other wrong reply looked like a success.
const HONEST: &str = "wrong: error event";

fn is_false_success(kind: &str) -> bool {
    kind.starts_with("wrong: ") && kind != HONEST
}

fn add(into: &mut BTreeMap<String, u64>, failures: &BTreeMap<String, u64>) {
    for (kind, count) in failures {
        *into.entry(kind.clone()).or_default() += count;
    }
}

impl Misbehaviour {
    pub(super) fn new(case: Case) -> Self {
        Self {
            behaviour: case.behaviour,
            name: case.name(),
            kind: case.kind,
            asked: 0,
            answered: 0,
            falsely: 0,
            p99_ms: 0.0,
            failures: BTreeMap::new(),
            examples: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, it: &Report) {
        self.asked += it.due;
        self.answered += it.ok;
        let wrong = it
            .failures
            .iter()
            .filter(|(kind, _)| is_false_success(kind));
        self.falsely += wrong.map(|(_, count)| count).sum::<u64>();
        self.p99_ms = self.p99_ms.max(it.total_us.p99 / 1000.0);
        add(&mut self.failures, &it.failures);
        self.examples.extend(it.examples.clone());
    }

    fn part(&self) -> f64 {
        self.answered as f64 / self.asked.max(1) as f64
    }
}

impl Nonces {
    pub(super) fn new(arm: Arm) -> Self {
        Self {
            arm,
            sent: 0,
            answered: 0,
            cancelled: 0,
            foreign: 0,
            failures: BTreeMap::new(),
            examples: BTreeMap::new(),
            in_flight_after: 0,
        }
    }

    pub(super) fn add(&mut self, it: &Report) {
        self.sent += it.sent;
        self.answered += it.ok;
        self.cancelled += it.cancelled.len() as u64;
        let wrong = it
            .failures
            .iter()
            .filter(|(kind, _)| kind.starts_with("wrong: "));
        self.foreign += wrong.map(|(_, count)| count).sum::<u64>();
        add(&mut self.failures, &it.failures);
        self.examples.extend(it.examples.clone());
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show_misbehaviours(f)?;
        self.show_disconnects(f)?;
        self.show_nonces(f)
    }
}

impl Figures {
    fn show_misbehaviours(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((ours, beside)) = self.misbehaviours.split_first() else {
            return Ok(());
        };
        writeln!(
            f,
            "misbehaving providers, each beside one that is well; plain: turns, no health, no retries"
        )?;
        writeln!(
            f,
            "  {:24} {:7} {:>6} {:>9} {:>8} {:>6} {:>8}  failures, those of the warm-up too",
            "", "kind", "asked", "answered", "plain", "false", "p99 ms"
        )?;
        for it in &ours.rows {
            let mut plain = beside.iter().flat_map(|beside| &beside.rows);
            let plain = plain.find(|plain| plain.behaviour == it.behaviour);
            let plain = plain.map_or(0.0, |plain| plain.part() * 100.0);
            let (part, kind) = (it.part() * 100.0, format!("{:?}", it.kind));
            write!(
                f,
                "  {:24} {kind:7} {:>6} {part:>8.2}% {plain:>7.2}% {:>6} {:>8.0} ",
                it.name, it.asked, it.falsely, it.p99_ms
            )?;
            for (kind, count) in &it.failures {
                write!(f, " {kind}: {count}")?;
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "  wanted of ours: 99.9 % answered, but of what breaks off and has `on_cut` off (-alone); nothing false"
        )?;
        for it in &self.misbehaviours {
            let falsely: u64 = it.rows.iter().map(|row| row.falsely).sum();
            writeln!(
                f,
                "  {:5} {falsely} false; {} panics; {} redirects followed; memory {:.0} MiB before, {:.0} MiB at its peak",
                it.arm, it.panics, it.redirects_followed, it.rss_before_mib, it.rss_peak_mib
            )?;
        }
        Ok(())
    }

    fn show_disconnects(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.disconnects.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "callers who go away at random moments, and when the provider is told; plain: turns, no health, retries or limits"
        )?;
        writeln!(
            f,
            "  {:5} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8} {:>8}",
            "",
            "gone",
            "reached",
            "told",
            "p50 ms",
            "p99 ms",
            "max ms",
            "in vain",
            "settled",
            "asked",
            "refused"
        )?;
        for it in &self.disconnects {
            let settled = it
                .settled
                .map_or_else(|| "-".to_owned(), |it| it.to_string());
            writeln!(
                f,
                "  {:5} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>8} {settled:>8} {:>8} {:>8}",
                it.arm,
                it.gone,
                it.reached_provider,
                it.told,
                it.told_p50_ms,
                it.told_p99_ms,
                it.told_max_ms,
                it.kept,
                it.asked_after,
                it.refused_after
            )?;
        }
        writeln!(
            f,
            "  wanted of ours: told within 100 ms at p99; settled: those that reached the provider, and no more than left, as \
             what was sent may have been read; of callers for every slot after that none refused"
        )
    }

    fn show_nonces(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nonces.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "requests with nonces (wanted: 30 % given up, nothing foreign); plain as above, a quarter of them"
        )?;
        writeln!(
            f,
            "  {:5} {:>9} {:>9} {:>9} {:>8} {:>8} {:>16}",
            "", "sent", "answered", "given up", "", "foreign", "left at provider"
        )?;
        for it in &self.nonces {
            let part = it.cancelled as f64 * 100.0 / it.sent.max(1) as f64;
            writeln!(
                f,
                "  {:5} {:>9} {:>9} {:>9} {part:>7.1}% {:>8} {:>16}",
                it.arm, it.sent, it.answered, it.cancelled, it.foreign, it.in_flight_after
            )?;
            for (kind, count) in &it.failures {
                let example = it.examples.get(kind).map_or("", String::as_str);
                writeln!(f, "    {kind}: {count} {example:.120}")?;
            }
        }
        Ok(())
    }
}
