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
