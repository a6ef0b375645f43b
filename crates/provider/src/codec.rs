//! The seam between the canonical conversation and a provider's wire format.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use crate::chat::{Chunk, Request, Response, Usage};
use crate::failure::Failure;
use crate::{Error, openai};

/// A kind of provider: which wire format it speaks, and in which dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `OpenAI` itself.
    OpenAi,
    /// Any server that offers `OpenAI`'s chat completions.
    OpenAiCompatible,
}

impl Kind {
    /// Every kind that has a codec.
    pub const ALL: [Self; 2] = [Self::OpenAi, Self::OpenAiCompatible];

    /// The name used in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiCompatible => "openai_compatible",
        }
    }

    /// The kind of that name, if it has a codec. `simulated` has none: see the module `simulated`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Where the provider is found when the policy gives no address.
    #[must_use]
    pub fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::OpenAiCompatible => None,
        }
    }
}

/// What a request is sent to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The model by the provider's name for it.
    pub model: &'a str,
}

/// A request ready to be sent, but for the address of the provider and the credential.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// What to append to the provider's base URL, with its leading slash.
    pub path: String,
    /// The headers, credential not included: see `Codec::authorize`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Encodes for and decodes from one kind of provider. Cheap to copy; holds no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    kind: Kind,
}

impl Codec {
    /// The codec of a kind.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind }
    }

    /// The kind this codec speaks for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Encodes a request. With `stream`, the provider is always asked to report usage at the end.
    ///
    /// # Errors
    /// `Error::Unsupported` naming the first field the provider has no words for, and
    /// `Error::Invalid` for a provider option that would replace a field the gateway sets.
    pub fn encode(
        &self,
        request: &Request,
        target: &Target<'_>,
        stream: bool,
    ) -> Result<HttpRequest, Error> {
        match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible => {
                openai::encode(request, target, self.kind, stream)
            }
        }
    }

    /// Writes the credential into the header where this kind of provider looks for it. The value is
    /// marked sensitive, so that `Debug` of the headers does not show it.
    ///
    /// # Errors
    /// `Error::Credential` when the credential cannot be part of a header.
    pub fn authorize(&self, headers: &mut HeaderMap, credential: &str) -> Result<(), Error> {
        match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible => {
                let mut value = HeaderValue::try_from(format!("Bearer {credential}"))
                    .map_err(|_| Error::Credential)?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
                Ok(())
            }
        }
    }

    /// Decodes the body of a 200 that was not streamed.
    ///
    /// # Errors
    /// A `Failure` when the body is not a whole answer: an error object, an answer without choices,
    /// not JSON at all.
    pub fn decode(&self, body: &[u8]) -> Result<Response, Failure> {
        match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible => openai::decode(body),
        }
    }

    /// A decoder for the body of a 200 that is streamed; `choices` is `Request::choice_count`.
    ///
    /// Only for a body of type `text/event-stream`: where a provider answers a streaming request
    /// with plain JSON, `decode` finds out what it says.
    #[must_use]
    pub fn stream_decoder(&self, choices: u32) -> StreamDecoder {
        match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible => StreamDecoder {
                inner: openai::StreamDecoder::new(choices),
            },
        }
    }

    /// Classifies an answer whose status is not 2xx. `body` may be cut short; `now` is for waits
    /// given as a date.
    #[must_use]
    pub fn classify(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Failure {
        match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible => openai::classify(status, headers, body, now),
        }
    }
}

/// Decodes the body of one streamed answer, slice by slice.
///
/// Once it has failed it stays failed.
#[derive(Debug)]
pub struct StreamDecoder {
    inner: openai::StreamDecoder,
}

impl StreamDecoder {
    /// Takes the next bytes, however they were cut, and appends what they complete to `out`.
    ///
    /// # Errors
    /// The `Failure` that ends this stream: an error event, or a line or event beyond the bounds of
    /// `sse`. What was appended to `out` before it is valid.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.inner.push(bytes, out)
    }

    /// Must be called when the body has ended cleanly; appends what was still held back, the usage
    /// as the very last. Only an `Ok` from here makes the answer a success.
    ///
    /// # Errors
    /// `Class::Truncated` when some choice has no finish reason; or the failure that ended the
    /// stream before.
    pub fn finish(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.inner.finish(out)
    }

    /// Whether the provider has said that nothing more follows, so that the rest of the body need
    /// not be waited for. `finish` must still be called.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.inner.is_done()
    }

    /// The latest usage the provider reported, also for a stream that failed: for the bill.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.inner.usage()
    }

    /// How many events could not be read and were skipped.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.inner.malformed()
    }
}
