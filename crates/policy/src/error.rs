//! What can go wrong here besides a faulty policy, which is reported as [`Fault`](crate::Fault)s.

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A subject is not a path of 1 to 8 well-formed parts.
    #[error(
        "the subject is not valid: {problem}; write 1 to 8 parts joined by `/`, such as `acme/search/ada`, each 1 to 63 \
         lower-case letters, digits, dashes, underscores or dots"
    )]
    Subject {
        /// What is wrong with it.
        problem: String,
    },
    /// Labels break a rule.
    #[error("{0}")]
    Label(String),
    /// A policy cannot be written as YAML.
    #[error("cannot write the policy as YAML: {0}")]
    Write(String),
}
