//! What is known of each kind of provider that is reached over HTTP. One more kind is one more variant, and a
//! line in each function here.

use crate::pb;

/// A wire format, in the dialect of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// OpenAI's own service.
    OpenAi,
    /// A server that speaks OpenAI's chat completions.
    OpenAiCompatible,
    /// Anthropic's messages.
    Anthropic,
    /// OpenAI's models at Azure.
    AzureOpenAi,
    /// Google Gemini.
    Gemini,
    /// Mistral AI.
    Mistral,
    /// Cohere's chat API, version 2.
    Cohere,
    /// AWS Bedrock's Converse.
    Bedrock,
}

/// An interface for conversations, of a provider that has several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Api {
    /// OpenAI's chat completions; of a provider that has one interface only, that one.
    #[default]
    ChatCompletions,
    /// OpenAI's Responses.
    Responses,
}

impl Api {
    /// Returns the interface that a deployment names, or the default.
    #[must_use]
    pub fn of(api: pb::Api) -> Self {
        match api {
            pb::Api::Unspecified | pb::Api::ChatCompletions => Self::ChatCompletions,
            pb::Api::Responses => Self::Responses,
        }
    }
}

impl Protocol {
    /// Whether services that speak it may have that interface.
    #[must_use]
    pub fn has(self, api: Api) -> bool {
        match (api, self) {
            (Api::ChatCompletions, _)
            | (Api::Responses, Self::OpenAi | Self::OpenAiCompatible | Self::AzureOpenAi) => true,
            (
                Api::Responses,
                Self::Anthropic | Self::Gemini | Self::Mistral | Self::Cohere | Self::Bedrock,
            ) => false,
        }
    }

    /// Whether input that it read from its cache counts toward its limits on tokens.
    #[must_use]
    pub fn limits_cached_input(self) -> bool {
        self != Self::Anthropic
    }

    /// Returns the protocol of a kind. None where the kind is not reached over HTTP.
    #[must_use]
    pub fn of(kind: pb::ProviderKind) -> Option<Self> {
        match kind {
            pb::ProviderKind::Openai => Some(Self::OpenAi),
            pb::ProviderKind::OpenaiCompatible => Some(Self::OpenAiCompatible),
            pb::ProviderKind::Anthropic => Some(Self::Anthropic),
            pb::ProviderKind::AzureOpenai => Some(Self::AzureOpenAi),
            pb::ProviderKind::Gemini => Some(Self::Gemini),
            pb::ProviderKind::Mistral => Some(Self::Mistral),
            pb::ProviderKind::Cohere => Some(Self::Cohere),
            pb::ProviderKind::Bedrock => Some(Self::Bedrock),
            pb::ProviderKind::Simulated | pb::ProviderKind::Unspecified => None,
        }
    }

    /// Whether those who speak it run some of a conversation's tools themselves.
    #[must_use]
    pub fn runs_tools(self) -> bool {
        match self {
            Self::OpenAiCompatible | Self::Anthropic | Self::Gemini | Self::Bedrock => true,
            Self::OpenAi | Self::AzureOpenAi | Self::Mistral | Self::Cohere => false,
        }
    }

    /// Returns its name as in a policy, such as `openai_compatible`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiCompatible => "openai_compatible",
            Self::Anthropic => "anthropic",
            Self::AzureOpenAi => "azure_openai",
            Self::Gemini => "gemini",
            Self::Mistral => "mistral",
            Self::Cohere => "cohere",
            Self::Bedrock => "bedrock",
        }
    }

    /// Returns where the service is when a policy gives no address. None where there is no one service; for one in
    /// many regions see `regional_base_url`.
    #[must_use]
    pub fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::OpenAiCompatible | Self::AzureOpenAi | Self::Bedrock => None,
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
            Self::Mistral => Some("https://api.mistral.ai/v1"),
            Self::Cohere => Some("https://api.cohere.com/v2"),
        }
    }

    /// Returns where the service is in a region. None where it has none.
    #[must_use]
    pub fn regional_base_url(self, region: &str) -> Option<String> {
        match self {
            Self::Bedrock => Some(format!("https://bedrock-runtime.{region}.amazonaws.com")),
            Self::OpenAi
            | Self::OpenAiCompatible
            | Self::Anthropic
            | Self::AzureOpenAi
            | Self::Gemini
            | Self::Mistral
            | Self::Cohere => None,
        }
    }

    /// Whether the service must be told its region.
    #[must_use]
    pub fn is_regional(self) -> bool {
        self.regional_base_url("").is_some()
    }

    /// Returns the variable that usually holds a key, for a service that serves nobody without one.
    #[must_use]
    pub fn key_variable(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Bedrock => Some("AWS_BEARER_TOKEN_BEDROCK"),
            Self::OpenAiCompatible => None,
            Self::AzureOpenAi => Some("AZURE_OPENAI_API_KEY"),
            Self::Gemini => Some("GEMINI_API_KEY"),
            Self::Mistral => Some("MISTRAL_API_KEY"),
            Self::Cohere => Some("COHERE_API_KEY"),
        }
    }
}
