//! Waiting for something to become true, with a deadline and never longer than needed.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(5);

/// Asks until there is an answer, and returns it with the time that took. Fails, naming `what`, after
/// `within`; an error of `ask` ends the wait at once.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<(T, Duration)> {
    let started = Instant::now();
    loop {
        let answer = tokio::time::timeout(within, ask()).await;
        let answer = answer.with_context(|| format!("asking whether {what}"))??;
        let took = started.elapsed();
        if let Some(answer) = answer {
            return Ok((answer, took));
        }
        if took > within {
            bail!("{what}: not within {within:?}");
        }
        tokio::time::sleep(POLL).await;
    }
}
