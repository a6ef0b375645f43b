//! `OpenAI`'s Responses.
//!
//! The models are those of chat completions. What differs is that an answer is a list of items, of which thoughts are
//! some: they come encrypted, and go back as they came and where they stood, so that a model which calls tools goes on
//! with what it had in mind. Nothing is kept at the provider: every request holds the whole conversation, and forbids
//! to store the answer.

mod answer;
mod citations;
mod encode;
mod input;
mod options;
mod output;
mod stream;
mod usage;
mod wire;

pub(crate) use answer::decode;
pub(crate) use encode::{COUNTED, action, encode};
pub(crate) use stream::{StreamDecoder, stream_decoder};

/// State: an item of an answer, as JSON.
const ITEM: &str = "item";
/// State: what the message that follows is, such as commentary before calls.
const PHASE: &str = "phase";
