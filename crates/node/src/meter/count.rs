//! What an answer comes to, in tokens and money.

use tollgate_policy::table::Deployment;
use tollgate_provider::chat::{Delta, Part, Usage};
use tollgate_provider::tokens;

pub(super) fn cost(deployment: &Deployment, usage: &Usage) -> Option<u64> {
    let price = deployment.price.as_ref()?;
    Some(match usage.billed {
        // What a provider says it charges for has its own discounts in it.
        Some(billed) => price.cost(billed.input, 0, billed.output),
        None => price.cost(usage.input_total, usage.cache_read, usage.output_total),
    })
}

pub(super) fn count(part: &Part) -> u64 {
    match part {
        Part::Text(text) | Part::Refusal(text) | Part::Reasoning { text, .. } => {
            tokens::count_text(text)
        }
        Part::ToolCall(call) => {
            tokens::count_text(&call.name) + tokens::count_text(&call.arguments)
        }
        Part::Image(_) | Part::Audio { .. } | Part::Document(_) | Part::ToolResult { .. } => 0,
    }
}

pub(super) fn count_delta(delta: &Delta) -> u64 {
    match delta {
        Delta::Text(text) | Delta::Refusal(text) | Delta::Reasoning(text) => {
            tokens::count_text(text)
        }
        Delta::ToolCall { name, .. } => tokens::count_text(name),
        Delta::ToolArguments { fragment, .. } => tokens::count_text(fragment),
        Delta::ReasoningState(_) | Delta::ToolState { .. } | Delta::Logprobs(_) => 0,
    }
}
