use std::sync::Arc;

use tokio::task::JoinSet;

use super::*;
use crate::ownership::path;
use crate::snapshot::Follower;
use crate::store::embedded::Embedded;

async fn epoch(store: &SharedStore) -> Option<u64> {
    let entry = store.get(&path(Shard(0))).await.unwrap().entry;
    entry.map(|entry| entry.mod_revision)
}

#[tokio::test]
async fn a_corrected_clock_begins_a_new_term_and_shutdown_ends_it() {
    let home = tempfile::tempdir().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
    let follower = Follower::new(Arc::clone(&store));
    let current = follower.subscribe();
    let shutdown = CancellationToken::new();
    let (shell, mut handle) = Shell::new(
        Arc::clone(&store),
        Replica::default(),
        current,
        shutdown.clone(),
    );
    let mut tasks = JoinSet::new();
    tasks.spawn(follower.run());
    let shell = tasks.spawn(shell.run());
    handle.settled().await;
    let first = epoch(&store).await.unwrap();
    assert!(handle.counters().await.unwrap().is_empty());

    // To the term it looks as if the wall clock had been set back by five seconds.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    while epoch(&store).await.unwrap() == first || handle.counters().await.is_err() {
        tokio::task::yield_now().await;
    }

    shutdown.cancel();
    while !shell.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(epoch(&store).await, None, "released");
    assert!(handle.counters().await.is_err());
}
