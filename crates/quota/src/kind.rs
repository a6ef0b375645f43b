use std::fmt;
use std::str::FromStr;

use crate::period::{DAY_MS, Period, Span, Zone};
use crate::{Error, OwnerTime, Window};

/// The shortest window of any kind, in milliseconds.
const SHORTEST_WINDOW_MS: u64 = 1_000;
/// Fixed windows up to this long, in milliseconds, begin anew too often for a write per counter.
pub(crate) const LONGEST_BRIEF_MS: u64 = 10_000;
/// The longest fixed window whose charge is kept as a mark, in milliseconds. What is granted to a node that dies
/// stays charged until such a window ends; longer ones are kept by rows that can be closed. No sliding window, and
/// no bucket, is longer.
pub const LONGEST_WINDOW_MS: u64 = 3_600_000;
/// The longest fixed window, in milliseconds.
pub const LONGEST_FIXED_MS: u64 = 366 * DAY_MS;
/// What never ends, ends so much later, in milliseconds: a hundred years. Not `u64::MAX`, to leave room for sums.
pub(crate) const FOREVER_MS: u64 = 100 * 366 * DAY_MS;
/// When what never ends ends.
const NEVER: OwnerTime = OwnerTime(4 * FOREVER_MS);

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
    /// Windows follow one another as the calendar of a time zone has it, and each begins from zero.
    Calendar {
        /// What a window is.
        period: Period,
        /// By which clocks.
        zone: Zone,
    },
    /// One window that never ends: what is spent is spent for good.
    Endless,
    /// Units are slots: held while a request runs, never spent.
    Concurrent,
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
    /// Whether its charge is kept by rows that outlive terms and processes, instead of a mark per window.
    #[must_use]
    pub fn is_ledger(self) -> bool {
        match self {
            Self::Fixed { window_ms } => window_ms > LONGEST_WINDOW_MS,
            Self::Sliding { .. } | Self::Bucket { .. } => false,
            Self::Calendar { .. } | Self::Endless | Self::Concurrent => true,
        }
    }

    /// Whether its charge is kept as a mark per window: only then can units of windows to come be promised.
    #[must_use]
    pub fn has_marks(self) -> bool {
        self.has_windows() && !self.is_ledger() && !self.is_by_horizon()
    }

    /// Its name, for people: `fixed`, `sliding`, `bucket`, `endless` or `concurrent`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed { .. } | Self::Calendar { .. } => "fixed",
            Self::Sliding { .. } => "sliding",
            Self::Bucket { .. } => "bucket",
            Self::Endless => "endless",
            Self::Concurrent => "concurrent",
        }
    }

    /// Length of the window, in milliseconds; the longest possible where the calendar decides.
    #[must_use]
    pub fn window_ms(self) -> u64 {
        match self {
            Self::Fixed { window_ms }
            | Self::Sliding { window_ms }
            | Self::Bucket { window_ms } => window_ms,
            Self::Calendar { period, .. } => period.longest_ms(),
            Self::Endless | Self::Concurrent => FOREVER_MS,
        }
    }

    /// Whether its windows end.
    #[must_use]
    pub fn has_windows(self) -> bool {
        match self {
            Self::Fixed { .. } | Self::Calendar { .. } => true,
            Self::Sliding { .. } | Self::Bucket { .. } | Self::Endless | Self::Concurrent => false,
        }
    }

    /// Whether units bear a window's label, be it that of the only window ever. Those of other kinds last while
    /// their owner hears of the node that holds them, and bear an epoch and a generation instead of a window.
    #[must_use]
    pub fn is_windowed(self) -> bool {
        match self {
            Self::Fixed { .. } | Self::Calendar { .. } | Self::Endless | Self::Concurrent => true,
            Self::Sliding { .. } | Self::Bucket { .. } => false,
        }
    }

    /// The window that `now` falls into. Kinds that bear no label have one that never ends.
    #[must_use]
    pub fn span(self, now: OwnerTime) -> Span {
        match self {
            Self::Fixed { window_ms } => {
                let window = Window::at(now, window_ms);
                Span {
                    window,
                    start: window.start(window_ms),
                    end: window.end(window_ms),
                }
            }
            Self::Calendar { period, zone } => period.at(now, zone),
            // Label 0 means that nothing was heard.
            Self::Sliding { .. } | Self::Bucket { .. } | Self::Endless | Self::Concurrent => Span {
                window: Window(1),
                start: OwnerTime(0),
                end: NEVER,
            },
        }
    }

    /// Whether the owner writes ahead until when it may hand out, rather than how much.
    #[must_use]
    pub(crate) fn is_by_horizon(self) -> bool {
        match self {
            Self::Fixed { window_ms } => window_ms <= LONGEST_BRIEF_MS,
            Self::Sliding { .. } | Self::Bucket { .. } => true,
            Self::Calendar { .. } | Self::Endless | Self::Concurrent => false,
        }
    }

    /// Refuses what no keeping serves.
    pub(crate) fn check(self) -> Result<(), Error> {
        let longest = match self {
            Self::Fixed { .. } => LONGEST_FIXED_MS,
            Self::Sliding { .. } | Self::Bucket { .. } => LONGEST_WINDOW_MS,
            Self::Calendar { .. } | Self::Endless | Self::Concurrent => return Ok(()),
        };
        let window_ms = self.window_ms();
        if (SHORTEST_WINDOW_MS..=longest).contains(&window_ms) {
            Ok(())
        } else {
            Err(Error::WindowLength(window_ms))
        }
    }
}

/// The part of a counter's text form: `60000`, `sliding-60000`, `bucket-60000`, `1mo@Europe:Berlin`, `endless`,
/// `concurrent`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { window_ms } => write!(f, "{window_ms}"),
            Self::Sliding { window_ms } => write!(f, "sliding-{window_ms}"),
            Self::Bucket { window_ms } => write!(f, "bucket-{window_ms}"),
            // The text form of a counter is parted by slashes.
            Self::Calendar { period, zone } => {
                write!(f, "{}@{}", period.as_str(), zone.name().replace('/', ":"))
            }
            Self::Endless => f.write_str("endless"),
            Self::Concurrent => f.write_str("concurrent"),
        }
    }
}

impl FromStr for Kind {
    /// The text says no kind.
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| text.parse().map_err(|_| ());
        if let Some((period, zone)) = text.split_once('@') {
            return Ok(Self::Calendar {
                period: period.parse()?,
                zone: Zone::named(&zone.replace(':', "/")).ok_or(())?,
            });
        }
        if let Some(window) = text.strip_prefix("sliding-") {
            let window_ms = number(window)?;
            return Ok(Self::Sliding { window_ms });
        }
        if let Some(window) = text.strip_prefix("bucket-") {
            let window_ms = number(window)?;
            return Ok(Self::Bucket { window_ms });
        }
        match text {
            "endless" => Ok(Self::Endless),
            "concurrent" => Ok(Self::Concurrent),
            _ => {
                let window_ms = number(text)?;
                Ok(Self::Fixed { window_ms })
            }
        }
    }
}
