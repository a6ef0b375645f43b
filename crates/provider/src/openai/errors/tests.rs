use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};

fn classify(status: u16, body: &str) -> Failure {
    Codec::new(Kind::OpenAi).classify(
        StatusCode::from_u16(status).unwrap(),
        &HeaderMap::new(),
        body.as_bytes(),
        SystemTime::UNIX_EPOCH,
    )
}

/// An error body of this type and code.
fn error(kind: &str, code: &str) -> String {
    format!(r#"{{"error":{{"message":"m","type":"{kind}","param":null,"code":"{code}"}}}}"#)
}

/// Status, type, code and what they make together.
const TOLD_APART: [(u16, &str, &str, Class); 17] = [
    (429, "requests", "rate_limit_exceeded", Class::KeyLimited),
    (429, "tokens", "rate_limit_exceeded", Class::KeyLimited),
    (429, "rate_limit_error", "slow_down", Class::Ramping),
    (503, "server_error", "slow_down", Class::Ramping),
    (
        429,
        "insufficient_quota",
        "insufficient_quota",
        Class::KeyDead,
    ),
    (
        429,
        "insufficient_quota",
        "credit_balance_exhausted",
        Class::KeyDead,
    ),
    (429, "insufficient_quota", "something_new", Class::KeyDead),
    (
        429,
        "rate_limit_error",
        "organization_spend_limit_exceeded",
        Class::KeyDead,
    ),
    (
        401,
        "invalid_request_error",
        "invalid_api_key",
        Class::KeyDead,
    ),
    (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        Class::ContextTooLong,
    ),
    (400, "", "content_filter", Class::ContentFilter),
    (
        400,
        "invalid_request_error",
        "unsupported_parameter",
        Class::CallerError,
    ),
    (400, "invalid_request_error", "", Class::CallerError),
    (
        404,
        "invalid_request_error",
        "model_not_found",
        Class::Server,
    ),
    (
        503,
        "service_unavailable_error",
        "server_is_overloaded",
        Class::Overloaded,
    ),
    (500, "server_error", "", Class::Server),
    (529, "overloaded_error", "", Class::Overloaded),
];

#[test]
fn the_code_speaks_before_the_type_and_the_type_before_the_status() {
    for (status, kind, code, expect) in TOLD_APART {
        assert_eq!(
            classify(status, &error(kind, code)).class,
            expect,
            "{status} {kind} {code}"
        );
    }
}

#[test]
fn without_a_body_to_go_by_the_status_decides() {
    for body in [
        "",
        "<html><h1>oops</h1></html>",
        "{}",
        "[]",
        "null",
        r#"{"error":null}"#,
        "\"x\"",
    ] {
        for (status, expect) in [
            (301, Class::Server),
            (307, Class::Server),
            (400, Class::CallerError),
            (401, Class::KeyDead),
            (402, Class::KeyDead),
            (403, Class::KeyDead),
            (404, Class::Server),
            (405, Class::Server),
            (408, Class::Server),
            (409, Class::CallerError),
            (413, Class::CallerError),
            (422, Class::CallerError),
            (429, Class::KeyLimited),
            (500, Class::Server),
            (502, Class::Server),
            (503, Class::Overloaded),
            (504, Class::Server),
            (529, Class::Overloaded),
        ] {
            assert_eq!(classify(status, body).class, expect, "{status} {body}");
        }
    }
}

#[test]
fn imitators_are_understood() {
    for (status, body, expect) in [
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 4096 tokens"}"#,
            Class::ContextTooLong,
        ),
        (
            400,
            r#"{"error":"the request exceeds the context window"}"#,
            Class::ContextTooLong,
        ),
        (
            429,
            r#"{"message":"maximum context length"}"#,
            Class::KeyLimited,
        ),
        (422, r#"{"detail":"bad field"}"#, Class::CallerError),
        (
            400,
            r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#,
            Class::CallerError,
        ),
        (
            500,
            r#"{"error":{"message":"x","code":429}}"#,
            Class::Server,
        ),
    ] {
        assert_eq!(classify(status, body).class, expect, "{body}");
    }
}

#[test]
fn the_wait_is_read_from_the_headers() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("7"));
    let failure = Codec::new(Kind::OpenAi).classify(
        StatusCode::TOO_MANY_REQUESTS,
        &headers,
        b"",
        SystemTime::UNIX_EPOCH,
    );
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(failure.status, Some(429));
}

#[test]
fn the_caller_is_told_which_field_but_not_what_the_provider_said() {
    let body = r#"{"error":{"message":"Invalid key sk-abc in field","type":"invalid_request_error",
        "param":"messages[0].content","code":"invalid_value"}}"#;
    let failure = classify(400, body);
    assert_eq!(
        failure.public_message(),
        "the provider rejected the request as invalid: field messages[0].content (invalid_value)"
    );
    assert_eq!(
        failure.to_string(),
        "caller_error: Invalid key [removed] in field"
    );

    // A name that is no name is not shown.
    let body = r#"{"error":{"param":"sk-abc","code":"<script>","type":"two words","message":"x"}}"#;
    let failure = classify(400, body);
    assert_eq!(
        failure.public_message(),
        "the provider rejected the request as invalid"
    );
    let failure = classify(500, r#"{"error":{"message":"secret","code":"oops"}}"#);
    assert_eq!(failure.public_message(), "the provider failed");
}

#[test]
fn a_long_page_is_kept_short() {
    let failure = classify(502, &"<p>lorem ipsum dolor</p> ".repeat(100_000));
    assert!(failure.detail.len() <= 300, "{}", failure.detail.len());
    assert!(
        failure.detail.starts_with("plorem ipsum"),
        "{}",
        failure.detail
    );
}

#[test]
fn one_callers_prompt_speaks_against_no_key() {
    for (status, body, expected) in [
        (
            429,
            r#"{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 36278.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            Class::ContextTooLong,
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"This model requires moderation. Your input was flagged for \"violence\".","metadata":{"reasons":["violence"]}}}"#,
            Class::ContentFilter,
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit reached for gpt-4o","type":"tokens","code":"rate_limit_exceeded"}}"#,
            Class::KeyLimited,
        ),
    ] {
        assert_eq!(classify(status, body).class, expected, "{body}");
    }
}
