//! How much to think, in the words of either generation of models.

use serde::Serialize;

use crate::Error;
use crate::chat::{Effort, Reasoning};
use crate::unsupported::Unsupported;

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThinkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    include_thoughts: Option<bool>,
}

/// Whether a model is of the first or second generation: it thinks by budget, and does not insist on
/// thought signatures. An unknown name, also an alias such as `gemini-flash-latest`, counts as newer.
pub(super) fn is_early(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    ["gemini-1", "gemini-2"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Translates what the request says about thinking.
pub(super) fn config(
    reasoning: Reasoning,
    model: &str,
    unsupported: &mut Unsupported,
) -> Result<Option<ThinkingConfig>, Error> {
    let mut config = ThinkingConfig {
        thinking_level: None,
        thinking_budget: reasoning.budget_tokens,
        include_thoughts: reasoning.include_text,
    };
    match reasoning.effort {
        Some(_) if reasoning.budget_tokens.is_some() => unsupported.field(
            "reasoning.effort",
            "it takes an effort or a budget; leave one of them out",
        )?,
        Some(effort) if is_early(model) => match budget(effort) {
            Some(budget) => config.thinking_budget = Some(budget),
            None => unsupported.field(
                "reasoning.effort",
                "the highest effort of this model is high; set reasoning.max_tokens",
            )?,
        },
        Some(Effort::None) => unsupported.field(
            "reasoning.effort",
            "this model cannot be kept from thinking; set minimal or low",
        )?,
        Some(effort) => match level(effort) {
            Some(level) => config.thinking_level = Some(level),
            None => unsupported.field("reasoning.effort", "the highest effort there is xhigh")?,
        },
        None => {}
    }
    Ok((config != ThinkingConfig::default()).then_some(config))
}

/// The budgets by which Google's own OpenAI-compatible endpoint reads efforts.
fn budget(effort: Effort) -> Option<u32> {
    match effort {
        Effort::None => Some(0),
        Effort::Minimal | Effort::Low => Some(1_024),
        Effort::Medium => Some(8_192),
        Effort::High => Some(24_576),
        Effort::XHigh | Effort::Max => None,
    }
}

fn level(effort: Effort) -> Option<&'static str> {
    match effort {
        Effort::Minimal => Some("MINIMAL"),
        Effort::Low => Some("LOW"),
        Effort::Medium => Some("MEDIUM"),
        Effort::High => Some("HIGH"),
        Effort::XHigh => Some("XHIGH"),
        Effort::None | Effort::Max => None,
    }
}
