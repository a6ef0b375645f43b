//! Brings a request to a provider that answers it: pools in order, a choice by the pool's strategy in each, and on
//! failure the next deployment, as long as the caller has been sent nothing.

mod ask;
mod choice;
mod exhausted;
mod go_on;
mod hedge;

use std::sync::{Arc, OnceLock};

use tollgate_balance::{Attempts, Cause};
use tollgate_policy::table::{Deployment, SlowStream};
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::Class;
use tollgate_provider::chat::{self, Chunk, Response};
use tollgate_provider::embeddings;

use crate::error::Error;
use crate::meter::{Meter, Place, outcome_name};
use crate::metrics;
use crate::permit::{Needs, Room};
use crate::revision::Revision;
use crate::traffic::UnderWay;
use crate::upstream::{Ended, LiveStream, Upstream};

pub(crate) use choice::Case;
pub(crate) use go_on::Continuation;

/// What a provider answered.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Everything.
    Whole(Box<Response>),
    /// A stream that has brought its first content.
    Stream(Box<Begun>),
    /// Vectors.
    Embeddings(Box<embeddings::Response>),
}

/// A stream that has brought its first content.
#[derive(Debug)]
pub(crate) struct Begun {
    /// What follows.
    pub(crate) live: LiveStream,
    /// What has come so far.
    pub(crate) chunks: Vec<Chunk>,
    /// Whether nothing follows.
    pub(crate) over: bool,
    /// Tokens that came before, and that the caller has already.
    pub(crate) left_out: u64,
    /// The attempt that brings it.
    pub(crate) under_way: UnderWay,
}

/// The way of one request over deployments.
struct Walk<'a> {
    case: &'a Case<'a>,
    /// The deployment that is asked once more, and what: it could not read all of the request.
    again: Option<(usize, Arc<chat::Request>)>,
    /// The deployments that had no room.
    full: Vec<Full>,
    /// What of the request the first deployment that cannot take it does not take.
    unfit: Option<Error>,
}

/// A deployment that had no room.
struct Full {
    target: usize,
    deployment: Arc<Deployment>,
    /// The ceiling, as a caller is told of it.
    why: Error,
}

/// A deployment was passed over.
struct NoRoom;

/// An attempt brought no answer.
struct Failed {
    target: usize,
    ended: Ended,
}

/// An attempt under way.
struct Started {
    /// What is asked instead of the request.
    instead: Option<Arc<chat::Request>>,
    deployment: Arc<Deployment>,
    upstream: Arc<Upstream>,
    under_way: UnderWay,
    place: Place,
    slow_stream: Option<SlowStream>,
    /// What the provider calls the request, once it has answered.
    request_id: OnceLock<Arc<str>>,
    /// Whether there is another deployment to ask, should the provider's filter withhold the answer.
    goes_on_withheld: bool,
}

/// Tries deployments until one answers. One that has no room for the request under its ceilings is passed over.
///
/// # Errors
/// The request itself is at fault, or all that could be tried failed or had no room.
pub(crate) async fn dispatch(
    case: &Case<'_>,
    attempts: &mut Attempts<'_>,
    meter: &mut Meter,
) -> Result<Reply, Error> {
    let mut walk = Walk {
        case,
        again: None,
        full: Vec::new(),
        unfit: None,
    };
    let (revision, model) = (walk.revision(), &case.request.model);
    // What is wrong with the request, where a provider found it at fault.
    let mut at_fault = None;
    // Whether that is why it goes on.
    let mut for_its_own_sake = false;
    if attempts.made() == 0 {
        revision.first_attempt(model);
    }
    while let Some(target) = walk.next(attempts) {
        // Callers' limits first, then ceilings: in one order everywhere.
        meter.another_attempt().await?;
        let Ok(room) = walk.take_room(target, meter).await else {
            if walk.again.take().is_none() {
                attempts.pass_over();
            }
            continue;
        };
        // A fallback for the request's own sake is no retry: it buries nobody.
        if attempts.made() > 1 && !for_its_own_sake && !revision.may_retry(model) {
            break;
        }
        let Failed { target, ended } = match walk.attempt((target, attempts), room, meter).await? {
            Ok(reply) => return Ok(reply),
            Err(failed) => failed,
        };
        walk.again = ended.readable.clone().map(|readable| (target, readable));
        if walk.again.is_some() {
            for_its_own_sake = true;
            continue;
        }
        if ended.is_inexpressible() {
            // Another provider may have words for it.
            attempts.unfit();
            for_its_own_sake = true;
            walk.unfit
                .get_or_insert_with(|| exhausted::final_error(&ended));
            continue;
        }
        let Some(cause) = cause(&ended) else {
            return Err(exhausted::final_error(&ended));
        };
        for_its_own_sake = cause.is_of_request();
        if for_its_own_sake {
            at_fault.get_or_insert_with(|| exhausted::final_error(&ended));
        }
        if !attempts.failed(cause) {
            break;
        }
    }
    Err(at_fault.unwrap_or_else(|| walk.exhausted(attempts, meter)))
}

