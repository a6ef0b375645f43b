//! Points in time as text, in the proleptic Gregorian calendar and UTC.

use std::time::{Duration, SystemTime};

/// Reads RFC 3339, such as `2026-11-26T18:00:00.25Z` or with `+01:00` at its end. Points before 1970 are
/// none.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let (day, clock) = text.split_once(['T', 't', ' '])?;
    let [year, month, date] = numbers(day, '-')?;
    let zone = clock.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = clock.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = numbers(clock, ':')?;
    let known = (1..=12).contains(&month) && (1..=31).contains(&date);
    if !known || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_since_epoch(year, month, date) * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = u64::try_from(seconds - offset(zone)?).ok()?;
    let nanos = nanoseconds(fraction)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// Year, month, day and second of the day, for points from 1970 on.
pub(crate) fn calendar(time: SystemTime) -> (i64, i64, i64, u64) {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |it| it.as_secs());
    let days = i64::try_from(seconds / 86_400).unwrap_or(i64::MAX);
    let (year, month, day) = date_of(days);
    (year, month, day, seconds % 86_400)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between).map(|part| {
        let plain = (1..=4).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
        plain.then(|| part.parse::<i64>().ok()).flatten()
    });
    let all = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(all)
}

/// Seconds ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let [hours, minutes, _] = numbers(&format!("{}:0", &zone[1..]), ':')?;
    Some(sign * (hours * 3600 + minutes * 60))
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    if fraction.is_empty() {
        return Some(0);
    }
    let plain = fraction.bytes().all(|it| it.is_ascii_digit());
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    plain.then(|| digits.parse().ok()).flatten()
}

/// Days from 1970-01-01. Howard Hinnant's algorithm: years begin in March, so that the day which leap
/// years add is their last, and repeat every 400 years.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of `days_since_epoch`.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{calendar, date_of, days_since_epoch, parse};

    #[test]
    fn points_in_time_are_read() {
        for (text, expect) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2015-08-30T12:36:00Z", Some(1_440_938_160_000)),
            ("2024-02-29t23:59:59.999z", Some(1_709_251_199_999)),
            ("2026-11-26T19:00:00+01:00", Some(1_795_716_000_000)),
            ("2026-11-26T12:30:00-05:30", Some(1_795_716_000_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00Z", None),
            ("2026-01-01T00:00:00+é", None),
            ("2026-01-01", None),
            ("", None),
        ] {
            let expect = expect.map(|it| SystemTime::UNIX_EPOCH + Duration::from_millis(it));
            assert_eq!(parse(text), expect, "{text}");
        }
    }

    #[test]
    fn every_day_of_a_calendars_round_has_one_date() {
        for days in 0..146_097 {
            let (year, month, day) = date_of(days);
            assert_eq!(days_since_epoch(year, month, day), days);
        }
        let time = parse("2015-08-30T12:36:00Z").unwrap();
        assert_eq!(calendar(time), (2015, 8, 30, 45_360));
    }
}
