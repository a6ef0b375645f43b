//! Writing errors.

use serde::Serialize;

use super::write_json;

/// An error as this format tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ErrorBody<'a> {
    /// What is wrong, in words meant for the caller.
    pub message: &'a str,
    /// The broad kind, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// The stable reason that programs branch on.
    pub code: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorEnvelope<'a> {
    error: &'a ErrorBody<'a>,
}

/// Writes the body of an error response.
#[must_use]
pub fn render_error(error: &ErrorBody<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_json(&ErrorEnvelope { error }, &mut out);
    out
}

/// Appends the event that ends a stream which failed.
pub fn render_error_event(error: &ErrorBody<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    write_json(&ErrorEnvelope { error }, out);
    out.extend_from_slice(b"\n\n");
}
