//! Copies of requests, sent to deployments that are to be compared, that their callers notice nothing of.

use std::time::Duration;

use tollgate_tests::process::get;
use tollgate_tests::provider::Outcome;

use super::caller::{self, ask};
use super::cluster::{Cluster, PATIENCE, Store};
use super::condition::eventually;
use super::http::{Http, chat_stream};

const POLICY: &str = r#"
explanations: full
providers:
  mock:  { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  other: { kind: openai_compatible, base_url: "PROVIDER", internal: true }
deployments:
  main:   { provider: mock, model: main@ok-4, price: { input: 1, output: 2 } }
  next:   { provider: other, model: next@ok-4, price: { input: 2, output: 4 } }
  longer: { provider: other, model: longer@ok-8x5ms, price: { input: 0, output: 0 } }
  broken: { provider: other, model: broken@status-500, price: { input: 0, output: 0 } }
  silent: { provider: other, model: silent@hang, price: { input: 0, output: 0 } }
pools:
  main:   { targets: [ { deployment: main } ] }
  next:   { targets: [ { deployment: next } ] }
  longer: { targets: [ { deployment: longer } ] }
  broken: { targets: [ { deployment: broken } ] }
  silent: { targets: [ { deployment: silent } ] }
models:
  same:   { routes: [ { pools: [main], shadow: { pool: next, percent: 100 } } ], max_output_tokens: 100 }
  longer: { routes: [ { pools: [main], shadow: { pool: longer, percent: 100 } } ] }
  broken: { routes: [ { pools: [main], shadow: { pool: broken, percent: 100 } } ] }
  few:    { routes: [ { pools: [main], shadow: { pool: silent, percent: 100, max_in_flight: 3 } } ], deadline: 2s }
  some:   { routes: [ { pools: [main], shadow: { pool: next, percent: 30, max_in_flight: 200 } } ] }
limits:
  - { name: callers, tokens: 100000, window: 1h }
  - { name: copies, copies: true, requests: 60, window: 1h }
"#;

/// What a node's metrics count under this name with these labels.
async fn counted(cluster: &Cluster, name: &str, labels: &[&str]) -> anyhow::Result<u64> {
    let (_, metrics) = get(&format!("{}/metrics", cluster.nodes[0].ops()?)).await?;
    let of = metrics.lines().filter(|line| line.starts_with(name));
    let of = of.filter(|line| labels.iter().all(|label| line.contains(label)));
    let values = of.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    Ok(values.sum())
}

/// Waits until a count is what it should be.
async fn wait_counted(
    cluster: &Cluster,
    (name, labels): (&str, &[&str]),
    count: u64,
) -> anyhow::Result<()> {
    let what = format!("{name} {labels:?} is {count}");
    let reached = eventually(&what, PATIENCE, async || {
        let counted = counted(cluster, name, labels).await?;
        assert!(counted <= count, "{counted} of {what}");
        Ok((counted == count).then_some(()))
    });
    reached.await?;
    Ok(())
}

const COMPARED: &str = "tollgate_shadow_comparisons_total";
const COPIES: &str = "tollgate_shadow_copies_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_compared_with_their_copies() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    for _ in 0..3 {
        let answer = caller.complete("same", "nonce=n").await?;
        assert_eq!(caller::text(&answer), "n:0 n:1 n:2 n:3 ");
        assert_eq!(answer.route.unwrap_or_default().attempts.len(), 1);
        http.chat(&chat_stream("same", "nonce=n")).await?;
        let streamed = caller.stream(ask("longer", "nonce=n")).await;
        streamed.map_err(|(status, _)| status)?;
        caller.complete("broken", "nonce=n").await?;
    }
    for (model, text, count) in [
        ("same", "same", 6),
        ("longer", "different", 3),
        ("broken", "none", 3),
    ] {
        let labels = [&*format!("model=\"{model}\""), &*format!("text=\"{text}\"")];
        wait_counted(&cluster, (COMPARED, &labels), count).await?;
    }
    let failed = ["deployment=\"broken\"", "side=\"copy\"", "PROVIDERS_FAILED"];
    assert_eq!(
        counted(&cluster, "tollgate_shadow_endings_total", &failed).await?,
        3
    );
    counted_by_their_own_limit(&cluster).await?;
    report_says_so(&cluster).await?;
    let told = caller.explain(ask("few", "nonce=n")).await?.shadow;
    let told = told.unwrap_or_default();
    assert_eq!(
        (&*told.pool, told.percent, told.max_in_flight),
        ("silent", 100, 3)
    );
    Ok(())
}

