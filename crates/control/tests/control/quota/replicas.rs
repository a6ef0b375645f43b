//! Several replicas of the control plane: who owns the limits, and when another one does.

use super::*;

#[tokio::test]
async fn a_replica_that_takes_over_fences_the_living_one() {
    let server = Server::start();
    let old_store: SharedStore = Arc::new(server.client().await);
    let new_store: SharedStore = Arc::new(server.client().await);
    // Of one name: the second takes the first for its own former process, which is gone, and does not wait.
    let old = Control::start("a", &old_store).await;
    old.apply(policy("per-key", 100)).await.unwrap();
    let counter = counter("k1");
    let (mut left, mut right) = (Caller::new("left", 1), Caller::new("right", 2));
    left.connect(&old).await;
    let mut parts = vec![ask(&mut left, &counter, 10).await];

    let new = Control::start("a", &new_store).await;
    right.connect(&new).await;
    parts.push(timeout(LONG, use_up(&mut right, &counter)).await.unwrap());
    // The old one's node may use what it holds. Then it asks, and nobody answers.
    parts.push(timeout(LONG, ask(&mut left, &counter, 3)).await.unwrap());
    let status = left.end().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("`a` hands out quota"),
        "{status:?}"
    );
    // Operators may ask any of them.
    let listed = old
        .limits()
        .list_limits(ListLimitsRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.into_inner().limits[0].counter, "per-key/key=k1");
    left.connect(&new).await;
    parts.push(timeout(LONG, use_up(&mut left, &counter)).await.unwrap());
    let total = sum(parts);
    assert!(total.values().all(|count| *count <= 100), "{total:?}");

    // When the new one goes down in order, the old one takes over again, at once and without a restart.
    new.stop().await;
    let back = async {
        loop {
            left.connect(&old).await;
            if !matches!(left.admit(&counter).await, Err(Why::NoAnswer)) {
                return;
            }
        }
    };
    timeout(LONG, back).await.expect("nobody hands out quota");
}

#[tokio::test]
async fn a_replica_that_starts_leaves_a_living_owner_alone() {
    let server = Server::start();
    let (first, second): (SharedStore, SharedStore) = (
        Arc::new(server.client().await),
        Arc::new(server.client().await),
    );
    let old = Control::start("old", &first).await;
    old.apply(policy("per-key", 100)).await.unwrap();
    let counter = counter("k1");
    let (mut left, mut right) = (Caller::new("left", 1), Caller::new("right", 2));
    left.connect(&old).await;
    assert!(left.admit(&counter).await.is_ok());

    let new = Control::start("new", &second).await;
    right.connect(&new).await;
    let status = right.end().await;
    assert!(
        status.message().contains("`old` hands out quota"),
        "{status:?}"
    );
    right.connect(&old).await;
    let shared = timeout(LONG, use_up(&mut right, &counter)).await.unwrap();
    assert!(shared.values().sum::<u64>() >= 90, "one epoch: {shared:?}");

    // Going down in order it leaves its place, and the one that waited need not wait longer.
    old.stop().await;
    let moved = async {
        loop {
            right.connect(&new).await;
            if !matches!(right.admit(&counter).await, Err(Why::NoAnswer)) {
                return;
            }
        }
    };
    timeout(LONG, moved).await.expect("nobody hands out quota");
}

/// Signs of life are lost, as when the owner alone is cut off from the store.
fn lifeless(_: usize, txn: &Txn) -> Option<Lost> {
    let beat = txn.puts.iter().any(|(key, _)| key.starts_with("/q/beat/"));
    beat.then_some(Lost::Before)
}

#[tokio::test]
async fn an_owner_that_lost_its_store_sends_nodes_to_look_and_serves_those_that_come_back() {
    let server = Server::start();
    let store: SharedStore = Faulty::new(Arc::new(server.client().await), lifeless);
    let control = Control::start("a", &store).await;
    control.apply(policy("per-key", 100)).await.unwrap();
    let counter = counter("k1");
    let mut caller = Caller::new("n", 1);
    caller.connect(&control).await;
    assert!(caller.admit(&counter).await.is_ok());
    let status = timeout(LONG, caller.end()).await.unwrap();
    assert!(
        status.message().contains("has lost its store"),
        "{status:?}"
    );
    caller.connect(&control).await;
    let rest = timeout(LONG, use_up(&mut caller, &counter)).await.unwrap();
    assert!(rest.values().sum::<u64>() >= 90, "one epoch: {rest:?}");
}

#[tokio::test]
async fn an_orderly_hand_over_loses_not_one_unit() {
    let server = Server::start();
    let (first, second): (SharedStore, SharedStore) = (
        Arc::new(server.client().await),
        Arc::new(server.client().await),
    );
    let old = Control::start("old", &first).await;
    old.apply(policy("per-key", 100)).await.unwrap();
    let new = Control::start("new", &second).await;
    let counter = counter("k1");
    let mut caller = Caller::new("n", 1);
    caller.connect(&old).await;
    let mut parts = vec![ask(&mut caller, &counter, 10).await];

    // Of what was debited, most is with nobody.
    old.stop().await;
    let rest = async {
        loop {
            match caller.admit(&counter).await {
                Ok(window) => parts.push(Admitted::from([(window.0, 1)])),
                Err(Why::NoAnswer) => caller.connect(&new).await,
                Err(Why::Exhausted { .. }) => return,
                Err(why) => panic!("refused: {why:?}"),
            }
        }
    };
    timeout(LONG, rest).await.expect("nobody hands out quota");
    let total = sum(parts);
    assert_eq!(total.values().last(), Some(&100), "{total:?}");
}
