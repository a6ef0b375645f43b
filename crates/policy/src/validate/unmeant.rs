//! What a policy may hold but probably does not mean.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tollgate_quota::Kind;

use super::price;
use super::routing::{all_pools_of, pools_of};
use crate::fault::Fault;
use crate::limits;
use crate::path::{entry, field, item};
use crate::price::Bounds;
use crate::table::{Limit, Model, Protocol, Reserve, Scope, Table, Use, build, defaults};
use crate::{ceilings, nearest, pb};

pub(super) fn warnings(policy: &pb::Policy) -> Vec<Fault> {
    let mut warnings = Vec::new();
    keyless(policy, &mut warnings);
    unpriced(policy, &mut warnings);
    unused(policy, &mut warnings);
    retries(policy, &mut warnings);
    cuts(policy, &mut warnings);
    shadows(policy, &mut warnings);
    if let Ok(table) = build::build(policy, 0) {
        // Costs and weights are the table's to know; one that cannot be built has faults, not warnings.
        small_limits(policy, &table, &mut warnings);
        small_ceilings(policy, &table, &mut warnings);
    }
    same_limits(policy, &mut warnings);
    warnings
}

/// Providers that will refuse every request for want of a key.
fn keyless(policy: &pb::Policy, warnings: &mut Vec<Fault>) {
    let providers: BTreeMap<_, _> = policy.providers.iter().collect();
    for (name, it) in providers {
        let variable = Protocol::of(it.kind()).and_then(Protocol::key_variable);
        if let (Some(variable), None) = (variable, &it.credential) {
            let warning = Fault::new(
                entry("providers", name),
                "has no credential, and this service wants a key",
            );
            warnings.push(warning.hint(format!("write `credential: {{ env: {variable} }}`")));
        }
    }
}

/// Deployments whose requests will have no cost in any record.
fn unpriced(policy: &pb::Policy, warnings: &mut Vec<Fault>) {
    let deployments: BTreeMap<_, _> = policy.deployments.iter().collect();
    for (name, it) in deployments {
        let provider = policy.providers.get(&it.provider);
        let is_simulated = provider.is_some_and(|it| it.kind() == pb::ProviderKind::Simulated);
        if it.price.is_none() && !is_simulated && !price::is_listed(policy, it) {
            let problem = "is missing, and the catalog does not know the model: what its requests cost is unknown";
            let warning = Fault::new(field(&entry("deployments", name), "price"), problem);
            warnings.push(warning.hint(price::UNKNOWN_HINT));
        }
    }
}

/// Parts that no request can reach.
fn unused(policy: &pb::Policy, warnings: &mut Vec<Fault>) {
    let routes = policy.models.values().flat_map(|it| &it.routes);
    let pools: HashSet<&String> = routes.flat_map(all_pools_of).collect();
    let targets = policy.pools.values().flat_map(|it| &it.targets);
    let deployments: HashSet<&String> = targets.map(|it| &it.deployment).collect();
    let providers: HashSet<&String> = policy.deployments.values().map(|it| &it.provider).collect();
    let mut report = |section: &str, mut unused: Vec<&String>, user: &str| {
        unused.sort_unstable();
        for name in unused {
            warnings.push(Fault::new(
                entry(section, name),
                format!("is not used by any {user}"),
            ));
        }
    };
    let names = policy.providers.keys().filter(|it| !providers.contains(it));
    report("providers", names.collect(), "deployment");
    let names = policy
        .deployments
        .keys()
        .filter(|it| !deployments.contains(it));
    report("deployments", names.collect(), "pool");
    let names = policy.pools.keys().filter(|it| !pools.contains(it));
    report("pools", names.collect(), "model");
}

