//! A provider that does not exist, for development and tests.
//!
//! The behaviour is pure: a configuration, a request and a seed give the list of what happens and
//! when. The shell that plays it brings the clock.

use std::time::Duration;

use crate::chat::Chunk;
use crate::failure::Failure;

mod script;
mod vectors;

pub use script::Script;
pub use vectors::{Embedded, embed};

/// How the simulated provider behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// From the request to the first token.
    pub first_token_latency: Duration,
    /// From one token to the next.
    pub token_interval: Duration,
    /// How long an answer is where the request sets no smaller limit, in tokens.
    pub output_tokens: u32,
    /// What goes wrong.
    pub fault: Fault,
}

impl Default for Config {
    /// A healthy provider: 20 ms to the first token, 5 ms between tokens, 64 tokens.
    fn default() -> Self {
        Self {
            first_token_latency: Duration::from_millis(20),
            token_interval: Duration::from_millis(5),
            output_tokens: 64,
            fault: Fault::None,
        }
    }
}

/// What goes wrong with every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// An HTTP error status instead of an answer, after `first_token_latency`.
    Status {
        /// The status, classified as a provider's would be.
        code: u16,
        /// The wait the provider asks for.
        retry_after: Option<Duration>,
    },
    /// Silence after so many tokens of the answer; 0: not even headers.
    HangAfter(u32),
    /// The connection breaks after so many tokens.
    ResetAfter(u32),
    /// The body ends cleanly after so many tokens, without a finish reason.
    TruncateAfter(u32),
    /// An error event inside the stream after so many tokens.
    ErrorAfter(u32),
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When, counted from the request. Never decreasing from step to step.
    pub at: Duration,
    /// What.
    pub action: Action,
}

/// What happens at a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A chunk of the answer. For a request that is not streamed, fold them by `chat::Assembler`.
    Chunk(Chunk),
    /// The attempt fails; nothing follows.
    Fail(Failure),
    /// Nothing happens any more, and the connection stays open; nothing follows.
    Hang,
}
