//! Classifying what Cohere says went wrong.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::failure::{Class, Failure, identifier, refuses_key, retry_after};

/// Classifies an answer whose status is not 2xx.
pub(crate) fn classify(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Failure {
    let text = match message(body) {
        Some(text) => text,
        None => String::from_utf8_lossy(body).into_owned(),
    };
    let mut failure = of_text(&text, Some(status.as_u16()));
    failure.retry_after = retry_after(headers, now);
    failure
}

/// The text of an error body: `{"message": "…", "id": "…"}`, or, from servers in front, `{"error": "…"}` and
/// `{"error": {"message": "…"}}`.
pub(super) fn message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let inner = match value.get("error") {
        Some(Value::String(text)) => return Some(text.clone()),
        Some(error @ Value::Object(_)) => error,
        _ => &value,
    };
    inner.get("message")?.as_str().map(str::to_owned)
}

/// Classifies an error by its text, since the format has no codes, and by its status where there is one.
pub(super) fn of_text(text: &str, status: Option<u16>) -> Failure {
    let class = by_text(text, status).unwrap_or_else(|| status.map_or(Class::Server, by_status));
    Failure {
        status,
        ..Failure::new(class, text)
    }
}

/// What only the words tell apart.
fn by_text(text: &str, status: Option<u16>) -> Option<Class> {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|words| text.contains(words));
    match status {
        None | Some(400 | 413 | 422)
            if has(&["too many tokens", "context length", "token limit"]) =>
        {
            Some(Class::ContextTooLong)
        }
        // A monthly allowance that is used up does not come back in a minute.
        Some(429) if has(&["/ month", "per month", "monthly", "billing", "payment"]) => {
            Some(Class::KeyDead)
        }
        _ => refuses_key(status, &text).then_some(Class::KeyDead),
    }
}

fn by_status(status: u16) -> Class {
    match status {
        // The prompt or the answer holds a word that is not allowed there.
        498 => Class::ContentFilter,
        // "Cancelled", while the gateway still waits: the provider gave up.
        499 => Class::Server,
        // What is asked for is not implemented for this model.
        501 => Class::CallerError,
        _ => Class::of_status(status),
    }
}

/// The failure behind a finish reason, where it is one; `said` is what came with it.
pub(super) fn of_finish(reason: &str, said: Option<&str>) -> Option<Failure> {
    let class = match reason {
        "TIMEOUT" => Class::Server,
        "ERROR_TOXIC" => Class::ContentFilter,
        "ERROR_LIMIT" => Class::ContextTooLong,
        _ if reason.starts_with("ERROR") => Class::Server,
        _ => return None,
    };
    let detail = match said {
        Some(said) => format!("the answer ended with {reason}: {said}"),
        None => format!("the answer ended with {reason}"),
    };
    Some(Failure {
        code: identifier(reason),
        ..Failure::new(class, detail)
    })
}

#[cfg(test)]
mod tests;
