//! Decoding a whole answer.

use super::errors;
use super::usage;
use super::wire::{Answer, AnswerChoice, AnswerMessage, Content, ErrorObject, WholeCall};
use crate::chat::{Choice, FinishReason, Message, Part, Response, Role, ToolCall};
use crate::failure::{Class, Failure};

/// Decodes the body of a 200 that was not streamed.
pub(crate) fn decode(body: &[u8]) -> Result<Response, Failure> {
    // Where it is wrong is told, but not how: the parser's words may quote the answer.
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let detail =
            format!("the answer is not a chat completion, see line {line} column {column}");
        Failure::new(Class::Server, detail)
    })?;
    if let Some(raw) = answer.error {
        return Err(errors::of_object(
            &ErrorObject::read(raw.get().as_bytes()),
            None,
        ));
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
    choices.sort_by_key(|choice| choice.index);
    Ok(Response {
        id: answer
            .id
            .map(super::wire::Text::into_string)
            .unwrap_or_default(),
        model: answer
            .model
            .map(super::wire::Text::into_string)
            .unwrap_or_default(),
        choices,
        usage: answer.usage.and_then(usage::read),
        warnings: Vec::new(),
    })
}

fn choice(choice: AnswerChoice<'_>) -> Result<Choice, Failure> {
    let message = choice
        .message
        .ok_or_else(|| Failure::new(Class::Server, "a choice of the answer has no message"))?;
    let finish_reason = match choice.finish_reason {
        Some(reason) => finish_reason(reason.as_str())?,
        // The body is whole, so the answer is; only the reason is missing.
        None => FinishReason::Other,
    };
    Ok(Choice {
        index: choice.index,
        message: message_of(message)?,
        finish_reason,
        logprobs: choice.logprobs,
    })
}

fn message_of(message: AnswerMessage<'_>) -> Result<Message, Failure> {
    let mut parts = Vec::new();
    let mut add = |text: String, part: fn(String) -> Part| {
        if !text.is_empty() {
            parts.push(part(text));
        }
    };
    if let Some(text) = message.reasoning_content.or(message.reasoning) {
        add(text.into_string(), |text| Part::Reasoning {
            text,
            opaque: Vec::new(),
        });
    }
    match message.content {
        Some(Content::Text(text)) => add(text.into_string(), Part::Text),
        Some(Content::Parts(list)) => {
            for text in list.0.into_iter().filter_map(|part| part.text) {
                add(text.into_string(), Part::Text);
            }
        }
        None => {}
    }
    if let Some(text) = message.refusal {
        add(text.into_string(), Part::Refusal);
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
            .map(super::wire::Text::into_string)
            .unwrap_or_default(),
        opaque: Vec::new(),
    })
}

/// Reads a finish reason, also the words that imitators use for it.
///
/// # Errors
/// A `Failure` for `error`, by which routers end an answer that broke.
pub(super) fn finish_reason(reason: &str) -> Result<FinishReason, Failure> {
    Ok(match reason {
        "stop" | "eos" | "end_turn" | "stop_sequence" => FinishReason::Stop,
        "length" | "max_tokens" => FinishReason::Length,
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
