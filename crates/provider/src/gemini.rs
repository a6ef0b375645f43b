//! Google Gemini's `generateContent`, as Google AI Studio and Vertex AI offer it.
//!
//! | in a `chat::Request` | there |
//! |---|---|
//! | system and developer messages, wherever they stand | `systemInstruction`, in their order |
//! | consecutive messages of one role | one content: tool results must stand together |
//! | id of a tool call | sent along; the name that a result needs is looked up by it |
//! | reasoning effort | a level, or, for the second generation, a budget after Google's own table |
//! | thought signatures | returned on the part they came on; see `signature` |
//! | text of thoughts | not returned: only the signature counts |
//!
//! The answer ends with the last finish reason; there is no other end in this format.

mod answer;
mod citations;
mod contents;
pub(crate) mod embeddings;
mod encode;
mod errors;
mod logprobs;
mod media;
mod options;
mod signature;
mod stream;
mod thinking;
mod usage;
pub(crate) mod vertex;
mod wire;

pub(crate) use answer::decode;
pub(crate) use encode::{authorize, encode};
pub(crate) use errors::classify;
pub(crate) use signature::{call_signature, call_state};
pub(crate) use stream::{StreamDecoder, stream_decoder};
