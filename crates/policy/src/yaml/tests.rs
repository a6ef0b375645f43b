use proptest::prelude::*;

use super::{Source, load, locate, parse, to_json, to_yaml};
use crate::{Fault, pb, validate, warnings};

mod planned;

const EXAMPLE: &str = include_str!("../../../../deploy/policy.example.yaml");

fn source(text: &str) -> Source<'_> {
    Source {
        name: "policy.yaml",
        text: text.as_bytes(),
    }
}

fn faults(text: &str) -> Vec<String> {
    lines(load(&[source(text)]).unwrap_err())
}

fn lines(faults: impl IntoIterator<Item = Fault>) -> Vec<String> {
    faults.into_iter().map(|fault| fault.to_string()).collect()
}

/// Checks that the one fault of a text says all this.
fn check(text: &str, parts: &[&str]) {
    let found = faults(text);
    assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "{text}\n{found:#?} lacks {part:?}");
    }
}

#[test]
fn the_example_is_valid_and_raises_no_warning() {
    let policy = load(&[source(EXAMPLE)]).unwrap();
    assert_eq!(lines(warnings(&policy)), Vec::<String>::new());
    assert_eq!((policy.limits.len(), policy.tiers.len()), (13, 4));
    let price = policy.deployments["gpt-4o-mini"].price.clone().unwrap();
    assert_eq!(price.input, Some(pb::Usd { nanos: 150_000_000 }));
    assert_eq!(price.cached_input, Some(pb::Usd { nanos: 75_000_000 }));
    let limit = &policy.limits[1];
    assert_eq!(limit.amount, Some(pb::limit::Amount::Tokens(200_000)));
    assert_eq!(
        limit.per,
        [pb::Dimension::Team as i32, pb::Dimension::Model as i32]
    );
    assert_eq!(
        limit.window,
        Some(pb::Window {
            seconds: 3600,
            calendar: 0
        })
    );
    let latency = policy.providers["fallback"]
        .simulated
        .unwrap()
        .first_token_latency
        .unwrap();
    assert_eq!((latency.seconds, latency.nanos), (0, 50_000_000));
    assert!(policy.providers["local"].internal);
}

#[test]
fn the_example_survives_being_written() {
    let policy = load(&[source(EXAMPLE)]).unwrap();
    let yaml = to_yaml(&policy).unwrap();
    assert_eq!(load(&[source(&yaml)]).unwrap(), policy, "{yaml}");
    let json = to_json(&policy).to_string();
    assert_eq!(load(&[source(&json)]).unwrap(), policy, "{json}");
    assert!(yaml.contains("window: 1h"), "{yaml}");
    assert!(yaml.contains("kind: openai_compatible"), "{yaml}");
    // In the order of the contract, not of the alphabet.
    assert!(
        yaml.find("providers:") < yaml.find("deployments:"),
        "{yaml}"
    );
}

#[test]
fn nothing_is_a_valid_policy() {
    for text in [
        "",
        "# nothing",
        "---\n",
        "{}",
        "limits: []",
        "providers:\nlimits: ~",
        "---\n---\n{}",
    ] {
        assert_eq!(
            load(&[source(text)]).unwrap(),
            pb::Policy::default(),
            "{text:?}"
        );
    }
    assert_eq!(load(&[]).unwrap(), pb::Policy::default());
    assert_eq!(
        parse(&[source(&to_yaml(&pb::Policy::default()).unwrap())]).unwrap(),
        pb::Policy::default()
    );
}

#[test]
fn merges_files_and_documents() {
    let one = source(
        "limits: [ { name: a, requests: 1, window: 1m } ]\nproviders: { x: { kind: simulated } }",
    );
    let two = Source {
        name: "two.yaml",
        text: b"limits: [ { name: b, requests: 1, window: 1m } ]\n---\nproviders: { y: { kind: simulated } }",
    };
    let policy = load(&[one, two]).unwrap();
    let names: Vec<&str> = policy.limits.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(policy.providers.len(), 2);
}

