//! How callers fare while deployments are slow, fail, flap, limit and hang.
//!
//! A control plane and a node run as processes, the fake provider beside them. **Trouble**: three deployments, of which
//! one is five times as slow and one fails half of the time, on and off; the same load goes to three that are well, to
//! these by weight with health off (plain turns, though with failover), and to these by least latency, at the same time.
//! **Outages**: every deployment of a model fails, limits or hangs for a while: how often providers are asked meanwhile,
//! and how soon callers are answered again. **Ceilings**: ten times as much is wanted as a provider lets through. **Mixed
//! work**: prompts of known difficulty, the simple ones sent to a cheap deployment by their complexity.
//!
//! Every reply is checked. It does NOT judge: it prints what is wanted beside what is.

mod ceilings;
mod mixed;
mod outage;
mod plot;
mod summary;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::gateway::Gateway;
use crate::load::{Load, Pace, Report, run_async};
use crate::provider::{Behaviour, MockProvider, Options as Provider};
use outage::outages;
pub use summary::Figures;
use summary::Row;

/// Shows how routing fares in trouble.
#[derive(Debug, Parser)]
#[command(name = "routes")]
pub struct Options {
    /// The gateway's program.
    #[arg(long)]
    tollgate: PathBuf,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = "target/routes.json")]
    out: PathBuf,
    /// Where they are drawn, as SVG.
    #[arg(long, default_value = "target/routes.svg")]
    plot: PathBuf,
    /// Seconds that are measured, after ten that are not.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Requests per second to each of those that are compared.
    #[arg(long, default_value_t = 30.0)]
    rate: f64,
}

/// About 200 ms for an answer.
const WELL: &str = "slow-first-120ms+ok-8x10ms";
/// Five times as long.
const SLOW: &str = "slow-first-600ms+ok-8x50ms";
/// As long as the first, half of the time.
const FAILING: &str = "percent-50+status-500";
/// How long the failing one fails, and then does not.
const FLAP: Duration = Duration::from_secs(7);
/// What passes before anything is measured.
const WARMUP: Duration = Duration::from_secs(10);

/// What health is where it is off.
const OFF: &str = "{ failures: 10000, error_percent: 100, least_requests: 10000 }";

/// The models that are compared: name, how their pool chooses, and whether two of its deployments are in trouble.
const COMPARED: [(&str, &str, bool); 3] = [
    ("all-well", "least_latency", false),
    ("turns", "weighted", true),
    ("ours", "least_latency", true),
];

