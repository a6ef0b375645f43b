use std::time::Duration;

use super::{
    Caller, CounterSpec, Credential, Dimension, Effect, Endpoint, Kind, Protocol, Simulated,
    SimulatedFault, Table, Unit, compile,
};
use crate::price::{Catalog, Served, Tokens};
use crate::subject::Subject;
use crate::yaml::{Source, parse};

const TEXT: &str = "
providers:
  openai: { kind: openai, credential: { env: KEY } }
  local: { kind: openai_compatible, base_url: 'HTTPS://LLM.example.com:443/v1/', credential: { file: /run/key }, timeouts: { idle: 2s } }
  aws: { kind: bedrock, region: eu-west-1 }
  fake: { kind: simulated, simulated: { fault: { kind: reset, after_tokens: 2 } } }
  plain: { kind: simulated, simulated: { first_token_latency: 5ms, output_tokens: 3, fault: { kind: status, status: 429, percent: 7 } } }
deployments:
  b: { provider: openai, model: gpt-4o, price: { input: '2.5', output: 10 } }
  a: { provider: local, model: llama, price: { input: 0, output: 0, cached_input: '0.5' } }
  c: { provider: fake, model: canned }
pools:
  one: { targets: [ { deployment: b, weight: 3 }, { deployment: a } ] }
  two: { targets: [ { deployment: c } ] }
models:
  chat: { aliases: [gpt-4o, meta/x], routes: [ { pools: [two, one] } ] }
  brief: { routes: [ { pools: [one] } ], retry: { attempts: 1, per_attempt_timeout: 5s }, deadline: 9s, max_output_tokens: 7 }
limits:
  - { name: z-app, tokens: 1000000, window: 1h }
  - { name: key-model, per: [model, key], requests: 5, window: 1m }
  - { name: team, per: [team], tokens: 9000, window: 30s }
  - { name: user, per: [org, user], requests: 7, window: 30s }
";

fn table() -> Table {
    let policy = parse(&[Source {
        name: "x",
        text: TEXT.as_bytes(),
    }])
    .unwrap();
    compile(&policy, 42).unwrap()
}

fn counters(key: &str, subject: &str, model: &str) -> Vec<CounterSpec> {
    let table = table();
    let subject = Subject::parse(subject).unwrap();
    table.counters(&Caller::new(key, &subject), table.model(model).unwrap())
}

#[test]
fn can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Table>();
}

#[test]
fn resolves_names_and_applies_defaults() {
    let table = table();
    assert_eq!(table.revision(), 42);
    let names: Vec<&str> = table.models().iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["brief", "chat"]);
    let chat = table.model("chat").unwrap();
    assert!(std::sync::Arc::ptr_eq(chat, table.model("gpt-4o").unwrap()));
    assert!(std::sync::Arc::ptr_eq(chat, table.model("meta/x").unwrap()));
    assert!(table.model("gpt-4").is_none());
    assert_eq!(
        (chat.attempts, chat.deadline, chat.max_output_tokens),
        (3, Duration::from_secs(120), 4096)
    );
    assert_eq!(chat.per_attempt_timeout, None);
    let brief = table.model("brief").unwrap();
    assert_eq!(
        (brief.attempts, brief.deadline, brief.max_output_tokens),
        (1, Duration::from_secs(9), 7)
    );
    assert_eq!(brief.per_attempt_timeout, Some(Duration::from_secs(5)));
    let targets = |pool: usize| -> Vec<(&str, u32)> {
        let targets = chat.routes[0].pools[pool].targets.iter();
        targets
            .map(|it| (&*table.deployments()[it.deployment].name, it.weight))
            .collect()
    };
    assert_eq!(targets(0), [("c", 1)]);
    assert_eq!(targets(1), [("b", 3), ("a", 1)]);
    for (index, it) in table.deployments().iter().enumerate() {
        assert_eq!(it.index, index);
        assert_eq!(table.providers()[it.provider.index].name, it.provider.name);
    }
}

