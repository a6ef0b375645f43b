//! What the gateway costs: the same load sent directly to a fake provider, through nginx as a plain
//! reverse proxy, through a node over HTTP and through a node over gRPC.
//!
//! All are separate processes on one machine. The targets take turns within each round (and each
//! round starts with another one), every figure is the median over the rounds, and comparisons are
//! made within a round, so that a machine that is slow for a while is slow for all of them. The node
//! does its whole work: key, two limits per key, price, usage, metrics.
//!
//! A wrong reply fails the benchmark, and so does a provider that counts other than the generator.
//! It does NOT judge: the marks it prints are reference values, met or not.

#![expect(
    clippy::print_stderr,
    reason = "a person waits for minutes and sees what is going on"
)]

mod stand;
mod summary;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use serde::Serialize;

use crate::load::{self, Load, Pace, Report};
use stand::{Stand, Target};
pub use summary::Results;

/// Compares the gateway with no proxy at all and with nginx.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub struct Options {
    /// The nginx program.
    #[arg(long)]
    nginx: PathBuf,
    /// The tollgate program; without it only nginx is measured.
    #[arg(long)]
    tollgate: Option<PathBuf>,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = "target/bench.json")]
    out: PathBuf,
    /// Rounds over which the median is taken.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One round of short phases, to see that all works; its figures are rough.
    #[arg(long)]
    quick: bool,
    /// Only the scenarios whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
}

/// A load that every target gets.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    name: &'static str,
    model: &'static str,
    chunks: u32,
    stream: bool,
    pace: Pace,
    callers: usize,
    /// Length of the measured part.
    seconds: u64,
}

/// The models used, which are behaviours of the fake provider and names in the policy alike.
const MODELS: &[&str] = &["ok-8", "ok-50", "ok-50x20ms"];

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "unary, 1000/s",
        model: "ok-8",
        chunks: 8,
        stream: false,
        pace: Pace::Open { rate: 1000.0 },
        callers: 64,
        seconds: 6,
    },
    Scenario {
        name: "stream of 50, 100/s",
        model: "ok-50",
        chunks: 50,
        stream: true,
        pace: Pace::Open { rate: 100.0 },
        callers: 64,
        seconds: 6,
    },
    Scenario {
        name: "stream of 50, 1000/s",
        model: "ok-50",
        chunks: 50,
        stream: true,
        pace: Pace::Open { rate: 1000.0 },
        callers: 64,
        seconds: 6,
    },
    Scenario {
        name: "stream of 50 with gaps of 20 ms, 50/s",
        model: "ok-50x20ms",
        chunks: 50,
        stream: true,
        pace: Pace::Open { rate: 50.0 },
        callers: 128,
        seconds: 8,
    },
    Scenario {
        name: "unary, saturation",
        model: "ok-8",
        chunks: 8,
        stream: false,
        pace: Pace::Closed,
        callers: 64,
        seconds: 5,
    },
];

/// The figures of one target in one round of one scenario.
#[derive(Debug, Clone, Copy, Serialize)]
struct Sample {
    /// From due to the whole reply, microseconds.
    p50_us: f64,
    p99_us: f64,
    /// From due to the first content, microseconds; streams only.
    first_p50_us: Option<f64>,
    /// Right answers per second.
    rate: f64,
    /// Processor time of the process under test per request, microseconds.
    cpu_us: Option<f64>,
}

/// Runs the benchmark and writes its figures.
pub fn run(options: &Options) -> anyhow::Result<Results> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let tollgate = options.tollgate.as_deref();
    let stand = runtime.block_on(Stand::start(&options.nginx, tollgate, MODELS))?;
    let scenarios = SCENARIOS
        .iter()
        .filter(|scenario| scenario.name.contains(&options.only));
    let rounds = if options.quick { 1 } else { options.rounds };
    ensure!(rounds > 0, "at least one round");
    let mut results = Results::new(options.quick, &stand)?;
    let mut sent = 0;
    for round in 0..rounds {
        for scenario in scenarios.clone() {
            for turn in 0..stand.targets().len() {
                let target = &stand.targets()[(turn + round) % stand.targets().len()];
                eprint!(
                    "round {} of {rounds}: {}, {}: ",
                    round + 1,
                    scenario.name,
                    target.name
                );
                let (sample, report) = measure(scenario, &stand, target, options.quick)?;
                eprintln!("{}", summary::line(&sample));
                sent += report.sent;
                results.add(scenario.name, target.name, sample);
            }
        }
    }
    results.finish(&stand)?;
    let counted = runtime.block_on(stand.provider_stats())?;
    ensure!(
        counted.completed == sent && counted.requests == sent,
        "the generator sent {sent} requests, the provider counted otherwise: {counted:?}"
    );
    let json = serde_json::to_vec_pretty(&results)?;
    std::fs::write(&options.out, json)
        .with_context(|| format!("write {}", options.out.display()))?;
    Ok(results)
}

fn measure(
    scenario: &Scenario,
    stand: &Stand,
    target: &Target,
    quick: bool,
) -> anyhow::Result<(Sample, Report)> {
    let load = Load {
        target: target.url.clone(),
        protocol: target.protocol,
        key: target.key.clone(),
        stream: scenario.stream,
        model: scenario.model.to_owned(),
        chunks: scenario.chunks,
        pace: scenario.pace,
        callers: scenario.callers,
        warmup: Duration::from_millis(500),
        duration: Duration::from_secs(if quick { 2 } else { scenario.seconds }),
        ..Load::default()
    };
    let before = stand.cpu(target)?;
    let report = load::run(&load)?;
    let after = stand.cpu(target)?;
    report
        .all_ok()
        .with_context(|| format!("{}, {}", scenario.name, target.name))?;
    let spent = after
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    let sample = Sample {
        p50_us: report.total_us.p50,
        p99_us: report.total_us.p99,
        first_p50_us: report.first_us.map(|first| first.p50),
        rate: report.rate,
        cpu_us: spent.map(|spent| spent.as_secs_f64() * 1e6 / report.sent as f64),
    };
    Ok((sample, report))
}
