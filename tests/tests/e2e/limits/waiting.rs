//! At the edge of a limit: requests that wait for room, and what becomes of them while nobody can be asked.

use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tollgate_tests::process::get;
use tonic::Code;

use super::race::{Clock, refusal_of};
use crate::caller;
use crate::cluster::{Cluster, Store};
use crate::condition::eventually;

const WINDOW: Duration = Duration::from_secs(3);

fn policy(limits: &str) -> String {
    format!(
        r#"
providers:   {{ mock: {{ kind: openai_compatible, base_url: "PROVIDER", internal: true }} }}
deployments: {{ small: {{ provider: mock, model: ok-1 }} }}
pools:       {{ main: {{ targets: [ {{ deployment: small }} ] }} }}
models:
  chat:  {{ routes: [ {{ pools: [main] }} ], max_output_tokens: 8 }}
  hasty: {{ routes: [ {{ pools: [main] }} ], max_output_tokens: 8, deadline: 1s }}
limits:      [ {limits} ]
"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_wait_is_admitted_in_turn_and_who_cannot_is_refused_at_once() -> anyhow::Result<()>
{
    let limit = "{ name: per-key, per: [key], requests: 3, window: 3s, on_exhausted: wait, longest_wait: 7s }";
    let cluster = Cluster::start(Store::Embedded, 1, &policy(limit)).await?;
    let key = cluster.key("acme/ada").await?;
    let caller = cluster.caller(0, &key)?;
    caller.complete("chat", "nonce=warm").await?;
    let clock = Clock::new(WINDOW);
    clock
        .wait_for(clock.window() + 1, Duration::from_millis(300))
        .await;

    let begin = Instant::now();
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        let caller = cluster.caller(0, &key)?;
        waiting.spawn(async move {
            caller.complete("chat", "nonce=n").await?;
            Ok::<_, tonic::Status>(begin.elapsed())
        });
    }
    // Three are answered, and the rest comes to wait.
    let mut took = Vec::new();
    while took.len() < 3 {
        took.extend(waiting.join_next().await.transpose()?.transpose()?);
    }
    loop {
        let asked = Instant::now();
        let status = caller.complete("hasty", "nonce=n").await.unwrap_err();
        refusal_of(&status, "per-key").map_err(anyhow::Error::msg)?;
        ensure!(asked.elapsed() < WINDOW / 3, "it was not refused at once");
        // Once there are five ahead, it would be admitted in the window after the next.
        let told = caller::retry_delay(&status).unwrap_or_default();
        if told > WINDOW {
            break;
        }
        ensure!(
            begin.elapsed() < WINDOW / 2,
            "told to come back in {told:?}"
        );
    }
    while let Some(one) = waiting.join_next().await {
        took.push(one??);
    }
    took.sort_unstable();
    let windows: Vec<_> = took
        .iter()
        .map(|it| (*it + Duration::from_millis(300)).as_millis() / WINDOW.as_millis())
        .collect();
    ensure!(windows == [0, 0, 0, 1, 1, 1, 2, 2], "{took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_waited_for_until_it_comes_free() -> anyhow::Result<()> {
    let limit =
        "{ name: at-once, per: [key], concurrent: 1, on_exhausted: wait, longest_wait: 20s }";
    let policy = policy(limit).replace("ok-1", "ok-1x100ms");
    let cluster = Cluster::start(Store::Embedded, 1, &policy).await?;
    let key = cluster.key("acme/ada").await?;
    let mut waiting = JoinSet::new();
    for _ in 0..6 {
        let caller = cluster.caller(0, &key)?;
        waiting.spawn(async move { caller.complete("chat", "nonce=n").await });
    }
    while let Some(answer) = waiting.join_next().await {
        answer??;
    }
    ensure!(cluster.provider.ledger().len() == 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_control_plane_open_limits_let_through_and_say_so() -> anyhow::Result<()> {
    let limits = "{ name: open, requests: 4, window: 3s, on_unreachable: open }";
    let mut cluster = Cluster::start(Store::Embedded, 1, &policy(limits)).await?;
    let key = cluster.key("acme/ada").await?;
    let caller = cluster.caller(0, &key)?;
    caller.complete("chat", "nonce=n").await?;
    cluster.controls[0].crash()?;
    // Whatever is held is used up, or its window over.
    for _ in 0..12 {
        let answer = caller.complete("chat", "nonce=n").await;
        let full = |status: &tonic::Status| status.code() == Code::ResourceExhausted;
        ensure!(
            answer.as_ref().is_ok() || answer.as_ref().is_err_and(full),
            "{answer:?}"
        );
        if answer.is_err() {
            // The last word about this window still holds.
            tokio::time::sleep(WINDOW).await;
        }
    }
    let begin = Instant::now();
    for _ in 0..20 {
        caller.complete("chat", "nonce=n").await?;
    }
    // Nobody waits for an answer that does not come.
    ensure!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    let (_, metrics) = get(&format!("{}/metrics", cluster.nodes[0].ops()?)).await?;
    let unbounded = metrics.lines().find_map(|line| {
        line.strip_prefix("tollgate_limit_unbounded_admissions_total{limit=\"open\"} ")
    });
    let unbounded: u64 = unbounded.unwrap_or_default().parse()?;
    ensure!(unbounded >= 20, "{unbounded} counted");
    eventually("the log warns", crate::cluster::PATIENCE, async || {
        let log = cluster.node_log(0)?;
        Ok(log.contains("it does not hold now").then_some(()))
    })
    .await?;
    // When the owner is back, the limit holds again.
    cluster.start_control(0).await?;
    let refused = async {
        loop {
            if let Err(status) = caller.complete("chat", "nonce=n").await {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(crate::cluster::PATIENCE, refused).await?;
    refusal_of(&status, "open").map_err(anyhow::Error::msg)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_keeps_the_providers_own_windows_clean() -> anyhow::Result<()> {
    let limit = "{ name: per-key, per: [key], requests: 40, window: 5s, guard: 1s }";
    let cluster = Cluster::start(Store::Embedded, 2, &policy(limit)).await?;
    let key = cluster.key("acme/ada").await?;
    let clock = Clock::new(Duration::from_secs(5));
    let first = clock.window() + 1;
    let mut racers = JoinSet::new();
    for node in 0..2 {
        for _ in 0..3 {
            let caller = cluster.caller(node, &key)?;
            racers.spawn(async move {
                // They race through every edge.
                while clock.window() < first + 3 {
                    if let Err(status) = caller.complete("chat", "nonce=n").await {
                        refusal_of(&status, "per-key").map_err(anyhow::Error::msg)?;
                        tokio::time::sleep(Duration::from_millis(15)).await;
                    }
                }
                anyhow::Ok(())
            });
        }
    }
    while let Some(racer) = racers.join_next().await {
        racer??;
    }
    let ledger = cluster.provider.ledger();
    for window in first..first + 3 {
        let of_it =
            |entry: &&tollgate_tests::provider::Entry| clock.window_of(entry.arrived_ms) == window;
        let here: Vec<_> = ledger.iter().filter(of_it).collect();
        ensure!(here.len() == 40, "{} in window {window}", here.len());
        let early = here.iter().filter(|entry| entry.arrived_ms % 5_000 < 950);
        ensure!(
            early.count() == 0,
            "something was admitted at the edge of {window}"
        );
    }
    Ok(())
}
