//! The attempts of a request: what each takes, and what it is charged when it ends without an answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_policy::table::{Deployment, Use};
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_quota::node::Denial;

use super::{Attempt, Meter, Sent};
use crate::error::Error;
use crate::metrics;
use crate::permit::{Charge, Room};
use crate::plan::Line;
use crate::upstream::{Ended, Reached};

/// Which of a request's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Open {
    place: Place,
    /// What it has taken of ceilings.
    room: Option<Room>,
}

impl Meter {
    /// Makes ready for another attempt: where the one before may have been charged, it stays so, and the next one
    /// is reserved for by itself.
    ///
    /// # Errors
    /// The limit that has no room for it.
    pub(crate) async fn another_attempt(&mut self) -> Result<(), Error> {
        if self.sent != Sent::Perhaps {
            return Ok(());
        }
        let unknown = self.at_most(self.last());
        let Some(permit) = &mut self.permit else {
            return Ok(());
        };
        let needs = *permit.needs();
        let renewed = permit.renew(Charge::Unknown(unknown), needs).await;
        if renewed.map_err(|denial| self.no_room(&denial))? {
            self.sent = Sent::Nothing;
        }
        Ok(())
    }

    /// A limit has no room for another attempt.
    pub(super) fn no_room(&mut self, denial: &Denial) -> Error {
        let Some(permit) = &self.permit else {
            let what = "finding what a request holds";
            return Error::Internal { what };
        };
        let plan = Arc::clone(permit.plan());
        let refusal = plan.refusal(denial, permit.needs());
        self.refused_by(&plan, denial);
        refusal
    }

    /// Reserves for an attempt beside the one under way.
    ///
    /// # Errors
    /// A limit has no room for it.
    pub(crate) async fn attempt_beside(&mut self) -> Result<(), Denial> {
        match &mut self.permit {
            Some(permit) => permit.reserve_beside().await,
            None => Ok(()),
        }
    }

    /// Takes room for an attempt under ceilings.
    ///
    /// # Errors
    /// The ceiling that has no room.
    pub(crate) async fn enter(&self, ceilings: &Arc<[Line]>) -> Result<Option<Room>, Denial> {
        match &self.permit {
            Some(permit) => permit.enter(ceilings).await.map(Some),
            None => Ok(None),
        }
    }

    /// An attempt begins, for which there is room. Until it ends, the provider may be at work.
    pub(crate) fn attempt(&mut self, deployment: &Arc<Deployment>, room: Option<Room>) -> Place {
        // From here on the provider may count it.
        let one = Use {
            requests: 1,
            ..Use::default()
        };
        if let Some(permit) = &self.permit {
            permit.used(&one);
        }
        if let Some(room) = &room {
            room.used(&one);
        }
        let place = Place(self.attempts.len());
        self.attempts.push(Attempt {
            deployment: Arc::clone(deployment),
            outcome: AttemptOutcome::Unspecified,
            status: None,
            retry_after: None,
            started: Instant::now(),
            duration: Duration::ZERO,
            charged: None,
            failure: None,
            request_id: None,
            handed_on: false,
        });
        // There are never more than two.
        if let Some(free) = self.open.iter_mut().find(|it| it.is_none()) {
            *free = Some(Open { place, room });
        }
        place
    }

    /// The provider has answered an attempt, be it with a refusal, and calls it so.
    pub(crate) fn attempt_named(&mut self, place: Place, request_id: Arc<str>) {
        if let Some(attempt) = self.attempts.get_mut(place.0) {
            attempt.request_id = Some(request_id);
        }
    }

