//! Writing answers for callers of the OpenAI-compatible edge.

mod error;

use serde::Serialize;

use super::audio::Telling;
use super::citations::Sources;
use super::extra_content::{self, ExtraContent};
use super::reasoning_details::{self, Detail, Thoughts};
pub use error::{ErrorBody, render_error, render_error_event};

use crate::chat::{
    Choice, Chunk, Delta, FinishReason, Json, Part, Response, Ruler, Tier, Usage, Warning,
};

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    /// Not part of the format; its clients ignore what they do not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WireWarning<'a>>,
}

#[derive(Serialize)]
pub(super) struct WireWarning<'a> {
    field: &'a str,
    problem: &'a str,
}

impl<'a> From<&'a Warning> for WireWarning<'a> {
    fn from(warning: &'a Warning) -> Self {
        Self {
            field: &warning.field,
            problem: warning.problem,
        }
    }
}

#[derive(Serialize)]
struct WireChoice<'a> {
    index: u32,
    message: WireMessage<'a>,
    logprobs: Option<&'a Json>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Detail<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<Telling<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(flatten)]
    sources: Sources<'a>,
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct WireUsage<'a> {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: InputDetails,
    completion_tokens_details: OutputDetails,
    /// Not part of the format.
    #[serde(skip_serializing_if = "is_none")]
    searches: u64,
    /// Not part of the format.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_report: Option<&'a Json>,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
    audio_tokens: u64,
    #[serde(skip_serializing_if = "is_none")]
    image_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    #[serde(skip_serializing_if = "is_none")]
    image_tokens: u64,
    #[serde(skip_serializing_if = "is_none")]
    accepted_prediction_tokens: u64,
    #[serde(skip_serializing_if = "is_none")]
    rejected_prediction_tokens: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde wants"
)]
fn is_none(tokens: &u64) -> bool {
    *tokens == 0
}

/// The format's name of how a request was served.
fn service_tier(usage: &Usage) -> Option<&'static str> {
    usage.tier.map(|tier| match tier {
        Tier::Standard => "default",
        Tier::Flex | Tier::Priority | Tier::Fast | Tier::Batch => tier.as_str(),
    })
}

impl<'a> WireUsage<'a> {
    fn of(usage: &Usage, provider_report: Option<&'a Json>) -> Self {
        Self {
            prompt_tokens: usage.input_total,
            completion_tokens: usage.output_total,
            total_tokens: usage.total(),
            prompt_tokens_details: InputDetails {
                cached_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_write,
                audio_tokens: usage.input_audio,
                image_tokens: usage.input_image,
            },
            completion_tokens_details: OutputDetails {
                reasoning_tokens: usage.reasoning,
                audio_tokens: usage.output_audio,
                image_tokens: usage.output_image,
                accepted_prediction_tokens: usage.accepted_prediction,
                rejected_prediction_tokens: usage.rejected_prediction,
            },
            searches: usage.searches,
            provider_report,
        }
    }
}

/// Writes a whole answer as a `chat.completion`; `created` is in Unix seconds.
#[must_use]
pub fn render_response(response: &Response, created: u64) -> Vec<u8> {
    let usage = |usage| WireUsage::of(usage, response.usage_report.as_ref());
    let completion = Completion {
        id: &response.id,
        object: "chat.completion",
        created,
        model: &response.model,
        choices: response.choices.iter().map(wire_choice).collect(),
        usage: response.usage.as_ref().map(usage),
        service_tier: response.usage.as_ref().and_then(service_tier),
        warnings: response.warnings.iter().map(WireWarning::from).collect(),
    };
    let mut out = Vec::with_capacity(1024);
    write_json(&completion, &mut out);
    out
}

