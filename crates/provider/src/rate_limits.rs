//! What a provider says of its own limits, in one shape for all that say it in headers.
//!
//! `OpenAI`, Azure and those who imitate them write `x-ratelimit-remaining-tokens` and the like, Anthropic
//! `anthropic-ratelimit-tokens-remaining`; the time to a reset is a number of seconds, a length of time
//! such as `6m0s`, or a point in time (RFC 3339). Gemini and Bedrock say nothing.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::time;

/// The longest time to a reset that is believed.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What is left of a provider's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Requests.
    pub requests: Allowance,
    /// Tokens of input and output together.
    pub tokens: Allowance,
    /// Tokens of input.
    pub input_tokens: Allowance,
    /// Tokens of output.
    pub output_tokens: Allowance,
}

/// What is left of one limit. What is not told, or cannot be right, is none: Azure writes `-1` for what
/// it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowance {
    /// What the limit admits in its window.
    pub limit: Option<u64>,
    /// What is left of it now.
    pub remaining: Option<u64>,
    /// How long until all of it is there again.
    pub reset: Option<Duration>,
}

impl RateLimits {
    /// Reads the headers of an answer, of whatever status; `now` is for resets given as a point in time.
    #[must_use]
    pub fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        let allowance = |unit| Allowance::read(headers, unit, now);
        Self {
            requests: allowance("requests"),
            tokens: allowance("tokens"),
            input_tokens: allowance("input-tokens"),
            output_tokens: allowance("output-tokens"),
        }
    }

    /// How long until everything that is used up now is there again; none where nothing is.
    #[must_use]
    pub fn exhausted(&self) -> Option<Duration> {
        let all = [
            self.requests,
            self.tokens,
            self.input_tokens,
            self.output_tokens,
        ];
        let used_up = all.iter().filter(|it| it.remaining == Some(0));
        used_up.filter_map(|it| it.reset).max()
    }
}

impl Allowance {
    fn read(headers: &HeaderMap, unit: &str, now: SystemTime) -> Self {
        let text = |name: String| headers.get(name)?.to_str().ok().map(str::trim);
        let told = |what: &str| {
            text(format!("x-ratelimit-{what}-{unit}"))
                .or_else(|| text(format!("anthropic-ratelimit-{unit}-{what}")))
        };
        let number = |what| told(what).and_then(|it| it.parse().ok());
        Self {
            limit: number("limit"),
            remaining: number("remaining"),
            reset: told("reset").and_then(|it| reset(it, now)),
        }
    }
}

fn reset(text: &str, now: SystemTime) -> Option<Duration> {
    let wait = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => length(text).or_else(|| time::parse(text)?.duration_since(now).ok())?,
    };
    Some(wait.min(LONGEST))
}

/// A length of time such as `6m0s`, `1h2m3.5s` or `12ms`.
fn length(mut text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 5] = [
        ("ms", 0.001),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
    ];
    let mut whole = Duration::ZERO;
    while !text.is_empty() {
        let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, rest) = text.split_at(digits);
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(letters);
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let part = number.parse::<f64>().ok()? * seconds;
        whole = whole.checked_add(Duration::try_from_secs_f64(part).ok()?)?;
        text = rest;
    }
    Some(whole)
}

#[cfg(test)]
mod tests;
