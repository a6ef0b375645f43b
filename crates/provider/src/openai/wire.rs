//! The JSON that comes in, from providers and from callers, as borrowed as it can be.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::audio;
use crate::chat::Json;
pub(super) use crate::failure::ErrorObject;
use crate::wire::ListVisitor;
pub(super) use crate::wire::{List, Text};

/// What Azure's filter thinks of a prompt: a list, as several may be filtered apart.
pub(super) const FILTERED_PROMPT: &str = "prompt_filter_results";
/// What it thinks of a choice.
pub(super) const FILTERED: &str = "content_filter_results";
/// What ended a choice, as vLLM says it: a stop sequence, or the number of a token.
pub(super) const STOP_REASON: &str = "stop_reason";

/// The most parts one message may have.
pub(super) const MOST_PARTS: usize = 4096;
/// The most calls one message may have.
pub(super) const MOST_CALLS: usize = 1024;
/// The most choices one answer may have.
pub(super) const MOST_CHOICES: usize = 256;

/// Message content: one string, or a list of parts.
#[derive(Debug)]
pub(super) enum Content<'a, P> {
    Text(Text<'a>),
    Parts(List<P, MOST_PARTS>),
}

struct ContentVisitor<P>(PhantomData<P>);

impl<'de, P: Deserialize<'de>> Visitor<'de> for ContentVisitor<P> {
    type Value = Content<'de, P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of content parts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content::Text(Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content::Text(Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        ListVisitor(PhantomData).visit_seq(seq).map(Content::Parts)
    }
}

impl<'de: 'a, 'a, P: Deserialize<'de>> Deserialize<'de> for Content<'a, P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor(PhantomData))
    }
}

/// A content part of any type. One flat struct and not a tagged enum, because serde buffers tagged
/// enums, which copies the content and loses the path of an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentPart<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) text: Option<Text<'a>>,
    pub(super) refusal: Option<Text<'a>>,
    pub(super) image_url: Option<ImageUrl<'a>>,
    pub(super) input_audio: Option<InputAudio<'a>>,
    pub(super) file: Option<File<'a>>,
    pub(super) cache_control: Option<CacheControl<'a>>,
    /// Sent back by clients that echo an answer; it says nothing to a model.
    #[serde(default, rename = "annotations")]
    _annotations: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageUrl<'a> {
    #[serde(borrow)]
    pub(super) url: Text<'a>,
    pub(super) detail: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputAudio<'a> {
    #[serde(borrow)]
    pub(super) data: Text<'a>,
    pub(super) format: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File<'a> {
    #[serde(borrow)]
    pub(super) file_data: Option<Text<'a>>,
    pub(super) file_id: Option<Text<'a>>,
    pub(super) filename: Option<Text<'a>>,
    /// Not of the format: the media type of a stored file, and whose it is.
    pub(super) format: Option<Text<'a>>,
    pub(super) provider: Option<Text<'a>>,
}

/// Asks for the prompt to be cached up to there. Not of the format, but what gateways take in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheControl<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) ttl: Option<Text<'a>>,
}

/// A tool call in a message. `index` and anything else unknown is ignored: callers echo what
/// servers sent, with whatever each server adds.
#[derive(Debug, Deserialize)]
pub(super) struct WholeCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) function: Option<CalledFunction<'a>>,
    pub(super) extra_content: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CalledFunction<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    pub(crate) arguments: Option<Text<'a>>,
}

