//! Deployments are not sent more than their providers let through: what has no room is passed over.

use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tollgate_tests::process::get;
use tollgate_tests::provider::Ceiling;
use tonic::Code;

use super::caller::{self, ask};
use super::cluster::{Cluster, Key, PATIENCE, Store};
use super::condition::eventually;

/// What the provider lets through in a minute, and what it is for.
const CEILING: usize = 300;
const MINUTE: Duration = Duration::from_secs(60);
/// How long the race runs: into the second minute, far enough to use all of it.
const RACE: Duration = Duration::from_secs(73);
/// Callers at each node, and how long one that was refused waits.
const CALLERS: usize = 3;
const IMPATIENCE: Duration = Duration::from_millis(150);

fn policy(limits: &str, pools: &str) -> String {
    format!(
        r#"
providers:   {{ mock: {{ kind: openai_compatible, base_url: "PROVIDER", internal: true }} }}
deployments:
  small: {{ provider: mock, model: small@ok-2{limits} }}
  spare: {{ provider: mock, model: spare@ok-2 }}
pools:
  main: {{ targets: [ {{ deployment: small }} ] }}
  rest: {{ targets: [ {{ deployment: spare }} ] }}
models:
  chat: {{ routes: [ {{ pools: [{pools}] }} ], max_output_tokens: 1000 }}
"#
    )
}

/// How many answers came, and how many refusals that are as they should be.
async fn race(cluster: &Cluster, key: &Key) -> anyhow::Result<(usize, usize)> {
    // A node that has not met the key asks the control plane, which may be slow while processes start.
    for node in 0..cluster.nodes.len() {
        let caller = cluster.caller(node, key)?;
        eventually("the node knows the key", PATIENCE, async || {
            Ok(caller.complete("chat", "nonce=n").await.ok())
        })
        .await?;
    }
    let until = tokio::time::Instant::now() + RACE;
    let mut racers = JoinSet::new();
    for node in 0..cluster.nodes.len() {
        for _ in 0..CALLERS {
            let caller = cluster.caller(node, key)?;
            racers.spawn(async move {
                let (mut answered, mut refused) = (0, 0);
                while tokio::time::Instant::now() < until {
                    let Err(status) = caller.complete("chat", "nonce=n").await else {
                        answered += 1;
                        continue;
                    };
                    refusal(&status)?;
                    refused += 1;
                    tokio::time::sleep(IMPATIENCE).await;
                }
                anyhow::Ok((answered, refused))
            });
        }
    }
    let mut total = (cluster.nodes.len(), 0);
    while let Some(racer) = racers.join_next().await {
        let (answered, refused) = racer??;
        total = (total.0 + answered, total.1 + refused);
    }
    Ok(total)
}

/// A refusal for want of room says so, and when there will be some.
fn refusal(status: &tonic::Status) -> anyhow::Result<()> {
    let wait = caller::retry_delay(status);
    let whole = status.code() == Code::ResourceExhausted
        && status.message().contains("small ")
        && wait.is_some_and(|wait| wait > Duration::ZERO && wait <= Duration::from_secs(62));
    ensure!(whole, "{status:?}, wait {wait:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_keep_within_a_providers_minute_and_use_it() -> anyhow::Result<()> {
    let limits = format!(", limits: {{ requests_per_minute: {CEILING} }}");
    let cluster = Cluster::start(Store::Embedded, 3, &policy(&limits, "main")).await?;
    let ceiling = Ceiling::requests(CEILING as u64, MINUTE);
    cluster.provider.limit("small@ok-2", ceiling);
    let key = cluster.key("acme/ada").await?;
    let (answered, refused) = race(&cluster, &key).await?;

    let ledger = cluster.provider.ledger();
    let limited = ledger.iter().filter(|entry| entry.status == 429).count();
    ensure!(limited == 0, "the provider refused {limited} requests");
    ensure!(ledger.len() == answered, "{} of {answered}", ledger.len());
    // Of two minutes, in which ten times as much is wanted.
    let most = 2 * CEILING;
    ensure!(
        answered <= most && answered * 100 >= most * 97,
        "{answered} answers where {most} are let through"
    );
    ensure!(
        refused > 10 * CEILING,
        "{refused} refusals: too few to tell"
    );
    eprintln!("{answered} of {most} answered, {refused} refused, {limited} by the provider");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_without_room_is_passed_over_for_the_next_pool() -> anyhow::Result<()> {
    let limits = ", limits: { requests_per_minute: 2, tokens_per_minute: 100000, concurrent: 1 }";
    let cluster = Cluster::start(Store::Embedded, 1, &policy(limits, "main, rest")).await?;
    let key = cluster.key("acme/ada").await?;
    let caller = cluster.caller(0, &key)?;
    let mut by = Vec::new();
    for _ in 0..4 {
        let answer = caller.complete("chat", "nonce=n").await?;
        let route = answer.route.unwrap_or_default();
        // To be passed over is no attempt.
        ensure!(route.attempts.len() == 1, "{route:?}");
        by.push(route.deployment);
    }
    ensure!(by == ["small", "small", "spare", "spare"], "{by:?}");
    let (_, metrics) = get(&format!("{}/metrics", cluster.nodes[0].ops()?)).await?;
    let passed = metrics
        .lines()
        .find(|line| line.starts_with("tollgate_deployments_passed_over_total"));
    let passed = passed.unwrap_or_default();
    ensure!(
        passed.contains("deployment.small.requests_per_minute") && passed.ends_with(" 2"),
        "{passed}"
    );
    // Operators see ceilings among the limits.
    let limits = cluster.tollgate_ok(&["limits"])?;
    ensure!(limits.contains("deployment.small.concurrent"), "{limits}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_holds_its_slot_to_its_end() -> anyhow::Result<()> {
    let policy = policy(", limits: { concurrent: 1 }", "main");
    let policy = policy.replace("small@ok-2", "ok-500x20ms");
    let cluster = Cluster::start(Store::Embedded, 1, &policy).await?;
    let key = cluster.key("acme/ada").await?;
    let caller = cluster.caller(0, &key)?;
    let mut stream = caller.open(ask("chat", "nonce=n")).await?;
    ensure!(stream.message().await?.is_some(), "the stream runs");
    let status = caller.complete("chat", "nonce=n").await.unwrap_err();
    ensure!(status.code() == Code::ResourceExhausted, "{status:?}");
    ensure!(
        status.message().contains("deployment.small.concurrent"),
        "{status:?}"
    );
    ensure!(
        cluster.provider.ledger().len() == 1,
        "nothing more was sent"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_says_of_its_limits_is_heeded_without_a_ceiling() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy("", "main, rest")).await?;
    let ceiling = Ceiling::requests(3, MINUTE);
    cluster.provider.limit("small@ok-2", ceiling);
    let key = cluster.key("acme/ada").await?;
    let caller = cluster.caller(0, &key)?;
    let mut by = Vec::new();
    for _ in 0..6 {
        let answer = caller.complete("chat", "nonce=n").await?;
        by.push(answer.route.unwrap_or_default().deployment);
    }
    let (small, spare) = ("small", "spare");
    ensure!(by == [small, small, small, spare, spare, spare], "{by:?}");
    let ledger = cluster.provider.ledger();
    ensure!(ledger.iter().all(|entry| entry.status == 200), "{ledger:?}");
    Ok(())
}
