//! Decoding a streamed answer.
//!
//! What makes an answer whole: the reason why the model stopped. Usage comes after it, and is welcome but
//! not needed.

use serde_json::value::RawValue;

use super::answer::{blob, broken, finish_reason, names, signature, state};
use super::event_stream::{self, Frame, Kind};
use super::foreign::Foreign;
use super::wire::{
    ADDITIONAL, Block, Event, MOST_BLOCKS, Reasoning, TRACE, ToolUse, stop_sequence,
};
use super::{BLOCK, REDACTED, citations, errors, usage};
use crate::chat::{Aside, Chunk, CitedBlock, Delta, Extent, Json, Usage};
use crate::failure::Failure;
use crate::stream::{self, Next};
use crate::usage::report;
use crate::wire::Text;

/// The most bytes held back of a thought that cannot be read, and of the sources of a text.
pub(super) const MOST_HELD: usize = 1024 * 1024;

/// Decodes the body of one streamed answer.
pub(crate) type StreamDecoder = stream::Decoder<Answer, event_stream::Decoder>;

/// A decoder for the one answer that there is.
pub(crate) fn stream_decoder() -> StreamDecoder {
    stream::Decoder::new(Answer::default())
}

/// What is known of the answer so far.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    started: bool,
    stopped: bool,
    any_content: bool,
    /// The blocks that have begun and not ended. Only calls say that they begin.
    open: Vec<(u32, Open)>,
    calls: u32,
    extent: Extent,
    usage: Option<Usage>,
    usage_report: Option<Json>,
    malformed: u64,
}

/// What is held back of a block until it ends.
#[derive(Debug)]
enum Open {
    Text(CitedBlock),
    Thought {
        signature: String,
        redacted: Vec<u8>,
    },
    Call {
        index: u32,
        empty: bool,
    },
    /// Of a tool that the provider runs.
    Foreign(Foreign),
}

impl stream::Answer<event_stream::Decoder> for Answer {
    fn take(&mut self, frame: Frame<'_>, out: &mut Vec<Chunk>) -> Result<Next, Failure> {
        match frame.kind {
            Kind::Event => {}
            Kind::Exception | Kind::Error => {
                return Err(errors::of_exception(frame.name, frame.payload));
            }
        }
        let Ok(event) = serde_json::from_slice::<Event<'_>>(frame.payload) else {
            self.malformed += 1;
            return Ok(Next::More);
        };
        match frame.name {
            "messageStart" if !self.started => {
                self.started = true;
                out.push(Chunk::Start {
                    id: String::new(),
                    model: String::new(),
                });
            }
            // Nothing that means something is added after the reason to stop.
            name if self.stopped && name.starts_with("contentBlock") => {}
            "contentBlockStart" => self.begin(&event, out)?,
            "contentBlockDelta" => self.add(event, out)?,
            "contentBlockStop" => self.close(event.content_block_index, out),
            "messageStop" => self.stop(event, out)?,
            "metadata" => {
                let served = event.service_tier.as_ref();
                self.usage = event.usage.and_then(|raw| usage::read(raw, served));
                self.usage_report = event.usage.and_then(report);
                out.extend(Aside::detail(None, TRACE, event.trace).map(Chunk::Aside));
                return self.whole().map(|()| Next::Nothing);
            }
            // What is yet to come.
            _ => {}
        }
        Ok(Next::More)
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.whole()
    }

    fn error_of(body: &[u8]) -> Option<Failure> {
        errors::of_body(body)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn usage_report(&self) -> Option<Json> {
        self.usage_report.clone()
    }

    fn malformed(&self) -> u64 {
        self.malformed
    }
}

