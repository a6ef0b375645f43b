//! Streams that outgrow what limits hold for them.

use std::sync::Arc;

use tollgate_provider::chat::{Chunk, FinishReason, Usage, UsageSource};

use super::Meter;
use crate::metrics;
use crate::permit::Course;

impl Meter {
    /// Has limits hold enough for what the stream has brought so far. Nobody waits for that but those whose answer has
    /// to end where a limit has no room for more: then the limit's name.
    pub(crate) async fn keep_up(&mut self) -> Option<Arc<str>> {
        let outgrown = |meter: &Self| {
            let permit = meter.permit.as_ref();
            permit.is_some_and(|permit| permit.plan().can_be_outgrown())
        };
        // An answer whose choices have all ended uses no more.
        if self.unfinished == 0 || !outgrown(self) {
            return None;
        }
        let output = self.streamed_output;
        let so_far = Usage::of(self.bounds.input, output, UsageSource::Estimated);
        let used = self.used(self.answering.as_ref(), &so_far);
        let permit = self.permit.as_mut()?;
        loop {
            match permit.keep_up(&used) {
                Course::On => return None,
                Course::Waits => permit.kept_up().await,
                Course::Ends(limit) => return Some(limit),
            }
        }
    }

    /// A limit ends the stream. `usage` is what the provider has counted by then. Answers how the choices end.
    pub(crate) fn stop(&mut self, limit: Arc<str>, usage: Option<Usage>) -> Vec<Chunk> {
        metrics::stopped(&limit);
        self.stopped_by = Some(limit);
        let known = self.usage.or(usage);
        self.usage = known.map(|usage| self.caught_up(usage));
        let unfinished = std::mem::take(&mut self.unfinished);
        let choices = (0..u64::BITS).filter(|choice| unfinished & super::bit(*choice) != 0);
        let finish = |choice| Chunk::Finish {
            choice,
            reason: FinishReason::Length,
        };
        choices.map(finish).collect()
    }
}
