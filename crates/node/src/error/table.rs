//! The one mapping of errors to what callers see: gRPC codes and `google.rpc` details, HTTP statuses and OpenAI's
//! error shape. No other file names a code or a status of an error.
//!
//! A request that can never fit into a limit is refused like one that does not fit now, as callers of OpenAI
//! expect it, but without a time to come back at, and with the header that keeps its clients from trying.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use tollgate_proto::completion::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, QuotaViolation, StatusExt};

use super::Error;

/// Domain of the `ErrorInfo` of every error.
const DOMAIN: &str = "tollgate";

/// OpenAI's broad kinds of error.
const CALLER: &str = "invalid_request_error";
const PERMISSION: &str = "permission_error";
const RATE: &str = "rate_limit_error";
const SERVER: &str = "server_error";

/// How long to wait before another try at something that was away for a moment.
const MOMENT: Duration = Duration::from_secs(1);

/// How an error appears to HTTP callers, in OpenAI's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpError {
    /// The status.
    pub(crate) status: StatusCode,
    /// The broad kind, `type` in OpenAI's shape.
    pub(crate) kind: &'static str,
    /// The stable reason in lower case, `code` in OpenAI's shape.
    pub(crate) code: &'static str,
    /// What is wrong, in words.
    pub(crate) message: String,
    /// The field at fault.
    pub(crate) param: Option<String>,
    /// How long to wait before another try.
    pub(crate) retry_after: Option<Duration>,
    /// Whether another try is in vain although the status invites to one.
    pub(crate) hopeless: bool,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    reason: ErrorReason,
    grpc: Code,
    http: StatusCode,
    kind: &'static str,
    code: &'static str,
}

const fn row(
    reason: ErrorReason,
    grpc: Code,
    http: StatusCode,
    kind: &'static str,
    code: &'static str,
) -> Row {
    Row {
        reason,
        grpc,
        http,
        kind,
        code,
    }
}

const KEY: Row = row(
    ErrorReason::KeyInvalid,
    Code::Unauthenticated,
    StatusCode::UNAUTHORIZED,
    "authentication_error",
    "invalid_api_key",
);
const BLOCKED: Row = row(
    ErrorReason::SubjectBlocked,
    Code::PermissionDenied,
    StatusCode::FORBIDDEN,
    PERMISSION,
    "subject_blocked",
);
const TIER: Row = row(
    ErrorReason::TierUnknown,
    Code::PermissionDenied,
    StatusCode::FORBIDDEN,
    PERMISSION,
    "tier_unknown",
);
const INVALID: Row = row(
    ErrorReason::RequestInvalid,
    Code::InvalidArgument,
    StatusCode::BAD_REQUEST,
    CALLER,
    "invalid_request",
);
const TOO_LARGE: Row = row(
    ErrorReason::RequestInvalid,
    Code::ResourceExhausted,
    StatusCode::PAYLOAD_TOO_LARGE,
    CALLER,
    "request_too_large",
);
const MODEL: Row = row(
    ErrorReason::ModelNotFound,
    Code::NotFound,
    StatusCode::NOT_FOUND,
    CALLER,
    "model_not_found",
);
const LIMIT: Row = row(
    ErrorReason::LimitExceeded,
    Code::ResourceExhausted,
    StatusCode::TOO_MANY_REQUESTS,
    RATE,
    "rate_limit_exceeded",
);
const LIMIT_SIZE: Row = row(
    ErrorReason::LimitTooSmall,
    Code::ResourceExhausted,
    StatusCode::TOO_MANY_REQUESTS,
    RATE,
    "request_too_large_for_limit",
);
const LIMIT_AWAY: Row = row(
    ErrorReason::LimitUnavailable,
    Code::Unavailable,
    StatusCode::SERVICE_UNAVAILABLE,
    SERVER,
    "limit_unavailable",
);
const PROVIDERS_LIMITED: Row = row(
    ErrorReason::ProvidersFailed,
    Code::ResourceExhausted,
    StatusCode::TOO_MANY_REQUESTS,
    RATE,
    "providers_rate_limited",
);
const PROVIDERS: Row = row(
    ErrorReason::ProvidersFailed,
    Code::Unavailable,
    StatusCode::BAD_GATEWAY,
    SERVER,
    "providers_failed",
);
const REJECTED: Row = row(
    ErrorReason::ProviderRejected,
    Code::InvalidArgument,
    StatusCode::BAD_REQUEST,
    CALLER,
    "provider_rejected",
);
const CONTEXT: Row = row(
    ErrorReason::ContextTooLong,
    Code::InvalidArgument,
    StatusCode::BAD_REQUEST,
    CALLER,
    "context_length_exceeded",
);
const FILTERED: Row = row(
    ErrorReason::ContentFiltered,
    Code::FailedPrecondition,
    StatusCode::BAD_REQUEST,
    CALLER,
    "content_filter",
);
const TRUNCATED: Row = row(
    ErrorReason::AnswerTruncated,
    Code::DataLoss,
    StatusCode::BAD_GATEWAY,
    SERVER,
    "answer_truncated",
);
const DEADLINE: Row = row(
    ErrorReason::DeadlineExceeded,
    Code::DeadlineExceeded,
    StatusCode::GATEWAY_TIMEOUT,
    SERVER,
    "deadline_exceeded",
);
const NOT_READY: Row = row(
    ErrorReason::NotReady,
    Code::Unavailable,
    StatusCode::SERVICE_UNAVAILABLE,
    SERVER,
    "not_ready",
);
const OVERLOADED: Row = row(
    ErrorReason::Overloaded,
    Code::Unavailable,
    StatusCode::SERVICE_UNAVAILABLE,
    SERVER,
    "overloaded",
);
const INTERNAL: Row = row(
    ErrorReason::Internal,
    Code::Internal,
    StatusCode::INTERNAL_SERVER_ERROR,
    SERVER,
    "internal",
);

