//! Clients in another language: one generated from the contract, and OpenAI's own SDK.

use std::process::Command;

use tollgate_tests::process::run;

use super::cluster::{Cluster, Store};
use super::environment::{repository, required};

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true, timeouts: { idle: 1s } } }
deployments:
  six:    { provider: mock, model: ok-6, price: { input: "1", output: "2" } }
  broken: { provider: mock, model: truncate-after-3 }
pools:       { six: { targets: [ { deployment: six } ] }, broken: { targets: [ { deployment: broken } ] } }
models:      { chat: { routes: [ { pools: [six] } ] }, broken: { routes: [ { pools: [broken] } ] } }
limits:      [ { name: per-key, per: [key], requests: 5, window: 1h } ]
"#;

/// Runs a client of `tests/clients` against a node, with a fresh key.
async fn check(client: &str) -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/python").await?;
    let root = repository();
    let mut command = Command::new(required("TOLLGATE_TEST_PYTHON")?);
    command.arg(root.join("tests/clients").join(client));
    command.env("TOLLGATE_PROTO", root.join("proto"));
    command.env("TOLLGATE_URL", &cluster.nodes[0].url);
    command.env("TOLLGATE_KEY", &key.secret);
    let output = tokio::task::spawn_blocking(move || run(&mut command)).await??;
    assert!(output.ends_with("all is well\n"), "{output}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_generated_from_the_contract() -> anyhow::Result<()> {
    check("grpc_client.py").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk() -> anyhow::Result<()> {
    check("openai_client.py").await
}
