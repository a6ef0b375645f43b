//! Decoding a whole answer.

use serde::Serialize;

use super::TOOL_PLAN;
use super::citations;
use super::errors;
use super::usage;
use super::wire::{Answer, Call, Logprob, Message};
use crate::chat::{
    self, Choice, FinishReason, Json, Opaque, Part, Response, Role, Ruler, ToolCall,
};
use crate::codec::Kind;
use crate::failure::{Class, Failure};
use crate::usage::report;
use crate::wire::Text;

/// Decodes the body of a 200 that was not streamed.
pub(crate) fn decode(body: &[u8]) -> Result<Response, Failure> {
    let unreadable =
        |error: serde_json::Error| Failure::unreadable("the answer is no chat answer", &error);
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(unreadable)?;
    let message = match answer.message.map(serde_json::value::RawValue::get) {
        Some(raw) if raw.starts_with('{') => serde_json::from_str(raw).map_err(unreadable)?,
        _ => {
            return Err(match errors::message(body) {
                Some(text) => errors::of_text(&text, None),
                None => Failure::new(Class::Server, "the answer has no message"),
            });
        }
    };
    let finish_reason = match &answer.finish_reason {
        Some(reason) => finish_reason(reason.as_str(), None)?,
        // The body is whole, so the answer is; only the reason is missing.
        None => FinishReason::Other,
    };
    Ok(Response {
        id: answer.id.map(Text::into_string).unwrap_or_default(),
        // The format does not say.
        model: String::new(),
        choices: vec![Choice {
            index: 0,
            message: message_of(message)?,
            finish_reason,
            logprobs: answer.logprobs.and_then(|pieces| logprobs(&pieces.0)),
            stop_sequence: None,
            details: chat::Details::new(),
        }],
        usage: answer.usage.and_then(usage::read),
        usage_report: answer.usage.and_then(report),
        fingerprint: None,
        details: chat::Details::new(),
        warnings: Vec::new(),
    })
}

/// Reads a finish reason.
///
/// # Errors
/// The failure, where it stands for one; `said` is what the provider said to it.
pub(super) fn finish_reason(reason: &str, said: Option<&str>) -> Result<FinishReason, Failure> {
    if let Some(failure) = errors::of_finish(reason, said) {
        return Err(failure);
    }
    Ok(match reason {
        "COMPLETE" | "STOP_SEQUENCE" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "TOOL_CALL" => FinishReason::ToolCalls,
        _ => FinishReason::Other,
    })
}

fn message_of(message: Message<'_>) -> Result<chat::Message, Failure> {
    let mut parts = Vec::new();
    for block in message.content.unwrap_or_default().0 {
        if let Some(thinking) = block.thinking.filter(|text| !text.as_str().is_empty()) {
            parts.push(Part::Reasoning {
                text: thinking.into_string(),
                opaque: Vec::new(),
            });
        }
        if let Some(text) = block.text.filter(|text| !text.as_str().is_empty()) {
            parts.push(Part::Text(text.into_string()));
        }
    }
    if let Some(raw) = message.citations {
        for citation in citations::read(raw, &Ruler::of(&parts)) {
            Part::cite(&mut parts, citation);
        }
    }
    if let Some(plan) = message.tool_plan.filter(|plan| !plan.as_str().is_empty()) {
        parts.push(Part::Reasoning {
            opaque: vec![plan_state(plan.as_str().len())],
            text: plan.into_string(),
        });
    }
    for call in message.tool_calls.unwrap_or_default().0 {
        parts.push(Part::ToolCall(tool_call(call)?));
    }
    let opaque = message.citations.map(citations::of_thoughts);
    if let Some(opaque) = opaque.filter(|it| !it.is_empty()) {
        let text = String::new();
        parts.push(Part::Reasoning { text, opaque });
    }
    Ok(chat::Message {
        role: Role::Assistant,
        parts,
        name: None,
    })
}

/// What marks the last `length` bytes of a reasoning's text as a tool plan.
pub(super) fn plan_state(length: usize) -> Opaque {
    Opaque {
        provider: Kind::Cohere.as_str().to_owned(),
        kind: TOOL_PLAN.to_owned(),
        bytes: length.to_string().into(),
    }
}

fn tool_call(call: Call<'_>) -> Result<ToolCall, Failure> {
    let lacks = |what| {
        Failure::new(
            Class::Server,
            format!("a tool call of the answer lacks {what}"),
        )
    };
    let function = call.function.ok_or_else(|| lacks("its function"))?;
    Ok(ToolCall {
        id: call.id.ok_or_else(|| lacks("its id"))?.into_string(),
        name: function
            .name
            .ok_or_else(|| lacks("its name"))?
            .into_string(),
        arguments: function
            .arguments
            .map(Text::into_string)
            .unwrap_or_default(),
        opaque: Vec::new(),
    })
}

/// Log probabilities in the `OpenAI` shape.
#[derive(Serialize)]
struct Logprobs<'a> {
    content: Vec<Entry<'a>>,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct Entry<'a> {
    token: &'a str,
    logprob: f64,
    bytes: &'a [u8],
    top_logprobs: [(); 0],
}

/// Writes log probabilities in the `OpenAI` shape, one entry for each piece of text; none where there is nothing
/// to tell.
pub(super) fn logprobs(pieces: &[Logprob<'_>]) -> Option<Json> {
    let content: Vec<_> = pieces
        .iter()
        .filter_map(|piece| {
            let token = piece.text.as_ref()?.as_str();
            let logprob = piece.logprobs.as_ref()?.iter().sum::<f64>();
            logprob.is_finite().then_some(Entry {
                token,
                logprob,
                bytes: token.as_bytes(),
                top_logprobs: [],
            })
        })
        .collect();
    if content.is_empty() {
        return None;
    }
    let refusal = None;
    Json::of(&Logprobs { content, refusal }).ok()
}

#[cfg(test)]
mod tests;
