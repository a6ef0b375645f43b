//! Ten times as much is wanted as a provider lets through.

use std::time::Duration;

use super::Stage;
use super::summary::Ceiling;
use crate::load::{Load, Pace, run_async};

/// The model, and what its one deployment is called at the provider.
pub(super) const MODEL: &str = "tight";
pub(super) const DEPLOYMENT: &str = "tight-1@ok";

/// What the provider lets through in a minute.
pub(super) const CEILING: u32 = 300;
/// Requests a second: ten times as many.
const RATE: f64 = 50.0;
/// Into the second minute, far enough to use all of it.
const LASTS: Duration = Duration::from_secs(73);
const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn ceiling(stage: &Stage) -> anyhow::Result<Ceiling> {
    let most = usize::try_from(CEILING)?;
    stage.provider.limit(DEPLOYMENT, most, MINUTE);
    let load = Load {
        pace: Pace::Open { rate: RATE },
        warmup: Duration::ZERO,
        duration: LASTS,
        ..stage.load(MODEL)
    };
    let report = run_async(&load).await?;
    let ledger = stage.provider.ledger();
    let met = ledger.iter().filter(|entry| entry.model == DEPLOYMENT);
    let limited = met.filter(|entry| entry.status == 429).count();
    Ok(Ceiling {
        asked: report.due,
        answered: report.ok,
        // Of two minutes.
        allowed: 2 * u64::from(CEILING),
        limited: limited as u64,
        refused_p99_ms: report.refused_us.p99 / 1000.0,
    })
}
