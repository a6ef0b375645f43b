//! Interfaces of one kind of provider.

use super::Kind;

/// An interface for conversations, of a provider that has several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Api {
    /// Chat completions; of a provider that has one interface only, that one.
    #[default]
    ChatCompletions,
    /// `OpenAI`'s Responses.
    Responses,
}

impl Api {
    /// Whether providers of that kind may have it.
    #[must_use]
    pub fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::ChatCompletions => true,
            Self::Responses => matches!(
                kind,
                Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi
            ),
        }
    }
}
