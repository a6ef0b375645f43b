//! Classifying what a provider says went wrong.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::wire::ErrorObject;
use crate::failure::{Class, Failure, by_name, identifier, refuses_key, retry_after, scrub};

/// Codes first: the same status and type cover both "wait a second" and "out of money".
const BY_CODE: [(&str, Class); 43] = [
    ("context_length_exceeded", Class::ContextTooLong),
    ("model_context_window_exceeded", Class::ContextTooLong),
    ("content_filter", Class::ContentFilter),
    ("content_policy_violation", Class::ContentFilter),
    ("insufficient_quota", Class::KeyDead),
    ("credit_balance_exhausted", Class::KeyDead),
    ("organization_spend_limit_exceeded", Class::KeyDead),
    ("project_spend_limit_exceeded", Class::KeyDead),
    ("organization_usage_limit_exceeded", Class::KeyDead),
    ("billing_hard_limit_reached", Class::KeyDead),
    ("billing_not_active", Class::KeyDead),
    ("account_deactivated", Class::KeyDead),
    ("invalid_api_key", Class::KeyDead),
    // Azure's, where a resource takes tokens only.
    ("AuthenticationTypeDisabled", Class::KeyDead),
    ("slow_down", Class::Ramping),
    ("rate_limit_exceeded", Class::KeyLimited),
    ("server_is_overloaded", Class::Overloaded),
    ("engine_overloaded", Class::Overloaded),
    ("overloaded", Class::Overloaded),
    ("server_error", Class::Server),
    ("internal_error", Class::Server),
    ("internal_server_error", Class::Server),
    // The upstream name of the model is the operator's choice, not the caller's: another target
    // may well have it.
    ("model_not_found", Class::Server),
    ("invalid_prompt", Class::CallerError),
    ("string_above_max_length", Class::CallerError),
    ("unsupported_parameter", Class::CallerError),
    // Those of an answer that failed after its status of success.
    ("bio_policy", Class::ContentFilter),
    ("misalignment_policy_violation", Class::ContentFilter),
    ("image_content_policy_violation", Class::ContentFilter),
    ("data_residency_mismatch", Class::CallerError),
    ("invalid_image", Class::CallerError),
    ("invalid_image_format", Class::CallerError),
    ("invalid_base64_image", Class::CallerError),
    ("invalid_image_url", Class::CallerError),
    ("image_too_large", Class::CallerError),
    ("image_too_small", Class::CallerError),
    ("image_parse_error", Class::CallerError),
    ("invalid_image_mode", Class::CallerError),
    ("image_file_too_large", Class::CallerError),
    ("unsupported_image_media_type", Class::CallerError),
    ("empty_image_file", Class::CallerError),
    ("failed_to_download_image", Class::CallerError),
    ("image_file_not_found", Class::CallerError),
];

/// Types second. `invalid_request_error` is missing on purpose: it also stands beside 401 and 429.
const BY_TYPE: [(&str, Class); 14] = [
    ("insufficient_quota", Class::KeyDead),
    ("authentication_error", Class::KeyDead),
    ("billing_error", Class::KeyDead),
    ("permission_error", Class::KeyDead),
    ("rate_limit_error", Class::KeyLimited),
    ("requests", Class::KeyLimited),
    ("tokens", Class::KeyLimited),
    ("overloaded_error", Class::Overloaded),
    ("server_error", Class::Server),
    ("api_error", Class::Server),
    ("timeout_error", Class::Server),
    // Mistral's.
    ("rate_limited", Class::KeyLimited),
    ("service_tier_capacity_exceeded", Class::Overloaded),
    ("invalid_model", Class::Server),
];

/// Words third, where a status covers more than one thing: what Azure says under its 429.
const BY_WORDS: [(&str, Class); 3] = [
    // OpenRouter's, with a 403: the prompt's fault, not the key's.
    ("input was flagged", Class::ContentFilter),
    ("exceeded by request parameters", Class::CallerError),
    ("experiencing high demand", Class::Overloaded),
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

/// Classifies an error that is told inside a 200.
pub(crate) fn told(error: &[u8]) -> Failure {
    of_object(&ErrorObject::read(error), None)
}

/// The failure that a body tells of; none where it tells of none.
pub(crate) fn told_by(body: &[u8]) -> Option<Failure> {
    let error = ErrorObject::read(body);
    (!error.is_empty()).then(|| of_object(&error, None))
}

/// Classifies an error object that came inside a 200. Such an error without a word that says
/// otherwise is the provider's own.
pub(crate) fn of_object(error: &ErrorObject, status: Option<u16>) -> Failure {
    // Routers in front of providers put the upstream status where the code belongs.
    let status = status.or_else(|| {
        error
            .code
            .parse()
            .ok()
            .filter(|code| (400..600).contains(code))
    });
    // A single request of more tokens than a minute has: it bears the code of a limit that waiting would mend.
    let too_large = error.message.starts_with("Request too large");
    let class = too_large
        .then_some(Class::ContextTooLong)
        .or_else(|| by_name(&BY_CODE, &error.code))
        .or_else(|| is_context_text(error, status).then_some(Class::ContextTooLong))
        .or_else(|| by_name(&BY_TYPE, &error.kind))
        .or_else(|| by_words(&error.message))
        .or_else(|| refuses_key(status, &error.message).then_some(Class::KeyDead))
        .unwrap_or_else(|| status.map_or(Class::Server, Class::of_status));
    Failure {
        class,
        status,
        retry_after: None,
        code: identifier(&error.code).or_else(|| identifier(&error.kind)),
        param: identifier(&error.param),
        detail: scrub::clean(&error.message, scrub::MAX_DETAIL),
    }
}

fn by_words(message: &str) -> Option<Class> {
    let found = BY_WORDS.iter().find(|(words, _)| message.contains(words));
    found.map(|(_, class)| *class)
}

/// Servers that imitate the format say in words that the conversation is too long.
fn is_context_text(error: &ErrorObject, status: Option<u16>) -> bool {
    let text = error.message.to_ascii_lowercase();
    matches!(status, None | Some(400 | 413 | 422))
        && (text.contains("maximum context length")
            || text.contains("context length exceeded")
            || text.contains("exceeds the context window")
            || text.contains("exceed_context_size"))
}

#[cfg(test)]
mod tests;
