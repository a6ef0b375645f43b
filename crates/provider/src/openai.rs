//! `OpenAI` chat completions, in both directions.
//!
//! Towards a provider: `encode`, `decode`, `StreamDecoder`, `classify`; the differences between
//! `OpenAI` itself, Azure, Mistral and servers that imitate it are the one table in `dialect`. Towards a caller, for
//! the gateway's OpenAI-compatible edge: `parse_request`, `render_response`, `ChunkRenderer`,
//! `render_error`, and for embeddings `parse_embedding_request` and `render_embeddings`.

mod answer;
mod audio;
mod azure;
mod citations;
pub(crate) mod data_url;
pub(crate) mod details;
mod dialect;
pub(crate) mod embeddings;
mod encode;
mod errors;
pub(crate) mod extra_content;
mod frame;
mod mistral;
mod outgoing;
mod parse;
mod reasoning_details;
mod render;
mod stream;
pub(crate) mod tool_calls;
pub(crate) mod usage;
pub(crate) mod wire;

pub(crate) use answer::decode;
pub(crate) use azure::{authorize as authorize_azure, path as azure_path};
pub(crate) use dialect::{AZURE, COMPATIBLE, MISTRAL, OPENAI};
pub use embeddings::{EmbeddingRequest, parse_embedding_request, render_embeddings};
pub(crate) use encode::{Parameters, Schema, encode};
pub(crate) use errors::{classify, told, told_by};
pub(crate) use outgoing::short_id;
pub use parse::{ChatRequest, parse_request};
pub use render::{ChunkRenderer, ErrorBody, render_error, render_error_event, render_response};
pub(crate) use stream::{StreamDecoder, stream_decoder};
