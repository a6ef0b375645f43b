//! Faults of what serves requests: deployments, pools and models.

use std::collections::HashMap;

use super::{
    Least, check_known, check_reference, check_repeats, check_time, entries, names, price, routing,
};
use crate::fault::Fault;
use crate::path::{entry, field, item, shorten};
use crate::pb;
use crate::table::{Api, Protocol};

/// Longest alias and longest name of a model at a provider.
const MAX_MODEL_NAME: usize = 256;
/// Highest weight of a target.
const MAX_WEIGHT: u32 = 1_000_000;
/// Highest cap on the output of a request.
const MAX_OUTPUT_TOKENS: u32 = 10_000_000;

pub(super) fn deployments(policy: &pb::Policy, faults: &mut Vec<Fault>) {
    let known = names(policy.providers.keys());
    for (at, _, it) in entries("deployments", &policy.deployments, faults) {
        check_reference(
            &it.provider,
            "provider",
            &field(&at, "provider"),
            &known,
            faults,
        );
        check_model_name(&it.model, &field(&at, "model"), faults);
        if !it.base_model.is_empty() {
            check_model_name(&it.base_model, &field(&at, "base_model"), faults);
        }
        if it.prefill != 0 {
            prefill(it, &field(&at, "prefill"), faults);
        }
        if it.api != 0 {
            api(policy, it, &field(&at, "api"), faults);
        }
        for (index, lacks) in it.lacks.iter().enumerate() {
            let at = item(&field(&at, "lacks"), index);
            check_known(*lacks, &pb::Feature::Unspecified, &at, faults);
        }
        if let Some(price) = &it.price {
            let is_listed = price::is_listed(policy, it);
            price::check(price, is_listed, &field(&at, "price"), faults);
        }
    }
}

/// Looks at how a deployment goes on with an answer: its interface must have words for that.
fn prefill(it: &pb::Deployment, at: &str, faults: &mut Vec<Fault>) {
    let known = check_known(it.prefill, &pb::Prefill::Unspecified, at, faults);
    if known.is_some() && it.api() == pb::Api::Responses {
        let problem = "means nothing with `api: responses`, which always begins an answer anew";
        faults.push(Fault::new(at, problem).hint("leave it out"));
    }
}

/// Looks at the interface that a deployment names: its provider must have it.
fn api(policy: &pb::Policy, it: &pb::Deployment, at: &str, faults: &mut Vec<Fault>) {
    let Some(named) = check_known(it.api, &pb::Api::Unspecified, at, faults) else {
        return;
    };
    // A provider that is missing, or of no kind, has a fault of its own.
    let Some(provider) = policy.providers.get(&it.provider) else {
        return;
    };
    let kind = provider.kind();
    let has = match Protocol::of(kind) {
        Some(protocol) => protocol.has(Api::of(named)),
        None => kind == pb::ProviderKind::Unspecified || named == pb::Api::ChatCompletions,
    };
    if !has {
        let problem = "is for providers of kind `openai`, `azure_openai` and `openai_compatible`";
        faults.push(Fault::new(at, problem).hint("leave it out, or name another provider"));
    } else if named == pb::Api::Responses
        && provider
            .api_version
            .starts_with(|c: char| c.is_ascii_digit())
    {
        let problem = format!(
            "is not there over the classic interface, which `{}` says",
            field(&entry("providers", &it.provider), "api_version")
        );
        let hint = "leave the version out for v1, or let a provider of its own have none";
        faults.push(Fault::new(at, problem).hint(hint));
    }
}

/// Looks at a name that is not ours to choose: what a provider or a caller calls a model.
fn check_model_name(name: &str, at: &str, faults: &mut Vec<Fault>) {
    let problem = if name.is_empty() {
        "is missing".to_owned()
    } else if name.len() > MAX_MODEL_NAME {
        format!("is longer than {MAX_MODEL_NAME} characters")
    } else if let Some(bad) = name.chars().find(|c| !c.is_ascii_graphic()) {
        format!("holds {bad:?}")
    } else {
        return;
    };
    let hint = "write the name of a model in visible ASCII characters, such as `gpt-4o` or `meta/llama-3.1-8b`";
    faults.push(Fault::new(at, problem).hint(hint));
}

