//! AWS Bedrock's Converse: one format over models of many makers.
//!
//! A stream is not text but a sequence of binary frames, and a request is signed as a whole, unless the
//! credential is one of Bedrock's own keys. What only one maker's models know goes into
//! `additionalModelRequestFields`, which callers can fill through the provider options.

mod answer;
mod blocks;
mod citations;
pub(crate) mod embeddings;
mod encode;
mod errors;
mod event_stream;
mod foreign;
mod sign;
mod stream;
mod usage;
mod wire;

pub(crate) use answer::decode;
pub(crate) use encode::encode;
pub(crate) use errors::classify;
pub(crate) use sign::authorize;
pub(crate) use stream::{StreamDecoder, stream_decoder};

/// The name under which state is kept; that of the kind.
const PROVIDER: &str = "bedrock";
/// State: the signature of a thought.
const SIGNATURE: &str = "signature";
/// State: a thought that only the provider can read, decoded from base64.
const REDACTED: &str = "redacted_content";
/// State: a citation, as JSON.
const CITATION: &str = "citation";
/// State: a whole block of a type that means nothing here, as JSON.
const BLOCK: &str = "block";
