//! A second attempt beside one that is slow to answer (J. Dean and L. Barroso, "The Tail at Scale", 2013).

use std::time::Duration;

use tollgate_balance::Attempts;

use super::{Reply, Started, Walk, cause};
use crate::error::Error;
use crate::meter::Meter;
use crate::permit::Room;
use crate::upstream::Ended;

impl Walk<'_> {
    /// Waits for an attempt, and lets another race with it where it brings nothing for so long.
    pub(super) async fn hedged(
        &self,
        mut one: Started,
        after: Duration,
        attempts: &mut Attempts<'_>,
        meter: &mut Meter,
    ) -> Result<Result<Reply, Ended>, Error> {
        let mut first = Box::pin(self.run(&mut one));
        let beside = async {
            tokio::time::sleep(after).await;
            self.beside(attempts, meter).await
        };
        // Looked at first: an answer that is there makes the second attempt needless.
        let beside = tokio::select! {
            biased;
            result = &mut first => Err(result),
            beside = beside => Ok(beside?),
        };
        let mut two = match beside {
            Ok(Some(two)) => two,
            Ok(None) => {
                let result = first.await;
                return Ok(self.conclude((one, result), attempts, meter));
            }
            Err(result) => {
                drop(first);
                return Ok(self.conclude((one, result), attempts, meter));
            }
        };
        let mut second = Box::pin(self.run(&mut two));
        let (result, is_first) = tokio::select! {
            biased;
            result = &mut first => (result, true),
            result = &mut second => (result, false),
        };
        let is_over = match &result {
            Ok(_) => true,
            // The request is wrong wherever it goes.
            Err(ended) => cause(ended).is_none() && !ended.is_inexpressible(),
        };
        let other = match (is_over, is_first) {
            (true, _) => None,
            (false, true) => Some(second.as_mut().await),
            (false, false) => Some(first.as_mut().await),
        };
        drop((first, second));
        let (done, left) = if is_first { (one, two) } else { (two, one) };
        let Some(other) = other else {
            left.under_way.given_up();
            meter.attempt_won(done.place);
            return Ok(self.conclude((done, result), attempts, meter));
        };
        if let Err(ended) = self.conclude((done, result), attempts, meter)
            && let Some(cause) = cause(&ended)
        {
            attempts.failed(cause);
        }
        Ok(self.conclude((left, other), attempts, meter))
    }

    /// Begins a second attempt, where there is a deployment for it, limits and ceilings have room, and the retries are
    /// not used up.
    async fn beside(
        &self,
        attempts: &mut Attempts<'_>,
        meter: &mut Meter,
    ) -> Result<Option<Started>, Error> {
        // A target without room for an attempt beside another may be asked once that one has failed.
        let mut with_it = attempts.clone();
        let Some(target) = self.case.next(&mut with_it) else {
            return Ok(None);
        };
        let Some(room) = self.room_beside(target, meter).await else {
            return Ok(None);
        };
        *attempts = with_it;
        self.start((target, attempts), room, meter).map(Some)
    }

    async fn room_beside(&self, target: usize, meter: &mut Meter) -> Option<Option<Room>> {
        if !self.revision().may_retry(&self.case.request.model) {
            return None;
        }
        meter.attempt_beside().await.ok()?;
        match self.revision().ceilings(target) {
            Some(ceilings) => meter.take_room(ceilings).await.ok(),
            None => Some(None),
        }
    }
}
