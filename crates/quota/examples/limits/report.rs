//! The figures as a table and as JSON, with the marks they are held against.

use std::fmt;

use serde::Serialize;

use crate::MANY;
use crate::measure;
use crate::node::Allocations;
use crate::owner;

/// All figures; its `Display` is the table.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What every timed decision contains besides itself, nanoseconds.
    timer_ns: u32,
    rows: Vec<Row>,
    allocations: Vec<Counted>,
    pub(crate) owner: Option<owner::Figures>,
    marks: Vec<Mark>,
}

#[derive(Debug, Serialize)]
struct Row {
    who: &'static str,
    limits: usize,
    keys: usize,
    #[serde(flatten)]
    figures: measure::Figures,
}

#[derive(Debug, Serialize)]
struct Counted {
    limits: usize,
    keys: usize,
    #[serde(flatten)]
    per_request: Allocations,
}

/// A reference value.
#[derive(Debug, Serialize)]
struct Mark {
    what: &'static str,
    bar: &'static str,
    measured: f64,
    met: bool,
}

impl Mark {
    fn at_most(
        most: f64,
        what: &'static str,
        bar: &'static str,
        measured: Option<f64>,
    ) -> Option<Self> {
        Self::judged((what, bar), measured, |it| it <= most)
    }

    fn at_least(
        least: f64,
        what: &'static str,
        bar: &'static str,
        measured: Option<f64>,
    ) -> Option<Self> {
        Self::judged((what, bar), measured, |it| it >= least)
    }

    fn judged(
        (what, bar): (&'static str, &'static str),
        measured: Option<f64>,
        met: impl Fn(f64) -> bool,
    ) -> Option<Self> {
        measured.map(|measured| Self {
            what,
            bar,
            measured,
            met: met(measured),
        })
    }
}

impl Report {
    pub(crate) fn new(timer_ns: u32) -> Self {
        Self {
            timer_ns,
            rows: Vec::new(),
            allocations: Vec::new(),
            owner: None,
            marks: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        who: &'static str,
        limits: usize,
        keys: usize,
        figures: measure::Figures,
    ) {
        self.rows.push(Row {
            who,
            limits,
            keys,
            figures,
        });
    }

    pub(crate) fn allocations(&mut self, limits: usize, keys: usize, per_request: Allocations) {
        self.allocations.push(Counted {
            limits,
            keys,
            per_request,
        });
    }

    /// The median on one thread, without the timer.
    fn p50(&self, who: &str, limits: usize, keys: usize) -> Option<f64> {
        let row = self.rows.iter().find(|row| {
            (row.who, row.limits, row.keys, row.figures.threads) == (who, limits, keys, 1)
        })?;
        Some(f64::from(row.figures.p50_ns.saturating_sub(self.timer_ns)))
    }

    /// Compares with what is aimed at.
    pub(crate) fn judge(&mut self) {
        let marks = self.of_decisions().into_iter().chain(self.of_the_rest());
        self.marks = marks.flatten().collect();
    }

    fn of_decisions(&self) -> [Option<Mark>; 6] {
        let (node, many) = (self.p50("node", 6, 1), self.p50("node", 6, MANY));
        let times = |ours: Option<f64>, it: Option<f64>| ours.zip(it).map(|(ours, it)| ours / it);
        let six_checks = self.p50("governor", 1, 1).map(|check| 6.0 * check);
        let keyed = self.p50("governor", 6, MANY);
        let redis = self.p50("redis", 6, 1);
        [
            Mark::at_most(1_000.0, "six limits, p50, ns", "<= 1000", node),
            Mark::at_most(1_000.0, "the same, 100,000 keys", "<= 1000", many),
            Mark::at_most(
                3.0,
                "six limits, by one governor check per limit",
                "<= 3x",
                times(node, six_checks),
            ),
            Mark::at_most(
                3.0,
                "100,000 keys, by governor's checks of one key",
                "<= 3x",
                times(many, six_checks),
            ),
            Mark::at_most(
                3.0,
                "100,000 keys, by governor's of as many",
                "<= 3x",
                times(many, keyed),
            ),
            Mark::at_least(
                100.0,
                "redis's way, by six limits",
                ">= 100x",
                times(redis, node),
            ),
        ]
    }

    fn of_the_rest(&self) -> [Option<Mark>; 3] {
        let allocations = self
            .allocations
            .iter()
            .map(|row| row.per_request.allocations);
        let owner = self.owner.as_ref();
        let grants = owner.map(|owner| owner.grants_per_second);
        let bytes = owner.map(|owner| owner.idle_bytes);
        [
            Mark::at_most(
                0.01,
                "allocations per request, at most",
                "0",
                allocations.reduce(f64::max),
            ),
            Mark::at_least(200_000.0, "owner: grants/s per core", ">= 200,000", grants),
            Mark::at_most(300.0, "owner: bytes per idle counter", "<= 300", bytes),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, limits, keys, threads) = ("decision", "limits", "keys", "threads");
        write!(f, "{name:<10}{limits:>7}{keys:>9}{threads:>9}")?;
        writeln!(f, "{:>10}{:>10}{:>16}", "p50 ns", "p99 ns", "per s, thread")?;
        for row in &self.rows {
            let figures = row.figures;
            write!(f, "{:<10}{:>7}{:>9}", row.who, row.limits, row.keys)?;
            writeln!(
                f,
                "{:>9}{:>10}{:>10}{:>16.0}",
                figures.threads, figures.p50_ns, figures.p99_ns, figures.per_second
            )?;
        }
        writeln!(f, "the timer's own part: {} ns", self.timer_ns)?;
        for row in &self.allocations {
            let Allocations { allocations, bytes } = row.per_request;
            let (limits, keys) = (row.limits, row.keys);
            writeln!(
                f,
                "a request over {limits} limits, {keys} keys: {allocations:.2} allocations, {bytes:.0} bytes"
            )?;
        }
        if let Some(owner) = &self.owner {
            writeln!(
                f,
                "owner of {} counters: {:.0} grants/s, {:.1} writes per 1,000 grants, {:.0} bytes per idle counter",
                owner.counters, owner.grants_per_second, owner.writes_per_1000, owner.idle_bytes
            )?;
        }
        for mark in &self.marks {
            let met = if mark.met { "met" } else { "MISSED" };
            writeln!(
                f,
                "{:<48}{:>12}{:>12.1}  {met}",
                mark.what, mark.bar, mark.measured
            )?;
        }
        Ok(())
    }
}
