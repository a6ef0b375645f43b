//! Reading Cohere's count of tokens.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::{Billed, Usage, UsageSource};
use crate::usage::{count, part};

#[derive(Deserialize)]
struct Report {
    tokens: Option<Tokens>,
    billed_units: Option<Tokens>,
    cached_tokens: Option<f64>,
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
}

/// Reads a usage object. `tokens` is what the model worked through, `billed_units` what is paid for: fewer, since
/// the provider's own preamble is free. Where only the latter are told, there is no count of tokens. What cannot be
/// believed is none, as in the `OpenAI` format.
pub(super) fn read(raw: &RawValue) -> Option<Usage> {
    let report: Report = serde_json::from_str(raw.get()).ok()?;
    let tokens = report.tokens?;
    let billed = match report.billed_units {
        Some(Tokens {
            input_tokens: Some(input),
            output_tokens: Some(output),
        }) => Some(Billed {
            input: count(input)?,
            output: count(output)?,
        }),
        _ => None,
    };
    let usage = Usage {
        cache_read: part(report.cached_tokens)?,
        billed,
        ..Usage::of(
            count(tokens.input_tokens?)?,
            count(tokens.output_tokens?)?,
            UsageSource::Provider,
        )
    };
    (usage.cache_read <= usage.input_total).then_some(usage)
}