#[test]
fn knows_providers() {
    let table = table();
    let by_name = |name: &str| {
        table
            .providers()
            .iter()
            .find(|it| &*it.name == name)
            .unwrap()
    };
    let openai = by_name("openai");
    let endpoint = |protocol, base_url: &str| {
        Kind::Http(Endpoint {
            protocol,
            base_url: base_url.to_owned(),
            api_version: None,
            region: String::new(),
        })
    };
    assert_eq!(
        openai.kind,
        endpoint(Protocol::OpenAi, "https://api.openai.com/v1")
    );
    assert_eq!(openai.credential, Credential::Env("KEY".to_owned()));
    assert_eq!(openai.timeouts.connect, Duration::from_secs(5));
    assert_eq!(openai.timeouts.first_byte, Duration::from_secs(60));
    let local = by_name("local");
    assert_eq!(
        local.kind,
        endpoint(Protocol::OpenAiCompatible, "https://llm.example.com/v1")
    );
    assert_eq!(local.kind.as_str(), "openai_compatible");
    let bedrock = Endpoint {
        protocol: Protocol::Bedrock,
        base_url: "https://bedrock-runtime.eu-west-1.amazonaws.com".to_owned(),
        api_version: None,
        region: "eu-west-1".to_owned(),
    };
    assert_eq!(by_name("aws").kind, Kind::Http(bedrock));
    assert_eq!(local.credential, Credential::File("/run/key".into()));
    assert_eq!(local.timeouts.idle, Duration::from_secs(2));
    let fake = Simulated {
        first_token_latency: Duration::ZERO,
        token_interval: Duration::ZERO,
        output_tokens: 16,
        fault: Some(SimulatedFault {
            percent: 100,
            effect: Effect::Reset { after_tokens: 2 },
        }),
    };
    assert_eq!(by_name("fake").kind, Kind::Simulated(fake));
    assert_eq!(by_name("fake").credential, Credential::None);
    let plain = Simulated {
        first_token_latency: Duration::from_millis(5),
        output_tokens: 3,
        fault: Some(SimulatedFault {
            percent: 7,
            effect: Effect::Status(429),
        }),
        ..fake
    };
    assert_eq!(by_name("plain").kind, Kind::Simulated(plain));
}

#[test]
fn prices_come_from_the_policy_and_the_catalog() {
    let table = table();
    let deployment = |name: &str| {
        let mut all = table.deployments().iter();
        all.find(|it| &*it.name == name).unwrap()
    };
    let cost = |name: &str, input, cached_input, output| {
        let tokens = Tokens {
            input,
            cached_input,
            output,
            ..Tokens::default()
        };
        let price = deployment(name).price.as_ref().unwrap();
        price.cost(Served::default(), &tokens)
    };
    // A thousand tokens in and a hundred out at 2.5 and 10 dollars per million: 0.0035 dollars.
    assert_eq!(cost("b", 1000, 0, 100), 3_500_000);
    let price = deployment("b").price.as_ref().unwrap();
    let revision = price.catalog.as_deref();
    assert_eq!(revision, Some(Catalog::built_in().revision()));
    assert!(price.is_stated);
    assert_eq!(cost("a", 1000, 400, 100), 200_000);
    // More cached than read is the provider's slip, and costs no more than everything from the cache.
    assert_eq!(cost("a", 10, 400, 0), 5_000);
    assert_eq!(deployment("a").price.as_ref().unwrap().catalog, None);
    assert_eq!(deployment("c").price, None);
}

#[test]
fn lists_counters_in_one_order() {
    let found = counters("k1", "acme/search/ada", "gpt-4o");
    let names: Vec<&str> = found.iter().map(|it| it.counter.as_str()).collect();
    assert_eq!(
        names,
        [
            "key-model/requests=60s/key=k1/model=chat",
            "team/tokens=30s/team=acme/search",
            "user/requests=30s/user=acme/search/ada/org=acme",
            "z-app/tokens=3600s",
        ]
    );
    let table = table();
    for (index, (spec, limit)) in found.iter().zip(table.limits()).enumerate() {
        assert_eq!((&spec.limit, limit.index), (limit, index));
    }
    let first = &found[0].limit;
    assert_eq!(
        (first.measure.unit, first.amount, first.kind),
        (
            Unit::Requests,
            5,
            tollgate_quota::Kind::Fixed { window_ms: 60_000 }
        )
    );
    assert_eq!(table.limits()[0].per, [Dimension::Key, Dimension::Model]);
    let shallow = counters("k1", "acme", "brief");
    assert_eq!(shallow[1].counter, "team/tokens=30s/team=acme");
}

