//! How callers fare while a node is asked for more than it can do.
//!
//! A control plane and a node with a small memory budget run as processes, the fake provider beside them. Every answer
//! takes a second or more, so that places for requests are what is scarce, long before processors are. **Flood**: of twenty
//! tenants one asks for twenty times its share; the others are compared with themselves without the flood, and with
//! themselves where all twenty are one tenant, for which a node can do nothing. **Load**: from half of what the node can
//! do to ten times as much, come what may; then the same to a node whose budget is so large that it lets everybody in.
//!
//! Every reply is checked. It does NOT judge: it prints what is wanted beside what is.

mod summary;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::task::JoinSet;

use crate::arm::Arm;
use crate::gateway::Gateway;
use crate::load::{Load, Pace, Protocol, Report, run_async};
use crate::provider::{MockProvider, Options as Provider};
pub use summary::Figures;
use summary::{Crowd, Step};

/// Shows how a node bears overload.
#[derive(Debug, Parser)]
#[command(name = "overload")]
pub struct Options {
    /// The gateway's program.
    #[arg(long)]
    tollgate: PathBuf,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = "target/overload.json")]
    out: PathBuf,
    /// Seconds of each part that are measured, after five that are not.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds that an answer takes. The longer, the fewer requests it takes to be too many.
    #[arg(long, default_value_t = 1)]
    takes: u32,
    /// The edge that is called.
    #[arg(long, value_enum, default_value = "http")]
    protocol: Protocol,
}

/// The requests at once that our node makes of its budget.
const PLACES: f64 = 512.0;
const WARMUP: Duration = Duration::from_secs(5);
/// Tenants, of which the first floods.
const TENANTS: usize = 20;
/// What each asks for, in parts of its share, and what the first does while it floods.
const USUAL: f64 = 0.7;
const FLOOD: f64 = 20.0;
/// Loads, in parts of what our node can do, and those of them that the other gets: at the greatest it has some 6,500
/// callers at once, for whom this process, with the provider in it, takes twice as many descriptors.
const LOADS: [f64; 5] = [0.5, 1.0, 2.0, 5.0, 10.0];
const PLAIN_LOADS: [f64; 3] = [1.0, 5.0, 10.0];

/// Runs the show.
///
/// # Errors
/// The processes could not be started, or the load not be generated.
pub async fn run(options: &Options) -> anyhow::Result<Figures> {
    let stage = Stage::start(options, Arm::Ours).await?;
    let flood = flood(&stage, options).await?;
    let mut steps = load(&stage, options, &LOADS).await?;
    drop(stage);
    let stage = Stage::start(options, Arm::Plain).await?;
    steps.extend(load(&stage, options, &PLAIN_LOADS).await?);
    let figures = Figures { flood, load: steps };
    let json = serde_json::to_vec_pretty(&figures).context("encode the figures")?;
    std::fs::write(&options.out, json)
        .with_context(|| format!("write {}", options.out.display()))?;
    Ok(figures)
}

/// What everything runs on.
struct Stage {
    arm: Arm,
    gateway: Gateway,
    _provider: MockProvider,
    _directory: tempfile::TempDir,
    /// Of one organisation each.
    keys: Vec<String>,
    /// All of the same one.
    alike: Vec<String>,
}

impl Stage {
    async fn start(options: &Options, arm: Arm) -> anyhow::Result<Self> {
        let provider = MockProvider::start_with(Provider {
            ledger_capacity: 0,
            ..Provider::default()
        })?;
        let directory = tempfile::tempdir().context("create a directory")?;
        let policy = format!(
            "providers: {{ fake: {{ kind: openai_compatible, base_url: \"{}\", internal: true }} }}
deployments: {{ fake: {{ provider: fake, model: slow-first-{}s+ok-8 }} }}
pools: {{ fake: {{ targets: [ {{ deployment: fake }} ] }} }}
models: {{ fake: {{ routes: [ {{ pools: [fake] }} ] }} }}
",
            provider.base_url(),
            options.takes
        );
        let budget = match arm {
            Arm::Ours => "192MiB",
            Arm::Plain | Arm::Direct => "64GiB",
        };
        let variables = [("TOLLGATE_MEMORY_BUDGET", budget)];
        let gateway =
            Gateway::start(&options.tollgate, directory.path(), &policy, &variables).await?;
        let keys = |subject: fn(usize) -> String| -> anyhow::Result<Vec<_>> {
            (0..TENANTS)
                .map(|number| gateway.key(&subject(number)))
                .collect()
        };
        Ok(Self {
            arm,
            keys: keys(|number| format!("org-{number}/team/user"))?,
            alike: keys(|number| format!("all/team-{number}/user"))?,
            gateway,
            _provider: provider,
            _directory: directory,
        })
    }

    /// A load of so many places, if it gets them.
    fn load(&self, options: &Options, key: &str, places: f64, callers: usize) -> Load {
        let rate = places / f64::from(options.takes.max(1));
        Load {
            target: self.gateway.url(),
            protocol: options.protocol,
            key: key.to_owned(),
            model: "fake".to_owned(),
            pace: Pace::Open { rate },
            callers,
            // A connection carries 200 requests at once.
            connections: callers.div_ceil(150),
            warmup: WARMUP,
            duration: Duration::from_secs(options.seconds),
            ..Load::default()
        }
    }
}

/// The same crowd without the flood, with it, and with it where nobody is told apart.
async fn flood(stage: &Stage, options: &Options) -> anyhow::Result<Vec<Crowd>> {
    let calm = crowd(stage, options, &stage.keys, USUAL).await?;
    let flooded = crowd(stage, options, &stage.keys, FLOOD).await?;
    let alike = crowd(stage, options, &stage.alike, FLOOD).await?;
    Ok(vec![
        Crowd::of("calm", &calm),
        Crowd::of("flood", &flooded),
        Crowd::of("flood, one tenant", &alike),
    ])
}

/// All tenants at once, of which the first asks for so many shares.
async fn crowd(
    stage: &Stage,
    options: &Options,
    keys: &[String],
    first: f64,
) -> anyhow::Result<Vec<Report>> {
    let share = PLACES / TENANTS as f64;
    let mut running = JoinSet::new();
    for (number, key) in keys.iter().enumerate() {
        let (shares, callers) = if number == 0 {
            (first, 350)
        } else {
            (USUAL, 32)
        };
        let load = stage.load(options, key, shares * share, callers);
        running.spawn(async move { anyhow::Ok((number, run_async(&load).await?)) });
    }
    let mut reports = BTreeMap::new();
    while let Some(ended) = running.join_next().await {
        let (number, report) = ended.context("a load panicked")??;
        reports.insert(number, report);
    }
    Ok(reports.into_values().collect())
}

async fn load(stage: &Stage, options: &Options, loads: &[f64]) -> anyhow::Result<Vec<Step>> {
    let key = stage.keys.first().context("no key")?;
    let mut steps = Vec::new();
    for &times in loads {
        let places = times * PLACES;
        let callers = match stage.arm {
            // Those who are turned away call again soon.
            Arm::Ours => 900,
            // Nobody is.
            Arm::Plain | Arm::Direct => (places * 1.25) as usize + 100,
        };
        let report = run_async(&stage.load(options, key, places, callers)).await?;
        let node = &stage.gateway.node;
        let memory = [node.rss()?, node.peak_rss()?];
        steps.push(Step::of(stage.arm, times, &report, memory));
    }
    Ok(steps)
}
