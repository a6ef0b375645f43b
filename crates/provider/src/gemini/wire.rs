//! The JSON that comes in, as borrowed as it can be.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::wire::{List, Text};

/// The most parts one event or answer may have.
pub(super) const MOST_PARTS: usize = 4096;
/// The most candidates one answer may have.
pub(super) const MOST_CANDIDATES: usize = 256;

/// A whole answer, and just as well one event of a streamed one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) candidates: Option<List<Candidate<'a>, MOST_CANDIDATES>>,
    pub(super) prompt_feedback: Option<Feedback<'a>>,
    pub(super) usage_metadata: Option<&'a RawValue>,
    pub(super) model_version: Option<Text<'a>>,
    pub(super) response_id: Option<Text<'a>>,
    pub(super) error: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedback<'a> {
    #[serde(borrow)]
    pub(super) block_reason: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    pub(super) finish_reason: Option<Text<'a>>,
    pub(super) logprobs_result: Option<&'a RawValue>,
    pub(super) grounding_metadata: Option<&'a RawValue>,
    pub(super) citation_metadata: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<List<Part<'a>, MOST_PARTS>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(default)]
    pub(super) thought: bool,
    pub(super) thought_signature: Option<Text<'a>>,
    pub(super) function_call: Option<FunctionCall<'a>>,
    inline_data: Option<IgnoredAny>,
    file_data: Option<IgnoredAny>,
    executable_code: Option<IgnoredAny>,
    code_execution_result: Option<IgnoredAny>,
    tool_call: Option<IgnoredAny>,
    tool_response: Option<IgnoredAny>,
}

impl Part<'_> {
    /// The name of something in it that the canonical conversation has no place for. The gateway
    /// asks for none of it.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        [
            (&self.inline_data, "inlineData"),
            (&self.file_data, "fileData"),
            (&self.executable_code, "executableCode"),
            (&self.code_execution_result, "codeExecutionResult"),
            (&self.tool_call, "toolCall"),
            (&self.tool_response, "toolResponse"),
        ]
        .into_iter()
        .find_map(|(field, name)| field.as_ref().map(|_| name))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) args: Option<&'a RawValue>,
    /// Whether the arguments come in pieces, which only happens when asked for.
    pub(super) partial_args: Option<IgnoredAny>,
}