#[test]
fn a_tiers_limits_hold_for_its_callers_by_key() {
    let text = "
providers: { p: { kind: simulated } }
deployments: { d: { provider: p, model: m } }
pools: { q: { targets: [ { deployment: d } ] } }
models: { chat: { routes: [ { pools: [q] } ] } }
limits: [ { name: app, requests: 9, window: 1h } ]
tiers:
  free:
    limits:
      - { requests: 10, window: 1h }
      - { tokens: 20000, window: 30m, per: [tier], per_labels: [cost.center] }
      - { name: own, requests: 3, window: 1m }
  paid: { weight: 8, priority: batch }
";
    let source = Source {
        name: "x",
        text: text.as_bytes(),
    };
    let policy = crate::yaml::load(&[source]).unwrap();
    let table = compile(&policy, 1).unwrap();
    assert!(table.has_tier("free") && table.has_tier("paid") && !table.has_tier("gold"));
    let worth = |name| table.tier(name).map(|it| (it.weight, it.is_batch));
    assert_eq!(worth("free"), Some((1, false)));
    assert_eq!(worth("paid"), Some((8, true)));
    let subject = Subject::parse("acme").unwrap();
    let counters = |tier| {
        let caller = Caller {
            tier,
            ..Caller::new("k1", &subject)
        };
        let specs = table.counters(&caller, table.model("chat").unwrap());
        specs.into_iter().map(|it| it.counter).collect::<Vec<_>>()
    };
    let for_all = ["app/requests=3600s"];
    assert_eq!(counters(None), for_all);
    assert_eq!(counters(Some("paid")), for_all);
    assert_eq!(
        counters(Some("free")),
        [
            "app/requests=3600s",
            "free-requests-1h/requests=3600s/key=k1",
            "free-tokens-30m-tier-label-cost-center/tokens=1800s/tier=free/label.cost.center=(none)",
            "own/requests=60s/key=k1",
        ]
    );
}

