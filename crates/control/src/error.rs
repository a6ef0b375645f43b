//! What can go wrong in the control plane, and the one place that says it in gRPC.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::ownership::Replica;

/// The domain of every `google.rpc.ErrorInfo` we send.
const DOMAIN: &str = "tollgate";

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Something wrong with one field of a request or a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// Path of the field, such as `policy.pools.main.targets[0].deployment`.
    pub path: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

/// Everything that this crate reports.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached. Nothing was written.
    #[error("the store is unavailable: {0}")]
    StoreUnavailable(String),
    /// A write may or may not have happened.
    #[error("it is not known whether the store took the write: {0}")]
    OutcomeUnknown(String),
    /// The store can never take this as it is.
    #[error("the store refused: {0}")]
    StoreRefused(String),
    /// A store cannot be opened. The text says what to do.
    #[error("cannot open the store: {0}")]
    StoreOpen(String),
    /// A stored record does not say what it should.
    #[error("stored record {key} is damaged: {reason}")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request does not fit together. Every fault is listed.
    #[error("{} of the request {}: {}", plural(.0.len()), if .0.len() == 1 { "is wrong" } else { "are wrong" }, summary(.0))]
    Invalid(Vec<FieldFault>),
    /// Another policy became current in the meantime.
    #[error("revision {current} has become current, not {expected}: read it and apply again")]
    Superseded {
        /// What the change was made from.
        expected: u64,
        /// What is current.
        current: u64,
    },
    /// There is no such thing.
    #[error("there is no {what} {name}")]
    NotFound {
        /// Its kind, such as `key`.
        what: &'static str,
        /// How it was named.
        name: String,
    },
    /// This cannot be done to a counter. The text says why.
    #[error("this cannot be done: {0}")]
    NotPossible(String),
    /// The caller has not proved to be allowed this.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// Another replica owns the limits.
    #[error("control replica `{}` hands out quota now", .0.name)]
    NotOwner(Replica),
    /// The service has no room or is going down.
    #[error("{0}: try again")]
    Busy(&'static str),
    /// A node has said nothing, or taken nothing, for too long.
    #[error("nothing was heard of the node for too long: open a new stream")]
    Silent,
    /// A node broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The configuration of this process does not fit together. The text says what to do.
    #[error("{0}")]
    Config(String),
    /// A listener or server failed.
    #[error("cannot serve: {0}")]
    Serve(String),
    /// The system gave no random bytes.
    #[error("the system has no randomness to give: {0}")]
    Randomness(String),
}

fn plural(count: usize) -> String {
    match count {
        1 => "1 field".to_owned(),
        count => format!("{count} fields"),
    }
}

fn summary(faults: &[FieldFault]) -> String {
    let lines = faults.iter();
    let lines: Vec<_> = lines
        .map(|fault| format!("{}: {}", fault.path, fault.message))
        .collect();
    lines.join("; ")
}

impl Error {
    /// One wrong field.
    pub(crate) fn field(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldFault {
            path: path.into(),
            message: message.into(),
        }])
    }

    /// A stable name, for programs.
    fn reason(&self) -> &'static str {
        match self {
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
            Self::OutcomeUnknown(_) => "OUTCOME_UNKNOWN",
            Self::StoreRefused(_) => "STORE_REFUSED",
            Self::StoreOpen(_) => "STORE_OPEN",
            Self::Damaged { .. } => "RECORD_DAMAGED",
            Self::Invalid(_) => "INVALID_FIELDS",
            Self::Superseded { .. } => "REVISION_SUPERSEDED",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::Unauthenticated(_) => "TOKEN_INVALID",
            Self::NotOwner(_) => "NOT_OWNER",
            Self::NotPossible(_) => "NOT_POSSIBLE",
            Self::Busy(_) => "BUSY",
            Self::Silent => "STREAM_SILENT",
            Self::Protocol(_) => "PROTOCOL_VIOLATION",
            Self::Config(_) => "CONFIGURATION",
            Self::Serve(_) => "SERVE",
            Self::Randomness(_) => "NO_RANDOMNESS",
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::StoreUnavailable(_)
            | Self::OutcomeUnknown(_)
            | Self::NotOwner(_)
            | Self::Silent
            | Self::Busy(_) => Code::Unavailable,
            Self::Invalid(_) | Self::Protocol(_) => Code::InvalidArgument,
            Self::Superseded { .. } => Code::Aborted,
            Self::NotPossible(_) => Code::FailedPrecondition,
            Self::NotFound { .. } => Code::NotFound,
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::Damaged { .. } => Code::DataLoss,
            Self::StoreRefused(_)
            | Self::StoreOpen(_)
            | Self::Config(_)
            | Self::Serve(_)
            | Self::Randomness(_) => Code::Internal,
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::Superseded { expected, current } => HashMap::from([
                ("expected_revision".to_owned(), expected.to_string()),
                ("current_revision".to_owned(), current.to_string()),
            ]),
            Self::NotOwner(owner) => HashMap::from([
                ("owner".to_owned(), owner.name.clone()),
                ("url".to_owned(), owner.url.clone()),
            ]),
            Self::Damaged { key, .. } => HashMap::from([("key".to_owned(), key.clone())]),
            Self::StoreUnavailable(_)
            | Self::OutcomeUnknown(_)
            | Self::StoreRefused(_)
            | Self::StoreOpen(_)
            | Self::Invalid(_)
            | Self::NotFound { .. }
            | Self::Unauthenticated(_)
            | Self::Busy(_)
            | Self::Silent
            | Self::Protocol(_)
            | Self::NotPossible(_)
            | Self::Config(_)
            | Self::Serve(_)
            | Self::Randomness(_) => HashMap::new(),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(error.reason(), DOMAIN, error.metadata());
        if let Error::Invalid(faults) = &error {
            let violations = faults.iter();
            let violations =
                violations.map(|fault| FieldViolation::new(&fault.path, &fault.message));
            details.set_bad_request(violations.collect::<Vec<_>>());
        }
        Self::with_error_details(error.code(), error.to_string(), details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_a_violation() {
        let faults = ["a.b", "c[1]"].map(|path| FieldFault {
            path: path.to_owned(),
            message: "is not a name: use lower-case letters".to_owned(),
        });
        let status = Status::from(Error::Invalid(faults.to_vec()));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(
            status
                .message()
                .starts_with("2 fields of the request are wrong: a.b: ")
        );
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations[1].field, "c[1]");
        assert_eq!(details.error_info().unwrap().domain, "tollgate");
    }

    #[test]
    fn a_lost_race_names_the_winner() {
        let error = Error::Superseded {
            expected: 3,
            current: 5,
        };
        let status = Status::from(error);
        assert_eq!(status.code(), Code::Aborted);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.metadata["current_revision"], "5");
    }
}
