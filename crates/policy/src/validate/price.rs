//! Faults of prices.

use crate::fault::Fault;
use crate::path::{field, item};
use crate::pb;
use crate::price::{self, Part};

/// Highest price of a million tokens, in US dollars.
const MAX_PRICE: i64 = 1_000_000;
/// Most tiers of a price.
const MAX_TIERS: usize = 16;
/// What to do about a model that the catalog does not know.
pub(super) const UNKNOWN_HINT: &str = "write `price: { input: \"0.15\", output: \"0.60\" }` in US dollars per million \
                                       tokens, zero where it costs nothing; or `base_model`, if `tollgate prices` \
                                       knows the model by another name";
const AMOUNT_HINT: &str = "write US dollars per million tokens, such as `\"0.15\"`";

/// Whether the catalog knows the model, so that a price need not say all.
pub(super) fn is_listed(policy: &pb::Policy, deployment: &pb::Deployment) -> bool {
    let provider = policy.providers.get(&deployment.provider);
    provider.is_some_and(|provider| price::listed(provider, deployment).is_some())
}

/// A model that the catalog does not know needs a price that says all. One that always searches is none of the catalog's.
pub(super) fn check(it: &pb::Deployment, is_listed: bool, at: &str, faults: &mut Vec<Fault>) {
    let Some(price) = &it.price else {
        return;
    };
    amounts(price, !is_listed, at, faults);
    if !is_listed && price::always_searches(it) && !price::says_searches(price) {
        let problem = "is missing, and the model searches for every request by its name";
        let fault = Fault::new(field(at, "search"), problem);
        faults.push(fault.hint(
            "write US dollars per search, such as `\"0.01\"`, or `request` where it costs as much for every request, zero \
             where it costs nothing",
        ));
    }
    tiers(price, &field(at, "tiers"), faults);
}

fn amounts(it: &pb::Price, whole: bool, at: &str, faults: &mut Vec<Fault>) {
    for part in Part::ALL {
        let needed = whole && matches!(part, Part::Input | Part::Output);
        let problem = match price::field(it, part) {
            None if needed => {
                "is missing: the catalog does not know the model, and a cost is known whole or not at all"
            }
            Some(usd) if usd.nanos < 0 => "is negative",
            Some(usd) if usd.nanos / 1_000_000_000 >= MAX_PRICE => "is a million dollars or more",
            _ => continue,
        };
        let hint = match part {
            Part::Request => "write US dollars per request, such as `\"0.01\"`",
            Part::Search => "write US dollars per search, such as `\"0.01\"`",
            Part::Input
            | Part::CachedInput
            | Part::CacheWrite
            | Part::CacheWrite1h
            | Part::InputAudio
            | Part::CachedAudio
            | Part::InputImage
            | Part::Output
            | Part::Reasoning
            | Part::OutputAudio
            | Part::OutputImage => AMOUNT_HINT,
        };
        faults.push(Fault::new(field(at, part.as_str()), problem).hint(hint));
    }
}

fn tiers(it: &pb::Price, at: &str, faults: &mut Vec<Fault>) {
    if it.tiers.len() > MAX_TIERS {
        let fault = Fault::new(at, format!("holds more than {MAX_TIERS} tiers"));
        return faults.push(fault.hint("leave out those that no prompt reaches"));
    }
    let mut before = 0;
    for (index, tier) in it.tiers.iter().enumerate() {
        let at = item(at, index);
        if tier.above <= before {
            let problem = match index {
                0 => "is missing or zero",
                _ => "is not more than that of the tier before",
            };
            let fault = Fault::new(field(&at, "above"), problem);
            faults.push(
                fault.hint("write the input tokens above which the tier holds, such as `200000`"),
            );
        }
        before = tier.above;
        let at = field(&at, "price");
        let price = tier.price.clone().unwrap_or_default();
        amounts(&price, false, &at, faults);
        if !price.tiers.is_empty() {
            faults.push(
                Fault::new(field(&at, "tiers"), "has no meaning within a tier")
                    .hint("leave it out"),
            );
        }
        for part in [Part::Request, Part::Search] {
            if price::field(&price, part).is_some() {
                let fault = Fault::new(field(&at, part.as_str()), "has no meaning within a tier");
                faults.push(fault.hint("write it beside `tiers`"));
            }
        }
        if Part::ALL
            .iter()
            .all(|part| price::field(&price, *part).is_none())
        {
            faults
                .push(Fault::new(&at, "says nothing").hint("write at least `input` and `output`"));
        }
    }
}