#[test]
fn a_condition_says_to_whom_a_limit_applies_and_in_doubt_it_does() {
    let text = "
providers: { p: { kind: simulated } }
deployments: { d: { provider: p, model: m } }
pools: { q: { targets: [ { deployment: d } ] } }
models: { chat: { aliases: [gpt], routes: [ { pools: [q] } ] }, brief: { routes: [ { pools: [q] } ] } }
limits:
  - { name: acme, match: \"subject.org == 'acme' && request.model == 'chat'\", requests: 9, window: 1h }
  - { name: prod, match: \"subject.labels.env == 'prod'\", requests: 9, window: 1h }
";
    let source = Source {
        name: "x",
        text: text.as_bytes(),
    };
    let policy = crate::yaml::load(&[source]).unwrap();
    let table = compile(&policy, 1).unwrap();
    let counters = |subject: &str, model: &str, env: Option<&str>| {
        let subject = Subject::parse(subject).unwrap();
        let env = env.map(|env| ("env".to_owned(), env.to_owned()));
        let labels = env.into_iter().collect();
        let caller = Caller {
            labels: &labels,
            ..Caller::new("k1", &subject)
        };
        let specs = table.counters(&caller, table.model(model).unwrap());
        let found = specs.iter();
        found
            .map(|it| (it.limit.name.to_string(), it.doubt.is_some()))
            .collect::<Vec<_>>()
    };
    let (acme, prod) = (|| "acme".to_owned(), || "prod".to_owned());
    assert_eq!(
        counters("acme/a", "gpt", Some("prod")),
        [(acme(), false), (prod(), false)]
    );
    assert_eq!(counters("acme/a", "brief", Some("test")), []);
    assert_eq!(counters("other", "chat", None), [(prod(), true)]);
}

const CEILINGS: &str = "
providers:
  p: { kind: openai, limits: { tokens_per_minute: 900, concurrent: 4 } }
  c: { kind: anthropic }
deployments:
  a: { provider: p, model: m, limits: { requests_per_minute: 60 } }
  b: { provider: p, model: n }
  c: { provider: c, model: o, limits: { input_tokens_per_minute: 50 } }
pools: { q: { targets: [ { deployment: a }, { deployment: b }, { deployment: c } ] } }
models: { chat: { routes: [ { pools: [q] } ] } }
limits: [ { name: app, requests: 9, window: 1h } ]
";

fn with_ceilings() -> Table {
    let source = Source {
        name: "x",
        text: CEILINGS.as_bytes(),
    };
    compile(&crate::yaml::load(&[source]).unwrap(), 1).unwrap()
}

#[test]
fn ceilings_are_limits_on_attempts() {
    let table = with_ceilings();
    let of = |deployment: usize| {
        let ceilings = table.deployments()[deployment].ceilings.iter();
        let shown = ceilings.map(|CounterSpec { limit, .. }| {
            format!("{} {} {}", limit.name, limit.kind, limit.amount)
        });
        shown.collect::<Vec<_>>()
    };
    let account = [
        "provider.p.concurrent concurrent 4",
        "provider.p.tokens_per_minute sliding-60500 900",
    ];
    assert_eq!(
        of(0),
        [
            &["deployment.a.requests_per_minute sliding-60500 60"][..],
            &account
        ]
        .concat()
    );
    assert_eq!(of(1), account);
    assert_eq!(
        of(2),
        ["deployment.c.input_tokens_per_minute sliding-60500 50"]
    );
    for (index, limit) in table.limits().iter().enumerate() {
        assert_eq!(
            (limit.index, table.limit(&limit.name)),
            (index, Some(limit))
        );
        assert_eq!(
            table.limit_of_counter(&limit.stem).is_some(),
            limit.per.is_empty(),
            "{}",
            limit.stem
        );
    }
}

#[test]
fn no_caller_meets_a_ceiling_and_caches_count_as_the_provider_says() {
    let table = with_ceilings();
    // What Anthropic reads from its cache does not count.
    let used = crate::table::Use {
        input: 10,
        cached_input: 7,
        ..Default::default()
    };
    assert_eq!(
        table.deployments()[2].ceilings[0]
            .limit
            .measure
            .units(&used),
        3
    );
    // No caller meets them.
    let subject = Subject::parse("acme").unwrap();
    let specs = table.counters(&Caller::new("k1", &subject), table.model("chat").unwrap());
    assert_eq!(specs.len(), 1);
}

#[test]
fn copies_are_a_model_of_their_own_that_nobody_can_ask_for() {
    let text = TEXT.replace(
        "routes: [ { pools: [two, one] } ]",
        "routes: [ { when: request.stream, pools: [one] }, { pools: [one], shadow: { pool: two, percent: 5 } } ]",
    );
    let copies = "\n  - { name: copies, copies: true, per: [model], requests: 3, window: 1m }\n";
    let policy = parse(&[Source {
        name: "x",
        text: format!("{}{copies}", text.trim_end()).as_bytes(),
    }])
    .unwrap();
    let table = compile(&policy, 1).unwrap();
    let shadows: Vec<_> = table.shadows().collect();
    let [shadow] = shadows.as_slice() else {
        panic!("{shadows:?}")
    };
    assert_eq!((shadow.percent, shadow.max_in_flight), (5, 20));
    let model = &shadow.model;
    assert_eq!((&*model.name, model.attempts), ("chat.shadow-1", 1));
    assert_eq!(&*model.routes[0].pools[0].name, "two");
    assert!(table.model(&model.name).is_none());
    assert!(table.models().iter().all(|it| it.name != model.name));
    // What counts copies does not count requests, and the other way round.
    let chat = table.model("chat").unwrap();
    assert!(
        chat.targets()
            .all(|it| it.deployment != model.routes[0].pools[0].targets[0].deployment)
    );
    let subject = Subject::parse("acme/search").unwrap();
    let caller = Caller::new("k1", &subject);
    let of = |specs: Vec<CounterSpec>| -> Vec<String> {
        specs.into_iter().map(|it| it.counter).collect()
    };
    let copied = of(table.copy_counters(&caller, chat));
    assert_eq!(copied, ["copies/requests=60s/model=chat"]);
    let counted = of(table.counters(&caller, chat));
    assert!(
        !counted.is_empty() && !counted.contains(&copied[0]),
        "{counted:?}"
    );
}

#[test]
fn tiers_may_be_told_everything() {
    let with = |first: &str| {
        let text = format!(
            "{first}{TEXT}tiers:\n  ops: {{ explanations: full }}\n  free: {{ explanations: brief }}\n  other: {{}}\n"
        );
        let policy = parse(&[Source {
            name: "x",
            text: text.as_bytes(),
        }]);
        compile(&policy.unwrap(), 1).unwrap()
    };
    let tiers = [None, Some("ops"), Some("free"), Some("other"), Some("lost")];
    let told = |table: Table| tiers.map(|tier| table.explains_fully(tier));
    assert_eq!(told(with("")), [false, true, false, false, false]);
    let all = with("explanations: full\n");
    assert_eq!(told(all), [true, true, false, true, true]);
}
