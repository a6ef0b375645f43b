//! Decoding a streamed answer.
//!
//! What makes an answer whole: every choice has its finish reason. `[DONE]` is welcome but not
//! needed, and alone it is not enough. A line that is not JSON is skipped and counted, since the
//! stream may well go on; if it held a finish reason, the end is missing and the answer truncated.

use std::borrow::Cow;

use super::answer::{finish_reason, stop_sequence, token};
use super::audio::Told;
use super::citations;
use super::details::Details;
use super::errors;
use super::frame::{Frame, Piece};
use super::mistral;
use super::tool_calls::Calls;
use super::usage;
use super::wire::{
    AnswerChunk, AnswerPart, ChunkChoice, ChunkChoices, ChunkDelta, Content, FILTERED,
    FILTERED_PROMPT, MOST_CHOICES, STOP_REASON, Text,
};
use crate::chat::{Aside, Chunk, Citation, Delta, Json, Retold, Ruler, Usage};
use crate::failure::{Class, Failure};
use crate::sse;
use crate::stream::{self, Next};
use crate::usage::Latest;

/// Decodes the body of one streamed answer.
pub(crate) type StreamDecoder = stream::Decoder<Answer>;

/// A decoder for an answer to which so many choices were asked for.
pub(crate) fn stream_decoder(expected: u32) -> StreamDecoder {
    stream::Decoder::new(Answer {
        expected,
        started: false,
        choices: Vec::new(),
        frame: Frame::default(),
        fingerprint: String::new(),
        usage: None,
        usage_report: Latest::default(),
        sources: Vec::new(),
        any_content: false,
        malformed: 0,
    })
}

/// What is known of the answer so far.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How many choices were asked for.
    expected: u32,
    started: bool,
    choices: Vec<Choice>,
    frame: Frame,
    /// The one that was told last.
    fingerprint: String,
    usage: Option<Usage>,
    usage_report: Latest,
    /// The sources of the answer as a whole.
    sources: Vec<Citation>,
    /// Whether anything of an answer could be read.
    any_content: bool,
    malformed: u64,
}

#[derive(Debug)]
struct Choice {
    index: u32,
    finished: bool,
    /// Whether sources of its passages were told.
    cited: bool,
    details: Details,
    calls: Calls,
    filtered: Retold,
    /// Of all text.
    ruler: Ruler,
}

impl stream::Answer for Answer {
    fn take(&mut self, event: sse::Event<'_>, out: &mut Vec<Chunk>) -> Result<Next, Failure> {
        let data = event.data.trim_ascii();
        if data == b"[DONE]" {
            return self.close(true).map(|()| Next::Nothing);
        }
        if event.name == b"error" {
            return Err(errors::told(data));
        }
        self.take_json(data, out).map(|()| Next::More)
    }

    fn end(&mut self) -> Result<(), Failure> {
        let seen = u32::try_from(self.choices.len()).unwrap_or(u32::MAX);
        self.close(seen >= self.expected)
    }

