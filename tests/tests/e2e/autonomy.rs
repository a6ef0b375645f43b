//! Nodes go on without the control plane.

mod restart;

use std::time::{Duration, Instant};

use super::caller;
use super::cluster::{Cluster, PATIENCE, Store};
use super::condition::eventually;

const LIMITED: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-4 } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ] } }
limits:      [ { name: hourly, per: [key], requests: 100000, window: 1h } ]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_on_within_leases_while_the_control_plane_is_away() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Store::Embedded, 1, LIMITED).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    // Enough of them that the node holds a block, not one unit.
    for _ in 0..50 {
        caller.complete("chat", "hello").await?;
    }
    cluster.controls[0].stop().await?;
    for _ in 0..10 {
        caller.complete("chat", "hello").await?;
    }
    // And the node finds the control plane again.
    cluster.start_control(0).await?;
    cluster.wait_connected(1).await?;
    caller.complete("chat", "hello").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_from_its_snapshot_within_a_second() -> anyhow::Result<()> {
    let unlimited = LIMITED.replace(
        "[ { name: hourly, per: [key], requests: 100000, window: 1h } ]",
        "[]",
    );
    let mut cluster = Cluster::start(Store::Embedded, 1, &unlimited).await?;
    let key = cluster.key("acme/a").await?;
    cluster.caller(0, &key)?.complete("chat", "hello").await?;
    cluster.controls[0].crash()?;
    cluster.nodes[0].stop().await?;

    let started = Instant::now();
    cluster.start_node(0).await?;
    let caller = cluster.caller(0, &key)?;
    eventually("the node serves from its snapshot", PATIENCE, async || {
        Ok(caller.complete("chat", "hello").await.ok())
    })
    .await?;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");

    // A key that the snapshot does not hold cannot be checked now, which is not the same as a wrong one.
    let stranger = caller::Caller::new(&cluster.nodes[0].url, "tg_stranger")?;
    let refusal = stranger.complete("chat", "hello").await;
    assert!(refusal.is_err(), "{refusal:?}");
    Ok(())
}
