//! Models, their pools, and what is tried when.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::super::{
    Causes, Fallback, Health, Model, OnCut, Pool, Route, Shadow, SlowStream, Sticky, Strategy,
    Target, defaults,
};
use super::{Index, duration, numbered, or, or_default, sorted, unset};
use crate::condition::Condition;
use crate::{Fault, path, pb};

/// The models of a policy. `deployments` are the places of deployments by name.
pub(super) fn models(
    policy: &pb::Policy,
    deployments: &Index<'_, usize>,
) -> Result<Vec<Arc<Model>>, Fault> {
    let mut pools: Index<'_, Pool> = HashMap::new();
    for (name, it) in sorted(&policy.pools) {
        pools.insert(name, pool(name, it, deployments)?);
    }
    numbered(sorted(&policy.models), |_, name, it| {
        model(name, it, &pools)
    })
}

fn pool(name: &str, it: &pb::Pool, deployments: &Index<'_, usize>) -> Result<Pool, Fault> {
    let at = path::entry("pools", name);
    let target = |target: &pb::Target| {
        let deployment = deployments.get(target.deployment.as_str()).copied();
        Ok(Target {
            deployment: deployment.ok_or_else(|| unset(&at, "targets"))?,
            weight: or_default(target.weight, defaults::WEIGHT),
        })
    };
    let targets = it.targets.iter().map(target);
    Ok(Pool {
        name: name.into(),
        strategy: strategy(it).ok_or_else(|| unset(&at, "sticky"))?,
        health: health(it.health.unwrap_or_default()),
        targets: targets.collect::<Result<_, Fault>>()?,
    })
}

fn strategy(it: &pb::Pool) -> Option<Strategy> {
    Some(match it.strategy() {
        pb::Strategy::Unspecified | pb::Strategy::Weighted => Strategy::Weighted,
        pb::Strategy::LeastBusy => Strategy::LeastBusy,
        pb::Strategy::LeastLatency => Strategy::LeastLatency,
        pb::Strategy::Cheapest => Strategy::Cheapest,
        pb::Strategy::MostRoom => Strategy::MostRoom,
        pb::Strategy::Sticky => Strategy::Sticky(sticky(it.sticky.as_ref()?)?),
    })
}

fn sticky(it: &pb::Sticky) -> Option<Sticky> {
    match it.by() {
        pb::StickyBy::Unspecified => None,
        pb::StickyBy::Key => Some(Sticky::Key),
        pb::StickyBy::User => Some(Sticky::User),
        pb::StickyBy::Metadata => Some(Sticky::Metadata(it.metadata.clone())),
        pb::StickyBy::Prompt => Some(Sticky::Prompt),
    }
}

fn health(it: pb::Health) -> Health {
    Health {
        failures: or_default(it.failures, defaults::FAILURES),
        error_percent: or_default(it.error_percent, defaults::ERROR_PERCENT),
        least_requests: or_default(it.least_requests, defaults::LEAST_REQUESTS),
        slow_factor: (it.slow_factor > 0).then_some(it.slow_factor),
        first_ejection: or(it.first_ejection, defaults::FIRST_EJECTION),
        longest_ejection: or(it.longest_ejection, defaults::LONGEST_EJECTION),
        slow_start: or(it.slow_start, defaults::SLOW_START),
    }
}

fn model(name: &str, it: &pb::Model, pools: &Index<'_, Pool>) -> Result<Model, Fault> {
    let at = path::entry("models", name);
    let routes = it.routes.iter().map(|it| route(it, &at, pools));
    let mut routes: Vec<_> = routes.collect::<Result<_, Fault>>()?;
    if routes.is_empty() {
        return Err(unset(&at, "routes"));
    }
    for (index, route) in routes.iter_mut().enumerate() {
        let shadow = it.routes.get(index).and_then(|it| it.shadow.as_ref());
        let called = (name, index);
        route.shadow = shadow
            .map(|shadow| self::shadow(called, shadow, (it, &at), pools))
            .transpose()?;
    }
    let retry = it.retry.unwrap_or_default();
    let slow_stream = retry.slow_stream.and_then(|it| {
        Some(SlowStream {
            tokens: it.tokens,
            within: duration(it.within.as_ref()?)?,
        })
    });
    let conditions = routes
        .iter()
        .filter_map(|it: &Route| it.condition.as_deref());
    let uses: Vec<_> = conditions.map(Condition::uses).collect();
    let budgets: BTreeSet<_> = uses.iter().flat_map(|it| &it.budgets).collect();
    Ok(Model {
        name: name.into(),
        weighs_complexity: uses.iter().any(|it| it.complexity),
        budgets: budgets.into_iter().map(|it| Arc::from(&**it)).collect(),
        aliases: it.aliases.clone(),
        routes,
        attempts: or_default(retry.attempts, defaults::ATTEMPTS),
        per_attempt_timeout: retry.per_attempt_timeout.as_ref().and_then(duration),
        first_token_timeout: retry.first_token_timeout.as_ref().and_then(duration),
        slow_stream,
        hedge_after: retry.hedge_after.as_ref().and_then(duration),
        deadline: or(it.deadline, defaults::DEADLINE),
        on_cut: on_cut(it.on_cut()),
        max_output_tokens: or_default(it.max_output_tokens, defaults::MAX_OUTPUT_TOKENS),
        exact_tokens: it.tokens() == pb::TokenCount::Exact,
    })
}

