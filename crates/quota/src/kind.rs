use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The shortest fixed window, exclusive, in milliseconds.
const SHORTEST_WINDOW_MS: u64 = 10_000;
/// The longest fixed window, inclusive, in milliseconds.
pub const LONGEST_WINDOW_MS: u64 = 3_600_000;

/// How a limit counts over time.
///
/// It is part of a counter's name, because what is counted one way says nothing about what is counted
/// another way: were it the same counter, a limit whose window changes from a minute to an hour and back
/// within the minute would find that minute's count gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Windows follow one another, aligned to the Unix epoch, and each begins from zero.
    Fixed {
        /// Length of a window, in milliseconds.
        window_ms: u64,
    },
}

impl Kind {
    /// Length of the window, in milliseconds.
    #[must_use]
    pub fn window_ms(self) -> u64 {
        match self {
            Self::Fixed { window_ms } => window_ms,
        }
    }

    /// Refuses what no keeping serves.
    pub(crate) fn check(self) -> Result<(), Error> {
        match self {
            Self::Fixed { window_ms }
                if window_ms > SHORTEST_WINDOW_MS && window_ms <= LONGEST_WINDOW_MS =>
            {
                Ok(())
            }
            Self::Fixed { window_ms } => Err(Error::WindowLength(window_ms)),
        }
    }
}

/// The part of a counter's text form: `60000`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { window_ms } => write!(f, "{window_ms}"),
        }
    }
}

impl FromStr for Kind {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let window_ms = text.parse()?;
        Ok(Self::Fixed { window_ms })
    }
}
