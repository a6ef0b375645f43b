//! AWS event streams: binary frames, told from each other as the bytes arrive.
//!
//! A frame is its whole length and the length of its headers (four bytes each, the highest first), a
//! checksum of these, headers, a payload, and a checksum of all before it (CRC-32, as in Ethernet).
//! See "Amazon event stream specification" of Smithy. Memory is bounded: a longer frame is an error.

use crate::stream::Frames;

/// The longest frame accepted, in bytes.
const MAX_FRAME: usize = 4 * 1024 * 1024;
/// The two lengths and their checksum.
const PRELUDE: usize = 12;
/// What a frame has beside headers and payload.
const AROUND: usize = PRELUDE + 4;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    /// The event's type, the exception's type, or the error's code.
    pub(crate) name: &'a str,
    /// The payload; the error's text for an error.
    pub(crate) payload: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    /// An error that the service's description knows.
    Exception,
    /// Any other error.
    Error,
}

/// The bytes are no event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("a frame of the event stream is longer than {MAX_FRAME} bytes")]
    Long,
    #[error("a frame of the event stream has impossible lengths")]
    Lengths,
    #[error("a checksum of the event stream is wrong")]
    Checksum,
    #[error("the headers of a frame of the event stream cannot be read")]
    Headers,
}

/// Finds frames in a body that arrives in slices cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The start of a frame whose end has not arrived.
    partial: Vec<u8>,
}

impl Frames for Decoder {
    type Event<'a> = Frame<'a>;
    type Error = Broken;

    fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(Frame<'_>)) -> Result<(), Broken> {
        if self.partial.is_empty() {
            // Mostly frames come whole, and nothing is copied.
            let rest = frames(bytes, &mut sink)?;
            self.partial.extend_from_slice(rest);
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let rest = frames(&self.partial, &mut sink)?.len();
        let taken = self.partial.len() - rest;
        self.partial.drain(..taken);
        Ok(())
    }

    /// A part of a frame is nothing: its checksum is missing.
    fn finish(&mut self, _sink: impl FnMut(Frame<'_>)) -> Result<(), Broken> {
        Ok(())
    }
}

/// Hands every whole frame to `sink` and gives what is left.
fn frames<'a>(mut bytes: &'a [u8], sink: &mut impl FnMut(Frame<'_>)) -> Result<&'a [u8], Broken> {
    while let Some(length) = length(bytes)? {
        let Some((whole, rest)) = bytes.split_at_checked(length) else {
            break;
        };
        if let Some(frame) = frame(whole)? {
            sink(frame);
        }
        bytes = rest;
    }
    Ok(bytes)
}

/// The length of the frame that begins here; none where its prelude has not arrived. Lengths are believed
/// only with their checksum: a wrong one could make the gateway wait for a frame that never ends.
fn length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let Some((prelude, _)) = bytes.split_at_checked(PRELUDE) else {
        return Ok(None);
    };
    let length = number(prelude, 0)?;
    let headers = number(prelude, 4)?;
    if crc32(&prelude[..8]) != word(prelude, 8)? {
        return Err(Broken::Checksum);
    }
    if length > MAX_FRAME {
        return Err(Broken::Long);
    }
    if length < AROUND || headers > length - AROUND {
        return Err(Broken::Lengths);
    }
    Ok(Some(length))
}

/// Reads a whole frame; none where it is of a type that means nothing here.
fn frame(whole: &[u8]) -> Result<Option<Frame<'_>>, Broken> {
    let end = whole.len() - 4;
    if crc32(&whole[..end]) != word(whole, end)? {
        return Err(Broken::Checksum);
    }
    let headers_end = PRELUDE + number(whole, 4)?;
    let headers = Headers::read(&whole[PRELUDE..headers_end])?;
    let payload = &whole[headers_end..end];
    Ok(match (headers.message_type, headers) {
        (
            "event",
            Headers {
                event_type: name, ..
            },
        ) => Some(Frame {
            kind: Kind::Event,
            name,
            payload,
        }),
        (
            "exception",
            Headers {
                exception_type: name,
                ..
            },
        ) => Some(Frame {
            kind: Kind::Exception,
            name,
            payload,
        }),
        (
            "error",
            Headers {
                error_code: name,
                error_message,
                ..
            },
        ) => Some(Frame {
            kind: Kind::Error,
            name,
            payload: error_message.as_bytes(),
        }),
        _ => None,
    })
}

/// The headers that mean something here.
#[derive(Debug, Clone, Copy, Default)]
struct Headers<'a> {
    message_type: &'a str,
    event_type: &'a str,
    exception_type: &'a str,
    error_code: &'a str,
    error_message: &'a str,
}

impl<'a> Headers<'a> {
    fn read(mut bytes: &'a [u8]) -> Result<Self, Broken> {
        let mut headers = Self::default();
        while !bytes.is_empty() {
            let length = usize::from(take(&mut bytes, 1)?[0]);
            let name = take(&mut bytes, length)?;
            let Some(text) = value(&mut bytes)? else {
                continue;
            };
            let place = match name {
                b":message-type" => &mut headers.message_type,
                b":event-type" => &mut headers.event_type,
                b":exception-type" => &mut headers.exception_type,
                b":error-code" => &mut headers.error_code,
                b":error-message" => &mut headers.error_message,
                _ => continue,
            };
            *place = std::str::from_utf8(text).map_err(|_| Broken::Headers)?;
        }
        Ok(headers)
    }
}

/// Reads the value of a header; none where it is not a text.
fn value<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Broken> {
    let fixed = match take(bytes, 1)?[0] {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        kind @ (6 | 7) => {
            let length = take(bytes, 2)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let text = take(bytes, length)?;
            return Ok((kind == 7).then_some(text));
        }
        _ => return Err(Broken::Headers),
    };
    take(bytes, fixed)?;
    Ok(None)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Broken> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(Broken::Headers)?;
    *bytes = rest;
    Ok(taken)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Broken> {
    let word = bytes.get(at..at + 4).ok_or(Broken::Lengths)?;
    let word: [u8; 4] = word.try_into().map_err(|_| Broken::Lengths)?;
    Ok(u32::from_be_bytes(word))
}

fn number(bytes: &[u8], at: usize) -> Result<usize, Broken> {
    usize::try_from(word(bytes, at)?).map_err(|_| Broken::Long)
}

/// CRC-32 with the reflected polynomial 0xEDB88320, a byte at a time.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ TABLE[usize::from(low ^ byte)]
    };
    !bytes.iter().fold(u32::MAX, step)
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
pub(super) mod tests;
