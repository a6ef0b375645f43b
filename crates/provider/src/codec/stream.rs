//! A decoder of one streamed answer, whatever its format.

use crate::chat::{Chunk, Usage};
use crate::failure::Failure;
use crate::{anthropic, bedrock, cohere, gemini, openai, responses};

/// Decodes the body of one streamed answer, slice by slice.
///
/// Once it has failed it stays failed.
#[derive(Debug)]
pub struct StreamDecoder(Format);

/// One decoder for each format. A kind that shares a format is not told apart here.
#[derive(Debug)]
pub(super) enum Format {
    OpenAi(openai::StreamDecoder),
    Responses(responses::StreamDecoder),
    Anthropic(anthropic::StreamDecoder),
    Gemini(gemini::StreamDecoder),
    Cohere(cohere::StreamDecoder),
    Bedrock(bedrock::StreamDecoder),
}

impl StreamDecoder {
    pub(super) fn of(format: Format) -> Self {
        Self(format)
    }

    /// The same, making the pieces of one text that end up in the same `out` one, which costs less than many. What
    /// a caller puts together of them is the same.
    #[must_use]
    pub fn joining(self) -> Self {
        Self(match self.0 {
            Format::OpenAi(decoder) => Format::OpenAi(decoder.joining()),
            Format::Responses(decoder) => Format::Responses(decoder.joining()),
            Format::Anthropic(decoder) => Format::Anthropic(decoder.joining()),
            Format::Gemini(decoder) => Format::Gemini(decoder.joining()),
            Format::Cohere(decoder) => Format::Cohere(decoder.joining()),
            Format::Bedrock(decoder) => Format::Bedrock(decoder.joining()),
        })
    }

    /// Takes the next bytes, however they were cut, and appends what they complete to `out`.
    ///
    /// # Errors
    /// The `Failure` that ends this stream: an error event, or a line or event beyond the bounds of
    /// `sse`. What was appended to `out` before it is valid.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        match &mut self.0 {
            Format::OpenAi(decoder) => decoder.push(bytes, out),
            Format::Responses(decoder) => decoder.push(bytes, out),
            Format::Anthropic(decoder) => decoder.push(bytes, out),
            Format::Gemini(decoder) => decoder.push(bytes, out),
            Format::Cohere(decoder) => decoder.push(bytes, out),
            Format::Bedrock(decoder) => decoder.push(bytes, out),
        }
    }

    /// Must be called when the body has ended cleanly; appends what was still held back, the usage
    /// as the very last. Only an `Ok` from here makes the answer a success.
    ///
    /// # Errors
    /// `Class::Truncated` when some choice has no finish reason; or the failure that ended the
    /// stream before.
    pub fn finish(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        match &mut self.0 {
            Format::OpenAi(decoder) => decoder.finish(out),
            Format::Responses(decoder) => decoder.finish(out),
            Format::Anthropic(decoder) => decoder.finish(out),
            Format::Gemini(decoder) => decoder.finish(out),
            Format::Cohere(decoder) => decoder.finish(out),
            Format::Bedrock(decoder) => decoder.finish(out),
        }
    }

    /// Whether the provider has said that nothing more follows, so that the rest of the body need
    /// not be waited for. `finish` must still be called.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Format::OpenAi(decoder) => decoder.is_done(),
            Format::Responses(decoder) => decoder.is_done(),
            Format::Anthropic(decoder) => decoder.is_done(),
            Format::Gemini(decoder) => decoder.is_done(),
            Format::Cohere(decoder) => decoder.is_done(),
            Format::Bedrock(decoder) => decoder.is_done(),
        }
    }

    /// The latest usage the provider reported, also for a stream that failed: for the bill.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match &self.0 {
            Format::OpenAi(decoder) => decoder.usage(),
            Format::Responses(decoder) => decoder.usage(),
            Format::Anthropic(decoder) => decoder.usage(),
            Format::Gemini(decoder) => decoder.usage(),
            Format::Cohere(decoder) => decoder.usage(),
            Format::Bedrock(decoder) => decoder.usage(),
        }
    }

    /// How many events could not be read and were skipped.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        match &self.0 {
            Format::OpenAi(decoder) => decoder.malformed(),
            Format::Responses(decoder) => decoder.malformed(),
            Format::Anthropic(decoder) => decoder.malformed(),
            Format::Gemini(decoder) => decoder.malformed(),
            Format::Cohere(decoder) => decoder.malformed(),
            Format::Bedrock(decoder) => decoder.malformed(),
        }
    }
}
