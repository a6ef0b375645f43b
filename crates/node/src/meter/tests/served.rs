//! What is paid for is how the provider served the request.

use tollgate_policy::price::Service;
use tollgate_provider::chat::{Audio, Part, Request, Tier};

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

/// What a request costs at a deployment of OpenAI's that is written so.
fn cost(deployment: &str, asked: Request, usage: &Usage) -> Option<u64> {
    cost_at("openai", deployment, asked, usage)
}

fn cost_at(kind: &str, deployment: &str, asked: Request, usage: &Usage) -> Option<u64> {
    let provider = format!("{{ kind: {kind}, credential: {{ env: K }} }}");
    let policy = POLICY.replace("{ kind: simulated }", &provider);
    let policy = policy.replace(
        "model: m\n    price: { input: \"1\", output: \"2\" }",
        deployment,
    );
    // A limit on money would insist on a price.
    let policy = policy.replace("  - { name: c-money, cost_usd: \"1\", window: 1h }\n", "");
    let revision = Revision::of_text(&policy);
    let mut meter = Meter::start("http", Instant::now());
    let asked = Asked::Completion {
        request: Box::new(asked),
        stream: false,
    };
    meter.asked(revision.table.model("chat").unwrap(), 1, &asked, bounds());
    meter.cost(revision.deployment(0).unwrap().0, usage)
}

const TEXT: Usage = Usage {
    input_total: 1000,
    output_total: 1000,
    ..Usage::of(0, 0, UsageSource::Provider)
};

#[test]
fn what_costs_more_than_text_is_not_taken_for_text() {
    let cost =
        |model: &str, usage: Usage| cost(&format!("model: {model}"), Request::default(), &usage);
    let spoken = Usage {
        output_audio: 1000,
        ..TEXT
    };
    let heard = Usage {
        input_audio: 1000,
        ..TEXT
    };
    let painted = Usage {
        output_image: 1000,
        ..TEXT
    };
    for (model, usage, expected) in [
        ("gpt-audio", TEXT, Some(12_500_000)),
        ("gpt-audio", spoken, Some(66_500_000)),
        ("gpt-audio", heard, Some(42_000_000)),
        ("gpt-4.1", TEXT, Some(10_000_000)),
        ("gpt-4.1", spoken, None),
        ("gpt-4.1", heard, None),
        ("gpt-5-image", TEXT, Some(20_000_000)),
        ("gpt-5-image", painted, None),
        ("chatgpt-image-latest", painted, Some(37_000_000)),
        ("gpt-4o-mini-tts", spoken, Some(12_600_000)),
        ("gpt-4o-audio-preview", TEXT, None),
        ("gpt-4o-search-preview", TEXT, None),
        ("gpt-4o-mini-search-preview", TEXT, None),
    ] {
        assert_eq!(cost(model, usage), expected, "{model} {usage:?}");
    }
}

/// What is not told in the usage is not free.
#[test]
fn what_was_asked_for_and_is_not_told_has_a_price_or_none_is_known() {
    let searching = || Request {
        provider_options: [("web_search_options".to_owned(), serde_json::json!({}))]
            .into_iter()
            .collect(),
        ..Request::default()
    };
    let hearing = || Request {
        messages: vec![Message {
            role: Role::User,
            name: None,
            parts: vec![Part::Audio(Audio::default())],
        }],
        ..Request::default()
    };
    let price = |more: &str| format!("model: m\n    price: {{ input: 1, output: 2{more} }}");
    let text = 3_000_000;
    for (asked, more, expected) in [
        (Request::default as fn() -> Request, "", Some(text)),
        (searching, "", None),
        (searching, ", search: '0.01'", Some(text + 10_000_000)),
        (searching, ", request: '0.02'", Some(text + 20_000_000)),
        (hearing, "", None),
        // How many tokens of it are sound?
        (hearing, ", input_audio: 2", None),
        (hearing, ", input_audio: 1", Some(text)),
    ] {
        assert_eq!(cost(&price(more), asked(), &TEXT), expected, "{more}");
    }
    let told = Usage {
        searches: 3,
        ..TEXT
    };
    let three = cost(&price(", search: '0.01'"), searching(), &told);
    assert_eq!(three, Some(text + 30_000_000));
    let told = Usage {
        input_audio: 500,
        ..TEXT
    };
    let heard = cost(&price(", input_audio: 3"), hearing(), &told);
    assert_eq!(heard, Some(text + 1_000_000));
}

#[test]
fn a_request_that_is_to_stay_in_a_region_costs_what_is_stated_or_nobody_knows() {
    let staying = |geo: &str| Request {
        provider_options: [("inference_geo".to_owned(), serde_json::json!(geo))]
            .into_iter()
            .collect(),
        ..Request::default()
    };
    let of_catalog = "model: claude-sonnet-4-5";
    let stated = "model: claude-sonnet-4-5\n    price: { input: '3.3', output: '16.5' }";
    for (deployment, geo, expected) in [
        (of_catalog, "global", Some(18_000_000)),
        (of_catalog, "us", None),
        (stated, "us", Some(19_800_000)),
    ] {
        let cost = cost_at("anthropic", deployment, staying(geo), &TEXT);
        assert_eq!(cost, expected, "{deployment} {geo}");
    }
}
