//! Brings a request to a provider that answers it: pools in order, a weighted pick in each, and on failure the
//! next deployment, as long as the caller has been sent nothing.

use std::sync::Arc;
use std::time::Duration;

use tollgate_policy::table::{Deployment, Model};
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::Class;
use tollgate_provider::chat::{Chunk, Request, Response};

use crate::error::Error;
use crate::meter::{Meter, outcome_name};
use crate::revision::Revision;
use crate::upstream::{Ended, LiveStream, Upstream};

/// How long callers are told to wait where every provider limits and none says for how long.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);

/// What a provider answered.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Everything.
    Whole(Box<Response>),
    /// A stream that has brought its first content.
    Stream(Box<Begun>),
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

/// Tries deployments until one answers.
///
/// # Errors
/// The request itself is at fault, or all that could be tried failed.
pub(crate) async fn dispatch(
    revision: &Revision,
    model: &Model,
    request: &Request,
    stream: bool,
    meter: &mut Meter,
) -> Result<Reply, Error> {
    let route = revision.route(model).ok_or(Error::Internal {
        what: "finding the model's route",
    })?;
    let mut attempts = route.attempts(model.attempts);
    revision.first_attempt();
    while let Some(target) = revision.next(&mut attempts) {
        if attempts.made() > 1 && !revision.may_retry() {
            break;
        }
        meter.another_attempt().await?;
        let Some((deployment, upstream)) = revision.deployment(target) else {
            return Err(Error::Internal {
                what: "finding a deployment",
            });
        };
        let before = meter.attempt(deployment);
        let patience = model.per_attempt_timeout;
        match attempt(upstream, deployment, request, stream, patience).await {
            Ok(reply) => {
                revision.succeeded(target);
                return Ok(reply);
            }
            Err(ended) => {
                meter.attempt_failed(before, &ended);
                revision.failed(target, &ended);
                report(deployment, &ended);
                if !ended.failure.is_retryable_elsewhere() {
                    return Err(final_error(&ended));
                }
            }
        }
    }
    Err(exhausted(meter, revision.cooling(route)))
}

async fn attempt(
    upstream: &Upstream,
    deployment: &Deployment,
    request: &Request,
    stream: bool,
    patience: Option<Duration>,
) -> Result<Reply, Ended> {
    let answer = async {
        if stream {
            let live = upstream.stream(request, &deployment.model).await?;
            begin(live)
                .await
                .map(|begun| Reply::Stream(Box::new(begun)))
        } else {
            let response = upstream.whole(request, &deployment.model).await?;
            Ok(Reply::Whole(Box::new(response)))
        }
    };
    match patience {
        None => answer.await,
        Some(patience) => tokio::time::timeout(patience, answer)
            .await
            .unwrap_or_else(|_| {
                Err(Ended::timed_out(
                    "the attempt took longer than the policy allows",
                ))
            }),
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

/// Nothing is left to try. Where that is because every deployment is over its provider's limits, the caller is
/// told to wait, and for how long at least.
fn exhausted(meter: &Meter, cooling: Option<Duration>) -> Error {
    let attempts = meter.attempts();
    let only_limited = attempts
        .iter()
        .all(|one| one.outcome == AttemptOutcome::RateLimited);
    let rate_limited = if only_limited {
        cooling.or((!attempts.is_empty()).then_some(DEFAULT_RETRY))
    } else {
        None
    };
    let names: Vec<_> = attempts
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one.deployment.name,
                outcome_name(one.outcome).replace('_', " ")
            )
        })
        .collect();
    let attempts = if names.is_empty() {
        "none can be asked now".to_owned()
    } else {
        names.join(", ")
    };
    Error::ProvidersFailed {
        attempts,
        rate_limited,
    }
}
