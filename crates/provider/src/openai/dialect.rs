//! Where servers that imitate `OpenAI` differ from it.

use crate::chat::Role;
use crate::codec::Kind;

/// The differences, all of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// The kind's name, for messages.
    pub(super) name: &'static str,
    /// Which field limits the output.
    pub(super) limit: LimitField,
    /// What developer messages are sent as.
    pub(super) developer: Role,
    /// Whether the reasoning of a turn that called tools goes back as `reasoning_content`.
    pub(super) returns_reasoning: bool,
    /// Whether `top_k` is known.
    pub(super) top_k: bool,
}

/// Which field limits the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitField {
    MaxTokens,
    MaxCompletionTokens,
}

/// | | `openai` | `openai_compatible` | why |
/// |---|---|---|---|
/// | output limit | `max_completion_tokens` | `max_tokens` | `OpenAI`'s reasoning models refuse the old name, most imitators know only that |
/// | developer messages | `developer` | `system` | the newer role is unknown to most chat templates |
/// | reasoning of earlier turns | left out | `reasoning_content` beside tool calls, else left out | `OpenAI` has no field for it and keeps it on its side; `DeepSeek` and Moonshot demand it back while tools are being called and ignore or refuse it otherwise |
/// | `top_k` | refused | sent | `OpenAI` refuses the field, most imitators have it |
pub(super) fn of(kind: Kind) -> Dialect {
    match kind {
        Kind::OpenAi => Dialect {
            name: kind.as_str(),
            limit: LimitField::MaxCompletionTokens,
            developer: Role::Developer,
            returns_reasoning: false,
            top_k: false,
        },
        // Whatever else is given this format is an imitator.
        Kind::OpenAiCompatible | Kind::Anthropic | Kind::Bedrock => Dialect {
            name: kind.as_str(),
            limit: LimitField::MaxTokens,
            developer: Role::System,
            returns_reasoning: true,
            top_k: true,
        },
    }
}
