//! Policies, keys and nodes, over real connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_control::app::{App, Config};
use tollgate_control::store::{SharedStore, Txn};
use tollgate_proto::admin::v1::{
    ApplyPolicyRequest, CreateKeyRequest, GetPolicyRequest, ListKeysRequest, RevokeKeyRequest,
};
use tollgate_proto::node::v1::stream_config_request::Message as Say;
use tollgate_proto::node::v1::{NodeHeartbeat, ResolveKey};
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::control::{Control, LONG, NodeStream, embedded, policy};
use crate::etcd::Server;
use crate::faulty::{Faulty, Lost};

mod outage;
#[tokio::test]
async fn every_fault_of_a_policy_is_named_and_nothing_changes() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    control.apply(policy("per-key", 100)).await.unwrap();

    let mut wrong = policy("per-key", 0);
    wrong.pools.get_mut("main").unwrap().targets[0].deployment = "none".to_owned();
    wrong.models.get_mut("chat").unwrap().routes[0].pools = vec!["gone".to_owned()];
    let status = control.apply(wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    for part in [
        "pools.main.targets[0].deployment",
        "models.chat.routes[0].pools[0]",
        "limits[0]",
    ] {
        let named = violations
            .iter()
            .find(|violation| violation.field.starts_with(part));
        assert!(!named.expect(part).description.is_empty());
    }

    let current = control
        .policies()
        .get_policy(GetPolicyRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(current.revision.unwrap().revision, 1);
    assert_eq!(current.policy.unwrap(), policy("per-key", 100));
}

#[tokio::test]
async fn policies_are_revisions_with_a_history() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    let status = control
        .policies()
        .get_policy(GetPolicyRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    let first = control.apply(policy("per-key", 100)).await.unwrap();
    assert!(first.applied);
    let same = control.apply(policy("per-key", 100)).await.unwrap();
    assert!(!same.applied && same.changes.is_empty(), "{same:?}");
    assert_eq!(same.revision.unwrap().revision, 1);

    let dry = ApplyPolicyRequest {
        policy: Some(policy("per-key", 200)),
        dry_run: true,
        ..ApplyPolicyRequest::default()
    };
    let dry = control
        .policies()
        .apply_policy(dry)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(dry.changes, ["limits.per-key: changed"]);
    assert!(!dry.applied);
    assert_eq!(dry.revision.unwrap().revision, 1);

    let second = ApplyPolicyRequest {
        policy: Some(policy("per-key", 200)),
        message: "double it".to_owned(),
        expected_revision: 1,
        ..ApplyPolicyRequest::default()
    };
    let late = ApplyPolicyRequest {
        policy: Some(policy("per-key", 300)),
        ..second.clone()
    };
    control.policies().apply_policy(second).await.unwrap();
    let status = control.policies().apply_policy(late).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(
        status.message().contains("revision 2 has become current"),
        "{}",
        status.message()
    );

    let revisions = control.revisions().await;
    let history: Vec<_> = revisions
        .iter()
        .map(|r| (r.revision, r.message.as_str()))
        .collect();
    assert_eq!(history, [(2, "double it"), (1, "")]);
    assert_ne!(revisions[0].digest, revisions[1].digest);
    let old = GetPolicyRequest { revision: 1 };
    let old = control
        .policies()
        .get_policy(old)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(old.policy.unwrap(), policy("per-key", 100));
}

#[tokio::test]
async fn of_policies_applied_at_once_all_but_one_are_aborted() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    let applies = (1..=8).map(|n| control.apply(policy("per-key", n)));
    let outcomes = futures_util::future::join_all(applies).await;
    let applied = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(applied >= 1);
    for status in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(status.code(), Code::Aborted, "{status:?}");
    }
    assert_eq!(control.revisions().await.len(), applied);
}

