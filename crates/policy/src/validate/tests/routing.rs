//! Faults of strategies, health, fallbacks and retries.

use super::{Case, chat, check};
use crate::pb;

fn main(policy: &mut pb::Policy) -> &mut pb::Pool {
    policy.pools.get_mut("main").unwrap()
}

fn sticky(policy: &mut pb::Policy, by: pb::StickyBy, metadata: &str) {
    main(policy).strategy = pb::Strategy::Sticky as i32;
    main(policy).sticky = Some(pb::Sticky {
        by: by as i32,
        metadata: metadata.to_owned(),
    });
}

const STRATEGIES: &[Case] = &[
    (
        |it| main(it).strategy = pb::Strategy::LeastLatency as i32,
        &[],
    ),
    (
        |it| main(it).strategy = 99,
        &["pools.main.strategy: the value 99 is not known"],
    ),
    (|it| sticky(it, pb::StickyBy::User, ""), &[]),
    (|it| sticky(it, pb::StickyBy::Metadata, "session"), &[]),
    (
        |it| main(it).strategy = pb::Strategy::Sticky as i32,
        &["pools.main.sticky: is missing"],
    ),
    (
        |it| {
            sticky(it, pb::StickyBy::Key, "");
            main(it).strategy = 0;
        },
        &["pools.main.sticky: has no meaning for this strategy; write `strategy: sticky`"],
    ),
    (
        |it| sticky(it, pb::StickyBy::Unspecified, ""),
        &["pools.main.sticky.by: is missing"],
    ),
    (
        |it| sticky(it, pb::StickyBy::Metadata, ""),
        &["pools.main.sticky.metadata: is missing"],
    ),
    (
        |it| sticky(it, pb::StickyBy::Prompt, "session"),
        &["pools.main.sticky.metadata: has no meaning here"],
    ),
    (
        |it| sticky(it, pb::StickyBy::Metadata, &"x".repeat(65)),
        &["pools.main.sticky.metadata: is longer than 64"],
    ),
];

#[test]
fn strategies() {
    check(STRATEGIES);
}

fn health(policy: &mut pb::Policy, health: pb::Health) {
    main(policy).health = Some(health);
}

const HEALTH: &[Case] = &[
    (|it| health(it, pb::Health::default()), &[]),
    (
        |it| {
            health(
                it,
                pb::Health {
                    error_percent: 101,
                    slow_factor: 1,
                    ..Default::default()
                },
            )
        },
        &[
            "pools.main.health.error_percent: is more than 100",
            "pools.main.health.slow_factor: is less than 2",
        ],
    ),
    (
        |it| {
            let zero = Some(prost_types::Duration::default());
            health(
                it,
                pb::Health {
                    first_ejection: zero,
                    slow_start: zero,
                    ..Default::default()
                },
            )
        },
        &["pools.main.health.first_ejection: is zero"],
    ),
    (
        |it| {
            let other = main(it).clone();
            it.pools.insert("other".to_owned(), other);
            let failures = 5;
            health(
                it,
                pb::Health {
                    failures,
                    ..Default::default()
                },
            );
        },
        &[
            "pools.other.health: is not that of pools.main, which has the deployment `gpt` too; write the same",
        ],
    ),
];

#[test]
fn health_of_deployments() {
    check(HEALTH);
}

fn fallback(policy: &mut pb::Policy, on: &[i32], pools: &[&str]) {
    chat(policy).routes[0].fallbacks.push(pb::Fallback {
        on: on.to_vec(),
        pools: pools.iter().map(|&name| name.to_owned()).collect(),
    });
}

const FALLBACKS: &[Case] = &[
    (|it| fallback(it, &[1, 2, 3, 4], &["last"]), &[]),
    (
        |it| fallback(it, &[], &["last"]),
        &["models.chat.routes[0].fallbacks[0].on: is missing"],
    ),
    (
        |it| fallback(it, &[0, 9], &["last"]),
        &[
            "models.chat.routes[0].fallbacks[0].on[0]: is missing",
            "models.chat.routes[0].fallbacks[0].on[1]: the value 9 is not known",
        ],
    ),
    (
        |it| fallback(it, &[1], &[]),
        &["models.chat.routes[0].fallbacks[0].pools: the fallback has no pool"],
    ),
    (
        |it| fallback(it, &[1], &["lst"]),
        &[
            "models.chat.routes[0].fallbacks[0].pools[0]: there is no pool `lst`; did you mean `last`?",
        ],
    ),
];

#[test]
fn fallbacks() {
    check(FALLBACKS);
}

fn retry(policy: &mut pb::Policy, retry: pb::Retry) {
    chat(policy).retry = Some(retry);
}

fn slow_stream(policy: &mut pb::Policy, tokens: u32, seconds: Option<i64>) {
    let within = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    let slow_stream = Some(pb::SlowStream { tokens, within });
    retry(
        policy,
        pb::Retry {
            slow_stream,
            ..Default::default()
        },
    );
}

