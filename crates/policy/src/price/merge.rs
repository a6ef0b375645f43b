//! What a policy says of a price, and what the catalog does.

use url::Url;

use super::rates::Rate;
use super::{Catalog, Listed, Part, Price, Rates, Row, Service};
use crate::pb;
use crate::table::Protocol;

/// Returns what a deployment costs: what the policy says, completed by the catalog. None where neither says enough.
#[must_use]
pub fn of(provider: &pb::Provider, deployment: &pb::Deployment) -> Option<Price> {
    let listed = listed(provider, deployment).map(|it| it.price);
    match (&deployment.price, listed) {
        (None, listed) => listed,
        (Some(stated), Some(listed)) => merged(stated, &listed),
        (Some(stated), None) => {
            let searches = always_searches(deployment);
            if searches && !says_searches(stated) {
                return None;
            }
            let price = alone(stated, writes_cost_more(provider, deployment))?;
            Some(Price { searches, ..price })
        }
    }
}

/// Whether the model searches before it answers, whatever it is asked. Its makers say so in its name; prices of tokens
/// alone are a part of what it costs, so the catalog has none for it.
#[must_use]
pub(crate) fn always_searches(deployment: &pb::Deployment) -> bool {
    let name = name(deployment).to_ascii_lowercase();
    let words = name.split(['-', '/', '.', ':', '@']);
    let says = |(place, word)| word == "sonar" || place > 0 && matches!(word, "search" | "online");
    words.enumerate().any(says)
}

/// Whether a policy says what searches cost that each request makes: as such, or with whatever a request costs.
#[must_use]
pub(crate) fn says_searches(stated: &pb::Price) -> bool {
    stated.search.is_some() || stated.request.is_some()
}

/// Returns the catalog's entry for a deployment.
#[must_use]
pub(crate) fn listed(provider: &pb::Provider, deployment: &pb::Deployment) -> Option<Listed> {
    let catalog = Catalog::built_in();
    catalog.find(vendor(catalog, provider)?, name(deployment))
}

/// The model by the name that others know it by.
pub(crate) fn name(deployment: &pb::Deployment) -> &str {
    match deployment.base_model.as_str() {
        "" => &deployment.model,
        base => base,
    }
}

fn vendor(catalog: &Catalog, provider: &pb::Provider) -> Option<&'static str> {
    match Protocol::of(provider.kind())? {
        Protocol::OpenAi => Some("openai"),
        Protocol::AzureOpenAi => Some("azure"),
        Protocol::Anthropic => Some("anthropic"),
        Protocol::Gemini => Some("google"),
        Protocol::Mistral => Some("mistral"),
        Protocol::Cohere => Some("cohere"),
        Protocol::Bedrock => Some("aws"),
        Protocol::OpenAiCompatible => {
            let url = Url::parse(&provider.base_url).ok()?;
            catalog.vendor_at(url.host_str()?)
        }
    }
}

/// Whether the model is a Claude, whose maker asks more for input that goes to the cache, by the same factors for all
/// of them.
fn writes_cost_more(provider: &pb::Provider, deployment: &pb::Deployment) -> bool {
    let by_its_maker = provider.kind() == pb::ProviderKind::Anthropic;
    by_its_maker || name(deployment).contains("anthropic.claude")
}

/// A price of which nothing is known but what the policy says.
fn alone(stated: &pb::Price, writes_cost_more: bool) -> Option<Price> {
    stated.input.and(stated.output)?;
    let amounts = amounts(stated);
    let input = amounts(Part::Input).unwrap_or_default();
    let writes = |part| {
        let of_claude = match part == Part::CacheWrite {
            true => scale(input, 5, 4),
            false => input.saturating_mul(2),
        };
        let is_write = matches!(part, Part::CacheWrite | Part::CacheWrite1h);
        (writes_cost_more && is_write).then_some(of_claude)
    };
    let rates = fill(|part| amounts(part).or_else(|| writes(part)), None);
    let base = Row {
        from: 0,
        service: Service::Standard,
        above: 0,
        rates,
    };
    let mut rows = tiers(stated, &base, &rates);
    rows.push(base);
    Price::new(rows, None, true)
}

