//! Nodes are shut down and started anew: what they hold of limits is neither lost nor doubled.

use std::time::{Duration, Instant};

use tollgate_tests::provider::Entry;

use crate::caller::{self, Caller};
use crate::cluster::{Cluster, Key, PATIENCE, Store};
use crate::condition::eventually;
use crate::logs::units_by_window;

/// What the hour admits, and the money that there is: more than anybody spends here.
const LIMIT: u64 = 200;

const EVERY_KEEPING: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-1, price: { input: "1", output: "2" } } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ], max_output_tokens: 8 } }
limits:
  - { name: hourly,  per: [key], requests: 200, window: 1h }
  - { name: month,   per: [key], cost_usd: "5", window: 1mo }
  - { name: at-once, per: [key], concurrent: 8 }
"#;

/// Asks so many times at most, until a limit refuses or nobody can be asked. Returns how often there was an answer.
async fn use_up(caller: &Caller, times: u64) -> anyhow::Result<u64> {
    for answered in 0..times {
        if let Err(status) = caller.complete("chat", "nonce=restart hello").await {
            let reason = caller::reason(&status);
            let limited = ["LIMIT_EXCEEDED", "LIMIT_UNAVAILABLE"].contains(&reason.as_str());
            assert!(limited, "{status}");
            return Ok(answered);
        }
    }
    Ok(times)
}

/// Starts a node and asks it. Returns how long the first answer took, from before its start.
async fn first_answer(cluster: &mut Cluster, key: &Key) -> anyhow::Result<Duration> {
    let started = Instant::now();
    cluster.start_node(0).await?;
    let caller = cluster.caller(0, key)?;
    caller.complete("chat", "nonce=restart hello").await?;
    Ok(started.elapsed())
}

fn served(ledger: &[Entry]) -> u64 {
    ledger.iter().filter(|it| it.nonce == "restart").count() as u64
}

/// The provider saw what was answered, and under no label was more admitted than the limit.
async fn nothing_was_doubled(cluster: &Cluster, answered: u64) -> anyhow::Result<()> {
    assert_eq!(served(&cluster.provider.ledger()), answered);
    let requests = cluster.wait_requests(usize::try_from(answered)?).await?;
    for ((counter, window), units) in units_by_window(&requests) {
        let hourly = counter.starts_with("hourly/");
        assert!(
            !hourly || units <= LIMIT,
            "{units} of {counter} in {window}"
        );
    }
    Ok(())
}

async fn a_node_goes_on_where_it_was(kill: bool) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Store::Embedded, 2, EVERY_KEEPING).await?;
    let key = cluster.key("acme/a").await?;
    let (one, other) = (cluster.caller(0, &key)?, cluster.caller(1, &key)?);
    let mut answered = use_up(&one, 40).await? + use_up(&other, 20).await?;
    assert_eq!(answered, 60);
    if kill {
        cluster.controls[0].crash()?;
    } else {
        cluster.controls[0].stop().await?;
    }
    let stopping = Instant::now();
    cluster.nodes[0].stop().await?;
    let took = stopping.elapsed();
    assert!(took < Duration::from_secs(1), "stopped after {took:?}");

    let took = first_answer(&mut cluster, &key).await?;
    assert!(took < Duration::from_secs(1), "answered after {took:?}");
    let one = cluster.caller(0, &key)?;
    answered += 1 + use_up(&one, LIMIT).await? + use_up(&other, LIMIT).await?;
    nothing_was_doubled(&cluster, answered).await?;
    assert!(answered <= LIMIT, "{answered}");

    cluster.start_control(0).await?;
    cluster.wait_connected(2).await?;
    answered += use_up(&one, LIMIT).await? + use_up(&other, LIMIT).await?;
    nothing_was_doubled(&cluster, answered).await?;
    settled(&cluster).await?;

    // One that is killed leaves nothing to go on with.
    cluster.controls[0].crash()?;
    cluster.nodes[0].crash()?;
    cluster.start_node(0).await?;
    assert_eq!(use_up(&cluster.caller(0, &key)?, 1).await?, 0);
    Ok(())
}

/// Waits until the control plane knows to the billionth what the provider served, and nothing is in doubt.
async fn settled(cluster: &Cluster) -> anyhow::Result<()> {
    let stats = cluster.provider.stats();
    let cost = stats.prompt_tokens * 1_000 + stats.completion_tokens * 2_000;
    eventually("the budget is settled", PATIENCE, async || {
        let text = cluster.tollgate_ok(&["limits", "--output", "json"])?;
        let all: serde_json::Value = serde_json::from_str(&text)?;
        let states = all["limits"].as_array().into_iter().flatten();
        let mut month = states.filter(|state| {
            let counter = state["counter"].as_str().unwrap_or_default();
            counter.starts_with("month/")
        });
        let state = month.next().cloned().unwrap_or_default();
        let settled = state["spent"].as_u64() == Some(cost) && state["suspense"] == 0;
        Ok(settled.then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restarted_while_control_is_down_goes_on_with_its_leases() -> anyhow::Result<()> {
    a_node_goes_on_where_it_was(false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restarted_while_control_is_dead_goes_on_with_its_leases() -> anyhow::Result<()> {
    a_node_goes_on_where_it_was(true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_restarted_in_turn_lose_nothing_of_a_limit() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Store::Embedded, 2, EVERY_KEEPING).await?;
    let key = cluster.key("acme/a").await?;
    let mut answered = 0;
    for round in 0..4 {
        let node = round % 2;
        let caller = cluster.caller(node, &key)?;
        answered += use_up(&caller, 30).await?;
        assert_eq!(answered, 30 * (round as u64 + 1), "nobody is refused");
        cluster.nodes[node].stop().await?;
        cluster.start_node(node).await?;
    }
    for node in [0, 1, 0] {
        let caller = cluster.caller(node, &key)?;
        answered += use_up(&caller, LIMIT).await?;
    }
    nothing_was_doubled(&cluster, answered).await?;
    let requests = cluster.wait_requests(usize::try_from(answered)?).await?;
    let hours = units_by_window(&requests);
    let hours = hours
        .iter()
        .filter(|((it, _), _)| it.starts_with("hourly/"));
    // Where an hour ended meanwhile, there is more.
    assert!(hours.count() > 1 || answered == LIMIT, "{answered}");
    settled(&cluster).await
}
