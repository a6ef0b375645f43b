//! Everything behind a model fails at once, and then works again.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::Stage;
use super::summary::Outage;
use crate::load::{Load, Pace, run_async};
use crate::provider::Behaviour;

/// Models, and what befalls all of their deployments.
pub(super) const KINDS: [(&str, &str); 3] = [
    ("down", "status-500"),
    ("limited", "status-429"),
    ("hung", "hang"),
];

/// How long it lasts.
const LASTS: Duration = Duration::from_secs(30);
/// Requests per second meanwhile, to each.
const RATE: f64 = 50.0;
/// After so long without an answer nobody waits for recovery any more.
const GIVE_UP: Duration = Duration::from_secs(60);

/// All outages at the same time.
pub(super) async fn outages(stage: &Stage) -> anyhow::Result<Vec<Outage>> {
    let [first, second, third] = KINDS;
    let (first, second, third) = tokio::try_join!(
        outage(stage, first),
        outage(stage, second),
        outage(stage, third)
    )?;
    Ok(vec![first, second, third])
}

async fn outage(stage: &Stage, (model, fault): (&str, &str)) -> anyhow::Result<Outage> {
    let names: Vec<_> = (1..=3)
        .map(|number| format!("{model}-{number}@ok"))
        .collect();
    let behave = |behaviour: Option<&Behaviour>| {
        for name in &names {
            stage.provider.behave_for(name, behaviour.cloned());
        }
    };
    // All is well at first, so that the node knows the deployments.
    run_async(&load(stage, model, Duration::from_secs(3)))
        .await?
        .all_ok()?;
    let before = asked(stage, &names);
    behave(Some(&fault.parse()?));
    let during = run_async(&load(stage, model, LASTS)).await?;
    let attempts = asked(stage, &names) - before;
    behave(None);
    let healed = Instant::now();
    let recovery = loop {
        let one = Load {
            pace: Pace::Closed,
            callers: 1,
            timeout: Duration::from_secs(5),
            ..load(stage, model, Duration::from_millis(50))
        };
        if run_async(&one).await?.ok > 0 {
            break healed.elapsed();
        }
        ensure!(healed.elapsed() < GIVE_UP, "`{model}` does not recover");
    };
    let after = run_async(&load(stage, model, Duration::from_secs(10))).await?;
    Ok(Outage {
        name: model.to_owned(),
        asked: during.sent,
        attempts,
        // What is saved up, and one a second.
        allowed: 1.1 + (100.0 + LASTS.as_secs_f64()) / during.sent.max(1) as f64,
        recovery_s: recovery.as_secs_f64(),
        success_after: after.ok as f64 / after.due.max(1) as f64,
    })
}

fn load(stage: &Stage, model: &str, duration: Duration) -> Load {
    Load {
        pace: Pace::Open { rate: RATE },
        warmup: Duration::ZERO,
        duration,
        ..stage.load(model)
    }
}

/// How often the provider was asked for any of these.
fn asked(stage: &Stage, names: &[String]) -> u64 {
    let ledger = stage.provider.ledger();
    let of = ledger.iter().filter(|entry| names.contains(&entry.model));
    of.count() as u64
}
