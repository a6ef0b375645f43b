//! The short forms of single values: lengths of time and money. Each reads what the other side writes.

use crate::money::{self, Not, decimal};

/// Nanoseconds of each unit, longest first.
const UNITS: [(&str, i128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
/// Windows of the calendar, in the order of their numbers from 1 on.
pub(super) const CALENDAR: [&str; 5] = ["1d", "1w", "1mo", "1q", "1y"];
/// Units whose length depends on the calendar: only windows have them.
const CALENDAR_UNITS: [&str; 4] = ["w", "mo", "q", "y"];
const SECOND: i128 = 1_000_000_000;
/// Longest length of time that the wire can say, in seconds.
const MAX_SECONDS: i128 = 315_576_000_000;

/// What is wrong with a scalar: the problem and the hint.
pub(super) type Wrong = (String, String);

const TIME_HINT: &str = "write a whole number and a unit, such as `250ms`, `30s`, `5m` or `1h`";
const MONEY_HINT: &str =
    "write US dollars as a decimal number of at most nine decimals, such as `\"0.15\"`";
const WEIGHT_HINT: &str = "write a decimal number of at most three decimals, such as `0.1` or `4`";

/// Reads a length of time such as `250ms`, in nanoseconds.
pub(super) fn read_time(text: &str) -> Result<i128, Wrong> {
    let wrong = |problem: String| Err((problem, TIME_HINT.to_owned()));
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() || number.len() > 18 {
        return wrong(format!("{} is not a length of time", quoted(text)));
    }
    if unit.is_empty() {
        return wrong(format!("{} has no unit", quoted(text)));
    }
    if CALENDAR_UNITS.contains(&unit) {
        let problem = format!(
            "{} is not a length of time that is always the same",
            quoted(text)
        );
        let hint =
            "windows can be `1w`, `1mo`, `1q` or `1y`; the longest unit of anything else is `1d`";
        return Err((problem, hint.to_owned()));
    }
    let Some((_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return wrong(format!("{} has no known unit", quoted(text)));
    };
    let number: i128 = number.parse().map_err(|_| {
        (
            format!("{} is not a number", quoted(number)),
            TIME_HINT.to_owned(),
        )
    })?;
    let nanos = number * nanos;
    if nanos > MAX_SECONDS * SECOND {
        return wrong(format!("{} is too long", quoted(text)));
    }
    Ok(nanos)
}

/// Writes a length of time with the longest unit that needs no fraction.
pub(super) fn write_time(nanos: i128) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    // A policy says `24h` rather than `1d`, and `1h` rather than `60m`.
    let unit = UNITS.iter().skip(1).find(|(_, unit)| nanos % unit == 0);
    let (name, unit) = unit.copied().unwrap_or(("ns", 1));
    format!("{}{name}", nanos / unit)
}

/// Reads an amount of money such as `0.15`, in billionths.
pub(super) fn read_money(text: &str) -> Result<i64, Wrong> {
    let wrong = |problem: &str| (format!("{} {problem}", quoted(text)), MONEY_HINT.to_owned());
    let nanos = decimal(text, 9).map_err(|not| match not {
        Not::Decimal => wrong("is not an amount of money"),
        Not::Short => wrong("has more than nine decimals"),
        Not::Small => wrong("is too much"),
    })?;
    i64::try_from(nanos).map_err(|_| wrong("is too much"))
}

/// Writes an amount of money without needless zeros.
pub(super) fn write_money(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    format!("{sign}{}", money::dollars(nanos.unsigned_abs()))
}

/// Reads a factor such as `0.1`, in thousandths.
pub(super) fn read_weight(text: &str) -> Result<u32, Wrong> {
    let wrong = |problem: &str| {
        (
            format!("{} {problem}", quoted(text)),
            WEIGHT_HINT.to_owned(),
        )
    };
    let thousandths = decimal(text, 3).map_err(|not| match not {
        Not::Decimal => wrong("is not a weight"),
        Not::Short => wrong("has more than three decimals"),
        Not::Small => wrong("is too much"),
    })?;
    u32::try_from(thousandths).map_err(|_| wrong("is negative or too much"))
}

/// Writes a factor without needless zeros.
pub(super) fn write_weight(thousandths: u32) -> String {
    // As that many billionths, it has the same digits.
    money::dollars(u64::from(thousandths) * 1_000_000)
}

/// A scalar's text, for messages.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", crate::path::shorten(text))
}

#[cfg(test)]
mod tests {
    use super::{read_money, read_time, read_weight, write_money, write_time, write_weight};

    #[test]
    fn reads_and_writes_weights() {
        for (text, thousandths) in [("0", 0), ("0.1", 100), ("0.001", 1), ("4", 4000)] {
            assert_eq!(read_weight(text).unwrap(), thousandths, "{text}");
            assert_eq!(write_weight(thousandths), text);
        }
        assert_eq!(write_weight(u32::MAX), "4294967.295");
        for (text, problem) in [
            ("-1", "negative"),
            ("0.0001", "three decimals"),
            ("4294967.296", "too much"),
            ("1e3", "not a weight"),
        ] {
            let (found, _) = read_weight(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }

    #[test]
    fn reads_and_writes_time() {
        let cases = [
            ("0s", 0),
            ("1ns", 1),
            ("5us", 5_000),
            ("250ms", 250_000_000),
            ("30s", 30_000_000_000),
            ("5m", 300_000_000_000),
            ("1h", 3_600_000_000_000),
            ("24h", 86_400_000_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(read_time(text).unwrap(), nanos, "{text}");
            assert_eq!(write_time(nanos), text);
        }
        assert_eq!(read_time("1d").unwrap(), 86_400_000_000_000);
        assert_eq!(write_time(90_000_000_000), "90s");
    }

    #[test]
    fn refuses_what_is_not_time() {
        let cases = [
            ("", "not a length of time"),
            ("s", "not a length of time"),
            ("-5s", "not a length of time"),
            ("30", "has no unit"),
            ("1.5s", "no known unit"),
            ("5 m", "no known unit"),
            ("1H", "no known unit"),
            ("1h30m", "no known unit"),
            ("1mo", "always the same"),
            ("2w", "always the same"),
            ("999999999999d", "too long"),
            ("99999999999999999999999999999s", "not a length of time"),
        ];
        for (text, problem) in cases {
            let (found, hint) = read_time(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
            assert!(!hint.is_empty());
        }
    }

    #[test]
    fn reads_and_writes_money() {
        let cases = [
            ("0", 0),
            ("0.15", 150_000_000),
            ("2000", 2_000_000_000_000),
            ("0.000000001", 1),
            ("-1.5", -1_500_000_000),
            ("9223372036.854775807", i64::MAX),
            ("-9223372036.854775808", i64::MIN),
        ];
        for (text, nanos) in cases {
            assert_eq!(read_money(text).unwrap(), nanos, "{text}");
            assert_eq!(write_money(nanos), text);
        }
        assert_eq!(read_money("1.500000000000").unwrap(), 1_500_000_000);
    }

    #[test]
    fn refuses_what_is_not_money() {
        let cases = [
            ("", "not an amount"),
            ("$5", "not an amount"),
            ("1e3", "not an amount"),
            (".5", "not an amount"),
            ("5.", "not an amount"),
            ("1,5", "not an amount"),
            ("--1", "not an amount"),
            ("+1", "not an amount"),
            ("0.0000000001", "nine decimals"),
            ("9223372036.854775808", "too much"),
            ("99999999999999999999999999999999999999999999", "too much"),
        ];
        for (text, problem) in cases {
            let (found, _) = read_money(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }
}
