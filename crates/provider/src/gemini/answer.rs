//! What an answer says, whole or one event of it: both have the same shape.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::citations::Sources;
use super::errors;
use super::logprobs;
use super::signature::{self, Place};
use super::usage;
use super::wire::{self, Blob, Candidate, FunctionCall, Part};
use crate::chat::{
    Assembler, Audio, Chunk, Delta, Extent, FinishReason, Json, Response, Retold, Usage,
};
use crate::failure::{Class, Failure};
use crate::usage::Latest;
use crate::wire::Text;

/// What Google thinks of a candidate.
const SAFETY: &str = "safetyRatings";
/// The most tool calls one candidate may ask for.
const MOST_CALLS: u32 = 1024;

/// Decodes the body of a 200 that was not streamed.
pub(crate) fn decode(body: &[u8]) -> Result<Response, Failure> {
    let answer: wire::Answer<'_> = serde_json::from_slice(body).map_err(|error| {
        let what = "the answer is not a GenerateContentResponse";
        errors::told(body).unwrap_or_else(|| Failure::unreadable(what, &error))
    })?;
    if answer.error.is_some() {
        return Err(errors::of_body(body));
    }
    let mut progress = Progress::default();
    let mut chunks = Vec::new();
    progress.take(answer, &mut chunks)?;
    // The body is whole, so the answer is, also where only the reason is missing.
    for open in progress.candidates.iter_mut().filter(|one| !one.finished) {
        open.finish(FinishReason::Other, &mut chunks);
    }
    chunks.extend(progress.usage_report().map(Chunk::UsageReport));
    chunks.extend(progress.usage().map(Chunk::Usage));
    let mut assembler = Assembler::new();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    assembler
        .finish()
        .ok_or_else(|| Failure::new(Class::Server, "the answer has no candidates"))
}

/// What is known of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    started: bool,
    /// Told once, and part of the ids of calls that have none.
    id: String,
    candidates: Vec<State>,
    /// The latest report of usage.
    usage: Latest,
    any_content: bool,
}

/// What is known of a candidate.
#[derive(Debug)]
struct State {
    index: u32,
    finished: bool,
    calls: u32,
    extent: Extent,
    sources: Sources,
    safety: Retold,
}

impl Progress {
    /// Takes a piece of the answer and appends what it brings to `out`.
    ///
    /// # Errors
    /// The failure that the piece tells, or that makes the answer useless.
    pub(super) fn take(
        &mut self,
        answer: wire::Answer<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let candidates = answer.candidates.unwrap_or_default().0;
        // Cumulative, and there even where the prompt was blocked. After a report that cannot be right an earlier
        // one would be too low.
        if let Some(report) = answer.usage_metadata {
            self.usage.keep(report);
        }
        let blocked = answer.prompt_feedback.and_then(|it| it.block_reason);
        if let (true, Some(reason)) = (candidates.is_empty(), blocked) {
            return Err(errors::blocked(reason.as_str()));
        }
        if !self.started && !candidates.is_empty() {
            self.started = true;
            let text = |text: Option<Text<'_>>| text.map(Text::into_string).unwrap_or_default();
            self.id = text(answer.response_id);
            out.push(Chunk::Start {
                id: self.id.clone(),
                model: text(answer.model_version),
            });
        }
        let before = out.len();
        for candidate in candidates {
            self.take_candidate(candidate, out)?;
        }
        self.any_content |= out[before..]
            .iter()
            .any(|chunk| matches!(chunk, Chunk::Delta { .. }));
        Ok(())
    }

    /// How many candidates have finished.
    pub(super) fn finished(&self) -> u32 {
        let finished = self.candidates.iter().filter(|one| one.finished).count();
        u32::try_from(finished).unwrap_or(u32::MAX)
    }

    /// How many candidates have been seen.
    pub(super) fn seen(&self) -> u32 {
        u32::try_from(self.candidates.len()).unwrap_or(u32::MAX)
    }

    /// Whether anything of an answer could be read.
    pub(super) fn any_content(&self) -> bool {
        self.any_content
    }

    /// The latest usage told.
    pub(super) fn usage(&self) -> Option<Usage> {
        // The report counts tokens only.
        let searches = self.candidates.iter().map(|one| one.sources.searches());
        usage::read(self.usage.text()).map(|usage| Usage {
            searches: searches.sum(),
            ..usage
        })
    }

    /// The latest report of usage, as it was sent.
    pub(super) fn usage_report(&self) -> Option<Json> {
        self.usage.read()
    }

    fn take_candidate(
        &mut self,
        candidate: Candidate<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let at = self.place(candidate.index)?;
        let Self { id, candidates, .. } = self;
        let state = &mut candidates[at];
        if state.finished {
            return Ok(());
        }
        let parts = candidate.content.and_then(|content| content.parts);
        for part in parts.unwrap_or_default().0 {
            state.sources.part(&state.extent);
            state.take_part(part, id, out)?;
        }
        state
            .sources
            .take(candidate.grounding_metadata, candidate.citation_metadata);
        if let Some(logprobs) = candidate.logprobs_result.and_then(logprobs::read) {
            state.push(Delta::Logprobs(logprobs), out);
        }
        let safety = (state.index, SAFETY);
        state.safety.tell(safety, candidate.safety_ratings, out);
        if let Some(reason) = candidate.finish_reason
            && let Some(reason) = finish_reason(reason.as_str(), state.calls > 0)?
        {
            state.finish(reason, out);
        }
        Ok(())
    }

