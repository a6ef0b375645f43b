//! Where the body of an answer ends (RFC 9112, sections 6 and 7): pure, over the bytes that have arrived.

use memchr::memchr;

use super::Broken;

/// The longest line within a chunked body, its extensions included, bytes.
const LONGEST_LINE: usize = 4 * 1024;
/// The longest trailers of a chunked body, bytes.
const LONGEST_TRAILERS: usize = 16 * 1024;

/// How a body is delimited, and how far it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks, each with its length.
    Chunked(Chunked),
    /// To the end of the connection.
    UntilClose,
    /// It has been read.
    Over,
}

/// What comes next of a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) enum Chunked {
    /// The line with a chunk's length.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line end after a chunk.
    End,
    /// Trailers; so many bytes of them have passed.
    Trailers(usize),
}

/// What to do with the bytes that have arrived: pass over some, then take some as content. Where there is nothing
/// to take, more must arrive, unless the body is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Step {
    pub(in crate::upstream) skip: usize,
    pub(in crate::upstream) take: usize,
}

// === impl Framing ===

impl Framing {
    /// A body of known length.
    pub(super) fn length(length: u64) -> Self {
        match length {
            0 => Self::Over,
            length => Self::Length(length),
        }
    }

    /// The next step over `input`, the bytes that have arrived and are not yet consumed.
    ///
    /// # Errors
    /// The body is not framed as it should be.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<Step, Broken> {
        match *self {
            Self::Over => Ok(Step::default()),
            Self::UntilClose => Ok(Step {
                skip: 0,
                take: input.len(),
            }),
            Self::Length(left) => {
                let take = within(left, input);
                *self = Self::length(left.saturating_sub(take as u64));
                Ok(Step { skip: 0, take })
            }
            Self::Chunked(at) => self.chunked(at, input),
        }
    }

    fn chunked(&mut self, mut at: Chunked, input: &[u8]) -> Result<Step, Broken> {
        let mut rest = input;
        let mut step = Step::default();
        loop {
            let next = match at {
                Chunked::Size => line(&mut rest)?.map(size).transpose()?,
                Chunked::End => match line(&mut rest)? {
                    Some([]) => Some(Chunked::Size),
                    Some(_) => return Err(Broken::Malformed("a chunk is longer than it says")),
                    None => None,
                },
                Chunked::Trailers(passed) => match line(&mut rest)? {
                    Some([]) => {
                        *self = Self::Over;
                        step.skip = input.len() - rest.len();
                        return Ok(step);
                    }
                    Some(line) => Some(trailer(passed, line)?),
                    None => None,
                },
                Chunked::Data(left) => {
                    step.take = within(left, rest);
                    let left = left - step.take as u64;
                    at = if left == 0 {
                        Chunked::End
                    } else {
                        Chunked::Data(left)
                    };
                    None
                }
            };
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        *self = Self::Chunked(at);
        step.skip = input.len() - rest.len();
        Ok(step)
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// The body was to go on.
    pub(super) fn close(&mut self) -> Result<(), Broken> {
        match self {
            Self::Over => Ok(()),
            Self::UntilClose => {
                *self = Self::Over;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(Broken::Closed),
        }
    }

    pub(in crate::upstream) fn is_over(self) -> bool {
        self == Self::Over
    }
}

fn within(left: u64, input: &[u8]) -> usize {
    usize::try_from(left).map_or(input.len(), |left| left.min(input.len()))
}

/// Takes a line off `rest`, without its end; none where it has not all arrived.
fn line<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Broken> {
    let Some(end) = memchr(b'\n', rest) else {
        if rest.len() > LONGEST_LINE {
            return Err(Broken::Malformed("a line of its chunks has no end"));
        }
        return Ok(None);
    };
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    match line.strip_suffix(b"\r") {
        Some(line) if !line.contains(&b'\r') => Ok(Some(line)),
        _ => Err(Broken::Malformed(
            "a line of its chunks does not end in CR LF",
        )),
    }
}

fn size(line: &[u8]) -> Result<Chunked, Broken> {
    let malformed = Broken::Malformed("a chunk's length is no number");
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (number, extension) = line.split_at(digits);
    let extension = extension.trim_ascii_start();
    if !extension.is_empty() && !extension.starts_with(b";") {
        return Err(malformed);
    }
    let number = std::str::from_utf8(number).unwrap_or_default();
    match u64::from_str_radix(number, 16) {
        Ok(0) => Ok(Chunked::Trailers(0)),
        Ok(size) => Ok(Chunked::Data(size)),
        Err(_) => Err(malformed),
    }
}

/// Nothing is made of trailers: no provider says anything in them.
fn trailer(passed: usize, line: &[u8]) -> Result<Chunked, Broken> {
    let passed = passed + line.len();
    if passed > LONGEST_TRAILERS {
        return Err(Broken::Malformed("its trailers are longer than 16 KiB"));
    }
    Ok(Chunked::Trailers(passed))
}

#[cfg(test)]
mod tests;