impl Error {
    fn row(&self) -> Row {
        match self {
            Self::KeyMissing | Self::KeyInvalid => KEY,
            Self::SubjectBlocked { .. } => BLOCKED,
            Self::TierUnknown { .. } => TIER,
            Self::Invalid(_) => INVALID,
            Self::TooLarge { .. } => TOO_LARGE,
            Self::ModelNotFound { .. } => MODEL,
            Self::LimitExceeded { .. } => LIMIT,
            Self::LimitTooSmall { .. } => LIMIT_SIZE,
            Self::LimitUnavailable { .. } => LIMIT_AWAY,
            Self::ProvidersFailed {
                rate_limited: Some(_),
                ..
            } => PROVIDERS_LIMITED,
            Self::ProvidersFailed { .. } => PROVIDERS,
            Self::ProviderRejected { .. } => REJECTED,
            Self::ContextTooLong => CONTEXT,
            Self::ContentFiltered => FILTERED,
            Self::Truncated => TRUNCATED,
            Self::DeadlineExceeded => DEADLINE,
            Self::NotReady { .. } => NOT_READY,
            Self::Overloaded => OVERLOADED,
            Self::Internal { .. } => INTERNAL,
        }
    }

    /// The stable reason, such as `LIMIT_EXCEEDED`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        let name = self.row().reason.as_str_name();
        name.strip_prefix("ERROR_REASON_").unwrap_or(name)
    }

    /// How long to wait before another try, where waiting helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::LimitExceeded { retry_after, .. } => Some(*retry_after),
            Self::ProvidersFailed { rate_limited, .. } => *rate_limited,
            Self::LimitUnavailable { .. } | Self::NotReady { .. } | Self::Overloaded => {
                Some(MOMENT)
            }
            Self::KeyMissing
            | Self::KeyInvalid
            | Self::SubjectBlocked { .. }
            | Self::TierUnknown { .. }
            | Self::Invalid(_)
            | Self::TooLarge { .. }
            | Self::ModelNotFound { .. }
            | Self::LimitTooSmall { .. }
            | Self::ProviderRejected { .. }
            | Self::ContextTooLong
            | Self::ContentFiltered
            | Self::Truncated
            | Self::DeadlineExceeded
            | Self::Internal { .. } => None,
        }
    }

    /// The error as a gRPC status with `google.rpc` details.
    pub(crate) fn to_status(&self) -> Status {
        let message = self.to_string();
        let mut details = ErrorDetails::with_error_info(self.reason(), DOMAIN, HashMap::new());
        if let Some(wait) = self.retry_after() {
            details.set_retry_info(Some(wait));
        }
        if let Self::Invalid(violations) = self {
            let violations = violations.iter();
            let violation = |one: &super::Violation| FieldViolation::new(&one.field, &one.problem);
            details.set_bad_request(violations.map(violation).collect::<Vec<_>>());
        }
        if let Self::ModelNotFound { .. } = self {
            details.add_bad_request_violation("model", &message);
        }
        if let Self::LimitExceeded { counter, .. } | Self::LimitTooSmall { counter, .. } = self {
            details.set_quota_failure(vec![QuotaViolation::new(counter, &message)]);
        }
        Status::with_error_details(self.row().grpc, message, details)
    }

    /// The error as HTTP callers see it.
    pub(crate) fn to_http(&self) -> HttpError {
        let row = self.row();
        let param = if let Self::Invalid(violations) = self {
            violations.first().map(|one| one.field.clone())
        } else {
            matches!(self, Self::ModelNotFound { .. }).then(|| "model".to_owned())
        };
        HttpError {
            status: row.http,
            kind: row.kind,
            code: row.code,
            message: self.to_string(),
            param,
            retry_after: self.retry_after(),
            hopeless: matches!(self, Self::LimitTooSmall { .. }),
        }
    }
}

#[cfg(test)]
mod tests;
