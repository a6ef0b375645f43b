//! Reading the count of tokens.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::{Usage, UsageSource};
use crate::usage::{believable, count, part, tier};

#[derive(Deserialize)]
struct Report {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<f64>,
    cache_write_tokens: Option<f64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<f64>,
}

/// Reads a usage object; none where any count of it cannot be right. The answer names its class of processing beside it.
pub(super) fn read(raw: &RawValue, served: Option<&str>) -> Option<Usage> {
    let report: Report = serde_json::from_str(raw.get()).ok()?;
    let input = report.input_tokens_details.as_ref();
    let output = report.output_tokens_details.as_ref();
    believable(Usage {
        cache_read: part(input.and_then(|it| it.cached_tokens))?,
        cache_write: part(input.and_then(|it| it.cache_write_tokens))?,
        reasoning: part(output.and_then(|it| it.reasoning_tokens))?,
        tier: served.and_then(tier),
        ..Usage::of(
            count(report.input_tokens?)?,
            count(report.output_tokens?)?,
            UsageSource::Provider,
        )
    })
}
