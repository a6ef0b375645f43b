//! Until when a request must be answered, the whole stream included.
//!
//! gRPC callers say it with `grpc-timeout`, HTTP callers with `x-request-timeout-ms`. tonic's own handling of
//! `grpc-timeout` ends with the response headers and ignores a malformed value, so both are done here.

use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName};
use tokio::time::{Instant, timeout_at};

use crate::error::Error;

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

/// When a request's head came in, and how long its caller waits from then on.
///
/// Time runs from the head, not from the last byte of the body: a caller who sends slowly waits no longer for that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    arrived: Instant,
    timeout: Option<Duration>,
}

/// What a request's head says of how long its caller waits, kept with the request until somebody can refuse it.
#[derive(Debug, Clone)]
struct Said(Result<Patience, Malformed>);

impl Patience {
    /// That of a request whose head came in now.
    ///
    /// # Errors
    /// The time-out of its edge cannot be read.
    pub(crate) fn of(headers: &HeaderMap, is_grpc: bool) -> Result<Self, Malformed> {
        let timeout = if is_grpc {
            grpc(headers)?
        } else {
            http(headers)?
        };
        Ok(Self::from(Instant::now(), timeout))
    }

    fn from(arrived: Instant, timeout: Option<Duration>) -> Self {
        Self { arrived, timeout }
    }

    /// When the request's head came in.
    pub(crate) fn arrived(&self) -> Instant {
        self.arrived
    }

    /// The moment from which on the caller waits no longer.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.timeout.map(|timeout| self.arrived + timeout)
    }

    /// The moment that ends the request: the caller's, or so long after it came in, whichever is earlier.
    pub(crate) fn within(&self, longest: Duration) -> Instant {
        let caller = self.timeout.unwrap_or(longest);
        self.arrived + caller.min(longest)
    }

    /// Waits for a part of the work on a request, as long as its caller does.
    ///
    /// # Errors
    /// `Error::DeadlineExceeded`, or one of the work's own.
    pub(crate) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match self.end() {
            None => work.await,
            Some(end) => timeout_at(end, work)
                .await
                .unwrap_or(Err(Error::DeadlineExceeded)),
        }
    }
}

/// Keeps with a request what its head says of how long its caller waits.
pub(crate) fn keep(said: Result<Patience, Malformed>, extensions: &mut Extensions) {
    extensions.insert(Said(said));
}

/// How long the caller of a request waits, as was kept with it.
///
/// # Errors
/// Its time-out could not be read.
pub(crate) fn kept(extensions: &Extensions) -> Result<Patience, Error> {
    match extensions.get() {
        Some(Said(Ok(patience))) => Ok(*patience),
        Some(Said(Err(malformed))) => Err(Error::field(malformed.header, malformed.problem)),
        None => Ok(Patience::from(Instant::now(), None)),
    }
}

/// Reads `grpc-timeout`: 1 to 8 digits and one of `H M S m u n` (gRPC over HTTP/2, "Timeout").
///
/// # Errors
/// A value of any other form.
fn grpc(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
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
fn http(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
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
        let earliest = |caller| Patience::from(start, caller).within(model);
        assert_eq!(earliest(None), start + model);
        let short = Duration::from_secs(1);
        assert_eq!(earliest(Some(short)), start + short);
        assert_eq!(earliest(Some(Duration::from_secs(500))), start + model);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_waited_for_longer_than_the_caller_waits() {
        let start = Instant::now();
        let headers = with(HTTP_TIMEOUT, "1500");
        let patience = Patience::of(&headers, false).unwrap();
        // What came before, such as the body, is part of it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let late = patience.bound(std::future::pending::<Result<(), Error>>());
        assert_eq!(late.await, Err(Error::DeadlineExceeded));
        assert_eq!(start.elapsed(), Duration::from_millis(1500));
        assert_eq!(patience.bound(async { Ok(1) }).await, Ok(1));
        let without = Patience::of(&headers, true).unwrap();
        assert_eq!(without.end(), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_to_whoever_asks() {
        let mut extensions = Extensions::new();
        assert!(kept(&extensions).is_ok_and(|it| it.end().is_none()));
        keep(
            Patience::of(&with(GRPC_TIMEOUT, "5s"), true),
            &mut extensions,
        );
        assert!(matches!(kept(&extensions), Err(Error::Invalid(_))));
    }
}
