//! Faults of how requests are led: strategies, health, routes, retries.

use std::collections::HashMap;

use super::{Least, Names, check_known, check_name, check_reference, check_repeats, check_time};
use crate::condition::Condition;
use crate::fault::Fault;
use crate::limits;
use crate::path::{entry, field, item};
use crate::pb;
use crate::table::build::sorted;

/// Most attempts of a request.
const MAX_ATTEMPTS: u32 = 10;
/// Most copies under way at once.
const MAX_COPIES: u32 = 200;
/// Longest name of metadata.
const MAX_METADATA: usize = 64;
/// Most tokens that are held back of a stream.
const MAX_HELD_TOKENS: u32 = 1000;
/// Most failures in a row, requests that say something, and times as slow.
const MAX_COUNT: u32 = 10_000;

/// Every pool that a route names, its fallbacks' included.
pub(super) fn pools_of(route: &pb::Route) -> impl Iterator<Item = &String> {
    let fallbacks = route.fallbacks.iter().flat_map(|it| &it.pools);
    route.pools.iter().chain(fallbacks)
}

/// The same, and the one that copies go to.
pub(super) fn all_pools_of(route: &pb::Route) -> impl Iterator<Item = &String> {
    pools_of(route).chain(route.shadow.iter().map(|it| &it.pool))
}

/// Looks at a pool's strategy and at its idea of health.
pub(super) fn pool(it: &pb::Pool, at: &str, faults: &mut Vec<Fault>) {
    if it.strategy != 0 {
        let unset = pb::Strategy::Unspecified;
        check_known(it.strategy, &unset, &field(at, "strategy"), faults);
    }
    sticky(it, &field(at, "sticky"), faults);
    if let Some(health) = &it.health {
        check_health(health, &field(at, "health"), faults);
    }
}

fn sticky(pool: &pb::Pool, at: &str, faults: &mut Vec<Fault>) {
    let is_sticky = pool.strategy == pb::Strategy::Sticky as i32;
    let Some(it) = &pool.sticky else {
        if is_sticky {
            let fault = Fault::new(at, "is missing, and the strategy is `sticky`");
            faults.push(fault.hint("write what goes together, such as `sticky: { by: user }`"));
        }
        return;
    };
    if !is_sticky {
        let fault = Fault::new(at, "has no meaning for this strategy");
        faults.push(fault.hint("write `strategy: sticky`, or leave it out"));
    }
    let by = check_known(it.by, &pb::StickyBy::Unspecified, &field(at, "by"), faults);
    let (name, by_metadata) = (&it.metadata, by == Some(pb::StickyBy::Metadata));
    let problem = if by_metadata && name.is_empty() {
        "is missing"
    } else if !by_metadata && !name.is_empty() {
        "has no meaning here"
    } else if name.len() > MAX_METADATA {
        "is longer than 64 characters"
    } else {
        return;
    };
    let hint = "write `by: metadata` and the name, such as `metadata: session`";
    faults.push(Fault::new(field(at, "metadata"), problem).hint(hint));
}

fn check_health(it: &pb::Health, at: &str, faults: &mut Vec<Fault>) {
    for (name, value, most) in [
        ("failures", it.failures, MAX_COUNT),
        ("error_percent", it.error_percent, 100),
        ("least_requests", it.least_requests, MAX_COUNT),
        ("slow_factor", it.slow_factor, MAX_COUNT),
    ] {
        if value > most {
            let fault = Fault::new(field(at, name), format!("is more than {most}"));
            faults.push(fault.hint("write a smaller number, or leave it out"));
        }
    }
    if it.slow_factor == 1 {
        let fault = Fault::new(field(at, "slow_factor"), "is less than 2");
        faults.push(fault.hint("half of all answers are slower than the others"));
    }
    for (name, time, least) in [
        ("first_ejection", &it.first_ejection, Least::AboveZero),
        ("longest_ejection", &it.longest_ejection, Least::AboveZero),
        ("slow_start", &it.slow_start, Least::Zero),
    ] {
        check_time(time.as_ref(), least, &field(at, name), faults);
    }
}

/// Reports pools that share a deployment and do not agree on its health: it is one deployment, and is out of use for
/// all of them or for none.
pub(super) fn shared_health(policy: &pb::Policy, faults: &mut Vec<Fault>) {
    let mut first: HashMap<&str, (&str, pb::Health)> = HashMap::new();
    for (name, pool) in sorted(&policy.pools) {
        let health = pool.health.unwrap_or_default();
        for target in &pool.targets {
            let (other, stated) = *first
                .entry(target.deployment.as_str())
                .or_insert((name, health));
            if stated != health {
                let at = field(&entry("pools", name), "health");
                let other = entry("pools", other);
                let problem = format!(
                    "is not that of {other}, which has the deployment `{}` too",
                    crate::path::shorten(&target.deployment)
                );
                let fault = Fault::new(at, problem);
                faults.push(fault.hint("write the same in both").other(other));
                break;
            }
        }
    }
}

