//! Anthropic's messages.
//!
//! What differs most from the canonical conversation: instructions stand apart from the messages, only
//! the user and the assistant speak, tool results are the user's, the output must have a limit, and
//! thinking is signed: it goes back as it came, where it came.

mod answer;
mod blocks;
mod citations;
mod encode;
mod errors;
mod stream;
mod thinking;
mod usage;
mod wire;

pub(crate) use answer::decode;
pub(crate) use encode::{VERSION, encode};
pub(crate) use errors::classify;
pub(crate) use stream::{StreamDecoder, stream_decoder};
pub(crate) use thinking::{Thinking, thinking};

/// The name under which state is kept; that of the kind.
const PROVIDER: &str = "anthropic";
/// State: the signature of a thought.
const SIGNATURE: &str = "signature";
/// State: a thought that only the provider can read.
const REDACTED: &str = "redacted_thinking";
/// State: a citation, as JSON.
const CITATION: &str = "citation";
/// State: a whole block of a type that means nothing here, as JSON.
const BLOCK: &str = "block";
