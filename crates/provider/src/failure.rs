//! One failure taxonomy for all providers.
//!
//! A provider's failure is reduced to what the gateway must do about it: retry, cool a key down,
//! go elsewhere, or tell the caller. The provider's own words never reach the caller; a short
//! scrubbed piece of them is kept for the operator.

mod error_object;
#[cfg(test)]
mod matrix;
mod retry_after;
pub(crate) mod scrub;

use std::borrow::Cow;
use std::time::Duration;

pub(crate) use error_object::ErrorObject;
pub use retry_after::retry_after;
pub(crate) use retry_after::wait_of_seconds;

/// What went wrong, reduced to what must be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request itself is at fault. Return it; no retry, no mark against the provider.
    CallerError,
    /// The conversation is longer than the model's window. Only a model with a larger one helps.
    ContextTooLong,
    /// The provider's filter refused the prompt. No mark against the provider.
    ContentFilter,
    /// The credential is invalid, unpaid or out of quota. Stop using it until it changes.
    KeyDead,
    /// The credential is over a rate limit. Cool it down; another key or provider may serve.
    KeyLimited,
    /// Traffic grew faster than the provider allows. Send less for a while.
    Ramping,
    /// The provider has no capacity just now. Go elsewhere.
    Overloaded,
    /// The provider broke: 5xx, an unreadable answer, an error inside a stream.
    Server,
    /// The provider could not be reached or the connection broke.
    Transport,
    /// A stream ended without its end.
    Truncated,
}

impl Class {
    /// What a status other than 2xx says where nothing else does.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 | 402 => Self::KeyDead,
            429 => Self::KeyLimited,
            503 | 529 => Self::Overloaded,
            // A path or method that is not there is a wrong base URL or model name in the policy.
            // A 403 that gives no reason is as likely from something on the way as about the key: a proxy, a filter of
            // addresses or regions. Whoever means the key says so.
            403..=405 | 408 | 425 => Self::Server,
            400..=499 => Self::CallerError,
            // 5xx, and whatever has no business here, a redirect above all: it is never followed.
            _ => Self::Server,
        }
    }

    /// The lower-case name used in logs, metrics and the route told to the caller.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerError => "caller_error",
            Self::ContextTooLong => "context_too_long",
            Self::ContentFilter => "content_filter",
            Self::KeyDead => "key_dead",
            Self::KeyLimited => "key_limited",
            Self::Ramping => "ramping",
            Self::Overloaded => "overloaded",
            Self::Server => "server",
            Self::Transport => "transport",
            Self::Truncated => "truncated",
        }
    }
}

/// One failed attempt at a provider.
///
/// `Display` is for operators; callers are told `public_message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", class.as_str())]
pub struct Failure {
    /// What must be done about it.
    pub class: Class,
    /// The HTTP status, where one arrived.
    pub status: Option<u16>,
    /// How long the provider asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The provider's code for it, such as `insufficient_quota`; scrubbed and short.
    pub code: Option<String>,
    /// The request field at fault by the provider's word, for `CallerError`.
    pub param: Option<String>,
    /// What the provider said, scrubbed and short: for the operator's eyes only.
    pub detail: String,
}

impl Failure {
    /// That of a body which is not the JSON that was expected, in words for that. Where it is wrong is told, but not how:
    /// the parser's words may quote the answer.
    pub(crate) fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        Self::new(
            Class::Server,
            format!("{what}, see line {line} column {column}"),
        )
    }

    /// A failure seen by the gateway itself, `detail` in its own words.
    #[must_use]
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Self {
            class,
            status: None,
            retry_after: None,
            code: None,
            param: None,
            detail: scrub::clean(&detail.into(), scrub::MAX_DETAIL),
        }
    }

    /// A connection that could not be made or broke; `detail` is the client's error text.
    #[must_use]
    pub fn transport(detail: impl Into<String>) -> Self {
        Self::new(Class::Transport, detail)
    }

    /// What the caller is told. It is chosen by class and never holds the provider's words, but for
    /// the names (`param`, `code`) by which a rejected field can be found.
    #[must_use]
    pub fn public_message(&self) -> Cow<'static, str> {
        let base = self.class.public_message();
        if self.class != Class::CallerError {
            return Cow::Borrowed(base);
        }
        match (&self.param, &self.code) {
            (Some(param), Some(code)) => Cow::Owned(format!("{base}: field {param} ({code})")),
            (Some(param), None) => Cow::Owned(format!("{base}: field {param}")),
            (None, Some(code)) => Cow::Owned(format!("{base} ({code})")),
            (None, None) => Cow::Borrowed(base),
        }
    }
}

impl Class {
    fn public_message(self) -> &'static str {
        match self {
            Self::CallerError => "the provider rejected the request as invalid",
            Self::ContextTooLong => {
                "the conversation is longer than the model's context window; shorten it or choose \
                 a model with a larger window"
            }
            Self::ContentFilter => "the provider's content filter refused the request",
            Self::KeyDead => "the gateway's credential for the provider is not usable",
            Self::KeyLimited => "the provider's rate limit is reached; retry later",
            Self::Ramping => "the provider asks for slower growth of traffic; retry later",
            Self::Overloaded => "the provider is overloaded; retry later",
            Self::Server => "the provider failed",
            Self::Transport => "the provider could not be reached",
            Self::Truncated => "the provider's answer ended before it was complete",
        }
    }
}

/// Whether a provider that refuses says in words that it is for the key: formats have few names for that, or none.
pub(crate) fn refuses_key(status: Option<u16>, message: &str) -> bool {
    const WORDS: [&str; 6] = [
        "api key",
        "api token",
        "billing",
        "credits",
        "payment",
        "permission",
    ];
    let message = message.to_ascii_lowercase();
    // Pages come from something on the way.
    let is_page = message.starts_with('<');
    status == Some(403) && !is_page && WORDS.iter().any(|words| message.contains(words))
}

/// Looks a provider's name for a failure up.
pub(crate) fn by_name(table: &[(&str, Class)], name: &str) -> Option<Class> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, class)| *class)
}

/// A name short and plain enough to be shown to a caller.
pub(crate) fn identifier(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '[' | ']');
    (!text.is_empty() && text.len() <= scrub::MAX_CODE && text.chars().all(plain))
        .then(|| text.to_owned())
        .filter(|text| scrub::clean(text, scrub::MAX_CODE) == *text)
}
