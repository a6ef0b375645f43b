//! Reading the provider's count of tokens.

use serde::Deserialize;

use crate::chat::{Usage, UsageSource};
use crate::usage::{believable, count, part, tier};

/// The wire format leaves out counts that are zero.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    prompt_token_count: Option<f64>,
    candidates_token_count: Option<f64>,
    thoughts_token_count: Option<f64>,
    tool_use_prompt_token_count: Option<f64>,
    cached_content_token_count: Option<f64>,
    total_token_count: Option<f64>,
    traffic_type: Option<String>,
    #[serde(default)]
    prompt_tokens_details: Vec<ByModality>,
    #[serde(default)]
    candidates_tokens_details: Vec<ByModality>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ByModality {
    modality: Option<String>,
    token_count: Option<f64>,
}

/// Reads a report: input is the prompt, what was read from the cache included, and what server-side
/// tools added to it; output is the candidates and the thoughts, which are counted apart. A report
/// that does not add up is none.
pub(super) fn read(report: &str) -> Option<Usage> {
    let report: Report = serde_json::from_str(report).ok()?;
    let input_total =
        count(report.prompt_token_count?)? + part(report.tool_use_prompt_token_count)?;
    let candidates = part(report.candidates_token_count)?;
    let reasoning = part(report.thoughts_token_count)?;
    // Should thoughts ever be counted among the candidates, the total gives them away.
    let within = match report.total_token_count {
        Some(total) => count(total)? == input_total + candidates && reasoning <= candidates,
        None => false,
    };
    believable(Usage {
        cache_read: part(report.cached_content_token_count)?,
        input_audio: of("AUDIO", &report.prompt_tokens_details)?,
        input_image: of("IMAGE", &report.prompt_tokens_details)?,
        reasoning,
        output_audio: of("AUDIO", &report.candidates_tokens_details)?,
        output_image: of("IMAGE", &report.candidates_tokens_details)?,
        tier: report.traffic_type.as_deref().and_then(tier),
        ..Usage::of(
            input_total,
            if within {
                candidates
            } else {
                candidates + reasoning
            },
            UsageSource::Provider,
        )
    })
}

/// How many tokens are of that modality.
pub(super) fn of(modality: &str, details: &[ByModality]) -> Option<u64> {
    let mut sum = 0;
    for detail in details {
        if detail.modality.as_deref() == Some(modality) {
            sum += part(detail.token_count)?;
        }
    }
    Some(sum)
}
