//! What has a price, and what has none.

use super::*;
use crate::price::{Listed, always_searches};

/// What costs many times what text does has no price by default: not of text, and not where only a discount is stated.
#[test]
fn sound_pictures_and_searches_have_the_price_that_somebody_says() {
    use Part::{InputAudio, InputImage, OutputAudio, OutputImage, Search};
    for (written, known) in [
        (
            "google, model: gemini-embedding-2",
            vec![InputAudio, InputImage, OutputAudio, OutputImage],
        ),
        ("cohere, model: embed-v4.0", vec![OutputAudio, OutputImage]),
        (
            "cohere, model: embed-v4.0, price: { input_image: '0.12' }",
            vec![InputImage, OutputAudio, OutputImage],
        ),
        // Gemini tells where sound costs more than text; others do not.
        ("google, model: gemini-2.5-pro", vec![InputAudio]),
        ("google, model: gemini-2.5-flash", vec![InputAudio]),
        ("openai, model: gpt-4.1", vec![]),
        ("openai, model: gpt-audio", vec![InputAudio, OutputAudio]),
        ("openai, model: gpt-4o-mini-tts", vec![OutputAudio]),
        (
            "google, model: gemini-2.5-flash-preview-tts",
            vec![OutputAudio],
        ),
        (
            "google, model: gemini-2.5-flash-image",
            vec![InputAudio, OutputImage],
        ),
        ("openai, model: gpt-5-image", vec![]),
        (
            "openai, model: gpt-5-image, price: { input: 5, output: 5 }",
            vec![],
        ),
        (
            "openai, model: gpt-5-image, price: { output_image: 40 }",
            vec![OutputImage],
        ),
        ("local, model: m, price: { input: 1, output: 2 }", vec![]),
        (
            "local, model: m, price: { input: 1, output: 2, search: '0.01' }",
            vec![Search],
        ),
        (
            "local, model: m, price: { input: 0, output: 2 }",
            vec![InputAudio, InputImage],
        ),
        (
            "local, model: m, price: { input: 1, output: 0 }",
            vec![OutputAudio, OutputImage],
        ),
    ] {
        let price = deployment(&format!("{{ provider: {written} }}")).unwrap();
        let all = [InputAudio, InputImage, OutputAudio, OutputImage, Search];
        let knows: Vec<_> = all.into_iter().filter(|it| price.knows(*it)).collect();
        assert_eq!(knows, known, "{written}");
    }
}

/// A model that searches before each answer has no price of tokens alone.
#[test]
fn a_model_that_always_searches_is_paid_for_a_search_at_least() {
    let unsaid = pb::Deployment {
        model: "gpt-5-search-api".to_owned(),
        price: Some(pb::Price {
            input: Some(pb::Usd { nanos: 1 }),
            output: Some(pb::Usd { nanos: 2 }),
            ..pb::Price::default()
        }),
        ..pb::Deployment::default()
    };
    assert_eq!(of(&pb::Provider::default(), &unsaid), None);
    for stated in ["search: '0.01'", "request: '0.01'"] {
        let text = format!("model: gpt-5-search-api, price: {{ input: 1, output: 2, {stated} }}");
        let price = deployment(&format!("{{ provider: openai, {text} }}")).unwrap();
        let mut tokens = Tokens {
            input: 1000,
            ..Tokens::default()
        };
        let bounds = Bounds {
            input: 1000,
            ..Bounds::default()
        };
        assert_eq!(price.cost(on(TODAY), &tokens), 11_000_000, "{stated}");
        assert_eq!(price.highest_cost(&bounds), 11_000_000, "{stated}");
        tokens.searches = 2;
        let two = 11_000_000 + 10_000_000 * u64::from(price.knows(Part::Search));
        assert_eq!(price.cost(on(TODAY), &tokens), two, "{stated}");
    }
}

/// Nothing of the catalog is cheaper by what its list leaves out: long prompts served otherwise, input of Claude's that is
/// cached for an hour, searches.
#[test]
fn what_lists_leave_out_is_no_cheaper_for_it() {
    for listed in Catalog::built_in().models() {
        let Listed { model, price, .. } = &listed;
        let steps = |of: &Row| {
            let same = |row: &&Row| (row.from, row.service) == (of.from, of.service);
            let above = price.rows().iter().filter(same).map(|row| row.above);
            above.collect::<Vec<_>>()
        };
        for row in price.rows() {
            let usual = Row {
                service: Service::Standard,
                ..row.clone()
            };
            assert_eq!(steps(row), steps(&usual), "{model} {row:?}");
            let of = |part| row.rates.of(part);
            let caches = row.rates.says(Part::CachedInput);
            if model.contains("claude") && caches {
                assert!(of(Part::CacheWrite) > of(Part::Input), "{model}");
                assert_eq!(of(Part::CacheWrite1h), 2 * of(Part::Input), "{model}");
            }
        }
        for (longer, shorter) in price.rows().iter().skip(1).zip(price.rows()) {
            let is_longer = longer.above > shorter.above && longer.service == shorter.service;
            let no_less = |part| longer.rates.of(part) >= shorter.rates.of(part);
            assert!(
                !is_longer || Part::ALL.into_iter().all(no_less),
                "{model} {longer:?}"
            );
        }
        assert!(
            !model.contains("sonar") || price.knows(Part::Request),
            "{model}"
        );
    }
    assert_eq!(
        Catalog::built_in().find("perplexity", "perplexity/sonar"),
        None
    );
}

#[test]
fn models_that_always_search_are_told_by_their_names() {
    let of = |model: &str| {
        let it = pb::Deployment {
            model: model.to_owned(),
            ..pb::Deployment::default()
        };
        always_searches(&it)
    };
    for model in [
        "gpt-4o-search-preview",
        "openai/gpt-5-search-api",
        "perplexity/sonar",
        "sonar-pro",
        "llama-3.1-sonar-small-128k-online",
    ] {
        assert!(of(model), "{model}");
    }
    for model in ["search", "research-1", "o3-deep-research", "gpt-4o"] {
        assert!(!of(model), "{model}");
    }
}
