//! Attempts, and how they ended.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_policy::table::{Deployment, Use};
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::Failure;

/// One try at one deployment.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) started: Instant,
    pub(crate) duration: Duration,
    /// What it was charged, where it brought no answer and the provider told nevertheless.
    pub(crate) charged: Option<Use>,
    /// Why it failed, and in whose words.
    pub(crate) failure: Option<Arc<Failure>>,
    /// What the provider calls it.
    pub(crate) request_id: Option<Arc<str>>,
    /// Whether the caller was sent what it brought.
    pub(crate) handed_on: bool,
}

/// The short name of an outcome, such as `timed_out`.
pub(crate) fn outcome_name(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Unspecified => "cancelled",
        AttemptOutcome::Answered => "answered",
        AttemptOutcome::Rejected => "rejected",
        AttemptOutcome::ContextTooLong => "context_too_long",
        AttemptOutcome::ContentFiltered => "content_filtered",
        AttemptOutcome::KeyRefused => "key_refused",
        AttemptOutcome::RateLimited => "rate_limited",
        AttemptOutcome::Overloaded => "overloaded",
        AttemptOutcome::ServerError => "server_error",
        AttemptOutcome::TransportError => "transport_error",
        AttemptOutcome::TimedOut => "timed_out",
        AttemptOutcome::BadResponse => "bad_response",
        AttemptOutcome::Truncated => "truncated",
        AttemptOutcome::AddressRefused => "address_refused",
        AttemptOutcome::GivenUp => "given_up",
        AttemptOutcome::Diverged => "diverged",
    }
}

/// Deployments and how attempts at them ended, such as `a:rate_limited b:answered`.
pub(super) fn labels(attempts: &[Attempt]) -> String {
    let mut labels = String::new();
    for attempt in attempts {
        if !labels.is_empty() {
            labels.push(' ');
        }
        labels.push_str(&attempt.deployment.name);
        labels.push(':');
        labels.push_str(outcome_name(attempt.outcome));
    }
    labels
}

/// What was wrong with those that failed, in the providers' words as far as an operator may see them; with the
/// status, the code and the identifier that their support asks for.
pub(super) fn failures(attempts: &[Attempt]) -> String {
    let mut failures = String::new();
    for attempt in attempts {
        let Some(failure) = &attempt.failure else {
            continue;
        };
        if !failures.is_empty() {
            failures.push_str("; ");
        }
        // Writing to a string cannot fail.
        let _ = write!(failures, "{}: {failure}", attempt.deployment.name);
        let status = attempt.status.map(|status| status.to_string());
        let notes = [
            status.as_deref(),
            failure.code.as_deref(),
            attempt.request_id.as_deref(),
        ];
        let notes: Vec<_> = notes.into_iter().flatten().collect();
        if !notes.is_empty() {
            let _ = write!(failures, " ({})", notes.join(", "));
        }
    }
    failures
}