fn wire_choice(choice: &Choice) -> WireChoice<'_> {
    let mut message = WireMessage {
        role: "assistant",
        content: None,
        refusal: None,
        reasoning_content: None,
        reasoning_details: Vec::new(),
        audio: None,
        tool_calls: Vec::new(),
        sources: Sources::of(&choice.message.parts),
    };
    for part in &choice.message.parts {
        match part {
            Part::Text(text) | Part::Cited { text, .. } => {
                message.content.get_or_insert_default().push_str(text);
            }
            Part::Refusal(text) => message.refusal.get_or_insert_default().push_str(text),
            Part::Reasoning { text, opaque } => {
                if !text.is_empty() || opaque.is_empty() {
                    message
                        .reasoning_content
                        .get_or_insert_default()
                        .push_str(text);
                }
                reasoning_details::add(text, opaque, &mut message.reasoning_details);
            }
            Part::ToolCall(call) => message.tool_calls.push(WireCall {
                id: &call.id,
                kind: "function",
                function: WireFunction {
                    name: &call.name,
                    arguments: &call.arguments,
                },
                extra_content: extra_content::of(&call.opaque),
            }),
            // There is one to a message.
            Part::Audio(audio) => message.audio = Some(Telling::whole(audio)),
            // No codec puts these into an answer.
            Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } => {}
        }
    }
    WireChoice {
        index: choice.index,
        message,
        logprobs: choice.logprobs.as_ref(),
        finish_reason: finish_reason(choice.finish_reason),
    }
}

/// The format's set of reasons is closed and typed clients reject a word outside of it, so the two
/// reasons it has no word for take the nearest.
fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::Other => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filter",
    }
}

/// Writes the chunks of one streamed answer as server-sent events.
///
/// What every event of a stream shares is rendered once, so that an event costs its delta.
#[derive(Debug)]
pub struct ChunkRenderer {
    /// `data: {…,"choices":[`
    head: Vec<u8>,
    include_usage: bool,
    usage_report: Option<Json>,
    begun: Vec<Begun>,
}

/// A choice whose role was told.
#[derive(Debug, Default)]
struct Begun {
    choice: u32,
    thoughts: Thoughts,
    ruler: Ruler,
}

impl ChunkRenderer {
    /// A renderer for the answer of this id, model name as shown to the caller, and creation time
    /// in Unix seconds.
    #[must_use]
    pub fn new(id: &str, model: &str, created: u64, include_usage: bool) -> Self {
        let mut head = b"data: {\"id\":".to_vec();
        write_json(id, &mut head);
        head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        write_json(&created, &mut head);
        head.extend_from_slice(b",\"model\":");
        write_json(model, &mut head);
        head.extend_from_slice(b",\"choices\":[");
        Self {
            head,
            include_usage,
            usage_report: None,
            begun: Vec::new(),
        }
    }