/// A whole answer, as a provider sends it.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) model: Option<Text<'a>>,
    pub(super) choices: Option<List<AnswerChoice<'a>, MOST_CHOICES>>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) service_tier: Option<Text<'a>>,
    pub(super) system_fingerprint: Option<Text<'a>>,
    /// What Azure's filter thinks of the prompt.
    pub(super) prompt_filter_results: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
    /// What the server has searched and read before it answered, as Perplexity and xAI tell it: addresses, or more.
    pub(super) citations: Option<&'a RawValue>,
    pub(super) search_results: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AnswerChoice<'a> {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(borrow)]
    pub(super) message: Option<AnswerMessage<'a>>,
    pub(super) finish_reason: Option<Text<'a>>,
    pub(super) logprobs: Option<Json>,
    /// What Azure's filter thinks of it.
    pub(super) content_filter_results: Option<&'a RawValue>,
    pub(super) stop_reason: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct AnswerMessage<'a> {
    #[serde(borrow)]
    pub(super) content: Option<AnswerContent<'a>>,
    pub(super) audio: Option<audio::Told<'a>>,
    pub(super) refusal: Option<Text<'a>>,
    pub(super) reasoning_content: Option<Text<'a>>,
    pub(super) reasoning: Option<Text<'a>>,
    pub(super) reasoning_details: Option<&'a RawValue>,
    pub(super) tool_calls: Option<List<WholeCall<'a>, MOST_CALLS>>,
    pub(super) annotations: Option<&'a RawValue>,
}

/// What an answer says: Mistral's reasoning models say it in parts.
pub(super) type AnswerContent<'a> = Content<'a, AnswerPart<'a>>;

/// A part of an answer's content: text, or thoughts, which are parts themselves.
#[derive(Debug, Deserialize)]
pub(super) struct AnswerPart<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) thinking: Option<List<ThoughtPart<'a>, MOST_PARTS>>,
    /// The sources of what was said before, by name: Mistral's `reference`.
    pub(super) reference_ids: Option<&'a RawValue>,
    pub(super) signature: Option<Text<'a>>,
}

impl AnswerPart<'_> {
    /// The text of the thoughts; nothing for a part of another kind.
    pub(super) fn thought(&self) -> Option<String> {
        let parts = self.thinking.as_ref()?.0.iter();
        Some(
            parts
                .filter_map(|part| part.text.as_ref())
                .map(Text::as_str)
                .collect(),
        )
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ThoughtPart<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
}

/// One event of a streamed answer.
#[derive(Debug, Deserialize)]
pub(super) struct AnswerChunk<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) model: Option<Text<'a>>,
    pub(super) object: Option<Text<'a>>,
    /// To be read as [`ChunkChoices`].
    pub(super) choices: Option<&'a RawValue>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) service_tier: Option<Text<'a>>,
    pub(super) system_fingerprint: Option<Text<'a>>,
    /// What Azure's filter thinks of the prompt.
    pub(super) prompt_filter_results: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
    /// What the server has searched and read before it answered, as Perplexity and xAI tell it: addresses, or more.
    pub(super) citations: Option<&'a RawValue>,
    pub(super) search_results: Option<&'a RawValue>,
}

/// What one event brings for each choice.
pub(super) type ChunkChoices<'a> = List<ChunkChoice<'a>, MOST_CHOICES>;

#[derive(Debug, Deserialize)]
pub(super) struct ChunkChoice<'a> {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(borrow)]
    pub(super) delta: Option<ChunkDelta<'a>>,
    pub(super) finish_reason: Option<Text<'a>>,
    pub(super) logprobs: Option<Json>,
    /// What Azure's filter thinks of it so far.
    pub(super) content_filter_results: Option<&'a RawValue>,
    pub(super) stop_reason: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChunkDelta<'a> {
    #[serde(borrow)]
    pub(super) content: Option<AnswerContent<'a>>,
    pub(super) audio: Option<audio::Told<'a>>,
    pub(super) refusal: Option<Text<'a>>,
    pub(super) reasoning_content: Option<Text<'a>>,
    pub(super) reasoning: Option<Text<'a>>,
    pub(super) reasoning_details: Option<&'a RawValue>,
    pub(super) tool_calls: Option<List<CallFragment<'a>, MOST_CALLS>>,
    pub(super) annotations: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CallFragment<'a> {
    pub(crate) index: Option<u32>,
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    pub(crate) function: Option<CalledFunction<'a>>,
    pub(crate) extra_content: Option<&'a RawValue>,
}
