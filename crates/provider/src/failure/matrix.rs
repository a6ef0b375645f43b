//! Each class of failure as each format tells it: one example at least, or why there is none.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::{Class, Failure};
use crate::codec::{Codec, Kind};

/// An error: its status and body; or why the format tells none of that class.
type Told = Result<(u16, &'static str), &'static str>;

/// The formats, each by a kind that speaks it.
const KINDS: [Kind; 7] = [
    Kind::OpenAi,
    Kind::AzureOpenAi,
    Kind::Mistral,
    Kind::Anthropic,
    Kind::Gemini,
    Kind::Cohere,
    Kind::Bedrock,
];

const NO_RAMP: Told = Err("it does not say that requests became more too fast");

const MATRIX: [(Class, [Told; 7]); 8] = [
    (
        Class::CallerError,
        [
            Ok((
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"unsupported_parameter"}}"#,
            )),
            Ok((
                429,
                r#"{"error":{"code":"429","message":"token budget exceeded by request parameters"}}"#,
            )),
            Ok((
                422,
                r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}"#,
            )),
            Ok((
                413,
                r#"{"type":"error","error":{"type":"request_too_large","message":"m"}}"#,
            )),
            Ok((
                400,
                r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}"#,
            )),
            Ok((422, r#"{"message":"m"}"#)),
            Ok((400, r#"{"__type":"ValidationException","message":"m"}"#)),
        ],
    ),
    (
        Class::ContextTooLong,
        [
            Ok((
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            )),
            Ok((
                400,
                r#"{"error":{"message":"This model's maximum context length is 8 tokens","code":"context_length_exceeded"}}"#,
            )),
            Ok((
                400,
                r#"{"object":"error","message":"Prompt exceeds the context window","type":"invalid_request_error"}"#,
            )),
            Ok((
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}"#,
            )),
            Ok((
                400,
                r#"{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).","status":"INVALID_ARGUMENT"}}"#,
            )),
            Ok((
                400,
                r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 8"}"#,
            )),
            Ok((
                400,
                r#"{"__type":"ValidationException","message":"Input is too long for requested model."}"#,
            )),
        ],
    ),
    (
        Class::ContentFilter,
        [
            Ok((400, r#"{"error":{"message":"m","code":"content_filter"}}"#)),
            Ok((
                400,
                r#"{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","status":400}}"#,
            )),
            Err("its guardrails end an answer, they refuse none"),
            Ok((
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}"#,
            )),
            Err("a blocked prompt is an answer without candidates"),
            Ok((498, r#"{"message":"blocked input"}"#)),
            Ok((
                400,
                r#"{"__type":"ValidationException","message":"blocked by a content filter"}"#,
            )),
        ],
    ),
    (
        Class::KeyDead,
        [
            Ok((
                429,
                r#"{"error":{"message":"m","type":"insufficient_quota","code":"project_spend_limit_exceeded"}}"#,
            )),
            Ok((
                401,
                r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key"}}"#,
            )),
            Ok((401, r#"{"detail":"Unauthorized"}"#)),
            Ok((
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
            )),
            Ok((
                429,
                r#"{"error":{"code":429,"message":"Quota exceeded for metric: m, limit: 0","status":"RESOURCE_EXHAUSTED"}}"#,
            )),
            Ok((
                402,
                r#"{"message":"Please add or update your payment method"}"#,
            )),
            Ok((403, r#"{"__type":"AccessDeniedException","message":"m"}"#)),
        ],
    ),
    (
        Class::KeyLimited,
        [
            Ok((
                429,
                r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#,
            )),
            Ok((
                429,
                r#"{"error":{"code":"429","message":"Requests have exceeded token rate limit of your current pricing tier."}}"#,
            )),
            Ok((
                429,
                r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","code":"1300"}"#,
            )),
            Ok((
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#,
            )),
            Ok((
                429,
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
            )),
            Ok((429, r#"{"message":"limited to 20 API calls / minute"}"#)),
            Ok((429, r#"{"__type":"ThrottlingException","message":"m"}"#)),
        ],
    ),
    (
        Class::Ramping,
        [
            Ok((
                429,
                r#"{"error":{"message":"m","type":"rate_limit_error","code":"slow_down"}}"#,
            )),
            Ok((
                503,
                r#"{"error":{"message":"m","type":"server_error","code":"slow_down"}}"#,
            )),
            NO_RAMP,
            Ok((
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"exceeds your acceleration limit"}}"#,
            )),
            NO_RAMP,
            NO_RAMP,
            NO_RAMP,
        ],
    ),
    (
        Class::Overloaded,
        [
            Ok((
                503,
                r#"{"error":{"message":"m","type":"service_unavailable_error","code":"server_is_overloaded"}}"#,
            )),
            Ok((
                429,
                r#"{"error":{"code":"429","message":"The system is currently experiencing high demand"}}"#,
            )),
            Ok((
                429,
                r#"{"object":"error","message":"m","type":"service_tier_capacity_exceeded","code":"3505"}"#,
            )),
            Ok((
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
            )),
            Ok((
                503,
                r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#,
            )),
            Ok((503, r#"{"message":"busy"}"#)),
            Ok((
                503,
                r#"{"__type":"ServiceUnavailableException","message":"m"}"#,
            )),
        ],
    ),
    (
        Class::Server,
        [
            Ok((
                500,
                r#"{"error":{"message":"m","type":"server_error","code":null}}"#,
            )),
            Ok((
                404,
                r#"{"error":{"code":"DeploymentNotFound","message":"m"}}"#,
            )),
            Ok((502, "<html>bad gateway</html>")),
            Ok((
                504,
                r#"{"type":"error","error":{"type":"timeout_error","message":"m"}}"#,
            )),
            Ok((
                500,
                r#"{"error":{"code":500,"message":"m","status":"INTERNAL"}}"#,
            )),
            Ok((500, r#"{"message":"internal"}"#)),
            Ok((424, r#"{"__type":"ModelErrorException","message":"m"}"#)),
        ],
    ),
];

#[test]
fn every_class_is_told_by_every_format_that_can_tell_it() {
    for (class, row) in MATRIX {
        for (kind, told) in KINDS.into_iter().zip(row) {
            let (status, body) = match told {
                Ok(told) => told,
                Err(reason) => {
                    assert!(!reason.is_empty());
                    continue;
                }
            };
            let failure = Codec::new(kind).classify(
                StatusCode::from_u16(status).unwrap(),
                &HeaderMap::new(),
                body.as_bytes(),
                SystemTime::UNIX_EPOCH,
            );
            assert_eq!(failure.class, class, "{}: {status} {body}", kind.as_str());
            assert_eq!(failure.status, Some(status));
        }
    }
}

/// Every class.
const CLASSES: [Class; 10] = [
    Class::CallerError,
    Class::ContextTooLong,
    Class::ContentFilter,
    Class::KeyDead,
    Class::KeyLimited,
    Class::Ramping,
    Class::Overloaded,
    Class::Server,
    Class::Transport,
    Class::Truncated,
];

#[test]
fn every_class_has_words_for_callers() {
    for class in CLASSES {
        let failure = Failure::new(class, "secret");
        let told = failure.public_message();
        assert!(
            !told.is_empty() && !told.contains("secret"),
            "{class:?}: {told}"
        );
    }
}

#[test]
fn the_matrix_leaves_no_class_out() {
    let told = |class: Class| MATRIX.iter().any(|(it, _)| *it == class);
    for class in CLASSES {
        let by_error = match class {
            Class::CallerError
            | Class::ContextTooLong
            | Class::ContentFilter
            | Class::KeyDead
            | Class::KeyLimited
            | Class::Ramping
            | Class::Overloaded
            | Class::Server => true,
            // Known from the connection, and from a stream.
            Class::Transport | Class::Truncated => false,
        };
        assert_eq!(told(class), by_error, "{class:?}");
    }
}