    fn error_of(body: &[u8]) -> Option<Failure> {
        errors::told_by(body)
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
    fn take_json(&mut self, data: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        // A stray byte that is not UTF-8 spoils a character, not the event.
        let text = match std::str::from_utf8(data) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(data),
        };
        if self.started {
            if let Some(piece) = self.frame.text(&text) {
                return self.take_piece(&piece, out);
            }
            if let Some(choices) = self.frame.open(&text) {
                self.frame.learn_text(&text, &choices);
                return self.take_choices(choices, out);
            }
        }
        match read(&text) {
            Ok((chunk, _)) if chunk.is_error() => Err(errors::told(text.as_bytes())),
            Ok((chunk, choices)) => {
                self.frame.learn(&text, &chunk);
                self.frame.learn_text(&text, &choices);
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
        let fingerprint = chunk.system_fingerprint.as_ref().map_or("", Text::as_str);
        if !fingerprint.is_empty() && fingerprint != self.fingerprint {
            self.fingerprint = fingerprint.to_owned();
            out.push(Chunk::Aside(Aside::Fingerprint(fingerprint.to_owned())));
        }
        let of_prompt = Aside::detail(None, FILTERED_PROMPT, chunk.prompt_filter_results);
        out.extend(of_prompt.map(Chunk::Aside));
        let sources = citations::searched(chunk.citations, chunk.search_results);
        if !sources.is_empty() {
            self.sources = sources;
        }
        self.take_choices(choices, out)?;
        // Usage may come with the last content, alone, or again and again as it grows.
        let served = chunk.service_tier.as_ref().map(Text::as_str);
        if let Some(raw) = chunk.usage {
            self.usage = usage::read(raw, served).or(self.usage);
            self.usage_report.keep(raw);
        }
        Ok(())
    }

    fn take_piece(&mut self, piece: &Piece<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let state = self.choice(piece.choice)?;
        if !state.finished {
            let make = if piece.thought {
                Delta::Reasoning
            } else {
                Delta::Text
            };
            state.text(Some(Text::from(piece.text)), make, out);
            self.any_content |= !piece.text.is_empty();
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
        let filtered = choice.content_filter_results;
        state.filtered.tell((index, FILTERED), filtered, out);
        if let Some(text) = stop_sequence(choice.stop_reason) {
            let choice = index;
            out.push(Chunk::Aside(Aside::StopSequence { choice, text }));
        }
        let token = token(choice.stop_reason);
        out.extend(Aside::detail(Some(index), STOP_REASON, token).map(Chunk::Aside));
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
        if let Some(delta) = state.details.finish() {
            state.push(delta, out);
        }
        state
            .calls
            .finish()
            .map_err(|broken| Failure::new(Class::Server, broken))?;
        state.finished = true;
        if !state.cited {
            let sources = self.sources.iter().cloned().map(Delta::Citation);
            out.extend(sources.map(|delta| Chunk::Delta {
                choice: index,
                delta,
            }));
        }
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
                    cited: false,
                    details: Details::default(),
                    calls: Calls::default(),
                    filtered: Retold::default(),
                    ruler: Ruler::default(),
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

    /// Whether the answer is whole: every choice seen has finished, and `all_seen`. An answer of which
    /// nothing could be read is none.
    fn close(&self, all_seen: bool) -> Result<(), Failure> {
        let finished = self.choices.iter().filter(|choice| choice.finished).count();
        if !all_seen || finished == 0 || finished < self.choices.len() {
            let wanted = self.expected;
            let ended = format!("the stream ended with {finished} of {wanted} choices finished");
            return Err(stream::truncated(&ended, self.malformed));
        }
        stream::readable(self.any_content, self.malformed)
    }
}

impl Choice {
    fn take_delta(&mut self, delta: ChunkDelta<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let shown = delta.reasoning_content.or(delta.reasoning);
        match delta.reasoning_details {
            Some(details) => {
                let told = self.details.take(details, shown)?;
                told.into_iter().for_each(|delta| self.push(delta, out));
            }
            None => self.text(shown, Delta::Reasoning, out),
        }
        match delta.content {
            Some(Content::Text(text)) => self.text(Some(text), Delta::Text, out),
            Some(Content::Parts(list)) => list
                .0
                .into_iter()
                .for_each(|part| self.content_part(part, out)),
            None => {}
        }
        if let Some(audio) = delta.audio.map(Told::read).transpose()?.flatten() {
            self.push(Delta::Audio(audio), out);
        }
        self.text(delta.refusal, Delta::Refusal, out);
        if let Some(annotations) = delta.annotations {
            for citation in citations::annotated(annotations, &self.ruler) {
                self.cited = true;
                self.push(Delta::Citation(citation), out);
            }
        }
        for fragment in delta.tool_calls.unwrap_or_default().0 {
            self.calls
                .add(self.index, fragment, out)
                .map_err(|broken| Failure::new(Class::Server, broken))?;
        }
        Ok(())
    }

    fn content_part(&mut self, part: AnswerPart<'_>, out: &mut Vec<Chunk>) {
        let thought = part.thought().map(Text::from);
        self.text(thought, Delta::Reasoning, out);
        if let Some(signature) = part.signature {
            self.push(
                Delta::ReasoningState(mistral::keep(signature.as_str())),
                out,
            );
        }
        self.text(part.text, Delta::Text, out);
        for citation in mistral::references(part.reference_ids, self.ruler.length()) {
            self.push(Delta::Citation(citation), out);
        }
    }

    fn text(&mut self, text: Option<Text<'_>>, make: fn(String) -> Delta, out: &mut Vec<Chunk>) {
        if let Some(text) = text.filter(|text| !text.as_str().is_empty()) {
            self.push(make(text.into_string()), out);
        }
    }

    fn push(&mut self, delta: Delta, out: &mut Vec<Chunk>) {
        self.ruler.take(&delta);
        out.push(Chunk::Delta {
            choice: self.index,
            delta,
        });
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
