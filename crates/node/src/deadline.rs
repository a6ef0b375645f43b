//! Until when a request must be answered, the whole stream included.
//!
//! gRPC callers say it with `grpc-timeout`, HTTP callers with `x-request-timeout-ms`. tonic's own handling of
//! `grpc-timeout` ends with the response headers and ignores a malformed value, so both are done here.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::time::Instant;

/// Header by which gRPC callers say how long they wait.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Header by which HTTP callers say how long they wait, in milliseconds.
pub(crate) const HTTP_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// What is wrong with a time-out header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct Malformed {
    /// Name of the header.
    pub(crate) header: &'static str,
    /// What is wrong, and what would be right.
    pub(crate) problem: &'static str,
}

/// Reads `grpc-timeout`: 1 to 8 digits and one of `H M S m u n` (gRPC over HTTP/2, "Timeout").
///
/// # Errors
/// A value of any other form.
pub(crate) fn grpc(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let malformed = Malformed {
        header: "grpc-timeout",
        problem: "must be 1 to 8 digits and a unit, one of H, M, S, m, u, n, such as 1500m",
    };
    let Some(value) = headers.get(GRPC_TIMEOUT) else {
        return Ok(None);
    };
    let Some((unit, digits)) = value.as_bytes().split_last() else {
        return Err(malformed);
    };
    if digits.len() > 8 {
        return Err(malformed);
    }
    let Some(amount) = number(digits) else {
        return Err(malformed);
    };
    let timeout = match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return Err(malformed),
    };
    Ok(Some(timeout))
}

/// Reads `x-request-timeout-ms`: a whole number of milliseconds, 1 to 9 digits.
///
/// # Errors
/// A value of any other form.
pub(crate) fn http(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let Some(value) = headers.get(HTTP_TIMEOUT) else {
        return Ok(None);
    };
    let digits = value.as_bytes();
    match number(digits) {
        Some(amount) if digits.len() <= 9 => Ok(Some(Duration::from_millis(amount))),
        _ => Err(Malformed {
            header: "x-request-timeout-ms",
            problem: "must be a whole number of milliseconds, such as 30000",
        }),
    }
}

/// The moment that ends a request which began at `start`: the earlier of the caller's and the model's.
pub(crate) fn earliest(start: Instant, caller: Option<Duration>, model: Duration) -> Instant {
    start + caller.map_or(model, |caller| caller.min(model))
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn grpc_timeouts_of_every_unit() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("1500m", Duration::from_millis(1500)),
            ("7u", Duration::from_micros(7)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("0S", Duration::ZERO),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(
                grpc(&with(GRPC_TIMEOUT, text)),
                Ok(Some(expected)),
                "{text}"
            );
        }
        assert_eq!(grpc(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn malformed_grpc_timeouts_are_refused() {
        for text in [
            "",
            "S",
            "5",
            "5s",
            "5 S",
            "-5S",
            "1.5S",
            "123456789S",
            "+5S",
            "5SS",
        ] {
            assert!(grpc(&with(GRPC_TIMEOUT, text)).is_err(), "{text:?}");
        }
    }

    #[test]
    fn http_timeouts() {
        assert_eq!(
            http(&with(HTTP_TIMEOUT, "1500")),
            Ok(Some(Duration::from_millis(1500)))
        );
        for text in ["", "1s", "-1", "1e3", "1234567890"] {
            assert!(http(&with(HTTP_TIMEOUT, text)).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_earlier_deadline_wins() {
        let start = Instant::now();
        let model = Duration::from_secs(120);
        assert_eq!(earliest(start, None, model), start + model);
        let short = Duration::from_secs(1);
        assert_eq!(earliest(start, Some(short), model), start + short);
        assert_eq!(
            earliest(start, Some(Duration::from_secs(500)), model),
            start + model
        );
    }
}
