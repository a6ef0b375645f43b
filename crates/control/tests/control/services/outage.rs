//! A store that is away, or hangs, or whose answers are lost.

use super::*;

#[tokio::test]
async fn etcd_gone_refuses_changes_keeps_streams_and_needs_no_restart_after() {
    let mut server = Server::start();
    let store: SharedStore = Arc::new(server.client().await);
    let control = Control::start("a", &store).await;
    control.apply(policy("per-key", 1)).await.unwrap();
    let key = control.create_key("acme").await;
    let mut node = NodeStream::open(&control, "n").await;
    node.policy().await;

    server.kill();
    let status = control.apply(policy("per-key", 2)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    node.ack(1).await;
    let mut second = NodeStream::open(&control, "second").await;
    assert_eq!(
        second.policy().await.revision,
        1,
        "the policy is served from memory"
    );
    second.resolve(&key.secret).await;

    server.restart();
    assert!(
        second.key().await.key.is_some(),
        "asked while the store was away, answered after"
    );
    let back = async {
        while control.apply(policy("per-key", 3)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, back).await.expect("writes did not come back");
    let mut update = node.policy().await;
    while update.policy.as_ref() != Some(&policy("per-key", 3)) {
        update = node.policy().await;
    }
    let second_key = control.create_key("acme/two").await;
    node.resolve(&second_key.secret).await;
    assert!(node.key().await.key.is_some());
    let revoke = RevokeKeyRequest {
        id: second_key.key.unwrap().id,
    };
    control.keys().revoke_key(revoke).await.unwrap();
    assert_eq!(node.key().await.key, None, "watches are back as well");
}

#[tokio::test]
async fn a_hung_etcd_is_no_worse_than_a_dead_one() {
    let server = Server::start();
    let store: SharedStore = Arc::new(server.client().await);
    let control = Control::start("a", &store).await;
    control.apply(policy("per-key", 1)).await.unwrap();
    assert_eq!(
        NodeStream::open(&control, "first")
            .await
            .policy()
            .await
            .revision,
        1
    );
    server.signal("STOP");
    let mut node = NodeStream::open(&control, "second").await;
    assert_eq!(node.policy().await.revision, 1);
    let hung = timeout(Duration::from_secs(10), control.apply(policy("per-key", 2)));
    let status = hung
        .await
        .expect("the call hangs with the store")
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    server.signal("CONT");
    let back = async {
        while control.apply(policy("per-key", 3)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, back).await.expect("writes did not come back");
    assert!(node.policy().await.revision >= 2);
}

/// Loses the answer of every write of the policy's pointer and of keys; the write happens.
fn done_but_not_told(_: usize, txn: &Txn) -> Option<Lost> {
    touches(txn, &["/policy/current", "/key/"]).then_some(Lost::After)
}

/// Loses those writes altogether.
fn neither_done_nor_told(_: usize, txn: &Txn) -> Option<Lost> {
    touches(txn, &["/policy/current", "/key/"]).then_some(Lost::Before)
}

fn touches(txn: &Txn, prefixes: &[&str]) -> bool {
    let mut keys = txn.puts.iter().map(|(key, _)| key);
    keys.any(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)))
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_found_again() {
    let home = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(embedded(home.path()), done_but_not_told);
    let store: SharedStore = Arc::clone(&faulty) as SharedStore;
    let control = Control::start("a", &store).await;
    let applied = control.apply(policy("per-key", 1)).await.unwrap();
    assert_eq!(
        (applied.applied, applied.revision.unwrap().revision),
        (true, 1)
    );
    assert_eq!(control.revisions().await.len(), 1);
    let key = control.create_key("acme").await;
    let mut node = NodeStream::open(&control, "n").await;
    node.policy().await;
    node.resolve(&key.secret).await;
    assert!(node.key().await.key.is_some());
    assert_eq!(faulty.lost(), 2);
}

#[tokio::test]
async fn a_write_that_was_lost_is_reported_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(embedded(home.path()), neither_done_nor_told);
    let store: SharedStore = Arc::clone(&faulty) as SharedStore;
    let control = Control::start("a", &store).await;
    let status = control.apply(policy("per-key", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "OUTCOME_UNKNOWN"
    );
    assert!(control.revisions().await.is_empty());
    let request = CreateKeyRequest {
        subject: "acme".to_owned(),
        ..CreateKeyRequest::default()
    };
    let status = control.keys().create_key(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let listed = control
        .keys()
        .list_keys(ListKeysRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().keys.is_empty());
}