#[test]
fn names_both_files_of_what_is_there_twice() {
    let one = source(
        "limits:\n  - name: a\n    requests: 1\n    window: 1m\nproviders:\n  x: { kind: simulated }",
    );
    let two = Source {
        name: "two.yaml",
        text: b"providers:\n  x: { kind: simulated }\nlimits:\n  - { name: a, requests: 1, window: 1m }",
    };
    assert_eq!(
        lines(load(&[one, two]).unwrap_err()),
        [
            "two.yaml:2:3: providers.x: is defined twice, first at policy.yaml:6:3; rename or remove one of them",
            "two.yaml:4:7: limits[1].name: `a` is a limit already, as limits[0].name (at policy.yaml:2:5); rename or \
             remove one of them",
        ]
    );
}

#[test]
fn points_at_the_nearest_name() {
    check(
        "provider: {}",
        &["policy.yaml:1:1: provider: there is no such field; did you mean `providers`?"],
    );
    check(
        "limits:\n  - { name: a, requets: 1, window: 1m }",
        &["policy.yaml:2:16: limits[0].requets: there is no such field; did you mean `requests`?"],
    );
    check(
        "limits: [ { name: a, requests: 1, window: 1m, per: [keys] } ]",
        &["limits[0].per[0]", "did you mean `key`?"],
    );
    check(
        "pools: { a: { zzzzzz: 1 } }",
        &[
            "pools.a.zzzzzz: there is no such field; known here: `health`, `sticky`, `strategy`, `targets`",
        ],
    );
    check(
        "providers: { a: { kind: openai_compatibel } }",
        &["did you mean `openai_compatible`?"],
    );
}

const WRONG: &[(&str, &[&str])] = &[
    (
        "providers: { a: { kind: simulated, internal: yes } }",
        &["providers.a.internal: \"yes\" is neither true nor"],
    ),
    (
        "limits: [ { name: a, requests: 1.5, window: 1m } ]",
        &["limits[0].requests: \"1.5\" is not a number that fits"],
    ),
    (
        "limits: [ { name: a, requests: -1, window: 1m } ]",
        &["limits[0].requests: \"-1\" is not a number"],
    ),
    (
        "limits: [ { name: a, requests: +1, window: 1m } ]",
        &["limits[0].requests: \"+1\" is not a number"],
    ),
    (
        "limits: [ { name: a, requests: 1, window: 60 } ]",
        &["limits[0].window: \"60\" has no unit", "`30s`"],
    ),
    (
        "limits: [ { name: a, requests: 1, window: 1500ms } ]",
        &["limits[0].window: is not a whole number of seconds"],
    ),
    (
        "limits: [ { name: a, requests: 1, tokens: 1, window: 1m } ]",
        &["limits[0].tokens: `tokens` and `requests` exclude"],
    ),
    (
        "limits: [ { name: a, requests: 1, window: 1m, per: key } ]",
        &["limits[0].per: is a single value where a list"],
    ),
    (
        "limits: { a: 1 }",
        &["policy.yaml:1:9: limits: is a mapping where a list is expected"],
    ),
    (
        "providers: [ a ]",
        &["providers: is a list where a mapping is expected"],
    ),
    (
        "providers: { a: openai }",
        &[
            "providers.a: is a single value where a mapping is expected",
            "`kind`",
        ],
    ),
    (
        "models: { a: { aliases: [ ~ ] } }",
        &["models.a.aliases[0]: is empty"],
    ),
    (
        "models: { a: { deadline: [ 1s ] } }",
        &["models.a.deadline: is a list where a single value is expected"],
    ),
    (
        "- a",
        &[
            "policy.yaml:1:1: is a list where a mapping is expected",
            "`providers`",
        ],
    ),
    ("hello", &["is a single value where a mapping is expected"]),
    (
        "pools: {}\npools: {}",
        &["policy.yaml:2:1: pools: is defined twice, first at policy.yaml:1:1"],
    ),
    ("? [a]\n: b", &["a list cannot be the key of a mapping"]),
    ("a: &a {}\nb:\n  <<: *a", &["merge keys"]),
    ("!mine {}", &["the tag `!mine` is not known"]),
    ("a: [", &["is not valid YAML"]),
    ("a: *b", &["is not valid YAML"]),
    (
        "a: &b [ *b ]",
        &["an alias refers to a value that it is itself part of"],
    ),
    ("%YAML 1.2\n---\n{}", &["is not valid YAML"]),
];

#[test]
fn says_what_is_wrong_with_a_value() {
    for (text, parts) in WRONG {
        let found = faults(text).join("\n");
        for part in *parts {
            assert!(found.contains(part), "{text}\n{found} lacks {part:?}");
        }
    }
}

