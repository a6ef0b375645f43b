//! Limits without windows: sliding ones and buckets, judged by the provider's own ledger.

use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tollgate_tests::provider::Entry;

use super::race::{Outcome, now_ms, refusal_of};
use crate::caller::{self, Caller};
use crate::cluster::{Cluster, Key, Store};
use crate::condition::eventually;

/// How long a refused caller waits before it tries again, although it was told to wait longer.
const IMPATIENCE: Duration = Duration::from_millis(15);
/// A request may be stamped so much earlier than it arrives at the provider, on a busy machine.
const DELAY_MS: u64 = 1_000;
/// The times and the limits of the tests.
const RACE: Duration = Duration::from_secs(14);
const SLIDING_MS: u64 = 4_000;
const SLIDING: u64 = 60;
const RATE_PER_S: u64 = 12;
const BURST: u64 = 30;
/// A limit per minute.
const MINUTE: u64 = 60;
/// A crashed owner is followed within this time.
const TAKEOVER: Duration = Duration::from_secs(20);

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-1, price: { input: "1", output: "2" } } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:
  fast: { routes: [ { pools: [main] } ], max_output_tokens: 8 }
limits:
  - LIMIT
"#;

fn policy(limit: &str) -> String {
    POLICY.replace("LIMIT", limit)
}

/// Callers on all nodes that never rest, until `until_ms`.
fn race(cluster: &Cluster, key: &Key, until_ms: u64) -> anyhow::Result<JoinSet<Outcome>> {
    let mut racers = JoinSet::new();
    for node in 0..cluster.nodes.len() {
        for _ in 0..3 {
            let caller = cluster.caller(node, key)?;
            racers.spawn(async move {
                let mut outcome = Outcome::default();
                while now_ms() < until_ms {
                    let Err(status) = caller.complete("fast", "race nonce=race").await else {
                        outcome.answered += 1;
                        continue;
                    };
                    match refusal_of(&status, "per-key") {
                        Ok(()) => outcome.refused += 1,
                        Err(failure) => outcome.failures.push(failure),
                    }
                    tokio::time::sleep(IMPATIENCE).await;
                }
                outcome
            });
        }
    }
    Ok(racers)
}

async fn finish(mut racers: JoinSet<Outcome>) -> anyhow::Result<Outcome> {
    let mut total = Outcome::default();
    while let Some(outcome) = racers.join_next().await {
        total.add(outcome?);
    }
    Ok(total)
}

/// When the provider was reached, in order.
fn arrivals(ledger: &[Entry]) -> Vec<u64> {
    let mut arrivals: Vec<_> = ledger.iter().map(|entry| entry.arrived_ms).collect();
    arrivals.sort_unstable();
    arrivals
}

