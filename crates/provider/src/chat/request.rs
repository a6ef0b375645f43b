//! A request for a completion.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Json, Message};
use crate::codec::Kind;

/// The deepest nesting accepted in any JSON document a caller hands in: schemas, provider options.
pub const MAX_JSON_DEPTH: usize = 64;

/// A request for a completion, free of any provider's spelling.
///
/// `None` means "the provider's default"; no field is filled in on the caller's behalf.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The model the caller named. The upstream model is the codec's target, not this.
    pub model: String,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// The most tokens one choice may have, reasoning included.
    pub max_output_tokens: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling mass.
    pub top_p: Option<f64>,
    /// Only the most likely so many tokens.
    pub top_k: Option<u32>,
    /// Texts that end the output.
    pub stop: Vec<String>,
    /// Asks for repeatable sampling.
    pub seed: Option<i64>,
    /// How many answers to produce; see `choice_count`.
    pub choices: Option<u32>,
    /// Penalty on tokens by how often they occurred.
    pub frequency_penalty: Option<f64>,
    /// Penalty on tokens that occurred at all.
    pub presence_penalty: Option<f64>,
    /// Bias by token id (as text, in the target model's own numbering).
    pub logit_bias: BTreeMap<String, f64>,
    /// Whether to return log probabilities.
    pub logprobs: Option<bool>,
    /// How many alternatives to return per token.
    pub top_logprobs: Option<u32>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Whether and which tool must be called.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may be asked for at once.
    pub parallel_tool_calls: Option<bool>,
    /// The shape of the answer.
    pub response_format: Option<ResponseFormat>,
    /// How much to think.
    pub reasoning: Option<Reasoning>,
    /// What the answer is to consist of; empty for text.
    pub modalities: Vec<Modality>,
    /// How an answer in sound is to be.
    pub audio: Option<AudioOutput>,
    /// Processing class at the provider, such as `flex` or `priority`, by the provider's name for it.
    pub service_tier: Option<String>,
    /// Where the caller asks for the prompt up to there to be cached, in the order of the prompt: tools first.
    /// A wish: a provider that caches by itself, or not at all, need not be told.
    pub cache_points: Vec<CachePoint>,
    /// What else the provider's cache is told. A wish likewise.
    pub prompt_cache: PromptCache,
    /// The caller's labels, for routing and accounting in the gateway.
    pub metadata: BTreeMap<String, String>,
    /// Fields passed to the provider as they are. They can never replace a field above. An object under
    /// the name of a kind of provider holds such fields for that kind alone.
    pub provider_options: serde_json::Map<String, serde_json::Value>,
    /// The caller's own name for its end user.
    pub user: Option<String>,
}

impl Request {
    /// How many answers are asked for; at least one.
    #[must_use]
    pub fn choice_count(&self) -> u32 {
        self.choices.unwrap_or(1).max(1)
    }

    /// The tools that a kind of provider is told of, each with its index: all but those that are for other kinds.
    pub(crate) fn tools_for(&self, kind: Kind) -> impl Iterator<Item = (usize, &Tool)> {
        let is_told = move |tool: &Tool| match tool {
            Tool::Function(_) => true,
            Tool::Provider(tool) => tool
                .provider
                .as_deref()
                .is_none_or(|it| it == kind.as_str()),
        };
        let tools = self.tools.iter().enumerate();
        tools.filter(move |(_, tool)| is_told(tool))
    }

    /// The wish to cache the prompt up to that place, if there is one.
    #[must_use]
    pub fn cache_point(&self, after: CachePlace) -> Option<&CachePoint> {
        let at = self
            .cache_points
            .binary_search_by_key(&after, |point| point.after);
        at.ok().and_then(|at| self.cache_points.get(at))
    }

    /// The numbers and lists that no provider takes, each by the name of its field and with what it must be.
    /// Every edge asks this, so that a request is judged alike whichever way it came in.
    #[must_use]
    pub fn out_of_range(&self) -> Vec<(String, &'static str)> {
        let within = |value: Option<f64>, low: f64, high: f64| {
            value.is_none_or(|value| (low..=high).contains(&value))
        };
        let stops_hold_text = self.stop.iter().all(|stop| !stop.is_empty());
        let checks = [
            (
                self.max_output_tokens != Some(0),
                "max_output_tokens",
                "must be at least 1",
            ),
            (
                within(self.temperature, 0.0, 2.0),
                "temperature",
                "must be from 0 to 2",
            ),
            (within(self.top_p, 0.0, 1.0), "top_p", "must be from 0 to 1"),
            (self.top_k != Some(0), "top_k", "must be at least 1"),
            (
                within(self.frequency_penalty, -2.0, 2.0),
                "frequency_penalty",
                "must be from -2 to 2",
            ),
            (
                within(self.presence_penalty, -2.0, 2.0),
                "presence_penalty",
                "must be from -2 to 2",
            ),
            (
                self.choices.is_none_or(|n| (1..=MOST_CHOICES).contains(&n)),
                "choice_count",
                "must be from 1 to 128",
            ),
            (
                self.stop.len() <= MOST_STOPS,
                "stop",
                "must hold at most 16 texts",
            ),
            (stops_hold_text, "stop", "must hold no empty text"),
            (
                self.top_logprobs.is_none_or(|top| top <= 20),
                "top_logprobs",
                "must be from 0 to 20",
            ),
        ];
        let failed = checks.into_iter().filter(|(fine, ..)| !fine);
        let biased = self
            .logit_bias
            .iter()
            .filter(|(_, bias)| !(-100.0..=100.0).contains(*bias));
        failed
            .map(|(_, field, problem)| (field.to_owned(), problem))
            .chain(
                biased
                    .map(|(token, _)| (format!("logit_bias[{token}]"), "must be from -100 to 100")),
            )
            .collect()
    }
}

