//! How many tokens an answer comes to, where the provider does not say.

use tollgate_provider::chat::{Chunk, Delta, Part};
use tollgate_provider::tokens;

pub(super) fn count(part: &Part) -> u64 {
    match part {
        Part::Text(text)
        | Part::Cited { text, .. }
        | Part::Refusal(text)
        | Part::Reasoning { text, .. } => tokens::count_text(text),
        Part::ToolCall(call) => {
            tokens::count_text(&call.name) + tokens::count_text(&call.arguments)
        }
        Part::Image(_) | Part::Audio { .. } | Part::Document(_) | Part::ToolResult { .. } => 0,
    }
}

/// Tokens of a piece of a stream.
pub(crate) fn count_chunk(chunk: &Chunk) -> u64 {
    match chunk {
        Chunk::Delta { delta, .. } => count_delta(delta),
        Chunk::Start { .. }
        | Chunk::Warning(_)
        | Chunk::Finish { .. }
        | Chunk::UsageReport(_)
        | Chunk::Usage(_) => 0,
    }
}

fn count_delta(delta: &Delta) -> u64 {
    match delta {
        Delta::Text(text) | Delta::Refusal(text) | Delta::Reasoning(text) => {
            tokens::count_text(text)
        }
        Delta::ToolCall { name, .. } => tokens::count_text(name),
        Delta::ToolArguments { fragment, .. } => tokens::count_text(fragment),
        Delta::ReasoningState(_)
        | Delta::ToolState { .. }
        | Delta::Citation(_)
        | Delta::Logprobs(_) => 0,
    }
}
