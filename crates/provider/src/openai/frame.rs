//! What the events of one stream have in common.
//!
//! An event repeats the id, model and time of the answer around the few bytes that are new. So of an event that,
//! byte for byte, begins and ends as an earlier one that was read whole, only the choices are read; and where the
//! earlier one brought nothing but a piece of text, and only the inside of that JSON string differs, no more than the
//! text. Where a server frames each event differently, every event is read whole.

use std::borrow::Cow;

use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::wire::{AnswerChunk, ChunkChoice, ChunkChoices, Content, Text};

/// Longest frame that is remembered, bytes.
const MOST: usize = 4 * 1024;

/// `OpenAI` ends events with random letters, so that their length does not give away what they say.
const PADDING: &str = "\"obfuscation\":\"";

/// What events of this stream look like around what is new in them.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Around the choices of an event that was read whole.
    choices: Around,
    /// Around the text of an event that brought nothing else, with the quotation marks.
    text: Around,
    /// The choice that it brought text for.
    choice: u32,
    /// Whether that was of the model's thinking.
    thought: bool,
}

/// How an event begins and ends, but for what is between. Nothing where none is known.
#[derive(Debug, Default)]
struct Around {
    before: String,
    /// Up to the padding, where there is any.
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
        let rest = self.text.enter(event)?;
        // Up to here the string's value is what stands there; at an escape, or a byte that no JSON string may
        // hold, this is no case for a short cut.
        let end = rest
            .bytes()
            .position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
        let (text, after) = rest.split_at(end);
        self.text.ends(after).then_some(Piece {
            choice: self.choice,
            thought: self.thought,
            text,
        })
    }

    /// The choices of an event in the same frame. None of any other event, which must be read whole.
    pub(super) fn open<'a>(&self, event: &'a str) -> Option<ChunkChoices<'a>> {
        let rest = self.choices.enter(event)?;
        let mut values = Deserializer::from_str(rest).into_iter();
        let choices = values.next()?.ok()?;
        let after = rest.get(values.byte_offset()..)?;
        self.choices.ends(after).then_some(choices)
    }

    /// Remembers the frame of an event, unless it says more than its choices do.
    pub(super) fn learn(&mut self, event: &str, chunk: &AnswerChunk<'_>) {
        let only = chunk.choices.filter(|_| chunk.usage.is_none());
        self.choices.learn(event, only.map(RawValue::get));
    }

    /// Remembers what stands around the text of an event of the frame in force, if it brings nothing else.
    pub(super) fn learn_text(&mut self, event: &str, choices: &ChunkChoices<'_>) {
        let only = match &choices.0[..] {
            [choice] if self.choices.is_known() => only_text(choice).map(|it| (choice.index, it)),
            _ => None,
        };
        let only = only.filter(|(_, (text, _))| !text.is_empty());
        if let Some((choice, (_, thought))) = only {
            (self.choice, self.thought) = (choice, thought);
        }
        self.text.learn(event, only.map(|(_, (text, _))| text));
    }
}

impl Around {
    fn is_known(&self) -> bool {
        !self.before.is_empty()
    }

    /// Remembers what stands around `inside`, a slice of the event; forgets what it knew where there is none, or too
    /// much stands around it.
    fn learn(&mut self, event: &str, inside: Option<&str>) {
        self.before.clear();
        self.after.clear();
        let Some(inside) = inside.filter(|it| event.len() - it.len() <= MOST) else {
            return;
        };
        let at = inside.as_ptr().addr() - event.as_ptr().addr();
        self.before.push_str(&event[..at]);
        let after = without_padding(&event[at + inside.len()..]);
        self.after.push_str(after);
    }

    /// The rest of an event that begins so.
    fn enter<'a>(&self, event: &'a str) -> Option<&'a str> {
        let known = self.is_known();
        event.strip_prefix(&*self.before).filter(|_| known)
    }

    /// Whether an event that ends like that ends so.
    fn ends(&self, after: &str) -> bool {
        match after.strip_prefix(&*self.after) {
            Some(rest) if self.after.ends_with(PADDING) => is_padding(rest),
            Some(rest) => rest.is_empty(),
            None => false,
        }
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
        || delta.reasoning_details.is_some()
        || delta.audio.is_some()
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
