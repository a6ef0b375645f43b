//! Limits hold exactly: over three nodes, at the edges of windows, through crashes, for requests and tokens.

mod ledger;
mod money;
mod operator;
mod overrun;
mod race;
mod restore;
mod rolling;
mod shards;
mod sharing;
mod standing;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tollgate_tests::provider::Entry;

use super::caller::{self, ask};
use super::cluster::{Cluster, Key, PATIENCE, Shape, Store};
use super::logs::{Request, tokens_by_window, units_by_window};
use race::{Clock, Racer};

/// Length of a window: about the shortest there is, so that several fit into a test.
const WINDOW: Duration = Duration::from_secs(11);
/// What a window admits.
const LIMIT: u64 = 100;
/// How long careful callers keep away from a window's edges.
const MARGIN: Duration = Duration::from_millis(1500);

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-1, price: { input: "1", output: "2" } } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ], max_output_tokens: 8 } }
limits:      [ { name: per-key, per: [key], requests: 100, window: 11s } ]
"#;

/// Callers with two keys on all nodes: `bold` ones race through the windows' edges, `careful` ones pause
/// there, so that the provider's own windows can be compared too.
struct Callers {
    bold: Key,
    careful: Key,
    racers: JoinSet<race::Outcome>,
}

impl Callers {
    async fn start(cluster: &Cluster, clock: Clock, until: u64) -> anyhow::Result<Self> {
        let (bold, careful) = (
            cluster.key("acme/bold").await?,
            cluster.key("acme/careful").await?,
        );
        let mut racers = JoinSet::new();
        for node in 0..cluster.nodes.len() {
            for (key, nonce, margin) in [
                (&bold, "bold", Duration::ZERO),
                (&careful, "careful", MARGIN),
            ] {
                for _ in 0..3 {
                    let caller = cluster.caller(node, key)?;
                    let racer = Racer {
                        caller,
                        nonce,
                        margin,
                        clock,
                    };
                    racers.spawn(racer.run(until));
                }
            }
        }
        Ok(Self {
            bold,
            careful,
            racers,
        })
    }

    async fn finish(&mut self) -> race::Outcome {
        let mut total = race::Outcome::default();
        while let Some(outcome) = self.racers.join_next().await {
            match outcome {
                Ok(outcome) => total.add(outcome),
                Err(error) => total.failures.push(error.to_string()),
            }
        }
        total
    }
}

/// Admissions of one key by window.
fn admissions(requests: &[Request], key: &Key) -> BTreeMap<u64, u64> {
    let counter = format!("per-key/key={}", key.id);
    let sums = units_by_window(requests).into_iter();
    sums.filter(|((name, _), _)| *name == counter)
        .map(|((_, window), units)| (window, units))
        .collect()
}

/// What the provider saw, by its own windows.
fn arrivals(ledger: &[Entry], nonce: &str, clock: Clock) -> BTreeMap<u64, u64> {
    let mut sums = BTreeMap::new();
    for entry in ledger.iter().filter(|entry| entry.nonce == nonce) {
        *sums.entry(clock.window_of(entry.arrived_ms)).or_default() += 1;
    }
    sums
}

