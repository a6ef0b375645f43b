//! A policy change: refused whole with every fault named, or in force on every node.

use std::time::{Duration, Instant};

use tollgate_proto::admin::v1::{ApplyPolicyRequest, GetPolicyRequest};
use tollgate_proto::policy::v1::{Limit, Policy, Pool, Provider, ProviderKind, Target};
use tonic::Code;
use tonic_types::StatusExt;

use super::cluster::{Cluster, PATIENCE, Store, texts};
use super::condition::eventually;

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-4 } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ] } }
"#;

const FIVE_FAULTS: &str = r#"
providers:   { mock: { kind: opnai_compatible, base_url: "PROVIDER" } }
deployments: { small: { provider: mok, model: ok-4 } }
pools:       { main: { targets: [ { deployment: small, wieght: 2 } ] } }
models:      { chat: { routes: [ { pools: [mian] } ] } }
limits:      [ { name: tiny, requests: 0, window: 2s } ]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_five_faults_are_named_and_nothing_changes() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let before = cluster.tollgate_ok(&["get"])?;
    let file = cluster.policy_file(FIVE_FAULTS)?;
    for verb in ["validate", "apply"] {
        let output = cluster.tollgate(&[verb, "-f", &file])?;
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{err}");
        for (path, hint) in [
            ("providers.mock.kind", "did you mean `openai_compatible`"),
            ("deployments.small.provider", "did you mean `mock`"),
            ("pools.main.targets[0]", "`weight`"),
            ("models.chat.routes[0].pools[0]", "did you mean `main`"),
            ("limits[0].requests", "at least 1"),
        ] {
            let line = err.lines().find(|line| line.contains(path));
            let line = line.unwrap_or_else(|| panic!("{verb}: no line for {path} in:\n{err}"));
            assert!(line.contains(hint), "{verb}: no `{hint}` in `{line}`");
            assert!(
                line.contains("policy.yaml:"),
                "{verb}: no place in `{line}`"
            );
        }
        assert_eq!(
            err.lines().count(),
            6,
            "{verb}: a heading and five lines:\n{err}"
        );
    }
    assert_eq!(cluster.tollgate_ok(&["get"])?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_plane_names_all_faults_itself() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let mut client = cluster.policy().await?;
    let mut policy = Policy::default();
    let provider = Provider {
        kind: ProviderKind::OpenaiCompatible.into(),
        ..Provider::default()
    };
    policy.providers.insert("no-address".to_owned(), provider);
    let target = Target {
        deployment: "nowhere".to_owned(),
        ..Target::default()
    };
    let pool = Pool {
        targets: vec![target],
        ..Default::default()
    };
    policy.pools.insert("dangling".to_owned(), pool);
    policy.pools.insert("empty".to_owned(), Pool::default());
    policy.limits.push(Limit {
        name: "no amount".to_owned(),
        ..Limit::default()
    });
    let request = ApplyPolicyRequest {
        policy: Some(policy),
        ..ApplyPolicyRequest::default()
    };
    let status = client.apply_policy(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let faults = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations);
    let paths: Vec<String> = faults
        .unwrap_or_default()
        .into_iter()
        .map(|v| v.field)
        .collect();
    for path in [
        "providers.no-address.base_url",
        "pools.dangling.targets[0].deployment",
        "pools.empty.targets",
        "limits[0].name",
        "limits[0]",
    ] {
        assert!(
            paths.iter().any(|p| p.ends_with(path)),
            "{path} in {paths:?}"
        );
    }
    let current = client
        .get_policy(GetPolicyRequest::default())
        .await?
        .into_inner();
    assert_eq!(current.revision.map_or(0, |r| r.revision), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_waits_for_every_node_and_is_in_force_within_a_second() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Etcd, 3, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let renamed = POLICY.replace("chat:", "talk:");
    let file = cluster.policy_file(&renamed)?;

    let callers = (0..3).map(|node| cluster.caller(node, &key));
    let callers = callers.collect::<anyhow::Result<Vec<_>>>()?;
    for caller in &callers {
        caller.complete("chat", "hello").await?;
    }
    let started = Instant::now();
    let output = cluster.tollgate_ok(&["apply", "--wait", "-m", "a new name", "-f", &file])?;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    for node in ["node-0", "node-1", "node-2"] {
        let line = output.lines().find(|line| line.starts_with(node));
        assert!(line.is_some_and(|line| line.contains("yes")), "{output}");
    }
    for caller in &callers {
        caller.complete("talk", "hello").await?;
        let status = caller.complete("chat", "hello").await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }
    let nodes = cluster.list_nodes().await?;
    assert!(
        nodes
            .nodes
            .iter()
            .all(|node| node.revision == nodes.revision)
    );
    let history = cluster.tollgate_ok(&["history"])?;
    assert!(history.contains("a new name"), "{history}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_get_prints_can_be_applied_again() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    for form in ["yaml", "json"] {
        let text = cluster.tollgate_ok(&["get", "-o", form])?;
        let file = cluster.policy_file(&text)?;
        let output = cluster.tollgate_ok(&["apply", "-f", &file])?;
        assert!(
            output.contains("is this policy already"),
            "{form}: {output}"
        );
    }
    let changed = cluster.policy_file(&POLICY.replace("ok-4", "ok-5"))?;
    let dry = cluster.tollgate_ok(&["apply", "--dry-run", "-f", &changed])?;
    assert!(dry.contains("deployments.small: changed"), "{dry}");
    assert!(cluster.tollgate_ok(&["get"])?.contains("ok-4"));
    cluster.tollgate_ok(&["apply", "-f", &changed])?;
    // Made from a revision that is no longer current.
    let stale = cluster.tollgate(&["apply", "--expect", "1", "-f", &changed])?;
    let (_, err) = texts(&stale);
    assert_eq!(stale.status.code(), Some(1));
    assert!(err.contains("apply again"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_address_is_refused_unless_the_policy_says_internal() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let outside = POLICY.replace(", internal: true", "");
    let file = cluster.policy_file(&outside)?;
    let (_, err) = texts(&cluster.tollgate(&["apply", "-f", &file])?);
    assert!(err.contains("providers.mock.base_url"), "{err}");
    assert!(err.contains("`internal: true`"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_within_a_second() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Etcd, 3, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let callers = (0..3).map(|node| cluster.caller(node, &key));
    let callers = callers.collect::<anyhow::Result<Vec<_>>>()?;
    for caller in &callers {
        caller.complete("chat", "hello").await?;
    }
    cluster.tollgate_ok(&["keys", "revoke", &key.id])?;
    let revoked = Instant::now();
    for caller in &callers {
        eventually("the key is refused", PATIENCE, async || {
            let refused = match caller.complete("chat", "hello").await {
                Ok(_) => None,
                Err(status) => Some(status.code()),
            };
            Ok(refused.map(|code| assert_eq!(code, Code::Unauthenticated)))
        })
        .await?;
    }
    let took = revoked.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let list = cluster.tollgate_ok(&["keys", "list", "-o", "json"])?;
    assert!(
        list.contains(&key.id) && !list.contains(&key.secret),
        "{list}"
    );
    Ok(())
}
