//! Classifying what the provider says went wrong.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::failure::{Class, Failure, by_name, identifier, retry_after, scrub, wait_of_seconds};

/// Google's canonical statuses. They say more than the HTTP status, of which several share one.
const BY_STATUS: [(&str, Class); 14] = [
    ("INVALID_ARGUMENT", Class::CallerError),
    ("OUT_OF_RANGE", Class::CallerError),
    // A region that is not served, or billing that is not set up: nothing a caller can mend.
    ("FAILED_PRECONDITION", Class::KeyDead),
    ("UNAUTHENTICATED", Class::KeyDead),
    ("PERMISSION_DENIED", Class::KeyDead),
    ("RESOURCE_EXHAUSTED", Class::KeyLimited),
    // The upstream name of the model is the operator's choice, not the caller's.
    ("NOT_FOUND", Class::Server),
    ("UNIMPLEMENTED", Class::Server),
    ("ABORTED", Class::Server),
    ("CANCELLED", Class::Server),
    ("INTERNAL", Class::Server),
    ("UNKNOWN", Class::Server),
    ("DEADLINE_EXCEEDED", Class::Server),
    ("UNAVAILABLE", Class::Overloaded),
];

/// Reasons of `ErrorInfo` that speak of the key, under whatever status they come.
const OF_THE_KEY: [&str; 6] = [
    "API_KEY_INVALID",
    "API_KEY_SERVICE_BLOCKED",
    "ACCESS_TOKEN_EXPIRED",
    "BILLING_DISABLED",
    "CONSUMER_SUSPENDED",
    "SERVICE_DISABLED",
];

/// What errors say that are about something stored by the caller, by the name of the status under which they do. Texts
/// change; what is not found here has the class of its status.
const OF_CONTENT: [(&str, &str); 6] = [
    ("PERMISSION_DENIED", "permission to access the File "),
    ("FAILED_PRECONDITION", " is not in an ACTIVE state"),
    ("PERMISSION_DENIED", "CachedContent not found"),
    ("NOT_FOUND", "cached content metadata"),
    ("PERMISSION_DENIED", "accessing input file"),
    ("PERMISSION_DENIED", "storage.objects."),
];

