use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Allowance, RateLimits};

/// 2026-11-26T18:00:00Z
const NOW: u64 = 1_795_716_000;

fn read(headers: &[(&'static str, &'static str)]) -> RateLimits {
    let map: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        })
        .collect();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    RateLimits::read(&map, now)
}

fn allowance(limit: u64, remaining: u64, reset: Duration) -> Allowance {
    Allowance {
        limit: Some(limit),
        remaining: Some(remaining),
        reset: Some(reset),
    }
}

#[test]
fn both_spellings_are_read() {
    let openai = read(&[
        ("x-ratelimit-limit-requests", "5000"),
        ("x-ratelimit-remaining-requests", "4999"),
        ("x-ratelimit-reset-requests", "12ms"),
        ("x-ratelimit-limit-tokens", "160000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ]);
    let expect = RateLimits {
        requests: allowance(5000, 4999, Duration::from_millis(12)),
        tokens: allowance(160_000, 0, Duration::from_secs(360)),
        ..RateLimits::default()
    };
    assert_eq!(openai, expect);
    assert_eq!(openai.exhausted(), Some(Duration::from_secs(360)));
    let anthropic = read(&[
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-11-26T18:00:02Z"),
        ("anthropic-ratelimit-input-tokens-limit", "1000"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-11-26T18:01:00Z",
        ),
        ("anthropic-ratelimit-output-tokens-limit", "90"),
        ("anthropic-ratelimit-output-tokens-remaining", "80"),
        (
            "anthropic-ratelimit-output-tokens-reset",
            "2026-11-26T18:59:00Z",
        ),
    ]);
    let expect = RateLimits {
        requests: allowance(50, 0, Duration::from_secs(2)),
        input_tokens: allowance(1000, 0, Duration::from_secs(60)),
        output_tokens: allowance(90, 80, Duration::from_secs(3540)),
        ..RateLimits::default()
    };
    assert_eq!(anthropic, expect);
    assert_eq!(anthropic.exhausted(), Some(Duration::from_secs(60)));
}

#[test]
fn what_cannot_be_right_is_unknown() {
    let azure = read(&[
        ("x-ratelimit-limit-tokens", "-1"),
        ("x-ratelimit-remaining-tokens", "-1"),
        ("x-ratelimit-reset-tokens", "0"),
    ]);
    assert_eq!(azure.tokens.limit, None);
    assert_eq!(azure.tokens.remaining, None);
    assert_eq!(azure.exhausted(), None);
}

#[test]
fn every_form_of_a_reset_is_read() {
    for (text, expect) in [
        ("7", Some(7_000)),
        ("1.5", Some(1_500)),
        ("12ms", Some(12)),
        ("6m0s", Some(360_000)),
        ("1h2m3.5s", Some(3_723_500)),
        ("2026-11-26T18:00:01.250Z", Some(1_250)),
        ("2026-11-26T19:00:01+01:00", Some(1_000)),
        // In the past, and nonsense.
        ("2026-11-26T17:00:00Z", None),
        ("-1", None),
        ("NaN", None),
        ("6", Some(6_000)),
        ("6x", None),
        ("s", None),
        ("99999999d", Some(86_400_000)),
        ("1e300", None),
    ] {
        let limits = read(&[
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", text),
        ]);
        let expect = expect.map(Duration::from_millis);
        assert_eq!(limits.tokens.reset, expect, "{text}");
    }
}
