//! Quota in a store that was restored from an older copy: the thaw, once no share of before is open.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_quota::owner::LedgerRow;
use tollgate_quota::{Counter, NodeMessage, OwnerTime};

use super::write::Desk;
use super::{Done, Shell, Thawing};
use crate::error::{Error, Result};
use crate::origin;
use crate::store::Txn;

/// Nodes repeat with every heartbeat, once a second, what is not durably closed, and say it in several messages where
/// it is much. So after this long without such a word there is none left.
const ALL_SAID: Duration = Duration::from_secs(3);

impl Shell {
    /// Notes that a process has more to say before quota can be thawed: it tells of others that are dead, or its own
    /// totals stand in another store and it will give them up. The store may know nothing of either.
    pub(super) fn note_unfinished(&mut self, message: &NodeMessage, store: u64) {
        if !self.origin.is_frozen() {
            return;
        }
        if store == self.origin.store {
            // Where it holds anything, it has heard of it in this store only.
            self.here.insert((store, message.incarnation));
        }
        let elsewhere = store != 0 && store != self.origin.store;
        if elsewhere || !message.closes.is_empty() {
            self.unfinished = Some(Instant::now());
        }
    }

    pub(super) fn thaw(&mut self, thawing: Box<Thawing>) {
        let (desk, now, origin) = (self.desk.clone(), self.clock.now(), self.origin);
        let heard = self.unfinished.map(|at| at.elapsed());
        let here = self.here.clone();
        self.jobs.spawn(async move {
            let outcome = async {
                if !origin.is_frozen() {
                    return Err(Error::NotPossible("quota is not frozen".to_owned()));
                }
                let mut open = desk.open_shares(now).await?;
                open.retain(|(_, row)| !here.contains(&(origin.store, row.incarnation)));
                refuse(&open)?;
                if heard.is_some_and(|ago| ago < ALL_SAID) {
                    return Err(Error::NotPossible(
                        "nodes are still closing what they had: try again in a few seconds"
                            .to_owned(),
                    ));
                }
                let txn = thawing.audit.put_done(Txn::new());
                origin::thaw(&desk.store, origin, txn).await
            };
            let outcome = outcome.await;
            Done::Thawed(thawing, outcome)
        });
    }

    /// Terms that are not frozen follow; other replicas see it when they look.
    pub(super) fn thawed(&mut self, thawing: Thawing, outcome: Result<()>) {
        if outcome.is_ok() {
            self.begin_anew();
        }
        // Whoever asked may have gone.
        let _ = thawing.done.send(outcome);
    }
}

impl Desk {
    /// The shares of windows that are not over of which a process may have used more than the store says.
    async fn open_shares(&self, now: OwnerTime) -> Result<Vec<(Counter, LedgerRow)>> {
        let (mut after, mut open) = (String::new(), Vec::new());
        loop {
            let (rows, next) = self.rows(&after, now).await?;
            open.extend(rows.into_iter().filter(|(_, row)| !row.closed));
            match next {
                Some(next) => after = next,
                None => return Ok(open),
            }
        }
    }
}

/// Says what to do about shares that are open.
fn refuse(open: &[(Counter, LedgerRow)]) -> Result<()> {
    let Some((counter, row)) = open.first() else {
        return Ok(());
    };
    let (count, process, node) = (open.len(), row.incarnation.0, &row.node);
    Err(Error::NotPossible(format!(
        "{count} shares from before the restore are open, such as that of process {process} of node `{node}` in \
         {counter}: start that node on its data folder, or close the share (`tollgate limits close`)"
    )))
}
