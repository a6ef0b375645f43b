//! The JSON that comes in.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::usage::ServiceTier;
use crate::chat::MOST_CITATIONS;
use crate::wire::{List, Text};

/// The most blocks one answer may have.
pub(super) const MOST_BLOCKS: usize = 4096;

/// A whole answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) output: Option<Output<'a>>,
    pub(super) stop_reason: Option<Text<'a>>,
    /// Fields of the model's own answer, those that were asked for.
    pub(super) additional_model_response_fields: Option<&'a RawValue>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) service_tier: Option<ServiceTier<'a>>,
    pub(super) trace: Option<&'a RawValue>,
}

/// What the fields of the model's own answer are called.
pub(super) const ADDITIONAL: &str = "additionalModelResponseFields";
/// What guardrails and prompt routers did, where that was asked for.
pub(super) const TRACE: &str = "trace";

/// The one of them that says at which text the model stopped; Claude has it.
#[derive(Debug, Deserialize)]
struct Additional<'a> {
    #[serde(borrow)]
    stop_sequence: Option<Text<'a>>,
}

/// The text that the model met and stopped at, where it is among the fields of its own answer.
pub(super) fn stop_sequence(additional: Option<&RawValue>) -> Option<String> {
    let read: Additional<'_> = serde_json::from_str(additional?.get()).ok()?;
    Text::filled(read.stop_sequence)
}

#[derive(Debug, Deserialize)]
pub(super) struct Output<'a> {
    #[serde(borrow)]
    pub(super) message: Option<Message<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) content: Option<List<&'a RawValue, MOST_BLOCKS>>,
}

/// A block, or what is added to one: one of these.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Block<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) tool_use: Option<ToolUse<'a>>,
    /// What a tool of the provider's own found: an object in a block, a list of its content in a stream.
    pub(super) tool_result: Option<&'a RawValue>,
    pub(super) reasoning_content: Option<Reasoning<'a>>,
    /// In a block.
    pub(super) citations_content: Option<Citations<'a>>,
    /// In a stream.
    pub(super) citation: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUse<'a> {
    #[serde(borrow)]
    pub(super) tool_use_id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    /// An object in a block, a piece of its text in a stream.
    pub(super) input: Option<&'a RawValue>,
    /// Set for tools that the provider runs.
    pub(super) r#type: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reasoning<'a> {
    /// In a block.
    #[serde(borrow)]
    pub(super) reasoning_text: Option<ReasoningText<'a>>,
    /// In a stream.
    pub(super) text: Option<Text<'a>>,
    /// In a stream.
    pub(super) signature: Option<Text<'a>>,
    /// In base64.
    pub(super) redacted_content: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReasoningText<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) signature: Option<Text<'a>>,
}

/// A text with its sources.
#[derive(Debug, Deserialize)]
pub(super) struct Citations<'a> {
    #[serde(borrow)]
    pub(super) content: Option<List<CitedText<'a>, MOST_BLOCKS>>,
    pub(super) citations: Option<List<&'a RawValue, MOST_CITATIONS>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CitedText<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
}

/// The payload of an event of any type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a> {
    pub(super) content_block_index: Option<u32>,
    /// To be read as a [`Block`].
    #[serde(borrow)]
    pub(super) start: Option<&'a RawValue>,
    pub(super) delta: Option<Block<'a>>,
    pub(super) stop_reason: Option<Text<'a>>,
    pub(super) additional_model_response_fields: Option<&'a RawValue>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) service_tier: Option<ServiceTier<'a>>,
    pub(super) trace: Option<&'a RawValue>,
}
