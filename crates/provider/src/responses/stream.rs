//! Decoding a streamed answer.
//!
//! What makes an answer whole: the event that says that it is complete, or why it is not.

use std::borrow::Cow;

use super::output::{Output, Section};
use super::wire::{Event, Response, Typed};
use crate::chat::{Chunk, Delta, Json, Usage};
use crate::codec::Kind;
use crate::failure::{Class, Failure};
use crate::openai;
use crate::sse;
use crate::stream::{self, Next};
use crate::usage::Latest;

/// Decodes the body of one streamed answer.
pub(crate) type StreamDecoder = stream::Decoder<Answer>;

/// A decoder for the one answer that there is, whose state is that of a kind.
pub(crate) fn stream_decoder(kind: Kind) -> StreamDecoder {
    stream::Decoder::new(Answer {
        started: false,
        output: Output::new(kind),
        usage: None,
        usage_report: Latest::default(),
        any_content: false,
        malformed: 0,
    })
}

/// What is known of the answer so far.
#[derive(Debug)]
pub(crate) struct Answer {
    started: bool,
    output: Output,
    usage: Option<Usage>,
    usage_report: Latest,
    /// Whether anything of an answer could be read.
    any_content: bool,
    malformed: u64,
}

impl stream::Answer for Answer {
    fn take(&mut self, event: sse::Event<'_>, out: &mut Vec<Chunk>) -> Result<Next, Failure> {
        let data = event.data.trim_ascii();
        // The sentinel of chat completions, which some servers send here too.
        if data == b"[DONE]" {
            return Ok(Next::More);
        }
        // A stray byte that is not UTF-8 spoils a character, not the event.
        let text = match std::str::from_utf8(data) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(data),
        };
        let Ok(event) = serde_json::from_str::<Event<'_>>(&text) else {
            return self.unread(&text);
        };
        let before = out.len();
        let next = self.take_event(event, &text, out);
        let is_delta = |it: &Chunk| matches!(it, Chunk::Delta { .. });
        self.any_content |= out[before..].iter().any(is_delta);
        let next = next?;
        if next == Next::Nothing {
            stream::readable(self.any_content, self.malformed)?;
        }
        Ok(next)
    }

    fn end(&mut self) -> Result<(), Failure> {
        let ended = "the stream ended before the answer";
        Err(stream::truncated(ended, self.malformed))
    }

    fn error_of(body: &[u8]) -> Option<Failure> {
        openai::told_by(body)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn usage_report(&self) -> Option<Json> {
        self.usage_report.read()
    }

    fn malformed(&self) -> u64 {
        self.malformed
    }
}

impl Answer {
    fn take_event(
        &mut self,
        event: Event<'_>,
        text: &str,
        out: &mut Vec<Chunk>,
    ) -> Result<Next, Failure> {
        let number = event.output_index;
        let part = (number, event.content_index);
        let output = &mut self.output;
        match event.r#type.as_str() {
            "response.output_text.delta" => {
                output.say(part, Delta::Text, event.delta, out)?;
                output.logprobs(event.logprobs, out);
            }
            "response.refusal.delta" => output.say(part, Delta::Refusal, event.delta, out)?,
            "response.function_call_arguments.delta" => {
                output.add_arguments(number, event.delta, out);
            }
            "response.reasoning_summary_text.delta" => {
                let section = Section::Summary(event.summary_index);
                output.think((number, section), event.delta, out);
            }
            "response.reasoning_text.delta" => {
                let section = Section::Text(event.content_index);
                output.think((number, section), event.delta, out);
            }
            "response.output_item.added" => {
                if let Some(raw) = event.item {
                    output.begin(number, raw, out)?;
                }
            }
            "response.output_item.done" => {
                if let Some(raw) = event.item {
                    output.end(number, raw, out)?;
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                return self.close(&event, out);
            }
            "response.created" | "response.in_progress" | "response.queued" => {
                self.start(&event, out);
            }
            "error" => {
                return Err(openai::told(text.as_bytes()));
            }
            // What the end of an item says again, and what is yet to come.
            _ => {}
        }
        Ok(Next::More)
    }

    fn pass_over(&mut self) -> Result<Next, Failure> {
        self.malformed += 1;
        Ok(Next::More)
    }

    /// An event whose fields are not what they should be: of a type that means nothing here, they may be anything.
    fn unread(&mut self, text: &str) -> Result<Next, Failure> {
        let error = text.as_bytes();
        match serde_json::from_str::<Typed<'_>>(text) {
            Ok(typed) if typed.r#type.as_str() == "error" => Err(openai::told(error)),
            Ok(typed) if !MEANT.contains(&typed.r#type.as_str()) => Ok(Next::More),
            Ok(_) => self.pass_over(),
            // As some servers tell an error that did not come of their model.
            Err(_) => openai::told_by(error).map_or_else(|| self.pass_over(), Err),
        }
    }

    fn start(&mut self, event: &Event<'_>, out: &mut Vec<Chunk>) {
        let read = |raw: &serde_json::value::RawValue| {
            let response = serde_json::from_str::<Response<'_>>(raw.get());
            response.ok().map(|it| it.start())
        };
        if !self.started
            && !self.any_content
            && let Some(start) = event.response.and_then(read)
        {
            self.started = true;
            out.push(start);
        }
    }

    /// The last event.
    fn close(&mut self, event: &Event<'_>, out: &mut Vec<Chunk>) -> Result<Next, Failure> {
        let raw = event.response.map_or("null", |raw| raw.get());
        let Ok(response) = serde_json::from_str::<Response<'_>>(raw) else {
            self.malformed += 1;
            return Ok(Next::More);
        };
        self.usage = response.usage().or(self.usage);
        if let Some(raw) = response.usage {
            self.usage_report.keep(raw);
        }
        response.check()?;
        if event.r#type.as_str() == "response.failed" {
            let detail = "the provider says that it failed";
            return Err(Failure::new(Class::Server, detail));
        }
        self.start(event, out);
        response.close(&mut self.output, out)?;
        Ok(Next::Nothing)
    }
}

/// The types of event that mean something here and hold more than an error.
const MEANT: [&str; 13] = [
    "response.output_text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
    "response.output_item.added",
    "response.output_item.done",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.created",
    "response.in_progress",
    "response.queued",
];

#[cfg(test)]
mod tests;