const RETRIES: &[Case] = &[
    (|it| slow_stream(it, 2, Some(1)), &[]),
    (
        |it| slow_stream(it, 1, None),
        &[
            "models.chat.retry.slow_stream.tokens: is not from 2 to 1000",
            "models.chat.retry.slow_stream.within: is missing",
        ],
    ),
    (
        |it| slow_stream(it, 1001, Some(0)),
        &[
            "models.chat.retry.slow_stream.tokens: is not",
            "models.chat.retry.slow_stream.within: is zero",
        ],
    ),
    (
        |it| {
            let second = Some(prost_types::Duration {
                seconds: 1,
                nanos: 0,
            });
            retry(
                it,
                pb::Retry {
                    attempts: 1,
                    hedge_after: second,
                    first_token_timeout: Some(prost_types::Duration::default()),
                    ..Default::default()
                },
            )
        },
        &[
            "models.chat.retry.first_token_timeout: is zero",
            "models.chat.retry.hedge_after: needs a second attempt",
        ],
    ),
];

#[test]
fn retries() {
    check(RETRIES);
}

fn when(policy: &mut pb::Policy, conditions: &[&str]) {
    let all = chat(policy).routes[0].clone();
    let route = |when: &&str| pb::Route {
        when: (*when).to_owned(),
        ..all.clone()
    };
    chat(policy).routes = conditions.iter().map(route).collect();
}

const CONDITIONS: &[Case] = &[
    (
        |it| when(it, &["request.input_tokens > 8000", "key.bucket < 5", ""]),
        &[],
    ),
    (
        |it| {
            let images = "request.has_images && !request.stream";
            when(it, &[images, "request.metadata.tier == 'gold'", ""]);
        },
        &[],
    ),
    (
        |it| when(it, &["", "tier == 'free'", ""]),
        &[
            "models.chat.routes[1]: is never taken",
            "models.chat.routes[2]: is never taken",
        ],
    ),
    (
        |it| when(it, &["tier == 'free'"]),
        &["models.chat.routes[0].when: leaves requests without a route"],
    ),
    (
        |it| when(it, &["request.tokens > 5", ""]),
        &["models.chat.routes[0].when: there is no field `tokens`"],
    ),
    (
        |it| when(it, &["request.has_images > 1", ""]),
        &["models.chat.routes[0].when: compares true or false with a whole number"],
    ),
    (
        |it| {
            let name = it.limits[0].name.clone();
            let budget = format!("request.complexity < 0.3 && budget('{name}').used > 0.8");
            when(it, &[&budget, ""]);
        },
        &[],
    ),
    (
        |it| when(it, &["tier == 'a'", "budget('nobody').used > 0.8", ""]),
        &["models.chat.routes[1].when: there is no limit `nobody`"],
    ),
    (
        |it| when(it, &["budget(tier).used > 0.8", ""]),
        &["models.chat.routes[0].when: does not name the limit in `budget(…)`"],
    ),
    (
        |it| chat(it).routes[0].variant = "Canary".to_owned(),
        &["models.chat.routes[0].variant: the name holds 'C'"],
    ),
    (|it| chat(it).routes[0].variant = "canary-2".to_owned(), &[]),
    (
        |it| when(it, &["budget('nobody').spent > 0.8", ""]),
        &["models.chat.routes[0].when: there is no field `spent`"],
    ),
];

#[test]
fn conditions() {
    check(CONDITIONS);
}

fn shadow(policy: &mut pb::Policy, pool: &str, percent: u32, max_in_flight: u32) {
    chat(policy).routes[0].shadow = Some(pb::Shadow {
        pool: pool.to_owned(),
        percent,
        max_in_flight,
    });
}

const SHADOWS: &[Case] = &[
    (|it| shadow(it, "last", 5, 0), &[]),
    (|it| shadow(it, "last", 100, 200), &[]),
    (
        |it| shadow(it, "lost", 5, 0),
        &["models.chat.routes[0].shadow.pool: there is no pool `lost`"],
    ),
    (
        |it| shadow(it, "last", 0, 201),
        &[
            "models.chat.routes[0].shadow.percent: is not from 1 to 100",
            "models.chat.routes[0].shadow.max_in_flight: is more than 200",
        ],
    ),
    (
        |it| shadow(it, "last", 101, 0),
        &["models.chat.routes[0].shadow.percent: is not from 1 to 100"],
    ),
    (
        |it| {
            let limits = vec![pb::Limit {
                copies: true,
                ..super::limit("", pb::limit::Amount::Requests(1))
            }];
            let tier = pb::Tier {
                limits,
                ..Default::default()
            };
            it.tiers.insert("free".to_owned(), tier);
        },
        &["tiers.free.limits[0].copies: has no meaning for a limit of a tier"],
    ),
    (
        |it| {
            chat(it).on_cut = 9;
            it.deployments.get_mut("gpt").unwrap().prefill = 9;
            it.explanations = 9;
        },
        &[
            "deployments.gpt.prefill: the value 9 is not known",
            "models.chat.on_cut: the value 9 is not known",
            "explanations: the value 9 is not known",
        ],
    ),
];

#[test]
fn shadows_and_cuts() {
    check(SHADOWS);
}
