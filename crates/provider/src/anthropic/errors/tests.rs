use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};

fn classify(status: u16, body: &str) -> Failure {
    Codec::new(Kind::Anthropic).classify(
        StatusCode::from_u16(status).unwrap(),
        &HeaderMap::new(),
        body.as_bytes(),
        SystemTime::UNIX_EPOCH,
    )
}

fn body(kind: &str, message: &str, code: Option<&str>) -> String {
    let details = code.map_or("null".to_owned(), |code| {
        format!(r#"{{"error_code":"{code}"}}"#)
    });
    format!(
        r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}","details":{details}}},"request_id":"req_1"}}"#
    )
}

/// Status, type, text and finer code of an error, and the class it has.
const ERRORS: [(u16, &str, &str, Option<&str>, Class); 23] = [
    (
        400,
        "invalid_request_error",
        "messages: text is required",
        None,
        Class::CallerError,
    ),
    (
        400,
        "invalid_request_error",
        "prompt is too long: 210000 tokens > 200000 maximum",
        None,
        Class::ContextTooLong,
    ),
    (
        400,
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit: 1 + 2 > 2",
        None,
        Class::ContextTooLong,
    ),
    (
        400,
        "invalid_request_error",
        "Your credit balance is too low to access the API",
        None,
        Class::KeyDead,
    ),
    (
        400,
        "invalid_request_error",
        "You have reached your specified API usage limits",
        None,
        Class::KeyDead,
    ),
    (
        400,
        "invalid_request_error",
        "Output blocked by content filtering policy",
        None,
        Class::ContentFilter,
    ),
    (
        401,
        "authentication_error",
        "invalid x-api-key",
        None,
        Class::KeyDead,
    ),
    (402, "billing_error", "x", None, Class::KeyDead),
    (403, "permission_error", "x", None, Class::KeyDead),
    (404, "not_found_error", "model: x", None, Class::Server),
    (
        404,
        "not_found_error",
        "model: profile-x",
        None,
        Class::Server,
    ),
    (
        404,
        "not_found_error",
        "File not found: file_1",
        None,
        Class::CallerError,
    ),
    (409, "conflict_error", "x", None, Class::Server),
    (413, "request_too_large", "x", None, Class::CallerError),
    (429, "rate_limit_error", "x", None, Class::KeyLimited),
    (
        429,
        "rate_limit_error",
        "exceeds your acceleration limit",
        None,
        Class::Ramping,
    ),
    (
        429,
        "rate_limit_error",
        "x",
        Some("ramp_limit_exceeded"),
        Class::Ramping,
    ),
    (
        429,
        "rate_limit_error",
        "x",
        Some("enforced_spend_limit_reached"),
        Class::KeyDead,
    ),
    (
        429,
        "rate_limit_error",
        "x",
        Some("contract_spend_limit_reached"),
        Class::KeyDead,
    ),
    (500, "api_error", "x", None, Class::Server),
    (504, "timeout_error", "x", None, Class::Server),
    (529, "overloaded_error", "x", None, Class::Overloaded),
    (529, "yet_to_come", "x", None, Class::Overloaded),
];

#[test]
fn every_error_has_its_class() {
    for (status, kind, message, code, class) in ERRORS {
        let failure = classify(status, &body(kind, message, code));
        assert_eq!(failure.class, class, "{status} {kind} {message} {code:?}");
        assert_eq!(failure.status, Some(status));
        assert_eq!(failure.code.as_deref(), code.or(Some(kind)));
    }
}

#[test]
fn an_error_in_no_known_form_is_judged_by_its_status() {
    for (status, class) in [
        (400, Class::CallerError),
        (401, Class::KeyDead),
        (429, Class::KeyLimited),
        (502, Class::Server),
        (529, Class::Overloaded),
    ] {
        assert_eq!(classify(status, "<html>").class, class, "{status}");
    }
}

#[test]
fn the_wait_is_taken_from_the_headers() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("7"));
    let failure = Codec::new(Kind::Anthropic).classify(
        StatusCode::TOO_MANY_REQUESTS,
        &headers,
        body("rate_limit_error", "x", None).as_bytes(),
        SystemTime::UNIX_EPOCH,
    );
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
}