/// A price of the catalog in which the policy has the last word.
fn merged(stated: &pb::Price, listed: &Price) -> Option<Price> {
    let mut rows = Vec::new();
    // The first row of a day is its usual price for short prompts, to which the others stand in proportion.
    let mut usual: Option<(i64, Rates, Rates)> = None;
    for row in listed.rows() {
        let (listed, ours) = match usual {
            Some((from, listed, ours)) if from == row.from => (listed, ours),
            _ => (row.rates, fill(amounts(stated), Some(&row.rates))),
        };
        usual = Some((row.from, listed, ours));
        let row = Row {
            rates: in_proportion(&row.rates, &ours, &listed),
            ..row.clone()
        };
        if stated.tiers.is_empty() {
            rows.push(row);
        } else if row.above == 0 {
            rows.extend(tiers(stated, &row, &ours));
            rows.push(row);
        }
    }
    Price::new(rows, listed.catalog.clone(), true)
}

/// The tiers that the policy states, for the day and the service of `base`. `usual` is the price for short prompts that
/// they are stated beside.
fn tiers(stated: &pb::Price, base: &Row, usual: &Rates) -> Vec<Row> {
    let tier = |tier: &pb::PriceTier| {
        let stated = tier.price.clone().unwrap_or_default();
        let rates = fill(amounts(&stated), Some(usual));
        Row {
            above: tier.above,
            rates: in_proportion(&base.rates, &rates, usual),
            ..base.clone()
        }
    };
    stated.tiers.iter().map(tier).collect()
}

/// All rates, from those that are stated. The others are in proportion to those of `like`, or without it by default.
pub(super) fn fill(stated: impl Fn(Part) -> Option<u64>, like: Option<&Rates>) -> Rates {
    Rates::build(|rates, part| {
        if let Some(amount) = stated(part) {
            return Rate {
                amount,
                is_said: true,
            };
        }
        let base = part.base().and_then(|base| Some((base, stated(base)?)));
        let amount = match (like, base) {
            (None, _) => part.default().map_or(0, |other| rates.of(other)),
            (Some(like), Some((base, amount))) => scale(like.of(part), amount, like.of(base)),
            (Some(like), None) => like.of(part),
        };
        // What costs nothing as text costs nothing as sound.
        let is_free = base.is_some_and(|(_, amount)| amount == 0);
        Rate {
            amount,
            is_said: is_free || like.is_some_and(|like| like.says(part)),
        }
    })
}

/// Rates that are to `rates` as `new` ones are to `old` ones.
fn in_proportion(rates: &Rates, new: &Rates, old: &Rates) -> Rates {
    Rates::build(|_, part| Rate {
        amount: scale(rates.of(part), new.of(part), old.of(part)),
        is_said: rates.says(part) || new.says(part),
    })
}

/// `rate` times `new` by `old`, rounded up. Where nothing was asked before, the new rate itself.
fn scale(rate: u64, new: u64, old: u64) -> u64 {
    if old == 0 {
        return new;
    }
    let scaled = (u128::from(rate) * u128::from(new)).div_ceil(u128::from(old));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// The rates that a message of the contract states. Negative ones do not pass validation.
fn amounts(price: &pb::Price) -> impl Fn(Part) -> Option<u64> {
    let price = price.clone();
    move |part| field(&price, part).map(|usd| usd.nanos.unsigned_abs())
}

/// The field of a part.
pub(crate) fn field(price: &pb::Price, part: Part) -> Option<pb::Usd> {
    match part {
        Part::Input => price.input,
        Part::CachedInput => price.cached_input,
        Part::CacheWrite => price.cache_write,
        Part::CacheWrite1h => price.cache_write_1h,
        Part::InputAudio => price.input_audio,
        Part::CachedAudio => price.cached_audio,
        Part::InputImage => price.input_image,
        Part::Output => price.output,
        Part::Reasoning => price.reasoning,
        Part::OutputAudio => price.output_audio,
        Part::OutputImage => price.output_image,
        Part::Request => price.request,
        Part::Search => price.search,
    }
}
