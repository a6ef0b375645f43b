use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};

fn classify(status: u16, body: &str) -> Failure {
    Codec::new(Kind::Gemini).classify(
        StatusCode::from_u16(status).unwrap(),
        &HeaderMap::new(),
        body.as_bytes(),
        SystemTime::UNIX_EPOCH,
    )
}

/// An error of this status and message with these details.
fn error(status: &str, message: &str, details: &str) -> String {
    format!(
        r#"{{"error":{{"code":400,"message":"{message}","status":"{status}","details":[{details}]}}}}"#
    )
}

#[test]
fn the_status_in_the_body_speaks_before_that_of_the_answer() {
    for (status, name, expect) in [
        (400, "INVALID_ARGUMENT", Class::CallerError),
        (400, "FAILED_PRECONDITION", Class::KeyDead),
        (401, "UNAUTHENTICATED", Class::KeyDead),
        (403, "PERMISSION_DENIED", Class::KeyDead),
        (404, "NOT_FOUND", Class::Server),
        (429, "RESOURCE_EXHAUSTED", Class::KeyLimited),
        (499, "CANCELLED", Class::Server),
        (500, "INTERNAL", Class::Server),
        (503, "UNAVAILABLE", Class::Overloaded),
        (504, "DEADLINE_EXCEEDED", Class::Server),
        // An unknown name leaves it to the status.
        (429, "SOMETHING_NEW", Class::KeyLimited),
        (503, "", Class::Overloaded),
    ] {
        let plain = error(name, "m", "");
        let wrapped = format!("[{plain}]");
        assert_eq!(classify(status, &plain).class, expect, "{status} {name}");
        assert_eq!(classify(status, &wrapped).class, expect, "{status} {name}");
    }
}

/// Checks what an exhausted resource with this message and these details comes to.
fn check_exhausted(message: &str, details: &str, expect: Class) {
    let body = error("RESOURCE_EXHAUSTED", message, details);
    assert_eq!(classify(429, &body).class, expect, "{body}");
}

#[test]
fn a_quota_that_is_zero_or_unpaid_will_not_recover() {
    let of_limit = |limit: &str| {
        format!(
            "You exceeded your current quota.\\n* Quota exceeded for metric: free_tier_requests, limit: {limit}, model: gemini-2.5-pro\\nPlease retry in 46s."
        )
    };
    check_exhausted(&of_limit("0"), "", Class::KeyDead);
    check_exhausted("limit: 0", "", Class::KeyDead);
    check_exhausted(&of_limit("10"), "", Class::KeyLimited);
    check_exhausted(&of_limit("0.5"), "", Class::KeyLimited);
    for (value, expect) in [("0", Class::KeyDead), ("250", Class::KeyLimited)] {
        let detail = format!(
            r#"{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"quotaId":"PerDay","quotaValue":"{value}"}}]}}"#
        );
        check_exhausted("x", &detail, expect);
    }
    for message in [
        "Your prepayment credits are depleted.",
        "The project has exceeded its monthly spending cap.",
    ] {
        check_exhausted(message, "", Class::KeyDead);
    }
}

#[test]
fn a_reason_that_speaks_of_the_key_goes_before_the_status() {
    for (status, name, reason) in [
        (400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
        (403, "PERMISSION_DENIED", "BILLING_DISABLED"),
    ] {
        let detail = format!(
            r#"{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}"}}"#
        );
        let failure = classify(status, &error(name, "x", &detail));
        assert_eq!(failure.class, Class::KeyDead);
        assert_eq!(failure.code.as_deref(), Some(reason));
    }
}

#[test]
fn too_long_a_conversation_is_told_in_words() {
    let message =
        "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).";
    let failure = classify(400, &error("INVALID_ARGUMENT", message, ""));
    assert_eq!(failure.class, Class::ContextTooLong);
}

#[test]
fn without_a_body_to_go_by_the_status_decides() {
    for body in [
        "",
        "<html><h1>oops</h1></html>",
        "{}",
        "[]",
        "null",
        "\"x\"",
    ] {
        for (status, expect) in [
            (400, Class::CallerError),
            (401, Class::KeyDead),
            (404, Class::Server),
            (429, Class::KeyLimited),
            (500, Class::Server),
            (503, Class::Overloaded),
        ] {
            assert_eq!(classify(status, body).class, expect, "{status} {body}");
        }
    }
    assert_eq!(
        classify(502, r#"{"error":"bad gateway"}"#).detail,
        "bad gateway"
    );
}

#[test]
fn the_wait_is_read_from_the_details_unless_a_header_tells_it() {
    let wait = |delay: &str| {
        let detail = format!(
            r#"{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}"#
        );
        classify(429, &error("RESOURCE_EXHAUSTED", "x", &detail)).retry_after
    };
    for (delay, expect) in [
        ("46s", Some(46_000)),
        ("0.250s", Some(250)),
        ("1e9s", Some(86_400_000)),
        ("-1s", None),
        ("46", None),
        ("", None),
    ] {
        assert_eq!(wait(delay), expect.map(Duration::from_millis), "{delay}");
    }

    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("7"));
    let failure = Codec::new(Kind::Gemini).classify(
        StatusCode::TOO_MANY_REQUESTS,
        &headers,
        b"",
        SystemTime::UNIX_EPOCH,
    );
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn the_caller_is_told_which_field_but_not_what_the_provider_said() {
    let detail = r#"{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"contents[0].parts","description":"secret"}]}"#;
    let failure = classify(400, &error("INVALID_ARGUMENT", "a secret AIzaSyA", detail));
    assert_eq!(
        failure.public_message(),
        "the provider rejected the request as invalid: field contents[0].parts (INVALID_ARGUMENT)"
    );
    assert_eq!(failure.to_string(), "caller_error: a secret [removed]");
}

#[test]
fn a_callers_file_says_nothing_of_the_key() {
    for (status, name, message) in [
        (
            403,
            "PERMISSION_DENIED",
            "You do not have permission to access the File abc or it may not exist.",
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "The File abc is not in an ACTIVE state and usage is not allowed.",
        ),
        (
            403,
            "PERMISSION_DENIED",
            "CachedContent not found (or permission denied)",
        ),
        (
            403,
            "PERMISSION_DENIED",
            "Permission denied while accessing input file. Learn more.",
        ),
        (
            403,
            "PERMISSION_DENIED",
            "me@example.com does not have storage.objects.get access to the Google Cloud Storage object.",
        ),
        (
            404,
            "NOT_FOUND",
            "Not found: cached content metadata for 7.",
        ),
    ] {
        let failure = classify(status, &error(name, message, ""));
        assert_eq!(failure.class, Class::CallerError, "{message}");
    }
    for (status, name, message, class) in [
        (
            403,
            "PERMISSION_DENIED",
            "The File API is disabled in the project.",
            Class::KeyDead,
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "TotalCachedContentStorageTokensPerModel limit exceeded",
            Class::KeyLimited,
        ),
        (503, "UNAVAILABLE", "The File service", Class::Overloaded),
    ] {
        let failure = classify(status, &error(name, message, ""));
        assert_eq!(failure.class, class, "{message}");
    }
    let of_the_key =
        r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}"#;
    let failure = classify(
        400,
        &error("INVALID_ARGUMENT", "The File API key", of_the_key),
    );
    assert_eq!(failure.class, Class::KeyDead);
}
