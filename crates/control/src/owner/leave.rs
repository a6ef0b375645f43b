//! How a term ends in good order: nothing is lost that the next owner could hand out, or has to know.

use std::time::Duration;

use tokio::time::timeout;
use tollgate_quota::owner::Effect;
use tracing::{debug, warn};

use super::streams::Streams;
use super::term::Term;
use super::write::Write;

/// The store has so long to take the last writes. Without them units stay unused until their window ends, and the next
/// owner of limits without windows waits a few seconds longer.
const WITHIN: Duration = Duration::from_secs(3);

impl Term {
    /// Hands out nothing from now on, and writes what is to be left behind.
    pub(super) async fn leave(&mut self, streams: &Streams) {
        self.machine.retire();
        let left = async {
            // What is under way ends first: the last writes build on it.
            self.finish(streams).await;
            for effect in self.machine.last_writes(self.clock.now()) {
                self.write_last(effect);
            }
            self.finish(streams).await;
            self.lower_horizon().await;
        };
        if timeout(WITHIN, left).await.is_err() {
            warn!("the store did not take the last writes of this owner in time");
        }
    }

    /// Sends all writes that wait, and waits for all that is under way.
    async fn finish(&mut self, streams: &Streams) {
        loop {
            while self.can_flush() {
                self.flush();
            }
            match self.jobs.join_next().await {
                Some(done) => self.done(done, streams),
                None => return,
            }
        }
    }

    fn write_last(&mut self, effect: Effect) {
        if let Effect::Persist {
            counter,
            record,
            rows,
            expected_mod_revision: expected,
        } = effect
        {
            self.write(Write {
                counter,
                record,
                rows,
                expected,
            });
        }
    }

    async fn lower_horizon(&mut self) {
        let Some(record) = self.machine.last_horizon(self.clock.now()) else {
            return;
        };
        if let Err(error) = self.desk.lower_horizon(record).await {
            debug!(%error, "cannot lower the horizon");
        }
    }
}
