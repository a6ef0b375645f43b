//! The shape of a request body.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::object::{self, Fields};
use crate::chat::Json;
use crate::openai::wire::{CacheControl, Content, ContentPart, List, MOST_CALLS, Text, WholeCall};

/// The most messages one request may have.
pub(super) const MOST_MESSAGES: usize = 16_384;
/// The most tools one request may offer.
const MOST_TOOLS: usize = 1024;
/// More kinds of output than there are.
const MOST_MODALITIES: usize = 16;

/// A body, field by field. `rest` holds every field that is not known here.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) model: Option<Text<'a>>,
    pub(super) messages: Option<List<WireMessage<'a>, MOST_MESSAGES>>,
    pub(super) max_tokens: Option<u32>,
    pub(super) max_completion_tokens: Option<u32>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u32>,
    pub(super) stop: Option<&'a RawValue>,
    pub(super) seed: Option<i64>,
    pub(super) n: Option<u32>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) logit_bias: Option<BTreeMap<String, f64>>,
    pub(super) logprobs: Option<bool>,
    pub(super) top_logprobs: Option<u32>,
    pub(super) tools: Option<List<WireTool<'a>, MOST_TOOLS>>,
    pub(super) tool_choice: Option<&'a RawValue>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) response_format: Option<&'a RawValue>,
    pub(super) reasoning_effort: Option<Text<'a>>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    pub(super) user: Option<Text<'a>>,
    pub(super) service_tier: Option<Text<'a>>,
    pub(super) modalities: Option<List<Text<'a>, MOST_MODALITIES>>,
    pub(super) audio: Option<WireAudio<'a>>,
    pub(super) prompt_cache_key: Option<Text<'a>>,
    pub(super) prompt_cache_retention: Option<Text<'a>>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
    /// Padding against traffic analysis; the gateway adds none.
    #[serde(rename = "include_obfuscation")]
    _include_obfuscation: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireMessage<'a> {
    #[serde(borrow)]
    pub(super) role: Text<'a>,
    pub(super) content: Option<Content<'a, ContentPart<'a>>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) refusal: Option<Text<'a>>,
    pub(super) reasoning_content: Option<Text<'a>>,
    pub(super) reasoning: Option<Text<'a>>,
    pub(super) reasoning_details: Option<&'a RawValue>,
    pub(super) citations: Option<&'a RawValue>,
    pub(super) tool_calls: Option<List<WholeCall<'a>, MOST_CALLS>>,
    pub(super) tool_call_id: Option<Text<'a>>,
    /// Sound of an earlier answer.
    pub(super) audio: Option<Spoken<'a>>,
    pub(super) cache_control: Option<CacheControl<'a>>,
    /// The old form of calls; `null` when an answer is echoed.
    pub(super) function_call: Option<IgnoredAny>,
    /// Part of an echoed answer; it says nothing to a model.
    #[serde(default, rename = "annotations")]
    _annotations: Option<IgnoredAny>,
}

/// What is wanted of sound in the answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireAudio<'a> {
    #[serde(borrow)]
    pub(super) voice: Text<'a>,
    pub(super) format: Option<Text<'a>>,
}

/// Sound of an earlier answer: what it is known by, or as it came, of which its bytes are left to those who keep it.
#[derive(Debug, Deserialize)]
pub(super) struct Spoken<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) transcript: Option<Text<'a>>,
}

/// A tool. `rest` holds the settings of one that a provider runs.
#[derive(Debug, Default)]
pub(super) struct WireTool<'a> {
    pub(super) kind: Option<Text<'a>>,
    pub(super) function: Option<WireFunction<'a>>,
    pub(super) cache_control: Option<CacheControl<'a>>,
    pub(super) rest: Map<String, Value>,
}

impl<'de: 'a, 'a> Deserialize<'de> for WireTool<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object::fields(deserializer)
    }
}

impl<'de> Fields<'de> for WireTool<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "type" => self.kind = map.next_value()?,
            "function" => self.function = map.next_value()?,
            "cache_control" => self.cache_control = map.next_value()?,
            other => object::keep(other, map, &mut self.rest)?,
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireFunction<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    pub(super) description: Option<Text<'a>>,
    pub(super) parameters: Option<Json>,
    pub(super) strict: Option<bool>,
    pub(super) cache_control: Option<CacheControl<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object::fields(deserializer)
    }
}

impl<'de> Fields<'de> for Body<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "model" => self.model = map.next_value()?,
            "messages" => self.messages = map.next_value()?,
            "max_tokens" => self.max_tokens = map.next_value()?,
            "max_completion_tokens" => self.max_completion_tokens = map.next_value()?,
            "temperature" => self.temperature = map.next_value()?,
            "top_p" => self.top_p = map.next_value()?,
            "top_k" => self.top_k = map.next_value()?,
            "stop" => self.stop = map.next_value()?,
            "seed" => self.seed = map.next_value()?,
            "n" => self.n = map.next_value()?,
            "frequency_penalty" => self.frequency_penalty = map.next_value()?,
            "presence_penalty" => self.presence_penalty = map.next_value()?,
            "logit_bias" => self.logit_bias = map.next_value()?,
            "logprobs" => self.logprobs = map.next_value()?,
            "top_logprobs" => self.top_logprobs = map.next_value()?,
            "tools" => self.tools = map.next_value()?,
            "tool_choice" => self.tool_choice = map.next_value()?,
            "parallel_tool_calls" => self.parallel_tool_calls = map.next_value()?,
            "response_format" => self.response_format = map.next_value()?,
            "reasoning_effort" => self.reasoning_effort = map.next_value()?,
            "metadata" => self.metadata = map.next_value()?,
            "user" => self.user = map.next_value()?,
            "service_tier" => self.service_tier = map.next_value()?,
            "modalities" => self.modalities = map.next_value()?,
            "audio" => self.audio = map.next_value()?,
            "prompt_cache_key" => self.prompt_cache_key = map.next_value()?,
            "prompt_cache_retention" => self.prompt_cache_retention = map.next_value()?,
            "stream" => self.stream = map.next_value()?,
            "stream_options" => self.stream_options = map.next_value()?,
            other => object::keep(other, map, &mut self.rest)?,
        }
        Ok(())
    }
}
