//! Decoding a whole answer.

use serde_json::value::RawValue;

use super::audio::Told;
use super::citations;
use super::details;
use super::errors;
use super::extra_content;
use super::mistral;
use super::usage;
use super::wire::{
    Answer, AnswerChoice, AnswerMessage, AnswerPart, Content, FILTERED, FILTERED_PROMPT,
    STOP_REASON, Text, WholeCall,
};
use crate::chat::{
    self, Choice, Citation, FinishReason, Message, Part, Response, Role, Ruler, ToolCall,
};
use crate::failure::{Class, Failure};
use crate::usage::report;

/// Decodes the body of a 200 that was not streamed.
pub(crate) fn decode(body: &[u8]) -> Result<Response, Failure> {
    let answer: Answer<'_> = serde_json::from_slice(body)
        .map_err(|error| Failure::unreadable("the answer is not a chat completion", &error))?;
    if let Some(raw) = answer.error {
        return Err(errors::told(raw.get().as_bytes()));
    }
    let mut choices = answer
        .choices
        .unwrap_or_default()
        .0
        .into_iter()
        .map(choice)
        .collect::<Result<Vec<_>, _>>()?;
    if choices.is_empty() {
        return Err(Failure::new(Class::Server, "the answer has no choices"));
    }
    let sources = citations::searched(answer.citations, answer.search_results);
    for choice in &mut choices {
        cite(&mut choice.message.parts, &sources);
    }
    let served = answer.service_tier.as_ref().map(Text::as_str);
    choices.sort_by_key(|choice| choice.index);
    Ok(Response {
        id: answer.id.map(Text::into_string).unwrap_or_default(),
        model: answer.model.map(Text::into_string).unwrap_or_default(),
        choices,
        usage: answer.usage.and_then(|raw| usage::read(raw, served)),
        usage_report: answer.usage.and_then(report),
        fingerprint: Text::filled(answer.system_fingerprint),
        details: chat::details([(FILTERED_PROMPT, answer.prompt_filter_results)]),
        warnings: Vec::new(),
    })
}

fn choice(choice: AnswerChoice<'_>) -> Result<Choice, Failure> {
    let finish_reason = match choice.finish_reason {
        Some(reason) => finish_reason(reason.as_str())?,
        // The body is whole, so the answer is; only the reason is missing.
        None => FinishReason::Other,
    };
    let message = match choice.message {
        Some(message) => message,
        // Azure may leave out the message that its filter withheld.
        None if finish_reason == FinishReason::ContentFilter => AnswerMessage::default(),
        None => {
            let detail = "a choice of the answer has no message";
            return Err(Failure::new(Class::Server, detail));
        }
    };
    Ok(Choice {
        index: choice.index,
        message: message_of(message)?,
        finish_reason,
        logprobs: choice.logprobs,
        stop_sequence: stop_sequence(choice.stop_reason),
        details: chat::details([
            (FILTERED, choice.content_filter_results),
            (STOP_REASON, token(choice.stop_reason)),
        ]),
    })
}

/// The stop sequence that a reason to stop is.
pub(super) fn stop_sequence(reason: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(reason?.get()).ok()
}

/// The reason to stop that is none: the number of a token.
pub(super) fn token(reason: Option<&RawValue>) -> Option<&RawValue> {
    reason.filter(|reason| serde_json::from_str::<u64>(reason.get()).is_ok())
}

/// Tells the sources of a whole answer, unless those of its passages were told.
fn cite(parts: &mut [Part], sources: &[Citation]) {
    if parts.iter().any(|it| matches!(it, Part::Cited { .. })) {
        return;
    }
    for source in sources {
        Part::cite(parts, source.clone());
    }
}

fn message_of(message: AnswerMessage<'_>) -> Result<Message, Failure> {
    let mut parts = Vec::new();
    let shown = Text::filled(message.reasoning_content.or(message.reasoning));
    let details = message.reasoning_details;
    let (told, opaque) =
        details.map_or_else(Default::default, |raw| details::whole(raw, shown.is_some()));
    let text = shown.unwrap_or(told);
    if !text.is_empty() || !opaque.is_empty() {
        parts.push(Part::Reasoning { text, opaque });
    }
    match message.content {
        Some(Content::Text(text)) => parts.extend(Text::filled(Some(text)).map(Part::Text)),
        Some(Content::Parts(list)) => {
            for mut part in list.0 {
                let references = part.reference_ids.take();
                parts.extend(content_part(part));
                let place = length(&parts);
                for citation in mistral::references(references, place) {
                    Part::cite(&mut parts, citation);
                }
            }
        }
        None => {}
    }
    let audio = message.audio.map(Told::read).transpose()?;
    parts.extend(audio.flatten().map(Part::Audio));
    parts.extend(Text::filled(message.refusal).map(Part::Refusal));
    if let Some(annotations) = message.annotations {
        for citation in citations::annotated(annotations, &Ruler::of(&parts)) {
            Part::cite(&mut parts, citation);
        }
    }
    for call in message.tool_calls.unwrap_or_default().0 {
        parts.push(Part::ToolCall(tool_call(call)?));
    }
    Ok(Message {
        role: Role::Assistant,
        parts,
        name: None,
    })
}

/// Bytes of the latest text.
fn length(parts: &[Part]) -> u32 {
    let mut texts = parts.iter().rev().filter_map(Part::as_text).map(str::len);
    texts
        .next()
        .map_or(0, |length| u32::try_from(length).unwrap_or(u32::MAX))
}

/// A part of content given as a list; nothing for an empty one and for what is neither text nor thoughts.
fn content_part(part: AnswerPart<'_>) -> Option<Part> {
    if let Some(text) = part.thought() {
        let opaque = part
            .signature
            .iter()
            .map(|signature| mistral::keep(signature.as_str()))
            .collect::<Vec<_>>();
        return (!text.is_empty() || !opaque.is_empty())
            .then_some(Part::Reasoning { text, opaque });
    }
    let text = part.text?.into_string();
    (!text.is_empty()).then_some(Part::Text(text))
}

fn tool_call(call: WholeCall<'_>) -> Result<ToolCall, Failure> {
    let (Some(id), Some(function)) = (call.id, call.function) else {
        return Err(Failure::new(
            Class::Server,
            "a tool call of the answer lacks its id or function",
        ));
    };
    let Some(name) = function.name else {
        return Err(Failure::new(
            Class::Server,
            "a tool call of the answer has no name",
        ));
    };
    Ok(ToolCall {
        id: id.into_string(),
        name: name.into_string(),
        arguments: function
            .arguments
            .map(Text::into_string)
            .unwrap_or_default(),
        opaque: call
            .extra_content
            .and_then(extra_content::read)
            .into_iter()
            .collect(),
    })
}

/// Reads a finish reason, also the words that imitators use for it.
///
/// # Errors
/// A `Failure` for `error`, by which routers end an answer that broke.
pub(super) fn finish_reason(reason: &str) -> Result<FinishReason, Failure> {
    Ok(match reason {
        "stop" | "eos" | "end_turn" | "stop_sequence" => FinishReason::Stop,
        "length" | "max_tokens" | "model_length" => FinishReason::Length,
        "tool_calls" | "function_call" | "tool_use" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        "refusal" => FinishReason::Refusal,
        "error" => {
            return Err(Failure::new(
                Class::Server,
                "the provider ended its answer with an error",
            ));
        }
        _ => FinishReason::Other,
    })
}

#[cfg(test)]
mod tests;
