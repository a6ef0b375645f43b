//! Answers, whole and streamed.

use super::{Aside, Audio, Citation, Details, Json, Message, Opaque};

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The provider's id of the answer.
    pub id: String,
    /// The model that answered, by the provider's name.
    pub model: String,
    /// The answers, by ascending `index`.
    pub choices: Vec<Choice>,
    /// What the provider says it counted; none where it said nothing believable.
    pub usage: Option<Usage>,
    /// The object by which the provider told what it counted, in its own words; none where it told none, or one that
    /// is larger than any honest one.
    pub usage_report: Option<Json>,
    /// Which configuration of the model and its servers answered, by the provider's name for it. Where it is another,
    /// the same seed may bring another answer.
    pub fingerprint: Option<String>,
    /// What else the provider tells of the answer as a whole.
    pub details: Details,
    /// What of the request was left out. Codecs leave it empty: it is known from encoding.
    pub warnings: Vec<Warning>,
}

impl Response {
    /// Whether every choice of it was withheld.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        self.choices.iter().all(|it| it.finish_reason.is_withheld())
    }
}

/// A part of a request that was left out because the provider has no words for it and the policy
/// allows that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The field that was left out, as a path into `chat::Request`.
    pub field: String,
    /// Why, and what would do instead.
    pub problem: &'static str,
}

/// One of the answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Which of the answers.
    pub index: u32,
    /// What the model said.
    pub message: Message,
    /// Why it stopped.
    pub finish_reason: FinishReason,
    /// Log probabilities in the `OpenAI` shape, where asked for.
    pub logprobs: Option<Json>,
    /// Which of the texts to stop at the model met, where the provider tells.
    pub stop_sequence: Option<String>,
    /// What else the provider tells of this choice.
    pub details: Details,
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// It was done, or met a stop text.
    Stop,
    /// The token limit was met.
    Length,
    /// It waits for the outcome of tool calls.
    ToolCalls,
    /// The provider's filter cut it off.
    ContentFilter,
    /// The model declined to answer.
    Refusal,
    /// A reason of the provider's own that has no counterpart here.
    Other,
}

impl FinishReason {
    /// Whether something judged the answer, or the question, and stopped it: another provider may judge otherwise.
    #[must_use]
    pub fn is_withheld(self) -> bool {
        match self {
            Self::ContentFilter | Self::Refusal => true,
            Self::Stop | Self::Length | Self::ToolCalls | Self::Other => false,
        }
    }

    /// The lower-case name used in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Refusal => "refusal",
            Self::Other => "other",
        }
    }
}

/// One event of a streamed answer.
///
/// A decoder yields, in this order: at most one `Start`; then, for every choice, any number of
/// `Delta`s and exactly one `Finish`; then at most one `UsageReport`; then at most one `Usage`. `Aside`s may stand
/// anywhere before the `Finish` of what they are told of. `Warning`s are put in front of it all by whoever encoded the
/// request.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// Something of the request was left out.
    Warning(Warning),
    /// The stream has begun.
    Start {
        /// The provider's id of the answer.
        id: String,
        /// The model that answers, by the provider's name.
        model: String,
    },
    /// More of one choice.
    Delta {
        /// The choice's index.
        choice: u32,
        /// What was added.
        delta: Delta,
    },
    /// Something is told beside the answer.
    Aside(Aside),
    /// One choice is complete.
    Finish {
        /// The choice's index.
        choice: u32,
        /// Why it stopped.
        reason: FinishReason,
    },
    /// What the provider counted in the whole answer, in its own words; see `Response::usage_report`.
    UsageReport(Json),
    /// The usage of the whole answer, the last word on it.
    Usage(Usage),
}

/// What was added to a choice.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Text of the answer.
    Text(String),
    /// Text of a refusal.
    Refusal(String),
    /// Text of the model's thinking.
    Reasoning(String),
    /// Provider state belonging to the thinking so far. Text of thinking that comes after it begins
    /// another part.
    ReasoningState(Opaque),
    /// A tool call begins.
    ToolCall {
        /// The call's place among the choice's calls, from 0, ascending.
        index: u32,
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// More of a tool call's arguments. The call's `ToolCall` always came before.
    ToolArguments {
        /// The call's place among the choice's calls.
        index: u32,
        /// A piece of the JSON text.
        fragment: String,
    },
    /// Provider state belonging to a tool call. The call's `ToolCall` always came before.
    ToolState {
        /// The call's place among the choice's calls.
        index: u32,
        /// The state.
        state: Opaque,
    },
    /// A source of a passage of the latest part of text, all of which came before.
    Citation(Citation),
    /// Sound, what is said in it, and what else is known of it: whatever came of these.
    Audio(Audio),
    /// Log probabilities of the latest text, in the `OpenAI` shape.
    Logprobs(Json),
}

