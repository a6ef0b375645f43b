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

/// The names under which a provider tells of one unit: limit, remaining, reset.
type Names = [&'static str; 3];

/// By unit, in the order of the fields of [`RateLimits`].
const OPENAI: [Names; 4] = [
    [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ],
    [
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ],
    [
        "x-ratelimit-limit-input-tokens",
        "x-ratelimit-remaining-input-tokens",
        "x-ratelimit-reset-input-tokens",
    ],
    [
        "x-ratelimit-limit-output-tokens",
        "x-ratelimit-remaining-output-tokens",
        "x-ratelimit-reset-output-tokens",
    ],
];
const ANTHROPIC: [Names; 4] = [
    [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
    [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ],
    [
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ],
    [
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ],
];

impl RateLimits {
    /// Reads the headers of an answer, of whatever status; `now` is for resets given as a point in time.
    #[must_use]
    pub fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        let [requests, tokens, input_tokens, output_tokens] = [0, 1, 2, 3].map(|unit| {
            let openai = Allowance::read(headers, OPENAI[unit], now);
            openai.unwrap_or_else(|| {
                Allowance::read(headers, ANTHROPIC[unit], now).unwrap_or_default()
            })
        });
        Self {
            requests,
            tokens,
            input_tokens,
            output_tokens,
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
    /// None where nothing is said of what remains: without that, the rest says nothing.
    fn read(headers: &HeaderMap, names: Names, now: SystemTime) -> Option<Self> {
        let [limit, remaining, reset_in] = names;
        let told = |name| headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name| told(name).and_then(|it| it.parse().ok());
        told(remaining)?;
        Some(Self {
            limit: number(limit),
            remaining: number(remaining),
            reset: told(reset_in).and_then(|it| reset(it, now)),
        })
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
