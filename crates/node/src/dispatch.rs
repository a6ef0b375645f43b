//! Brings a request to a provider that answers it: pools in order, a weighted pick in each, and on failure the
//! next deployment, as long as the caller has been sent nothing.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use tollgate_balance::{Load, Route, Word, Words};
use tollgate_policy::table::{Deployment, Model, Use};
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::Class;
use tollgate_provider::chat::{Chunk, Response};
use tollgate_provider::embeddings;
use tollgate_provider::rate_limits::{Allowance, RateLimits};

use crate::asked::Asked;
use crate::error::Error;
use crate::meter::{Attempt, Meter, outcome_name};
use crate::permit::{Needs, Room};
use crate::revision::Revision;
use crate::upstream::{Ended, Heard, LiveStream, Upstream};
use crate::{clock, metrics};

/// How long callers are told to wait where every provider limits and none says for how long.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);

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
}

/// The way of one request over deployments.
struct Walk<'a> {
    revision: &'a Revision,
    model: &'a Model,
    asked: &'a Asked,
    /// What an attempt takes of what providers count, at most.
    load: Load,
    /// The deployments that had no room.
    full: Vec<Full>,
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

/// Tries deployments until one answers. One that has no room for the request under its ceilings is passed over.
///
/// # Errors
/// The request itself is at fault, or all that could be tried failed or had no room.
pub(crate) async fn dispatch(
    revision: &Revision,
    model: &Model,
    asked: &Asked,
    meter: &mut Meter,
) -> Result<Reply, Error> {
    let route = revision.route(model).ok_or(Error::Internal {
        what: "finding the model's route",
    })?;
    let mut walk = Walk {
        revision,
        model,
        asked,
        load: load(&meter.needs().worst),
        full: Vec::new(),
    };
    let mut attempts = route.attempts(model.attempts);
    revision.first_attempt();
    while let Some(target) = revision.next(&mut attempts, walk.load) {
        // Callers' limits first, then ceilings: in one order everywhere.
        meter.another_attempt().await?;
        let Ok(room) = walk.enter(target, meter).await else {
            attempts.pass_over();
            continue;
        };
        if attempts.made() > 1 && !revision.may_retry() {
            break;
        }
        match walk.attempt(target, room, meter).await? {
            Ok(reply) => return Ok(reply),
            Err(ended) if ended.failure.is_retryable_elsewhere() => {}
            Err(ended) => return Err(final_error(&ended)),
        }
    }
    Err(walk.exhausted(route, meter))
}

// === impl Walk ===

