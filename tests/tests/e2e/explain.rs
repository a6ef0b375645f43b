//! What callers are told of why requests go where they go, held against where they went.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_proto::completion::v1::{
    CandidateState, CandidateVerdict, CompleteRequest, Explanation, LimitOutlook,
};
use tonic::Code;

use super::caller::{Caller, ask};
use super::cluster::{Cluster, PATIENCE, Store};
use super::condition::eventually;
use super::http::{Http, chat, chat_stream};

const POLICY: &str = r#"
explanations: full
providers:
  mock:  { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  other: { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  mute:  { kind: anthropic, base_url: "PROVIDER", internal: true }
deployments:
  one:    { provider: mock, model: one@ok-4, price: { input: 1, output: 2 } }
  two:    { provider: mock, model: two@ok-4, price: { input: 2, output: 4 } }
  broken: { provider: other, model: broken@status-500, price: { input: 0, output: 0 } }
  tight:  { provider: mock, model: tight@ok-4, price: { input: 0, output: 0 }, limits: { tokens_per_minute: 10 } }
  claude: { provider: mute, model: claude@ok-4, price: { input: 9, output: 9 } }
  plain:  { provider: mock, model: plain@ok-4, price: { input: 0, output: 0 }, lacks: [images, tools, json_schema] }
pools:
  main:   { targets: [ { deployment: one, weight: 3 }, { deployment: two } ] }
  broken: { targets: [ { deployment: broken } ], health: { first_ejection: 30s } }
  tight:  { targets: [ { deployment: tight } ] }
  claude: { targets: [ { deployment: claude } ] }
  plain:  { targets: [ { deployment: plain } ] }
models:
  chat:
    routes:
      - { when: "request.input_tokens > 1000", pools: [claude] }
      - { when: "subject.labels.plan == 'gold'", pools: [claude] }
      - { pools: [main], fallbacks: [ { on: [context_length], pools: [claude] } ] }
    max_output_tokens: 100
  poor:  { routes: [ { pools: [tight, broken, main] } ], max_output_tokens: 100 }
  words: { routes: [ { pools: [claude, main] } ], max_output_tokens: 100 }
  first: { routes: [ { pools: [plain, main] } ], max_output_tokens: 100 }
  plain: { routes: [ { pools: [plain] } ], max_output_tokens: 100 }
limits:
  - { name: few,   per: [key], requests: 60, window: 1h }
  - { name: money, per: [key], cost_usd: "1", window: 1h }
"#;

fn candidate(explanation: &Explanation, deployment: &str) -> CandidateVerdict {
    let mut all = explanation.pools.iter().flat_map(|it| &it.candidates);
    let found = all.find(|it| it.deployment == deployment);
    found.cloned().unwrap_or_default()
}

/// How often each deployment answers so many requests.
async fn answered(
    caller: &Caller,
    model: &str,
    requests: u32,
) -> anyhow::Result<BTreeMap<String, u32>> {
    let mut all = BTreeMap::new();
    for _ in 0..requests {
        let answer = caller.complete(model, "nonce=n").await?;
        let by = answer.route.unwrap_or_default().deployment;
        *all.entry(by).or_default() += 1;
    }
    Ok(all)
}

/// What a caller is told once the node has what it asked for. It asks before it has none, but that may be on its way.
async fn admits(caller: &Caller) -> anyhow::Result<Explanation> {
    let told = eventually("the limit admits", PATIENCE, async || {
        let told = caller.explain(ask("chat", "nonce=n")).await?;
        let outlook = told.limits[0].outlook();
        assert!(matches!(outlook, LimitOutlook::Admits | LimitOutlook::Asks));
        Ok((outlook == LimitOutlook::Admits).then_some(told))
    });
    Ok(told.await?.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_foretold_comes_true_and_costs_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let told = caller.explain(ask("chat", "nonce=n")).await?;
    let routes: Vec<_> = told.routes.iter().map(|it| (it.index, it.serves)).collect();
    assert_eq!(routes, [(0, false), (1, false), (2, true)]);
    assert_eq!(told.routes[0].when, "request.input_tokens > 1000");
    assert!(
        told.routes[1].undecided.contains("plan"),
        "{:?}",
        told.routes
    );
    let pools: Vec<_> = told
        .pools
        .iter()
        .map(|it| (it.pool.as_str(), it.after.clone()))
        .collect();
    let after = vec!["context_length".to_owned()];
    assert_eq!(pools, [("main", vec![]), ("claude", after)]);
    let chances = ["one", "two", "claude"].map(|it| candidate(&told, it).chance);
    assert!((chances[0] - 0.75).abs() < 0.02, "{chances:?}");
    assert!(
        (chances[0] + chances[1] - 1.0).abs() < 1e-9 && chances[2] == 0.0,
        "{chances:?}"
    );
    // No limit was met yet, and none is by asking.
    for _ in 0..100 {
        let told = caller.explain(ask("chat", "nonce=n")).await?;
        assert!(
            told.limits
                .iter()
                .all(|it| it.outlook() == LimitOutlook::Unknown)
        );
    }
    assert_eq!(cluster.provider.stats().requests, 0);

    let came = answered(&caller, "chat", 40).await?;
    assert!((22..=38).contains(&came["one"]), "{came:?}");
    let told = admits(&caller).await?;
    let few = &told.limits[0];
    assert_eq!(
        (few.limit.as_str(), few.needs, few.admits, few.left),
        ("few", 1, 60, 20)
    );
    // What it may cost at most is what the limit holds for it: a hundred tokens at the dearest deployment, and the input.
    let size = told.estimate.unwrap_or_default();
    assert_eq!(size.most_nano_usd, Some(told.limits[1].needs));
    let most = (size.input_tokens + size.most_output_tokens) * 9_000;
    assert!(told.limits[1].needs >= most, "{size:?}");

    answered(&caller, "chat", 20).await?;
    // All is used. That there is no more the limit's owner knows, and the node once it was told.
    let few = &caller.explain(ask("chat", "nonce=n")).await?.limits[0];
    assert_eq!(few.left, 0);
    assert_ne!(few.outlook(), LimitOutlook::Admits);
    let refused = caller.complete("chat", "nonce=n").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let few = &caller.explain(ask("chat", "nonce=n")).await?.limits[0];
    assert_eq!((few.left, few.outlook()), (0, LimitOutlook::Exhausted));
    assert!(few.retry_after.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_says_why() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    answered(&caller, "poor", 4).await?;
    let told = caller.explain(ask("poor", "nonce=n")).await?;
    let broken = candidate(&told, "broken");
    assert_eq!(broken.state(), CandidateState::Ejected, "{broken:?}");
    assert!(broken.chance == 0.0 && broken.wait.is_some() && !broken.reason.is_empty());
    let tight = candidate(&told, "tight");
    assert_eq!(tight.state(), CandidateState::NoRoom, "{tight:?}");
    assert!(tight.chance == 0.0 && tight.reason.contains("tight"));
    assert_eq!(candidate(&told, "one").state(), CandidateState::Ready);

    let seeded = CompleteRequest {
        seed: Some(1),
        ..ask("words", "nonce=n")
    };
    let told = caller.explain(seeded.clone()).await?;
    assert_eq!(candidate(&told, "claude").state(), CandidateState::Unfit);
    assert_eq!(candidate(&told, "claude").chance, 0.0);
    let by = caller.send(seeded).await?.route.unwrap_or_default();
    assert_ne!(by.deployment, "claude");
    let told = caller.explain(ask("words", "nonce=n")).await?;
    assert_eq!(candidate(&told, "claude").chance, 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_sent_says_why_when_asked() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let plain = caller.complete("poor", "nonce=n").await?;
    assert_eq!(plain.route.unwrap_or_default().explanation, None);
    let answer = caller.send_explained(ask("poor", "nonce=n")).await?;
    let told = answer
        .route
        .and_then(|it| it.explanation)
        .unwrap_or_default();
    assert_eq!(told.pools.len(), 3);
    assert_eq!(told.passed_over[0].deployment, "tight");
    assert!(told.passed_over[0].reason.contains("tight"), "{told:?}");
    assert_eq!(told.limits[0].outlook(), LimitOutlook::Admits);

    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    let reply = http.chat(&chat("poor", "nonce=n")).await?;
    assert_eq!(reply.header("x-tollgate-explain"), "");
    let http = http.with("x-tollgate-explain", "1");
    for body in [chat("poor", "nonce=n"), chat_stream("poor", "nonce=n")] {
        let reply = http.chat(&body).await?;
        let line = reply.header("x-tollgate-explain");
        for part in [
            "route=0",
            "broken(weighted)",
            "few/key=",
            "passed-over=tight",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_explains() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let node = &cluster.nodes[0].url;
    let common = ["--node", node, "--key", &key.secret];
    let shown = cluster.tollgate_ok(&[&["explain", "chat", "Say hello."], &common[..]].concat())?;
    for part in [
        "every request",
        "mock/one",
        "75.0%",
        "after context_length",
        "few/key=",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    let json = [
        &["explain", "chat", "Say hello.", "-o", "json"],
        &common[..],
    ]
    .concat();
    let told: Value = serde_json::from_str(&cluster.tollgate_ok(&json)?)?;
    assert_eq!(told["model"], "chat");
    assert_eq!(told["explanation"]["routes"][2]["serves"], true);
    Ok(())
}

/// Requests for what a model lacks: what asks for it, and the field that a refusal names.
fn asking() -> [(&'static str, Value, &'static str); 3] {
    let image = json!({ "url": "data:image/png;base64,iVBORw0KGgo=" });
    let image = json!([{ "role": "user", "content": [
        { "type": "text", "text": "nonce=n" }, { "type": "image_url", "image_url": image },
    ] }]);
    let tool = json!({ "name": "f", "parameters": { "type": "object" } });
    let schema = json!({ "name": "s", "schema": { "type": "object" } });
    [
        ("messages", image, "messages[0].parts[1]"),
        (
            "tools",
            json!([{ "type": "function", "function": tool }]),
            "tools",
        ),
        (
            "response_format",
            json!({ "type": "json_schema", "json_schema": schema }),
            "response_format",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_model_lacks_goes_to_the_next_or_is_refused_by_name() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    let explained = Http::new(&cluster.nodes[0].url, &key.secret).with("x-tollgate-explain", "1");
    for (field, value, named) in asking() {
        let body = |model: &str| {
            let mut body = chat(model, "nonce=n");
            body[field] = value.clone();
            body
        };
        let reply = explained.chat(&body("first")).await?;
        assert_eq!(reply.status, 200, "{field}: {}", reply.body);
        let line = reply.header("x-tollgate-explain");
        assert!(line.contains("plain=0%"), "{line}");
        let reply = http.chat(&body("plain")).await?;
        assert_eq!(reply.status, 400, "{field}: {}", reply.body);
        let error = &reply.json()["error"];
        assert_eq!(error["param"], named, "{error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("its model lacks"), "{message}");
    }
    // Without any of it, the first is asked.
    let caller = cluster.caller(0, &key)?;
    let by = caller.complete("first", "nonce=n").await?.route;
    assert_eq!(by.unwrap_or_default().deployment, "plain");
    Ok(())
}
