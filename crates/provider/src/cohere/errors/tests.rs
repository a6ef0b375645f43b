use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};

fn classify(status: u16, body: &str) -> Failure {
    Codec::new(Kind::Cohere).classify(
        StatusCode::from_u16(status).unwrap(),
        &HeaderMap::new(),
        body.as_bytes(),
        SystemTime::UNIX_EPOCH,
    )
}

#[test]
fn the_status_decides_and_the_text_where_it_must() {
    for (status, message, expect) in [
        (
            400,
            "invalid request: p must be between 0.01 and 0.99",
            Class::CallerError,
        ),
        (
            400,
            "too many tokens: total number of tokens in the prompt cannot exceed 8",
            Class::ContextTooLong,
        ),
        (401, "invalid api token", Class::KeyDead),
        (
            402,
            "Please add or update your payment method",
            Class::KeyDead,
        ),
        (403, "not allowed", Class::Server),
        (
            403,
            "your API key has no permission for this",
            Class::KeyDead,
        ),
        (404, "model 'x' not found", Class::Server),
        (422, "unprocessable", Class::CallerError),
        (
            429,
            "You are using a Trial key, which is limited to 20 API calls / minute.",
            Class::KeyLimited,
        ),
        (
            429,
            "You are using a Trial key, which is limited to 1000 API calls / month.",
            Class::KeyDead,
        ),
        (429, "Please wait and try again later.", Class::KeyLimited),
        (498, "blocked input", Class::ContentFilter),
        (499, "request cancelled", Class::Server),
        (500, "internal", Class::Server),
        (501, "not implemented", Class::CallerError),
        (503, "busy", Class::Overloaded),
        (504, "timeout", Class::Server),
    ] {
        let body = serde_json::json!({ "id": "x", "message": message }).to_string();
        let failure = classify(status, &body);
        assert_eq!(failure.class, expect, "{status} {message}");
        assert_eq!(failure.status, Some(status));
        assert_eq!(failure.detail, message);
    }
}

#[test]
fn a_body_of_any_kind_will_do() {
    for body in [
        "",
        "<html>oops</html>",
        "{}",
        "[]",
        "null",
        r#"{"message":7}"#,
    ] {
        assert_eq!(classify(503, body).class, Class::Overloaded, "{body}");
    }
    for body in [
        r#"{"error":"no"}"#,
        r#"{"error":{"message":"no"}}"#,
        r#"{"message":"no"}"#,
    ] {
        assert_eq!(classify(400, body).detail, "no", "{body}");
    }
}

#[test]
fn the_wait_is_read_from_the_headers_and_secrets_are_not_repeated() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("7"));
    let failure = Codec::new(Kind::Cohere).classify(
        StatusCode::TOO_MANY_REQUESTS,
        &headers,
        br#"{"message":"key Bearer abc is over its limit"}"#,
        SystemTime::UNIX_EPOCH,
    );
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(failure.detail, "key Bearer [removed] is over its limit");
    assert_eq!(
        failure.public_message(),
        "the provider's rate limit is reached; retry later"
    );
}
