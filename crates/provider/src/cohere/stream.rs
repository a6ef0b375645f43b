//! Decoding a streamed answer.
//!
//! What makes an answer whole is `message-end` with its finish reason; nothing else does, and nothing after it is
//! needed. An event that cannot be read is skipped and counted, since the stream may well go on; if it was
//! `message-end`, the answer is truncated.

use std::borrow::Cow;

use super::answer::{finish_reason, logprobs, plan_state};
use super::citations;
use super::errors;
use super::usage;
use super::wire::{self, Event};
use crate::chat::{Chunk, Delta, Json, MOST_CITATIONS, Opaque, Ruler, Usage};
use crate::failure::{Class, Failure};
use crate::openai::tool_calls::Calls;
use crate::openai::wire::{CallFragment, CalledFunction};
use crate::sse;
use crate::stream::{self, Next};
use crate::usage::report;
use crate::wire::Text;

/// The most bytes kept of citations of thoughts.
const MOST_KEPT: usize = 1024 * 1024;

/// The one answer that there is.
const CHOICE: u32 = 0;

/// Decodes the body of one streamed answer.
pub(crate) type StreamDecoder = stream::Decoder<Answer>;

/// A decoder at the start of an answer.
pub(crate) fn stream_decoder() -> StreamDecoder {
    stream::Decoder::new(Answer::default())
}

/// What is known of the answer so far.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    started: bool,
    /// Bytes of the tool plan that is being told.
    plan: usize,
    calls: Calls,
    /// The citations of thoughts.
    of_thoughts: Vec<Opaque>,
    /// Of all text.
    ruler: Ruler,
    usage: Option<Usage>,
    usage_report: Option<Json>,
    any_content: bool,
    malformed: u64,
}

impl stream::Answer for Answer {
    fn take(&mut self, event: sse::Event<'_>, out: &mut Vec<Chunk>) -> Result<Next, Failure> {
        let data = event.data.trim_ascii();
        if data == b"[DONE]" {
            // It says nothing that `message-end` has not said, or else the answer lacks its end.
            return self.end().map(|()| Next::Nothing);
        }
        // A stray byte that is not UTF-8 spoils a character, not the event.
        let text = match std::str::from_utf8(data) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(data),
        };
        let read = serde_json::from_str::<Event<'_>>(&text);
        if event.name == b"error" || read.as_ref().is_ok_and(|event| event.kind.is_none()) {
            if let Some(failure) = Self::error_of(text.as_bytes()) {
                return Err(failure);
            }
            if event.name == b"error" {
                return Err(errors::of_text(&text, None));
            }
        }
        match read {
            Ok(event) => self.take_event(event, out),
            Err(_) => {
                self.malformed += 1;
                Ok(Next::More)
            }
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        let ended = "the stream ended without message-end";
        Err(stream::truncated(ended, self.malformed))
    }

    fn error_of(body: &[u8]) -> Option<Failure> {
        errors::message(body).map(|text| errors::of_text(&text, None))
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
    fn take_event(&mut self, event: Event<'_>, out: &mut Vec<Chunk>) -> Result<Next, Failure> {
        let kind = event.kind.as_ref().map_or("", Text::as_str);
        let (ends, starts) = (kind == "message-end", kind == "message-start");
        let plans = kind == "tool-plan-delta";
        let Event {
            id,
            index,
            mut delta,
            logprobs: pieces,
            ..
        } = event;
        if !self.started && (starts || delta.is_some()) {
            self.started = true;
            out.push(Chunk::Start {
                id: id.map(Text::into_string).unwrap_or_default(),
                // The format does not say.
                model: String::new(),
            });
        }
        if !plans {
            self.close_plan(out);
        }
        if let Some(message) = delta.as_mut().and_then(|delta| delta.message.take()) {
            self.take_message(message, index, out)?;
        }
        if let Some(json) = pieces.and_then(|piece| logprobs(&[piece])) {
            push(Delta::Logprobs(json), out);
        }
        match delta {
            Some(delta) if ends => self.take_end(delta, out).map(|()| Next::Nothing),
            _ => Ok(Next::More),
        }
    }

    fn take_message(
        &mut self,
        message: wire::DeltaMessage<'_>,
        index: Option<u32>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let before = out.len();
        let mut text = |text: Option<Text<'_>>, make: fn(String) -> Delta| {
            if let Some(text) = text.filter(|text| !text.as_str().is_empty()) {
                push(make(text.into_string()), out);
            }
        };
        if let Some(block) = message.content.and_then(|content| content.0) {
            text(block.thinking, Delta::Reasoning);
            text(block.text, Delta::Text);
        }
        if let Some(plan) = message.tool_plan {
            self.plan += plan.as_str().len();
            text(Some(plan), Delta::Reasoning);
        }
        if let Some(call) = message.tool_calls.and_then(|calls| calls.0) {
            let function = call.function.map(|function| CalledFunction {
                name: function.name,
                arguments: function.arguments,
            });
            let fragment = CallFragment {
                extra_content: None,
                index,
                id: call.id,
                function,
            };
            let broken = |broken| Failure::new(Class::Server, broken);
            self.calls.add(CHOICE, fragment, out).map_err(broken)?;
        }
        for chunk in &out[before..] {
            if let Chunk::Delta { delta, .. } = chunk {
                self.ruler.take(delta);
            }
        }
        if let Some(raw) = message.citations {
            let citations = citations::read(raw, &self.ruler).into_iter();
            citations.for_each(|citation| push(Delta::Citation(citation), out));
            self.keep(citations::of_thoughts(raw))?;
        }
        self.any_content |= out.len() > before;
        Ok(())
    }

    /// Keeps citations of thoughts until the end, so that they do not part what they stand between.
    fn keep(&mut self, of_thoughts: Vec<Opaque>) -> Result<(), Failure> {
        self.of_thoughts.extend(of_thoughts);
        let bytes: usize = self.of_thoughts.iter().map(|it| it.bytes.len()).sum();
        if bytes > MOST_KEPT || self.of_thoughts.len() > MOST_CITATIONS {
            let detail = "the thoughts of the answer have too many sources";
            return Err(Failure::new(Class::Server, detail));
        }
        Ok(())
    }

    /// A plan is over as soon as anything else comes.
    fn close_plan(&mut self, out: &mut Vec<Chunk>) {
        if self.plan > 0 {
            push(Delta::ReasoningState(plan_state(self.plan)), out);
            self.plan = 0;
        }
    }

    fn take_end(&mut self, delta: wire::Delta<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.usage = delta.usage.and_then(usage::read);
        self.usage_report = delta.usage.and_then(report);
        let said = delta.error.as_ref().map(Text::as_str);
        let Some(reason) = delta.finish_reason else {
            return Err(match said {
                Some(said) => errors::of_text(said, None),
                None => Failure::new(Class::Truncated, "message-end has no finish reason"),
            });
        };
        let reason = finish_reason(reason.as_str(), said)?;
        if let Some(said) = said.filter(|said| !said.is_empty()) {
            return Err(errors::of_text(said, None));
        }
        self.calls
            .finish()
            .map_err(|broken| Failure::new(Class::Server, broken))?;
        stream::readable(self.any_content, self.malformed)?;
        for state in std::mem::take(&mut self.of_thoughts) {
            push(Delta::ReasoningState(state), out);
        }
        out.push(Chunk::Finish {
            choice: CHOICE,
            reason,
        });
        Ok(())
    }
}

fn push(delta: Delta, out: &mut Vec<Chunk>) {
    out.push(Chunk::Delta {
        choice: CHOICE,
        delta,
    });
}

#[cfg(test)]
mod tests;
