//! Faults of limits.

use super::{Case, check, limit};
use crate::pb;
use crate::pb::limit::Amount;

fn window(policy: &mut pb::Policy, seconds: u32) {
    policy.limits[0].window = Some(pb::Window {
        seconds,
        calendar: 0,
    });
}

/// Limits money, where every deployment has a price.
fn money(policy: &mut pb::Policy, nanos: i64) {
    let price = pb::Price {
        input: Some(pb::Usd::default()),
        output: Some(pb::Usd::default()),
        ..pb::Price::default()
    };
    for it in policy.deployments.values_mut() {
        it.price = Some(price.clone());
    }
    policy.limits[0].amount = Some(Amount::CostUsd(pb::Usd { nanos }));
}

fn weigh(policy: &mut pb::Policy, amount: Amount, cached_input: u32, output: u32) {
    let weight = |thousandths| Some(pb::Weight { thousandths });
    policy.limits[0].amount = Some(amount);
    policy.limits[0].weights = Some(pb::TokenWeights {
        cached_input: weight(cached_input),
        output: weight(output),
    });
}

/// A tier of limits without names.
fn tier(policy: &mut pb::Policy, name: &str, amounts: &[Amount]) {
    let limits = amounts.iter().map(|amount| pb::Limit {
        per: Vec::new(),
        ..limit("", *amount)
    });
    let tier = pb::Tier {
        limits: limits.collect(),
        ..pb::Tier::default()
    };
    policy.tiers.insert(name.to_owned(), tier);
}

fn calendar(policy: &mut pb::Policy, calendar: i32, timezone: &str) {
    policy.limits[0].window = Some(pb::Window {
        seconds: 0,
        calendar,
    });
    timezone.clone_into(&mut policy.limits[0].timezone);
}

fn money_without_window(policy: &mut pb::Policy) {
    money(policy, 1);
    policy.limits[0].window = None;
}

fn ceiling(policy: &mut pb::Policy, requests: Option<u64>, concurrent: Option<u64>) {
    for it in policy.deployments.values_mut() {
        it.limits = Some(pb::Ceilings {
            requests_per_minute: requests,
            concurrent,
            ..Default::default()
        });
    }
}

fn edge(policy: &mut pb::Policy, exhausted: i32, longest: Option<i64>, unreachable: i32) {
    let it = &mut policy.limits[0];
    it.on_exhausted = exhausted;
    it.longest_wait = longest.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    it.on_unreachable = unreachable;
}

fn standing(policy: &mut pb::Policy, kind: pb::LimitKind, seconds: u32, percent: Option<u32>) {
    edge(policy, 0, None, pb::UnreachableMode::Shares as i32);
    policy.limits[0].kind = kind as i32;
    policy.limits[0].promised_percent = percent;
    window(policy, seconds);
}

fn overrun(policy: &mut pb::Policy, reserve: pb::ReserveMode, mode: i32) {
    policy.limits[0].reserve = reserve as i32;
    policy.limits[0].on_overrun = mode;
}

fn guard(policy: &mut pb::Policy, kind: pb::LimitKind, seconds: i64) {
    policy.limits[0].kind = kind as i32;
    policy.limits[0].guard = Some(prost_types::Duration { seconds, nanos: 0 });
    window(policy, 60);
}

fn worth(policy: &mut pb::Policy, weight: u32, priority: i32) {
    let tier = pb::Tier {
        weight,
        priority,
        ..pb::Tier::default()
    };
    policy.tiers.insert("free".to_owned(), tier);
}