/// Callers' limits know nothing of copies, which have their own.
async fn counted_by_their_own_limit(cluster: &Cluster) -> anyhow::Result<()> {
    let logged = cluster.wait_requests(24).await?;
    let (copies, requests): (Vec<_>, Vec<_>) = logged.iter().partition(|it| {
        it.attempts.contains("next")
            || it.attempts.contains("longer")
            || it.attempts.contains("broken")
    });
    assert_eq!((copies.len(), requests.len()), (12, 12));
    for (all, limit) in [(&copies, "copies"), (&requests, "callers")] {
        let taken = all.iter().flat_map(|it| &it.limits);
        assert!(
            taken.clone().count() == 12 && taken.clone().all(|it| it.counter == limit),
            "{all:?}"
        );
    }
    Ok(())
}

/// People can read it, and no text is in it or in the log.
async fn report_says_so(cluster: &Cluster) -> anyhow::Result<()> {
    let (status, report) = get(&format!("{}/shadows", cluster.nodes[0].ops()?)).await?;
    assert_eq!(status, 200);
    let row = |who: &str| {
        let mut rows = report.lines().filter(|row| row.starts_with("same "));
        let row = rows.find(|row| row.contains(who)).unwrap_or_default();
        row.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        row("copy")[..6],
        ["same", "next", "copy", "6", "100.0%", "100.0%"],
        "{report}"
    );
    assert_eq!(
        row("request")[..4],
        ["same", "next", "request", "6"],
        "{report}"
    );
    assert!(!report.contains("n:0") && !cluster.node_log(0)?.contains("n:0"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_bounded_and_outlive_their_callers() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    // Three hang, and further ones are not made; nobody waits for them.
    let began = tokio::time::Instant::now();
    for _ in 0..10 {
        caller.complete("few", "nonce=n").await?;
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    wait_counted(&cluster, (COPIES, &["few", "too_many"]), 7).await?;
    // They end by the deadline of the model: their callers have long gone.
    let ended = eventually("the copies end", PATIENCE, async || {
        let ledger = cluster.provider.ledger();
        let silent = ledger.iter().filter(|it| it.model.starts_with("silent"));
        Ok((silent.filter(|it| it.outcome == Outcome::Cancelled).count() == 3).then_some(()))
    });
    ended.await?;
    assert!(began.elapsed() >= Duration::from_secs(2));
    wait_counted(&cluster, (COMPARED, &["silent", "none"]), 3).await?;

    // About thirty of a hundred are copied, and the limit on copies ends that: 57 are left of it.
    for _ in 0..200 {
        caller.complete("some", "nonce=n").await?;
    }
    let drawn = eventually("the copies were sent or refused", PATIENCE, async || {
        let sent = counted(&cluster, COPIES, &["some", "sent"]).await?;
        let limited = counted(&cluster, COPIES, &["some", "limited"]).await?;
        Ok((sent == 57 || sent + limited >= 40).then_some(sent + limited))
    });
    let (drawn, _) = drawn.await?;
    assert!((35..=90).contains(&drawn), "{drawn}");
    let copied = cluster.provider.ledger().into_iter();
    assert!(copied.filter(|it| it.model.starts_with("next")).count() <= 57);
    Ok(())
}
