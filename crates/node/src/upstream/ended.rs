//! How an attempt ended that brought no answer.

use std::sync::Arc;

use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::chat::{Request, Usage};
use tollgate_provider::{Class, Failure};

use super::key::Fingerprint;
use crate::address;

/// How far a failed attempt got, which decides what it is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Nothing was sent to the provider.
    Nobody,
    /// The provider said no.
    Refusal,
    /// The provider may have done the work.
    Perhaps,
}

/// How an attempt ended that brought no answer.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// What the caller is told of it.
    pub(crate) outcome: AttemptOutcome,
    /// What it means.
    pub(crate) failure: Arc<Failure>,
    /// How far it got.
    pub(crate) reached: Reached,
    /// The field of the request that the provider has no words for.
    pub(crate) field: Option<String>,
    /// What it used, where the provider has told that.
    pub(crate) usage: Option<Box<Usage>>,
    /// The key that the provider refused.
    pub(crate) key: Option<Fingerprint>,
    /// The request without the thoughts in it that the deployment could not read, where that is why it refused it.
    pub(crate) readable: Option<Arc<Request>>,
}

// === impl Ended ===

impl Ended {
    pub(super) fn of(failure: Failure, reached: Reached) -> Self {
        let outcome = match failure.class {
            Class::CallerError => AttemptOutcome::Rejected,
            Class::ContextTooLong => AttemptOutcome::ContextTooLong,
            Class::ContentFilter => AttemptOutcome::ContentFiltered,
            Class::KeyDead => AttemptOutcome::KeyRefused,
            Class::KeyLimited | Class::Ramping => AttemptOutcome::RateLimited,
            Class::Overloaded => AttemptOutcome::Overloaded,
            Class::Server => AttemptOutcome::ServerError,
            Class::Transport => AttemptOutcome::TransportError,
            Class::Truncated => AttemptOutcome::Truncated,
        };
        Self {
            outcome,
            failure: Arc::new(failure),
            reached,
            field: None,
            usage: None,
            key: None,
            readable: None,
        }
    }

    /// The same deployment can read this request.
    pub(super) fn but_for_thoughts(self, readable: Option<Request>) -> Self {
        Self {
            readable: readable.map(Arc::new),
            ..self
        }
    }

    /// Whether the provider was not asked, for it has no words for a part of the request.
    pub(crate) fn is_inexpressible(&self) -> bool {
        self.reached == Reached::Nobody && self.failure.class == Class::CallerError
    }

    /// The gateway could not even try.
    pub(super) fn never(problem: String) -> Self {
        Self::of(Failure::transport(problem), Reached::Nobody)
    }

    pub(super) fn inexpressible(error: &tollgate_provider::Error) -> Self {
        Self {
            field: error.field().map(str::to_owned),
            ..Self::of(
                Failure::new(Class::CallerError, error.to_string()),
                Reached::Nobody,
            )
        }
    }

    pub(super) fn address(refused: &address::Refused) -> Self {
        Self {
            outcome: AttemptOutcome::AddressRefused,
            ..Self::never(refused.to_string())
        }
    }

    /// The provider answered, and its filter withheld all of it.
    pub(crate) fn withheld(usage: Option<Usage>) -> Self {
        let detail = "the provider's filter withheld the answer";
        let failure = Failure {
            status: Some(200),
            ..Failure::new(Class::ContentFilter, detail)
        };
        Self {
            usage: usage.map(Box::new),
            ..Self::of(failure, Reached::Perhaps)
        }
    }

    /// Asked again for an answer that had broken off, the provider gave another. It used so much, and is not to blame.
    pub(crate) fn diverged(usage: Usage) -> Self {
        let failure = Failure::new(
            Class::CallerError,
            "the answer is not the one that broke off",
        );
        Self {
            outcome: AttemptOutcome::Diverged,
            usage: Some(Box::new(usage)),
            ..Self::of(failure, Reached::Perhaps)
        }
    }

    /// The provider took too long.
    pub(crate) fn timed_out(problem: &str) -> Self {
        Self {
            outcome: AttemptOutcome::TimedOut,
            ..Self::of(Failure::transport(problem), Reached::Perhaps)
        }
    }

    /// A success whose body is no answer: it says what went wrong, or nothing that can be read.
    pub(super) fn no_answer(failure: Failure) -> Self {
        let mut ended = Self::of(failure, Reached::Perhaps);
        if ended.failure.class == Class::Server {
            ended.outcome = AttemptOutcome::BadResponse;
        }
        ended
    }

    pub(super) fn bad_response(problem: &str) -> Self {
        Self {
            outcome: AttemptOutcome::BadResponse,
            ..Self::of(Failure::new(Class::Server, problem), Reached::Perhaps)
        }
    }

    /// The connection failed under the request.
    pub(super) fn broken(problem: String) -> Self {
        Self::of(Failure::transport(problem), Reached::Perhaps)
    }

    /// No connection came about in time.
    pub(super) fn connect_timed_out(problem: String) -> Self {
        Self {
            outcome: AttemptOutcome::TimedOut,
            ..Self::never(problem)
        }
    }
}
