//! Money is never overspent: what the provider served costs no more than the budget.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::WINDOW;
use super::race::{self, Clock};
use crate::caller::{self, ask};
use crate::cluster::{Cluster, PATIENCE, Store};
use crate::condition::eventually;

/// Billionths of a US dollar: 1 and 2 dollars per million tokens.
const INPUT: u64 = 1_000;
const OUTPUT: u64 = 2_000;
/// What a window admits.
const BUDGET: u64 = 10_000_000;

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { slow: { provider: mock, model: ok-40x25ms, price: { input: "1", output: "2" } } }
pools:       { main: { targets: [ { deployment: slow } ] } }
models:      { chat: { routes: [ { pools: [main] } ], max_output_tokens: 200 } }
limits:      [ { name: spend, cost_usd: "0.01", window: 11s } ]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_never_spend_more_than_the_budget() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Etcd, 3, POLICY).await?;
    let key = cluster.key("acme/spender").await?;
    let clock = Clock::new(WINDOW);
    let window = clock.window() + 1;
    clock.wait_for(window, Duration::from_millis(500)).await;
    let barrier = Arc::new(Barrier::new(64));
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
            assert!(status.message().contains("0.01 USD"), "{status}");
            refused += 1;
        }
    }
    assert!(refused > 0, "64 reservations are more than the budget");

    let mut rest = JoinSet::new();
    for index in 0..64 {
        let caller = cluster.caller(index % 3, &key)?;
        rest.spawn(race::streams(caller, clock, window));
    }
    rest.join_all().await;
    // All that was admitted bears this window's label or the next one's.
    let spent = eventually("all is settled", PATIENCE, async || {
        let requests = cluster.requests()?;
        let mut spent = std::collections::BTreeMap::<u64, u64>::new();
        for request in requests.iter().filter(|request| request.admitted) {
            for taken in &request.limits {
                *spent.entry(taken.window).or_default() += request.cost;
            }
        }
        let stats = cluster.provider.stats();
        let served = stats.prompt_tokens * INPUT + stats.completion_tokens * OUTPUT;
        Ok((spent.values().sum::<u64>() == served).then_some(spent))
    })
    .await?
    .0;
    for (window, cost) in &spent {
        assert!(*cost <= BUDGET, "{cost} in window {window}: {spent:?}");
    }
    assert!(spent[&window] > BUDGET / 2, "it can be used: {spent:?}");
    let shown = cluster.tollgate_ok(&["limits"])?;
    assert!(
        shown.contains("cost_usd") && shown.contains("0.01"),
        "{shown}"
    );
    Ok(())
}
