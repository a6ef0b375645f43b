//! Faults of deployments, pools and models.

use super::{Case, chat, check, model};
use crate::pb;

const REFERENCES: &[Case] = &[
    (
        |it| it.deployments.get_mut("gpt").unwrap().provider = "opnai".to_owned(),
        &["deployments.gpt.provider: there is no provider `opnai`; did you mean `openai`?"],
    ),
    (
        |it| it.deployments.get_mut("gpt").unwrap().provider.clear(),
        &["deployments.gpt.provider: is missing"],
    ),
    (
        |it| it.pools.get_mut("main").unwrap().targets[1].deployment = "lama".to_owned(),
        &["pools.main.targets[1].deployment: there is no deployment `lama`; did you mean `llama`?"],
    ),
    (
        |it| chat(it).routes[0].pools[1] = "zzzzz".to_owned(),
        &["models.chat.routes[0].pools[1]: there is no pool `zzzzz`; known here: `last`, `main`"],
    ),
    (
        |it| drop(std::mem::take(&mut it.pools)),
        &[
            "models.chat.routes[0].pools[0]: there is no pool `main`; the policy has no pools",
            "models.chat.routes[0].pools[1]: there",
        ],
    ),
];

#[test]
fn references() {
    check(REFERENCES);
}

fn price(
    policy: &mut pb::Policy,
    input: Option<i64>,
    output: Option<i64>,
    cached_input: Option<i64>,
) {
    let usd = |nanos: Option<i64>| nanos.map(|nanos| pb::Usd { nanos });
    policy.deployments.get_mut("gpt").unwrap().price = Some(pb::Price {
        input: usd(input),
        output: usd(output),
        cached_input: usd(cached_input),
        ..pb::Price::default()
    });
}

fn speak(policy: &mut pb::Policy, deployment: &str, api: i32) {
    policy.deployments.get_mut(deployment).unwrap().api = api;
}

/// Responses at Azure, over an interface of that version.
fn azure(policy: &mut pb::Policy, api_version: &str) {
    let it = policy.providers.get_mut("openai").unwrap();
    it.kind = pb::ProviderKind::AzureOpenai as i32;
    it.base_url = "https://r.openai.azure.com".to_owned();
    it.api_version = api_version.to_owned();
    speak(policy, "gpt", pb::Api::Responses as i32);
}

fn targets(policy: &mut pb::Policy) -> &mut Vec<pb::Target> {
    &mut policy.pools.get_mut("main").unwrap().targets
}

