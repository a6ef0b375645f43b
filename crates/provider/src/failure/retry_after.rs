//! How long a provider asks to be left alone.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::rate_limits::RateLimits;

/// The longest wait believed. A provider that asks for more is asked again after this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `retry-after-ms`, then `retry-after` as seconds (fractions allowed) or as an HTTP date
/// relative to `now`, then the reset of those of the provider's limits that are used up. A value that
/// is not understood or lies in the past gives nothing.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    asked(headers, now).or_else(|| RateLimits::read(headers, now).exhausted())
}

fn asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let millis = text("retry-after-ms").and_then(|value| value.parse::<f64>().ok());
    if let Some(wait) = millis.and_then(|ms| wait_of_seconds(ms / 1000.0)) {
        return Some(wait);
    }
    let value = text("retry-after")?;
    match value.parse::<f64>() {
        Ok(number) => wait_of_seconds(number),
        Err(_) => {
            let at = httpdate::parse_http_date(value).ok()?;
            at.duration_since(now).ok().map(|wait| wait.min(LONGEST))
        }
    }
}

/// A wait of so many seconds, if the number makes sense.
pub(crate) fn wait_of_seconds(number: f64) -> Option<Duration> {
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    Duration::try_from_secs_f64(number)
        .ok()
        .or(Some(LONGEST))
        .map(|wait| wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::retry_after;

    #[test]
    fn every_form_is_read() {
        // 1994-11-06 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (headers, expect) in [
            (vec![("retry-after", "2")], Some(2_000)),
            (vec![("retry-after", " 1.5 ")], Some(1_500)),
            (
                vec![("retry-after-ms", "250"), ("retry-after", "1")],
                Some(250),
            ),
            (
                vec![("retry-after-ms", "soon"), ("retry-after", "1")],
                Some(1_000),
            ),
            (
                vec![("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")],
                Some(10_000),
            ),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:27 GMT")], None),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "1e300")], Some(86_400_000)),
            (vec![("retry-after", "later")], None),
            (
                vec![
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "1.5s"),
                ],
                Some(1_500),
            ),
            (
                vec![
                    ("x-ratelimit-remaining-tokens", "3"),
                    ("x-ratelimit-reset-tokens", "1.5s"),
                ],
                None,
            ),
            (vec![], None),
        ] {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect();
            assert_eq!(
                retry_after(&map, now),
                expect.map(Duration::from_millis),
                "{headers:?}"
            );
        }
    }
}
