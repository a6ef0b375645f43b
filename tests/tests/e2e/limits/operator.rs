//! What operators do to limits, at any replica of the control plane.

use serde_json::Value;

use crate::caller::{self, Caller};
use crate::cluster::{Cluster, PATIENCE, Shape, Store};
use crate::condition::eventually;

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { quick: { provider: mock, model: ok-4 } }
pools:       { quick: { targets: [ { deployment: quick } ] } }
models:      { chat: { routes: [ { pools: [quick] } ] } }
limits:
  - { name: day, per: [team], requests: 5, window: 1d }
  - { name: told, per: [team], requests: 1, window: 1h, mode: shadow }
"#;

const TOKEN: &str = "a-token-of-these-tests";
const DAY: &str = "day/team=acme/search";

/// Asks until refused. Returns how many were answered.
async fn spend(caller: &Caller) -> anyhow::Result<usize> {
    let mut answered = 0;
    loop {
        match caller.complete("chat", "nonce=n hello").await {
            Ok(_) => answered += 1,
            Err(status) => {
                // The policy came by the other replica, and is on its way.
                let reason = caller::reason(&status);
                assert!(
                    ["LIMIT_EXCEEDED", "NOT_READY"].contains(&reason.as_str()),
                    "{status}"
                );
                return Ok(answered);
            }
        }
    }
}

/// Spends until so many were answered in all: news of a limit takes a moment.
async fn spend_all(caller: &Caller, count: usize) -> anyhow::Result<()> {
    let mut answered = 0;
    eventually("all that there is is spent", PATIENCE, async || {
        answered += spend(caller).await?;
        Ok((answered >= count).then_some(()))
    })
    .await?;
    assert_eq!(answered, count);
    Ok(())
}

/// The command that raises the limit of a day to so much.
fn raise_to(units: &str) -> [&str; 7] {
    ["limits", "raise", DAY, "--to", units, "--for", "1h"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_raises_and_resets_and_says_who_did_it() -> anyhow::Result<()> {
    let shape = Shape {
        store: Store::Etcd,
        controls: 2,
        nodes: 1,
        token: Some(TOKEN),
    };
    let cluster = Cluster::without_policy(shape).await?;
    let tollgate = |parts: &[&[&str]]| {
        let credential = ["--token", TOKEN];
        cluster.tollgate_ok(&[&parts.concat(), &credential[..]].concat())
    };
    let file = cluster.policy_file(POLICY)?;
    tollgate(&[&["apply", "--wait", "-f", &file]])?;
    let key = cluster.key("acme/search/ada").await?;
    let caller = cluster.caller(0, &key)?;
    spend_all(&caller, 5).await?;

    for replica in &cluster.controls {
        let at = ["--control", replica.url()];
        let limits = tollgate(&[&["limits", "--output", "json"], &at])?;
        let limits: Value = serde_json::from_str(&limits)?;
        let names: Vec<_> = limits["limits"].as_array().into_iter().flatten().collect();
        assert_eq!(names.len(), 2, "{limits}");
        assert_eq!(names[0]["counter"], DAY);
        assert_eq!(
            (&names[0]["shadow"], &names[1]["shadow"]),
            (&Value::Bool(false), &Value::Bool(true))
        );
    }
    let why = ["--reason", "a launch", "--by", "ada"];
    let second = ["--control", cluster.controls[1].url()];
    let lower = tollgate(&[&raise_to("1"), &why, &second]).unwrap_err();
    assert!(lower.to_string().contains("change the policy"), "{lower}");
    let raised = tollgate(&[&raise_to("8"), &why, &second])?;
    assert!(raised.contains("8 (raised until 2"), "{raised}");
    spend_all(&caller, 3).await?;

    let reset = ["limits", "reset", DAY];
    eventually(
        "what was spent is reported and forgiven",
        PATIENCE,
        async || {
            tollgate(&[&reset, &why, &second])?;
            Ok((spend(&caller).await? > 0).then_some(()))
        },
    )
    .await?;
    let audit = tollgate(&[&["limits", "audit"], &second])?;
    let last = audit.lines().last().unwrap_or_default();
    assert!(
        last.contains("ada") && last.contains("raise") && last.contains("a launch"),
        "{audit}"
    );
    assert!(
        audit
            .lines()
            .nth(1)
            .is_some_and(|line| line.contains("reset")),
        "{audit}"
    );
    Ok(())
}
