use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};

fn classify(status: u16, name: Option<&str>, body: &str) -> Failure {
    let mut headers = HeaderMap::new();
    if let Some(name) = name {
        headers.insert("x-amzn-errortype", HeaderValue::from_str(name).unwrap());
    }
    Codec::new(Kind::Bedrock).classify(
        StatusCode::from_u16(status).unwrap(),
        &headers,
        body.as_bytes(),
        SystemTime::UNIX_EPOCH,
    )
}

/// Status, name and text of an error, and the class it has.
const ERRORS: [(u16, &str, &str, Class); 18] = [
    (400, "ValidationException", "x", Class::CallerError),
    (
        400,
        "ValidationException",
        "Input is too long for requested model.",
        Class::ContextTooLong,
    ),
    (
        400,
        "ValidationException",
        "prompt is too long: 2 tokens",
        Class::ContextTooLong,
    ),
    (
        400,
        "ValidationException",
        "exceeds the context window",
        Class::ContextTooLong,
    ),
    (
        400,
        "ValidationException",
        "blocked by a content filter",
        Class::ContentFilter,
    ),
    (
        400,
        "ValidationException",
        "The provided model identifier is invalid.",
        Class::Server,
    ),
    (400, "ServiceQuotaExceededException", "x", Class::KeyLimited),
    (403, "AccessDeniedException", "x", Class::KeyDead),
    (403, "UnrecognizedClientException", "x", Class::KeyDead),
    (403, "ExpiredTokenException", "x", Class::KeyDead),
    (403, "InvalidSignatureException", "x", Class::KeyDead),
    (404, "ResourceNotFoundException", "x", Class::Server),
    (408, "ModelTimeoutException", "x", Class::Server),
    (424, "ModelErrorException", "x", Class::Server),
    (429, "ThrottlingException", "x", Class::KeyLimited),
    (429, "ModelNotReadyException", "x", Class::Overloaded),
    (500, "InternalServerException", "x", Class::Server),
    (503, "ServiceUnavailableException", "x", Class::Overloaded),
];

#[test]
fn every_error_has_its_class() {
    for (status, name, message, class) in ERRORS {
        let lower = format!(r#"{{"message":"{message}"}}"#);
        let upper = format!(r#"{{"Message":"{message}"}}"#);
        let inside =
            format!(r#"{{"__type":"com.amazon.coral.service#{name}","message":"{message}"}}"#);
        let long = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
        for (header, body) in [
            (Some(name), &lower),
            (Some(&*long), &upper),
            (None, &inside),
        ] {
            let failure = classify(status, header, body);
            assert_eq!(failure.class, class, "{name} {message}");
            assert_eq!(failure.code.as_deref(), Some(name));
            assert_eq!(failure.detail, message);
        }
    }
}

#[test]
fn an_error_without_a_name_is_judged_by_its_status() {
    for (status, class) in [
        (400, Class::CallerError),
        (403, Class::Server),
        (429, Class::KeyLimited),
        (500, Class::Server),
        (503, Class::Overloaded),
    ] {
        assert_eq!(classify(status, None, "<html>").class, class, "{status}");
    }
}