const LIMITS: &[Case] = &[
    (|it| worth(it, 1000, pb::Priority::Batch as i32), &[]),
    (
        |it| worth(it, 1001, 7),
        &[
            "tiers.free.weight: 1001 is more than 1000",
            "tiers.free.priority: the value 7 is not known",
        ],
    ),
    (|it| guard(it, pb::LimitKind::Fixed, 14), &[]),
    (
        |it| guard(it, pb::LimitKind::Fixed, 15),
        &["limits[0].guard: is a quarter of the window or more"],
    ),
    (
        |it| guard(it, pb::LimitKind::Fixed, 0),
        &["limits[0].guard: is zero"],
    ),
    (
        |it| guard(it, pb::LimitKind::Sliding, 1),
        &["limits[0].guard: has a meaning for fixed windows"],
    ),
    (|it| overrun(it, pb::ReserveMode::Expected, 2), &[]),
    (|it| overrun(it, pb::ReserveMode::WorstCase, 1), &[]),
    (
        |it| overrun(it, pb::ReserveMode::Unspecified, 2),
        &["limits[0].on_overrun: has no meaning where the worst case is held"],
    ),
    (
        |it| {
            overrun(it, pb::ReserveMode::Expected, 2);
            it.limits[0].mode = pb::LimitMode::Shadow as i32;
        },
        &["limits[0].on_overrun: has no meaning in shadow mode"],
    ),
    (
        |it| overrun(it, pb::ReserveMode::Expected, 9),
        &["limits[0].on_overrun: the value 9 is not known"],
    ),
    (|it| edge(it, 2, Some(5), 2), &[]),
    (
        |it| edge(it, 9, Some(0), 9),
        &[
            "limits[0].on_exhausted: the value 9 is not known",
            "limits[0].longest_wait: has no meaning where requests do not wait",
            "limits[0].longest_wait: is zero",
            "limits[0].on_unreachable: the value 9 is not known",
        ],
    ),
    (
        |it| {
            edge(it, 2, None, 0);
            it.limits[0].mode = pb::LimitMode::Shadow as i32;
        },
        &["limits[0].on_exhausted: has no meaning in shadow mode"],
    ),
    (|it| standing(it, pb::LimitKind::Fixed, 3600, None), &[]),
    (|it| standing(it, pb::LimitKind::Fixed, 11, Some(100)), &[]),
    (
        |it| standing(it, pb::LimitKind::Fixed, 10, Some(0)),
        &[
            "limits[0].promised_percent: is not a number from 1 to 100",
            "limits[0].on_unreachable: `shares` is for fixed windows",
        ],
    ),
    (
        |it| standing(it, pb::LimitKind::Sliding, 60, Some(101)),
        &[
            "limits[0].promised_percent: is not a number from 1 to 100",
            "limits[0].on_unreachable: `shares` is for fixed windows",
        ],
    ),
    (
        |it| {
            standing(it, pb::LimitKind::Fixed, 60, None);
            it.limits[0].fair = vec![pb::Dimension::User as i32];
        },
        &["limits[0].on_unreachable: `shares` is for limits that nobody shares"],
    ),
    (
        |it| {
            standing(it, pb::LimitKind::Fixed, 60, None);
            it.limits[0].mode = pb::LimitMode::Shadow as i32;
        },
        &["limits[0].on_unreachable: `shares` has no meaning in shadow mode"],
    ),
    (
        |it| it.limits[0].promised_percent = Some(30),
        &["limits[0].promised_percent: has no meaning where nothing is promised"],
    ),
    (
        |it| {
            ceiling(it, Some(1), None);
            for it in it.deployments.values_mut() {
                it.limits.as_mut().unwrap().on_unreachable = 3;
            }
            it.deployments.retain(|name, _| name == "canned");
            it.pools.clear();
            it.models.clear();
        },
        &["deployments.canned.limits.on_unreachable: `shares` is for limits only"],
    ),
    (|it| ceiling(it, Some(1), Some(1_000_000)), &[]),
    (
        |it| {
            ceiling(it, Some(0), Some(1_000_001));
            it.deployments.retain(|name, _| name == "canned");
            it.pools.clear();
            it.models.clear();
        },
        &[
            "deployments.canned.limits.requests_per_minute: is zero",
            "deployments.canned.limits.concurrent: is more than 1000000",
        ],
    ),
    (
        |it| it.limits.push(limit("per-key", Amount::Tokens(9))),
        &["limits[1].name: `per-key` is a limit already, as limits[0]"],
    ),
    (
        |it| it.limits[0].amount = None,
        &["limits[0]: has no amount"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::Requests(0)),
        &["limits[0].requests: is zero"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::Tokens(0)),
        &["limits[0].tokens: is zero"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::Tokens(u64::MAX)),
        &["limits[0].tokens: is more than"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::Tokens(1_000_000_000_000)),
        &[],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::InputTokens(0)),
        &["limits[0].input_tokens: is zero"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::OutputTokens(u64::MAX)),
        &["limits[0].output_tokens: is more than"],
    ),
    (|it| money(it, 0), &["limits[0].cost_usd: is zero"]),
    (|it| money(it, -1), &["limits[0].cost_usd: is negative"]),
    (
        |it| money(it, i64::MAX),
        &["limits[0].cost_usd: is more than 100000000"],
    ),
    (|it| money(it, 1), &[]),
    (
        |it| {
            money(it, 1);
            it.deployments.get_mut("llama").unwrap().price = None;
        },
        &["deployments.llama.price: is missing, and limits[0] counts money"],
    ),
    (
        |it| {
            money(it, 1);
            it.pools.get_mut("main").unwrap().targets.pop();
            it.deployments.get_mut("llama").unwrap().price = None;
        },
        &[],
    ),
    (|it| weigh(it, Amount::Tokens(9), 1000, 1_000_000), &[]),
    (
        |it| weigh(it, Amount::Tokens(9), 1001, 1_000_001),
        &[
            "limits[0].weights.cached_input: is more than 1",
            "limits[0].weights.output: is more than 1000",
        ],
    ),
    (
        |it| weigh(it, Amount::OutputTokens(9), 1, 1),
        &["limits[0].weights: has no meaning for `output_tokens`"],
    ),
    (|it| it.limits[0].mode = 2, &[]),
    (
        |it| it.limits[0].mode = 3,
        &["limits[0].mode: the value 3 is not known to this version"],
    ),
    (|it| it.limits[0].reserve = 2, &[]),
    (
        |it| it.limits[0].reserve = 3,
        &["limits[0].reserve: the value 3 is not known to this version"],
    ),
    (
        |it| it.limits[0].per_labels = vec!["env".into(), "Env".into(), "env".into()],
        &[
            "limits[0].per_labels[1]: the label's name holds 'E'",
            "limits[0].per_labels[2]: `env` is here twice",
        ],
    ),
    (
        |it| tier(it, "free", &[Amount::Requests(1), Amount::Tokens(9)]),
        &[],
    ),
    (
        |it| tier(it, "free", &[Amount::Requests(1), Amount::Requests(9)]),
        &["tiers.free.limits[1]: `free-requests-1m` is a limit already, as tiers.free.limits[0]"],
    ),
    (
        |it| {
            tier(it, "free", &[Amount::Requests(1)]);
            it.limits[0].name = "free-requests-1m".into();
        },
        &["tiers.free.limits[0]: `free-requests-1m` is a limit already, as limits[0].name"],
    ),
    (
        |it| tier(it, "Free", &[Amount::Requests(0)]),
        &[
            "tiers.Free: the name holds 'F'",
            "tiers.Free.limits[0].requests: is zero",
        ],
    ),
    (
        |it| tier(it, &"x".repeat(60), &[Amount::Requests(1)]),
        &[
            "tiers.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.limits[0]: the name `xx",
        ],
    ),
    (
        |it| {
            let amount = Amount::CostUsd(pb::Usd { nanos: 5 });
            tier(it, "free", &[amount]);
        },
        &["deployments.canned.price: is missing, and tiers.free.limits[0] counts money"],
    ),
    (
        |it| it.limits[0].window = None,
        &["limits[0].window: is missing"],
    ),
    (|it| money_without_window(it), &[]),
    (|it| window(it, 0), &["limits[0].window: is zero"]),
    (
        |it| {
            it.limits[0].kind = pb::LimitKind::Bucket as i32;
            it.limits[0].burst = 1_000_000_000_001;
        },
        &["limits[0].burst: is more than 1000000000000"],
    ),
    (
        |it| {
            it.limits[0].kind = pb::LimitKind::Sliding as i32;
            it.limits[0].burst = 1;
        },
        &["limits[0].burst: has a meaning for buckets only"],
    ),
    (
        |it| {
            it.limits[0].kind = pb::LimitKind::Bucket as i32;
            it.limits[0].burst = 1;
        },
        &[],
    ),
    (|it| it.limits[0].kind = pb::LimitKind::Sliding as i32, &[]),
    (|it| window(it, 1), &[]),
    (|it| window(it, 3600), &[]),
    (|it| window(it, 366 * 86_400), &[]),
    (
        |it| window(it, 366 * 86_400 + 1),
        &["limits[0].window: is 31622401 s, longer than 366 days"],
    ),
    (|it| calendar(it, 3, ""), &[]),
    (|it| calendar(it, 3, "Europe/Berlin"), &[]),
    (
        |it| calendar(it, 3, "Europe/Bonn"),
        &["limits[0].timezone: `Europe/Bonn` is not a time zone"],
    ),
    (
        |it| calendar(it, 99, ""),
        &["limits[0].window: the value 99 is not known"],
    ),
    (
        |it| it.limits[0].timezone = "UTC".to_owned(),
        &["limits[0].timezone: has no meaning for this limit"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::Concurrent(2)),
        &["limits[0].window: has no meaning for `concurrent`"],
    ),
    (|it| it.limits[0].kind = pb::LimitKind::Fixed as i32, &[]),
    (
        |it| it.limits[0].kind = 9,
        &["limits[0].kind: the value 9 is not known to this version"],
    ),
    (
        |it| it.limits[0].per.push(0),
        &["limits[0].per[1]: is missing"],
    ),
    (
        |it| it.limits[0].per.push(9),
        &["limits[0].per[1]: the value 9 is not known"],
    ),
    (
        |it| it.limits[0].per.push(1),
        &["limits[0].per[1]: is here twice"],
    ),
    (|it| it.limits[0].per.clear(), &[]),
    (
        |it| {
            it.limits = (0..257)
                .map(|n| limit(&format!("l{n}"), Amount::Requests(1)))
                .collect()
        },
        &["limits: there are 257 limits, at most 256"],
    ),
];

#[test]
fn limits() {
    check(LIMITS);
}
