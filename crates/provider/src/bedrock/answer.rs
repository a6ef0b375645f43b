//! Decoding a whole answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::wire::{ADDITIONAL, Answer, Block, Citations, Reasoning, TRACE, ToolUse, stop_sequence};
use super::{BLOCK, PROVIDER, REDACTED, SIGNATURE, citations, usage};
use crate::chat::{self, Choice, FinishReason, Opaque, Part, Response, Role, ToolCall};
use crate::failure::{Class, Failure};
use crate::usage::report;
use crate::wire::Text;

/// Decodes the body of a 200 that was not streamed. It has neither an id nor a model's name.
pub(crate) fn decode(body: &[u8]) -> Result<Response, Failure> {
    let answer: Answer<'_> = serde_json::from_slice(body)
        .map_err(|error| Failure::unreadable("the answer is not one of Converse", &error))?;
    let message = answer.output.and_then(|output| output.message);
    let Some(content) = message.and_then(|message| message.content) else {
        return Err(Failure::new(Class::Server, "the answer has no content"));
    };
    let mut parts = Vec::with_capacity(content.0.len());
    for raw in content.0 {
        parts.extend(part(raw)?);
    }
    // The body is whole, so the answer is, even where the reason is missing.
    let finish_reason = match answer.stop_reason {
        Some(reason) => finish_reason(reason.as_str())?,
        None => FinishReason::Other,
    };
    let choice = Choice {
        index: 0,
        message: chat::Message {
            role: Role::Assistant,
            parts,
            name: None,
        },
        finish_reason,
        logprobs: None,
        stop_sequence: stop_sequence(answer.additional_model_response_fields),
        details: chat::Details::new(),
    };
    Ok(Response {
        id: String::new(),
        model: String::new(),
        choices: vec![choice],
        usage: answer
            .usage
            .and_then(|raw| usage::read(raw, answer.service_tier.as_ref())),
        usage_report: answer.usage.and_then(report),
        fingerprint: None,
        details: chat::details([
            (ADDITIONAL, answer.additional_model_response_fields),
            (TRACE, answer.trace),
        ]),
        warnings: Vec::new(),
    })
}

fn part(raw: &RawValue) -> Result<Option<Part>, Failure> {
    let block: Block<'_> = serde_json::from_str(raw.get())
        .map_err(|_| broken("a block of the answer cannot be read"))?;
    let text = match block {
        Block {
            text: Some(text), ..
        } => text.into_string(),
        Block {
            citations_content: Some(cited),
            ..
        } => return Ok(cited_text(cited)),
        Block {
            reasoning_content: Some(reasoning),
            ..
        } => return thought(reasoning).map(Some),
        Block {
            tool_use: Some(call @ ToolUse { r#type: None, .. }),
            ..
        } => return tool_call(&call).map(Some),
        Block { .. } => {
            let block = Bytes::copy_from_slice(raw.get().as_bytes());
            return Ok(Some(Part::Reasoning {
                text: String::new(),
                opaque: vec![state(BLOCK, block)],
            }));
        }
    };
    Ok((!text.is_empty()).then_some(Part::Text(text)))
}

/// A text and its sources, all of which are good for the whole of it.
fn cited_text(cited: Citations<'_>) -> Option<Part> {
    let pieces = cited.content.unwrap_or_default().0.into_iter();
    let text: String = pieces
        .filter_map(|piece| piece.text)
        .map(Text::into_string)
        .collect();
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let sources = cited.citations.unwrap_or_default().0.into_iter();
    let citations: Vec<_> = sources
        .filter_map(|raw| citations::read(raw, 0..length))
        .collect();
    if text.is_empty() {
        return None;
    }
    Some(if citations.is_empty() {
        Part::Text(text)
    } else {
        Part::Cited { text, citations }
    })
}

fn thought(reasoning: Reasoning<'_>) -> Result<Part, Failure> {
    let mut opaque = Vec::new();
    let mut text = String::new();
    if let Some(shown) = reasoning.reasoning_text {
        text = shown.text.map(Text::into_string).unwrap_or_default();
        opaque.extend(signature(shown.signature.map(Text::into_string)));
    }
    if let Some(redacted) = reasoning.redacted_content {
        opaque.push(state(REDACTED, blob(&redacted)?.into()));
    }
    Ok(Part::Reasoning { text, opaque })
}

fn tool_call(call: &ToolUse<'_>) -> Result<Part, Failure> {
    let (id, name) = names(call)?;
    Ok(Part::ToolCall(ToolCall {
        id,
        name,
        arguments: call.input.map_or("{}", RawValue::get).to_owned(),
        opaque: Vec::new(),
    }))
}

/// The id and name of a call.
///
/// # Errors
/// One of them is missing.
pub(super) fn names(call: &ToolUse<'_>) -> Result<(String, String), Failure> {
    let filled = |text: &Option<Text<'_>>| {
        let text = text.as_ref().map(Text::as_str).unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    };
    filled(&call.tool_use_id)
        .zip(filled(&call.name))
        .ok_or_else(|| broken("a tool call has no id or no name"))
}

/// The bytes that are written in base64.
///
/// # Errors
/// They are not.
pub(super) fn blob(text: &Text<'_>) -> Result<Vec<u8>, Failure> {
    STANDARD
        .decode(text.as_str())
        .map_err(|_| broken("a thought of the answer cannot be read"))
}

/// The signature of a thought as state; none where it is empty.
pub(super) fn signature(text: Option<String>) -> Option<Opaque> {
    let text = text.filter(|text| !text.is_empty())?;
    Some(state(SIGNATURE, text.into()))
}

/// State of this provider.
pub(super) fn state(kind: &str, bytes: Bytes) -> Opaque {
    Opaque {
        provider: PROVIDER.to_owned(),
        kind: kind.to_owned(),
        bytes,
    }
}

pub(super) fn broken(detail: &str) -> Failure {
    Failure::new(Class::Server, detail)
}

/// Reads a reason to stop.
///
/// # Errors
/// A `Failure` where the model wrote nonsense, which the provider has found out.
pub(super) fn finish_reason(reason: &str) -> Result<FinishReason, Failure> {
    Ok(match reason {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        "refusal" => FinishReason::Refusal,
        "malformed_model_output" | "malformed_tool_use" => {
            return Err(broken("the model's answer is malformed, says the provider"));
        }
        _ => FinishReason::Other,
    })
}

#[cfg(test)]
mod tests;
