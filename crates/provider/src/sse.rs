//! Server-sent events, decoded as the bytes arrive.
//!
//! Follows the event-stream format of the WHATWG HTML standard, section 9.2.6, with two deliberate
//! differences. Memory is bounded: a line or an event beyond its bound is an error. And bytes that
//! still wait for their line end when the body is over are delivered by `finish`, not thrown away:
//! some providers leave out the last blank line, and the reader above can tell a whole JSON
//! document from a cut one.
//!
//! `id` and `retry` fields are ignored: an answer in flight cannot be resumed.

use memchr::{memchr, memchr2};

/// The longest line accepted, in bytes.
pub const MAX_LINE: usize = 1024 * 1024;
/// The longest data of one event accepted, in bytes.
pub const MAX_EVENT: usize = 4 * 1024 * 1024;

/// One event. The bytes are as received: they need not be UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's name; empty where none was given.
    pub name: &'a [u8],
    /// The data lines, joined by line feeds.
    pub data: &'a [u8],
}

/// A line or event longer than its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLong {
    /// A line beyond `MAX_LINE`.
    #[error("a line of the event stream is longer than {MAX_LINE} bytes")]
    Line,
    /// An event beyond `MAX_EVENT`.
    #[error("an event of the event stream is longer than {MAX_EVENT} bytes")]
    Event,
}

/// Finds events in a body that arrives in slices cut anywhere.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The start of a line whose end has not arrived.
    partial: Vec<u8>,
    /// The data of the event under construction, each line followed by a line feed.
    data: Vec<u8>,
    /// The name of the event under construction.
    name: Vec<u8>,
    /// The last byte seen ended a line by CR, so that an LF right after it belongs to it.
    after_cr: bool,
    /// A line has been seen, so a byte order mark is no longer one.
    begun: bool,
}

impl Decoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and hands every event they complete to `sink`.
    ///
    /// # Errors
    /// `TooLong`; the decoder must not be used any more.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(Event<'_>),
    ) -> Result<(), TooLong> {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = memchr2(b'\r', b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            self.complete_line(line, &mut sink)?;
            bytes = match rest {
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => rest,
            };
            self.after_cr = rest == b"\r";
        }
        if self.partial.len() + bytes.len() > MAX_LINE {
            return Err(TooLong::Line);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Delivers what still waits for its end. Call it once, when the body is over.
    ///
    /// # Errors
    /// `TooLong`, as from `push`.
    pub fn finish(&mut self, mut sink: impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        if !self.partial.is_empty() {
            self.complete_line(&[], &mut sink)?;
        }
        self.dispatch(&mut sink);
        Ok(())
    }

    /// Takes one line: what waited in `partial`, then `line`.
    fn complete_line(
        &mut self,
        line: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), TooLong> {
        if self.partial.len() + line.len() > MAX_LINE {
            return Err(TooLong::Line);
        }
        if self.partial.is_empty() {
            return self.take_line(line, sink);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(line);
        let taken = self.take_line(&whole, sink);
        whole.clear();
        self.partial = whole;
        taken
    }

    fn take_line(
        &mut self,
        mut line: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), TooLong> {
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(sink);
            return Ok(());
        }
        let (field, value) = match memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.data.len() + value.len() >= MAX_EVENT {
                    return Err(TooLong::Event);
                }
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            // An empty field name is a comment; any other field means nothing here.
            _ => {}
        }
        Ok(())
    }

    /// Hands over the event under construction, unless it has no data.
    fn dispatch(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        if let Some((_, data)) = self.data.split_last() {
            sink(Event {
                name: &self.name,
                data,
            });
        }
        self.data.clear();
        self.name.clear();
    }
}

#[cfg(test)]
mod tests;