impl Walk<'_> {
    /// Takes room for an attempt at a deployment.
    async fn enter(&mut self, target: usize, meter: &Meter) -> Result<Option<Room>, NoRoom> {
        let Some(ceilings) = self.revision.ceilings(target) else {
            return Ok(None);
        };
        let denial = match meter.enter(ceilings).await {
            Ok(room) => return Ok(room),
            Err(denial) => denial,
        };
        if let (Some(line), Some((deployment, _))) =
            (ceilings.get(denial.ask), self.revision.deployment(target))
        {
            metrics::passed_over(&deployment.name, &line.limit.name);
            self.full.push(Full {
                target,
                deployment: Arc::clone(deployment),
                why: line.refusal(denial.why, &Needs::of_attempt(meter.needs().worst)),
            });
        }
        Err(NoRoom)
    }

    async fn attempt(
        &self,
        target: usize,
        room: Option<Room>,
        meter: &mut Meter,
    ) -> Result<Result<Reply, Ended>, Error> {
        let revision = self.revision;
        let (deployment, upstream) = revision.deployment(target).ok_or(Error::Internal {
            what: "finding a deployment",
        })?;
        let before = meter.attempt(deployment, room);
        let mark = revision.begin(target, self.load);
        let heard = |headers: &HeaderMap| revision.told(target, &mark, &words(headers));
        let result = self.ask(upstream, deployment, &heard).await;
        match &result {
            Ok(_) => revision.succeeded(target),
            Err(ended) => {
                meter.attempt_failed(before, ended);
                revision.failed(target, ended);
                report(deployment, ended);
            }
        }
        Ok(result)
    }

    async fn ask(
        &self,
        upstream: &Upstream,
        deployment: &Deployment,
        heard: Heard<'_>,
    ) -> Result<Reply, Ended> {
        let model = &deployment.model;
        let answer = async {
            Ok(match self.asked {
                Asked::Completion {
                    request,
                    stream: true,
                } => {
                    let live = upstream.stream(request, model, heard).await?;
                    Reply::Stream(Box::new(begin(live).await?))
                }
                Asked::Completion { request, .. } => {
                    let response = upstream.whole(request, model, heard).await?;
                    Reply::Whole(Box::new(response))
                }
                Asked::Embeddings(request) => {
                    let response = upstream.embed(request, model, heard).await?;
                    Reply::Embeddings(Box::new(response))
                }
            })
        };
        let Some(patience) = self.model.per_attempt_timeout else {
            return answer.await;
        };
        let late = |_| Ended::timed_out("the attempt took longer than the policy allows");
        tokio::time::timeout(patience, answer)
            .await
            .map_err(late)
            .flatten()
    }

    /// Nothing is left to try. Where that is because every deployment is over its provider's limits, the caller is
    /// told to wait, and for how long at least.
    fn exhausted(&self, route: &Route<usize>, meter: &Meter) -> Error {
        let attempts = meter.attempts();
        if let (true, Some(first)) = (attempts.is_empty(), self.never(route)) {
            return first;
        }
        let only_limited = attempts
            .iter()
            .all(|one| one.outcome == AttemptOutcome::RateLimited);
        let waits: Option<Vec<_>> = route.targets().map(|target| self.wait(target)).collect();
        let wait = waits.and_then(|waits| waits.into_iter().min());
        let tried = attempts.iter().map(|one| {
            let outcome = outcome_name(one.outcome).replace('_', " ");
            format!("{} {outcome}", one.deployment.name)
        });
        let full = self.full.iter().map(|one| {
            let name = &one.deployment.name;
            format!("{name} has no room ({})", one.why)
        });
        let cooling = route
            .targets()
            .filter_map(|target| self.cooling(target, attempts));
        let attempts: Vec<_> = tried.chain(full).chain(cooling).collect();
        Error::ProvidersFailed {
            attempts: attempts.join(", "),
            rate_limited: only_limited.then(|| wait.unwrap_or(DEFAULT_RETRY)),
        }
    }

    /// What is said of a deployment that was not tried because it wants to be left alone.
    fn cooling(&self, target: usize, attempts: &[Attempt]) -> Option<String> {
        let (deployment, _) = self.revision.deployment(target)?;
        let name = &deployment.name;
        let tried = attempts.iter().any(|one| one.deployment.name == *name);
        if tried || self.full.iter().any(|full| full.target == target) {
            return None;
        }
        // Where nothing was tried at all, all of them were left alone, be it that they no longer need be.
        let nothing = attempts.is_empty() && self.full.is_empty();
        let now = nothing || self.revision.cooling(target, self.load).is_some();
        now.then(|| format!("{name} cannot be asked now"))
    }

    /// How long until a deployment may have room, where it has none now.
    fn wait(&self, target: usize) -> Option<Duration> {
        let full = self.full.iter().find(|full| full.target == target);
        match full {
            Some(full) => full.why.retry_after(),
            None => self.revision.cooling(target, self.load),
        }
    }

    /// The first ceiling that the request does not fit under, where it fits nowhere and never will.
    fn never(&self, route: &Route<usize>) -> Option<Error> {
        let never = |target| {
            let full = self.full.iter().find(|full| full.target == target);
            full.is_some_and(|full| matches!(full.why, Error::LimitTooSmall { .. }))
        };
        let first = self.full.first().filter(|_| route.targets().all(never))?;
        Some(first.why.clone())
    }
}

/// What an attempt takes of what providers count.
fn load(most: &Use) -> Load {
    Load {
        requests: 1,
        tokens: most.input.saturating_add(most.output),
        input_tokens: most.input,
        output_tokens: most.output,
    }
}

/// What an answer's headers say of the provider's limits.
fn words(headers: &HeaderMap) -> Words {
    let now = UNIX_EPOCH + clock::unix_time();
    let limits = RateLimits::read(headers, now);
    let word = |it: Allowance| {
        Some(Word {
            limit: it.limit,
            remaining: it.remaining?,
            reset: it.reset?,
        })
    };
    Words {
        requests: word(limits.requests),
        tokens: word(limits.tokens),
        input_tokens: word(limits.input_tokens),
        output_tokens: word(limits.output_tokens),
    }
}

/// Holds back what a stream begins with until it brings content: up to then another provider can still answer.
async fn begin(mut live: LiveStream) -> Result<Begun, Ended> {
    let mut chunks = Vec::new();
    loop {
        let goes_on = live.next(&mut chunks).await?;
        let content = chunks
            .iter()
            .any(|chunk| !matches!(chunk, Chunk::Warning(_) | Chunk::Start { .. }));
        if content || !goes_on {
            return Ok(Begun {
                live,
                chunks,
                over: !goes_on,
            });
        }
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
            "a provider cannot be used as the policy has it"
        );
    }
}

fn final_error(ended: &Ended) -> Error {
    if let Some(field) = &ended.field {
        return Error::field(field, &*ended.failure.detail);
    }
    match ended.failure.class {
        Class::ContextTooLong => Error::ContextTooLong,
        Class::ContentFilter => Error::ContentFiltered,
        Class::CallerError
        | Class::KeyDead
        | Class::KeyLimited
        | Class::Ramping
        | Class::Overloaded
        | Class::Server
        | Class::Transport
        | Class::Truncated => Error::ProviderRejected {
            message: ended.failure.public_message().into_owned(),
        },
    }
}