    /// An attempt brought no answer.
    pub(crate) fn attempt_failed(&mut self, place: Place, ended: &Ended) {
        let deployment = |it: &Attempt| Arc::clone(&it.deployment);
        let at = self.attempts.get(place.0).map(deployment);
        let charged = ended
            .usage
            .as_ref()
            .map(|usage| self.used(at.as_ref(), usage));
        if let Some(attempt) = self.attempts.get_mut(place.0) {
            attempt.charged = charged;
        }
        let at_most = self.at_most(place);
        let (reached, charge) = match ended.reached {
            Reached::Nobody => (Sent::Nothing, Charge::Nothing),
            Reached::Refusal => (Sent::Refused, Charge::Used(Use::default())),
            Reached::Perhaps => (Sent::Perhaps, Charge::Unknown(at_most)),
        };
        if let Some(room) = self.close(place) {
            room.settle(charge);
        }
        // Of two that race each has a reservation; it does not matter which is whose.
        let permit = self.permit.as_mut();
        if !permit.is_some_and(|permit| permit.settle_beside(charge)) {
            self.sent = self.sent.max(reached);
        }
        if let Some(attempt) = self.attempts.get_mut(place.0) {
            attempt.retry_after = ended.failure.retry_after;
            attempt.failure = Some(Arc::clone(&ended.failure));
        }
        self.record(place, ended.outcome, ended.failure.status);
    }

    /// An attempt brings the answer: one that raced with it is given up. Its provider may have done the work.
    pub(crate) fn attempt_won(&mut self, winner: Place) {
        let places = self.open.each_ref();
        let places = places.map(|open| open.as_ref().map(|open| open.place));
        let mut raced = false;
        for loser in places.into_iter().flatten().filter(|it| *it != winner) {
            let charge = Charge::Unknown(self.at_most(loser));
            if let Some(room) = self.close(loser) {
                room.settle(charge);
            }
            if let Some(permit) = &mut self.permit {
                permit.settle_beside(charge);
            }
            self.record(loser, AttemptOutcome::GivenUp, None);
            raced = true;
        }
        if let (false, Some(permit)) = (raced, &mut self.permit) {
            // Nothing came of what was reserved for another.
            permit.settle_beside(Charge::Nothing);
        }
    }

    /// The only attempt under way answers.
    pub(super) fn attempt_answered(&mut self) -> Option<Arc<Deployment>> {
        let place = self.open.iter().flatten().next()?.place;
        self.room = self.close(place);
        if let Some(attempt) = self.attempts.get_mut(place.0) {
            attempt.handed_on = true;
        }
        self.record(place, AttemptOutcome::Answered, Some(200))
    }

    /// Whether a provider may be at work.
    pub(super) fn is_at_work(&self) -> bool {
        self.open.iter().any(Option::is_some)
    }

    /// The request is over, and charged so.
    pub(super) fn settle_rooms(&mut self, charge: Charge) {
        for open in std::mem::take(&mut self.open).into_iter().flatten() {
            if let Some(room) = open.room {
                room.settle(Charge::Unknown(self.at_most(open.place)));
            }
        }
        if let Some(room) = self.room.take() {
            room.settle(charge);
        }
    }

    /// The attempt that began last.
    pub(super) fn last(&self) -> Place {
        Place(self.attempts.len().saturating_sub(1))
    }

    /// What an attempt may have been charged that brought no answer.
    pub(super) fn at_most(&self, place: Place) -> Use {
        let worst = self.needs().worst;
        let attempt = self.attempts.get(place.0);
        if let Some(charged) = attempt.and_then(|at| at.charged) {
            return charged;
        }
        let price = attempt.and_then(|at| at.deployment.price.as_ref());
        Use {
            cost: price.map_or(worst.cost, |it| it.highest_cost(&self.bounds)),
            ..worst
        }
    }

    fn close(&mut self, place: Place) -> Option<Room> {
        let is = |open: &&mut Option<Open>| open.as_ref().is_some_and(|open| open.place == place);
        self.open.iter_mut().find(is)?.take()?.room
    }

    fn record(
        &mut self,
        place: Place,
        outcome: AttemptOutcome,
        status: Option<u16>,
    ) -> Option<Arc<Deployment>> {
        let attempt = self.attempts.get_mut(place.0)?;
        attempt.outcome = outcome;
        attempt.status = status;
        attempt.duration = attempt.started.elapsed();
        metrics::attempt(attempt);
        Some(Arc::clone(&attempt.deployment))
    }
}
