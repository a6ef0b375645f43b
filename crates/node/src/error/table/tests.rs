use tollgate_policy::table::{Amount, Unit};

use super::*;
use crate::error::Violation;

#[expect(clippy::too_many_lines, reason = "one row for each error")]
/// Every error, how it appears on both edges, and whether callers are told when to come back.
fn every() -> Vec<(Error, &'static str, Code, u16, bool)> {
    let amount = |unit, units| Amount { unit, units };
    let limit = |retry_after| Error::LimitExceeded {
        limit: "per-key".into(),
        counter: "per-key/key=k1".into(),
        admits: amount(Unit::Requests, 100),
        per: " per 60 s".to_owned(),
        retry_after,
    };
    let too_small = Error::LimitTooSmall {
        limit: "t".into(),
        counter: "t".into(),
        admits: amount(Unit::Cost, 10_000_000),
        per: " in all".into(),
        needed: amount(Unit::Cost, 20_000_000),
    };
    let failed = |rate_limited| Error::ProvidersFailed {
        attempts: "a timed out".into(),
        rate_limited,
    };
    let second = Duration::from_secs(1);
    let rejected = Error::ProviderRejected {
        message: "no".into(),
    };
    vec![
        (
            Error::KeyMissing,
            "KEY_INVALID",
            Code::Unauthenticated,
            401,
            false,
        ),
        (
            Error::KeyInvalid,
            "KEY_INVALID",
            Code::Unauthenticated,
            401,
            false,
        ),
        (
            Error::SubjectBlocked {
                subject: "acme".into(),
            },
            "SUBJECT_BLOCKED",
            Code::PermissionDenied,
            403,
            false,
        ),
        (
            Error::TierUnknown {
                tier: "gold".into(),
            },
            "TIER_UNKNOWN",
            Code::PermissionDenied,
            403,
            false,
        ),
        (
            Error::field("a", "b"),
            "REQUEST_INVALID",
            Code::InvalidArgument,
            400,
            false,
        ),
        (
            Error::TooLarge { limit: 1 },
            "REQUEST_INVALID",
            Code::ResourceExhausted,
            413,
            false,
        ),
        (
            Error::ModelNotFound { model: "m".into() },
            "MODEL_NOT_FOUND",
            Code::NotFound,
            404,
            false,
        ),
        (
            limit(second),
            "LIMIT_EXCEEDED",
            Code::ResourceExhausted,
            429,
            true,
        ),
        (
            too_small,
            "LIMIT_TOO_SMALL",
            Code::ResourceExhausted,
            429,
            false,
        ),
        (
            Error::LimitUnavailable { limit: "l".into() },
            "LIMIT_UNAVAILABLE",
            Code::Unavailable,
            503,
            true,
        ),
        (
            failed(Some(second)),
            "PROVIDERS_FAILED",
            Code::ResourceExhausted,
            429,
            true,
        ),
        (
            failed(None),
            "PROVIDERS_FAILED",
            Code::Unavailable,
            502,
            false,
        ),
        (
            rejected,
            "PROVIDER_REJECTED",
            Code::InvalidArgument,
            400,
            false,
        ),
        (
            Error::ContextTooLong,
            "CONTEXT_TOO_LONG",
            Code::InvalidArgument,
            400,
            false,
        ),
        (
            Error::ContentFiltered,
            "CONTENT_FILTERED",
            Code::FailedPrecondition,
            400,
            false,
        ),
        (
            Error::Truncated,
            "ANSWER_TRUNCATED",
            Code::DataLoss,
            502,
            false,
        ),
        (
            Error::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            Code::DeadlineExceeded,
            504,
            false,
        ),
        (
            Error::NotReady { why: "w" },
            "NOT_READY",
            Code::Unavailable,
            503,
            true,
        ),
        (
            Error::Overloaded,
            "OVERLOADED",
            Code::Unavailable,
            503,
            true,
        ),
        (
            Error::Internal { what: "w" },
            "INTERNAL",
            Code::Internal,
            500,
            false,
        ),
    ]
}

#[test]
fn every_error_on_both_edges() {
    for (error, reason, code, http, waits) in every() {
        let status = error.to_status();
        let details = status.get_error_details();
        let info = details.error_info().expect("every error has a reason");
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            (reason, "tollgate"),
            "{error:?}"
        );
        assert_eq!(status.code(), code, "{error:?}");
        assert_eq!(details.retry_info().is_some(), waits, "{error:?}");
        assert!(!status.message().is_empty());
        let shown = error.to_http();
        assert_eq!(shown.status.as_u16(), http, "{error:?}");
        assert_eq!(shown.retry_after.is_some(), waits, "{error:?}");
        assert_eq!(shown.message, status.message());
    }
}

#[test]
fn every_wrong_field_is_told() {
    let violation = |field: &str| Violation {
        field: field.into(),
        problem: "wrong".into(),
    };
    let error = Error::Invalid(vec![violation("a"), violation("b.c")]);
    let details = error.to_status().get_error_details();
    let fields: Vec<_> = details
        .bad_request()
        .unwrap()
        .field_violations
        .iter()
        .map(|one| one.field.clone())
        .collect();
    assert_eq!(fields, ["a", "b.c"]);
    assert_eq!(error.to_http().param.as_deref(), Some("a"));
}

#[test]
fn the_limit_that_refused_is_named() {
    for (error, ..) in every() {
        let limited = matches!(
            error,
            Error::LimitExceeded { .. } | Error::LimitTooSmall { .. }
        );
        assert_eq!(
            error
                .to_status()
                .get_error_details()
                .quota_failure()
                .is_some(),
            limited,
            "{error:?}"
        );
    }
}
