//! What machines ask: health, readiness, metrics.

use tollgate_tests::process::get;

use super::cluster::{Cluster, PATIENCE, Shape, Store, texts};
use super::condition::eventually;

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-4 } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ] } }
"#;

async fn status(url: &str) -> anyhow::Result<u16> {
    Ok(get(url).await?.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_alive_at_once_and_ready_when_it_has_a_policy() -> anyhow::Result<()> {
    let shape = Shape {
        store: Store::Embedded,
        controls: 1,
        nodes: 1,
        token: None,
    };
    let cluster = Cluster::without_policy(shape).await?;
    let (control, node) = (cluster.controls[0].ops()?, cluster.nodes[0].ops()?);
    assert_eq!(status(&format!("{control}/readyz")).await?, 200);
    assert_eq!(status(&format!("{node}/healthz")).await?, 200);
    assert_eq!(status(&format!("{node}/readyz")).await?, 503);
    assert_eq!(status(&format!("{node}/nothing")).await?, 404);
    cluster.apply(POLICY)?;
    let ready = format!("{node}/readyz");
    eventually("the node is ready", PATIENCE, async || {
        Ok((status(&ready).await? == 200).then_some(()))
    })
    .await?;

    let key = cluster.key("acme/a").await?;
    cluster.caller(0, &key)?.complete("chat", "hello").await?;
    cluster.wait_requests(1).await?;
    let (_, metrics) = get(&format!("{node}/metrics")).await?;
    for expected in [
        "tollgate_requests_total{model=\"chat\",edge=\"grpc\",status=\"OK\"} 1",
        "tollgate_policy_revision 1",
        "tollgate_request_seconds_count",
    ] {
        assert!(metrics.contains(expected), "{expected} in {metrics}");
    }
    assert!(!metrics.contains(&key.secret));
    let (_, metrics) = get(&format!("{control}/metrics")).await?;
    assert!(metrics.contains("tollgate_control_nodes 1"), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_only_those_who_have_it_are_heard() -> anyhow::Result<()> {
    let token = "a-token-of-some-length";
    let shape = Shape {
        store: Store::Embedded,
        controls: 1,
        nodes: 1,
        token: Some(token),
    };
    // The node is connected when this returns.
    let cluster = Cluster::without_policy(shape).await?;
    let file = cluster.policy_file(POLICY)?;
    cluster.tollgate_ok(&["apply", "--wait", "--token", token, "-f", &file])?;
    for arguments in [
        vec!["nodes"],
        vec!["nodes", "--token", "another-token-of-some-length"],
    ] {
        let output = cluster.tollgate(&arguments)?;
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {out}");
        assert!(err.contains("--token or TOLLGATE_TOKEN"), "{err}");
        assert!(!err.contains("of-some-length"), "{err}");
    }
    Ok(())
}
