//! Decoding a streamed answer.
//!
//! What makes an answer whole: every candidate has its finish reason. The stream then simply ends.

use std::borrow::Cow;

use super::answer::Progress;
use super::errors;
use super::wire::Answer;
use crate::chat::{Chunk, Json, Usage};
use crate::failure::Failure;
use crate::sse;
use crate::stream::{self, Next};

/// Decodes the body of one streamed answer.
pub(crate) type StreamDecoder = stream::Decoder<Streamed>;

/// A decoder for an answer of so many candidates.
pub(crate) fn stream_decoder(expected: u32) -> StreamDecoder {
    stream::Decoder::new(Streamed {
        expected,
        progress: Progress::default(),
        malformed: 0,
    })
}

/// What is known of the answer so far.
#[derive(Debug)]
pub(crate) struct Streamed {
    /// How many candidates were asked for.
    expected: u32,
    progress: Progress,
    malformed: u64,
}

impl stream::Answer for Streamed {
    fn take(&mut self, event: sse::Event<'_>, out: &mut Vec<Chunk>) -> Result<Next, Failure> {
        // A stray byte that is not UTF-8 spoils a character, not the event.
        let text = match std::str::from_utf8(event.data) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(event.data),
        };
        match serde_json::from_str::<Answer<'_>>(&text) {
            Ok(answer) if answer.error.is_some() => return Err(errors::of_body(text.as_bytes())),
            Ok(answer) => self.progress.take(answer, out)?,
            Err(_) => match errors::told(text.as_bytes()) {
                Some(failure) => return Err(failure),
                None => self.malformed += 1,
            },
        }
        Ok(Next::More)
    }

    fn end(&mut self) -> Result<(), Failure> {
        let finished = self.progress.finished();
        let wanted = self.progress.seen().max(self.expected);
        if finished < wanted {
            let ended = format!("the stream ended with {finished} of {wanted} candidates finished");
            return Err(stream::truncated(&ended, self.malformed));
        }
        stream::readable(self.progress.any_content(), self.malformed)
    }

    fn error_of(body: &[u8]) -> Option<Failure> {
        errors::told(body)
    }

    fn usage(&self) -> Option<Usage> {
        self.progress.usage()
    }

    fn usage_report(&self) -> Option<Json> {
        self.progress.usage_report()
    }

    fn malformed(&self) -> u64 {
        self.malformed
    }
}

#[cfg(test)]
mod tests;