/// Classifies an answer whose status is not 2xx.
pub(crate) fn classify(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Failure {
    let told = serde_json::from_slice(body).ok();
    let told = told.as_ref().and_then(Told::read);
    let mut failure = match told {
        Some(told) => told.failure(Some(status.as_u16())),
        None => Failure {
            status: Some(status.as_u16()),
            ..Failure::new(
                Class::of_status(status.as_u16()),
                String::from_utf8_lossy(body),
            )
        },
    };
    failure.retry_after = retry_after(headers, now).or(failure.retry_after);
    failure
}

/// The error that a body under a status of success tells, if it tells one.
pub(super) fn told(body: &[u8]) -> Option<Failure> {
    let value: Value = serde_json::from_slice(body).ok()?;
    Told::read(&value).map(|told| told.failure(None))
}

/// The error of a body that is known to hold one.
pub(super) fn of_body(body: &[u8]) -> Failure {
    told(body).unwrap_or_else(|| Failure::new(Class::Server, "the answer is an error"))
}

/// The failure of a prompt that was not let through.
pub(super) fn blocked(reason: &str) -> Failure {
    Failure {
        code: identifier(reason),
        ..Failure::new(
            Class::ContentFilter,
            format!("the prompt was blocked: {reason}"),
        )
    }
}

/// A `google.rpc.Status` as it is written in JSON.
#[derive(Debug, Default)]
struct Told {
    code: Option<u16>,
    status: String,
    message: String,
    /// Why, from `ErrorInfo`.
    reason: String,
    /// The field at fault, from `BadRequest`.
    field: String,
    /// The wait, from `RetryInfo`.
    retry_after: Option<Duration>,
    /// Whether a quota is not used up but zero.
    no_quota: bool,
}

impl Told {
    /// Reads `{"error": {…}}`, also as the one element of an array.
    fn read(value: &Value) -> Option<Self> {
        let outer = value
            .as_array()
            .and_then(|list| list.first())
            .unwrap_or(value);
        let error = outer.get("error")?;
        let text = |name: &str| text(error, name);
        let mut told = Self {
            code: error
                .get("code")
                .and_then(Value::as_u64)
                .and_then(|code| code.try_into().ok()),
            status: text("status"),
            message: error
                .as_str()
                .map_or_else(|| text("message"), str::to_owned),
            ..Self::default()
        };
        told.no_quota = is_limit_zero(&told.message);
        let details = error.get("details").and_then(Value::as_array);
        details
            .into_iter()
            .flatten()
            .for_each(|detail| told.read_detail(detail));
        Some(told)
    }

    fn read_detail(&mut self, detail: &Value) {
        let kind = text(detail, "@type");
        match kind.rsplit('.').next() {
            Some("ErrorInfo") => self.reason = text(detail, "reason"),
            Some("RetryInfo") => self.retry_after = duration(&text(detail, "retryDelay")),
            Some("BadRequest") => {
                self.field = detail
                    .pointer("/fieldViolations/0")
                    .map(|violation| text(violation, "field"))
                    .unwrap_or_default();
            }
            Some("QuotaFailure") => {
                let violations = detail.get("violations").and_then(Value::as_array);
                self.no_quota |= violations
                    .into_iter()
                    .flatten()
                    .any(|violation| text(violation, "quotaValue") == "0");
            }
            _ => {}
        }
    }

    fn failure(&self, status: Option<u16>) -> Failure {
        let status = status.or(self.code.filter(|code| (400..600).contains(code)));
        let named = [&self.reason, &self.status];
        Failure {
            class: self.class(status),
            status,
            retry_after: self.retry_after,
            code: named.into_iter().find_map(|name| identifier(name)),
            param: identifier(&self.field),
            detail: scrub::clean(&self.message, scrub::MAX_DETAIL),
        }
    }

    fn class(&self, status: Option<u16>) -> Class {
        let class = by_name(&BY_STATUS, &self.status)
            .or_else(|| status.map(Class::of_status))
            .unwrap_or(Class::Server);
        if OF_THE_KEY.contains(&self.reason.as_str()) {
            return Class::KeyDead;
        }
        if self.is_of_content() {
            return Class::CallerError;
        }
        if class == Class::KeyLimited && (self.no_quota || self.is_unpaid()) {
            Class::KeyDead
        } else if class == Class::CallerError && self.is_too_long() {
            Class::ContextTooLong
        } else {
            class
        }
    }

    /// Whether a limit will not recover by waiting: money is missing, not time.
    fn is_unpaid(&self) -> bool {
        let text = self.message.to_ascii_lowercase();
        text.contains("credits are depleted") || text.contains("spending cap")
    }

    /// Whether it is about something that the caller has stored there, such as a file that is gone after two days or is
    /// not ready yet: it comes with the statuses of a key that may do nothing.
    fn is_of_content(&self) -> bool {
        let says =
            |(status, part): &(&str, &str)| self.status == *status && self.message.contains(part);
        OF_CONTENT.iter().any(says)
    }

    fn is_too_long(&self) -> bool {
        let text = self.message.to_ascii_lowercase();
        text.contains("input token count") && text.contains("exceeds the maximum")
    }
}

/// Whether the text of an exceeded quota says that the quota is zero: the key's tier has none for
/// this model, so that waiting is in vain.
fn is_limit_zero(message: &str) -> bool {
    message.match_indices("limit: 0").any(|(at, found)| {
        let rest = &message[at + found.len()..];
        !rest.starts_with(|c: char| c.is_ascii_digit()) && !is_fraction(rest)
    })
}

fn is_fraction(rest: &str) -> bool {
    rest.strip_prefix('.')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn text(value: &Value, name: &str) -> String {
    value
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Reads a duration as Google writes it: seconds, perhaps with a fraction, and an `s`.
fn duration(text: &str) -> Option<Duration> {
    text.strip_suffix('s')?
        .parse()
        .ok()
        .and_then(wait_of_seconds)
}

#[cfg(test)]
mod tests;
