//! The JSON that comes in.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{List, Text};

/// The most items one answer may have.
pub(super) const MOST_ITEMS: usize = 4096;
/// The most parts one item may have.
pub(super) const MOST_PARTS: usize = 4096;

/// A whole answer, or as much of it as a stream begins with.
#[derive(Debug, Deserialize)]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) model: Option<Text<'a>>,
    pub(super) status: Option<Text<'a>>,
    pub(super) error: Option<&'a RawValue>,
    pub(super) incomplete_details: Option<IncompleteDetails<'a>>,
    pub(super) output: Option<List<&'a RawValue, MOST_ITEMS>>,
    pub(super) usage: Option<&'a RawValue>,
    /// To be read as [`ToolUsage`].
    pub(super) tool_usage: Option<&'a RawValue>,
    pub(super) service_tier: Option<Text<'a>>,
}

/// Why an answer is not complete.
#[derive(Debug, Deserialize)]
pub(super) struct IncompleteDetails<'a> {
    #[serde(borrow)]
    pub(super) reason: Option<Text<'a>>,
}

/// What tools that the provider runs were used for.
#[derive(Debug, Deserialize)]
pub(super) struct ToolUsage {
    pub(super) web_search: Option<WebSearchUsage>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WebSearchUsage {
    pub(super) num_requests: Option<f64>,
}

/// What a search did: some only open a page that was found.
#[derive(Debug, Deserialize)]
pub(super) struct SearchItem<'a> {
    #[serde(borrow)]
    pub(super) action: Option<Typed<'a>>,
}

/// What an item is.
#[derive(Debug, Deserialize)]
pub(super) struct Typed<'a> {
    #[serde(borrow)]
    pub(super) r#type: Text<'a>,
}

/// What is said.
#[derive(Debug, Deserialize)]
pub(super) struct MessageItem<'a> {
    #[serde(borrow)]
    pub(super) content: Option<List<ContentPart<'a>, MOST_PARTS>>,
    pub(super) phase: Option<Text<'a>>,
}

/// A part of what is said: text or a refusal.
#[derive(Debug, Deserialize)]
pub(super) struct ContentPart<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) refusal: Option<Text<'a>>,
    pub(super) annotations: Option<&'a RawValue>,
    pub(super) logprobs: Option<&'a RawValue>,
}

/// A call of a function.
#[derive(Debug, Deserialize)]
pub(super) struct CallItem<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) call_id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) arguments: Option<Text<'a>>,
}

/// A thought.
#[derive(Debug, Deserialize)]
pub(super) struct ReasoningItem<'a> {
    #[serde(borrow)]
    pub(super) summary: Option<List<ThoughtPart<'a>, MOST_PARTS>>,
    pub(super) content: Option<List<ThoughtPart<'a>, MOST_PARTS>>,
    pub(super) encrypted_content: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ThoughtPart<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
}

impl ReasoningItem<'_> {
    /// Whether all of the thought is there, encrypted or not. Any other is no more than a name, by which the provider
    /// would have to look it up.
    pub(super) fn is_whole(&self) -> bool {
        let encrypted = self.encrypted_content.as_ref().map_or("", Text::as_str);
        !encrypted.is_empty() || self.content.as_ref().is_some_and(|it| !it.0.is_empty())
    }
}

/// An event of a stream, of any type that means something here.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) r#type: Text<'a>,
    pub(super) response: Option<&'a RawValue>,
    pub(super) item: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) output_index: u32,
    #[serde(default)]
    pub(super) content_index: u32,
    #[serde(default)]
    pub(super) summary_index: u32,
    pub(super) delta: Option<Text<'a>>,
    pub(super) logprobs: Option<&'a RawValue>,
}
