//! Limits that several callers share: a flood of one takes nothing from those who ask for less than their part.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tollgate_proto::admin::v1::CreateKeyRequest;

use super::race::{Clock, Outcome, refusal_of};
use crate::caller::Caller;
use crate::cluster::{Cluster, Key, Store};
use crate::logs::units_by_window;

const WINDOW: Duration = Duration::from_secs(11);
const LIMIT: u64 = 100;
/// How long a refused caller waits before it tries again, although it was told to wait longer.
const IMPATIENCE: Duration = Duration::from_millis(15);

fn policy(sharing: &str) -> String {
    format!(
        r#"
providers:   {{ mock: {{ kind: openai_compatible, base_url: "PROVIDER", internal: true }} }}
deployments: {{ small: {{ provider: mock, model: ok-1 }} }}
pools:       {{ main: {{ targets: [ {{ deployment: small }} ] }} }}
models:      {{ chat: {{ routes: [ {{ pools: [main] }} ], max_output_tokens: 8 }} }}
limits:      [ {{ name: shared, per: [org], requests: {LIMIT}, window: 11s, {sharing} }} ]
tiers:       {{ premium: {{}}, free: {{}} }}
"#
    )
}

/// Calls until the end of window `last`, with so much time between two calls.
async fn call(caller: Caller, nonce: &str, pause: Duration, clock: Clock, last: u64) -> Outcome {
    let mut outcome = Outcome::default();
    let text = format!("race nonce={nonce}");
    while clock.window() <= last {
        match caller.complete("chat", &text).await {
            Ok(_) => outcome.answered += 1,
            Err(status) => {
                match refusal_of(&status, "shared") {
                    Ok(()) => outcome.refused += 1,
                    Err(failure) => outcome.failures.push(failure),
                }
                if !status.message().contains("share") && !status.message().contains("used up") {
                    outcome.failures.push(status.message().to_owned());
                }
                tokio::time::sleep(IMPATIENCE).await;
            }
        }
        tokio::time::sleep(pause).await;
    }
    outcome
}

/// Each of these calls on every node until the end of window `last`; what the provider saw of them in that window.
async fn race(
    cluster: &Cluster,
    callers: &[(&Key, &'static str, Duration)],
    clock: Clock,
    last: u64,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut racing = JoinSet::new();
    for node in 0..cluster.nodes.len() {
        for (key, nonce, pause) in callers.iter().copied() {
            racing.spawn(call(cluster.caller(node, key)?, nonce, pause, clock, last));
        }
    }
    let mut answered = 0;
    while let Some(outcome) = racing.join_next().await {
        let outcome = outcome?;
        ensure!(
            outcome.failures.is_empty(),
            "{:?}",
            outcome.failures.first()
        );
        answered += usize::try_from(outcome.answered)?;
    }
    let requests = cluster.wait_requests(answered).await?;
    for ((counter, window), units) in units_by_window(&requests) {
        ensure!(units <= LIMIT, "{units} of {counter} in {window}");
        let whole = window != last || units >= LIMIT * 95 / 100;
        ensure!(whole, "only {units} of {counter} in {window}");
    }
    let mut seen = BTreeMap::new();
    let ledger = cluster.provider.ledger();
    for entry in ledger
        .iter()
        .filter(|it| clock.window_of(it.arrived_ms) == last)
    {
        *seen.entry(entry.nonce.clone()).or_default() += 1;
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_users_flood_leaves_others_their_part() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 2, &policy("fair: [user]")).await?;
    let flood = cluster.key("acme/search/flood").await?;
    let ada = cluster.key("acme/search/ada").await?;
    let clock = Clock::new(WINDOW);
    let last = clock.window() + 2;
    let pause = Duration::from_millis(700);
    let callers = [(&flood, "flood", Duration::ZERO), (&ada, "ada", pause)];
    let seen = race(&cluster, &callers, clock, last).await?;
    // About fifteen calls at each node.
    let ada = seen.get("ada").copied().unwrap_or(0);
    ensure!((24..=50).contains(&ada), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_has_its_share_and_others_what_is_left() -> anyhow::Result<()> {
    let sharing = policy("shares: { premium: 70 }");
    let cluster = Cluster::start(Store::Embedded, 2, &sharing).await?;
    let mut keys = Vec::new();
    for tier in ["premium", "free"] {
        let request = CreateKeyRequest {
            subject: "acme/search/ada".to_owned(),
            tier: tier.to_owned(),
            ..CreateKeyRequest::default()
        };
        keys.push(cluster.create_key(request).await?);
    }
    let clock = Clock::new(WINDOW);
    let last = clock.window() + 2;
    let callers = [
        (&keys[0], "premium", Duration::ZERO),
        (&keys[1], "free", Duration::ZERO),
    ];
    let seen = race(&cluster, &callers, clock, last).await?;
    let premium = seen.get("premium").copied().unwrap_or(0);
    ensure!((64..=76).contains(&premium), "{seen:?}");
    Ok(())
}
