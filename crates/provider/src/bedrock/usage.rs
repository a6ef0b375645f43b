//! Reading the count of tokens.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::{Usage, UsageSource};
use crate::usage::{believable, count, part, tier};
use crate::wire::Text;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    cache_read_input_tokens: Option<f64>,
    cache_write_input_tokens: Option<f64>,
    cache_details: Option<Vec<Detail>>,
}

/// What was written to the cache for one time to live.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    ttl: Option<String>,
    input_tokens: Option<f64>,
}

/// How a request was served.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceTier<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
}

/// Reads a report in the canonical meaning: what was read from and written to a cache counts as input.
/// None where any count of it cannot be right.
/// The answer names its class of processing beside it.
pub(super) fn read(raw: &RawValue, served: Option<&ServiceTier<'_>>) -> Option<Usage> {
    let report: Report = serde_json::from_str(raw.get()).ok()?;
    let cache_read = part(report.cache_read_input_tokens)?;
    let cache_write = part(report.cache_write_input_tokens)?;
    let details = report.cache_details.unwrap_or_default();
    let hour = details.iter().filter(|it| it.ttl.as_deref() == Some("1h"));
    let hour: Option<Vec<u64>> = hour.map(|it| part(it.input_tokens)).collect();
    believable(Usage {
        cache_read,
        cache_write,
        cache_write_1h: hour?.into_iter().sum(),
        tier: served.and_then(|it| tier(it.r#type.as_ref()?.as_str())),
        // Reasoning is part of the output, but not told.
        ..Usage::of(
            count(report.input_tokens?)? + cache_read + cache_write,
            count(report.output_tokens?)?,
            UsageSource::Provider,
        )
    })
}