/// Attempts that can never be made.
fn retries(policy: &pb::Policy, warnings: &mut Vec<Fault>) {
    let models: BTreeMap<_, _> = policy.models.iter().collect();
    for (name, it) in models {
        let at = field(&entry("models", name), "retry");
        let Some(retry) = &it.retry else { continue };
        let reached = |route: &pb::Route| {
            let pools = pools_of(route).filter_map(|it| policy.pools.get(it));
            let targets = pools.flat_map(|it| &it.targets);
            let deployments = targets.map(|it| &it.deployment);
            deployments.collect::<HashSet<_>>().len()
        };
        let deployments = it.routes.iter().map(reached).max().unwrap_or_default();
        if usize::try_from(retry.attempts).is_ok_and(|attempts| attempts > deployments) {
            let problem = format!("is more than the {deployments} deployments there are to try");
            let warning = Fault::new(field(&at, "attempts"), problem);
            warnings.push(warning.hint("no deployment is tried twice for one request"));
        }
        let deadline = it
            .deadline
            .as_ref()
            .and_then(build::duration)
            .unwrap_or(defaults::DEADLINE);
        let per_attempt = retry.per_attempt_timeout.as_ref().and_then(build::duration);
        if retry.attempts != 1 && per_attempt.is_some_and(|it| it >= deadline) {
            let warning = Fault::new(
                field(&at, "per_attempt_timeout"),
                "leaves no time for a second attempt",
            );
            warnings.push(warning.hint(format!(
                "the whole request has {} s (`deadline`)",
                deadline.as_secs_f64()
            )));
        }
    }
}

/// Answers that break off and can hardly be gone on with.
fn cuts(policy: &pb::Policy, warnings: &mut Vec<Fault>) {
    let models: BTreeMap<_, _> = policy.models.iter().collect();
    for (name, it) in models {
        let at = field(&entry("models", name), "on_cut");
        let deployments = it
            .routes
            .iter()
            .flat_map(pools_of)
            .filter_map(|it| policy.pools.get(it))
            .flat_map(|it| &it.targets)
            .filter_map(|it| policy.deployments.get(&it.deployment));
        let takes_prefill = |it: &pb::Deployment| it.prefill() != pb::Prefill::Unspecified;
        let takes_prefill = deployments.map(takes_prefill).collect::<Vec<_>>();
        let goes_on = matches!(it.on_cut(), pb::CutMode::Replay | pb::CutMode::Prefill);
        let warning = if goes_on && it.retry.is_some_and(|retry| retry.attempts == 1) {
            Fault::new(at, "needs a second attempt")
                .hint("write `attempts: 2` or more under `retry`")
        } else if it.on_cut() == pb::CutMode::Prefill && !takes_prefill.contains(&true) {
            let problem = "no deployment of the model says that it can go on with an answer: all are asked for it anew";
            Fault::new(at, problem)
                .hint("write `prefill` at those that can, such as `prefill: last_message`")
        } else if it.on_cut() == pb::CutMode::Replay {
            let problem = "an answer that is asked for again is mostly another one where the temperature is above 0: such streams fail as before";
            Fault::new(at, problem).hint("send `temperature: 0`, or write `prefill` here and at deployments that can go on with an answer")
        } else {
            continue;
        };
        warnings.push(warning);
    }
}

/// Copies that nothing bounds but how many there are at once, and limits on copies where none are made.
fn shadows(policy: &pb::Policy, warnings: &mut Vec<Fault>) {
    let bounded = policy.limits.iter().any(|it| it.copies);
    let models: BTreeMap<_, _> = policy.models.iter().collect();
    let mut copied = false;
    for (name, it) in models {
        let routes = field(&entry("models", name), "routes");
        for (index, _) in it
            .routes
            .iter()
            .enumerate()
            .filter(|(_, it)| it.shadow.is_some())
        {
            copied = true;
            if !bounded {
                let at = field(&item(&routes, index), "shadow");
                let problem =
                    "has no limit: what copies cost is bounded by how many there are at once alone";
                let hint = "write one such as `{ name: copies, copies: true, cost_usd: \"10\", window: 1d }` under `limits`";
                warnings.push(Fault::new(at, problem).hint(hint));
            }
        }
    }
    for (index, _) in policy
        .limits
        .iter()
        .enumerate()
        .filter(|(_, it)| it.copies && !copied)
    {
        let at = field(&item("limits", index), "copies");
        warnings.push(Fault::new(at, "counts nothing: no route has a `shadow`"));
    }
}

