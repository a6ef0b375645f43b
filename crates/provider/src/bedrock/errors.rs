//! Classifying what the provider says went wrong.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use crate::failure::{Class, ErrorObject, Failure, by_name, identifier, retry_after, scrub};

/// The header that names an error.
const NAME: &str = "x-amzn-errortype";

/// Names, in lower case: streams and answers differ in the first letter.
const BY_NAME: [(&str, Class); 20] = [
    ("accessdeniedexception", Class::KeyDead),
    ("expiredtokenexception", Class::KeyDead),
    ("incompletesignatureexception", Class::KeyDead),
    ("invalidclienttokenid", Class::KeyDead),
    ("invalidsignatureexception", Class::KeyDead),
    ("missingauthenticationtokenexception", Class::KeyDead),
    ("notauthorized", Class::KeyDead),
    ("optinrequired", Class::KeyDead),
    ("unrecognizedclientexception", Class::KeyDead),
    ("throttlingexception", Class::KeyLimited),
    ("toomanyrequestsexception", Class::KeyLimited),
    ("servicequotaexceededexception", Class::KeyLimited),
    ("serviceunavailableexception", Class::Overloaded),
    // A model that is being loaded, with the status of a limit.
    ("modelnotreadyexception", Class::Overloaded),
    ("internalserverexception", Class::Server),
    ("modelerrorexception", Class::Server),
    ("modelstreamerrorexception", Class::Server),
    ("modeltimeoutexception", Class::Server),
    // The upstream name of the model is the operator's choice, not the caller's.
    ("resourcenotfoundexception", Class::Server),
    ("validationexception", Class::CallerError),
];

/// What only the text of a validation tells apart. Texts differ from model to model.
const BY_TEXT: [(&str, Class); 8] = [
    ("too long", Class::ContextTooLong),
    ("too many input tokens", Class::ContextTooLong),
    ("context length", Class::ContextTooLong),
    ("context limit", Class::ContextTooLong),
    ("context window", Class::ContextTooLong),
    ("content filter", Class::ContentFilter),
    ("model identifier is invalid", Class::Server),
    ("on-demand throughput", Class::Server),
];

/// Classifies an answer whose status is not 2xx.
pub(crate) fn classify(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Failure {
    let error = Told::read(body);
    let header = headers.get(NAME).and_then(|it| it.to_str().ok());
    let name = header.unwrap_or(&error.name);
    let mut failure = of_error(name, &error.message, Some(status.as_u16()));
    if error.message.is_empty() {
        failure.detail = scrub::clean(&String::from_utf8_lossy(body), scrub::MAX_DETAIL);
    }
    failure.retry_after = retry_after(headers, now);
    failure
}

/// Classifies an exception that came inside a stream.
pub(super) fn of_exception(name: &str, payload: &[u8]) -> Failure {
    let told = Told::read(payload);
    let text = String::from_utf8_lossy(payload);
    let message = match told.message.as_str() {
        "" => &text,
        message => message,
    };
    of_error(name, message, None)
}

/// The error that a plain body tells, if it tells one.
pub(super) fn of_body(body: &[u8]) -> Option<Failure> {
    let told = Told::read(body);
    (!told.message.is_empty()).then(|| of_error(&told.name, &told.message, None))
}

fn of_error(name: &str, message: &str, status: Option<u16>) -> Failure {
    // Such as `ThrottlingException:http://internal.amazon.com/…` or `com.amazon.coral#ThrottlingException`.
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    let class = by_name(&BY_NAME, &name.to_ascii_lowercase());
    let class = match class {
        Some(Class::CallerError) => by_text(message).unwrap_or(Class::CallerError),
        Some(class) => class,
        None => status.map_or(Class::Server, Class::of_status),
    };
    Failure {
        class,
        status,
        retry_after: None,
        code: identifier(name),
        param: None,
        detail: scrub::clean(message, scrub::MAX_DETAIL),
    }
}

fn by_text(message: &str) -> Option<Class> {
    let text = message.to_ascii_lowercase();
    let told = |(part, _): &&(&str, Class)| text.contains(part);
    BY_TEXT.iter().find(told).map(|(_, class)| *class)
}

/// An error as it stands in a body.
struct Told {
    name: String,
    message: String,
}

impl Told {
    fn read(body: &[u8]) -> Self {
        let value = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        let field = |name: &str| {
            let field = value.get(name).and_then(serde_json::Value::as_str);
            field.unwrap_or_default().to_owned()
        };
        let capital = field("Message");
        Self {
            name: field("__type"),
            message: if capital.is_empty() {
                ErrorObject::from_value(&value).message
            } else {
                capital
            },
        }
    }
}

#[cfg(test)]
mod tests;
