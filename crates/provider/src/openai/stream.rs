//! Decoding a streamed answer.
//!
//! What makes an answer whole: every choice has its finish reason. `[DONE]` is welcome but not
//! needed, and alone it is not enough. A line that is not JSON is skipped and counted, since the
//! stream may well go on; if it held a finish reason, the end is missing and the answer truncated.

use std::borrow::Cow;

use super::answer::finish_reason;
use super::errors;
use super::frame::Frame;
use super::tool_calls::Calls;
use super::usage;
use super::wire::{
    AnswerChunk, ChunkChoice, ChunkChoices, ChunkDelta, ErrorObject, MOST_CHOICES, Text,
};
use crate::chat::{Chunk, Delta, Usage};
use crate::failure::{Class, Failure};
use crate::sse;

/// How much of a body is kept that does not look like a stream.
const MOST_HEAD: usize = 8 * 1024;

/// Decodes the body of one streamed answer.
#[derive(Debug)]
pub(crate) struct StreamDecoder {
    sse: sse::Decoder,
    answer: Answer,
    /// The beginning of the body, until the first event.
    head: Vec<u8>,
}

/// What is known of the answer so far.
#[derive(Debug)]
struct Answer {
    phase: Phase,
    /// How many choices were asked for.
    expected: u32,
    started: bool,
    /// Whether there was any event at all.
    any_event: bool,
    choices: Vec<Choice>,
    frame: Frame,
    usage: Option<Usage>,
    /// Whether anything of an answer could be read.
    any_content: bool,
    malformed: u64,
}

#[derive(Debug)]
enum Phase {
    /// More may come.
    Open,
    /// The provider said that nothing more comes, and everything was there.
    Done,
    /// The stream has failed, for good.
    Failed(Failure),
}

#[derive(Debug)]
struct Choice {
    index: u32,
    finished: bool,
    calls: Calls,
}

impl StreamDecoder {
    pub(crate) fn new(expected: u32) -> Self {
        let answer = Answer {
            phase: Phase::Open,
            expected,
            started: false,
            any_event: false,
            choices: Vec::new(),
            frame: Frame::default(),
            usage: None,
            any_content: false,
            malformed: 0,
        };
        Self {
            sse: sse::Decoder::new(),
            answer,
            head: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.answer.check()?;
        let answer = &mut self.answer;
        if let Err(long) = self.sse.push(bytes, |event| answer.take(event, out)) {
            answer.fail(Failure::new(Class::Server, long.to_string()));
        }
        if self.answer.any_event {
            self.head = Vec::new();
        } else {
            let room = MOST_HEAD - self.head.len();
            self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.answer.check()
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.answer.check()?;
        let answer = &mut self.answer;
        if let Err(long) = self.sse.finish(|event| answer.take(event, out)) {
            answer.fail(Failure::new(Class::Server, long.to_string()));
        }
        if !answer.any_event {
            // Some servers tell an error as plain JSON under a status of success.
            let error = ErrorObject::read(&self.head);
            if !error.is_empty() {
                answer.fail(errors::of_object(&error, None));
            }
        }
        if matches!(answer.phase, Phase::Open) {
            let seen = u32::try_from(answer.choices.len()).unwrap_or(u32::MAX);
            answer.close(seen >= answer.expected, out);
        }
        self.answer.check()
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.answer.phase, Phase::Done)
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.answer.usage
    }

    pub(crate) fn malformed(&self) -> u64 {
        self.answer.malformed
    }
}

impl Answer {
    fn check(&self) -> Result<(), Failure> {
        match &self.phase {
            Phase::Open | Phase::Done => Ok(()),
            Phase::Failed(failure) => Err(failure.clone()),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.phase = Phase::Failed(failure);
    }

    /// Takes one event. Whatever comes after the end or a failure is ignored.
    fn take(&mut self, event: sse::Event<'_>, out: &mut Vec<Chunk>) {
        self.any_event = true;
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let data = event.data.trim_ascii();
        if data == b"[DONE]" {
            self.close(true, out);
        } else if event.name == b"error" {
            self.fail(errors::of_object(&ErrorObject::read(data), None));
        } else if let Err(failure) = self.take_json(data, out) {
            self.fail(failure);
        }
    }

    fn take_json(&mut self, data: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        // A stray byte that is not UTF-8 spoils a character, not the event.
        let text = match std::str::from_utf8(data) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(data),
        };
        if self.started
            && let Some(choices) = self.frame.open(&text)
        {
            return self.take_choices(choices, out);
        }
        match read(&text) {
            Ok((chunk, _)) if chunk.is_error() => {
                Err(errors::of_object(&ErrorObject::read(text.as_bytes()), None))
            }
            Ok((chunk, choices)) => {
                self.frame.learn(&text, &chunk);
                self.take_chunk(chunk, choices, out)
            }
            Err(_) => {
                self.malformed += 1;
                Ok(())
            }
        }
    }

