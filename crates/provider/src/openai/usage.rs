//! Reading a provider's count of tokens.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::{Usage, UsageSource};
use crate::usage::{believable, count, part, tier};

#[derive(Deserialize)]
struct Report {
    prompt_tokens: Option<f64>,
    completion_tokens: Option<f64>,
    total_tokens: Option<f64>,
    prompt_tokens_details: Option<InputDetails>,
    completion_tokens_details: Option<OutputDetails>,
    /// `DeepSeek`'s name for the tokens read from the cache.
    prompt_cache_hit_tokens: Option<f64>,
}

#[derive(Deserialize, Default)]
struct InputDetails {
    cached_tokens: Option<f64>,
    cache_write_tokens: Option<f64>,
    audio_tokens: Option<f64>,
    image_tokens: Option<f64>,
}

#[derive(Deserialize, Default)]
struct OutputDetails {
    reasoning_tokens: Option<f64>,
    audio_tokens: Option<f64>,
    image_tokens: Option<f64>,
    accepted_prediction_tokens: Option<f64>,
    rejected_prediction_tokens: Option<f64>,
}

/// Reads a usage object; none where any count of it cannot be right. The answer names its class of processing beside it.
pub(super) fn read(raw: &RawValue, served: Option<&str>) -> Option<Usage> {
    let report: Report = serde_json::from_str(raw.get()).ok()?;
    let input = report.prompt_tokens_details.unwrap_or_default();
    let output = report.completion_tokens_details.unwrap_or_default();
    let input_total = count(report.prompt_tokens?)?;
    let completion = count(report.completion_tokens?)?;
    let reasoning = part(output.reasoning_tokens)?;
    // Some servers count reasoning beside the completion; their total gives them away.
    let beside = match report.total_tokens {
        Some(total) => count(total)? == input_total + completion + reasoning,
        None => false,
    };
    let usage = Usage {
        input_total,
        cache_read: part(input.cached_tokens.or(report.prompt_cache_hit_tokens))?,
        cache_write: part(input.cache_write_tokens)?,
        cache_write_1h: 0,
        input_audio: part(input.audio_tokens)?,
        input_image: part(input.image_tokens)?,
        output_total: if beside {
            completion + reasoning
        } else {
            completion
        },
        reasoning,
        output_audio: part(output.audio_tokens)?,
        output_image: part(output.image_tokens)?,
        accepted_prediction: part(output.accepted_prediction_tokens)?,
        rejected_prediction: part(output.rejected_prediction_tokens)?,
        searches: 0,
        tier: served.and_then(tier),
        billed: None,
        source: UsageSource::Provider,
    };
    believable(usage)
}
