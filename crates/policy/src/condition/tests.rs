use proptest::prelude::*;

use super::*;
use crate::Subject;

fn facts(tier: Option<&str>, pairs: &[(&str, &str)]) -> Facts {
    let subject = Subject::parse("acme/search/ada").unwrap();
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let labels: Labels = pairs.iter().map(owned).collect();
    let caller = Caller {
        key_name: "laptop",
        tier,
        labels: &labels,
        ..Caller::new("k1", &subject)
    };
    Facts::new(&caller, "chat")
}

#[test]
fn conditions_hold_over_what_is_known_of_a_caller() {
    let free = facts(Some("free"), &[("env", "prod"), ("cost.center", "7")]);
    for (text, holds) in [
        ("true", true),
        ("tier == 'free'", true),
        ("tier != \"free\"", false),
        ("tier in ['free', 'trial']", true),
        (
            "subject.org == 'acme' && subject.team == 'acme/search'",
            true,
        ),
        (
            "subject.user == 'acme/search/ada' && subject.path == subject.user",
            true,
        ),
        ("subject.path.startsWith('acme/') || false", true),
        ("!(request.model in ['chat', 'brief'])", false),
        (
            "request.model.endsWith('at') ? key.name.contains('top') : false",
            true,
        ),
        ("key.id == 'k1'", true),
        ("subject.labels.env == 'prod'", true),
        ("subject.labels['cost.center'] > '6'", true),
        (
            "has(subject.labels.env) && !has(subject.labels.region)",
            true,
        ),
        ("'env' in subject.labels && size(subject.labels) == 2", true),
        (
            "has(subject.labels.region) && subject.labels.region == 'eu'",
            false,
        ),
        ("size(tier) >= 4 && tier.size() < 5.5", true),
    ] {
        let condition = Condition::new(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        assert_eq!(condition.holds(&free), Ok(holds), "{text}");
        assert_eq!(condition.as_str(), text);
    }
    let none = Condition::new("tier == ''").unwrap();
    assert_eq!(none.holds(&facts(None, &[])), Ok(true));
}

#[test]
fn conditions_of_routes_know_the_request_too() {
    let subject = Subject::parse("acme/search/ada").unwrap();
    let caller = Caller::new("k1", &subject);
    let metadata = Labels::from([("session".to_owned(), "s1".to_owned())]);
    let features = Features {
        input_tokens: 9000,
        max_output_tokens: 100,
        complexity: 0.25,
        stream: true,
        has_tools: false,
        has_images: true,
        has_audio: false,
        has_schema: false,
        user: "bob",
        metadata: &metadata,
        budgets: &[Budget {
            limit: "team-month".into(),
            used: 0.9,
            pace: 1.5,
        }],
    };
    let facts = Facts::of_request(&caller, "chat", &features);
    for (text, holds) in [
        ("request.input_tokens > 8000", true),
        ("request.max_output_tokens <= 99", false),
        (
            "request.stream && request.has_images && !request.has_tools",
            true,
        ),
        ("request.has_audio || request.has_schema", false),
        ("request.metadata.session == 's1'", true),
        ("has(request.metadata.other)", false),
        ("request.user == 'bob' && request.model == 'chat'", true),
        ("key.bucket >= 0 && key.bucket < 100", true),
        ("request.complexity < 0.3 && request.complexity > 0", true),
        ("budget('team-month').used > 0.8", true),
        ("budget(\"team-month\").pace <= 1.0 || request.stream", true),
        // A limit that does not apply to the caller is not used.
        ("budget('other').used == 0.0", true),
    ] {
        let condition =
            Condition::of_route(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        assert_eq!(condition.holds(&facts), Ok(holds), "{text}");
        // Limits are decided once for a key and a model, and know no request.
        assert!(Condition::new(text).is_err(), "{text}");
    }
    let lacking = Condition::of_route("request.metadata.other == ''").unwrap();
    assert!(lacking.holds(&facts).is_err());
}

#[test]
fn what_takes_work_to_find_out_is_known_beforehand() {
    for (text, complexity, budgets) in [
        ("request.stream", false, &[][..]),
        ("request.complexity < 0.3", true, &[]),
        (
            "!(tier in ['a']) && (request.stream ? budget('b').used > 0.5 : budget('a').used > 0.5)",
            false,
            &["b", "a"],
        ),
        ("budget('a').used < budget('a').pace", false, &["a"]),
    ] {
        let condition = Condition::of_route(text).unwrap();
        assert_eq!(condition.uses().complexity, complexity, "{text}");
        let named: Vec<_> = condition.uses().budgets.iter().map(|it| &**it).collect();
        assert_eq!(named, budgets, "{text}");
    }
}

#[test]
fn keys_are_spread_evenly_over_buckets() {
    let mut counts = [0; 100];
    for key in 0..100_000 {
        counts[usize::try_from(bucket(&format!("key_{key}"))).unwrap()] += 1;
    }
    assert!(
        counts.iter().all(|it| (800..1200).contains(it)),
        "{counts:?}"
    );
    // They stay where they are from one version to the next.
    assert_eq!((bucket("key_1"), bucket("key_2")), (65, 73));
}

#[test]
fn a_label_that_is_lacking_is_an_error_not_an_answer() {
    let condition = Condition::new("subject.labels.env == 'prod'").unwrap();
    let error = condition.holds(&facts(None, &[])).unwrap_err();
    assert!(error.contains("env"), "{error}");
}

/// Texts, what is said of them, and what to do about it.
const WRONG: &[(&str, &str, &str)] = &[
    ("", "is not an expression", ""),
    ("tier ==", "is not an expression", ""),
    ("tier = 'free'", "is not an expression", ""),
    (
        "tier",
        "is a text, and has to be true or false",
        "compare it",
    ),
    ("size(tier)", "is a whole number", ""),
    (
        "teir == 'free'",
        "there is no variable `teir`",
        "did you mean `tier`?",
    ),
    ("subject.team.name == 'a'", "asks a text for `name`", ""),
    (
        "subject.orgg == 'a'",
        "there is no field `orgg`",
        "did you mean `org`?",
    ),
    (
        "subject == 'acme'",
        "compares a group of values with a text",
        "",
    ),
    ("tier == 5", "compares a text with a whole number", ""),
    ("tier in 'free'", "asks what is in a text", "write a list"),
    (
        "5 in ['a']",
        "what stands before `in` is a whole number",
        "",
    ),
    ("tier in [1]", "an element of a list is a whole number", ""),
    ("tier && true", "what `&&` and `||` join is a text", ""),
    ("!tier", "what `!` negates is a text", ""),
    (
        "tier.startsWith(5)",
        "what `startsWith` looks for is a whole number",
        "",
    ),
    (
        "tier.startswith('f')",
        "no such operator or function: `startswith`",
        "startsWith",
    ),
    (
        "tier.matches('f.*')",
        "no such operator or function: `matches`",
        "",
    ),
    (
        "budget('x') > 1",
        "no such operator or function: `budget`",
        "",
    ),
    (
        "subject.labels.exists(l, l == 'x')",
        "uses `all`, `exists`",
        "",
    ),
    ("{'a': tier} == {}", "uses `{ … }`", ""),
    ("tier == null", "uses `null`", ""),
    ("1 + 1 == 2", "no such operator or function", ""),
    ("true > false", "which has no order", ""),
];

#[test]
fn what_is_wrong_is_told_when_it_is_written() {
    for (text, problem, hint) in WRONG {
        let wrong = Condition::new(text).expect_err(text);
        assert!(wrong.problem.contains(problem), "{text}: {wrong:?}");
        assert!(wrong.hint.unwrap_or_default().contains(hint), "{text}");
    }
}

#[test]
fn long_and_deep_texts_are_refused_and_do_no_harm() {
    let long = format!("tier == '{}'", "x".repeat(MAX_LENGTH));
    assert!(
        Condition::new(&long)
            .unwrap_err()
            .problem
            .contains("longer")
    );
    let parts = [
        "(",
        "!",
        "-",
        "[",
        "{",
        "tier in [",
        "true ? true : ",
        "f(",
        "a.",
        "'a' + ",
    ];
    let deep = parts.map(|part| part.repeat(MAX_LENGTH / part.len()));
    // On a thread whose stack is as small as those that serve requests.
    let checked = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || deep.iter().all(|text| Condition::new(text).is_err()));
    assert!(checked.unwrap().join().unwrap());
}

proptest! {
    /// What passes the check can fail for want of a label only.
    #[test]
    fn what_is_checked_can_be_evaluated(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "tier", "subject", ".org", ".labels", "request.model", "key", ".name", "'a'", "5", "1.5", "true", "==",
                "!=", "<", ">=", "&&", "||", "!", "(", ")", "in", "['a', 'b']", "size(", ".size()", ".startsWith(",
                "has(", "?", ":", "['env']", ".env", "subject.labels.env", "subject.org", "-", "+", ",",
            ]),
            1..9,
        ),
    ) {
        let text = parts.join(" ");
        if let Ok(condition) = Condition::new(&text) {
            let result = condition.holds(&facts(Some("free"), &[("env", "prod")]));
            prop_assert!(result.is_ok(), "{text}: {result:?}");
        }
    }
}
