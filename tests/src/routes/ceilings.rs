//! Ten times as much is wanted as a provider lets through.

use std::time::Duration;

use super::Stage;
use super::summary::Ceiling;
use crate::arm::Arm;
use crate::load::{Load, Pace, run_async};
use crate::provider;

/// What the provider counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Counted {
    Requests,
    Tokens,
}

/// Requests that the provider lets through in a minute, or the tokens of as many: those of a prompt of 256 bytes and of
/// an answer of eight words.
const REQUESTS: u64 = 300;
const TOKENS_EACH: u64 = 75;
/// Requests a second: ten times as many.
const RATE: f64 = 50.0;
/// Into the second minute, far enough to use all of it.
const LASTS: Duration = Duration::from_secs(73);
const MINUTE: Duration = Duration::from_secs(60);

impl Counted {
    pub(super) const ALL: [Self; 2] = [Self::Requests, Self::Tokens];

    /// The name of the model that is limited so.
    pub(super) fn model(self) -> &'static str {
        match self {
            Self::Requests => "few-requests",
            Self::Tokens => "few-tokens",
        }
    }

    /// The ceilings that policy knows of.
    pub(super) fn limits(self) -> String {
        let most = self.most();
        match self {
            Self::Requests => format!(", limits: {{ requests_per_minute: {most} }}"),
            Self::Tokens => format!(", limits: {{ tokens_per_minute: {most} }}"),
        }
    }

    /// What a minute lets through.
    fn most(self) -> u64 {
        match self {
            Self::Requests => REQUESTS,
            Self::Tokens => REQUESTS * TOKENS_EACH,
        }
    }

    /// The provider's own ceiling, which it does not tell of before it refuses.
    fn ceiling(self) -> provider::Ceiling {
        let of = match self {
            Self::Requests => provider::Ceiling::requests,
            Self::Tokens => provider::Ceiling::tokens,
        };
        of(self.most(), MINUTE).untold()
    }
}

/// All of them at the same time.
pub(super) async fn ceilings(stage: &Stage) -> anyhow::Result<Vec<Ceiling>> {
    let [requests, tokens] = Counted::ALL;
    let (requests, tokens) = tokio::try_join!(compared(stage, requests), compared(stage, tokens))?;
    Ok([requests, tokens].into_iter().flatten().collect())
}

async fn compared(stage: &Stage, counted: Counted) -> anyhow::Result<[Ceiling; 3]> {
    let (ours, plain, direct) = tokio::try_join!(
        ceiling(stage, counted, Arm::Ours),
        ceiling(stage, counted, Arm::Plain),
        ceiling(stage, counted, Arm::Direct)
    )?;
    Ok([ours, plain, direct])
}

async fn ceiling(stage: &Stage, counted: Counted, arm: Arm) -> anyhow::Result<Ceiling> {
    let deployment = format!("{}-1@ok", arm.of(counted.model()));
    stage.provider.limit(&deployment, counted.ceiling());
    let load = Load {
        pace: Pace::Open { rate: RATE },
        warmup: Duration::ZERO,
        duration: LASTS,
        ..stage.load_of(arm, counted.model())
    };
    let report = run_async(&load).await?;
    let mut ledger = stage.provider.ledger();
    ledger.retain(|entry| entry.model == deployment);
    let limited = ledger.iter().filter(|entry| entry.status == 429).count() as u64;
    let tokens = ledger
        .iter()
        .map(|entry| entry.prompt_tokens + entry.completion_tokens);
    Ok(Ceiling {
        arm,
        counted,
        asked: report.due,
        answered: report.ok,
        used: match counted {
            Counted::Requests => ledger.len() as u64 - limited,
            Counted::Tokens => tokens.sum(),
        },
        // Of two minutes.
        allowed: 2 * counted.most(),
        limited,
        refused_p99_ms: report.refused_us.p99 / 1000.0,
    })
}
