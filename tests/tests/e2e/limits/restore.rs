//! etcd restored from an older backup: nothing that was spent since can be spent again.

use anyhow::Context;

use super::ledger::{BUDGET, HARDLY_ANY, MONEY, race, settled};
use crate::caller;
use crate::cluster::{Cluster, PATIENCE, Store};
use crate::condition::eventually;

const THAW: [&str; 6] = [
    "limits",
    "thaw",
    "--by",
    "ada",
    "--reason",
    "all nodes are there",
];

/// Restores the backup in etcd's place, with the control plane down meanwhile.
async fn restore(cluster: &mut Cluster, backup: &std::path::Path) -> anyhow::Result<()> {
    cluster.controls[0].stop().await?;
    let etcd = cluster.etcd.as_mut().context("an etcd")?;
    etcd.restore(backup).await?;
    cluster.start_control(0).await?;
    cluster.wait_connected(cluster.nodes.len()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_not_spent_twice_after_a_restore_to_the_billionth() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Store::Etcd, 3, MONEY).await?;
    let key = cluster.key("acme/search/ada").await?;
    race(&cluster, &key, 10).await?;
    settled(&cluster).await?;
    let backup = cluster.file("backup");
    cluster.etcd.as_ref().context("an etcd")?.back_up(&backup)?;

    // Much is spent after the backup, some of it by a node that is shut down and started in between, whose processes go
    // on under one number. They go in good order: of one that crashes, what it spent last may be in doubt, and is charged
    // as suspense.
    race(&cluster, &key, 20).await?;
    for _ in 0..2 {
        cluster.nodes[2].stop().await?;
        cluster.start_node(2).await?;
        cluster.wait_connected(3).await?;
        race(&cluster, &key, 10).await?;
    }
    let before = settled(&cluster).await?;

    restore(&mut cluster, &backup).await?;
    eventually("the limits have their owner", PATIENCE, async || {
        let shown = cluster.tollgate(&["limits"])?;
        let text = String::from_utf8_lossy(&shown.stdout);
        // Never that nothing is in use, which is what the former process would have said.
        assert!(
            !shown.status.success() || text.starts_with("FROZEN since "),
            "{text}"
        );
        Ok(shown.status.success().then_some(()))
    })
    .await?;
    // A node goes on with what it holds until it hears of it.
    let caller = cluster.caller(0, &key)?;
    eventually("nothing is handed out", PATIENCE, async || {
        let refused = caller.complete("chat", "nonce=n hello").await.err();
        let reason = refused.map(|status| caller::reason(&status));
        Ok((reason.as_deref() == Some("LIMIT_UNAVAILABLE")).then_some(()))
    })
    .await?;
    eventually("every process has closed its share", PATIENCE, async || {
        Ok(cluster.tollgate(&THAW)?.status.success().then_some(()))
    })
    .await?;

    // All that the provider served counts, and the rest can be spent: not one billionth more, and hardly less.
    race(&cluster, &key, 1).await?;
    let after = settled(&cluster).await?;
    assert!(after.spent >= before.spent, "{before:?} {after:?}");
    race(&cluster, &key, 10_000).await?;
    let last = settled(&cluster).await?;
    assert!(last.spent + last.suspense <= BUDGET, "{last:?}");
    assert!(last.free + last.outstanding < HARDLY_ANY, "{last:?}");
    let audit = cluster.tollgate_ok(&["limits", "audit"])?;
    assert!(
        audit.contains("freeze") && audit.contains("thaw"),
        "{audit}"
    );
    Ok(())
}
