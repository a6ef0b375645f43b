//! State of a tool call on its way through a caller, or a provider, who speaks this format.
//!
//! It travels in `extra_content`, the place that Google's own OpenAI-compatible endpoint has for the
//! signature of a call, so that the clients of that endpoint know to send it back. The state of other
//! providers has no place here.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::Opaque;
use crate::gemini;

#[derive(Debug, Serialize)]
pub(crate) struct ExtraContent<'a> {
    google: Google<'a>,
}

#[derive(Debug, Serialize)]
struct Google<'a> {
    thought_signature: &'a str,
}

#[derive(Deserialize)]
struct Read {
    google: Option<ReadGoogle>,
}

#[derive(Deserialize)]
struct ReadGoogle {
    thought_signature: Option<String>,
}

/// What is told to the caller of a call's state.
pub(crate) fn of(state: &[Opaque]) -> Option<ExtraContent<'_>> {
    let thought_signature = state.iter().find_map(gemini::call_signature)?;
    Some(ExtraContent {
        google: Google { thought_signature },
    })
}

/// Reads what the caller sent back. Anything else found there is ignored: callers echo what servers
/// sent, with whatever each server adds.
pub(super) fn read(raw: &RawValue) -> Option<Opaque> {
    let read: Read = serde_json::from_str(raw.get()).ok()?;
    let signature = read.google?.thought_signature?;
    Some(gemini::call_state(&signature))
}

#[cfg(test)]
mod tests;
