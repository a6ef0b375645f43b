//! Decoding a streamed answer.
//!
//! What makes an answer whole: the reason why the model stopped. `message_stop` is welcome but not
//! needed, and alone it is not enough.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::answer::{call, finish_reason, read_block, signature, state};
use super::usage::{Report, merged};
use super::wire::{self, CONTAINER, Event, MOST_BLOCKS, Message, report};
use super::{BLOCK, REDACTED, citations, errors};
use crate::chat::{Aside, Chunk, CitedBlock, Delta, Extent, Json, Usage};
use crate::failure::{Class, ErrorObject, Failure};
use crate::sse;
use crate::stream::{self, Next};
use crate::usage;
use crate::wire::Text;

/// The most bytes held back of a block that means nothing here.
const MOST_KEPT: usize = 1024 * 1024;

/// Decodes the body of one streamed answer.
pub(crate) type StreamDecoder = stream::Decoder<Answer>;

/// A decoder for the one answer that there is.
pub(crate) fn stream_decoder() -> StreamDecoder {
    stream::Decoder::new(Answer::default())
}

/// What is known of the answer so far.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    started: bool,
    stopped: bool,
    blocks: u32,
    /// The blocks that have begun and not ended. One at a time, so far, but the format numbers them.
    open: Vec<(u32, Open)>,
    calls: u32,
    extent: Extent,
    usage: Report,
    usage_report: Option<Json>,
    /// Whether output was counted by a report that is not merely how the answer began.
    counted: bool,
    /// Whether anything of the answer could be read: a block that merely began says nothing.
    any_content: bool,
    malformed: u64,
}

/// A block that has begun.
#[derive(Debug)]
enum Open {
    Text(CitedBlock),
    Redacted,
    Thinking {
        signature: String,
    },
    Call {
        index: u32,
        input: String,
        empty: bool,
    },
    /// Its JSON, and what came of its input.
    Kept {
        block: String,
        input: String,
    },
}

impl stream::Answer for Answer {
    fn take(&mut self, event: sse::Event<'_>, out: &mut Vec<Chunk>) -> Result<Next, Failure> {
        // A stray byte that is not UTF-8 spoils a character, not the event.
        let text = match std::str::from_utf8(event.data) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(event.data),
        };
        let Ok(event) = serde_json::from_str::<Event<'_>>(&text) else {
            self.malformed += 1;
            return Ok(Next::More);
        };
        let before = out.len();
        match event.r#type.as_str() {
            // Nothing that means something is added after the reason to stop.
            kind if self.stopped && kind.starts_with("content_block") => {}
            "message_start" => self.start(event.message, out),
            "content_block_start" => self.begin(event.index, event.content_block, out)?,
            "content_block_delta" => self.add(event.index, event.delta, out)?,
            "content_block_stop" => self.close(event.index, out),
            "message_delta" => self.stop(event.delta, event.usage, out),
            "message_stop" => return self.whole().map(|()| Next::Nothing),
            "error" => return Err(errors::of_object(&ErrorObject::read(text.as_bytes()), None)),
            // `ping`, and what is yet to come.
            _ => {}
        }
        for chunk in &out[before..] {
            if let Chunk::Delta { delta, .. } = chunk {
                self.any_content = true;
                self.extent.take(delta);
            }
        }
        Ok(Next::More)
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.whole()
    }

    fn error_of(body: &[u8]) -> Option<Failure> {
        let error = ErrorObject::read(body);
        (!error.is_empty()).then(|| errors::of_object(&error, None))
    }

    fn usage(&self) -> Option<Usage> {
        // The first report counts the input, and hardly any output yet: good enough for a stream that
        // broke, no count of a whole answer.
        self.usage.read().filter(|_| self.counted || !self.stopped)
    }

    fn usage_report(&self) -> Option<Json> {
        self.usage_report.clone().filter(|_| self.counted)
    }

    fn malformed(&self) -> u64 {
        self.malformed
    }
}

impl Answer {
    fn start(&mut self, message: Option<Message<'_>>, out: &mut Vec<Chunk>) {
        let Some(message) = message.filter(|_| !self.started) else {
            return;
        };
        self.started = true;
        if let Some(report) = message.usage.and_then(report) {
            self.usage = report;
        }
        self.usage_report = message.usage.and_then(usage::report);
        let id = message.id.map(Text::into_string).unwrap_or_default();
        let model = message.model.map(Text::into_string).unwrap_or_default();
        out.push(Chunk::Start { id, model });
    }

