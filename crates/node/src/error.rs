//! What can go wrong: why a node does not start, and what a caller can be told. How the latter appears on each
//! edge is in `error/table.rs`.

mod table;

use std::time::Duration;

use tollgate_policy::table::Amount;

pub(crate) use table::HttpError;

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control plane's addresses or token are unusable.
    #[error("{0}")]
    Control(String),
    /// The data folder is unusable.
    #[error("create the data folder {folder}")]
    DataFolder {
        /// The folder.
        folder: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The journal in the data folder is unusable.
    #[error("use the journal in {folder}")]
    Journal {
        /// The data folder.
        folder: std::path::PathBuf,
        /// Why.
        source: crate::journal::Unusable,
    },
    /// The listener is unusable.
    #[error("use the listener")]
    Listener(#[source] std::io::Error),
    /// The threads that serve callers cannot be started.
    #[error("start the threads that serve callers")]
    Workers(#[source] std::io::Error),
    /// The contract's descriptors cannot be served.
    #[error("serve the contract by reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A field of the request that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `messages[0].parts[1].image`.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Why a request was not answered, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request carries no key.
    #[error("no key: send the header `authorization: Bearer tg_…`")]
    KeyMissing,
    /// The key does not exist or has been revoked.
    #[error("the key is not valid: it does not exist or has been revoked")]
    KeyInvalid,
    /// An operator has shut the caller out.
    #[error(
        "subject `{subject}` is blocked, and its keys with it: ask an operator of this gateway"
    )]
    SubjectBlocked {
        /// The subject, the key's own or one above.
        subject: String,
    },
    /// The caller's tier is not part of the policy.
    #[error(
        "the key is of tier `{tier}`, which the policy does not have: an operator has to define it, or give the key's \
         subject another"
    )]
    TierUnknown {
        /// The tier.
        tier: String,
    },
    /// Fields break rules.
    #[error("{}", describe(.0))]
    Invalid(Vec<Violation>),
    /// The request is larger than a node accepts.
    #[error("the request is larger than {limit} bytes")]
    TooLarge {
        /// Most bytes of a request.
        limit: usize,
    },
    /// There is no such model.
    #[error(
        "there is no model `{model}`: ModelService.ListModels or GET /v1/models shows the models"
    )]
    ModelNotFound {
        /// What the caller asked for.
        model: String,
    },
    /// A limit is used up.
    #[error("limit `{limit}` is used up: {admits}{per}")]
    LimitExceeded {
        /// Name of the limit.
        limit: String,
        /// Its counter.
        counter: String,
        /// What a window admits.
        admits: Amount,
        /// What ends that, such as ` per 60 s`, ` per month` or nothing.
        per: String,
        /// Until units may be free again.
        retry_after: Duration,
    },
    /// The request alone is more than a limit admits.
    #[error(
        "the request needs {needed} and limit `{limit}` admits {admits}{per}: shorten it or ask for fewer output tokens"
    )]
    LimitTooSmall {
        /// Name of the limit.
        limit: String,
        /// Its counter.
        counter: String,
        /// What it admits.
        admits: Amount,
        /// What that is of, such as ` per 60 s`, ` per month` or nothing.
        per: String,
        /// What the request needs.
        needed: Amount,
    },
    /// A limit's owner did not answer in time.
    #[error("limit `{limit}` could not be checked in time: try again")]
    LimitUnavailable {
        /// Name of the limit.
        limit: String,
    },
    /// No provider answered.
    #[error("no provider answered: {attempts}")]
    ProvidersFailed {
        /// The attempts and how each ended.
        attempts: String,
        /// Where every provider asked to be left alone: for how long, at least.
        rate_limited: Option<Duration>,
    },
    /// The provider refused the request itself.
    #[error("{message}")]
    ProviderRejected {
        /// What a caller may know of it.
        message: String,
    },
    /// The conversation is too long for the model.
    #[error("the conversation is longer than the model's context window: shorten it")]
    ContextTooLong,
    /// The provider's filter refused the request.
    #[error("the provider's content filter refused the request")]
    ContentFiltered,
    /// The provider broke off in the middle of the answer.
    #[error("the provider's answer ended before it was complete")]
    Truncated,
    /// The deadline passed.
    #[error("the deadline passed before the answer was complete")]
    DeadlineExceeded,
    /// The node cannot serve yet, or no longer.
    #[error("{why}: try another node, or try again")]
    NotReady {
        /// What is missing.
        why: &'static str,
    },
    /// The node has as many requests as it may.
    #[error("the node is working on as many requests as it may: try again")]
    Overloaded,
    /// A defect.
    #[error("a fault of the gateway's own: {what}")]
    Internal {
        /// What failed, without details of the request.
        what: &'static str,
    },
}

impl Error {
    /// One wrong field.
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation {
            field: field.into(),
            problem: problem.into(),
        }])
    }
}

fn describe(violations: &[Violation]) -> String {
    let lines: Vec<_> = violations
        .iter()
        .map(|one| format!("{}: {}", one.field, one.problem))
        .collect();
    lines.join("; ")
}
