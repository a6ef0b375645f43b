//! Who is limited how: tiers, subjects, labels. A change is in force on every node within a second.

use std::time::{Duration, Instant};

use tollgate_proto::admin::v1::CreateKeyRequest;
use tollgate_tests::process::get;
use tonic::Code;

use super::caller::{self, Caller};
use super::cluster::{Cluster, PATIENCE, Store, texts};
use super::condition::eventually;

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-4 } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ], max_output_tokens: 8 } }
tiers:
  free:    { limits: [ { requests: 10, window: 1h } ] }
  premium: { limits: [ { requests: 500, window: 1h } ] }
"#;

/// Calls until a limit refuses, and says how often it was answered before.
async fn answered_until_refused(callers: &[Caller], most: usize) -> anyhow::Result<usize> {
    for (count, caller) in callers.iter().cycle().take(most).enumerate() {
        if let Err(status) = caller.complete("chat", "hello").await {
            anyhow::ensure!(caller::reason(&status) == "LIMIT_EXCEEDED", "{status}");
            anyhow::ensure!(status.code() == Code::ResourceExhausted, "{status}");
            return Ok(count);
        }
    }
    Ok(most)
}

/// Calls until the answer, or the reason of the refusal, is `wanted`.
async fn eventually_answers(caller: &Caller, wanted: &str) -> anyhow::Result<tonic::Status> {
    let what = format!("the answer is {wanted}");
    let (status, _) = eventually(&what, PATIENCE, async || {
        let (reason, status) = match caller.complete("chat", "hello").await {
            Ok(_) => ("OK".to_owned(), tonic::Status::ok("")),
            Err(status) => (caller::reason(&status), status),
        };
        Ok((reason == wanted).then_some(status))
    })
    .await?;
    Ok(status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_free_caller_has_ten_requests_and_a_premium_one_more_within_a_second()
-> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Etcd, 3, POLICY).await?;
    cluster.tollgate_ok(&["subjects", "set", "acme", "--tier", "free"])?;
    let key = cluster.key("acme/search/ada").await?;
    let other = cluster.key("acme/search/ada").await?;
    let own = CreateKeyRequest {
        subject: "acme/search/ada".to_owned(),
        tier: "premium".to_owned(),
        ..CreateKeyRequest::default()
    };
    let own = cluster.create_key(own).await?;
    let callers = |key| -> anyhow::Result<Vec<Caller>> {
        (0..3).map(|node| cluster.caller(node, key)).collect()
    };
    // Over three nodes together, for each key by itself, and a key's own tier wins.
    assert_eq!(answered_until_refused(&callers(&key)?, 30).await?, 10);
    assert_eq!(answered_until_refused(&callers(&other)?, 30).await?, 10);
    assert_eq!(answered_until_refused(&callers(&own)?, 30).await?, 30);

    cluster.tollgate_ok(&["subjects", "set", "acme/search", "--tier", "premium"])?;
    let set = Instant::now();
    for caller in callers(&key)? {
        eventually_answers(&caller, "OK").await?;
    }
    let took = set.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");

    // The same for a change of the policy.
    let file = cluster.policy_file(&POLICY.replace("requests: 500", "requests: 5"))?;
    cluster.tollgate_ok(&["apply", "--wait", "-f", &file])?;
    let applied = Instant::now();
    for caller in callers(&key)? {
        eventually_answers(&caller, "LIMIT_EXCEEDED").await?;
    }
    let took = applied.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");

    // A tier that is gone shuts its callers out, rather than leaving them without limits.
    let file = cluster.policy_file(&POLICY.replace("premium:", "gold:"))?;
    cluster.tollgate_ok(&["apply", "--wait", "-f", &file])?;
    let status = eventually_answers(&callers(&own)?[0], "TIER_UNKNOWN").await?;
    assert_eq!(status.code(), Code::PermissionDenied);
    let (_, err) = texts(&cluster.tollgate(&["subjects", "set", "acme", "--tier", "premium"])?);
    assert!(err.contains("no tier `premium`"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_subject_is_refused_with_all_below_it() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Store::Etcd, 2, POLICY).await?;
    let key = cluster.key("acme/search/ada").await?;
    let neighbour = cluster.key("acme-x/search").await?;
    let callers = (0..2).map(|node| cluster.caller(node, &key));
    let callers = callers.collect::<anyhow::Result<Vec<_>>>()?;
    let neighbour = cluster.caller(0, &neighbour)?;
    for caller in callers.iter().chain([&neighbour]) {
        caller.complete("chat", "hello").await?;
    }
    cluster.tollgate_ok(&["subjects", "set", "acme", "--block", "--label", "why=abuse"])?;
    let blocked = Instant::now();
    for caller in &callers {
        let status = eventually_answers(caller, "SUBJECT_BLOCKED").await?;
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("`acme`"), "{status}");
    }
    let took = blocked.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    neighbour.complete("chat", "hello").await?;

    let shown = cluster.tollgate_ok(&["subjects", "get", "acme/search/ada", "-o", "json"])?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    assert_eq!(shown["blocked_by"], "acme");
    assert_eq!(shown["effective"]["labels"]["why"], "abuse");

    // A node that starts without the control plane still knows.
    let waited = eventually("the node has written it down", PATIENCE, async || {
        Ok(cluster.snapshot_holds(1, b"why").then_some(()))
    });
    waited.await?;
    cluster.controls[0].crash()?;
    cluster.nodes[1].crash()?;
    cluster.start_node(1).await?;
    let caller = cluster.caller(1, &key)?;
    eventually_answers(&caller, "SUBJECT_BLOCKED").await?;
    cluster.start_control(0).await?;
    cluster.wait_connected(2).await?;

    cluster.tollgate_ok(&["subjects", "set", "acme", "--unblock"])?;
    for caller in &callers {
        eventually_answers(caller, "OK").await?;
    }
    cluster.tollgate_ok(&["subjects", "delete", "acme"])?;
    let list = cluster.tollgate_ok(&["subjects", "list", "-o", "json"])?;
    let list: serde_json::Value = serde_json::from_str(&list)?;
    assert_eq!(list["subjects"], serde_json::json!([]));
    Ok(())
}

