use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The shortest window of any kind, in milliseconds.
const SHORTEST_WINDOW_MS: u64 = 1_000;
/// Fixed windows up to this long, in milliseconds, begin anew too often for a write per counter.
const LONGEST_BRIEF_MS: u64 = 10_000;
/// The longest window of any kind, in milliseconds.
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
    /// So many units in any interval as long as the window, wherever it begins.
    Sliding {
        /// Length of the window, in milliseconds.
        window_ms: u64,
    },
    /// A token bucket: units come in at a steady rate, and so many can be saved up.
    Bucket {
        /// The time in which the limit's units come in, in milliseconds.
        window_ms: u64,
    },
}

impl Kind {
    /// Length of the window, in milliseconds.
    #[must_use]
    pub fn window_ms(self) -> u64 {
        match self {
            Self::Fixed { window_ms }
            | Self::Sliding { window_ms }
            | Self::Bucket { window_ms } => window_ms,
        }
    }

    /// Whether units lapse with a window of their own. Those of other kinds last while their owner
    /// hears of the node that holds them, and bear an epoch and a generation instead of a window.
    #[must_use]
    pub fn is_windowed(self) -> bool {
        matches!(self, Self::Fixed { .. })
    }

    /// Whether the owner writes ahead until when it may hand out, rather than how much.
    #[must_use]
    pub(crate) fn is_by_horizon(self) -> bool {
        match self {
            Self::Fixed { window_ms } => window_ms <= LONGEST_BRIEF_MS,
            Self::Sliding { .. } | Self::Bucket { .. } => true,
        }
    }

    /// Refuses what no keeping serves.
    pub(crate) fn check(self) -> Result<(), Error> {
        let window_ms = self.window_ms();
        if (SHORTEST_WINDOW_MS..=LONGEST_WINDOW_MS).contains(&window_ms) {
            Ok(())
        } else {
            Err(Error::WindowLength(window_ms))
        }
    }
}

/// The part of a counter's text form: `60000`, `sliding-60000`, `bucket-60000`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { window_ms } => write!(f, "{window_ms}"),
            Self::Sliding { window_ms } => write!(f, "sliding-{window_ms}"),
            Self::Bucket { window_ms } => write!(f, "bucket-{window_ms}"),
        }
    }
}

impl FromStr for Kind {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(window) = text.strip_prefix("sliding-") {
            let window_ms = window.parse()?;
            return Ok(Self::Sliding { window_ms });
        }
        if let Some(window) = text.strip_prefix("bucket-") {
            let window_ms = window.parse()?;
            return Ok(Self::Bucket { window_ms });
        }
        let window_ms = text.parse()?;
        Ok(Self::Fixed { window_ms })
    }
}
