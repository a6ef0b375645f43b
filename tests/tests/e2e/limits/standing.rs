//! What nodes are promised of windows to come, for the time that the control plane is away.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;

use super::race::Clock;
use crate::cluster::{Cluster, Key, PATIENCE, Store};
use crate::condition::eventually;
use crate::logs::units_by_window;

const WINDOW: Duration = Duration::from_secs(11);
const LIMIT: u64 = 60;
/// Half of it, by the policy below.
const PROMISED: u64 = 30;
const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-1 } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ], max_output_tokens: 8 } }
limits:      [ { name: whole, requests: 60, window: 11s, on_unreachable: shares, promised_percent: 50 } ]
"#;

/// Callers at every node ask for more than there is until the end of a window.
async fn use_up(cluster: &Cluster, key: &Key, clock: Clock, window: u64) -> anyhow::Result<()> {
    let mut callers = JoinSet::new();
    for node in 0..cluster.nodes.len() {
        for _ in 0..5 {
            let caller = cluster.caller(node, key)?;
            callers.spawn(async move {
                while clock.window() <= window {
                    // What is refused, or cannot be checked, is asked for again.
                    if caller.complete("chat", "nonce=standing").await.is_err() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            });
        }
    }
    while let Some(ended) = callers.join_next().await {
        ended?;
    }
    Ok(())
}

/// Units admitted by window, once all that the provider saw is logged.
async fn used(cluster: &Cluster) -> anyhow::Result<BTreeMap<u64, u64>> {
    let (units, _) = eventually("all is logged", PATIENCE, async || {
        let units = units_by_window(&cluster.requests()?);
        let seen = u64::try_from(cluster.provider.ledger().len())?;
        Ok((units.values().sum::<u64>() >= seen).then_some(units))
    })
    .await?;
    let by_window = units
        .into_iter()
        .map(|((_, window), units)| (window, units));
    Ok(by_window.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_control_plane_nodes_go_on_with_what_they_were_promised() -> anyhow::Result<()>
{
    let mut cluster = Cluster::start(Store::Embedded, 2, POLICY).await?;
    let key = cluster.key("acme/ada").await?;
    let clock = Clock::new(WINDOW);
    let first = clock.window() + 1;
    clock.wait_for(first, Duration::from_millis(500)).await;
    // Both are promised some of the next windows.
    for node in 0..2 {
        let caller = cluster.caller(node, &key)?;
        caller.complete("chat", "nonce=standing").await?;
    }
    use_up(&cluster, &key, clock, first).await?;
    clock.wait_for(first + 1, Duration::from_secs(3)).await;
    cluster.controls[0].crash()?;
    use_up(&cluster, &key, clock, first + 2).await?;
    let alone = used(&cluster).await?;
    let of = |window: u64| alone.get(&window).copied().unwrap_or(0);
    ensure!(of(first) >= LIMIT * 95 / 100, "{alone:?}");
    let promised = PROMISED / 2..=PROMISED;
    ensure!(promised.contains(&of(first + 2)), "{alone:?}");

    // The next owner hands out the rest.
    cluster.start_control(0).await?;
    cluster.wait_connected(2).await?;
    let whole = clock.window() + 1;
    use_up(&cluster, &key, clock, whole).await?;
    let all = used(&cluster).await?;
    ensure!(all[&whole] >= LIMIT * 95 / 100, "{all:?}");
    ensure!(all.values().all(|units| *units <= LIMIT), "{all:?}");
    Ok(())
}
