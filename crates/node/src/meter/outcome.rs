//! How attempts ended, by name.

use tollgate_proto::completion::v1::AttemptOutcome;

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
    }
}
