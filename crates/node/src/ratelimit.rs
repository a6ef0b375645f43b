//! Tells callers how their limits stand, under the names that OpenAI uses:
//! `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, the tightest limit of each kind.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::permit::{Gauge, LimitState};

const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];

const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Adds what is known.
pub(crate) fn write(headers: &mut HeaderMap, limits: &LimitState) {
    // These and the few beside them, without growing step by step.
    headers.reserve(12);
    for (names, gauge) in [(REQUESTS, &limits.requests), (TOKENS, &limits.tokens)] {
        if let Some(gauge) = gauge {
            write_one(headers, names, gauge);
        }
    }
}

fn write_one(headers: &mut HeaderMap, [limit, remaining, reset]: [HeaderName; 3], gauge: &Gauge) {
    headers.insert(limit, gauge.limit.into());
    headers.insert(remaining, gauge.remaining.into());
    if let Ok(value) = HeaderValue::try_from(duration(gauge.reset)) {
        headers.insert(reset, value);
    }
}

/// A duration as OpenAI writes it: `12ms`, `1.5s`, `6m0s`, `1h0m0s`.
fn duration(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::with_capacity(16);
    // Writing into a string cannot fail.
    let _ = match (hours, minutes, seconds) {
        (0, 0, 0) => return format!("{milliseconds}ms"),
        (0, 0, _) => write!(text, "{seconds}"),
        (0, _, _) => write!(text, "{minutes}m{seconds}"),
        _ => write!(text, "{hours}h{minutes}m{seconds}"),
    };
    if rest > 0 {
        let _ = write!(text, ".{rest:03}");
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (milliseconds, text) in [
            (0, "0ms"),
            (12, "12ms"),
            (1000, "1s"),
            (1500, "1.500s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (3_661_001, "1h1m1.001s"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn only_what_is_known_is_told() {
        let mut headers = HeaderMap::new();
        let gauge = Gauge {
            limit: 100,
            remaining: 99,
            reset: Duration::from_secs(30),
        };
        write(
            &mut headers,
            &LimitState {
                requests: Some(gauge),
                tokens: None,
            },
        );
        assert_eq!(headers["x-ratelimit-limit-requests"], "100");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "99");
        assert_eq!(headers["x-ratelimit-reset-requests"], "30s");
        assert_eq!(headers.len(), 3);
    }
}
