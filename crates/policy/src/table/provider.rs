//! Accounts at providers, as requests are sent to them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Protocol;

/// One account at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its place in [`Table::providers`](super::Table::providers).
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// How to speak to it, and where.
    pub kind: Kind,
    /// Whether what it has no words for is left out of a request and told as a warning; else the request is
    /// refused.
    pub drop_unsupported: bool,
    /// Where the node finds its key.
    pub credential: Credential,
    /// Whether it may have an address for which [`is_internal`](crate::address::is_internal) holds.
    pub internal: bool,
    /// How long to wait for it.
    pub timeouts: Timeouts,
}

/// What a provider is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A service reached over HTTP.
    Http(Endpoint),
    /// Answers by itself.
    Simulated(Simulated),
}

impl Kind {
    /// Returns its name as in a policy, such as `openai_compatible`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Http(endpoint) => endpoint.protocol.as_str(),
            Self::Simulated(_) => "simulated",
        }
    }
}

/// A service reached over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to speak to it.
    pub protocol: Protocol,
    /// Address that paths are appended to, without a slash at its end.
    pub base_url: String,
    /// The version of its interface, for a service that has several.
    pub api_version: Option<String>,
    /// Where it is, by the provider's name for the region. Empty where that means nothing.
    pub region: String,
}

/// Where a node finds a provider's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Requests carry no key.
    None,
    /// In this environment variable of the node's process.
    Env(String),
    /// In this file. White space at its end is ignored.
    File(PathBuf),
}

/// How long to wait for a provider, phase by phase. All above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// From the request's last byte sent to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two events of a stream.
    pub idle: Duration,
}

/// How a simulated provider behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// From the request to the first token.
    pub first_token_latency: Duration,
    /// Between two tokens.
    pub token_interval: Duration,
    /// Tokens in an answer, before the request's own cap. At least 1.
    pub output_tokens: u32,
    /// What goes wrong.
    pub fault: Option<SimulatedFault>,
}

/// What goes wrong at a simulated provider, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulatedFault {
    /// Share of requests that meet it, in per cent. 1 to 100.
    pub percent: u32,
    /// What happens to them.
    pub effect: Effect,
}

/// What goes wrong at a simulated provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It answers with this HTTP status, 400 to 599.
    Status(u16),
    /// It says nothing more and keeps the connection open.
    Hang {
        /// Tokens sent before.
        after_tokens: u32,
    },
    /// It breaks the connection.
    Reset {
        /// Tokens sent before.
        after_tokens: u32,
    },
    /// It ends the stream cleanly, without a finish reason.
    Truncate {
        /// Tokens sent before.
        after_tokens: u32,
    },
}
