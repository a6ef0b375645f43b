//! How events become bytes: server-sent events, or the binary event stream of AWS.

use bytes::Bytes;

use super::wire::{Event, Role};
use super::{JSON, SSE};
use crate::provider::format::Format;

/// How the events of a stream are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Server-sent events with this end of line.
    Sse(&'static str),
    /// Messages of `application/vnd.amazon.eventstream`.
    Binary,
}

const BINARY: &str = "application/vnd.amazon.eventstream";

impl Framing {
    pub(super) fn of(format: Format, crlf: bool) -> Self {
        match format {
            Format::Bedrock => Self::Binary,
            Format::Gemini => Self::Sse("\r\n"),
            Format::OpenAi | Format::Responses | Format::Anthropic | Format::Cohere if crlf => {
                Self::Sse("\r\n")
            }
            Format::OpenAi | Format::Responses | Format::Anthropic | Format::Cohere => {
                Self::Sse("\n")
            }
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Sse(_) => SSE,
            Self::Binary => BINARY,
        }
    }

    /// A comment that means nothing, where there are such.
    pub(super) fn comment(self) -> Option<Bytes> {
        match self {
            Self::Sse(_) => Some(Bytes::from_static(b": still here\n\n")),
            Self::Binary => None,
        }
    }

    pub(super) fn frame(self, event: &Event) -> Bytes {
        match self {
            Self::Sse(end) => {
                let mut out = String::with_capacity(event.data.len() + event.name.len() + 24);
                if !event.name.is_empty() {
                    out.push_str("event: ");
                    out.push_str(event.name);
                    out.push_str(end);
                }
                out.push_str("data: ");
                out.push_str(&event.data);
                out.push_str(end);
                out.push_str(end);
                out.into()
            }
            Self::Binary => message(event),
        }
    }
}

/// A message of the binary event stream, by its specification: lengths, their checksum, headers, payload, checksum
/// of it all.
fn message(event: &Event) -> Bytes {
    let (message_type, name) = match event.role {
        Role::Error => ("exception", ":exception-type"),
        Role::Plain | Role::Usage | Role::Sentinel => ("event", ":event-type"),
    };
    let mut headers = Vec::new();
    for (name, value) in [
        (name, event.name),
        (":content-type", JSON),
        (":message-type", message_type),
    ] {
        headers.push(length(name) as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.push(7); // a string
        headers.extend_from_slice(&(length(value) as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = 12 + headers.len() + event.data.len() + 4;
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&u32::try_from(total).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&u32::try_from(headers.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(event.data.as_bytes());
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.into()
}

/// Names and values are literals of this crate, far shorter than a byte can say.
fn length(text: &str) -> usize {
    text.len().min(usize::from(u8::MAX))
}

/// The checksum of IEEE 802.3, one bit at a time.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let lowest = crc & 1;
            crc = (crc >> 1) ^ (0xEDB8_8320 & lowest.wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_binary_message_says_its_lengths() {
        let event = Event::plain("messageStart", "{}".to_owned());
        let bytes = Framing::Binary.frame(&event);
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(number(0) as usize, bytes.len());
        assert_eq!(number(8), crc32(&bytes[..8]));
        assert_eq!(number(bytes.len() - 4), crc32(&bytes[..bytes.len() - 4]));
        let headers = number(4) as usize;
        assert_eq!(&bytes[12 + headers..bytes.len() - 4], b"{}");
        assert!(bytes.windows(12).any(|run| run == b"messageStart"));
    }
}
