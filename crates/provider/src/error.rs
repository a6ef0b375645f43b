//! What can be wrong with a request before it leaves the gateway.

use crate::chat::Feature;

/// The longest path and the longest problem told, in bytes.
const MOST_TEXT: usize = 300;

/// A request that cannot be understood or cannot be expressed.
///
/// Everything here is the caller's or the operator's to mend; what a provider does wrong is a
/// `Failure`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not JSON, or not the JSON that is expected at this place.
    #[error("{path}: {problem}")]
    Invalid {
        /// The field at fault, such as `messages[0].content[1].image_url.url`; `body` for the whole.
        path: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// The request says something this kind of provider has no words for.
    #[error("{field} cannot be sent to a provider of kind {kind}: {problem}")]
    Unsupported {
        /// The field at fault, as a path into `chat::Request`.
        field: String,
        /// The kind of provider.
        kind: &'static str,
        /// What would do instead.
        problem: &'static str,
    },
    /// The request asks for something of a model that does not take it.
    #[error(
        "{field} cannot be sent to this deployment: policy says that its model lacks {feature}"
    )]
    Lacking {
        /// The field at fault, as a path into `chat::Request`.
        field: String,
        /// What it asks for.
        feature: &'static str,
    },
    /// The credential holds bytes that no HTTP header may carry.
    #[error("the credential contains characters that are not allowed in an HTTP header")]
    Credential,
    /// The credential has none of the forms that this kind of provider knows.
    #[error("the credential must have the form {forms}")]
    CredentialForm {
        /// The forms it may have.
        forms: &'static str,
    },
    /// The request could not be written as JSON.
    #[error("the request could not be written as JSON")]
    Encode(#[source] serde_json::Error),
}

impl Error {
    /// Both texts are cut to a few hundred bytes: the parser's words may quote a whole prompt, and a
    /// path holds the caller's own keys.
    pub(crate) fn invalid(path: impl Into<String>, problem: impl Into<String>) -> Self {
        let (mut path, mut problem) = (path.into(), problem.into());
        for text in [&mut path, &mut problem] {
            if text.len() > MOST_TEXT {
                text.truncate(text.floor_char_boundary(MOST_TEXT));
                text.push('…');
            }
        }
        Self::Invalid { path, problem }
    }

    /// That a model lacks a feature which a field of a request asks for.
    #[must_use]
    pub fn lacking(field: String, feature: Feature) -> Self {
        let feature = feature.name();
        Self::Lacking { field, feature }
    }

    /// The field at fault, where one is.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { path, .. } => Some(path),
            Self::Unsupported { field, .. } | Self::Lacking { field, .. } => Some(field),
            Self::Credential | Self::CredentialForm { .. } | Self::Encode(_) => None,
        }
    }
}
