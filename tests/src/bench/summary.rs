//! Medians, comparisons, the table and the marks.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;
use serde::Serialize;

use super::stand::{NGINX_HTTP2, PeakRss, Stand};
use super::{SCENARIOS, Sample};

/// All figures of a run; its `Display` is the table.
#[derive(Debug, Serialize)]
pub struct Results {
    quick: bool,
    processors: usize,
    /// Of the machine in the minute before the start: above 0, something else was running.
    load_average: f64,
    targets: Vec<&'static str>,
    /// By scenario and target, one sample per round.
    samples: BTreeMap<&'static str, BTreeMap<&'static str, Vec<Sample>>>,
    /// By scenario and target.
    medians: BTreeMap<&'static str, BTreeMap<&'static str, Medians>>,
    peak_rss: PeakRss,
    marks: Vec<Mark>,
}

/// Medians over the rounds; comparisons are medians of what each round compared.
#[derive(Debug, Clone, Copy, Serialize)]
struct Medians {
    p50_us: f64,
    p99_us: f64,
    first_p50_us: Option<f64>,
    rate: f64,
    cpu_us: Option<f64>,
    /// Above the direct way in the same round.
    added_p50_us: f64,
    added_p99_us: f64,
    /// Divided by nginx's in the same round.
    cpu_of_nginx: Option<f64>,
    /// The same of nginx's over HTTP/2, which is what gRPC runs on.
    cpu_of_nginx_http2: Option<f64>,
    rate_of_nginx: f64,
}

/// A reference value.
#[derive(Debug, Serialize)]
struct Mark {
    what: String,
    bar: String,
    measured: f64,
    met: bool,
}

impl Results {
    pub(super) fn new(quick: bool, stand: &Stand) -> anyhow::Result<Self> {
        Ok(Self {
            quick,
            processors: std::thread::available_parallelism()?.get(),
            load_average: load_average()?,
            targets: stand.targets().iter().map(|target| target.name).collect(),
            samples: BTreeMap::new(),
            medians: BTreeMap::new(),
            peak_rss: stand.peak_rss()?,
            marks: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, scenario: &'static str, target: &'static str, sample: Sample) {
        let targets = self.samples.entry(scenario).or_default();
        targets.entry(target).or_default().push(sample);
    }

    pub(super) fn finish(&mut self, stand: &Stand) -> anyhow::Result<()> {
        self.peak_rss = stand.peak_rss()?;
        for (scenario, targets) in &self.samples {
            let medians = targets
                .iter()
                .map(|(target, samples)| (*target, medians(samples, targets)))
                .collect();
            self.medians.insert(scenario, medians);
        }
        self.marks = self.judge();
        Ok(())
    }

    fn judge(&self) -> Vec<Mark> {
        let mut marks = Vec::new();
        for (scenario, targets) in &self.medians {
            for (target, medians) in targets {
                if target.starts_with("node") {
                    marks.extend(marks_of(scenario, target, medians));
                }
            }
        }
        if let Some(node) = self.peak_rss.node {
            let measured = mebibytes(node);
            marks.push(Mark {
                what: "peak RSS of the node, MiB".to_owned(),
                bar: "< 40".to_owned(),
                measured,
                met: measured < 40.0,
            });
        }
        marks
    }
}

fn load_average() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    let first = text.split_whitespace().next().unwrap_or("");
    first.parse().with_context(|| format!("read `{text}`"))
}

fn marks_of(scenario: &str, target: &str, medians: &Medians) -> Vec<Mark> {
    let mark = |what: &str, bar: &str, measured: f64, met: bool| Mark {
        what: format!("{scenario}, {target}: {what}"),
        bar: bar.to_owned(),
        measured,
        met,
    };
    let cpu = |bar: f64| {
        let against = |other: &str, ratio: f64| {
            let what = format!("CPU, times {other}");
            mark(&what, &format!("<= {bar}"), ratio, ratio <= bar)
        };
        let plain = medians.cpu_of_nginx.map(|ratio| against("nginx", ratio));
        let http2 = medians
            .cpu_of_nginx_http2
            .filter(|_| target.ends_with("gRPC"));
        let http2 = http2.map(|ratio| against(NGINX_HTTP2, ratio));
        plain.into_iter().chain(http2)
    };
    if scenario.contains("saturation") {
        let ratio = medians.rate_of_nginx;
        vec![mark(
            "throughput, times nginx",
            "> 0.333",
            ratio,
            ratio > 1.0 / 3.0,
        )]
    } else if scenario.contains("stream") {
        cpu(2.0).collect()
    } else {
        let added = medians.added_p50_us;
        let latency = mark("added p50, us", "< 250", added, added < 250.0);
        cpu(2.5).chain([latency]).collect()
    }
}

fn medians(samples: &[Sample], targets: &BTreeMap<&'static str, Vec<Sample>>) -> Medians {
    let of = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
    let optional = |figure: fn(&Sample) -> Option<f64>| {
        let figures: Vec<f64> = samples.iter().filter_map(figure).collect();
        (!figures.is_empty()).then(|| median(figures.into_iter()))
    };
    let against = |other: &str, compare: fn(&Sample, &Sample) -> Option<f64>| {
        let other = targets.get(other).map_or(&[][..], Vec::as_slice);
        let rounds = samples.iter().zip(other);
        let compared: Vec<f64> = rounds
            .filter_map(|(mine, other)| compare(mine, other))
            .collect();
        (!compared.is_empty()).then(|| median(compared.into_iter()))
    };
    Medians {
        p50_us: of(|s| s.p50_us),
        p99_us: of(|s| s.p99_us),
        first_p50_us: optional(|s| s.first_p50_us),
        rate: of(|s| s.rate),
        cpu_us: optional(|s| s.cpu_us),
        added_p50_us: against("direct", |s, direct| Some(s.p50_us - direct.p50_us)).unwrap_or(0.0),
        added_p99_us: against("direct", |s, direct| Some(s.p99_us - direct.p99_us)).unwrap_or(0.0),
        cpu_of_nginx: against("nginx", |s, nginx| Some(s.cpu_us? / nginx.cpu_us?)),
        cpu_of_nginx_http2: against(NGINX_HTTP2, |s, nginx| Some(s.cpu_us? / nginx.cpu_us?)),
        rate_of_nginx: against("nginx", |s, nginx| Some(s.rate / nginx.rate)).unwrap_or(0.0),
    }
}

/// The middle one; of an even number, the mean of the two in the middle. 0 of none.
fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        n if n % 2 == 1 => figures[n / 2],
        n => f64::midpoint(figures[n / 2 - 1], figures[n / 2]),
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// One sample in a line.
pub(super) fn line(sample: &Sample) -> String {
    let Sample {
        p50_us,
        p99_us,
        rate,
        ..
    } = sample;
    let cpu = sample
        .cpu_us
        .map_or(String::new(), |cpu| format!(", CPU {cpu:.1} us"));
    format!("p50 {p50_us:.0} us, p99 {p99_us:.0} us, {rate:.0}/s{cpu}")
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = [
            "p50 us", "p99 us", "+p50 us", "+p99 us", "CPU us", "x nginx", "x its h2", "per s",
            "x nginx",
        ];
        for scenario in SCENARIOS.iter().map(|scenario| scenario.name) {
            let Some(targets) = self.medians.get(scenario) else {
                continue;
            };
            write!(f, "\n{scenario:<38}")?;
            titles
                .iter()
                .try_for_each(|title| write!(f, "{title:>10}"))?;
            writeln!(f)?;
            for target in &self.targets {
                if let Some(medians) = targets.get(target) {
                    writeln!(f, "  {target:<36}{medians}")?;
                }
            }
        }
        let PeakRss {
            nginx,
            node,
            control,
        } = self.peak_rss;
        write!(f, "\npeak RSS, MiB: nginx {:.1}", mebibytes(nginx))?;
        for (name, bytes) in [("node", node), ("control", control)] {
            if let Some(bytes) = bytes {
                write!(f, ", {name} {:.1}", mebibytes(bytes))?;
            }
        }
        writeln!(f)?;
        for Mark {
            what,
            bar,
            measured,
            met,
        } in &self.marks
        {
            let verdict = if *met { "met   " } else { "missed" };
            writeln!(f, "{verdict} {what}: {measured:.2} ({bar})")?;
        }
        if self.load_average > 0.5 {
            let load = self.load_average;
            writeln!(
                f,
                "the machine was not idle before the start: load average {load}"
            )?;
        }
        if self.quick {
            writeln!(f, "one round of short phases: these figures are rough")?;
        }
        Ok(())
    }
}

