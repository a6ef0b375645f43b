//! The JSON that comes in, as borrowed as it can be.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
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
    pub(super) safety_ratings: Option<&'a RawValue>,
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
    inline_data: Option<&'a RawValue>,
    file_data: Option<&'a RawValue>,
    executable_code: Option<&'a RawValue>,
    code_execution_result: Option<&'a RawValue>,
    tool_call: Option<&'a RawValue>,
    tool_response: Option<&'a RawValue>,
}

/// Bytes of a media type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    #[serde(borrow)]
    pub(super) mime_type: Text<'a>,
    /// In base64.
    pub(super) data: Text<'a>,
}

/// A part as it came, of a kind that the canonical conversation has no place for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Foreign<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable_code: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_execution_result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_response: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

impl Part<'_> {
    /// The sound that it is, if it is some.
    pub(super) fn sound(&self) -> Option<Blob<'_>> {
        let blob: Blob<'_> = serde_json::from_str(self.inline_data?.get()).ok()?;
        blob.mime_type
            .as_str()
            .starts_with("audio/")
            .then_some(blob)
    }

    /// The part as JSON, where it is of a kind that the canonical conversation has no place for: what tools of the
    /// provider's own did and found.
    pub(super) fn foreign(&self) -> Option<String> {
        let signature = self.thought_signature.as_ref();
        let foreign = Foreign {
            inline_data: self.inline_data,
            file_data: self.file_data,
            executable_code: self.executable_code,
            code_execution_result: self.code_execution_result,
            tool_call: self.tool_call,
            tool_response: self.tool_response,
            thought: self.thought.then_some(true),
            thought_signature: signature.map(Text::as_str),
        };
        let kinds = [
            foreign.inline_data,
            foreign.file_data,
            foreign.executable_code,
            foreign.code_execution_result,
            foreign.tool_call,
            foreign.tool_response,
        ];
        let is_foreign = kinds.iter().any(Option::is_some);
        is_foreign.then(|| serde_json::to_string(&foreign).ok())?
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