/// The most arrivals within any interval of that length.
fn most_within(arrivals: &[u64], length_ms: u64) -> usize {
    let within = |(index, begin): (usize, &u64)| {
        let end = arrivals.partition_point(|at| *at < begin + length_ms);
        end - index
    };
    arrivals.iter().enumerate().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interval_holds_more_than_a_sliding_limit_though_its_owner_crashes() -> anyhow::Result<()>
{
    let limit = format!(
        "{{ name: per-key, per: [key], requests: {SLIDING}, window: {}s, kind: sliding }}",
        SLIDING_MS / 1000
    );
    let mut cluster = Cluster::start(Store::Etcd, 3, &policy(&limit)).await?;
    let key = cluster.key("acme/ada").await?;
    let begin = now_ms();
    let racers = race(&cluster, &key, begin + 2 * u64::try_from(RACE.as_millis())?)?;
    // The whole limit is out, and another owner has to know.
    tokio::time::sleep(RACE).await;
    cluster.controls[0].crash()?;
    cluster.start_control(0).await?;
    let outcome = finish(racers).await?;
    ensure!(outcome.refused > 0, "callers are faster than the limit");

    let arrivals = arrivals(&cluster.provider.ledger());
    let most = most_within(&arrivals, SLIDING_MS - DELAY_MS);
    let limit = usize::try_from(SLIDING)?;
    ensure!(most <= limit, "{most} of {limit} in one interval");
    // Before the crash nothing stands in the way of using it.
    let before = arrivals.partition_point(|at| *at < begin + 12_000);
    ensure!(
        before * 100 >= 3 * limit * 90,
        "{before} of {} used in three windows",
        3 * limit
    );
    let after = arrivals.len() - arrivals.partition_point(|at| *at < begin + 24_000);
    ensure!(after > 0, "it is served again after the crash");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interval_holds_more_than_a_bucket_lets_in() -> anyhow::Result<()> {
    let limit = format!(
        "{{ name: per-key, per: [key], requests: {RATE_PER_S}, window: 1s, burst: {BURST}, kind: bucket }}"
    );
    let cluster = Cluster::start(Store::Etcd, 3, &policy(&limit)).await?;
    let key = cluster.key("acme/ada").await?;
    let race_ms = u64::try_from(RACE.as_millis())?;
    let racers = race(&cluster, &key, now_ms() + race_ms)?;
    let outcome = finish(racers).await?;
    ensure!(outcome.refused > 0, "callers are faster than the limit");
    ensure!(
        outcome.failures.is_empty(),
        "only the limit refuses: {:?}",
        outcome.failures.first()
    );

    let arrivals = arrivals(&cluster.provider.ledger());
    for length_ms in (250..race_ms).step_by(250) {
        let most = u64::try_from(most_within(&arrivals, length_ms))?;
        let allowed = BURST + RATE_PER_S * (length_ms + DELAY_MS) / 1000;
        ensure!(
            most <= allowed,
            "{most} of {allowed} in an interval of {length_ms} ms"
        );
    }
    let used = u64::try_from(arrivals.len())?;
    let comes = BURST + RATE_PER_S * race_ms / 1000;
    ensure!(used * 100 >= comes * 90, "{used} of {comes} used");
    Ok(())
}

/// Whether a caller is admitted; an error where it is neither that nor refused by the limit.
async fn admitted(caller: &Caller) -> anyhow::Result<bool> {
    let Err(status) = caller.complete("fast", "nonce=n").await else {
        return Ok(true);
    };
    let refused = caller::reason(&status) == "LIMIT_EXCEEDED";
    ensure!(refused, "neither answered nor over the limit: {status}");
    Ok(false)
}

/// Until an owner is there, nobody can decide.
async fn decided(caller: &Caller) -> anyhow::Result<bool> {
    let decided = eventually("the limit has an owner", TAKEOVER, async || {
        Ok(admitted(caller).await.ok())
    });
    Ok(decided.await?.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_that_is_used_in_part_goes_on_under_the_next_owners() -> anyhow::Result<()> {
    let limit =
        format!("{{ name: per-key, per: [key], requests: {MINUTE}, window: 1m, kind: sliding }}");
    let mut cluster = Cluster::start(Store::Etcd, 1, &policy(&limit)).await?;
    let key = cluster.key("acme/ada").await?;
    let caller = cluster.caller(0, &key)?;
    let begin = Instant::now();
    for _ in 0..10 {
        ensure!(admitted(&caller).await?, "there is room");
    }
    cluster.controls[0].stop().await?;
    cluster.start_control(0).await?;
    ensure!(decided(&caller).await?, "it goes on at once");
    for _ in 0..9 {
        ensure!(admitted(&caller).await?, "there is room");
    }
    cluster.controls[0].crash()?;
    cluster.start_control(0).await?;
    ensure!(decided(&caller).await?, "it goes on at once");
    let mut used = 21;
    while admitted(&caller).await? {
        used += 1;
    }
    // All of it within one minute, so that nothing of it may have come back.
    ensure!(
        begin.elapsed() < Duration::from_secs(55),
        "the test was slow"
    );
    ensure!(used <= MINUTE, "{used} of {MINUTE}");
    // What was out, or about to be, as the owner went, counts for a minute.
    ensure!(used * 100 >= MINUTE * 75, "{used} of {MINUTE}");
    Ok(())
}

/// Of what the one before may have handed out no more is lost than it had written ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brief_limits_go_on_at_once_under_the_next_owner() -> anyhow::Result<()> {
    for (kind, crashes) in [
        ("requests: 20, window: 10s, kind: sliding", false),
        ("requests: 20, window: 10s, kind: sliding", true),
        ("requests: 1, window: 10s, burst: 20, kind: bucket", false),
        ("requests: 1, window: 10s, burst: 20, kind: bucket", true),
    ] {
        let limit = format!("{{ name: per-key, per: [key], {kind} }}");
        let mut cluster = Cluster::start(Store::Etcd, 1, &policy(&limit)).await?;
        let key = cluster.key("acme/ada").await?;
        let caller = cluster.caller(0, &key)?;
        let begin = Instant::now();
        for _ in 0..10 {
            ensure!(admitted(&caller).await?, "there is room: {kind}");
        }
        match crashes {
            true => cluster.controls[0].crash()?,
            false => cluster.controls[0].stop().await?,
        }
        cluster.start_control(0).await?;
        ensure!(decided(&caller).await?, "it goes on at once: {kind}");
        let mut used = 11;
        while admitted(&caller).await? {
            used += 1;
        }
        // Nothing of the first ten may have come back, and one unit into the bucket at most.
        ensure!(
            begin.elapsed() < Duration::from_secs(9),
            "the test was slow: {kind}"
        );
        let least = if crashes { 12 } else { 17 };
        ensure!((least..=21).contains(&used), "{used} of 20: {kind}");
    }
    Ok(())
}
