//! Classifying what the provider says went wrong.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use crate::failure::{Class, ErrorObject, Failure, by_name, identifier, retry_after, scrub};

/// Finer codes first: the same type covers both "wait a second" and "out of money".
const BY_CODE: [(&str, Class); 11] = [
    ("enforced_spend_limit_reached", Class::KeyDead),
    ("contract_spend_limit_reached", Class::KeyDead),
    ("linked_organization_spend_limit_reached", Class::KeyDead),
    ("linked_organization_billing_unavailable", Class::KeyDead),
    ("organization_on_hold", Class::KeyDead),
    ("cmek_key_disabled", Class::KeyDead),
    ("cmek_key_network_blocked", Class::KeyDead),
    ("cmek_context_unavailable", Class::Server),
    ("cmek_key_unreachable", Class::Server),
    ("ramp_limit_exceeded", Class::Ramping),
    ("request_body_too_large_after_decoding", Class::CallerError),
];

const BY_TYPE: [(&str, Class); 10] = [
    ("authentication_error", Class::KeyDead),
    ("billing_error", Class::KeyDead),
    ("permission_error", Class::KeyDead),
    // The upstream name of the model is the operator's choice, not the caller's.
    ("not_found_error", Class::Server),
    ("request_too_large", Class::CallerError),
    ("rate_limit_error", Class::KeyLimited),
    ("overloaded_error", Class::Overloaded),
    ("timeout_error", Class::Server),
    ("conflict_error", Class::Server),
    ("api_error", Class::Server),
];

/// What only the text of a type tells apart. Texts change; what is not found here has the class of its
/// type.
const BY_TEXT: [(&str, &str, Class); 9] = [
    (
        "invalid_request_error",
        "prompt is too long",
        Class::ContextTooLong,
    ),
    (
        "invalid_request_error",
        "exceed context limit",
        Class::ContextTooLong,
    ),
    (
        "invalid_request_error",
        "context window",
        Class::ContextTooLong,
    ),
    (
        "invalid_request_error",
        "credit balance is too low",
        Class::KeyDead,
    ),
    ("invalid_request_error", "usage limits", Class::KeyDead),
    ("invalid_request_error", "spend limit", Class::KeyDead),
    (
        "invalid_request_error",
        "content filtering policy",
        Class::ContentFilter,
    ),
    // A file that the caller names, and not the model.
    ("not_found_error", "file not found", Class::CallerError),
    ("rate_limit_error", "acceleration", Class::Ramping),
];

/// Classifies an answer whose status is not 2xx.
pub(crate) fn classify(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Failure {
    let mut failure = ErrorObject::classify(body, status, of_object);
    failure.retry_after = retry_after(headers, now);
    failure
}

/// Classifies an error object, also one that came inside a 200. Such an error without a word that says
/// otherwise is the provider's own.
pub(super) fn of_object(error: &ErrorObject, status: Option<u16>) -> Failure {
    let class = by_name(&BY_CODE, &error.code)
        .or_else(|| by_text(error))
        .or_else(|| by_name(&BY_TYPE, &error.kind))
        .unwrap_or_else(|| match (error.kind.as_str(), status) {
            ("invalid_request_error", _) => Class::CallerError,
            (_, Some(status)) => Class::of_status(status),
            (_, None) => Class::Server,
        });
    Failure {
        class,
        status,
        retry_after: None,
        code: identifier(&error.code).or_else(|| identifier(&error.kind)),
        param: None,
        detail: scrub::clean(&error.message, scrub::MAX_DETAIL),
    }
}

fn by_text(error: &ErrorObject) -> Option<Class> {
    let text = error.message.to_ascii_lowercase();
    let told = |(kind, part, _): &&(&str, &str, Class)| *kind == error.kind && text.contains(part);
    BY_TEXT.iter().find(told).map(|(_, _, class)| *class)
}

#[cfg(test)]
mod tests;
