use proptest::prelude::*;
use prost_types::Duration;

use super::{validate, warnings};

use crate::{Fault, compile, pb};

mod limit;
mod provider;
mod routing;
mod serving;
mod sharing;
mod unmeant;

/// A policy that uses every part and has no fault.
fn sound() -> pb::Policy {
    let openai = pb::Provider {
        kind: pb::ProviderKind::Openai as i32,
        credential: Some(pb::Credential {
            source: Some(pb::credential::Source::Env("OPENAI_API_KEY".to_owned())),
        }),
        timeouts: Some(pb::Timeouts::default()),
        ..Default::default()
    };
    let local = pb::Provider {
        kind: pb::ProviderKind::OpenaiCompatible as i32,
        base_url: "https://llm.example.com/v1".to_owned(),
        ..Default::default()
    };
    let fake = pb::Provider {
        kind: pb::ProviderKind::Simulated as i32,
        simulated: Some(pb::Simulated {
            fault: Some(pb::Fault {
                kind: pb::FaultKind::Status as i32,
                status: 503,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let target = |deployment: &str| pb::Target {
        deployment: deployment.to_owned(),
        weight: 0,
    };
    let pool = |names: &[&str]| pb::Pool {
        targets: names.iter().copied().map(target).collect(),
        ..Default::default()
    };
    let named = |name: &str| name.to_owned();
    pb::Policy {
        providers: [
            (named("openai"), openai),
            (named("local"), local),
            (named("fake"), fake),
        ]
        .into(),
        deployments: [
            (named("gpt"), deployment("openai")),
            (named("llama"), deployment("local")),
            (named("canned"), deployment("fake")),
        ]
        .into(),
        pools: [
            (named("main"), pool(&["gpt", "llama"])),
            (named("last"), pool(&["canned"])),
        ]
        .into(),
        models: [(named("chat"), model(&["main", "last"]))].into(),
        limits: vec![limit("per-key", pb::limit::Amount::Requests(10))],
        ..Default::default()
    }
}

/// A deployment at this provider; at a real one for nothing.
fn deployment(provider: &str) -> pb::Deployment {
    pb::Deployment {
        provider: provider.to_owned(),
        model: "m".to_owned(),
        price: (provider != "fake").then(|| pb::Price {
            input: Some(pb::Usd::default()),
            output: Some(pb::Usd::default()),
            ..pb::Price::default()
        }),
        ..pb::Deployment::default()
    }
}

fn model(pools: &[&str]) -> pb::Model {
    pb::Model {
        aliases: vec!["gpt-4o".to_owned()],
        routes: vec![pb::Route {
            pools: pools.iter().map(|&name| name.to_owned()).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn limit(name: &str, amount: pb::limit::Amount) -> pb::Limit {
    pb::Limit {
        name: name.to_owned(),
        per: vec![pb::Dimension::Key as i32],
        window: Some(pb::Window {
            seconds: 60,
            calendar: 0,
        }),
        amount: Some(amount),
        ..Default::default()
    }
}

fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// What to do to the sound policy, and what must then be said: the path and the beginning of the problem.
type Case = (fn(&mut pb::Policy), &'static [&'static str]);

fn check(cases: &[Case]) {
    for (number, (change, expected)) in cases.iter().enumerate() {
        let mut policy = sound();
        change(&mut policy);
        let found = lines(&validate(&policy));
        assert_eq!(found.len(), expected.len(), "case {number}: {found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(
                found.starts_with(expected),
                "case {number}: {found:?} is not {expected:?}"
            );
        }
        assert_eq!(
            compile(&policy, 1).is_ok(),
            expected.is_empty(),
            "case {number}"
        );
    }
}

fn provider<'a>(policy: &'a mut pb::Policy, name: &str) -> &'a mut pb::Provider {
    policy.providers.get_mut(name).unwrap()
}

fn chat(policy: &mut pb::Policy) -> &mut pb::Model {
    policy.models.get_mut("chat").unwrap()
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

#[test]
fn a_sound_policy_and_an_empty_one_have_no_faults() {
    assert_eq!(lines(&validate(&sound())), Vec::<String>::new());
    assert_eq!(lines(&warnings(&sound())), Vec::<String>::new());
    assert_eq!(validate(&pb::Policy::default()), []);
    assert_eq!(warnings(&pb::Policy::default()), []);
}

const NAMES: &[Case] = &[
    (
        |it| drop(it.pools.insert("Big".to_owned(), it.pools["last"].clone())),
        &["pools.Big: the name holds 'B'"],
    ),
    (
        |it| drop(it.pools.insert(String::new(), it.pools["last"].clone())),
        &["pools[\"\"]: has no name"],
    ),
    (
        |it| drop(it.pools.insert("a.b".to_owned(), it.pools["last"].clone())),
        &["pools[\"a.b\"]: the name holds '.'"],
    ),
    (
        |it| drop(it.pools.insert("x".repeat(63), it.pools["last"].clone())),
        &[],
    ),
    (
        |it| drop(it.pools.insert("x".repeat(64), it.pools["last"].clone())),
        &["pools.xxxx"],
    ),
    (
        |it| it.limits[0].name = "per_key".to_owned(),
        &["limits[0].name: the name holds '_'"],
    ),
    (
        |it| it.limits[0].name.clear(),
        &["limits[0].name: has no name"],
    ),
];

#[test]
fn names() {
    check(NAMES);
}

#[test]
fn size() {
    let mut policy = sound();
    chat(&mut policy).aliases = (0..9000).map(|n| format!("{n:0>200}")).collect();
    let found = lines(&validate(&policy));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("the policy is "), "{found:?}");
}

#[test]
fn a_large_wrong_policy_is_judged_in_reasonable_time() {
    let deployment = |provider: String| pb::Deployment {
        provider,
        ..Default::default()
    };
    let mut policy = pb::Policy::default();
    for n in 0..8000 {
        policy
            .providers
            .insert(format!("provider-{n}"), pb::Provider::default());
        policy
            .deployments
            .insert(format!("d{n}"), deployment(format!("provider_{n}")));
    }
    // A provider without a kind, a deployment without a provider and without a model each.
    assert_eq!(validate(&policy).len(), 24_000);
}

proptest! {
    #[test]
    fn any_message_is_judged(policy in super::arbitrary::policy()) {
        let faults = validate(&policy);
        prop_assert_eq!(compile(&policy, 1).is_ok(), faults.is_empty());
        let _ = warnings(&policy);
        for fault in faults {
            prop_assert!(!fault.problem.is_empty());
        }
    }

    #[test]
    fn any_bytes_that_decode_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        use prost::Message;
        if let Ok(policy) = pb::Policy::decode(bytes.as_slice()) {
            prop_assert_eq!(compile(&policy, 1).is_ok(), validate(&policy).is_empty());
            let _ = (warnings(&policy), crate::yaml::to_yaml(&policy), crate::yaml::to_json(&policy));
        }
    }
}