// === impl Begun ===

impl Begun {
    /// Ends it before its end, because a limit has no room for more. Answers its last chunks.
    pub(crate) fn stop(&mut self, meter: &mut Meter, limit: Arc<str>) -> Vec<Chunk> {
        let usage = self.live.usage();
        self.live.give_up();
        self.over = true;
        meter.stop(limit, usage)
    }
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn revision(&self) -> &'a Revision {
        &self.case.request.revision
    }

    /// The next deployment to try.
    fn next(&self, attempts: &mut Attempts<'_>) -> Option<usize> {
        let again = self.again.as_ref().map(|(target, _)| *target);
        again.or_else(|| self.case.next(attempts))
    }

    /// Takes room for an attempt at a deployment.
    async fn take_room(
        &mut self,
        target: usize,
        meter: &mut Meter,
    ) -> Result<Option<Room>, NoRoom> {
        let Some(ceilings) = self.revision().ceilings(target) else {
            return Ok(None);
        };
        let denial = match meter.take_room(ceilings).await {
            Ok(room) => return Ok(room),
            Err(denial) => denial,
        };
        if let (Some(line), Some((deployment, _))) =
            (ceilings.get(denial.ask), self.revision().deployment(target))
        {
            metrics::passed_over(&deployment.name, &line.limit.name);
            let why = line.refusal(denial.why, &Needs::of_attempt(meter.needs().worst));
            meter.passed_over(&deployment.name, &why);
            self.full.push(Full {
                target,
                deployment: Arc::clone(deployment),
                why,
            });
        }
        Err(NoRoom)
    }

    /// Makes an attempt at a deployment, and perhaps another beside it. The inner error is how the last of them ended.
    async fn attempt(
        &self,
        (target, attempts): (usize, &mut Attempts<'_>),
        room: Option<Room>,
        meter: &mut Meter,
    ) -> Result<Result<Reply, Failed>, Error> {
        let mut one = self.start((target, attempts), room, meter)?;
        let hedge_after = self.case.request.model.hedge_after;
        if let Some(after) = hedge_after.filter(|_| self.case.seen.is_none()) {
            return self.hedged(one, after, attempts, meter).await;
        }
        let result = self.run(&mut one).await;
        Ok(self.conclude((one, result), attempts, meter))
    }

    fn start(
        &self,
        (target, attempts): (usize, &Attempts<'_>),
        room: Option<Room>,
        meter: &mut Meter,
    ) -> Result<Started, Error> {
        let missing = || Error::Internal {
            what: "finding a deployment",
        };
        let (deployment, upstream) = self.revision().deployment(target).ok_or_else(missing)?;
        let begun = self.revision().traffic().begin(target, self.case.wish.load);
        // Slow is better than nothing: only where there is another, a slow one is given up.
        let slow_stream = self.case.request.model.slow_stream;
        let has_other = || self.case.next(&mut attempts.clone()).is_some();
        let slow_stream = slow_stream.filter(|_| self.case.seen.is_none() && has_other());
        let again = self.again.as_ref().filter(|(again, _)| *again == target);
        Ok(Started {
            instead: again.map(|(_, readable)| Arc::clone(readable)),
            under_way: begun.ok_or_else(missing)?,
            place: meter.attempt(deployment, room),
            deployment: Arc::clone(deployment),
            upstream: Arc::clone(upstream),
            slow_stream,
            request_id: OnceLock::new(),
            goes_on_withheld: self.goes_on_withheld(attempts),
        })
    }

    /// Whether the policy has a deployment left for what a filter withholds.
    fn goes_on_withheld(&self, attempts: &Attempts<'_>) -> bool {
        let mut fallbacks = self.case.route.fallbacks.iter();
        fallbacks.any(|it| it.on.content_filter) && {
            let mut rest = attempts.clone();
            rest.failed(Cause::ContentFilter) && self.case.next(&mut rest).is_some()
        }
    }

    async fn run(&self, it: &mut Started) -> Result<ask::Answer, Ended> {
        let answer = self.ask(it).await?;
        match answer.withheld(&self.case.request.asked) {
            Some(usage) if it.goes_on_withheld => Err(Ended::withheld(usage)),
            _ => Ok(answer),
        }
    }

    /// Notes how an attempt ended. A provider that was silent is asked again only where no other is left: it would cost as
    /// long again.
    fn conclude(
        &self,
        (it, result): (Started, Result<ask::Answer, Ended>),
        attempts: &mut Attempts<'_>,
        meter: &mut Meter,
    ) -> Result<Reply, Failed> {
        let reply = conclude(it, result, meter);
        if let Err(Failed { target, ended }) = &reply
            && ended.outcome == AttemptOutcome::TimedOut
        {
            shun_provider_of(self.revision(), *target, attempts);
        }
        reply
    }
}

fn shun_provider_of(revision: &Revision, target: usize, attempts: &mut Attempts<'_>) {
    let provider = |target| {
        let (deployment, _) = revision.deployment(target)?;
        Some(deployment.provider.index)
    };
    let silent = provider(target);
    attempts.shun(|target| provider(target) == silent);
}

/// Notes how an attempt ended.
fn conclude(
    mut it: Started,
    result: Result<ask::Answer, Ended>,
    meter: &mut Meter,
) -> Result<Reply, Failed> {
    if let Some(request_id) = it.request_id.take() {
        meter.attempt_named(it.place, request_id);
    }
    match result {
        Ok(ask::Answer::Whole(response)) => {
            meter.attempt_won(it.place);
            let output = response.usage.map_or(0, |usage| usage.output_total);
            it.under_way.answered(output);
            it.under_way.used(response.usage);
            Ok(Reply::Whole(response))
        }
        Ok(ask::Answer::Embeddings(response)) => {
            meter.attempt_won(it.place);
            it.under_way.answered(0);
            Ok(Reply::Embeddings(response))
        }
        Ok(ask::Answer::Stream(opening)) => {
            meter.attempt_won(it.place);
            Ok(Reply::Stream(Box::new(Begun {
                live: opening.live,
                chunks: opening.chunks,
                over: opening.over,
                left_out: opening.left_out,
                under_way: it.under_way,
            })))
        }
        Err(ended) => {
            meter.attempt_failed(it.place, &ended);
            it.under_way.failed(&ended);
            report(&it.deployment, &ended);
            let target = it.under_way.target();
            Err(Failed { target, ended })
        }
    }
}

/// Why an attempt brought no answer. None where the request is wrong wherever it goes.
fn cause(ended: &Ended) -> Option<Cause> {
    match ended.failure.class {
        Class::CallerError => None,
        Class::ContextTooLong => Some(Cause::ContextLength),
        Class::ContentFilter => Some(Cause::ContentFilter),
        Class::KeyLimited | Class::Ramping => Some(Cause::RateLimit),
        Class::KeyDead
        | Class::Overloaded
        | Class::Server
        | Class::Transport
        | Class::Truncated => Some(Cause::Other),
    }
}

/// Tells the operator of a failed attempt; the caller is only told its kind.
fn report(deployment: &Arc<Deployment>, ended: &Ended) {
    tracing::debug!(
        provider = &*deployment.provider.name,
        deployment = &*deployment.name,
        outcome = outcome_name(ended.outcome),
        failure = %ended.failure,
        "attempt failed"
    );
    if matches!(
        ended.outcome,
        AttemptOutcome::KeyRefused | AttemptOutcome::AddressRefused
    ) {
        tracing::warn!(
            provider = &*deployment.provider.name,
            failure = %ended.failure,
            "a provider cannot be used as the policy has it: see `tollgate providers check`"
        );
    }
}
