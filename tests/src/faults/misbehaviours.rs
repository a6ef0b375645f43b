//! Providers that do wrong, each beside one that is well: by our gateway and by the plain one, and where they break off, by
//! ours without continuation too.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;

use super::summary::{Misbehaviour, Misbehaviours};
use super::{Options, Stage, WAYS};
use crate::arm::Arm;
use crate::load::{Load, Pace, run_async};

/// What a behaviour leaves a node to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Nothing comes of it: another deployment can answer.
    Fails,
    /// It breaks off after content: a stream has to be gone on with elsewhere.
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
    ("giant-line-64", Kind::Breaks),
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

const WARMUP: Duration = Duration::from_secs(10);
/// Of our attempts.
const MOST: u32 = 5;
const PATIENCE: &str = "per_attempt_timeout: 1s, first_token_timeout: 1s }, deadline: 10s";
/// The plain gateway gets so much of the requests: enough to see how its callers fare.
const PLAIN_PART: f64 = 0.2;
/// The model behind which all of them are.
const TOGETHER: (&str, Kind) = ("together", Kind::Breaks);

/// A model that has a misbehaviour beside a deployment that is well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    arm: Arm,
    pub(super) behaviour: &'static str,
    pub(super) kind: Kind,
    /// Whether streams that break off are gone on with elsewhere.
    goes_on: bool,
}

impl Case {
    /// All there are; of ours, what breaks off also as it goes with only that feature off.
    fn all(arm: Arm) -> Vec<Self> {
        let case = |goes_on| {
            move |(behaviour, kind)| Self {
                arm,
                behaviour,
                kind,
                goes_on,
            }
        };
        let each = || ALL.into_iter().chain([TOGETHER]);
        let breaks = each().filter(|(_, kind)| matches!(kind, Kind::Breaks));
        match arm {
            Arm::Ours => each()
                .map(case(true))
                .chain(breaks.map(case(false)))
                .collect(),
            Arm::Plain | Arm::Direct => each().map(case(false)).collect(),
        }
    }

    /// The name of the model.
    pub(super) fn name(self) -> String {
        let off = if self.goes_on { "" } else { "-alone" };
        format!("{}{off}", name(self.behaviour))
    }

    /// The model's entry in the policy.
    fn model(self) -> String {
        let pools = match self.behaviour {
            behaviour if behaviour == TOGETHER.0 => "all, good".to_owned(),
            behaviour => name(behaviour),
        };
        let on_cut = if self.goes_on { "replay" } else { "fail" };
        let attempts = match self.arm {
            Arm::Ours => MOST,
            Arm::Plain | Arm::Direct => self.arm.attempts(),
        };
        format!(
            "{{ routes: [ {{ pools: [{pools}] }} ], on_cut: {on_cut}, retry: {{ attempts: {attempts}, {PATIENCE} }}"
        )
    }
}

/// The name of the deployment, and of the pool that has it beside one that is well.
fn name(behaviour: &str) -> String {
    behaviour.replace('+', "-")
}

/// All of them at the same time. The plain gateway gets fewer requests, for half as long.
pub(super) async fn show(options: &Options, arm: Arm) -> anyhow::Result<Misbehaviours> {
    let stage = Stage::start(&options.tollgate, 0, |provider| policy(arm, provider)).await?;
    let rss = stage.gateway.node.rss()?;
    let (rate, seconds) = match arm {
        Arm::Ours => (options.rate, options.seconds),
        Arm::Plain | Arm::Direct => (options.rate * PLAIN_PART, options.seconds.div_ceil(2)),
    };
    let mut running = JoinSet::new();
    let cases = Case::all(arm);
    for (at, case) in cases.iter().enumerate() {
        for way in WAYS {
            let load = Load {
                pace: Pace::Open { rate },
                callers: 32,
                connections: 1,
                warmup: WARMUP,
                duration: Duration::from_secs(seconds),
                timeout: Duration::from_secs(15),
                ..stage.load(&case.name(), way)
            };
            running.spawn(async move { anyhow::Ok((at, run_async(&load).await?)) });
        }
    }
    let mut rows: Vec<_> = cases.into_iter().map(Misbehaviour::new).collect();
    while let Some(ended) = running.join_next().await {
        let (at, report) = ended.context("a load panicked")??;
        rows[at].add(&report);
    }
    Ok(Misbehaviours {
        arm,
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

fn policy(arm: Arm, provider: &str) -> String {
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
    let choice = match arm {
        Arm::Ours => "strategy: weighted",
        Arm::Plain | Arm::Direct => arm.pool(),
    };
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
            "  {name}: {{ {choice}, targets: [ {{ deployment: bad-{name} }}, {{ deployment: good-{name} }} ] }}"
        );
        let _ = write!(together, "{{ deployment: bad-{name} }}, ");
    }
    for (pool, targets) in [
        ("all", together.as_str()),
        ("good", "{ deployment: good-hang }"),
    ] {
        let _ = writeln!(pools, "  {pool}: {{ {choice}, targets: [ {targets} ] }}");
    }
    for case in Case::all(arm) {
        let _ = writeln!(models, "  {}: {}", case.name(), case.model());
    }
    format!("providers:\n{providers}deployments:\n{deployments}pools:\n{pools}models:\n{models}")
}
