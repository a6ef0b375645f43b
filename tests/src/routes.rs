//! How callers fare while deployments are slow, fail, flap, limit and hang.
//!
//! A control plane and a node run as processes, the fake provider beside them. **Trouble**: three deployments, of which
//! one is five times as slow and one fails half of the time, on and off; the same load goes to three that are well, to
//! these by weight with health off (plain turns, though with failover), and to these by least latency, at the same time.
//! **Outages**: every deployment of a model fails, limits or hangs for a while: how often providers are asked meanwhile,
//! how soon callers are answered again, and what they are charged. **Ceilings**: ten times as much is wanted as a provider
//! lets through, of requests and of tokens. **Mixed work**: prompts of known difficulty, the simple ones sent to a cheap
//! deployment by their complexity.
//!
//! Outages and ceilings befall models of three kinds at the same time: ours; plain ones, whose deployments take turns
//! without health, retries or ceilings; and direct ones, whose callers ask the provider themselves.
//!
//! Every reply is checked. It does NOT judge: it prints what is wanted beside what is.

mod asker;
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

use crate::arm::Arm;
use crate::gateway::Gateway;
use crate::load::{Load, Pace, Report, run_async};
use crate::provider::{Behaviour, MockProvider, Options as Provider};
use asker::Asker;
use ceilings::Counted;
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
    /// What the lengths of outages are drawn from; at random, and told with the figures, if not given.
    #[arg(long)]
    seed: Option<u64>,
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

/// The models that are compared: name, how their pool chooses, and whether two of its deployments are in trouble.
const COMPARED: [(&str, Arm, bool); 3] = [
    ("all-well", Arm::Ours, false),
    ("turns", Arm::Plain, true),
    ("ours", Arm::Ours, true),
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
    let seed = options.seed.unwrap_or_else(rand::random);
    // The others take little, and disturb each other little.
    let (mut outages, ceilings) =
        tokio::try_join!(outages(&stage, seed), ceilings::ceilings(&stage))?;
    let mut asker = Asker::connect(&stage).await?;
    for it in outages.iter_mut().filter(|it| it.arm != Arm::Direct) {
        it.books = Some(outage::books(&stage, &mut asker, &it.model()).await?);
    }
    let figures = Figures {
        trouble,
        seed,
        outages,
        ceilings,
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

    /// The load of one of those that are compared. Who asks the provider himself names the first deployment's model, and
    /// waits for a second.
    fn load_of(&self, arm: Arm, model: &str) -> Load {
        let model = arm.of(model);
        match arm {
            Arm::Ours | Arm::Plain => self.load(&model),
            Arm::Direct => Load {
                target: format!("http://{}", self.provider.address()),
                timeout: Duration::from_secs(1),
                ..self.load(&format!("{model}-1@ok"))
            },
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
    for (model, arm, is_troubled) in COMPARED {
        let second = if is_troubled { SLOW } else { WELL };
        parts.pool(provider, model, arm, &[WELL, second, WELL]);
        parts.model(model, "");
    }
    for arm in Arm::GATEWAYS {
        let attempts = arm.attempts();
        for (kind, _) in outage::KINDS {
            let model = arm.of(kind);
            let retry = format!(", retry: {{ attempts: {attempts}, per_attempt_timeout: 1s }}");
            parts.pool(provider, &model, arm, &["ok", "ok", "ok"]);
            parts.model(&model, &retry);
        }
        for counted in Counted::ALL {
            parts.tight(provider, counted, arm);
        }
    }
    parts.mixed(provider);
    format!(
        "providers:\n{}deployments:\n{}pools:\n{}models:\n{}limits:\n{}",
        parts.providers,
        parts.deployments,
        parts.pools,
        parts.models,
        outage::LIMITS
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
    fn tight(&mut self, provider: &str, counted: Counted, arm: Arm) {
        let (name, limits) = (arm.of(counted.model()), counted.limits());
        let (limits, choice) = (arm.only_ours(&limits), arm.pool());
        self.provider(provider, &name);
        let _ = writeln!(
            self.deployments,
            "  {name}-1: {{ provider: {name}, model: \"{name}-1@ok\"{limits} }}"
        );
        let _ = writeln!(
            self.pools,
            "  {name}: {{ {choice}, targets: [ {{ deployment: {name}-1 }} ] }}"
        );
        let attempts = arm.attempts();
        self.model(&name, &format!(", retry: {{ attempts: {attempts} }}"));
    }

    /// Adds a model that goes to the pool of its name.
    fn model(&mut self, name: &str, more: &str) {
        let _ = writeln!(
            self.models,
            "  {name}: {{ routes: [ {{ pools: [{name}] }} ]{more} }}"
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
    fn pool(&mut self, provider: &str, name: &str, arm: Arm, behaviours: &[&str]) {
        self.provider(provider, name);
        let _ = write!(self.pools, "  {name}: {{ {}, targets: [", arm.pool());
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