#[test]
fn tells_every_fault_at_once_but_not_what_follows_from_another() {
    let text = "
providers:
  a: { kind: opnai }
  b: { kind: openai_compatible }
deployments:
  d: { provider: a, model: m }
  e: { provider: bb, model: m }
limits:
  - { name: x, window: 2mo }
  - { name: y, requests: 0, kind: sliding, window: 2h }
pools: { p: { strategy: x, targets: [ { deployment: d } ] } }
";
    let expected = [
        "policy.yaml:3:14: providers.a.kind: \"opnai\" is not known; did you mean `openai`?",
        "policy.yaml:9:24: limits[0].window: \"2mo\" is not a length of time that is always the same; windows can be `1w`, \
         `1mo`, `1q` or `1y`; the longest unit of anything else is `1d`",
        "policy.yaml:11:25: pools.p.strategy: \"x\" is not known; known here: `cheapest`, `least_busy`, `least_latency`, \
         `most_room`, `sticky`, `weighted`",
        "policy.yaml:4:3: providers.b.base_url: is missing; write the address that paths are appended to, such as \
         `https://llm.example.com/v1`",
        "policy.yaml:7:8: deployments.e.provider: there is no provider `bb`; did you mean `b`?",
        "policy.yaml:10:16: limits[1].requests: is zero, which would refuse every request; write at least 1; to shut \
         somebody out, revoke the key",
        "policy.yaml:10:44: limits[1].window: is 7200 s, longer than 1 h; write a window of `1s` to `1h`, such as `10s`, \
         `5m` or `1h`",
    ];
    let found = faults(text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
}

#[test]
fn windows_of_the_calendar_and_slots_are_read_and_written() {
    let text = "limits: [ { name: a, cost_usd: 5, window: 1mo, timezone: Europe/Berlin }, { name: b, tokens: 9, \
                window: 1d }, { name: c, requests: 9, window: 24h }, { name: d, cost_usd: 1 }, { name: e, \
                concurrent: 2 } ]";
    let policy = parse(&[source(text)]).unwrap();
    let window = |index: usize| {
        policy.limits[index]
            .window
            .map(|it| (it.seconds, it.calendar))
    };
    let month = pb::CalendarPeriod::Month as i32;
    let day = pb::CalendarPeriod::Day as i32;
    assert_eq!(window(0), Some((0, month)));
    assert_eq!(window(1), Some((0, day)));
    assert_eq!(window(2), Some((86_400, 0)));
    assert_eq!((window(3), window(4)), (None, None));
    let yaml = to_yaml(&policy).unwrap();
    for line in [
        "window: 1mo",
        "timezone: Europe/Berlin",
        "window: 1d",
        "window: 24h",
        "concurrent: 2",
    ] {
        assert!(yaml.contains(line), "{line}: {yaml}");
    }
}

#[test]
fn a_faulty_value_does_not_hide_what_is_wrong_beside_it() {
    let text = "
providers:   { a: { kind: openai } }
deployments:
  d: { provider: b, model: m, price: { input: 1, output: x } }
  e: { provider: a, modle: m }
limits:      [ { name: X, requests: 5, window: soon } ]
";
    let expected = [
        "deployments.d.price.output: \"x\" is not an amount of money",
        "deployments.e.modle: there is no such field; did you mean `model`?",
        "limits[0].window: ",
        "deployments.d.provider: there is no provider `b`; did you mean `a`?",
        "limits[0].name: the name holds 'X'",
    ];
    let found = faults(text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found} lacks {expected}");
    }
}

#[test]
fn locates_warnings() {
    let text = "providers:\n  lonely: { kind: simulated }\n";
    let policy = load(&[source(text)]).unwrap();
    let found = lines(locate(warnings(&policy), &[source(text)]));
    assert_eq!(
        found,
        ["policy.yaml:2:3: providers.lonely: is not used by any deployment"]
    );
}

#[test]
fn keeps_scalars_as_they_were_written() {
    let text = "providers: { p: { kind: simulated } }\ndeployments: { d: { provider: p, model: 1.10 }, e: { provider: p, \
                model: true }, f: { provider: p, model: '~' } }";
    let policy = load(&[source(text)]).unwrap();
    let models = ["d", "e", "f"].map(|name| policy.deployments[name].model.clone());
    assert_eq!(models, ["1.10", "true", "~"]);
    assert_eq!(
        parse(&[source(&to_yaml(&policy).unwrap())]).unwrap(),
        policy
    );
}

