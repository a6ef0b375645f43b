use proptest::prelude::*;

use super::rates::Rate;
use super::{Bounds, Catalog, Part, Price, Rates, Row, Served, Service, Tokens, of};
use crate::pb;
use crate::yaml::{Source, load};

mod damaged;
mod known;

/// Noon of a day in UTC, in seconds since the Unix epoch.
fn noon(day: &str) -> i64 {
    let date: jiff::civil::Date = day.parse().unwrap();
    let noon = jiff::tz::TimeZone::UTC.to_timestamp(date.at(12, 0, 0, 0));
    noon.unwrap().as_second()
}

fn on(day: &str) -> Served {
    Served {
        at: noon(day),
        service: Service::Standard,
    }
}

/// What a million tokens of each part cost in millionths of a dollar, for prompts of that length.
fn per_million(price: &Price, served: Served, input: u64) -> Vec<u64> {
    let steps = price.steps(served);
    let row = steps.iter().rev().find(|row| input > row.above).unwrap();
    let micros = |part| row.rates.of(part) / 1000;
    Part::ALL.map(micros).to_vec()
}

/// The price of a deployment such as `{ provider: claude, model: claude-opus-5-5 }`.
fn deployment(text: &str) -> Option<Price> {
    let text = format!(
        "providers: {{ openai: {{ kind: openai }}, claude: {{ kind: anthropic }}, google: {{ kind: gemini }}, mistral: \
         {{ kind: mistral }}, cohere: {{ kind: cohere }}, aws: {{ kind: bedrock, region: eu-west-1 }}, azure: {{ kind: \
         azure_openai, base_url: 'https://r.openai.azure.com' }}, groq: {{ kind: openai_compatible, base_url: \
         'https://api.groq.com/openai/v1' }}, local: {{ kind: openai_compatible, base_url: 'https://llm.example.com/v1' }}, \
         fake: {{ kind: simulated }} }}\ndeployments: {{ d: {text} }}"
    );
    let source = Source {
        name: "policy.yaml",
        text: text.as_bytes(),
    };
    let policy: pb::Policy = load(&[source]).unwrap();
    let deployment = &policy.deployments["d"];
    of(&policy.providers[&deployment.provider], deployment)
}

const TODAY: &str = "2026-11-26";

#[test]
fn every_line_of_the_catalog_is_read() {
    let catalog = Catalog::built_in();
    let text = include_str!("catalog.jsonl");
    let lines = |key: &str| text.lines().filter(|line| line.starts_with(key)).count();
    assert!(catalog.revision().starts_with("genai-prices-"));
    assert!(catalog.since().parse::<jiff::civil::Date>().is_ok());
    assert_eq!(catalog.vendors().count(), lines("{\"vendor\""));
    let unpriced = text.matches("\"prices\":[]").count();
    assert_eq!(catalog.models().count() + unpriced, lines("{\"model\""));
    assert_eq!(lines("{"), 1 + lines("{\"vendor\"") + lines("{\"model\""));
    for listed in catalog.models() {
        for row in listed.price.rows() {
            let same_day = |it: &&Row| it.from == row.from && it.above == 0;
            let of_day = |it: &Row| (it.service, it.from);
            let services = listed.price.rows().iter().filter(same_day).map(of_day);
            assert!(
                services.clone().any(|(it, _)| it == Service::Standard),
                "{}",
                listed.model
            );
            assert!(
                services.clone().any(|(it, _)| it == row.service),
                "{}",
                listed.model
            );
            // Else the most that a request can cost would not be found at its longest prompt.
            assert!(
                row.rates.of(Part::Input) < 1_000_000_000_000,
                "{}",
                listed.model
            );
        }
    }
}

