//! Decoding a whole answer.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::wire::{Block, CONTAINER, Message, report};
use super::{BLOCK, PROVIDER, REDACTED, SIGNATURE, citations, errors};
use crate::chat::{
    self, Choice, FinishReason, MOST_CITATIONS, Opaque, Part, Response, Role, ToolCall,
};
use crate::failure::{Class, ErrorObject, Failure};
use crate::usage;
use crate::wire::{List, Text};

/// Decodes the body of a 200 that was not streamed.
pub(crate) fn decode(body: &[u8]) -> Result<Response, Failure> {
    let answer: Message<'_> = serde_json::from_slice(body)
        .map_err(|error| Failure::unreadable("the answer is not a message", &error))?;
    if answer.r#type.is_some_and(|it| it.as_str() == "error") {
        return Err(errors::of_object(&ErrorObject::read(body), None));
    }
    let Some(content) = answer.content else {
        return Err(Failure::new(Class::Server, "the answer has no content"));
    };
    let mut parts = Vec::with_capacity(content.0.len());
    for raw in content.0 {
        parts.extend(part(raw)?);
    }
    let explanation = answer.stop_details.and_then(|it| it.explanation);
    parts.extend(explanation.map(|text| Part::Refusal(text.into_string())));
    let choice = Choice {
        index: 0,
        message: chat::Message {
            role: Role::Assistant,
            parts,
            name: None,
        },
        // The body is whole, so the answer is, even where the reason is missing.
        finish_reason: answer
            .stop_reason
            .map_or(FinishReason::Other, |reason| finish_reason(reason.as_str())),
        logprobs: None,
        stop_sequence: Text::filled(answer.stop_sequence),
        details: chat::Details::new(),
    };
    Ok(Response {
        id: answer.id.map(Text::into_string).unwrap_or_default(),
        model: answer.model.map(Text::into_string).unwrap_or_default(),
        choices: vec![choice],
        usage: answer.usage.and_then(report).and_then(|it| it.read()),
        usage_report: answer.usage.and_then(usage::report),
        fingerprint: None,
        details: chat::details([(CONTAINER, answer.container)]),
        warnings: Vec::new(),
    })
}

fn part(raw: &RawValue) -> Result<Option<Part>, Failure> {
    let block = read_block(raw)?;
    let text = |text: Option<Text<'_>>| text.map(Text::into_string).unwrap_or_default();
    Ok(Some(match block.r#type.as_str() {
        "text" => match text(block.text) {
            text if text.is_empty() => return Ok(None),
            text => cited(text, block.citations),
        },
        "thinking" => Part::Reasoning {
            text: text(block.thinking),
            opaque: signature(block.signature).into_iter().collect(),
        },
        "redacted_thinking" => Part::Reasoning {
            text: String::new(),
            opaque: vec![state(REDACTED, text(block.data))],
        },
        "tool_use" => {
            let (id, name) = call(&block)?;
            Part::ToolCall(ToolCall {
                id,
                name,
                arguments: block.input.map_or("{}", RawValue::get).to_owned(),
                opaque: Vec::new(),
            })
        }
        _ => Part::Reasoning {
            text: String::new(),
            opaque: vec![state(BLOCK, raw.get().to_owned())],
        },
    }))
}

/// A text and its sources, all of which are good for the whole of it.
fn cited(text: String, sources: Option<List<&RawValue, MOST_CITATIONS>>) -> Part {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let sources = sources.unwrap_or_default().0.into_iter();
    let citations: Vec<_> = sources
        .filter_map(|raw| citations::read(raw, 0..length))
        .collect();
    if citations.is_empty() {
        Part::Text(text)
    } else {
        Part::Cited { text, citations }
    }
}

/// Reads a block.
///
/// # Errors
/// It is none.
pub(super) fn read_block(raw: &RawValue) -> Result<Block<'_>, Failure> {
    serde_json::from_str(raw.get())
        .map_err(|_| Failure::new(Class::Server, "a block of the answer cannot be read"))
}

/// The id and name of a call.
///
/// # Errors
/// One of them is missing.
pub(super) fn call(block: &Block<'_>) -> Result<(String, String), Failure> {
    let filled = |text: &Option<Text<'_>>| {
        let text = text.as_ref().map(Text::as_str).unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    };
    filled(&block.id)
        .zip(filled(&block.name))
        .ok_or_else(|| Failure::new(Class::Server, "a tool call has no id or no name"))
}

/// The signature of a thought as state; none where it is empty, as when a block begins.
pub(super) fn signature(text: Option<Text<'_>>) -> Option<Opaque> {
    let text = text.map(Text::into_string).unwrap_or_default();
    (!text.is_empty()).then(|| state(SIGNATURE, text))
}

/// State of this provider.
pub(super) fn state(kind: &str, data: String) -> Opaque {
    Opaque {
        provider: PROVIDER.to_owned(),
        kind: kind.to_owned(),
        bytes: Bytes::from(data),
    }
}

pub(super) fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        // The window is full: what there is of an answer was cut off, as by a limit.
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::Refusal,
        // `pause_turn`, after which the conversation can be sent again to go on, and what is yet to come.
        _ => FinishReason::Other,
    }
}

#[cfg(test)]
mod tests;
