//! Budgets and slots: what is kept by rows survives the end of everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::task::JoinSet;
use tollgate_tests::provider::{Entry, Outcome};

use crate::caller::{self, Caller, ask};
use crate::cluster::{Cluster, Key, PATIENCE, Store};
use crate::condition::eventually;

/// Billionths of a US dollar: 1 and 2 dollars per million tokens.
const INPUT: u64 = 1_000;
const OUTPUT: u64 = 2_000;
pub(super) const BUDGET: u64 = 20_000_000;

/// How many spend at once, and what may be left when they stop: each is refused at the latest when the rest is what
/// the others hold, and a request holds less than 60,000 until it is settled for what it used.
const RACERS: usize = 12;
pub(super) const HARDLY_ANY: u64 = RACERS as u64 * 60_000;

pub(super) const MONEY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments:
  quick: { provider: mock, model: ok-4, price: { input: "1", output: "2" } }
  stuck: { provider: mock, model: hang, price: { input: "1", output: "2" } }
pools:       { quick: { targets: [ { deployment: quick } ] }, stuck: { targets: [ { deployment: stuck } ] } }
models:
  chat: { routes: [ { pools: [quick] } ], max_output_tokens: 20 }
  hung: { routes: [ { pools: [stuck] } ], max_output_tokens: 20 }
limits:      [ { name: month, per: [team], cost_usd: "0.02", window: 1mo, timezone: Europe/Berlin } ]
"#;

/// What the control plane says of the only counter of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Books {
    limit: u64,
    pub(super) spent: u64,
    pub(super) outstanding: u64,
    pub(super) suspense: u64,
    pub(super) free: u64,
    debt: u64,
}

impl Books {
    fn balance(self) {
        let held = self.spent + self.outstanding + self.suspense + self.free;
        assert_eq!(held, self.limit + self.debt, "{self:?}");
    }
}

fn states(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    let text = cluster.tollgate_ok(&["limits", "--output", "json"])?;
    let all: Value = serde_json::from_str(&text)?;
    Ok(all["limits"].as_array().cloned().unwrap_or_default())
}

/// Numbers of 64 bits are texts in the contract's JSON, and what is zero is left out.
fn number(of: &Value, field: &str) -> u64 {
    let value = &of[field];
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string())
        .parse()
        .unwrap_or(0)
}

fn books(cluster: &Cluster) -> anyhow::Result<Option<Books>> {
    let states = states(cluster)?;
    let Some(state) = states.first() else {
        return Ok(None);
    };
    let of = |field| number(state, field);
    Ok(Some(Books {
        limit: of("limit"),
        spent: of("spent"),
        outstanding: of("outstanding"),
        suspense: of("suspense"),
        free: of("free"),
        debt: of("debt"),
    }))
}

/// What the provider served, in money.
fn served(cluster: &Cluster) -> u64 {
    let stats = cluster.provider.stats();
    stats.prompt_tokens * INPUT + stats.completion_tokens * OUTPUT
}

/// Asks until the budget refuses, or so many times.
async fn spend(caller: Caller, times: usize) -> anyhow::Result<usize> {
    let mut answered = 0;
    for _ in 0..times {
        match caller.complete("chat", "nonce=spend hello").await {
            Ok(_) => answered += 1,
            // A disk that takes long, while everything starts: nothing is admitted that is not noted.
            Err(status) if caller::reason(&status) == "LIMIT_UNAVAILABLE" => {}
            Err(status) => {
                assert_eq!(caller::reason(&status), "LIMIT_EXCEEDED", "{status}");
                break;
            }
        }
    }
    Ok(answered)
}

pub(super) async fn race(cluster: &Cluster, key: &Key, times: usize) -> anyhow::Result<usize> {
    let mut racers = JoinSet::new();
    for index in 0..RACERS {
        let caller = cluster.caller(index % cluster.nodes.len(), key)?;
        racers.spawn(spend(caller, times));
    }
    let mut answered = 0;
    while let Some(outcome) = racers.join_next().await {
        answered += outcome??;
    }
    Ok(answered)
}

