//! Cohere's chat API, version 2, towards the provider: `encode`, `decode`, `StreamDecoder`, `classify`.
//!
//! Where the format and the canonical conversation do not meet one to one:
//!
//! | canonical | Cohere | why |
//! |---|---|---|
//! | developer messages | `system` | there is one rank of instructions |
//! | reasoning | `thinking` content, and the `tool_plan` that comes before tool calls | both are thoughts, not the answer. A plan carries the state `tool_plan`, so that it goes back as the plan it was |
//! | refusals of earlier turns | text | it is what the assistant said |
//! | `reasoning.effort` | `none` and `medium` only | thinking is off, on, or on with a budget; on without a budget is the usual amount |
//! | `tool_choice` of one tool | that tool alone, and `REQUIRED` | the format cannot name one |
//! | `strict` of a tool | `strict_tools` of the request | one switch for all: tools that differ are refused |
//! | text documents | in user messages text, in tool results a document | the one place for documents beside these is the request as a whole, which would move them out of their turn; `provider_options.documents` still can |
//! | log probabilities | one entry per piece of text | the sum over its tokens, which is the logarithm of the piece's probability |
//! | citations | those of text | a citation counts once for each of its sources; those of thoughts have no place |
//!
//! An answer names no model.

mod answer;
mod citations;
pub(crate) mod embeddings;
mod encode;
mod errors;
mod outgoing;
mod stream;
mod usage;
mod wire;

pub(crate) use answer::decode;
pub(crate) use encode::encode;
pub(crate) use errors::classify;
pub(crate) use stream::{StreamDecoder, stream_decoder};

/// The state on reasoning that was a tool plan: how many bytes at the end of its text the plan is, in decimal.
/// What stands before them is thinking.
const TOOL_PLAN: &str = "tool_plan";

/// What a citation of thoughts is called as state.
const CITATION: &str = "citation";