/// Tokens used by one request, in one meaning for all providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens, those read from and written to a cache included.
    pub input_total: u64,
    /// Input tokens read from the provider's cache, part of `input_total`.
    pub cache_read: u64,
    /// Input tokens written to the provider's cache, part of `input_total`.
    pub cache_write: u64,
    /// Of `cache_write`, the tokens that are kept for an hour and cost more; the others are kept for
    /// the provider's usual time.
    pub cache_write_1h: u64,
    /// Input tokens of sound, part of `input_total`.
    pub input_audio: u64,
    /// Input tokens of pictures, part of `input_total`; 0 where the provider does not tell them apart.
    pub input_image: u64,
    /// All output tokens of all choices, reasoning included.
    pub output_total: u64,
    /// Output tokens of reasoning, part of `output_total`.
    pub reasoning: u64,
    /// Output tokens of sound, part of `output_total`.
    pub output_audio: u64,
    /// Output tokens of pictures, part of `output_total`.
    pub output_image: u64,
    /// Output tokens that the caller had predicted rightly, part of `output_total`.
    pub accepted_prediction: u64,
    /// Tokens that the caller had predicted wrongly, which are charged for like output, part of `output_total`.
    pub rejected_prediction: u64,
    /// Searches that the provider made itself, where it tells.
    pub searches: u64,
    /// How the provider says it served the request, which may not be how it was asked to.
    pub tier: Option<Tier>,
    /// What the provider charges for, where that is not what the model worked through.
    pub billed: Option<Billed>,
    /// Who counted.
    pub source: UsageSource,
}

impl Usage {
    /// A usage of so many tokens with none of the finer counts.
    #[must_use]
    pub const fn of(input_total: u64, output_total: u64, source: UsageSource) -> Self {
        Self {
            input_total,
            cache_read: 0,
            cache_write: 0,
            cache_write_1h: 0,
            input_audio: 0,
            input_image: 0,
            output_total,
            reasoning: 0,
            output_audio: 0,
            output_image: 0,
            accepted_prediction: 0,
            rejected_prediction: 0,
            searches: 0,
            tier: None,
            billed: None,
            source,
        }
    }

    /// The usage of two requests of which one went on with what the other began. It is as sure as the less sure of them,
    /// and was served as the later one.
    #[must_use]
    pub fn and_then(&self, later: &Self) -> Self {
        let sum = |of: fn(&Self) -> u64| of(self).saturating_add(of(later));
        let charged = |it: &Self| {
            it.billed.unwrap_or(Billed {
                input: it.input_total,
                output: it.output_total,
            })
        };
        let billed = self.billed.or(later.billed).map(|_| Billed {
            input: charged(self).input.saturating_add(charged(later).input),
            output: charged(self).output.saturating_add(charged(later).output),
        });
        Self {
            input_total: sum(|it| it.input_total),
            cache_read: sum(|it| it.cache_read),
            cache_write: sum(|it| it.cache_write),
            cache_write_1h: sum(|it| it.cache_write_1h),
            input_audio: sum(|it| it.input_audio),
            input_image: sum(|it| it.input_image),
            output_total: sum(|it| it.output_total),
            reasoning: sum(|it| it.reasoning),
            output_audio: sum(|it| it.output_audio),
            output_image: sum(|it| it.output_image),
            accepted_prediction: sum(|it| it.accepted_prediction),
            rejected_prediction: sum(|it| it.rejected_prediction),
            searches: sum(|it| it.searches),
            tier: later.tier,
            billed,
            source: match (self.source, later.source) {
                (UsageSource::Estimated, _) | (_, UsageSource::Estimated) => UsageSource::Estimated,
                (UsageSource::Counted, _) | (_, UsageSource::Counted) => UsageSource::Counted,
                (UsageSource::Provider, UsageSource::Provider) => UsageSource::Provider,
            },
        }
    }

    /// Input and output tokens together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input_total.saturating_add(self.output_total)
    }
}

/// Tokens that a provider charges for. Limits count what the model worked through, prices what is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Billed {
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
}

/// A class of processing that has prices of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// As usual.
    Standard,
    /// Later, and cheaper.
    Flex,
    /// With precedence.
    Priority,
    /// With a faster model.
    Fast,
    /// Within a day.
    Batch,
}

impl Tier {
    /// The lower-case name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Fast => "fast",
            Self::Batch => "batch",
        }
    }
}

/// Who counted the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UsageSource {
    /// The provider reported it.
    Provider,
    /// The gateway counted it with the model's own tokeniser.
    Counted,
    /// The gateway estimated it; see `tokens`.
    Estimated,
}

impl UsageSource {
    /// The lower-case name used in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Counted => "counted",
            Self::Estimated => "estimated",
        }
    }
}
