//! Why a verb failed, and the exit code that says so.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a verb failed. Its text is for the person or program that ran it, and says what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The process is configured wrongly.
    #[error("{0}")]
    Config(String),
    /// A file or directory cannot be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The policy has faults: one line each.
    #[error("the policy has {}:\n{}", count(.0), .0.join("\n"))]
    Faults(Vec<String>),
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    /// Logs or metrics cannot be set up.
    #[error("{0}")]
    Telemetry(#[from] tollgate_telemetry::Error),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Telemetry(_) => 64,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::File { .. }
            | Self::Listen { .. }
            | Self::Faults(_)
            | Self::Output(_)
            | Self::Failed(_) => 1,
        }
    }
}

fn count(faults: &[String]) -> String {
    match faults.len() {
        1 => "one fault".to_owned(),
        several => format!("{several} faults"),
    }
}

/// Says which file an error of the system is about.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    |source| Error::File { path, source }
}

/// An error with the errors below it, each said once.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        below = cause.source();
    }
    text
}