#[tokio::test]
async fn a_node_gets_the_current_policy_first_and_then_every_change() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    let mut early = NodeStream::open(&control, "early").await;
    control.apply(policy("per-key", 1)).await.unwrap();
    assert_eq!(early.policy().await.revision, 1);
    let mut late = NodeStream::open(&control, "late").await;
    let update = late.policy().await;
    assert_eq!(
        (update.revision, update.policy.unwrap()),
        (1, policy("per-key", 1))
    );
    for n in 2..=5 {
        control.apply(policy("per-key", n)).await.unwrap();
    }
    for node in [&mut early, &mut late] {
        let mut last = node.policy().await;
        while last.revision < 5 {
            let next = node.policy().await;
            assert!(next.revision > last.revision);
            last = next;
        }
        assert_eq!(last.policy.unwrap(), policy("per-key", 5));
    }
}

#[tokio::test]
async fn apply_waits_for_nodes_and_names_those_that_do_not_run_it() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    let (mut good, mut bad) = (
        NodeStream::open(&control, "good").await,
        NodeStream::open(&control, "bad").await,
    );
    control.apply(policy("per-key", 1)).await.unwrap();
    good.policy().await;
    bad.policy().await;

    let apply = ApplyPolicyRequest {
        policy: Some(policy("per-key", 2)),
        wait: Some(Duration::from_secs(20).try_into().unwrap()),
        ..ApplyPolicyRequest::default()
    };
    let mut policies = control.policies();
    let answers = async {
        let revision = good.policy().await.revision;
        good.ack(revision).await;
        let revision = bad.policy().await.revision;
        bad.nack(revision, "cannot compile").await;
    };
    let (applied, ()) = tokio::join!(policies.apply_policy(apply.clone()), answers);
    let outcomes = applied.unwrap().into_inner().nodes;
    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|o| (o.node.as_str(), o.running, o.reason.as_str()))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("bad", false, "refused it: cannot compile"),
            ("good", true, "")
        ]
    );
}

#[tokio::test]
async fn waiting_for_nodes_ends_in_time() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    let mut node = NodeStream::open(&control, "n").await;
    control.apply(policy("per-key", 1)).await.unwrap();
    node.policy().await;
    node.ack(1).await;
    node.say(Say::Heartbeat(NodeHeartbeat { in_flight: 3 }))
        .await;
    let apply = ApplyPolicyRequest {
        policy: Some(policy("per-key", 2)),
        wait: Some(Duration::from_millis(50).try_into().unwrap()),
        ..ApplyPolicyRequest::default()
    };
    let applied = control
        .policies()
        .apply_policy(apply)
        .await
        .unwrap()
        .into_inner();
    assert!(applied.applied, "laggards do not undo it");
    assert_eq!(applied.nodes[0].reason, "still runs revision 1");
    let nodes = control.nodes().await;
    assert_eq!(
        (nodes[0].in_flight, nodes[0].revision, nodes[0].connected),
        (3, 1, true)
    );
}

#[tokio::test]
async fn a_key_is_resolved_and_its_revocation_pushed_at_once() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    let created = control.create_key("acme/search/ada").await;
    let key = created.key.unwrap();
    assert!(created.secret.starts_with("tg_"));

    let mut node = NodeStream::open(&control, "n").await;
    node.resolve(&created.secret).await;
    let update = node.key().await;
    assert_eq!(
        &update.hash[..],
        blake3::hash(created.secret.as_bytes()).as_bytes()
    );
    let resolved = update.key.unwrap();
    assert_eq!(
        (resolved.id, resolved.subject.as_str()),
        (key.id.clone(), "acme/search/ada")
    );
    node.resolve("tg_unknown").await;
    assert_eq!(node.key().await.key, None);

    let revoke = RevokeKeyRequest { id: key.id.clone() };
    let revoked = control
        .keys()
        .revoke_key(revoke)
        .await
        .unwrap()
        .into_inner();
    assert!(revoked.key.unwrap().revoked_at.is_some());
    assert_eq!(node.key().await.key, None, "pushed without being asked");

    let mut back = NodeStream::open(&control, "back").await;
    back.resolve(&created.secret).await;
    assert_eq!(back.key().await.key, None);
    let list = ListKeysRequest {
        subject: "acme".to_owned(),
        ..ListKeysRequest::default()
    };
    let listed = control.keys().list_keys(list).await.unwrap().into_inner();
    assert_eq!(listed.keys[0].id, key.id);
}

