//! Speaking to language-model providers.
//!
//! `chat` is the canonical conversation. A `Codec` encodes a `chat::Request` into the HTTP request
//! of one kind of provider and decodes the bytes that come back into a `chat::Response` or, one
//! slice at a time, into `chat::Chunk`s. `embeddings` is the same for vectors. `failure` reduces every way a provider can fail to what the
//! gateway must do about it. `openai` also holds the other direction, which the gateway's
//! OpenAI-compatible edge needs: parsing a caller's request body and rendering the answer. `tokens`
//! estimates, `simulated` scripts a provider that does not exist.
//!
//! What this crate does NOT do: it opens no socket, reads no clock and starts no task; bytes, time
//! and randomness are arguments. It does not choose a provider, retry, or hold a credential longer
//! than the call that writes it into a header. It never fetches an address found in a request.

mod anthropic;
mod bedrock;
mod blocks;
pub mod chat;
pub mod codec;
mod cohere;
mod counting;
pub mod embeddings;
mod error;
pub mod failure;
mod gemini;
pub mod models;
pub mod openai;
mod options;
mod path;
pub mod rate_limits;
mod request_id;
mod responses;
pub mod simulated;
pub mod sse;
mod stored;
mod stream;
#[cfg(test)]
mod testing;
mod time;
pub mod tokens;
mod turns;
mod unsupported;
mod usage;
mod wire;

pub use codec::{Api, Codec, HttpRequest, Kind, Outgoing, StreamDecoder, Target};
pub use error::Error;
pub use failure::{Class, Failure};
pub use request_id::request_id;
