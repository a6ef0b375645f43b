//! What providers tell beside completions: lists of models, counts of tokens, and limits in headers.

use std::hash::{DefaultHasher, Hash};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tollgate_provider::rate_limits::RateLimits;
use tollgate_provider::{Codec, Kind};

use crate::target::{check_failure, hash_end, rule};

/// The longest that any limit can take to come back, as far as is believed.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn models(
    kind: Kind,
    input: &[u8],
    behaviour: &mut DefaultHasher,
) -> Result<(), String> {
    let codec = Codec::new(kind);
    let page = codec.decode_models(input);
    check_failure(page.as_ref().err())?;
    hash_end(page.as_ref().err(), behaviour);
    let Ok(page) = page else {
        return Ok(());
    };
    let size: usize = page.names.iter().map(String::len).sum();
    rule(size <= input.len(), "a list is longer than its text")?;
    page.names.len().min(8).hash(behaviour);
    page.next.is_some().hash(behaviour);
    let next = codec.list_models(page.next.as_deref());
    let plain = |path: &str| path.bytes().all(|byte| byte.is_ascii_graphic());
    let is_plain = next.is_none_or(|next| plain(&next.path));
    rule(is_plain, "a part of a list cannot be asked for")
}

pub(crate) fn count(kind: Kind, input: &[u8], behaviour: &mut DefaultHasher) -> Result<(), String> {
    let count = Codec::new(kind).decode_count(input);
    check_failure(count.as_ref().err())?;
    hash_end(count.as_ref().err(), behaviour);
    let believable = count.as_ref().is_ok_and(|count| *count <= 1 << 31);
    rule(
        count.is_err() || believable,
        "a count that cannot be believed",
    )
}

/// Headers as a text of lines; what is no header is none.
pub(crate) fn headers(input: &[u8], behaviour: &mut DefaultHasher) -> Result<(), String> {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(64) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(0));
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    let limits = RateLimits::read(&headers, now);
    let all = [
        limits.requests,
        limits.tokens,
        limits.input_tokens,
        limits.output_tokens,
    ];
    for limit in all {
        (limit.limit.is_some(), limit.remaining, limit.reset).hash(behaviour);
        let reset = limit.reset.unwrap_or_default();
        rule(reset <= LONGEST, "a limit that never comes back")?;
    }
    let exhausted = limits.exhausted().unwrap_or_default();
    rule(exhausted <= LONGEST, "limits that never come back")?;
    for kind in Kind::ALL {
        let failure = Codec::new(kind).classify(StatusCode::TOO_MANY_REQUESTS, &headers, b"", now);
        check_failure(Some(&failure))?;
        let wait = failure.retry_after.unwrap_or_default();
        rule(wait <= LONGEST, "a provider that never comes back")?;
    }
    Ok(())
}