pub(super) fn routes(model: &pb::Model, at: &str, known: &Names<'_>, faults: &mut Vec<Fault>) {
    let at = field(at, "routes");
    let all = &model.routes;
    if all.is_empty() {
        let fault = Fault::new(&at, "the model has no route");
        faults.push(fault.hint("write at least one, such as `routes: [ { pools: [NAME] } ]`"));
    }
    let for_all = all.iter().position(|route| route.when.is_empty());
    for (index, route) in all.iter().enumerate() {
        let at = item(&at, index);
        if let Some(first) = for_all.filter(|first| *first < index) {
            let problem = format!(
                "is never taken: the first route that matches is, and every request matches the one before, {first}"
            );
            let fault = Fault::new(&at, problem);
            faults.push(fault.hint(
                "list all pools in one route, in the order in which to try them, or say for which requests it is \
                 with `when`",
            ));
        }
        condition(&route.when, &field(&at, "when"), faults);
        if !route.variant.is_empty() {
            check_name(&route.variant, &field(&at, "variant"), faults);
        }
        pools(&route.pools, ("route", &at), known, faults);
        if let Some(it) = &route.shadow {
            shadow(it, &field(&at, "shadow"), known, faults);
        }
        for (index, it) in route.fallbacks.iter().enumerate() {
            fallback(it, &item(&field(&at, "fallbacks"), index), known, faults);
        }
    }
    if let (None, Some(last)) = (for_all, all.len().checked_sub(1)) {
        let at = field(&item(&at, last), "when");
        let fault = Fault::new(at, "leaves requests without a route: it is the last");
        faults.push(fault.hint("add a route without `when`, or leave it out here"));
    }
}

/// Reports conditions of routes that ask for limits which are not there.
pub(super) fn budgets(policy: &pb::Policy, faults: &mut Vec<Fault>) {
    let limits = limits::all(policy);
    let known: Names<'_> = limits.iter().map(|it| &*it.name).collect();
    for (name, model) in sorted(&policy.models) {
        let routes = field(&entry("models", name), "routes");
        for (index, route) in model.routes.iter().enumerate() {
            let Ok(condition) = Condition::of_route(&route.when) else {
                continue;
            };
            let at = field(&item(&routes, index), "when");
            for budget in &condition.uses().budgets {
                check_reference(budget, "limit", &at, &known, faults);
            }
        }
    }
}

fn condition(text: &str, at: &str, faults: &mut Vec<Fault>) {
    if !text.is_empty()
        && let Err(wrong) = Condition::of_route(text)
    {
        faults.push(Fault::new(at, wrong.problem).maybe_hint(wrong.hint));
    }
}

/// Looks at a list of pools to try.
fn pools(names: &[String], (what, at): (&str, &str), known: &Names<'_>, faults: &mut Vec<Fault>) {
    let at = field(at, "pools");
    if names.is_empty() {
        let fault = Fault::new(&at, format!("the {what} has no pool"));
        faults.push(fault.hint("name at least one"));
    }
    for (index, name) in names.iter().enumerate() {
        check_reference(name, "pool", &item(&at, index), known, faults);
    }
    let names = names.iter().map(String::as_str);
    check_repeats(names, |index| item(&at, index), faults);
}

fn shadow(it: &pb::Shadow, at: &str, known: &Names<'_>, faults: &mut Vec<Fault>) {
    check_reference(&it.pool, "pool", &field(at, "pool"), known, faults);
    if !(1..=100).contains(&it.percent) {
        let fault = Fault::new(field(at, "percent"), "is not from 1 to 100");
        faults.push(fault.hint("write how many of a hundred requests are copied"));
    }
    if it.max_in_flight > MAX_COPIES {
        let problem = format!("is more than {MAX_COPIES}");
        let fault = Fault::new(field(at, "max_in_flight"), problem);
        faults.push(fault.hint("each copy is held in memory: write a smaller `percent`"));
    }
}

fn fallback(it: &pb::Fallback, at: &str, known: &Names<'_>, faults: &mut Vec<Fault>) {
    let on = field(at, "on");
    if it.on.is_empty() {
        let fault = Fault::new(&on, "is missing");
        faults.push(fault.hint("write after which failures, such as `on: [context_length]`"));
    }
    for (index, cause) in it.on.iter().enumerate() {
        let unset = pb::FallbackCause::Unspecified;
        check_known(*cause, &unset, &item(&on, index), faults);
    }
    pools(&it.pools, ("fallback", at), known, faults);
}

/// Looks at how often and for how long requests are tried.
pub(super) fn retry(it: &pb::Retry, at: &str, faults: &mut Vec<Fault>) {
    if it.attempts > MAX_ATTEMPTS {
        let fault = Fault::new(
            field(at, "attempts"),
            format!("is more than {MAX_ATTEMPTS}"),
        );
        faults.push(fault.hint("write 1 to 10, or leave it out for 3"));
    }
    for (name, time) in [
        ("per_attempt_timeout", &it.per_attempt_timeout),
        ("first_token_timeout", &it.first_token_timeout),
        ("hedge_after", &it.hedge_after),
    ] {
        check_time(time.as_ref(), Least::AboveZero, &field(at, name), faults);
    }
    if it.hedge_after.is_some() && it.attempts == 1 {
        let fault = Fault::new(field(at, "hedge_after"), "needs a second attempt");
        faults.push(fault.hint("write `attempts: 2` or more"));
    }
    if let Some(slow) = &it.slow_stream {
        slow_stream(slow, &field(at, "slow_stream"), faults);
    }
}

fn slow_stream(it: &pb::SlowStream, at: &str, faults: &mut Vec<Fault>) {
    if !(2..=MAX_HELD_TOKENS).contains(&it.tokens) {
        let problem = format!("is not from 2 to {MAX_HELD_TOKENS}");
        let fault = Fault::new(field(at, "tokens"), problem);
        faults.push(fault.hint("so many tokens are held back until they have come"));
    }
    let within = field(at, "within");
    if it.within.is_none() {
        let fault = Fault::new(&within, "is missing");
        faults.push(fault.hint("write how long the tokens may take, such as `2s`"));
    }
    check_time(it.within.as_ref(), Least::AboveZero, &within, faults);
}
