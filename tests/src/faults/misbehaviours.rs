//! Providers that do wrong, each beside one that is well.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;

use super::summary::{Misbehaviour, Misbehaviours};
use super::{Stage, WAYS};
use crate::load::{Load, Pace, run_async};

/// What a behaviour leaves a node to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Nothing comes of it: another deployment can answer.
    Fails,
    /// It breaks off after content: of a stream that is an error, as nobody else can go on.
    Breaks,
    /// The answer is whole, if odd.
    Odd,
}

/// Every misbehaviour, by the name that the fake provider knows it by.
const ALL: [(&str, Kind); 31] = [
    ("hang", Kind::Fails),
    ("reset", Kind::Fails),
    ("close", Kind::Fails),
    ("status-500", Kind::Fails),
    ("status-503", Kind::Fails),
    ("status-429-retry-2", Kind::Fails),
    ("percent-50+status-500", Kind::Fails),
    ("refuse-rate", Kind::Fails),
    ("refuse-quota", Kind::Fails),
    ("refuse-overload", Kind::Fails),
    ("refuse-key", Kind::Fails),
    ("bad-json", Kind::Fails),
    ("html", Kind::Fails),
    ("redirect", Kind::Fails),
    ("says-gzip", Kind::Fails),
    ("gzip-bomb-64", Kind::Fails),
    ("giant-line-64", Kind::Fails),
    ("trickle-20ms", Kind::Fails),
    ("truncate-at-20", Kind::Fails),
    ("hang-after-3", Kind::Breaks),
    ("reset-after-3", Kind::Breaks),
    ("close-after-3", Kind::Breaks),
    ("truncate-after-3", Kind::Breaks),
    ("error-in-stream-3", Kind::Breaks),
    ("no-done", Kind::Odd),
    ("no-usage", Kind::Odd),
    ("dup-usage", Kind::Odd),
    ("usage-lies", Kind::Odd),
    ("usage-nonsense", Kind::Odd),
    ("malformed-line", Kind::Odd),
    ("comments", Kind::Odd),
];

/// Requests per second of each, over each edge, whole and streamed.
const RATE: f64 = 5.0;
const WARMUP: Duration = Duration::from_secs(10);
/// The model behind which all of them are.
const TOGETHER: &str = "together";

/// The name of the deployment, and of the model that has it beside one that is well.
fn name(behaviour: &str) -> String {
    behaviour.replace('+', "-")
}

pub(super) async fn show(tollgate: &Path, lasts: Duration) -> anyhow::Result<Misbehaviours> {
    let stage = Stage::start(tollgate, 0, policy).await?;
    let rss = stage.gateway.node.rss()?;
    let mut running = JoinSet::new();
    let together = [(TOGETHER, Kind::Breaks)];
    for (at, (behaviour, _)) in ALL.iter().chain(&together).enumerate() {
        for way in WAYS {
            let load = Load {
                pace: Pace::Open { rate: RATE },
                callers: 32,
                connections: 1,
                warmup: WARMUP,
                duration: lasts,
                timeout: Duration::from_secs(15),
                ..stage.load(&name(behaviour), way)
            };
            running.spawn(async move { anyhow::Ok((at, run_async(&load).await?)) });
        }
    }
    let all = ALL.iter().chain(&together);
    let mut rows: Vec<_> = all
        .map(|(name, kind)| Misbehaviour::new(name, *kind))
        .collect();
    while let Some(ended) = running.join_next().await {
        let (at, report) = ended.context("a load panicked")??;
        rows[at].add(&report);
    }
    Ok(Misbehaviours {
        rows,
        panics: panics(&stage)?,
        redirects_followed: stage.provider.stats().redirects_followed,
        rss_before_mib: rss as f64 / 1_048_576.0,
        rss_peak_mib: stage.gateway.node.peak_rss()? as f64 / 1_048_576.0,
    })
}

/// Lines of the node's log that tell of a panic.
fn panics(stage: &Stage) -> anyhow::Result<usize> {
    let log = stage.gateway.node.output()?;
    Ok(log.lines().filter(|line| line.contains("panicked")).count())
}

fn policy(provider: &str) -> String {
    let (mut providers, mut deployments, mut pools, mut models, mut together) = (
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    );
    let provider = format!(
        "{{ kind: openai_compatible, base_url: \"{provider}\", internal: true, timeouts: {{ idle: 500ms }} }}"
    );
    let patience =
        "retry: { attempts: 5, per_attempt_timeout: 1s, first_token_timeout: 1s }, deadline: 10s";
    // Writing to a string cannot fail.
    for (behaviour, _) in ALL {
        let name = name(behaviour);
        for (each, behaviour) in [("bad", behaviour), ("good", "ok")] {
            let _ = writeln!(providers, "  {each}-{name}: {provider}");
            let _ = writeln!(
                deployments,
                "  {each}-{name}: {{ provider: {each}-{name}, model: \"{name}@{behaviour}\" }}"
            );
        }
        let _ = writeln!(
            pools,
            "  {name}: {{ targets: [ {{ deployment: bad-{name} }}, {{ deployment: good-{name} }} ] }}"
        );
        let _ = writeln!(
            models,
            "  {name}: {{ routes: [ {{ pools: [{name}] }} ], {patience} }}"
        );
        let _ = write!(together, "{{ deployment: bad-{name} }}, ");
    }
    let _ = writeln!(pools, "  all: {{ targets: [ {together} ] }}");
    let _ = writeln!(
        pools,
        "  good: {{ targets: [ {{ deployment: good-hang }} ] }}"
    );
    let _ = writeln!(
        models,
        "  {TOGETHER}: {{ routes: [ {{ pools: [all, good] }} ], {patience} }}"
    );
    format!("providers:\n{providers}deployments:\n{deployments}pools:\n{pools}models:\n{models}")
}
