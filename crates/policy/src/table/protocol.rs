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
            Self::Cohere => "cohere",
        }
    }

    /// Returns where the service is when a policy gives no address. None where there is no one service.
    #[must_use]
    pub fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::OpenAiCompatible => None,
            Self::Cohere => Some("https://api.cohere.com/v2"),
        }
    }

    /// Returns the variable that usually holds a key, for a service that serves nobody without one.
    #[must_use]
    pub fn key_variable(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::OpenAiCompatible => None,
            Self::Cohere => Some("COHERE_API_KEY"),
        }
    }
}
