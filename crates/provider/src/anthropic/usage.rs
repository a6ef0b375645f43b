//! Reading the count of tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::chat::{Json, Tier, Usage, UsageSource};
use crate::usage::{believable, bounded, count, part, tier};
use crate::wire::Text;

/// A report, or in a stream a later one that replaces the counts it names.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Report {
    #[serde(default, deserialize_with = "served")]
    service_tier: Option<Tier>,
    /// How fast a model answered, where it comes in several.
    #[serde(default, deserialize_with = "served")]
    speed: Option<Tier>,
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    cache_read_input_tokens: Option<f64>,
    cache_creation_input_tokens: Option<f64>,
    cache_creation: Option<Creation>,
    output_tokens_details: Option<Details>,
    server_tool_use: Option<OwnTools>,
}

/// What tools of the provider's own did.
#[derive(Debug, Clone, Copy, Deserialize)]
struct OwnTools {
    web_search_requests: Option<f64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Creation {
    ephemeral_1h_input_tokens: Option<f64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Details {
    thinking_tokens: Option<f64>,
}

/// Two reports of one stream as one: what the later one names counts. None where they are too large together.
pub(super) fn merged(before: &Json, later: &Json) -> Option<Json> {
    type Fields<'a> = BTreeMap<String, &'a RawValue>;
    let mut fields: Fields<'_> = serde_json::from_str(before.get()).ok()?;
    let mut later: Fields<'_> = serde_json::from_str(later.get()).ok()?;
    later.retain(|name, value| value.get() != "null" || !fields.contains_key(name));
    fields.extend(later);
    Json::of(&fields).ok().and_then(bounded)
}

/// Reads a class of processing; a name that is not known is none.
fn served<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tier>, D::Error> {
    let name = Option::<Text<'_>>::deserialize(deserializer)?;
    Ok(name.and_then(|name| tier(name.as_str())))
}

impl Report {
    /// Takes what a later report says.
    pub(super) fn update(&mut self, later: Self) {
        *self = Self {
            service_tier: later.service_tier.or(self.service_tier),
            speed: later.speed.or(self.speed),
            input_tokens: later.input_tokens.or(self.input_tokens),
            output_tokens: later.output_tokens.or(self.output_tokens),
            cache_read_input_tokens: later
                .cache_read_input_tokens
                .or(self.cache_read_input_tokens),
            cache_creation_input_tokens: later
                .cache_creation_input_tokens
                .or(self.cache_creation_input_tokens),
            cache_creation: later.cache_creation.or(self.cache_creation),
            output_tokens_details: later.output_tokens_details.or(self.output_tokens_details),
            server_tool_use: later.server_tool_use.or(self.server_tool_use),
        };
    }

    /// The report in the canonical meaning: what was read from and written to a cache counts as input.
    /// None where any count of it cannot be right.
    pub(super) fn read(&self) -> Option<Usage> {
        let cache_read = part(self.cache_read_input_tokens)?;
        let cache_write = part(self.cache_creation_input_tokens)?;
        let hour = self
            .cache_creation
            .and_then(|it| it.ephemeral_1h_input_tokens);
        let thinking = self.output_tokens_details.and_then(|it| it.thinking_tokens);
        believable(Usage {
            cache_read,
            cache_write,
            cache_write_1h: part(hour)?,
            reasoning: part(thinking)?,
            searches: part(self.server_tool_use.and_then(|it| it.web_search_requests))?,
            tier: self
                .speed
                .filter(|it| *it == Tier::Fast)
                .or(self.service_tier),
            ..Usage::of(
                count(self.input_tokens?)? + cache_read + cache_write,
                count(self.output_tokens?)?,
                UsageSource::Provider,
            )
        })
    }
}
