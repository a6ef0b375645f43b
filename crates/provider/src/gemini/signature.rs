//! Thought signatures: the model's state, which must come back on the part it came on.
//!
//! A signature on a tool call is kept with the call. One on a text or on an empty part has no place
//! of its own in the canonical conversation, so it travels as a reasoning part without text, right
//! behind the text it belongs to; its kind says where it goes when it is sent back.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::chat::Opaque;
use crate::codec::Kind;

/// What a signature stood on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A tool call.
    Call,
    /// A text of thoughts.
    Thought,
    /// A text of the answer.
    Text,
    /// A part of nothing but the signature.
    Alone,
}

impl Place {
    const ALL: [Self; 4] = [Self::Call, Self::Thought, Self::Text, Self::Alone];

    fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call_signature",
            Self::Thought => "thought_signature",
            Self::Text => "text_signature",
            Self::Alone => "signature",
        }
    }
}

/// Stands in for the signature of a call that this provider never saw, such as one that another
/// model made before the conversation came here. Google documents it for that: without any
/// signature, models of the third generation refuse the call.
pub(super) const STAND_IN: &str = "skip_thought_signature_validator";

/// Wraps a signature as it arrived.
pub(super) fn keep(place: Place, signature: &str) -> Opaque {
    Opaque {
        provider: Kind::Gemini.as_str().to_owned(),
        kind: place.as_str().to_owned(),
        bytes: Bytes::copy_from_slice(signature.as_bytes()),
    }
}

/// Unwraps a signature; nothing for the state of another provider and for what `keep` never made.
pub(super) fn unwrap(state: &Opaque) -> Option<(Place, &str)> {
    if state.provider != Kind::Gemini.as_str() {
        return None;
    }
    let place = Place::ALL
        .into_iter()
        .find(|place| place.as_str() == state.kind)?;
    Some((place, std::str::from_utf8(&state.bytes).ok()?))
}

/// What a part is called that is kept whole.
const PART: &str = "part";
/// What such a part may consist of. Parts of other kinds go the way on which they are looked at.
const OF_PART: [&str; 8] = [
    "inlineData",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
    "thought",
    "thoughtSignature",
];

/// Wraps a whole part, such as what code the provider ran and what came of it.
pub(super) fn keep_part(json: String) -> Opaque {
    Opaque {
        provider: Kind::Gemini.as_str().to_owned(),
        kind: PART.to_owned(),
        bytes: Bytes::from(json),
    }
}

/// Unwraps a whole part; nothing for any other state.
pub(super) fn part(state: &Opaque) -> Option<Map<String, Value>> {
    if state.provider != Kind::Gemini.as_str() || state.kind != PART {
        return None;
    }
    let part: Map<String, Value> = serde_json::from_slice(&state.bytes).ok()?;
    let known = part.keys().all(|key| OF_PART.contains(&key.as_str()));
    known.then_some(part)
}

/// Wraps the signature of a tool call.
pub(crate) fn call_state(signature: &str) -> Opaque {
    keep(Place::Call, signature)
}

/// Unwraps the signature of a tool call; nothing for any other state.
pub(crate) fn call_signature(state: &Opaque) -> Option<&str> {
    match unwrap(state)? {
        (Place::Call, signature) => Some(signature),
        (Place::Thought | Place::Text | Place::Alone, _) => None,
    }
}
