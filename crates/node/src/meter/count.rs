//! How many tokens an answer comes to, where the provider does not say.

use tollgate_provider::chat::{Audio, Chunk, Delta, Part};
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
        Part::Audio(audio) => spoken(audio),
        Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } => 0,
    }
}

/// Providers count the words of what is spoken as text, and the sound by its length.
fn spoken(audio: &Audio) -> u64 {
    // Sound in an answer is in the format that was asked for, which is not told with it; streams have raw sound only.
    let format = Some(&audio.format).filter(|format| !format.is_empty());
    let sound = Audio {
        data: audio.data.clone(),
        format: format.map_or_else(|| "pcm16".to_owned(), Clone::clone),
        ..Audio::default()
    };
    tokens::count_text(&audio.transcript) + tokens::of_sound(&sound)
}

/// Tokens of a piece of a stream.
pub(crate) fn count_chunk(chunk: &Chunk) -> u64 {
    match chunk {
        Chunk::Delta { delta, .. } => count_delta(delta),
        Chunk::Start { .. }
        | Chunk::Warning(_)
        | Chunk::Aside(_)
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
        Delta::Audio(more) => spoken(more),
        Delta::ReasoningState(_)
        | Delta::ToolState { .. }
        | Delta::Citation(_)
        | Delta::Logprobs(_) => 0,
    }
}
