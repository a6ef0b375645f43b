//! Several replicas of the control plane: who owns which limits, and when another one does.

use tollgate_proto::admin::v1::LimitState;

use super::*;

/// The counters in use, once all shards have an owner: in a hand-over some have none for a moment.
async fn listed(control: &Control) -> Vec<LimitState> {
    let mut limits = control.limits();
    let look = async {
        loop {
            match limits.list_limits(ListLimitsRequest::default()).await {
                Ok(listed) => return listed.into_inner().limits,
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
        }
    };
    timeout(LONG, look)
        .await
        .expect("a shard stays without owner")
}

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
    left.until_owned(BTreeSet::is_empty).await;
    // Operators may ask any of them.
    assert_eq!(listed(&old).await[0].counter, "per-key/key=k1");
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
async fn a_replica_that_comes_is_handed_its_share_and_leaves_it_when_it_goes() {
    let server = Server::start();
    let (first, second): (SharedStore, SharedStore) = (
        Arc::new(server.client().await),
        Arc::new(server.client().await),
    );
    let old = Control::start("old", &first).await;
    old.apply(policy("per-key", 100)).await.unwrap();
    let (mut left, mut right) = (Caller::new("left", 1), Caller::new("right", 2));
    left.connect(&old).await;
    assert_eq!(left.owned().await.len(), Shard::COUNT);
    // One counter stays, one moves.
    let mut counters = (1..).map(|n| counter(&format!("k{n}")));
    let mut parts = Vec::new();
    let new = Control::start("new", &second).await;
    right.connect(&new).await;
    left.until_owned(|owned| owned.len() < Shard::COUNT - 80)
        .await;
    let stays = left.owned().await;
    let moved = counters.find(|counter| !stays.contains(&counter.shard()));
    let moved = moved.unwrap();
    right
        .until_owned(|owned| owned.contains(&moved.shard()))
        .await;
    parts.push(timeout(LONG, use_up(&mut right, &moved)).await.unwrap());
    // Whichever is asked, all counters are listed, once.
    for control in [&old, &new] {
        let listed = listed(control).await;
        let names: Vec<_> = listed.iter().map(|limit| limit.name.as_str()).collect();
        assert_eq!(names, [moved.as_str()]);
    }

    // Going down in order it leaves its place, and the one that stays need not wait.
    new.stop().await;
    left.until_owned(|owned| owned.len() == Shard::COUNT).await;
    parts.push(timeout(LONG, use_up(&mut left, &moved)).await.unwrap());
    let total = sum(parts);
    assert_eq!(total.values().last(), Some(&100), "{total:?}");
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
