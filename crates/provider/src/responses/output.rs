//! The items of an answer, as they come: piece by piece, or whole.
//!
//! An item that ends says again all that its pieces said. So whatever of it was not told by then is told at its end, and
//! what of an answer was not told by its own is told at the answer's: a server that sends fewer events loses nothing.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{
    CallItem, ContentPart, MOST_ITEMS, MOST_PARTS, MessageItem, ReasoningItem, Typed,
};
use super::{ITEM, PHASE, citations};
use crate::chat::{Chunk, Delta, Extent, Json, Opaque};
use crate::codec::Kind;
use crate::failure::{Class, Failure};
use crate::wire::Text;

/// What stands between the pieces of a thought, each of which is a text of its own.
const BETWEEN: &str = "\n\n";

/// What is known of the items of one answer.
#[derive(Debug)]
pub(super) struct Output {
    /// Whose state it is that is kept.
    kind: Kind,
    /// The items that have begun and not ended, by their number in the answer.
    open: Vec<(u32, Open)>,
    /// The numbers of those that have ended.
    ended: BTreeSet<u32>,
    calls: u32,
    extent: Extent,
    /// Whether text was told, and whether a refusal.
    spoke: bool,
    refused: bool,
}

/// An item that has begun.
#[derive(Debug)]
enum Open {
    /// The parts of a message that were told of, and the byte that each began at in the text so far.
    Message { parts: Vec<(u32, u32)> },
    Call {
        index: u32,
        /// Whether any of its arguments were told.
        told: bool,
    },
    /// The part of the thought that was told last.
    Reasoning { last: Option<Section> },
    /// What means nothing here but to the provider.
    Other,
}

/// A part of a thought: of its summary, or of its own text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Summary(u32),
    Text(u32),
}

/// Log probabilities in the shape of chat completions.
#[derive(Serialize)]
struct Logprobs<'a> {
    content: &'a RawValue,
    refusal: (),
}