const CONDITIONS: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-4 } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:
  chat:  { routes: [ { pools: [main] } ], max_output_tokens: 8 }
  brief: { routes: [ { pools: [main] } ], max_output_tokens: 8 }
limits:
  - name: tests
    match: "has(subject.labels.env) && subject.labels.env == 'test' && request.model != 'brief'"
    per: [org]
    requests: 3
    window: 1h
  - { name: undecided, match: "subject.labels.region == 'eu'", per_labels: [region], requests: 20, window: 1h }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_decides_whom_a_limit_is_for() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 2, CONDITIONS).await?;
    let key = cluster.key("acme/search").await?;
    let callers = (0..2).map(|node| cluster.caller(node, &key));
    let callers = callers.collect::<anyhow::Result<Vec<_>>>()?;
    // Nothing is said of the subject: `tests` is not for it. Whether `undecided` is cannot be said, so it is.
    assert_eq!(answered_until_refused(&callers, 9).await?, 9);
    let reports = || -> anyhow::Result<usize> {
        let log = cluster.node_log(0)?;
        Ok(log.matches("cannot be decided for a caller").count())
    };
    eventually("it is said", PATIENCE, async || {
        Ok((reports()? > 0).then_some(()))
    })
    .await?;
    assert_eq!(reports()?, 1, "said once");

    let set = [
        "subjects",
        "set",
        "acme",
        "--label",
        "env=test",
        "--label",
        "region=us",
    ];
    cluster.tollgate_ok(&set)?;
    for (node, caller) in callers.iter().enumerate() {
        eventually(
            "no limit is for the caller any more",
            PATIENCE,
            async || {
                let answer = caller.complete("brief", "hello").await;
                anyhow::ensure!(answer.is_ok(), "{answer:?}");
                let log = cluster.node_log(node)?;
                let last = log
                    .lines()
                    .rfind(|line| line.contains(r#""message":"request""#));
                Ok(last
                    .is_some_and(|line| line.contains(r#""limits":"""#))
                    .then_some(()))
            },
        )
        .await?;
    }
    assert_eq!(answered_until_refused(&callers, 9).await?, 3);
    let status = callers[0].complete("chat", "hello").await.unwrap_err();
    assert_eq!(caller::refused_by(&status), ["tests/org=acme"]);
    callers[0].complete("brief", "hello").await?;

    let wrong = CONDITIONS.replace("subject.labels.region ==", "subject.region ==");
    let file = cluster.policy_file(&wrong)?;
    let (_, err) = texts(&cluster.tollgate(&["apply", "-f", &file])?);
    assert!(
        err.contains("limits[1].match: there is no field `region`"),
        "{err}"
    );
    Ok(())
}

const SHADOW: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-4 } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ], max_output_tokens: 8 } }
limits:
  - { name: real, requests: 100, window: 1h }
  - { name: try-out, per: [key], requests: 5, window: 1h, mode: shadow }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_refuses_nobody_and_tells_what_it_would() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Etcd, 2, SHADOW).await?;
    let key = cluster.key("acme/search").await?;
    let callers = (0..2).map(|node| cluster.caller(node, &key));
    let callers = callers.collect::<anyhow::Result<Vec<_>>>()?;
    assert_eq!(answered_until_refused(&callers, 40).await?, 40);
    let requests = cluster.wait_requests(40).await?;
    assert!(
        requests.iter().all(|it| it.limits.len() == 1),
        "only `real` holds: {requests:?}"
    );
    // An answer may come after its request is over; then only the metric tells.
    eventually("what it would have done is known", PATIENCE, async || {
        let limits = cluster.tollgate_ok(&["limits", "try-out", "-o", "json"])?;
        let limits: serde_json::Value = serde_json::from_str(&limits)?;
        let spent = limits["limits"][0]["spent"].as_u64().unwrap_or_default();
        anyhow::ensure!(spent <= 5, "{limits}");
        let refused = would_have_been_refused(&cluster).await?;
        anyhow::ensure!(refused <= 35, "{refused}");
        Ok((spent == 5 && refused == 35).then_some(()))
    })
    .await?;
    for caller in &callers {
        caller.complete("chat", "hello").await?;
    }
    let requests = cluster.wait_requests(42).await?;
    let label = format!("try-out/key={}", key.id);
    assert!(requests.iter().any(|it| it.would_refuse == label));
    Ok(())
}

/// Requests that limits in shadow mode would have refused, by the nodes' metrics.
async fn would_have_been_refused(cluster: &Cluster) -> anyhow::Result<u64> {
    let mut sum = 0;
    for node in &cluster.nodes {
        let (_, metrics) = get(&format!("{}/metrics", node.ops()?)).await?;
        let name = "tollgate_limit_shadow_refusals_total{";
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        sum += lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum::<u64>();
    }
    Ok(sum)
}
