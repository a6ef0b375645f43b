//! What is paid for is how the provider served the request.

use tollgate_policy::price::Service;
use tollgate_provider::chat::Tier;

use super::*;

#[test]
fn what_a_provider_says_it_did_is_what_is_paid_for() {
    let policy = POLICY.replace(
        "{ kind: simulated }",
        "{ kind: openai, credential: { env: K } }",
    );
    let policy = policy.replace(
        "model: m\n    price: { input: \"1\", output: \"2\" }",
        "model: gpt-5",
    );
    let revision = Revision::of_text(&policy);
    let deployment = revision.deployment(0).unwrap().0;
    let cost = |asked: Service, told: Option<Tier>| {
        let mut meter = Meter::start("http", Instant::now());
        meter.bounds.served.service = asked;
        let usage = Usage {
            tier: told,
            ..Usage::of(1000, 0, UsageSource::Provider)
        };
        meter.cost(deployment, &usage).unwrap()
    };
    let (standard, flex, priority) = (1_250_000, 625_000, 2_500_000);
    assert_eq!(cost(Service::Standard, None), standard);
    assert_eq!(cost(Service::Flex, None), flex);
    assert_eq!(cost(Service::Flex, Some(Tier::Standard)), standard);
    assert_eq!(cost(Service::Standard, Some(Tier::Priority)), priority);
    assert_eq!(cost(Service::Priority, Some(Tier::Flex)), flex);
}

#[test]
fn what_costs_more_than_text_is_not_taken_for_text() {
    let cost = |model: &str, usage: Usage| {
        let policy = POLICY.replace(
            "{ kind: simulated }",
            "{ kind: openai, credential: { env: K } }",
        );
        let policy = policy.replace(
            "model: m\n    price: { input: \"1\", output: \"2\" }",
            &format!("model: {model}"),
        );
        // A limit on money would insist on a price.
        let policy = policy.replace("  - { name: c-money, cost_usd: \"1\", window: 1h }\n", "");
        let revision = Revision::of_text(&policy);
        let meter = Meter::start("http", Instant::now());
        meter.cost(revision.deployment(0).unwrap().0, &usage)
    };
    let text = Usage::of(1000, 1000, UsageSource::Provider);
    let spoken = Usage {
        output_audio: 1000,
        ..text
    };
    assert_eq!(cost("gpt-audio", text), Some(12_500_000));
    assert_eq!(cost("gpt-audio", spoken), Some(66_500_000));
    assert!(cost("gpt-4.1", text).is_some());
    assert_eq!(cost("gpt-4.1", spoken), None);
    for partial in [
        "gpt-4o-audio-preview",
        "gpt-4o-search-preview",
        "gpt-4o-mini-search-preview",
    ] {
        assert_eq!(cost(partial, text), None, "{partial}");
    }
    assert!(cost("gpt-4o-mini", text).is_some());
}