impl Answer {
    fn begin(&mut self, event: &Event<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(index) = event.content_block_index else {
            return Err(broken("a block begins without its number"));
        };
        let begun = event.start.map(RawValue::get).unwrap_or("{}");
        let start: Block<'_> = serde_json::from_str(begun)
            .map_err(|_| broken("the beginning of a block cannot be read"))?;
        let open = match start.tool_use {
            Some(call @ ToolUse { r#type: None, .. }) => {
                let (id, name) = names(&call)?;
                let index = self.calls;
                self.calls += 1;
                self.push(Delta::ToolCall { index, id, name }, out);
                Open::Call { index, empty: true }
            }
            Some(_) | None => Open::Foreign(Foreign::begin(begun)),
        };
        self.keep(index, open)
    }

    fn keep(&mut self, index: u32, open: Open) -> Result<(), Failure> {
        if self.open.len() >= MOST_BLOCKS {
            return Err(broken("the answer has too many blocks"));
        }
        self.open.push((index, open));
        Ok(())
    }

    fn add(&mut self, event: Event<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let (Some(index), Some(delta)) = (event.content_block_index, event.delta) else {
            return Err(broken("something was added to no block"));
        };
        match delta {
            Block {
                text: Some(text), ..
            } => {
                self.open_text(index)?;
                self.text(text, Delta::Text, out);
            }
            Block {
                citation: Some(source),
                ..
            } => self.cite(index, source)?,
            Block {
                reasoning_content: Some(reasoning),
                ..
            } => self.think(index, reasoning, out)?,
            Block {
                tool_use: Some(call),
                ..
            } => self.argue(index, &call, out)?,
            Block {
                tool_result: Some(more),
                ..
            } => {
                if let Some(foreign) = self.foreign(index) {
                    foreign.found(more)?;
                }
            }
            // What is yet to come.
            Block { .. } => {}
        }
        Ok(())
    }

    fn foreign(&mut self, index: u32) -> Option<&mut Foreign> {
        let open = self.open.iter_mut().find(|(known, _)| *known == index);
        match open {
            Some((_, Open::Foreign(foreign))) => Some(foreign),
            _ => None,
        }
    }

    /// Notes where a block of text begins, unless it has.
    fn open_text(&mut self, index: u32) -> Result<&mut Open, Failure> {
        let at = match self.open.iter().position(|(known, _)| *known == index) {
            Some(at) => at,
            None => {
                self.keep(index, Open::Text(CitedBlock::begin(&self.extent)))?;
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[at].1)
    }

    /// Notes a source of a text: which passage it is of is known at the block's end.
    fn cite(&mut self, index: u32, source: &RawValue) -> Result<(), Failure> {
        match self.open_text(index)? {
            Open::Text(text) => text.cite(source, citations::read(source, 0..0)),
            Open::Thought { .. } | Open::Call { .. } | Open::Foreign(_) => Ok(()),
        }
    }

    fn think(
        &mut self,
        index: u32,
        reasoning: Reasoning<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if let Some(text) = reasoning.text {
            self.text(text, Delta::Reasoning, out);
        }
        if reasoning.signature.is_none() && reasoning.redacted_content.is_none() {
            return Ok(());
        }
        if !self.open.iter().any(|(known, _)| *known == index) {
            let thought = Open::Thought {
                signature: String::new(),
                redacted: Vec::new(),
            };
            self.keep(index, thought)?;
        }
        let held = self.open.iter_mut().find(|(known, _)| *known == index);
        let Some((
            _,
            Open::Thought {
                signature,
                redacted,
            },
        )) = held
        else {
            return Err(broken("a call of the answer thinks"));
        };
        signature.push_str(reasoning.signature.as_ref().map_or("", Text::as_str));
        if let Some(more) = &reasoning.redacted_content {
            redacted.extend(blob(more)?);
        }
        if signature.len() + redacted.len() > MOST_HELD {
            return Err(broken("a thought of the answer is too long"));
        }
        Ok(())
    }

    fn argue(
        &mut self,
        index: u32,
        call: &ToolUse<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let fragment: Option<String> = call
            .input
            .and_then(|raw: &RawValue| serde_json::from_str(raw.get()).ok());
        let open = self.open.iter_mut().find(|(known, _)| *known == index);
        let (index, empty) = match open {
            Some((_, Open::Call { index, empty })) => (*index, empty),
            Some((_, Open::Foreign(foreign))) => {
                return foreign.argue(&fragment.unwrap_or_default());
            }
            Some((_, Open::Thought { .. } | Open::Text(_))) | None => {
                return Err(broken("arguments came for a call that did not begin"));
            }
        };
        if let Some(fragment) = fragment.filter(|text| !text.is_empty()) {
            *empty = false;
            self.push(Delta::ToolArguments { index, fragment }, out);
        }
        Ok(())
    }

    fn close(&mut self, index: Option<u32>, out: &mut Vec<Chunk>) {
        let at = self
            .open
            .iter()
            .position(|(known, _)| Some(*known) == index);
        if let Some(at) = at {
            let (_, open) = self.open.remove(at);
            open.close(&self.extent, out);
        }
    }

    fn stop(&mut self, event: Event<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(reason) = event.stop_reason.filter(|_| !self.stopped) else {
            return Ok(());
        };
        let reason = finish_reason(reason.as_str())?;
        for (_, open) in std::mem::take(&mut self.open) {
            open.close(&self.extent, out);
        }
        self.stopped = true;
        let additional = event.additional_model_response_fields;
        out.extend(Aside::detail(None, ADDITIONAL, additional).map(Chunk::Aside));
        if let Some(text) = stop_sequence(additional) {
            out.push(Chunk::Aside(Aside::StopSequence { choice: 0, text }));
        }
        out.push(Chunk::Finish { choice: 0, reason });
        Ok(())
    }

    fn whole(&self) -> Result<(), Failure> {
        if !self.stopped {
            let ended = "the stream ended before the answer";
            return Err(stream::truncated(ended, self.malformed));
        }
        stream::readable(self.any_content, self.malformed)
    }

    fn text(&mut self, text: Text<'_>, make: fn(String) -> Delta, out: &mut Vec<Chunk>) {
        if !text.as_str().is_empty() {
            self.push(make(text.into_string()), out);
        }
    }

    fn push(&mut self, delta: Delta, out: &mut Vec<Chunk>) {
        self.any_content = true;
        self.extent.take(&delta);
        out.push(Chunk::Delta { choice: 0, delta });
    }
}

impl Open {
    /// Tells what is only known at a block's end.
    fn close(self, extent: &Extent, out: &mut Vec<Chunk>) {
        let mut push = |delta| out.push(Chunk::Delta { choice: 0, delta });
        match self {
            Self::Thought {
                signature: text,
                redacted,
            } => {
                if let Some(signature) = signature(Some(text)) {
                    push(Delta::ReasoningState(signature));
                }
                if !redacted.is_empty() {
                    let redacted = state(REDACTED, redacted.into());
                    push(Delta::ReasoningState(redacted));
                }
            }
            Self::Text(text) => text.end(extent).for_each(push),
            // A call without arguments.
            Self::Call { index, empty: true } => {
                let fragment = "{}".to_owned();
                push(Delta::ToolArguments { index, fragment });
            }
            Self::Call { .. } => {}
            Self::Foreign(foreign) => {
                if let Some(block) = foreign.whole() {
                    push(Delta::ReasoningState(state(BLOCK, block.into())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
