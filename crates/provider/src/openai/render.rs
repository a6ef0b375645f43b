//! Writing answers for callers of the OpenAI-compatible edge.

mod error;
mod stream;

use serde::Serialize;

use super::audio::Telling;
use super::citations::Sources;
use super::extra_content::{self, ExtraContent};
use super::reasoning_details::{self, Detail};
pub use error::{ErrorBody, render_error, render_error_event};
pub use stream::ChunkRenderer;

use crate::chat::{Choice, Details, FinishReason, Json, Part, Response, Tier, Usage, Warning};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<&'a str>,
    /// As the provider calls them; the format, as Azure speaks it, has Azure's only.
    #[serde(flatten)]
    details: &'a Details,
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
    /// Not part of the format.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_sequence: Option<&'a str>,
    #[serde(flatten)]
    details: &'a Details,
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
        system_fingerprint: response.fingerprint.as_deref(),
        details: &response.details,
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
        stop_sequence: choice.stop_sequence.as_deref(),
        details: &choice.details,
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
