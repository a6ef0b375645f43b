//! State of thoughts on its way through a caller who speaks this format.
//!
//! The format has no place for it, and a provider that signs thoughts refuses to go on with tools
//! without them. It travels in `reasoning_details`, a list beside `reasoning_content` that other
//! gateways have too, so that clients know to send it back. What stands in it is the gateway's own: each
//! element is one state in base64, with its provider (`format`) and kind (`id`), and the first of a
//! thought has the thought's text too, since a signature is good for exactly that text. Where a thought
//! stood among texts and calls is not told: thoughts come first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{List, Text};
use crate::chat::{Opaque, Part};

/// The most elements one message may have.
const MOST: usize = 1024;

#[derive(Serialize)]
pub(super) struct Detail<'a> {
    r#type: &'static str,
    index: usize,
    format: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    data: String,
}

impl<'a> Detail<'a> {
    /// The element of a state; with a text where it begins a thought.
    pub(super) fn new(index: usize, state: &'a Opaque, text: Option<&'a str>) -> Self {
        Self {
            r#type: "reasoning.encrypted",
            index,
            format: &state.provider,
            id: &state.kind,
            text,
            data: STANDARD.encode(&state.bytes),
        }
    }
}

/// Appends what is told to the caller of a thought's state.
pub(super) fn add<'a>(text: &'a str, state: &'a [Opaque], out: &mut Vec<Detail<'a>>) {
    for (at, state) in state.iter().enumerate() {
        out.push(Detail::new(
            out.len(),
            state,
            (at == 0 && !text.is_empty()).then_some(text),
        ));
    }
}

/// What a stream of one choice has told of thoughts.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    /// The text since the last state.
    text: String,
    /// How many states there were.
    told: usize,
    /// Whether the next state belongs to the same thought as the last.
    closed: bool,
}

impl Thoughts {
    /// Keeps the text of a thought until its state comes.
    pub(super) fn think(&mut self, text: &str) {
        self.closed = false;
        self.text.push_str(text);
    }

    /// The element of a state, to be given to `write`.
    pub(super) fn tell<R>(&mut self, state: &Opaque, write: impl FnOnce(&[Detail<'_>]) -> R) -> R {
        let text = (!self.closed && !self.text.is_empty()).then_some(&*self.text);
        let written = write(&[Detail::new(self.told, state, text)]);
        self.told += 1;
        self.closed = true;
        self.text.clear();
        written
    }
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    format: Text<'a>,
    id: Text<'a>,
    text: Option<Text<'a>>,
    data: Text<'a>,
}

/// The thoughts that the caller sent back. Elements of another shape are ignored: callers echo what
/// servers sent, with whatever each server adds.
///
/// # Errors
/// What is wrong, in words, with an element that was changed.
pub(super) fn read(raw: &RawValue) -> Result<Vec<Part>, &'static str> {
    let mut thoughts = Vec::new();
    let list = serde_json::from_str::<Option<List<&RawValue, MOST>>>(raw.get());
    for raw in list.ok().flatten().unwrap_or_default().0 {
        let Ok(read) = serde_json::from_str::<Read<'_>>(raw.get()) else {
            continue;
        };
        let bytes = STANDARD.decode(read.data.as_str());
        let state = Opaque {
            provider: read.format.into_string(),
            kind: read.id.into_string(),
            bytes: bytes.map_err(|_| "must be sent back as it came")?.into(),
        };
        match (read.text, thoughts.last_mut()) {
            (None, Some(Part::Reasoning { opaque, .. })) => opaque.push(state),
            (text, _) => thoughts.push(Part::Reasoning {
                text: text.map(Text::into_string).unwrap_or_default(),
                opaque: vec![state],
            }),
        }
    }
    Ok(thoughts)
}

#[cfg(test)]
mod tests;