#[track_caller]
fn never_above(sums: &BTreeMap<u64, u64>, whose: &str) {
    for (window, units) in sums {
        assert!(
            *units <= LIMIT,
            "{whose}: {units} in window {window} of {sums:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_limit_is_admitted_in_every_window_over_three_nodes() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Etcd, 3, POLICY).await?;
    let clock = Clock::new(WINDOW);
    let first = clock.window() + 1;
    let whole = [first, first + 1];
    let mut callers = Callers::start(&cluster, clock, first + 1).await?;
    let outcome = callers.finish().await;
    let failed = outcome.failures.len();
    assert_eq!(
        failed,
        0,
        "only limits refuse: {:?} …",
        outcome.failures.first()
    );
    ensure!(outcome.refused > 0, "callers are faster than the limit");

    let answered = usize::try_from(outcome.answered)?;
    let requests = cluster.wait_requests(answered).await?;
    let ledger = cluster.provider.ledger();
    for (key, nonce) in [(&callers.bold, "bold"), (&callers.careful, "careful")] {
        let admitted = admissions(&requests, key);
        never_above(&admitted, nonce);
        for window in whole {
            assert_eq!(admitted.get(&window), Some(&LIMIT), "{nonce}: {admitted:?}");
        }
        let seen: u64 = arrivals(&ledger, nonce, clock).values().sum();
        assert_eq!(
            seen,
            admitted.values().sum::<u64>(),
            "{nonce}: the provider's count"
        );
    }
    let careful = arrivals(&ledger, "careful", clock);
    for window in whole {
        assert_eq!(
            careful.get(&window),
            Some(&LIMIT),
            "provider's windows: {careful:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_of_control_node_and_etcd_never_admit_one_more() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Store::Etcd, 3, POLICY).await?;
    let clock = Clock::new(WINDOW);
    let first = clock.window() + 1;
    let last = first + 3;
    let mut callers = Callers::start(&cluster, clock, last).await?;

    // Each crash comes when some of the window's units are handed out and some are not.
    clock.wait_for(first, Duration::from_millis(1800)).await;
    cluster.controls[0].crash()?;
    cluster.start_control(0).await?;
    clock.wait_for(first + 1, Duration::from_millis(1800)).await;
    cluster.nodes[1].crash()?;
    cluster.start_node(1).await?;
    clock.wait_for(first + 2, Duration::from_millis(1800)).await;
    if let Some(etcd) = &mut cluster.etcd {
        etcd.crash_and_restart().await?;
    }
    let outcome = callers.finish().await;
    ensure!(outcome.refused > 0, "callers are faster than the limit");

    cluster.wait_connected(3).await?;
    let (requests, ledger) = (cluster.requests()?, cluster.provider.ledger());
    for (key, nonce) in [(&callers.bold, "bold"), (&callers.careful, "careful")] {
        let admitted = admissions(&requests, key);
        never_above(&admitted, nonce);
        let in_last = admitted.get(&last).copied().unwrap_or_default();
        assert_eq!(in_last, LIMIT, "{nonce}: all is well again: {admitted:?}");
        // Requests under way in a killed node reached the provider and no log.
        let seen: u64 = arrivals(&ledger, nonce, clock).values().sum();
        let logged = admitted.values().sum::<u64>();
        assert!(seen >= logged, "{nonce}: {seen} seen, {logged} logged");
    }
    never_above(
        &arrivals(&ledger, "careful", clock),
        "the provider's windows",
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_falls_silent_is_replaced_and_hands_out_nothing_when_it_wakes()
-> anyhow::Result<()> {
    let shape = Shape {
        store: Store::Etcd,
        controls: 2,
        nodes: 2,
        token: None,
    };
    let cluster = Cluster::without_policy(shape).await?;
    cluster.apply(POLICY)?;
    let clock = Clock::new(WINDOW);
    let first = clock.window() + 1;
    let mut callers = Callers::start(&cluster, clock, first + 2).await?;

    // Frozen with units handed out and more to hand out; it does not know that time passes.
    clock.wait_for(first, Duration::from_millis(1800)).await;
    let owner = cluster.controls[0].process.as_ref().context("it runs")?;
    owner.pause()?;
    clock.wait_for(first + 1, Duration::from_millis(5000)).await;
    owner.resume()?;
    let outcome = callers.finish().await;
    ensure!(outcome.refused > 0, "callers are faster than the limit");

    let (requests, ledger) = (cluster.requests()?, cluster.provider.ledger());
    for (key, nonce) in [(&callers.bold, "bold"), (&callers.careful, "careful")] {
        let admitted = admissions(&requests, key);
        never_above(&admitted, nonce);
        // The other replica had taken over while the owner was frozen.
        for window in [first + 1, first + 2] {
            let units = admitted.get(&window);
            assert_eq!(units, Some(&LIMIT), "{nonce}: {admitted:?}");
        }
    }
    never_above(
        &arrivals(&ledger, "careful", clock),
        "the provider's windows",
    );
    Ok(())
}

const TOKENS: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { slow: { provider: mock, model: ok-40x25ms } }
pools:       { main: { targets: [ { deployment: slow } ] } }
models:      { chat: { routes: [ { pools: [main] } ], max_output_tokens: 200 } }
limits:      [ { name: budget, tokens: 10000, window: 11s } ]
"#;

/// Waits until every node has met the key: it has two seconds for that, which a starved machine may not give it, and of a
/// wave of callers all would be refused for it.
async fn meet(cluster: &Cluster, key: &Key) -> anyhow::Result<()> {
    for index in 0..cluster.nodes.len() {
        let caller = cluster.caller(index, key)?;
        super::condition::eventually("the node has met the key", PATIENCE, async || {
            Ok(caller.explain(ask("chat", "hello")).await.ok())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reserved_tokens_never_exceed_the_limit_and_settle_to_the_providers_count()
-> anyhow::Result<()> {
    const LIMIT: u64 = 10_000;
    let cluster = Cluster::start(Store::Etcd, 3, TOKENS).await?;
    let key = cluster.key("acme/tokens").await?;
    meet(&cluster, &key).await?;
    let clock = Clock::new(WINDOW);
    let window = clock.window() + 1;
    clock.wait_for(window, Duration::from_millis(500)).await;

    // No stream of the first wave ends before all of it is admitted or refused.
    let barrier = std::sync::Arc::new(Barrier::new(64));
    let mut wave = JoinSet::new();
    for index in 0..64 {
        let (caller, barrier) = (cluster.caller(index % 3, &key)?, barrier.clone());
        wave.spawn(async move {
            barrier.wait().await;
            let request = ask("chat", "nonce=wave count to forty");
            caller.stream(request).await.map_err(|(status, _)| status)
        });
    }
    let mut refused = 0;
    for outcome in wave.join_all().await {
        if let Err(status) = outcome {
            assert_eq!(caller::reason(&status), "LIMIT_EXCEEDED", "{status}");
            refused += 1;
        }
    }
    let requests = cluster.wait_requests(64).await?;
    let reserved: u64 = units_by_window(&requests).values().sum();
    assert!(reserved <= LIMIT, "{reserved} tokens reserved at once");
    assert!(
        reserved > LIMIT * 8 / 10,
        "{reserved} tokens reserved, {refused} callers refused"
    );
    assert!(refused > 0, "64 reservations are more than the limit");

    // What was reserved and not used comes back: the window's whole limit can be used, and no more.
    let mut rest = JoinSet::new();
    for index in 0..64 {
        let caller = cluster.caller(index % 3, &key)?;
        rest.spawn(race::streams(caller, clock, window + 1));
    }
    rest.join_all().await;
    let stats = cluster.provider.stats();
    let (used, _) = super::condition::eventually("all is settled", PATIENCE, async || {
        let used = tokens_by_window(&cluster.requests()?, "budget");
        let total: u64 = used.values().sum();
        Ok((total == stats.prompt_tokens + stats.completion_tokens).then_some(used))
    })
    .await?;
    for (window, tokens) in &used {
        assert!(*tokens <= LIMIT, "{tokens} tokens in window {window}");
    }
    assert!(used[&window] > LIMIT / 2, "the limit can be used: {used:?}");
    Ok(())
}