const DEPLOYMENTS_AND_POOLS: &[Case] = &[
    (
        |it| it.deployments.get_mut("gpt").unwrap().model.clear(),
        &["deployments.gpt.model: is missing"],
    ),
    (
        |it| it.deployments.get_mut("gpt").unwrap().model = "a b".to_owned(),
        &["deployments.gpt.model: holds ' '"],
    ),
    (
        |it| it.deployments.get_mut("gpt").unwrap().model = "x".repeat(257),
        &["deployments.gpt.model: is longer"],
    ),
    (|it| speak(it, "gpt", pb::Api::Responses as i32), &[]),
    (|it| speak(it, "llama", pb::Api::Responses as i32), &[]),
    (
        |it| {
            speak(it, "gpt", pb::Api::Responses as i32);
            it.deployments.get_mut("gpt").unwrap().prefill = pb::Prefill::LastMessage as i32;
        },
        &["deployments.gpt.prefill: means nothing with `api: responses`"],
    ),
    (
        |it| speak(it, "canned", pb::Api::ChatCompletions as i32),
        &[],
    ),
    (
        |it| speak(it, "gpt", 9),
        &["deployments.gpt.api: the value 9 is not known"],
    ),
    (
        |it| speak(it, "canned", pb::Api::Responses as i32),
        &["deployments.canned.api: is for providers of kind `openai`, `azure_openai` and"],
    ),
    (
        |it| {
            it.providers.get_mut("openai").unwrap().kind = pb::ProviderKind::Anthropic as i32;
            speak(it, "gpt", pb::Api::Responses as i32);
        },
        &["deployments.gpt.api: is for providers of kind `openai`, `azure_openai` and"],
    ),
    (|it| azure(it, ""), &[]),
    (|it| azure(it, "preview"), &[]),
    (
        |it| azure(it, "2025-03-01-preview"),
        &[
            "deployments.gpt.api: is not there over the classic interface, which `providers.openai.api_version` says",
        ],
    ),
    (|it| price(it, Some(0), Some(0), None), &[]),
    (
        |it| {
            price(it, Some(1), Some(2), None);
            it.deployments.get_mut("gpt").unwrap().model = "gpt-4o-mini-search-preview".to_owned();
        },
        &["deployments.gpt.price.search: is missing, and the model searches"],
    ),
    (
        |it| price(it, None, None, Some(1)),
        &[
            "deployments.gpt.price.input: is missing",
            "deployments.gpt.price.output: is",
        ],
    ),
    (
        |it| price(it, Some(-1), Some(0), None),
        &["deployments.gpt.price.input: is negative"],
    ),
    (
        |it| price(it, Some(1), Some(1), Some(-1)),
        &["deployments.gpt.price.cached_input: is negative"],
    ),
    (
        |it| price(it, Some(1), Some(999_999_999_999_999), None),
        &[],
    ),
    (
        |it| price(it, Some(1_000_000_000_000_000), Some(1), None),
        &["deployments.gpt.price.input: is a million"],
    ),
    (
        |it| targets(it).clear(),
        &["pools.main.targets: the pool has no target"],
    ),
    (
        |it| targets(it)[0].weight = 1_000_001,
        &["pools.main.targets[0].weight: is more than"],
    ),
    (
        |it| targets(it)[1].deployment = "gpt".to_owned(),
        &[
            "pools.main.targets[1].deployment: `gpt` is here twice, first as pools.main.targets[0].deployment",
        ],
    ),
];

#[test]
fn deployments_and_pools() {
    check(DEPLOYMENTS_AND_POOLS);
}

const MODELS: &[Case] = &[
    (
        |it| chat(it).routes.clear(),
        &["models.chat.routes: the model has no route"],
    ),
    (
        |it| chat(it).routes[0].pools.clear(),
        &["models.chat.routes[0].pools: the route has no pool"],
    ),
    (
        |it| chat(it).routes.extend(model(&["main"]).routes),
        &["models.chat.routes[1]: is never taken"],
    ),
    (
        |it| chat(it).routes[0].pools.push("main".to_owned()),
        &["models.chat.routes[0].pools[2]: `main` is here twice"],
    ),
    (
        |it| {
            chat(it).retry = Some(pb::Retry {
                attempts: 10,
                ..Default::default()
            })
        },
        &[],
    ),
    (
        |it| {
            chat(it).retry = Some(pb::Retry {
                attempts: 11,
                ..Default::default()
            })
        },
        &["models.chat.retry.attempts: is more than 10"],
    ),
    (
        |it| chat(it).max_output_tokens = 10_000_001,
        &["models.chat.max_output_tokens: is more than"],
    ),
    (
        |it| chat(it).aliases = vec!["chat".to_owned()],
        &["models.chat.aliases[0]: `chat` is the name of a model"],
    ),
    (
        |it| chat(it).aliases.push("gpt-4o".to_owned()),
        &["models.chat.aliases[1]: `gpt-4o` is an alias already, as models.chat"],
    ),
    (
        |it| chat(it).aliases.push(String::new()),
        &["models.chat.aliases[1]: is missing"],
    ),
    (
        |it| chat(it).aliases.push("a\nb".to_owned()),
        &["models.chat.aliases[1]: holds '\\n'"],
    ),
    (|it| chat(it).aliases.push("meta/Llama-3.1".to_owned()), &[]),
    (
        |it| drop(it.models.insert("zeta".to_owned(), model(&["main"]))),
        &["models.zeta.aliases[0]: `gpt-4o` is an alias already, as models.chat.aliases[0]"],
    ),
];

#[test]
fn models() {
    check(MODELS);
}