    fn place(&mut self, index: u32) -> Result<usize, Failure> {
        match self.candidates.iter().position(|one| one.index == index) {
            Some(at) => Ok(at),
            None if self.candidates.len() < wire::MOST_CANDIDATES => {
                self.candidates.push(State {
                    index,
                    finished: false,
                    calls: 0,
                    extent: Extent::default(),
                    sources: Sources::default(),
                    safety: Retold::default(),
                });
                Ok(self.candidates.len() - 1)
            }
            None => Err(broken("the answer has too many candidates")),
        }
    }
}

impl State {
    fn finish(&mut self, reason: FinishReason, out: &mut Vec<Chunk>) {
        self.finished = true;
        for delta in self.sources.finish(&self.extent) {
            self.push(delta, out);
        }
        out.push(Chunk::Finish {
            choice: self.index,
            reason,
        });
    }

    fn push(&mut self, delta: Delta, out: &mut Vec<Chunk>) {
        self.extent.take(&delta);
        out.push(Chunk::Delta {
            choice: self.index,
            delta,
        });
    }

    fn take_part(
        &mut self,
        part: Part<'_>,
        answer: &str,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if let Some(sound) = part.sound() {
            let audio = hear(&sound)?;
            self.push(Delta::Audio(audio), out);
        } else if let Some(foreign) = part.foreign() {
            self.push(Delta::ReasoningState(signature::keep_part(foreign)), out);
            return Ok(());
        }
        let signature = part.thought_signature;
        if let Some(call) = part.function_call {
            return self.take_call(call, signature, answer, out);
        }
        let text = part.text.map(Text::into_string).unwrap_or_default();
        let place = match (text.is_empty(), part.thought) {
            (true, _) => Place::Alone,
            (false, true) => Place::Thought,
            (false, false) => Place::Text,
        };
        match place {
            Place::Thought => self.push(Delta::Reasoning(text), out),
            Place::Text => self.push(Delta::Text(text), out),
            Place::Alone | Place::Call => {}
        }
        if let Some(signature) = signature {
            let state = signature::keep(place, signature.as_str());
            self.push(Delta::ReasoningState(state), out);
        }
        Ok(())
    }

    /// A call comes whole. One without an id gets one that no other call of the conversation has.
    fn take_call(
        &mut self,
        call: FunctionCall<'_>,
        signature: Option<Text<'_>>,
        answer: &str,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        let name = call.name.filter(|name| !name.as_str().is_empty());
        let name = name.ok_or_else(|| broken("a function call of the answer has no name"))?;
        if call.partial_args.is_some() {
            return Err(broken(
                "the arguments of a function call come in pieces, which was not asked for",
            ));
        }
        let index = self.calls;
        if index == MOST_CALLS {
            return Err(broken("the answer asks for too many function calls"));
        }
        self.calls += 1;
        let id = call.id.filter(|id| !id.as_str().is_empty());
        let id = id.map(Text::into_string);
        let delta = Delta::ToolCall {
            index,
            id: id.unwrap_or_else(|| format!("call_{answer}_{}_{index}", self.index)),
            name: name.into_string(),
        };
        self.push(delta, out);
        let fragment = call.args.map_or("{}", |args| args.get()).to_owned();
        self.push(Delta::ToolArguments { index, fragment }, out);
        if let Some(signature) = signature {
            let state = signature::call_state(signature.as_str());
            self.push(Delta::ToolState { index, state }, out);
        }
        Ok(())
    }
}

/// Sound as it is told of by its media type, such as `audio/L16;codec=pcm;rate=24000`.
fn hear(sound: &Blob<'_>) -> Result<Audio, Failure> {
    let data = STANDARD.decode(sound.data.as_str());
    let data = data.map_err(|_| broken("sound of the answer cannot be read"))?;
    let mime = sound.mime_type.as_str();
    Ok(Audio {
        data: data.into(),
        format: mime.strip_prefix("audio/").unwrap_or(mime).to_owned(),
        ..Audio::default()
    })
}

/// Reads a finish reason; nothing for the one that says that there is none.
///
/// # Errors
/// A `Failure` where the model's output is unusable.
fn finish_reason(reason: &str, has_calls: bool) -> Result<Option<FinishReason>, Failure> {
    Ok(Some(match reason {
        "" | "FINISH_REASON_UNSPECIFIED" => return Ok(None),
        // A turn that calls tools ends like any other there.
        "STOP" if has_calls => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        // The latter is the limit of one request, after which an answer could be gone on with.
        "MAX_TOKENS" | "CONTINUATION" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "ESCALATION"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => FinishReason::ContentFilter,
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "MALFORMED_RESPONSE" => {
            return Err(broken(format!("the model's output is unusable: {reason}")));
        }
        "MISSING_THOUGHT_SIGNATURE" => {
            let detail = "a tool call of the conversation came back without its thought signature";
            return Err(Failure::new(Class::CallerError, detail));
        }
        "PUP_LIMITED_DISABLED" => {
            let detail = "the account is limited for violations of the use policy";
            return Err(Failure::new(Class::KeyDead, detail));
        }
        _ => FinishReason::Other,
    }))
}

fn broken(detail: impl Into<String>) -> Failure {
    Failure::new(Class::Server, detail)
}

#[cfg(test)]
mod tests;