    /// Appends the events for one chunk to `out`: none for `Chunk::Start`, none for usage that was
    /// not asked for.
    pub fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        match chunk {
            Chunk::Start { .. } => {}
            Chunk::Warning(warning) => {
                out.extend_from_slice(&self.head);
                out.extend_from_slice(b"],\"warnings\":[");
                write_json(&WireWarning::from(warning), out);
                out.extend_from_slice(b"]}\n\n");
            }
            Chunk::Delta { choice, delta } => self.delta(*choice, delta, out),
            Chunk::Finish { choice, reason } => {
                self.begin(*choice, out);
                self.open(*choice, out);
                out.push(b'}');
                let mut quoted = Vec::with_capacity(16);
                write_json(finish_reason(*reason), &mut quoted);
                self.close(&quoted, out);
            }
            Chunk::UsageReport(report) => self.usage_report = Some(report.clone()),
            Chunk::Usage(usage) if self.include_usage => {
                out.extend_from_slice(&self.head);
                out.extend_from_slice(b"],\"usage\":");
                write_line(&WireUsage::of(usage, self.usage_report.as_ref()), out);
                if let Some(tier) = service_tier(usage) {
                    write_field(b",\"service_tier\":", tier, out);
                }
                out.extend_from_slice(b"}\n\n");
            }
            Chunk::Usage(_) => {}
        }
    }

    /// Appends an event that names the limit which ended the answer before its own end.
    pub fn stopped_by(&self, limit: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.push(b']');
        write_field(b",\"stopped_by\":", limit, out);
        out.extend_from_slice(b"}\n\n");
    }

    /// Appends the sentinel that ends a whole answer. A stream that failed must not get it.
    pub fn done(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn delta(&mut self, choice: u32, delta: &Delta, out: &mut Vec<u8>) {
        self.begin(choice, out);
        self.begun(choice).ruler.take(delta);
        if let Delta::ToolState { state, .. } = delta
            && extra_content::of(std::slice::from_ref(state)).is_none()
        {
            return;
        }
        self.open(choice, out);
        match delta {
            Delta::Logprobs(logprobs) => {
                out.extend_from_slice(b"},\"logprobs\":");
                write_line(logprobs, out);
                return self.close(b"null", out);
            }
            Delta::Reasoning(text) => {
                self.begun(choice).thoughts.think(text);
                write_delta(delta, out);
            }
            Delta::ReasoningState(state) => {
                out.extend_from_slice(b"\"reasoning_details\":");
                self.begun(choice)
                    .thoughts
                    .tell(state, |details| write_json(details, out));
            }
            Delta::Citation(citation) => {
                let mut sources = Sources::default();
                sources.add(citation, &self.begun(choice).ruler);
                // The delta is an object like this one, and open.
                out.pop();
                write_json(&sources, out);
                return self.close(b"null", out);
            }
            Delta::Text(_)
            | Delta::Refusal(_)
            | Delta::ToolCall { .. }
            | Delta::ToolArguments { .. }
            | Delta::Audio(_)
            | Delta::ToolState { .. } => write_delta(delta, out),
        }
        out.push(b'}');
        self.close(b"null", out);
    }

    /// Tells a choice's role before anything else of it.
    fn begin(&mut self, choice: u32, out: &mut Vec<u8>) {
        if self.begun.iter().any(|it| it.choice == choice) {
            return;
        }
        self.begun(choice);
        self.open(choice, out);
        out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\"}");
        self.close(b"null", out);
    }

    /// What was told of a choice that has begun.
    fn begun(&mut self, choice: u32) -> &mut Begun {
        let at = self.begun.iter().position(|it| it.choice == choice);
        let at = at.unwrap_or_else(|| {
            self.begun.push(Begun {
                choice,
                ..Begun::default()
            });
            self.begun.len() - 1
        });
        &mut self.begun[at]
    }

    fn open(&self, choice: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":");
        write_json(&choice, out);
        out.extend_from_slice(b",\"delta\":{");
    }

    fn close(&self, finish_reason: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"finish_reason\":");
        out.extend_from_slice(finish_reason);
        let end: &[u8] = if self.include_usage {
            b"}],\"usage\":null}\n\n"
        } else {
            b"}]}\n\n"
        };
        out.extend_from_slice(end);
    }
}

fn write_delta(delta: &Delta, out: &mut Vec<u8>) {
    match delta {
        Delta::Text(text) => write_field(b"\"content\":", text, out),
        Delta::Refusal(text) => write_field(b"\"refusal\":", text, out),
        Delta::Reasoning(text) => write_field(b"\"reasoning_content\":", text, out),
        Delta::ToolCall { index, id, name } => {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            write_json(index, out);
            write_field(b",\"id\":", id, out);
            write_field(b",\"type\":\"function\",\"function\":{\"name\":", name, out);
            out.extend_from_slice(b",\"arguments\":\"\"}}]");
        }
        Delta::ToolArguments { index, fragment } => {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            write_json(index, out);
            write_field(b",\"function\":{\"arguments\":", fragment, out);
            out.extend_from_slice(b"}}]");
        }
        Delta::ToolState { index, state } => {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            write_json(index, out);
            out.extend_from_slice(b",\"extra_content\":");
            write_json(&extra_content::of(std::slice::from_ref(state)), out);
            out.extend_from_slice(b"}]");
        }
        Delta::Audio(more) => {
            out.extend_from_slice(b"\"audio\":");
            write_json(&Telling::more(more), out);
        }
        // State of thoughts and sources are told with what was told before, log-probabilities beside the delta.
        Delta::ReasoningState(_) | Delta::Citation(_) | Delta::Logprobs(_) => {}
    }
}

fn write_field(name: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    write_json(text, out);
}

/// Appends a value as JSON that may hold some in a provider's own layout. An event is a line, so that it must not be broken;
/// line breaks stand between values only, as in texts they are escaped.
fn write_line<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    write_json(value, out);
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Appends a value as JSON.
pub(super) fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    #[expect(
        clippy::expect_used,
        reason = "what is written here is structs, text and numbers, and writing to a Vec has no errors"
    )]
    serde_json::to_writer(out, value).expect("a plain value serialises");
}

#[cfg(test)]
mod tests;