/// Limits that refuse every request which names no maximum of its own.
fn small_limits(policy: &pb::Policy, table: &Table, warnings: &mut Vec<Fault>) {
    for placed in limits::all(policy) {
        let Some(limit) = table.limit(&placed.name) else {
            continue;
        };
        let small = |model: &&Arc<Model>| reserves(table, limit, model) > limit.at_once();
        let of_copies = |model: &&Arc<Model>| table.shadows().any(|it| it.model == **model);
        let models = table.every_model();
        let models = models.filter(|it| of_copies(it) == (limit.scope == Scope::Copies));
        let models = models.filter(small).take(5);
        let models: Vec<&str> = models.map(|model| &*model.name).collect();
        // Whom a condition is about is not known here.
        let maybe = limit.reserve == Reserve::Expected || limit.condition.is_some();
        if maybe || limit.shadow || models.is_empty() {
            continue;
        }
        let unit = limit.measure.unit;
        let problem = format!(
            "is less than what a request reserves which names no maximum of output: it is always refused for {}",
            nearest::list(&models)
        );
        let at = match limit.kind {
            Kind::Bucket { .. } if placed.limit.burst > 0 => "burst",
            Kind::Fixed { .. }
            | Kind::Sliding { .. }
            | Kind::Bucket { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => unit.as_str(),
        };
        let warning = Fault::new(field(&placed.at, at), problem);
        warnings
            .push(warning.hint("raise the limit, or set a lower `max_output_tokens` at the model"));
    }
}

/// What a request reserves of a limit at least that names no maximum of its own.
fn reserves(table: &Table, limit: &Limit, model: &Model) -> u64 {
    let output = u64::from(model.max_output_tokens);
    let least = Bounds {
        input: 1,
        output,
        ..Bounds::default()
    };
    // A request has at least one token of input.
    limit.measure.units(&Use {
        requests: 1,
        input: 1,
        cached_input: 0,
        output,
        cost: table.highest_cost(model, &least),
    })
}

/// Ceilings that keep every request away from a deployment which names no maximum of its own.
fn small_ceilings(policy: &pb::Policy, table: &Table, warnings: &mut Vec<Fault>) {
    for it in ceilings::all(policy) {
        let Some(limit) = table.limit(&it.name) else {
            continue;
        };
        let reaches = |model: &&Arc<Model>| {
            let deployments = model.targets();
            let mut deployments =
                deployments.filter_map(|it| table.deployments().get(it.deployment));
            deployments.any(|it| it.ceilings.iter().any(|it| it.limit == *limit))
        };
        let small = |model: &&Arc<Model>| reserves(table, limit, model) > limit.amount;
        let models = table.models().iter().filter(reaches).filter(small).take(5);
        let models: Vec<&str> = models.map(|model| &*model.name).collect();
        if models.is_empty() {
            continue;
        }
        let problem = format!(
            "is less than what a request reserves which names no maximum of output: none is ever sent there for {}",
            nearest::list(&models)
        );
        let hint = "set a lower `max_output_tokens` at the model";
        warnings.push(Fault::new(it.at, problem).hint(hint));
    }
}

/// Limits that count the same and differ in amount only: one of them never refuses anything.
fn same_limits(policy: &pb::Policy, warnings: &mut Vec<Fault>) {
    let mut first = HashMap::new();
    for placed in limits::all(policy) {
        let it = placed.limit;
        let unit = it.amount.as_ref().map(|it| build::amount(it).0);
        let (mut per, mut labels) = (it.per.clone(), it.per_labels.clone());
        per.sort_unstable();
        labels.sort_unstable();
        let window = it.window.map(|window| (window.seconds, window.calendar));
        // Limits of different kinds bound different things.
        let window = (window, &it.timezone, it.kind());
        let shape = (
            (placed.tier, it.copies),
            it.mode == pb::LimitMode::Shadow as i32,
            &it.r#match,
            unit,
            weights(it),
            window,
            per,
            labels,
        );
        if let Some(first) = first.get(&shape) {
            let problem = format!("counts the same as {first}: the smaller one decides");
            let warning = Fault::new(placed.at, problem);
            warnings.push(
                warning
                    .hint("remove one of them")
                    .other(String::clone(first)),
            );
        } else {
            first.insert(shape, placed.at);
        }
    }
}

/// The weights of a limit, as numbers that can be compared.
fn weights(it: &pb::Limit) -> [Option<u32>; 2] {
    let it = it.weights.unwrap_or_default();
    [it.cached_input, it.output].map(|weight| weight.map(|it| it.thousandths))
}