#[test]
fn models_are_found_by_snapshots_and_aliases() {
    let cases = [
        ("openai", "gpt-4o", Some("gpt-4o")),
        ("openai", "GPT-4o-2024-08-06", Some("gpt-4o")),
        ("openai", "gpt-4o-20240806", Some("gpt-4o")),
        ("openai", "gpt-4o-2024-05-13", Some("gpt-4o-2024-05-13")),
        ("openai", "gpt-4o-mini", Some("gpt-4o-mini")),
        ("openai", "gpt-4o-unheard-of", None),
        ("openai", "whisper-1", None),
        ("openai", "", None),
        (
            "anthropic",
            "claude-haiku-4-5-20251001",
            Some("claude-haiku-4-5"),
        ),
        (
            "anthropic",
            "claude-opus-5-5-20261001",
            Some("claude-opus-5-5"),
        ),
        ("anthropic", "claude-opus-5-5-turbo", None),
        ("google", "models/gemini-2.5-pro", Some("gemini-2.5-pro")),
        (
            "google",
            "gemini-2.5-pro-preview-tts",
            Some("gemini-2.5-pro-tts"),
        ),
        ("mistral", "mistral-large-latest", Some("mistral-large")),
        ("cohere", "command-a-03-2025", Some("command-a")),
        ("azure", "gpt-4o", Some("gpt-4o")),
        (
            "aws",
            "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            Some("regional.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ),
        (
            "aws",
            "global.anthropic.claude-haiku-4-5-20251001-v1:0",
            Some("global.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ),
        (
            "aws",
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            Some("regional.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ),
        (
            "aws",
            "amazon.nova-lite-v1:0",
            Some("amazon.nova-lite-v1:0"),
        ),
        ("nobody", "gpt-4o", None),
    ];
    for (vendor, model, found) in cases {
        let listed = Catalog::built_in().find(vendor, model);
        assert_eq!(listed.map(|it| it.model), found, "{vendor} {model}");
    }
}

#[test]
fn the_kind_of_provider_says_whose_price_it_is() {
    let input = |text: &str| {
        let price = deployment(text)?;
        Some(per_million(&price, on(TODAY), 1)[0])
    };
    assert_eq!(
        input("{ provider: openai, model: gpt-4o }"),
        Some(2_500_000)
    );
    assert_eq!(input("{ provider: azure, model: gpt-4o }"), Some(2_500_000));
    assert_eq!(input("{ provider: azure, model: my-own }"), None);
    assert_eq!(
        input("{ provider: azure, model: my-own, base_model: gpt-4o }"),
        Some(2_500_000)
    );
    assert!(input("{ provider: groq, model: llama-3.1-8b-instant }").is_some());
    assert_eq!(input("{ provider: local, model: gpt-4o }"), None);
    assert_eq!(input("{ provider: fake, model: gpt-4o }"), None);
    assert!(input("{ provider: mistral, model: mistral-large-latest }").is_some());
    assert!(input("{ provider: cohere, model: command-a-03-2025 }").is_some());
}

#[test]
fn cache_writes_of_claude_cost_more_than_input() {
    let price = deployment("{ provider: claude, model: claude-opus-5-5 }").unwrap();
    let tokens = Tokens {
        input: 1_000_000,
        cached_input: 100_000,
        cache_write: 600_000,
        cache_write_1h: 200_000,
        output: 100_000,
        ..Tokens::default()
    };
    // 300,000 at 4, 100,000 at 0.2, 400,000 at 5 and 200,000 at 8 dollars per million; 100,000 at 20.
    let micros = 1_200_000 + 20_000 + 2_000_000 + 1_600_000 + 2_000_000;
    assert_eq!(price.cost(on(TODAY), &tokens), micros * 1000);

    let unlisted = "{ provider: claude, model: claude-next, price: { input: 4, output: 20 } }";
    let rates = per_million(&deployment(unlisted).unwrap(), on(TODAY), 1);
    assert_eq!(rates[..4], [4_000_000, 4_000_000, 5_000_000, 8_000_000]);
    let unlisted = "{ provider: openai, model: gpt-next, price: { input: 4, output: 20 } }";
    let rates = per_million(&deployment(unlisted).unwrap(), on(TODAY), 1);
    assert_eq!(rates[..4], [4_000_000; 4]);
}

#[test]
fn longer_prompts_days_and_services_have_their_own_prices() {
    let price = deployment("{ provider: google, model: gemini-2.5-pro }").unwrap();
    let input = |tokens| per_million(&price, on(TODAY), tokens)[0];
    assert_eq!(
        [input(1), input(200_000), input(200_001)],
        [1_250_000, 1_250_000, 2_500_000]
    );

    let price = deployment("{ provider: google, model: gemini-4-argon }").unwrap();
    let input = |day| per_million(&price, on(day), 1)[0];
    let days = [
        "2020-01-01",
        TODAY,
        "2026-11-30",
        "2026-12-01",
        "2030-01-01",
    ];
    assert_eq!(
        days.map(input),
        [2_000_000, 2_000_000, 2_000_000, 4_000_000, 4_000_000]
    );

    let price = deployment("{ provider: openai, model: gpt-6-sol }").unwrap();
    let input = |service, tokens| {
        let served = Served {
            service,
            ..on(TODAY)
        };
        per_million(&price, served, tokens)[0]
    };
    assert_eq!(
        Service::ALL.map(|it| input(it, 1)),
        [2_000_000, 1_000_000, 4_000_000, 4_000_000, 1_000_000]
    );
    assert_eq!(input(Service::Priority, 272_001), 8_000_000);
    // What a model has no price for is billed as usual.
    let price = deployment("{ provider: mistral, model: mistral-large-latest }").unwrap();
    let tokens = Tokens {
        input: 1000,
        ..Tokens::default()
    };
    let cost = |service| {
        price.cost(
            Served {
                service,
                ..on(TODAY)
            },
            &tokens,
        )
    };
    assert_eq!(cost(Service::Priority), cost(Service::Standard));
    assert_eq!(
        [Service::named("PRIORITY"), Service::named("auto")],
        [Service::Priority, Service::Standard]
    );
}

#[test]
fn what_a_policy_leaves_out_follows_the_catalog_in_proportion() {
    let price = |stated: &str| {
        let text = format!("{{ provider: claude, model: claude-haiku-5-5, price: {stated} }}");
        deployment(&text).unwrap()
    };
    let rates = |price: &Price, input| per_million(price, on(TODAY), input);
    // The list: 0.1, cached 0.01, written 0.125 and 0.2, output 0.5; five times that above 100,000 tokens.
    let half = price("{ input: '0.05', output: '0.25' }");
    assert_eq!(rates(&half, 1)[..4], [50_000, 5_000, 62_500, 100_000]);
    assert_eq!(rates(&half, 1)[7], 250_000);
    assert_eq!(
        rates(&half, 100_001)[..4],
        [250_000, 25_000, 312_500, 500_000]
    );
    let served = Served {
        service: Service::Batch,
        ..on(TODAY)
    };
    assert_eq!(per_million(&half, served, 1)[0], 25_000);
    let part = price("{ cached_input: '0.02' }");
    assert_eq!(rates(&part, 1)[..4], [100_000, 20_000, 125_000, 200_000]);
    assert_eq!(rates(&part, 100_001)[1], 100_000);
    let free = price("{ input: 0, output: 0 }");
    assert_eq!(rates(&free, 200_000), [0; 13]);
    let flat = price("{ tiers: [ { above: 1000, price: { input: '0.2' } } ], request: '0.001' }");
    assert_eq!(rates(&flat, 1000)[0], 100_000);
    assert_eq!(
        rates(&flat, 100_001)[..4],
        [200_000, 20_000, 250_000, 400_000]
    );
    assert_eq!(rates(&flat, 1)[11], 1000);
    assert_eq!(per_million(&flat, served, 1001)[0], 100_000);
    for price in [&half, &part, &free, &flat] {
        assert!(price.is_stated && price.catalog.is_some());
    }
}

#[test]
fn sound_and_pictures_have_their_own_prices() {
    let text = "{ provider: local, model: m, price: { input: 1, output: 2, input_audio: 10, cached_audio: 5, \
                input_image: 3, cached_input: '0.5', reasoning: 4, output_audio: 20, output_image: 30 } }";
    let price = deployment(text).unwrap();
    let cost = |tokens: &Tokens| price.cost(on(TODAY), tokens);
    let tokens = Tokens {
        input: 100,
        cached_input: 20,
        input_audio: 30,
        input_image: 10,
        output: 50,
        reasoning: 10,
        output_audio: 20,
        output_image: 5,
        ..Tokens::default()
    };
    // 40 of text, 20 from the cache, 30 of sound, 10 of pictures; 15, 10, 20 and 5 out. In thousands of a billionth.
    let expected = 40 + 10 + 300 + 30 + 30 + 40 + 400 + 150;
    assert_eq!(cost(&tokens), expected * 1000);
    // A search costs what it costs, whatever the tokens, and is not known where the policy does not say.
    let searched = Tokens {
        searches: 3,
        ..tokens
    };
    assert_eq!(cost(&searched), cost(&tokens));
    let text = "{ provider: local, model: m, price: { input: 1, output: 2, search: '0.01' } }";
    let searching = deployment(text).unwrap();
    assert!(searching.knows(Part::Search) && !price.knows(Part::Search));
    let three = Tokens {
        searches: 3,
        ..Tokens::default()
    };
    assert_eq!(searching.cost(on(TODAY), &three), 30_000_000);
    // More sound than what was not cached: so much of it came from the cache.
    let heard = Tokens {
        input: 100,
        cached_input: 80,
        input_audio: 50,
        ..Tokens::default()
    };
    assert_eq!(cost(&heard), (20 * 10_000) + (30 * 5_000) + (50 * 500));
}

#[test]
fn costs_are_rounded_up_once_and_end_at_the_most_there_is() {
    let price = |rate: u64| {
        let of_tokens = |part| !matches!(part, Part::Request | Part::Search);
        let rates = said(|part| if of_tokens(part) { rate } else { 0 });
        let row = Row {
            from: 0,
            service: Service::Standard,
            above: 0,
            rates,
        };
        Price::new(vec![row], None, true).unwrap()
    };
    let cost = |price: &Price, input, output| {
        let tokens = Tokens {
            input,
            output,
            ..Tokens::default()
        };
        price.cost(Served::default(), &tokens)
    };
    let fraction = price(1);
    assert_eq!(cost(&fraction, 0, 0), 0);
    assert_eq!(cost(&fraction, 1, 1), 1);
    assert_eq!(cost(&fraction, 500_000, 500_001), 2);
    assert_eq!(cost(&price(u64::MAX), u64::MAX, u64::MAX), u64::MAX);
    assert!(Price::new(Vec::new(), None, true).is_none());
}

/// Rates of which each is said.
fn said(amount: impl Fn(Part) -> u64) -> Rates {
    Rates::build(|_, part| Rate {
        amount: amount(part),
        is_said: true,
    })
}

fn rates() -> impl Strategy<Value = Rates> {
    prop::array::uniform13(0..100_000_000_000_u64)
        .prop_map(|rates| said(|part| rates[part as usize]))
}

fn tokens() -> impl Strategy<Value = Tokens> {
    prop::array::uniform11(0..1_000_000_u64).prop_map(|it| Tokens {
        input: it[0],
        cached_input: it[1],
        cache_write: it[2],
        cache_write_1h: it[3],
        input_audio: it[4],
        input_image: it[5],
        output: it[6],
        reasoning: it[7],
        output_audio: it[8],
        output_image: it[9],
        searches: it[10] % 100,
    })
}

/// Prices of which longer prompts never cost less.
fn price() -> impl Strategy<Value = Price> {
    let step = (1..1_000_000_u64, 1..5_u64);
    (rates(), prop::collection::vec(step, 0..3)).prop_map(|(rates, steps)| {
        let row = |(above, factor): (u64, u64)| Row {
            from: 0,
            service: Service::Standard,
            above,
            rates: said(|part| rates.of(part) * factor),
        };
        let mut factor = 1;
        let mut above = 0;
        let rows = std::iter::once((0, 1)).chain(steps).map(|(step, by)| {
            (above, factor) = (above + step, factor * by);
            row((above, factor))
        });
        Price::new(rows.collect(), None, true).unwrap()
    })
}

proptest! {
    /// Every token is paid for once: the cost is the sum of what the parts cost by themselves, rounded up.
    #[test]
    fn a_cost_is_the_sum_of_its_parts(rates in rates(), tokens in tokens()) {
        let parts = tokens.apart();
        prop_assert_eq!(parts[..7].iter().sum::<u64>(), tokens.input);
        prop_assert_eq!(parts[7..11].iter().sum::<u64>(), tokens.output);
        let exact = |part: Part| u128::from(parts[part as usize]) * u128::from(rates.of(part));
        let sum = Part::ALL.into_iter().map(exact).sum::<u128>() + u128::from(rates.of(Part::Request)) * 1_000_000;
        let row = Row { from: 0, service: Service::Standard, above: 0, rates };
        let cost = Price::new(vec![row], None, true).unwrap().cost(Served::default(), &tokens);
        prop_assert_eq!(u128::from(cost), sum.div_ceil(1_000_000));
    }

    /// More tokens never cost less.
    #[test]
    fn a_cost_grows_with_the_tokens(price in price(), tokens in tokens(), input in 0..1000_u64, output in 0..1000_u64) {
        let cost = |tokens: &Tokens| price.cost(Served::default(), tokens);
        // What is added is of the plain kind, so that what there was stays what it is.
        let plain = Tokens { input: tokens.input, output: tokens.output, ..Tokens::default() };
        let more = Tokens { input: tokens.input + input, output: tokens.output + output, ..Tokens::default() };
        prop_assert!(cost(&more) >= cost(&plain));
    }

    /// What is reserved always suffices for a request within the bounds.
    #[test]
    fn the_highest_cost_is_never_exceeded(
        price in price(), tokens in tokens(), input in 0..1000_u64, output in 0..1000_u64, hour: bool, audio: bool, image: bool,
    ) {
        let tokens = Tokens {
            cache_write_1h: if hour { tokens.cache_write_1h } else { 0 },
            input_audio: if audio { tokens.input_audio } else { 0 },
            input_image: if image { tokens.input_image } else { 0 },
            ..tokens
        };
        let served = Served::default();
        let bounds = Bounds { served, input: tokens.input + input, output: tokens.output + output, audio, image, hour, searches: tokens.searches };
        prop_assert!(price.cost(served, &tokens) <= price.highest_cost(&bounds));
    }
}
