//! Tells callers how their limits stand, the tightest limit of each unit, under the names that OpenAI uses and
//! their like: `x-ratelimit-{limit,remaining,reset}-{requests,tokens,input-tokens,output-tokens,cost-usd}`. Money is
//! in US dollars.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_policy::table::Unit;

use crate::permit::LimitState;

/// Adds what is known.
pub(crate) fn write(headers: &mut HeaderMap, limits: &LimitState) {
    // These and the few beside them, without growing step by step.
    headers.reserve(12);
    for (unit, gauge) in limits.gauges() {
        let [limit, remaining, reset] = names(unit);
        insert(headers, limit, figure(unit, gauge.limit));
        insert(headers, remaining, figure(unit, gauge.remaining));
        insert(
            headers,
            reset,
            HeaderValue::try_from(duration(gauge.reset)).ok(),
        );
    }
}

fn names(unit: Unit) -> [HeaderName; 3] {
    match unit {
        Unit::Requests => {
            const {
                [
                    HeaderName::from_static("x-ratelimit-limit-requests"),
                    HeaderName::from_static("x-ratelimit-remaining-requests"),
                    HeaderName::from_static("x-ratelimit-reset-requests"),
                ]
            }
        }
        Unit::Tokens => {
            const {
                [
                    HeaderName::from_static("x-ratelimit-limit-tokens"),
                    HeaderName::from_static("x-ratelimit-remaining-tokens"),
                    HeaderName::from_static("x-ratelimit-reset-tokens"),
                ]
            }
        }
        Unit::InputTokens => {
            const {
                [
                    HeaderName::from_static("x-ratelimit-limit-input-tokens"),
                    HeaderName::from_static("x-ratelimit-remaining-input-tokens"),
                    HeaderName::from_static("x-ratelimit-reset-input-tokens"),
                ]
            }
        }
        Unit::OutputTokens => {
            const {
                [
                    HeaderName::from_static("x-ratelimit-limit-output-tokens"),
                    HeaderName::from_static("x-ratelimit-remaining-output-tokens"),
                    HeaderName::from_static("x-ratelimit-reset-output-tokens"),
                ]
            }
        }
        Unit::Cost => {
            const {
                [
                    HeaderName::from_static("x-ratelimit-limit-cost-usd"),
                    HeaderName::from_static("x-ratelimit-remaining-cost-usd"),
                    HeaderName::from_static("x-ratelimit-reset-cost-usd"),
                ]
            }
        }
        Unit::Concurrent => {
            const {
                [
                    HeaderName::from_static("x-ratelimit-limit-concurrent"),
                    HeaderName::from_static("x-ratelimit-remaining-concurrent"),
                    HeaderName::from_static("x-ratelimit-reset-concurrent"),
                ]
            }
        }
    }
}

/// Counts are written without going through a text of their own.
fn figure(unit: Unit, units: u64) -> Option<HeaderValue> {
    if unit == Unit::Cost {
        HeaderValue::try_from(unit.figure(units)).ok()
    } else {
        Some(units.into())
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
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
    use crate::permit::Gauge;

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
        let gauge = |limit, remaining| Gauge {
            limit,
            remaining,
            reset: Duration::from_secs(30),
        };
        let mut state = LimitState::default();
        assert!(state.is_empty());
        state.tighten(Unit::Requests, gauge(100, 99));
        state.tighten(Unit::Requests, gauge(9, 9));
        state.tighten(Unit::Requests, gauge(500, 10));
        state.tighten(Unit::Cost, gauge(2_000_000_000, 1_500_000_000));
        write(&mut headers, &state);
        assert_eq!(headers["x-ratelimit-limit-requests"], "9");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "9");
        assert_eq!(headers["x-ratelimit-reset-requests"], "30s");
        assert_eq!(headers["x-ratelimit-limit-cost-usd"], "2");
        assert_eq!(headers["x-ratelimit-remaining-cost-usd"], "1.5");
        assert_eq!(headers.len(), 6);
    }
}