/// Runs the show.
///
/// # Errors
/// The processes could not be started, or the load not be generated.
pub async fn run(options: &Options) -> anyhow::Result<Figures> {
    let provider = MockProvider::start_with(Provider {
        threads: 1,
        ledger_capacity: 1_000_000,
        ..Provider::default()
    })?;
    let directory = tempfile::tempdir().context("create a directory")?;
    let policy = policy(&provider.base_url());
    let gateway = Gateway::start(&options.tollgate, directory.path(), &policy, &[]).await?;
    let stage = Stage {
        key: gateway.key("show/show/show")?,
        gateway,
        provider,
    };
    let trouble = trouble(&stage, options).await?;
    // The others take little, and disturb each other little.
    let (outages, ceiling) = tokio::try_join!(outages(&stage), ceilings::ceiling(&stage))?;
    let figures = Figures {
        trouble,
        outages,
        ceiling,
        mixed: mixed::mixed(&stage).await?,
    };
    let json = serde_json::to_vec_pretty(&figures).context("encode the figures")?;
    let drawn = plot::plot(&figures).into_bytes();
    for (path, content) in [(&options.out, json), (&options.plot, drawn)] {
        std::fs::write(path, content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(figures)
}

/// What everything runs on.
struct Stage {
    key: String,
    gateway: Gateway,
    provider: MockProvider,
}

impl Stage {
    fn load(&self, model: &str) -> Load {
        Load {
            target: self.gateway.url(),
            key: self.key.clone(),
            model: model.to_owned(),
            callers: 200,
            ..Load::default()
        }
    }
}

/// The same load to all that are compared, at the same time.
async fn trouble(stage: &Stage, options: &Options) -> anyhow::Result<Vec<Row>> {
    let loads = COMPARED.map(|(model, ..)| Load {
        pace: Pace::Open { rate: options.rate },
        warmup: WARMUP,
        duration: Duration::from_secs(options.seconds),
        ..stage.load(model)
    });
    let [well, turns, ours] = &loads;
    let failing: Behaviour = FAILING.parse()?;
    let flap = async {
        loop {
            for behaviour in [Some(&failing), None] {
                for (model, ..) in COMPARED.iter().filter(|(.., is_troubled)| *is_troubled) {
                    let third = format!("{model}-3@{WELL}");
                    stage.provider.behave_for(&third, behaviour.cloned());
                }
                tokio::time::sleep(FLAP).await;
            }
        }
    };
    let reports = async { tokio::try_join!(run_async(well), run_async(turns), run_async(ours)) };
    let (well, turns, ours): (Report, Report, Report) = tokio::select! {
        reports = reports => reports?,
        () = flap => anyhow::bail!("the flapping goes on for ever"),
    };
    let reports = [well, turns, ours].into_iter();
    let rows = COMPARED.iter().zip(reports);
    Ok(rows.map(|((model, ..), it)| Row::of(model, &it)).collect())
}

fn policy(provider: &str) -> String {
    let mut parts = Parts::default();
    for (model, strategy, is_troubled) in COMPARED {
        let second = if is_troubled { SLOW } else { WELL };
        let health = if strategy == "weighted" { OFF } else { "{}" };
        parts.pool(provider, model, (strategy, health), &[WELL, second, WELL]);
        let _ = writeln!(
            parts.models,
            "  {model}: {{ routes: [ {{ pools: [{model}] }} ] }}"
        );
    }
    for (model, _) in outage::KINDS {
        let choice = ("least_latency", "{}");
        parts.pool(provider, model, choice, &["ok", "ok", "ok"]);
        let _ = writeln!(
            parts.models,
            "  {model}: {{ routes: [ {{ pools: [{model}] }} ], retry: {{ per_attempt_timeout: 1s }} }}"
        );
    }
    parts.tight(provider);
    parts.mixed(provider);
    format!(
        "providers:\n{}deployments:\n{}pools:\n{}models:\n{}",
        parts.providers, parts.deployments, parts.pools, parts.models
    )
}

/// The sections of a policy.
#[derive(Default)]
struct Parts {
    providers: String,
    deployments: String,
    pools: String,
    models: String,
}

impl Parts {
    /// Adds a provider.
    fn provider(&mut self, address: &str, name: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.providers,
            "  {name}: {{ kind: openai_compatible, base_url: \"{address}\", internal: true }}"
        );
    }

    /// Adds a model that is wanted ten times as much as its provider lets through.
    fn tight(&mut self, provider: &str) {
        let (name, model, most) = (ceilings::MODEL, ceilings::DEPLOYMENT, ceilings::CEILING);
        self.provider(provider, name);
        let _ = writeln!(
            self.deployments,
            "  {name}-1: {{ provider: {name}, model: \"{model}\", limits: {{ requests_per_minute: {most} }} }}"
        );
        let _ = writeln!(
            self.pools,
            "  {name}: {{ targets: [ {{ deployment: {name}-1 }} ] }}"
        );
        let _ = writeln!(
            self.models,
            "  {name}: {{ routes: [ {{ pools: [{name}] }} ] }}"
        );
    }

    /// Adds a model whose simple work goes to a cheap deployment, and one that is always the dear one.
    fn mixed(&mut self, provider: &str) {
        let (mixed, strong, simple) = (mixed::MIXED, mixed::STRONG, mixed::CONDITION);
        self.provider(provider, mixed);
        for (name, price) in [mixed::CHEAP, mixed::DEAR] {
            let model = format!("{name}@{}", mixed::ANSWER);
            let _ = writeln!(
                self.deployments,
                "  {name}: {{ provider: {mixed}, model: \"{model}\", price: {price} }}"
            );
            let _ = writeln!(
                self.pools,
                "  {name}: {{ targets: [ {{ deployment: {name} }} ] }}"
            );
        }
        let (cheap, dear) = (mixed::CHEAP.0, mixed::DEAR.0);
        let _ = writeln!(
            self.models,
            "  {mixed}: {{ routes: [ {{ when: \"{simple}\", pools: [{cheap}] }}, {{ pools: [{dear}] }} ] }}"
        );
        let _ = writeln!(
            self.models,
            "  {strong}: {{ routes: [ {{ pools: [{dear}] }} ] }}"
        );
    }

    /// Adds a pool of deployments at a provider of its own, `NAME-1@BEHAVIOUR` and so on.
    fn pool(
        &mut self,
        provider: &str,
        name: &str,
        (strategy, health): (&str, &str),
        behaviours: &[&str],
    ) {
        self.provider(provider, name);
        let _ = write!(
            self.pools,
            "  {name}: {{ strategy: {strategy}, health: {health}, targets: ["
        );
        for (number, behaviour) in (1..).zip(behaviours) {
            let _ = writeln!(
                self.deployments,
                "  {name}-{number}: {{ provider: {name}, model: \"{name}-{number}@{behaviour}\" }}"
            );
            let _ = write!(self.pools, "{{ deployment: {name}-{number} }}, ");
        }
        let _ = writeln!(self.pools, "] }}");
    }
}