async fn kill_and_restart_everything(cluster: &mut Cluster) -> anyhow::Result<()> {
    for node in &mut cluster.nodes {
        node.crash()?;
    }
    for control in &mut cluster.controls {
        control.crash()?;
    }
    let etcd = cluster.etcd.as_mut().context("an etcd")?;
    etcd.crash_and_restart().await?;
    cluster.start_control(0).await?;
    for index in 0..cluster.nodes.len() {
        cluster.start_node(index).await?;
    }
    cluster.wait_connected(cluster.nodes.len()).await
}

/// Waits until the books say to the billionth what the provider served. They balance meanwhile.
pub(super) async fn settled(cluster: &Cluster) -> anyhow::Result<Books> {
    let settled = eventually("all is settled", PATIENCE, async || {
        let books = books(cluster)?.context("a counter")?;
        books.balance();
        Ok((books.spent == served(cluster)).then_some(books))
    });
    let settled = settled.await;
    let settled = settled.with_context(|| format!("{:?}, {}", books(cluster), served(cluster)));
    Ok(settled?.0)
}

/// Begins requests that nobody will ever know the end of.
async fn hang(cluster: &Cluster, key: &Key, count: usize) -> anyhow::Result<JoinSet<()>> {
    let mut hung = JoinSet::new();
    for index in 0..count {
        let caller = cluster.caller(index % cluster.nodes.len(), key)?;
        hung.spawn(async move { drop(caller.complete("hung", "nonce=hung hello").await) });
    }
    eventually("they are at the provider", PATIENCE, async || {
        let ledger = cluster.provider.ledger();
        let there = ledger.iter().filter(|entry| entry.nonce == "hung").count();
        Ok((there == count).then_some(()))
    })
    .await?;
    Ok(hung)
}

/// Waits until so many shares are closed.
async fn closed(cluster: &Cluster, count: usize) -> anyhow::Result<()> {
    eventually("the dead are closed", PATIENCE, async || {
        let states = states(cluster)?;
        let shares = states[0]["nodes"].as_array().context("shares")?.iter();
        let closed = shares.filter(|share| share["closed"] == true).count();
        Ok((closed == count).then_some(()))
    })
    .await?;
    Ok(())
}