impl fmt::Display for Medians {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.0}{:>10.0}", self.p50_us, self.p99_us)?;
        write!(f, "{:>10.0}{:>10.0}", self.added_p50_us, self.added_p99_us)?;
        match self.cpu_us {
            Some(cpu) => write!(f, "{cpu:>10.1}")?,
            None => write!(f, "{:>10}", "-")?,
        }
        for ratio in [self.cpu_of_nginx, self.cpu_of_nginx_http2] {
            match ratio {
                Some(ratio) => write!(f, "{ratio:>10.2}")?,
                None => write!(f, "{:>10}", "-")?,
            }
        }
        write!(f, "{:>10.0}{:>10.2}", self.rate, self.rate_of_nginx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(p50_us: f64, cpu_us: Option<f64>) -> Sample {
        Sample {
            p50_us,
            p99_us: 2.0 * p50_us,
            first_p50_us: None,
            rate: 1e6 / p50_us,
            cpu_us,
        }
    }

    #[test]
    fn comparisons_are_made_within_a_round() {
        // The machine is ten times slower in the second round and five in the third.
        let direct = [100.0, 1000.0, 500.0].map(|p50| sample(p50, None));
        let nginx = [150.0, 1500.0, 750.0].map(|p50| sample(p50, Some(p50 / 2.0)));
        let node = [200.0, 2000.0, 1000.0].map(|p50| sample(p50, Some(p50)));
        let targets = BTreeMap::from([
            ("direct", direct.to_vec()),
            ("nginx", nginx.to_vec()),
            ("node", node.to_vec()),
        ]);
        let medians = medians(&node, &targets);
        assert_eq!(medians.p50_us, 1000.0);
        assert_eq!(
            (medians.added_p50_us, medians.added_p99_us),
            (500.0, 1000.0)
        );
        assert!((medians.cpu_of_nginx.unwrap() - 8.0 / 3.0).abs() < 1e-9);
        assert!((medians.rate_of_nginx - 0.75).abs() < 1e-9);
        assert_eq!(super::medians(&direct, &targets).cpu_of_nginx, None);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }

    #[test]
    fn a_mark_says_whether_it_is_met() {
        let fast = medians(&[sample(100.0, Some(10.0))], &BTreeMap::new());
        let marks = marks_of("unary, saturation", "node over HTTP", &fast);
        assert!(!marks[0].met, "{marks:?}");
        let fast = Medians {
            cpu_of_nginx: Some(2.4),
            added_p50_us: 251.0,
            ..fast
        };
        let met: Vec<bool> = marks_of("unary, 1000/s", "node", &fast)
            .iter()
            .map(|m| m.met)
            .collect();
        assert_eq!(met, [true, false]);
    }
}