    fn take_chunk(
        &mut self,
        chunk: AnswerChunk<'_>,
        choices: ChunkChoices<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if !self.started && !choices.0.is_empty() {
            self.started = true;
            let id = chunk.id.map(Text::into_string).unwrap_or_default();
            let model = chunk.model.map(Text::into_string).unwrap_or_default();
            out.push(Chunk::Start { id, model });
        }
        self.take_choices(choices, out)?;
        // Usage may come with the last content, alone, or again and again as it grows.
        if let Some(usage) = chunk.usage.and_then(usage::read) {
            self.usage = Some(usage);
        }
        Ok(())
    }

    fn take_choices(
        &mut self,
        choices: ChunkChoices<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let before = out.len();
        for choice in choices.0 {
            self.take_choice(choice, out)?;
        }
        self.any_content |= out[before..]
            .iter()
            .any(|chunk| matches!(chunk, Chunk::Delta { .. }));
        Ok(())
    }

    fn take_choice(
        &mut self,
        choice: ChunkChoice<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let state = self.choice(choice.index)?;
        if state.finished {
            return Ok(());
        }
        let index = choice.index;
        if let Some(delta) = choice.delta {
            state.take_delta(delta, out)?;
        }
        if let Some(logprobs) = choice.logprobs {
            out.push(Chunk::Delta {
                choice: index,
                delta: Delta::Logprobs(logprobs),
            });
        }
        // Some servers send an empty reason with every chunk but the last.
        let Some(reason) = choice
            .finish_reason
            .filter(|reason| !reason.as_str().is_empty())
        else {
            return Ok(());
        };
        let reason = finish_reason(reason.as_str())?;
        state
            .calls
            .finish()
            .map_err(|broken| Failure::new(Class::Server, broken))?;
        state.finished = true;
        out.push(Chunk::Finish {
            choice: index,
            reason,
        });
        Ok(())
    }

    fn choice(&mut self, index: u32) -> Result<&mut Choice, Failure> {
        let at = match self.choices.iter().position(|choice| choice.index == index) {
            Some(at) => at,
            None if self.choices.len() < MOST_CHOICES => {
                self.choices.push(Choice {
                    index,
                    finished: false,
                    calls: Calls::default(),
                });
                self.choices.len() - 1
            }
            None => {
                return Err(Failure::new(
                    Class::Server,
                    "the answer has too many choices",
                ));
            }
        };
        Ok(&mut self.choices[at])
    }

    /// Ends the answer: whole if every choice seen has finished and `all_seen`, else truncated. An answer of
    /// which nothing could be read is none.
    fn close(&mut self, all_seen: bool, out: &mut Vec<Chunk>) {
        let finished = self.choices.iter().filter(|choice| choice.finished).count();
        if !all_seen || finished == 0 || finished < self.choices.len() {
            let detail = format!(
                "the stream ended with {finished} of {} choices finished, {} events unreadable",
                self.expected, self.malformed
            );
            return self.fail(Failure::new(Class::Truncated, detail));
        }
        if !self.any_content && self.malformed > 0 {
            let detail = format!("no content, and {} events unreadable", self.malformed);
            return self.fail(Failure::new(Class::Server, detail));
        }
        self.phase = Phase::Done;
        if let Some(usage) = self.usage {
            out.push(Chunk::Usage(usage));
        }
    }
}

impl Choice {
    fn take_delta(&mut self, delta: ChunkDelta<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let choice = self.index;
        let mut text = |text: Option<Text<'_>>, make: fn(String) -> Delta| {
            if let Some(text) = text.filter(|text| !text.as_str().is_empty()) {
                out.push(Chunk::Delta {
                    choice,
                    delta: make(text.into_string()),
                });
            }
        };
        text(
            delta.reasoning_content.or(delta.reasoning),
            Delta::Reasoning,
        );
        text(delta.content, Delta::Text);
        text(delta.refusal, Delta::Refusal);
        for fragment in delta.tool_calls.unwrap_or_default().0 {
            self.calls
                .add(choice, fragment, out)
                .map_err(|broken| Failure::new(Class::Server, broken))?;
        }
        Ok(())
    }
}

/// Reads one event and, unless it is an error, its choices.
fn read(text: &str) -> serde_json::Result<(AnswerChunk<'_>, ChunkChoices<'_>)> {
    let chunk: AnswerChunk<'_> = serde_json::from_str(text)?;
    let choices = match chunk.choices {
        Some(choices) if !chunk.is_error() => serde_json::from_str(choices.get())?,
        _ => ChunkChoices::default(),
    };
    Ok((chunk, choices))
}

impl AnswerChunk<'_> {
    /// Whether this is no part of the answer but an error, in either of the shapes in use.
    fn is_error(&self) -> bool {
        self.error.is_some()
            || self
                .object
                .as_ref()
                .is_some_and(|kind| kind.as_str() == "error")
    }
}

#[cfg(test)]
mod tests;