    fn begin(
        &mut self,
        index: Option<u32>,
        block: Option<&RawValue>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let (Some(index), Some(raw)) = (index, block) else {
            return Err(broken("a block begins without its number or content"));
        };
        self.blocks += 1;
        if usize::try_from(self.blocks).is_ok_and(|blocks| blocks > MOST_BLOCKS) {
            return Err(broken("the answer has too many blocks"));
        }
        let block = read_block(raw)?;
        let open = match block.r#type.as_str() {
            "text" => {
                push_text(block.text, Delta::Text, out);
                let mut text = CitedBlock::begin(&self.extent);
                for source in block.citations.unwrap_or_default().0 {
                    text.cite(source, citations::read(source, 0..0))?;
                }
                Open::Text(text)
            }
            "thinking" => {
                push_text(block.thinking, Delta::Reasoning, out);
                let signature = block.signature.map(Text::into_string);
                Open::Thinking {
                    signature: signature.unwrap_or_default(),
                }
            }
            "redacted_thinking" => {
                let data = block.data.map(Text::into_string).unwrap_or_default();
                push(Delta::ReasoningState(state(REDACTED, data)), out);
                Open::Redacted
            }
            "tool_use" => {
                let (id, name) = call(&block)?;
                let index = self.calls;
                self.calls += 1;
                push(Delta::ToolCall { index, id, name }, out);
                let input = block.input.map_or("{}", RawValue::get).to_owned();
                let empty = true;
                Open::Call {
                    index,
                    input,
                    empty,
                }
            }
            _ => Open::Kept {
                block: raw.get().to_owned(),
                input: String::new(),
            },
        };
        self.open.push((index, open));
        Ok(())
    }

    fn add(
        &mut self,
        index: Option<u32>,
        delta: Option<wire::Delta<'_>>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let open = self
            .open
            .iter_mut()
            .find(|(known, _)| Some(*known) == index);
        let (Some((_, open)), Some(delta)) = (open, delta) else {
            return Err(broken("something was added to a block that did not begin"));
        };
        match open {
            Open::Text(text) => {
                push_text(delta.text, Delta::Text, out);
                if let Some(source) = delta.citation {
                    text.cite(source, citations::read(source, 0..0))?;
                }
            }
            Open::Redacted => {}
            Open::Thinking { signature } => {
                push_text(delta.thinking, Delta::Reasoning, out);
                if let Some(text) = delta.signature {
                    *signature = text.into_string();
                }
            }
            Open::Call { index, empty, .. } => {
                let fragment = delta.partial_json.map(Text::into_string);
                if let Some(fragment) = fragment.filter(|text| !text.is_empty()) {
                    *empty = false;
                    let index = *index;
                    push(Delta::ToolArguments { index, fragment }, out);
                }
            }
            Open::Kept { block, input } => {
                let more = delta.partial_json.as_ref().map_or("", Text::as_str);
                if block.len() + input.len() + more.len() > MOST_KEPT {
                    return Err(broken("a block of the answer is too long"));
                }
                input.push_str(more);
            }
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

    fn stop(
        &mut self,
        delta: Option<wire::Delta<'_>>,
        usage: Option<&RawValue>,
        out: &mut Vec<Chunk>,
    ) {
        if let Some(later) = usage.and_then(report) {
            self.usage.update(later);
            self.counted = true;
        }
        if let Some(later) = usage.and_then(usage::report) {
            self.usage_report = match self.usage_report.take() {
                Some(before) => merged(&before, &later),
                None => Some(later),
            };
        }
        let Some(delta) = delta.filter(|_| !self.stopped) else {
            return;
        };
        let Some(reason) = delta.stop_reason else {
            return;
        };
        for (_, open) in std::mem::take(&mut self.open) {
            open.close(&self.extent, out);
        }
        let container = Aside::detail(None, CONTAINER, delta.container);
        out.extend(container.map(Chunk::Aside));
        if let Some(text) = Text::filled(delta.stop_sequence) {
            out.push(Chunk::Aside(Aside::StopSequence { choice: 0, text }));
        }
        let explanation = delta.stop_details.and_then(|it| it.explanation);
        push_text(explanation, Delta::Refusal, out);
        self.stopped = true;
        out.push(Chunk::Finish {
            choice: 0,
            reason: finish_reason(reason.as_str()),
        });
    }

    fn whole(&self) -> Result<(), Failure> {
        if !self.stopped {
            let ended = "the stream ended before the answer";
            return Err(stream::truncated(ended, self.malformed));
        }
        stream::readable(self.any_content, self.malformed)
    }
}

impl Open {
    /// Tells what is only known at a block's end.
    fn close(self, extent: &Extent, out: &mut Vec<Chunk>) {
        match self {
            Self::Text(text) => out.extend(text.end(extent).map(chunk)),
            Self::Redacted => {}
            Self::Thinking { signature: text } => {
                let state = signature(Some(text.into()));
                out.extend(state.map(|state| chunk(Delta::ReasoningState(state))));
            }
            // A call whose input came with its beginning, or that has none.
            Self::Call {
                index,
                input,
                empty: true,
            } => {
                push(
                    Delta::ToolArguments {
                        index,
                        fragment: input,
                    },
                    out,
                );
            }
            Self::Call { .. } => {}
            Self::Kept { block, input } => {
                let whole = with_input(block, &input);
                push(Delta::ReasoningState(state(BLOCK, whole)), out);
            }
        }
    }
}

/// The block with the input that came after its beginning.
fn with_input(block: String, input: &str) -> String {
    let Ok(input) = serde_json::from_str::<serde_json::Value>(input) else {
        return block;
    };
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&block) {
        Ok(mut fields) => {
            fields.insert("input".to_owned(), input);
            serde_json::Value::Object(fields).to_string()
        }
        Err(_) => block,
    }
}

fn broken(detail: &str) -> Failure {
    Failure::new(Class::Server, detail)
}

fn chunk(delta: Delta) -> Chunk {
    Chunk::Delta { choice: 0, delta }
}

fn push(delta: Delta, out: &mut Vec<Chunk>) {
    out.push(chunk(delta));
}

fn push_text(text: Option<Text<'_>>, make: fn(String) -> Delta, out: &mut Vec<Chunk>) {
    if let Some(text) = text.filter(|text| !text.as_str().is_empty()) {
        push(make(text.into_string()), out);
    }
}

#[cfg(test)]
mod tests;