/// What copies of the requests of a model's route are sent as.
fn shadow(
    (model, index): (&str, usize),
    it: &pb::Shadow,
    (of, at): (&pb::Model, &str),
    pools: &Index<'_, Pool>,
) -> Result<Shadow, Fault> {
    let pool = pools.get(it.pool.as_str()).cloned();
    let route = Route {
        condition: None,
        pools: vec![pool.ok_or_else(|| unset(at, "routes"))?],
        fallbacks: Vec::new(),
        variant: None,
        shadow: None,
    };
    let model = Model {
        // The dot keeps it from being the name of any part of a policy.
        name: format!("{model}.shadow-{index}").into(),
        aliases: Vec::new(),
        routes: vec![route],
        attempts: 1,
        per_attempt_timeout: None,
        first_token_timeout: None,
        slow_stream: None,
        hedge_after: None,
        deadline: or(of.deadline, defaults::DEADLINE),
        on_cut: OnCut::Fail,
        max_output_tokens: or_default(of.max_output_tokens, defaults::MAX_OUTPUT_TOKENS),
        exact_tokens: false,
        weighs_complexity: false,
        budgets: Vec::new(),
    };
    Ok(Shadow {
        model: Arc::new(model),
        percent: it.percent,
        max_in_flight: or_default(it.max_in_flight, defaults::COPIES_IN_FLIGHT),
    })
}

fn on_cut(it: pb::CutMode) -> OnCut {
    match it {
        pb::CutMode::Unspecified | pb::CutMode::Fail => OnCut::Fail,
        pb::CutMode::Replay => OnCut::Replay,
        pb::CutMode::Prefill => OnCut::Prefill,
    }
}

fn route(it: &pb::Route, at: &str, pools: &Index<'_, Pool>) -> Result<Route, Fault> {
    let named = |names: &[String]| {
        let pool = |name: &String| pools.get(name.as_str()).cloned();
        let all: Option<Vec<_>> = names.iter().map(pool).collect();
        all.ok_or_else(|| unset(at, "routes"))
    };
    let fallback = |it: &pb::Fallback| {
        Ok(Fallback {
            on: causes(it.on()),
            pools: named(&it.pools)?,
        })
    };
    let condition = Some(it.when.as_str()).filter(|text| !text.is_empty());
    let condition = condition.map(Condition::of_route).transpose();
    let fallbacks = it.fallbacks.iter().map(fallback);
    Ok(Route {
        condition: condition
            .map_err(|wrong| Fault::new(path::field(at, "routes"), wrong.problem))?
            .map(Arc::new),
        pools: named(&it.pools)?,
        fallbacks: fallbacks.collect::<Result<_, Fault>>()?,
        variant: (!it.variant.is_empty()).then(|| it.variant.as_str().into()),
        shadow: None,
    })
}

fn causes(on: impl Iterator<Item = pb::FallbackCause>) -> Causes {
    on.fold(Causes::default(), |causes, cause| match cause {
        pb::FallbackCause::Unspecified => causes,
        pb::FallbackCause::ContextLength => Causes {
            context_length: true,
            ..causes
        },
        pb::FallbackCause::ContentFilter => Causes {
            content_filter: true,
            ..causes
        },
        pb::FallbackCause::RateLimit => Causes {
            rate_limit: true,
            ..causes
        },
        pb::FallbackCause::Other => Causes {
            other: true,
            ..causes
        },
    })
}
