//! What the events of one stream have in common.
//!
//! An event repeats the id, model and time of the answer around the few bytes that are new. So of an event that,
//! byte for byte, begins and ends as an earlier one that was read whole, only the choices are read. Where a server
//! frames each event differently, every event is read whole.

use serde_json::Deserializer;

use super::wire::{AnswerChunk, ChunkChoices};

/// Longest frame that is remembered, bytes.
const MOST: usize = 4 * 1024;

/// `OpenAI` ends events with random letters, so that their length does not give away what they say.
const PADDING: &str = "\"obfuscation\":\"";

/// What stood around the choices of an event that was read whole. Nothing where none is known.
#[derive(Debug, Default)]
pub(super) struct Frame {
    before: String,
    /// Up to the padding, where there is any.
    after: String,
}

impl Frame {
    /// The choices of an event in the same frame. None of any other event, which must be read whole.
    pub(super) fn open<'a>(&self, event: &'a str) -> Option<ChunkChoices<'a>> {
        if self.before.is_empty() {
            return None;
        }
        let rest = event.strip_prefix(&*self.before)?;
        let mut values = Deserializer::from_str(rest).into_iter();
        let choices = values.next()?.ok()?;
        let after = rest.get(values.byte_offset()..)?;
        self.ends(after).then_some(choices)
    }

    fn ends(&self, after: &str) -> bool {
        match after.strip_prefix(&*self.after) {
            Some(rest) if self.after.ends_with(PADDING) => is_padding(rest),
            Some(rest) => rest.is_empty(),
            None => false,
        }
    }

    /// Remembers the frame of an event, unless it says more than its choices do.
    pub(super) fn learn(&mut self, event: &str, chunk: &AnswerChunk<'_>) {
        self.before.clear();
        self.after.clear();
        let (Some(choices), None) = (chunk.choices, chunk.usage) else {
            return;
        };
        let choices = choices.get();
        if event.len() - choices.len() > MOST {
            return;
        }
        // Both are slices of the same text.
        let at = choices.as_ptr().addr() - event.as_ptr().addr();
        self.before.push_str(&event[..at]);
        let after = &event[at + choices.len()..];
        let padded = after.find(PADDING).map(|at| at + PADDING.len());
        let end = padded.filter(|&end| is_padding(&after[end..]));
        self.after.push_str(&after[..end.unwrap_or(after.len())]);
    }
}

/// Whether the rest of an event is padding and its end.
fn is_padding(rest: &str) -> bool {
    let letters = rest.strip_suffix("\"}");
    letters.is_some_and(|letters| letters.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
