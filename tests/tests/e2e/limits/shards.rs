//! Limits that are shared out over several replicas of the control plane, which come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tollgate_tests::process::get;

use crate::caller::{self, Caller};
use crate::cluster::{Cluster, Key, PATIENCE, Shape, Store};
use crate::condition::eventually;

const LIMIT: u64 = 600;
const KEYS: usize = 8;
const SHARDS: u64 = 256;
/// What each of three replicas has at least when all is where it belongs.
const SHARE: u64 = 50;
/// Between two requests of a caller: less than its limit is used up while replicas come and go.
const PAUSE: Duration = Duration::from_millis(100);

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-1 } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ], max_output_tokens: 8 } }
limits:      [ { name: per-key, per: [key], requests: 600, window: 1d } ]
"#;

/// Of how many shards each replica that answers hands out quota.
async fn shares(cluster: &Cluster, replicas: &[usize]) -> anyhow::Result<Vec<u64>> {
    let mut shares = Vec::new();
    for index in replicas {
        let (_, text) = get(&format!("{}/metrics", cluster.controls[*index].ops()?)).await?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("tollgate_control_quota_shards "));
        shares.push(line.map_or(Ok(0), str::parse)?);
    }
    Ok(shares)
}

/// Waits until these replicas have all shards, each its share.
async fn spread_over(cluster: &Cluster, replicas: &[usize]) -> anyhow::Result<()> {
    let what = format!("shards are spread over replicas {replicas:?}");
    eventually(&what, PATIENCE, async || {
        let shares = shares(cluster, replicas).await?;
        let whole = shares.iter().sum::<u64>() == SHARDS;
        let fair = shares.iter().all(|share| *share >= SHARE);
        Ok((whole && fair).then_some(()))
    })
    .await?;
    Ok(())
}

/// What the callers of one key met.
#[derive(Debug, Default, Clone, Copy)]
struct Met {
    admitted: u64,
    /// Nobody could say whether there was anything left.
    unavailable: u64,
}

/// One caller for each key, which asks one node after the other.
struct Callers {
    keys: Vec<Vec<Caller>>,
}

impl Callers {
    fn new(cluster: &Cluster, keys: &[Key]) -> anyhow::Result<Self> {
        let nodes = 0..cluster.nodes.len();
        let callers = |key| {
            nodes
                .clone()
                .map(|node| cluster.caller(node, key))
                .collect()
        };
        let keys: anyhow::Result<_> = keys.iter().map(callers).collect();
        Ok(Self { keys: keys? })
    }

    /// Asks until told to stop. Returns what each key met.
    fn begin(&self, stop: &Arc<AtomicBool>) -> JoinSet<anyhow::Result<(usize, Met)>> {
        let mut tasks = JoinSet::new();
        for (index, callers) in self.keys.iter().enumerate() {
            let (callers, stop) = (callers.clone(), Arc::clone(stop));
            tasks.spawn(async move {
                let mut met = Met::default();
                for caller in callers.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    match caller.complete("chat", "nonce=n hello").await {
                        Ok(_) => met.admitted += 1,
                        Err(status) if caller::reason(&status) == "LIMIT_UNAVAILABLE" => {
                            met.unavailable += 1;
                        }
                        Err(status) => return Err(status).context("a key has units left"),
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Ok((index, met))
            });
        }
        tasks
    }

    /// Uses up all that is left of a key. Returns how much that was.
    async fn use_up(callers: &[Caller]) -> anyhow::Result<u64> {
        let mut admitted = 0;
        for caller in callers.iter().cycle() {
            match caller.complete("chat", "nonce=n hello").await {
                Ok(_) => admitted += 1,
                Err(status) if caller::reason(&status) == "LIMIT_EXCEEDED" => break,
                Err(status) => return Err(status).context("the owners answer"),
            }
        }
        Ok(admitted)
    }
}

async fn ended(
    tasks: JoinSet<anyhow::Result<(usize, Met)>>,
    totals: &mut [u64],
) -> anyhow::Result<u64> {
    let mut unavailable = 0;
    for met in tasks.join_all().await {
        let (index, met) = met?;
        totals[index] += met.admitted;
        unavailable += met.unavailable;
    }
    Ok(unavailable)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_exact_while_replicas_go_crash_freeze_and_come() -> anyhow::Result<()> {
    let shape = Shape {
        store: Store::Etcd,
        controls: 3,
        nodes: 3,
        token: None,
    };
    let mut cluster = Cluster::without_policy(shape).await?;
    cluster.apply(POLICY)?;
    let mut keys = Vec::new();
    for index in 0..KEYS {
        keys.push(cluster.key(&format!("acme/app-{index}")).await?);
    }
    let callers = Callers::new(&cluster, &keys)?;
    let mut totals = vec![0; KEYS];
    spread_over(&cluster, &[0, 1, 2]).await?;

    // One goes in good order and comes again: nobody is refused for that.
    let stop = Arc::default();
    let tasks = callers.begin(&stop);
    cluster.controls[2].stop().await?;
    spread_over(&cluster, &[0, 1]).await?;
    cluster.start_control(2).await?;
    spread_over(&cluster, &[0, 1, 2]).await?;
    stop.store(true, Ordering::Relaxed);
    assert_eq!(
        ended(tasks, &mut totals).await?,
        0,
        "refused in a hand-over"
    );

    // One crashes, and one stands still and does not know that time passes.
    let stop = Arc::default();
    let tasks = callers.begin(&stop);
    cluster.controls[0].crash()?;
    spread_over(&cluster, &[1, 2]).await?;
    cluster.start_control(0).await?;
    spread_over(&cluster, &[0, 1, 2]).await?;
    let frozen = cluster.controls[1].process.as_ref().context("it runs")?;
    frozen.pause()?;
    spread_over(&cluster, &[0, 2]).await?;
    frozen.resume()?;
    spread_over(&cluster, &[0, 1, 2]).await?;
    stop.store(true, Ordering::Relaxed);
    let unavailable = ended(tasks, &mut totals).await?;
    // Whoever lacks units waits for a second, and a dead owner is replaced within some more than four.
    let most = 2 * 6 * u64::try_from(KEYS)?;
    assert!(unavailable <= most, "{unavailable} found no owner");

    for (total, callers) in totals.iter_mut().zip(&callers.keys) {
        *total += Callers::use_up(callers).await?;
    }
    assert_eq!(totals, [LIMIT; KEYS], "to the unit");
    Ok(())
}
