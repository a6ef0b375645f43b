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
}

impl Protocol {
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
            pb::ProviderKind::Simulated | pb::ProviderKind::Unspecified => None,
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
        }
    }

    /// Returns where the service is when a policy gives no address. None where there is no one service.
    #[must_use]
    pub fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::OpenAiCompatible | Self::AzureOpenAi => None,
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
            Self::Mistral => Some("https://api.mistral.ai/v1"),
            Self::Cohere => Some("https://api.cohere.com/v2"),
        }
    }

    /// Returns the variable that usually holds a key, for a service that serves nobody without one.
    #[must_use]
    pub fn key_variable(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::OpenAiCompatible => None,
            Self::AzureOpenAi => Some("AZURE_OPENAI_API_KEY"),
            Self::Gemini => Some("GEMINI_API_KEY"),
            Self::Mistral => Some("MISTRAL_API_KEY"),
            Self::Cohere => Some("COHERE_API_KEY"),
        }
    }
}
