//! Attempts, and how they ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_policy::table::{Deployment, Use};
use tollgate_proto::completion::v1::AttemptOutcome;

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