/// Most answers to one request.
const MOST_CHOICES: u32 = 128;
/// Most texts that end an answer.
const MOST_STOPS: usize = 16;

/// Where a prompt is to be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePoint {
    /// The last piece that belongs to what is cached.
    pub after: CachePlace,
    /// For how long; none for the provider's default.
    pub time_to_live: Option<Duration>,
}

/// A place in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CachePlace {
    /// The tool of that index.
    Tool(usize),
    /// A part of a message.
    Part {
        /// Index of the message.
        message: usize,
        /// Index of the part in it.
        part: usize,
    },
}

/// What a provider's cache of prompts is told of a request, where it can be told something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PromptCache {
    /// Requests of one key are likely to share a beginning.
    pub key: Option<String>,
    /// How long to keep it, by the provider's name for it, such as `24h`.
    pub retention: Option<String>,
}

/// A kind of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modality {
    /// Text.
    Text,
    /// Sound.
    Audio,
}

impl Modality {
    /// The lower-case name used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Audio => "audio",
        }
    }

    /// The modality of that name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Text, Self::Audio]
            .into_iter()
            .find(|modality| modality.as_str() == name)
    }
}

/// How an answer in sound is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioOutput {
    /// The provider's name of the voice.
    pub voice: String,
    /// The encoding by the provider's name for it, such as `wav`; none for the only one that it has.
    pub format: Option<String>,
}

/// A tool the model may call.
#[derive(Debug, Clone, PartialEq)]
pub enum Tool {
    /// A function of the caller's.
    Function(Function),
    /// A tool that the provider runs itself.
    Provider(ProviderTool),
}

impl Tool {
    /// The function's name, or the type of a tool that the provider runs.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Function(function) => &function.name,
            Self::Provider(tool) => &tool.kind,
        }
    }

    /// The caller's function, where it is one.
    #[must_use]
    pub fn function(&self) -> Option<&Function> {
        match self {
            Self::Function(function) => Some(function),
            Self::Provider(_) => None,
        }
    }
}

impl From<Function> for Tool {
    fn from(function: Function) -> Self {
        Self::Function(function)
    }
}

/// A tool that a provider runs itself, such as a web search, in that provider's own words.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderTool {
    /// Its type there, such as `web_search_20250305` or `googleSearch`.
    pub kind: String,
    /// Its settings there.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// The kind of provider that it is for; others are not told of it. None: it is for whoever gets the request.
    pub provider: Option<String>,
}

/// A function the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// The function's name.
    pub name: String,
    /// What it does, for the model to read.
    pub description: Option<String>,
    /// The JSON schema of its arguments; none means no arguments.
    pub parameters: Option<Json>,
    /// Whether the arguments must follow the schema exactly.
    pub strict: Option<bool>,
}

/// Whether and which tool must be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// No tool.
    None,
    /// Some tool.
    Required,
    /// The tool of this name.
    Tool(String),
}

/// The shape of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseFormat {
    /// Free text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema(JsonSchema),
}

/// The schema an answer must follow.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonSchema {
    /// A name for the schema.
    pub name: String,
    /// What the answer is for, for the model to read.
    pub description: Option<String>,
    /// The JSON schema.
    pub schema: Option<Json>,
    /// Whether the answer must follow the schema exactly.
    pub strict: Option<bool>,
}

/// How much to think. Providers take either an effort or a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reasoning {
    /// The effort by name.
    pub effort: Option<Effort>,
    /// The most tokens to think, part of `max_output_tokens`.
    pub budget_tokens: Option<u32>,
    /// Whether to show the thoughts, where the provider can.
    pub include_text: Option<bool>,
}

/// An effort by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// No thinking.
    None,
    /// As little as possible.
    Minimal,
    /// Little.
    Low,
    /// The usual amount.
    Medium,
    /// Much.
    High,
    /// More than much.
    XHigh,
    /// As much as the model can.
    Max,
}

impl Effort {
    /// Every effort, from least to most.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Minimal,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::XHigh,
        Self::Max,
    ];

    /// The name used on the wire and in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The effort of that name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.as_str() == name)
    }
}
