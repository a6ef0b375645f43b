//! Callers who go away before they are answered.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::summary::{Disconnects, Nonces};
use super::{Stage, WAYS};
use crate::arm::Arm;
use crate::load::{Cancelled, Cancels, Load, Pace, Report, run_async};
use crate::provider::Outcome;

/// Callers of each kind.
const CALLERS: usize = 50;
/// How many requests there may be at once, by a limit: twice as many, as one who goes away comes back at once.
const SLOTS: usize = 2 * CALLERS * WAYS.len();
/// How long everything may take to be settled.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Callers who all go away while their answers run, within a second.
pub(super) async fn disconnects(
    tollgate: &Path,
    arm: Arm,
    callers: u64,
) -> anyhow::Result<Disconnects> {
    let stage = Stage::start(tollgate, 1_000_000, |provider| policy(arm, provider)).await?;
    // Each caller stays for half a second at the mean.
    let turns = callers as f64 / (CALLERS * WAYS.len()) as f64;
    let load = Load {
        chunks: 100,
        duration: Duration::from_secs_f64(turns * 0.5),
        cancels: Some(Cancels {
            percent: 100,
            within: Duration::from_secs(1),
        }),
        ..stage.load("long", WAYS[0])
    };
    let reports = all_ways(&load, CALLERS).await?;
    let gone: Vec<_> = reports.iter().flat_map(|it| &it.cancelled).collect();
    let settled = match arm {
        Arm::Ours => Some(settled(&stage).await?),
        // Nothing counts them.
        Arm::Plain | Arm::Direct => None,
    };
    quiet(&stage).await?;
    let reached_provider = stage.provider.stats().requests;
    let (mut took, kept) = told(&stage, &gone);
    took.sort_unstable();
    let at = |part: f64| {
        let last = took.len().saturating_sub(1) as f64;
        took.get((last * part) as usize).copied().unwrap_or(0)
    };
    // Slots that were not given back would be missing.
    let load = Load {
        duration: Duration::from_secs(3),
        cancels: None,
        ..load
    };
    let after = all_ways(&load, 2 * CALLERS).await?;
    let refused: u64 = after.iter().flat_map(|it| it.failures.values()).sum();
    Ok(Disconnects {
        arm,
        gone: gone.len() as u64,
        reached_provider,
        told: took.len() as u64,
        told_p50_ms: at(0.5),
        told_p99_ms: at(0.99),
        told_max_ms: at(1.0),
        kept,
        settled,
        refused_after: refused,
        asked_after: sent(&after),
    })
}

/// Many short requests, of which more than three in ten are given up: most of those drawn, as few are answered sooner.
pub(super) async fn nonces(tollgate: &Path, arm: Arm, requests: u64) -> anyhow::Result<Nonces> {
    let stage = Stage::start(tollgate, 0, |provider| policy(arm, provider)).await?;
    let load = Load {
        duration: Duration::from_secs(5),
        cancels: Some(Cancels {
            percent: 45,
            within: Duration::from_millis(8),
        }),
        ..stage.load("short", WAYS[0])
    };
    let mut all = Nonces::new(arm);
    while all.sent < requests {
        for report in all_ways(&load, CALLERS).await? {
            all.add(&report);
        }
        ensure!(all.answered > 0, "nothing is answered: {all:?}");
    }
    all.in_flight_after = quiet(&stage).await?;
    Ok(all)
}

/// The same load from closed loops of so many callers over each edge, whole and streamed.
async fn all_ways(load: &Load, callers: usize) -> anyhow::Result<Vec<Report>> {
    let mut running = JoinSet::new();
    for (protocol, stream) in WAYS {
        let load = Load {
            protocol,
            stream,
            callers,
            pace: Pace::Closed,
            warmup: Duration::ZERO,
            ..load.clone()
        };
        running.spawn(async move { run_async(&load).await });
    }
    let mut reports = Vec::new();
    while let Some(ended) = running.join_next().await {
        reports.push(ended.context("a load panicked")??);
    }
    Ok(reports)
}

fn sent(reports: &[Report]) -> u64 {
    reports.iter().map(|it| it.sent).sum()
}

/// Waits until the provider has nothing in flight, and returns what it has otherwise.
async fn quiet(stage: &Stage) -> anyhow::Result<u64> {
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        let left = stage.provider.stats().in_flight;
        if left == 0 || Instant::now() > until {
            return Ok(left);
        }
        sleep(LOOK).await;
    }
}

/// Waits until the limit's owner knows of as many requests as the provider has seen, and returns what it knows of: with
/// a request settled twice it would be more, with one not settled less.
async fn settled(stage: &Stage) -> anyhow::Result<u64> {
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        let (spent, seen) = (stage.gateway.spent("all")?, stage.provider.stats().requests);
        if spent == seen || Instant::now() > until {
            return Ok(spent);
        }
        sleep(LOOK).await;
    }
}

/// How long after its caller the provider was told, for each request that was under way; and how many it was let finish.
fn told(stage: &Stage, gone: &[&Cancelled]) -> (Vec<u64>, u64) {
    let ledger = stage.provider.ledger();
    let by_nonce: HashMap<_, _> = ledger.iter().map(|it| (it.nonce.as_str(), it)).collect();
    let (mut took, mut kept) = (Vec::new(), 0);
    for it in gone {
        let Some(entry) = by_nonce.get(it.nonce.as_str()) else {
            continue;
        };
        match (entry.outcome, entry.ended_ms) {
            (Outcome::Cancelled, Some(ended)) => took.push(ended.saturating_sub(it.at_ms)),
            (Outcome::Completed, Some(ended)) if ended <= it.at_ms => {}
            (
                Outcome::InFlight
                | Outcome::Completed
                | Outcome::Refused
                | Outcome::Cut
                | Outcome::Cancelled,
                _,
            ) => kept += 1,
        }
    }
    (took, kept)
}

fn policy(arm: Arm, provider: &str) -> String {
    let (mut deployments, mut pools, mut models) = (String::new(), String::new(), String::new());
    // Writing to a string cannot fail.
    for (model, behaviour) in [("long", "ok-100x20ms"), ("short", "ok-8")] {
        let numbers = 1..=3;
        for number in numbers.clone() {
            let _ = writeln!(
                deployments,
                "  {model}-{number}: {{ provider: fake, model: \"{number}@{behaviour}\" }}"
            );
        }
        let targets: String = numbers
            .map(|number| format!("{{ deployment: {model}-{number} }}, "))
            .collect();
        let (choice, attempts) = (arm.pool(), arm.attempts());
        let _ = writeln!(pools, "  {model}: {{ {choice}, targets: [ {targets} ] }}");
        let _ = writeln!(
            models,
            "  {model}: {{ routes: [ {{ pools: [{model}] }} ], retry: {{ attempts: {attempts} }} }}"
        );
    }
    let limits = format!(
        "limits:
  - {{ name: all, per: [org], requests: 1000000000, window: 1mo }}
  - {{ name: slots, per: [org], concurrent: {SLOTS} }}
"
    );
    let limits = arm.only_ours(&limits);
    format!(
        "providers: {{ fake: {{ kind: openai_compatible, base_url: \"{provider}\", internal: true }} }}
deployments:\n{deployments}pools:\n{pools}models:\n{models}{limits}"
    )
}
