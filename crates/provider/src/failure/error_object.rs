//! What a provider says went wrong, in whatever shape.

use http::StatusCode;

use super::{Failure, scrub};

/// An error object in any of the shapes seen: every field may be missing or of another type.
#[derive(Debug, Default)]
pub(crate) struct ErrorObject {
    pub(crate) message: String,
    pub(crate) kind: String,
    pub(crate) code: String,
    pub(crate) param: String,
}

impl ErrorObject {
    /// Judges an answer by the object in its body, or, where there is none, by its status; the body is then all that is
    /// known.
    pub(crate) fn classify(
        body: &[u8],
        status: StatusCode,
        judge: fn(&Self, Option<u16>) -> Failure,
    ) -> Failure {
        let error = Self::read(body);
        let mut failure = judge(&error, Some(status.as_u16()));
        if error.is_empty() {
            failure.detail = scrub::clean(&String::from_utf8_lossy(body), scrub::MAX_DETAIL);
        }
        failure
    }

    /// Reads `{"error": {…}}`, `{"error": "…"}`, a bare `{message, type, code}`, or any of these as
    /// the first element of an array. Gives an empty object for anything else.
    pub(crate) fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else {
            return Self::default();
        };
        Self::from_value(&value)
    }

    pub(crate) fn from_value(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        let outer = value
            .as_array()
            .and_then(|list| list.first())
            .unwrap_or(value);
        let inner = match outer.get("error") {
            Some(error @ (Value::Object(_) | Value::String(_))) => error,
            _ => outer,
        };
        if let Value::String(message) = inner {
            return Self {
                message: message.clone(),
                ..Self::default()
            };
        }
        let field = |name: &str| match inner.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let mut error = Self {
            message: field("message"),
            kind: field("type"),
            code: match field("code") {
                code if code.is_empty() => error_code(inner),
                code => code,
            },
            param: field("param"),
        };
        if error.message.is_empty() {
            error.message = field("detail");
        }
        let list = inner.pointer("/message/detail/0");
        if let Some(first) = list.or_else(|| inner.pointer("/detail/0")) {
            error.read_invalid(first);
        }
        error
    }

    /// Reads the first of the faults that servers list who check a body against a schema. They repeat what was
    /// sent, which is left out.
    fn read_invalid(&mut self, fault: &serde_json::Value) {
        use serde_json::Value;
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        self.message = fault.get("msg").and_then(text).unwrap_or_default();
        let place = fault.get("loc").and_then(Value::as_array);
        let steps: Vec<_> = place.into_iter().flatten().filter_map(text).collect();
        self.param = steps.join(".");
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.message.is_empty() && self.kind.is_empty() && self.code.is_empty()
    }
}

/// The finer code that Anthropic puts beside its broad type.
fn error_code(error: &serde_json::Value) -> String {
    let code = error.pointer("/details/error_code");
    let code = code.and_then(serde_json::Value::as_str);
    code.unwrap_or_default().to_owned()
}