#[tokio::test]
async fn wrong_requests_are_refused_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    let list = ListKeysRequest {
        page_size: 5000,
        ..ListKeysRequest::default()
    };
    let status = control.keys().list_keys(list).await.unwrap_err();
    assert!(
        status.message().contains("ask for 1000 at most"),
        "{}",
        status.message()
    );
    let status = control
        .policies()
        .apply_policy(ApplyPolicyRequest::default())
        .await
        .unwrap_err();
    assert!(
        status.message().contains("policy: is missing"),
        "{}",
        status.message()
    );
    let status = control
        .keys()
        .revoke_key(RevokeKeyRequest {
            id: "none".to_owned(),
        })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    let mut node = NodeStream::open(&control, "").await;
    let status = node.hear().await.unwrap_err();
    assert!(
        status.message().contains("give the node a name"),
        "{}",
        status.message()
    );
    let mut node = NodeStream::open(&control, "n").await;
    node.say(Say::ResolveKey(ResolveKey {
        hash: vec![1; 5].into(),
    }))
    .await;
    let status = node.hear().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn with_a_token_only_who_has_it_is_served() {
    const TOKEN: &str = "a-token-of-some-length";
    let home = tempfile::tempdir().unwrap();
    let control = Control::start_with("a", &embedded(home.path()), Some(TOKEN)).await;
    let status = control
        .keys()
        .list_keys(ListKeysRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let mut request = Request::new(ListKeysRequest::default());
    let header = format!("Bearer {TOKEN}").parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    control.keys().list_keys(request).await.unwrap();

    let mut health = tonic_health::pb::health_client::HealthClient::new(control.channel.clone());
    let check = tonic_health::pb::HealthCheckRequest::default();
    assert_eq!(health.check(check).await.unwrap().into_inner().status, 1);
}

#[tokio::test]
async fn reflection_lists_every_service() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ListServiceResponse, ServerReflectionRequest};

    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    let mut client = ServerReflectionClient::new(control.channel.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(ListServiceResponse { service }) = answer else {
        panic!("not a list: {answer:?}");
    };
    let names: Vec<_> = service.into_iter().map(|service| service.name).collect();
    for name in [
        "grpc.health.v1.Health",
        "tollgate.admin.v1.KeyService",
        "tollgate.admin.v1.LimitService",
        "tollgate.admin.v1.NodeService",
        "tollgate.admin.v1.PolicyService",
        "tollgate.node.v1.ConfigService",
        "tollgate.node.v1.QuotaService",
    ] {
        assert!(
            names.iter().any(|known| known == name),
            "{name} is not in {names:?}"
        );
    }
}

#[tokio::test]
async fn other_machines_are_not_served_without_a_token() {
    let home = tempfile::tempdir().unwrap();
    let config = Config {
        url: String::new(),
        name: "a".to_owned(),
        token: None,
        drain: Duration::ZERO,
    };
    let app = App::new(config, &embedded(home.path()), CancellationToken::new());
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = app.serve(listener).await.unwrap_err().to_string();
    assert!(error.contains("without a token"), "{error}");
}

#[tokio::test]
async fn going_down_tells_the_nodes_and_ends_everything() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    let mut node = NodeStream::open(&control, "n").await;
    control.apply(policy("per-key", 1)).await.unwrap();
    node.policy().await;
    let (status, ()) = tokio::join!(node.hear(), control.stop());
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
    // The store is free again only if every task has ended.
    Control::start("b", &embedded(home.path()))
        .await
        .stop()
        .await;
}