pub(super) fn pools(policy: &pb::Policy, faults: &mut Vec<Fault>) {
    let known = names(policy.deployments.keys());
    for (at, _, it) in entries("pools", &policy.pools, faults) {
        let targets = field(&at, "targets");
        if it.targets.is_empty() {
            let fault = Fault::new(&targets, "the pool has no target");
            faults.push(
                fault.hint("write at least one, such as `targets: [ { deployment: NAME } ]`"),
            );
        }
        for (index, it) in it.targets.iter().enumerate() {
            let at = item(&targets, index);
            check_reference(
                &it.deployment,
                "deployment",
                &field(&at, "deployment"),
                &known,
                faults,
            );
            if it.weight > MAX_WEIGHT {
                let fault = Fault::new(field(&at, "weight"), format!("is more than {MAX_WEIGHT}"));
                faults.push(
                    fault.hint("weights are relative: write small numbers, or leave it out for 1"),
                );
            }
        }
        let names = it.targets.iter().map(|it| it.deployment.as_str());
        check_repeats(
            names,
            |index| field(&item(&targets, index), "deployment"),
            faults,
        );
        routing::pool(it, &at, faults);
    }
    routing::shared_health(policy, faults);
}

pub(super) fn models(policy: &pb::Policy, faults: &mut Vec<Fault>) {
    let known = names(policy.pools.keys());
    let mut taken: HashMap<&str, String> = HashMap::new();
    for (at, name, it) in entries("models", &policy.models, faults) {
        aliases(policy, it, &at, faults, &mut taken);
        routing::routes(it, &at, &known, faults);
        routing::retry(&it.retry.unwrap_or_default(), &field(&at, "retry"), faults);
        check_time(
            it.deadline.as_ref(),
            Least::AboveZero,
            &field(&at, "deadline"),
            faults,
        );
        if it.tokens != 0 {
            let unset = pb::TokenCount::Unspecified;
            check_known(it.tokens, &unset, &field(&at, "tokens"), faults);
        }
        if it.on_cut != 0 {
            let unset = pb::CutMode::Unspecified;
            check_known(it.on_cut, &unset, &field(&at, "on_cut"), faults);
        }
        if it.max_output_tokens > MAX_OUTPUT_TOKENS {
            let fault = Fault::new(
                field(&at, "max_output_tokens"),
                format!("is more than {MAX_OUTPUT_TOKENS}"),
            );
            faults.push(fault.hint(format!(
                "write what `{name}` can give, or leave it out for 4096"
            )));
        }
    }
}

/// Looks at a model's aliases. `taken` collects those of all models with their paths.
fn aliases<'a>(
    policy: &pb::Policy,
    model: &'a pb::Model,
    at: &str,
    faults: &mut Vec<Fault>,
    taken: &mut HashMap<&'a str, String>,
) {
    for (index, alias) in model.aliases.iter().enumerate() {
        let at = item(&field(at, "aliases"), index);
        check_model_name(alias, &at, faults);
        if policy.models.contains_key(alias) {
            let fault = Fault::new(&at, format!("`{}` is the name of a model", shorten(alias)));
            faults.push(
                fault
                    .hint("choose another alias")
                    .other(entry("models", alias)),
            );
        } else if let Some(first) = taken.get(alias.as_str()) {
            let fault = Fault::new(
                &at,
                format!("`{}` is an alias already, as {first}", shorten(alias)),
            );
            faults.push(fault.hint("remove one of them").other(first.clone()));
        } else {
            taken.insert(alias, at);
        }
    }
}
