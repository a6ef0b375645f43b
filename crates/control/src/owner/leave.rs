//! How a shard is left in good order: nothing is lost that the next owner could hand out, or has to know.

use std::time::Duration;

use tokio::time::timeout;
use tollgate_quota::Shard;
use tollgate_quota::owner::HorizonRecord;
use tracing::{debug, info, warn};

use super::term::Stage;
use super::{Done, Shell};
use crate::error::Result;

/// At shutdown the store has so long to take the last writes. Without them units stay unused until their window ends, and
/// the next owner of brief limits and buckets hands out nothing for some seconds.
const WITHIN: Duration = Duration::from_secs(3);
/// Shards released by one transaction, each by two writes.
const MOST_RELEASED: usize = 60;
/// Counters that are left word of by one transaction, unless one shard has more: some hundred kilobytes of the megabyte and a
/// half that a store takes.
const MOST_LEFT: usize = 1_000;

/// A shard of which all is written, to be released.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) term: (Shard, u64),
    /// The horizon to leave behind, with word of what was handed out by it: the next owner need not wait.
    pub(super) horizon: Option<HorizonRecord>,
}

impl Shell {
    /// Hands out nothing of the shard from now on, and writes what is to be left behind.
    pub(super) fn leave(&mut self, shard: Shard) {
        if let Some(term) = self.terms.get_mut(shard)
            && term.leaving.is_none()
        {
            term.machine.retire();
            term.leaving = Some(Stage::Finishing);
            self.go_on_leaving(shard);
        }
    }

    /// To be called whenever something that the shard's machine waited for has come.
    pub(super) fn go_on_leaving(&mut self, shard: Shard) {
        let now = self.clock.now();
        let Some(term) = self.terms.get_mut(shard) else {
            return;
        };
        if term.leaving == Some(Stage::Finishing) && term.is_settled() {
            term.leaving = Some(Stage::Writing);
            let epoch = term.epoch;
            for effect in term.machine.last_writes(now) {
                self.perform((shard, epoch), effect);
            }
        }
        let Some(term) = self.terms.get_mut(shard) else {
            return;
        };
        if term.leaving == Some(Stage::Writing) && term.is_settled() {
            term.leaving = Some(Stage::Releasing);
            self.leaving.push(Leaving {
                term: (shard, term.epoch),
                horizon: term.machine.last_horizon(now),
            });
        }
    }

    pub(super) fn start_leaving(&mut self) {
        while !self.leaving.is_empty() {
            let mut left = 0;
            let fits = |leaving: &&Leaving| {
                left += leaving.horizon.as_ref().map_or(0, |it| it.left.len());
                left <= MOST_LEFT
            };
            let several = self.leaving.iter().take(MOST_RELEASED);
            let count = several.take_while(fits).count().max(1);
            let batch: Vec<_> = self.leaving.drain(..count).collect();
            let (desk, wait) = (self.desk.clone(), self.backoff.draw());
            self.jobs.spawn(async move {
                let outcome = desk.release(&batch).await;
                if outcome.is_err() {
                    tokio::time::sleep(wait).await;
                }
                Done::Left(batch, outcome)
            });
        }
    }

    pub(super) fn left(&mut self, left: Vec<Leaving>, outcome: Result<()>) {
        if let Err(error) = outcome {
            debug!(%error, "cannot release shards yet");
            self.leaving.extend(left);
            return;
        }
        let ours = left.into_iter().map(|leaving| leaving.term);
        let ours = ours.filter(|(shard, epoch)| self.terms.epoch(*shard) == Some(*epoch));
        let shards: Vec<_> = ours.map(|(shard, _)| shard).collect();
        info!(shards = shards.len(), "handed over");
        self.end_terms(&shards);
    }

    /// At shutdown.
    pub(super) async fn leave_all(&mut self) {
        for shard in self.terms.shards() {
            self.leave(shard);
        }
        self.placing.stop();
        self.tell_standing();
        let left = async {
            while !self.terms.is_empty() || self.placing.is_busy() {
                self.start_jobs();
                while self.can_flush() {
                    self.flush();
                }
                match self.jobs.join_next().await {
                    Some(done) => self.done(done),
                    None => break,
                }
            }
            if !self.desk.store.is_exclusive()
                && let Err(error) = self.desk.ownership.deregister().await
            {
                warn!(%error, "cannot deregister, other replicas will wait a few seconds");
            }
        };
        if timeout(WITHIN, left).await.is_err() {
            warn!("the store did not take the last writes of this owner in time");
        }
    }
}