#[test]
fn reads_texts_from_other_systems() {
    let text = "\u{feff}providers:\r\n  p: { kind: simulated }\r\nmodels: {}\r\n";
    assert!(load(&[source(text)]).unwrap().providers.contains_key("p"));
}

#[test]
fn tells_a_key_that_is_there_twice_by_its_path() {
    check(
        "providers: { p: { kind: simulated }, p: { kind: simulated } }",
        &["providers.p: is defined twice"],
    );
    check(
        "limits:\n  - { name: a, requests: 1, window: 1m, requests: 2 }",
        &["policy.yaml:2:41: limits[0].requests: is defined twice, first at policy.yaml:2:16"],
    );
}

#[test]
fn shares_what_aliases_refer_to() {
    let text = "providers: { a: &p { kind: simulated }, b: *p }";
    let policy = load(&[source(text)]).unwrap();
    assert_eq!(policy.providers["a"], policy.providers["b"]);
}

#[test]
fn is_not_blown_up_by_hostile_texts() {
    let mut bomb = "a: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..30 {
        let item = format!("*a{}", level - 1);
        bomb.push_str(&format!(
            "b{level}: &a{level} [{}]\n",
            vec![item; 10].join(",")
        ));
    }
    assert!(faults(&bomb)[0].contains("holds more than 200000 values"));
    let chain = (1..5000).fold("a0: &a0 [x]\n".to_owned(), |text, level| {
        text + &format!("a{level}: &a{level} [*a{}]\n", level - 1)
    });
    assert!(
        faults(&chain)
            .iter()
            .any(|fault| fault.contains("holds more than 200000 values"))
    );
    for deep in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
    ] {
        assert!(faults(&deep)[0].contains("YAML"), "{}", faults(&deep)[0]);
    }
    let long = vec![b' '; super::MAX_TEXT + 1];
    let found = load(&[Source {
        name: "long",
        text: &long,
    }])
    .unwrap_err();
    assert!(found[0].problem.contains("bytes long"), "{found:?}");
    let found = load(&[Source {
        name: "x",
        text: b"a: 1\nb: \xff",
    }])
    .unwrap_err();
    assert_eq!(lines(found), ["x:2:1: is not UTF-8 text"]);
}

#[test]
fn never_repeats_a_secret() {
    let secret = "sk-proj-0123456789";
    for text in [
        format!("providers: {{ a: {{ kind: openai, credential: {{ env: {secret} }} }} }}"),
        format!("providers: {{ a: {{ kind: openai, credential: {secret} }} }}"),
        format!("providers: {{ a: {{ kind: openai, credential: [ {secret} ] }} }}"),
        format!("providers: {{ a: {{ kind: openai, credential: {{ api_key: {secret} }} }} }}"),
        format!("providers: {{ a: {{ kind: openai, api_key: {secret} }} }}"),
        format!(
            "providers: {{ a: {{ kind: openai, base_url: 'https://user:{secret}@example.com' }} }}"
        ),
        format!(
            "providers: {{ a: {{ kind: openai, base_url: 'https://example.com?key={secret}' }} }}"
        ),
    ] {
        let found = faults(&text).join("\n");
        assert!(!found.contains(secret), "{found}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = load(&[Source { name: "x", text: &text }]);
    }

    #[test]
    fn mangled_policies_do_no_harm(at in 0..EXAMPLE.len(), cut in 0usize..40, put in "[-:{}\\[\\]&*!?,'\"|>%@ \n\ta0~]{0,6}") {
        let mut text = EXAMPLE.as_bytes().to_vec();
        let end = (at + cut).min(text.len());
        text.splice(at..end, put.bytes());
        match load(&[Source { name: "x", text: &text }]) {
            Ok(policy) => prop_assert!(validate(&policy).is_empty()),
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }

    #[test]
    fn what_is_written_is_read_back(policy in crate::validate::arbitrary::policy()) {
        let yaml = to_yaml(&policy).unwrap();
        prop_assert_eq!(&parse(&[source(&yaml)]).map_err(lines).unwrap(), &policy, "{}", yaml);
        let json = to_json(&policy).to_string();
        prop_assert_eq!(&parse(&[source(&json)]).map_err(lines).unwrap(), &policy, "{}", json);
    }
}
