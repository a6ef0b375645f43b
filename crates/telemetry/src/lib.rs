//! Logs and metrics of the process: one subscriber, one recorder.
//!
//! - [`logs`]: lines on standard error, readable on a terminal and JSON elsewhere.
//! - [`metrics`]: what `/metrics` shows.
//!
//! It does NOT open sockets (the binary serves `/metrics`), keep files, send anything anywhere, or decide
//! what is worth a line or a number: each crate names its own events and metrics.

pub mod logs;
pub mod metrics;

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter makes no sense.
    #[error(
        "`{filter}` is no log filter: {source}; write a level such as `info`, or `info,tollgate_node=debug`"
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// A subscriber or a recorder is there already.
    #[error("telemetry is set up already: {0}")]
    Installed(String),
    /// There is no thread to write the log with.
    #[error("start the thread that writes the log: {0}")]
    Thread(std::io::Error),
    /// The buckets of a histogram are not usable.
    #[error("histogram buckets: {0}")]
    Buckets(String),
}
