//! What the events of one stream have in common.
//!
//! An event repeats the id, model and time of the answer around the few bytes that are new. So of an event that,
//! byte for byte, begins and ends as an earlier one that was read whole, only the choices are read; and where the
//! earlier one brought nothing but a piece of text, and only the inside of that JSON string differs, no more than the
//! text. Where a server frames each event differently, every event is read whole.

use std::borrow::Cow;

use serde_json::Deserializer;

use super::wire::{AnswerChunk, ChunkChoice, ChunkChoices, Content, Text};

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
    slot: Slot,
}

/// What stood around the text of an event that brought nothing else. Nothing where none is known.
#[derive(Debug, Default)]
struct Slot {
    choice: u32,
    thought: bool,
    /// With the quotation mark that opens the string.
    before: String,
    /// From the quotation mark that closes it up to the padding, where there is any.
    after: String,
}

/// A piece of text, of an event that brings nothing else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) choice: u32,
    /// Whether it is of the model's thinking.
    pub(super) thought: bool,
    pub(super) text: &'a str,
}

impl Frame {
    /// The text of an event that differs from an earlier one in nothing else. None of any other event.
    pub(super) fn text<'a>(&self, event: &'a str) -> Option<Piece<'a>> {
        let slot = &self.slot;
        if slot.before.is_empty() {
            return None;
        }
        let rest = event.strip_prefix(&*slot.before)?;
        // Up to here the string's value is what stands there; at an escape, or a byte that no JSON string may
        // hold, this is no case for a short cut.
        let end = rest
            .bytes()
            .position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
        let (text, after) = rest.split_at(end);
        ends(&slot.after, after).then_some(Piece {
            choice: slot.choice,
            thought: slot.thought,
            text,
        })
    }

    /// The choices of an event in the same frame. None of any other event, which must be read whole.
    pub(super) fn open<'a>(&self, event: &'a str) -> Option<ChunkChoices<'a>> {
        if self.before.is_empty() {
            return None;
        }
        let rest = event.strip_prefix(&*self.before)?;
        let mut values = Deserializer::from_str(rest).into_iter();
        let choices = values.next()?.ok()?;
        let after = rest.get(values.byte_offset()..)?;
        ends(&self.after, after).then_some(choices)
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
        self.after
            .push_str(without_padding(&event[at + choices.len()..]));
    }

    /// Remembers what stands around the text of an event of the frame in force, if it brings nothing else.
    pub(super) fn learn_text(&mut self, event: &str, choices: &ChunkChoices<'_>) {
        let slot = &mut self.slot;
        slot.before.clear();
        slot.after.clear();
        let [choice] = &choices.0[..] else {
            return;
        };
        let Some((text, thought)) = only_text(choice) else {
            return;
        };
        if self.before.is_empty() || text.is_empty() || event.len() - text.len() > MOST {
            return;
        }
        // Both are slices of the same text, as the string has no escapes.
        let at = text.as_ptr().addr() - event.as_ptr().addr();
        slot.choice = choice.index;
        slot.thought = thought;
        slot.before.push_str(&event[..at]);
        slot.after
            .push_str(without_padding(&event[at + text.len()..]));
    }
}

/// The text of what an event brings for a choice, as it stands in the event, and whether it is of the model's
/// thinking. None where the event brings anything else.
fn only_text<'a>(choice: &ChunkChoice<'a>) -> Option<(&'a str, bool)> {
    let delta = choice.delta.as_ref()?;
    if choice.finish_reason.is_some()
        || choice.logprobs.is_some()
        || delta.refusal.is_some()
        || delta.tool_calls.is_some()
        || delta.annotations.is_some()
    {
        return None;
    }
    match (&delta.content, &delta.reasoning_content, &delta.reasoning) {
        (Some(Content::Text(Text(Cow::Borrowed(text)))), None, None) => Some((text, false)),
        (None, Some(Text(Cow::Borrowed(text))), None)
        | (None, None, Some(Text(Cow::Borrowed(text)))) => Some((text, true)),
        _ => None,
    }
}

/// Whether an event that ends so is of a frame that ends like that.
fn ends(known: &str, after: &str) -> bool {
    match after.strip_prefix(known) {
        Some(rest) if known.ends_with(PADDING) => is_padding(rest),
        Some(rest) => rest.is_empty(),
        None => false,
    }
}

/// The end of an event up to its padding.
fn without_padding(after: &str) -> &str {
    let padded = after.find(PADDING).map(|at| at + PADDING.len());
    let end = padded.filter(|&end| is_padding(&after[end..]));
    &after[..end.unwrap_or(after.len())]
}

/// Whether the rest of an event is padding and its end.
fn is_padding(rest: &str) -> bool {
    let letters = rest.strip_suffix("\"}");
    letters.is_some_and(|letters| letters.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests;