/// As an operator who knows that the provider charged nothing for what is in doubt.
fn close_suspense(cluster: &Cluster) -> anyhow::Result<()> {
    let states = states(cluster)?;
    let counter = states[0]["counter"].as_str().context("a name")?;
    for share in states[0]["nodes"].as_array().context("shares")? {
        if number(share, "suspense") > 0 {
            let process = number(share, "incarnation").to_string();
            let spent = number(share, "spent").to_string();
            let verb = ["limits", "close", counter, "--process", &process];
            cluster.tollgate_ok(&[&verb[..], &["--spent", &spent]].concat())?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_months_budget_survives_the_end_of_everything_to_the_billionth() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Store::Etcd, 3, MONEY).await?;
    let key = cluster.key("acme/search/ada").await?;
    race(&cluster, &key, 20).await?;
    let before = settled(&cluster).await?;

    let mut hung = hang(&cluster, &key, 6).await?;
    kill_and_restart_everything(&mut cluster).await?;
    hung.abort_all();

    // The heirs say what the dead cannot have used; what was under way stays in doubt and charged.
    race(&cluster, &key, 1).await?;
    closed(&cluster, 3).await?;
    let after = settled(&cluster).await?;
    assert!(after.spent >= before.spent, "{before:?} {after:?}");
    assert!(after.suspense > 0, "six requests are in doubt: {after:?}");

    // The rest can be spent, and not one billionth more, all that is in doubt included.
    race(&cluster, &key, 10_000).await?;
    let used = settled(&cluster).await?;
    assert!(used.spent + used.suspense <= BUDGET, "{used:?}");
    assert!(used.free + used.outstanding < HARDLY_ANY, "{used:?}");

    close_suspense(&cluster)?;
    let freed = settled(&cluster).await?;
    assert_eq!(freed.suspense, 0, "{freed:?}");
    race(&cluster, &key, 10_000).await?;
    let last = settled(&cluster).await?;
    assert!(last.spent > used.spent, "what was freed was used: {last:?}");
    assert!(last.spent <= BUDGET, "{last:?}");
    Ok(())
}

const SLOTS: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments:
  quick: { provider: mock, model: ok-4x25ms }
  stuck: { provider: mock, model: hang }
pools:       { quick: { targets: [ { deployment: quick } ] }, stuck: { targets: [ { deployment: stuck } ] } }
models:
  chat: { routes: [ { pools: [quick] } ] }
  hung: { routes: [ { pools: [stuck] } ] }
limits:      [ { name: two, per: [key], concurrent: 2 } ]
"#;

/// A caller has an answer's end this long before the provider has noted it, milliseconds.
const NOTED_LATE: u64 = 10;

/// Most requests that the provider had open at once.
fn most_at_once(ledger: &[Entry]) -> usize {
    let at = |time: u64| {
        let open = |entry: &&Entry| {
            let ended = entry.ended_ms.is_some_and(|end| end <= time + NOTED_LATE);
            entry.arrived_ms <= time && !ended
        };
        ledger.iter().filter(open).count()
    };
    ledger
        .iter()
        .map(|entry| at(entry.arrived_ms))
        .max()
        .unwrap_or(0)
}

/// How long a refused caller waits before it tries again.
const IMPATIENCE: Duration = Duration::from_millis(5);
/// Requests that are answered before the race is over.
const ANSWERS: usize = 20;

/// Asks again and again until so many were answered to all the racers together.
async fn stream_until_enough(caller: Caller, answered: Arc<AtomicUsize>) -> anyhow::Result<()> {
    while answered.load(Ordering::Relaxed) < ANSWERS {
        match caller.stream(ask("chat", "nonce=two hello")).await {
            Ok(_) => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err((status, _)) => {
                assert_eq!(caller::reason(&status), "LIMIT_EXCEEDED", "{status}");
                tokio::time::sleep(IMPATIENCE).await;
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_requests_at_once_over_three_nodes_and_a_dead_nodes_slots_come_back()
-> anyhow::Result<()> {
    let mut cluster = Cluster::start(Store::Etcd, 3, SLOTS).await?;
    let key = cluster.key("acme/search/ada").await?;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut racers = JoinSet::new();
    for index in 0..12 {
        let caller = cluster.caller(index % 3, &key)?;
        racers.spawn(stream_until_enough(caller, Arc::clone(&answered)));
    }
    let race = async {
        while let Some(outcome) = racers.join_next().await {
            outcome??;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, race).await??;
    assert_eq!(most_at_once(&cluster.provider.ledger()), 2);

    // Both slots are with one node when it dies.
    let mut hung = JoinSet::new();
    for _ in 0..2 {
        let caller = cluster.caller(0, &key)?;
        hung.spawn(async move {
            while caller.complete("hung", "nonce=hung hello").await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let hanging = |cluster: &Cluster| {
        let ledger = cluster.provider.ledger();
        let open = |entry: &&Entry| entry.nonce == "hung" && entry.outcome == Outcome::InFlight;
        ledger.iter().filter(open).count()
    };
    eventually("both are at the provider", PATIENCE, async || {
        Ok((hanging(&cluster) == 2).then_some(()))
    })
    .await?;
    let elsewhere = cluster.caller(1, &key)?;
    let refused = elsewhere.complete("chat", "nonce=two hello").await;
    assert_eq!(caller::reason(&refused.unwrap_err()), "LIMIT_EXCEEDED");
    cluster.nodes[0].crash()?;
    hung.abort_all();
    // Silence frees nothing: only its heir can tell that it is dead.
    for _ in 0..20 {
        assert!(elsewhere.complete("chat", "nonce=two hello").await.is_err());
    }
    cluster.start_node(0).await?;
    eventually("the slots come back", PATIENCE, async || {
        Ok(elsewhere.complete("chat", "nonce=two hello").await.ok())
    })
    .await?;
    Ok(())
}