impl Output {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            open: Vec::new(),
            ended: BTreeSet::new(),
            calls: 0,
            extent: Extent::default(),
            spoke: false,
            refused: false,
        }
    }

    /// Whether calls of functions were told of.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// Whether nothing was said but that nothing is.
    pub(super) fn is_refusal(&self) -> bool {
        self.refused && !self.spoke && !self.has_calls()
    }

    /// An item begins.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn begin(
        &mut self,
        number: u32,
        raw: &RawValue,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if self.ended.contains(&number) || self.find(number).is_some() {
            return Ok(());
        }
        self.check_room()?;
        let typed: Typed<'_> = read(raw)?;
        let open = match typed.r#type.as_str() {
            "message" => {
                if let Some(phase) = read::<MessageItem<'_>>(raw)?.phase {
                    self.keep(PHASE, phase.into_string(), out);
                }
                Open::Message { parts: Vec::new() }
            }
            "function_call" => self.begin_call(read(raw)?, out)?,
            "reasoning" => Open::Reasoning { last: None },
            _ => Open::Other,
        };
        self.open.push((number, open));
        Ok(())
    }

    fn check_room(&self) -> Result<(), Failure> {
        if self.open.len() + self.ended.len() >= MOST_ITEMS {
            return Err(broken("the answer has too many items"));
        }
        Ok(())
    }

    fn begin_call(&mut self, item: CallItem<'_>, out: &mut Vec<Chunk>) -> Result<Open, Failure> {
        let id = Text::filled(item.call_id).or_else(|| Text::filled(item.id));
        let (Some(id), Some(name)) = (id, Text::filled(item.name)) else {
            return Err(broken("a tool call has no id or no name"));
        };
        let index = self.calls;
        self.calls += 1;
        self.push(Delta::ToolCall { index, id, name }, out);
        let told = self.arguments_of(index, item.arguments, out);
        Ok(Open::Call { index, told })
    }

    /// A piece of a message: of its text, or of a refusal.
    ///
    /// # Errors
    /// There are too many items, or parts of one.
    pub(super) fn say(
        &mut self,
        (number, part): (u32, u32),
        make: fn(String) -> Delta,
        text: Option<Text<'_>>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let Some(text) = text.filter(|text| !text.as_str().is_empty()) else {
            return Ok(());
        };
        let at = match self.find(number) {
            Some(at) => at,
            // Its beginning could not be read, or was not told.
            None if !self.ended.contains(&number) => {
                self.check_room()?;
                self.open
                    .push((number, Open::Message { parts: Vec::new() }));
                self.open.len() - 1
            }
            None => return Ok(()),
        };
        let start = self.extent.length();
        if let Some((_, Open::Message { parts })) = self.open.get_mut(at) {
            if !parts.iter().rev().any(|(known, _)| *known == part) {
                if parts.len() == MOST_PARTS {
                    return Err(broken("a message of the answer has too many parts"));
                }
                parts.push((part, start));
            }
            let delta = make(text.into_string());
            self.spoke |= matches!(delta, Delta::Text(_));
            self.refused |= matches!(delta, Delta::Refusal(_));
            self.push(delta, out);
        }
        Ok(())
    }

    /// Log probabilities of what was said last.
    pub(super) fn logprobs(&mut self, raw: Option<&RawValue>, out: &mut Vec<Chunk>) {
        let told = raw.filter(|raw| !matches!(raw.get(), "[]" | "null"));
        let shaped = told.and_then(|content| {
            let shape = Logprobs {
                content,
                refusal: (),
            };
            Json::of(&shape).ok()
        });
        if let Some(shaped) = shaped {
            self.push(Delta::Logprobs(shaped), out);
        }
    }

    /// More of a call's arguments. Of a call whose beginning is not known they are told at its end.
    pub(super) fn add_arguments(
        &mut self,
        number: u32,
        fragment: Option<Text<'_>>,
        out: &mut Vec<Chunk>,
    ) {
        let Some(at) = self.find(number) else { return };
        let Some(&(_, Open::Call { index, .. })) = self.open.get(at) else {
            return;
        };
        let more = self.arguments_of(index, fragment, out);
        if let Some((_, Open::Call { told, .. })) = self.open.get_mut(at) {
            *told |= more;
        }
    }

    /// More of a thought.
    pub(super) fn think(
        &mut self,
        (number, section): (u32, Section),
        text: Option<Text<'_>>,
        out: &mut Vec<Chunk>,
    ) {
        let Some(text) = text.filter(|text| !text.as_str().is_empty()) else {
            return;
        };
        let at = self.find(number);
        let Some((_, Open::Reasoning { last })) = at.and_then(|at| self.open.get_mut(at)) else {
            return;
        };
        let before = last.replace(section);
        if before.is_some_and(|before| before != section) {
            self.push(Delta::Reasoning(BETWEEN.to_owned()), out);
        }
        self.push(Delta::Reasoning(text.into_string()), out);
    }

    /// An item is over, and here is all of it.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn end(
        &mut self,
        number: u32,
        raw: &RawValue,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if self.ended.contains(&number) {
            return Ok(());
        }
        self.begin(number, raw, out)?;
        let Some(at) = self.find(number) else {
            return Ok(());
        };
        match self.open.get(at) {
            Some((_, Open::Message { .. })) => self.end_message(number, read(raw)?, out)?,
            Some(&(_, Open::Call { index, told: false })) => {
                let item: CallItem<'_> = read(raw)?;
                self.arguments_of(index, item.arguments, out);
            }
            Some((_, Open::Call { .. })) | None => {}
            Some((_, Open::Reasoning { .. })) => self.end_thought(number, raw, out)?,
            Some((_, Open::Other)) => self.keep(ITEM, raw.get().to_owned(), out),
        }
        self.open.retain(|(known, _)| *known != number);
        self.ended.insert(number);
        Ok(())
    }

    fn end_message(
        &mut self,
        number: u32,
        item: MessageItem<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let parts = item.content.unwrap_or_default().0.into_iter();
        for (part, content) in (0..).zip(parts) {
            let ContentPart {
                text,
                refusal,
                annotations,
                logprobs,
            } = content;
            if self.began_at(number, part).is_none() {
                self.say((number, part), Delta::Text, text.clone(), out)?;
                self.say((number, part), Delta::Refusal, refusal, out)?;
                self.logprobs(logprobs, out);
            }
            let sources = match (annotations, text, self.began_at(number, part)) {
                (Some(annotations), Some(text), Some(start)) => {
                    citations::read(annotations, text.as_str(), start, &self.extent)
                }
                _ => Vec::new(),
            };
            for source in sources {
                self.push(Delta::Citation(source), out);
            }
        }
        Ok(())
    }

    fn end_thought(
        &mut self,
        number: u32,
        raw: &RawValue,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let item: ReasoningItem<'_> = read(raw)?;
        let is_whole = item.is_whole();
        let untold = self.find(number).and_then(|at| self.open.get(at));
        if matches!(untold, Some((_, Open::Reasoning { last: None }))) {
            let summary = item.summary.unwrap_or_default().0.into_iter();
            for (part, it) in (0..).zip(summary) {
                self.think((number, Section::Summary(part)), it.text, out);
            }
            let content = item.content.unwrap_or_default().0.into_iter();
            for (part, it) in (0..).zip(content) {
                self.think((number, Section::Text(part)), it.text, out);
            }
        }
        if is_whole {
            self.keep(ITEM, raw.get().to_owned(), out);
        }
        Ok(())
    }

    /// Where in the text so far a part of an open message began; none where nothing of it was told.
    fn began_at(&self, number: u32, part: u32) -> Option<u32> {
        let (_, open) = self.open.get(self.find(number)?)?;
        let Open::Message { parts } = open else {
            return None;
        };
        let found = parts.iter().find(|(known, _)| *known == part);
        found.map(|(_, start)| *start)
    }

    fn find(&self, number: u32) -> Option<usize> {
        self.open.iter().rposition(|(known, _)| *known == number)
    }

    /// Tells arguments of a call; false where there are none.
    fn arguments_of(
        &mut self,
        index: u32,
        fragment: Option<Text<'_>>,
        out: &mut Vec<Chunk>,
    ) -> bool {
        let fragment = fragment.map(Text::into_string).unwrap_or_default();
        let any = !fragment.is_empty();
        if any {
            self.push(Delta::ToolArguments { index, fragment }, out);
        }
        any
    }

    fn keep(&mut self, what: &str, data: String, out: &mut Vec<Chunk>) {
        let state = Opaque {
            provider: self.kind.as_str().to_owned(),
            kind: what.to_owned(),
            bytes: Bytes::from(data),
        };
        self.push(Delta::ReasoningState(state), out);
    }

    fn push(&mut self, delta: Delta, out: &mut Vec<Chunk>) {
        self.extent.take(&delta);
        out.push(Chunk::Delta { choice: 0, delta });
    }
}

/// Reads an item as what its type says that it is.
fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Failure> {
    serde_json::from_str(raw.get()).map_err(|_| broken("an item of the answer cannot be read"))
}

fn broken(detail: &str) -> Failure {
    Failure::new(Class::Server, detail)
}
