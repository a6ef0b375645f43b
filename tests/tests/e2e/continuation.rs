//! Streams that break off after their callers have seen some of them, and are gone on with elsewhere.

use tollgate_proto::completion::v1::{AttemptOutcome, CompleteRequest, RouteTaken};
use tollgate_tests::provider::{Entry, Outcome, expected_content};

use super::caller::{self, Caller, Streamed, ask, attempts};
use super::cluster::{Cluster, PATIENCE, Store};
use super::condition::eventually;
use super::http::{Http, chat_stream};

const POLICY: &str = r#"
providers:
  mock:    { kind: openai_compatible, base_url: "PROVIDER", internal: true, timeouts: { idle: 400ms } }
  other:   { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  claude:  { kind: anthropic, base_url: "PROVIDER", internal: true }
  mistral: { kind: mistral, base_url: "PROVIDER", internal: true }
deployments:
  truncated: { provider: mock, model: truncated@ok-9+truncate-after-3, price: { input: 1, output: 2 } }
  closed:    { provider: mock, model: closed@ok-9+close-after-4 }
  reset:     { provider: mock, model: reset@ok-9+reset-after-3 }
  silent:    { provider: mock, model: silent@ok-9+hang-after-3 }
  broken:    { provider: mock, model: broken@ok-9+error-in-stream-3 }
  calling:   { provider: mock, model: calling@think-2+ok-9+truncate-after-3 }
  beside:    { provider: mock, model: beside@ok-9 }
  late:      { provider: other, model: late@ok-9+truncate-after-6 }
  refusing:  { provider: other, model: refusing@status-500 }
  good:      { provider: other, model: good@ok-9, price: { input: 1, output: 3 } }
  odd:       { provider: other, model: odd@ok-9+split-utf8 }
  short:     { provider: other, model: short@ok-2 }
  haiku:     { provider: claude, model: haiku@goes-on+ok-9, price: { input: 1, output: 4 }, prefill: last_message }
  small:     { provider: mistral, model: small@ok-9, prefill: last_message }
  vllm:      { provider: other, model: vllm@goes-on+ok-9, prefill: continue_final_message }
pools:
  truncated: { targets: [ { deployment: truncated } ], health: OFF }
  closed:    { targets: [ { deployment: closed } ], health: OFF }
  reset:     { targets: [ { deployment: reset } ], health: OFF }
  silent:    { targets: [ { deployment: silent } ], health: OFF }
  broken:    { targets: [ { deployment: broken } ], health: OFF }
  calling:   { targets: [ { deployment: calling } ], health: OFF }
  beside:    { targets: [ { deployment: beside } ] }
  late:      { targets: [ { deployment: late } ], health: OFF }
  refusing:  { targets: [ { deployment: refusing } ] }
  good:      { targets: [ { deployment: good } ] }
  odd:       { targets: [ { deployment: odd } ] }
  short:     { targets: [ { deployment: short } ] }
  haiku:     { targets: [ { deployment: haiku } ] }
  small:     { targets: [ { deployment: small } ] }
  vllm:      { targets: [ { deployment: vllm } ] }
models:
  failing:   { routes: [ { pools: [truncated, good] } ] }
  truncated: { routes: [ { pools: [truncated, good] } ], on_cut: replay }
  closed:    { routes: [ { pools: [closed, good] } ], on_cut: replay }
  reset:     { routes: [ { pools: [reset, good] } ], on_cut: replay }
  silent:    { routes: [ { pools: [silent, beside, good] } ], on_cut: replay }
  broken:    { routes: [ { pools: [broken, good] } ], on_cut: replay }
  twice:     { routes: [ { pools: [truncated, refusing, late, good] } ], on_cut: replay, retry: { attempts: 4 } }
  calling:   { routes: [ { pools: [calling, good] } ], on_cut: replay }
  odd:       { routes: [ { pools: [truncated, odd, good] } ], on_cut: replay }
  short:     { routes: [ { pools: [truncated, short, good] } ], on_cut: replay }
  once:      { routes: [ { pools: [truncated, good] } ], on_cut: replay, retry: { attempts: 1 } }
  alone:     { routes: [ { pools: [truncated] } ], on_cut: replay }
  haiku:     { routes: [ { pools: [truncated, good, haiku] } ], on_cut: prefill }
  small:     { routes: [ { pools: [truncated, small] } ], on_cut: prefill }
  vllm:      { routes: [ { pools: [truncated, vllm] } ], on_cut: prefill }
limits:
  - { name: tokens, tokens: 1000000, window: 1h }
  - { name: slots, concurrent: 50 }
"#;

/// Nothing is left out: each request meets the same.
const OFF: &str = "{ failures: 10000, error_percent: 100, least_requests: 10000 }";

fn policy() -> String {
    POLICY.replace("OFF", OFF)
}

const WHOLE: &str = "n:0 n:1 n:2 n:3 n:4 n:5 n:6 n:7 n:8 ";

async fn stream(caller: &Caller, request: CompleteRequest) -> anyhow::Result<Streamed> {
    let streamed = caller.stream(request).await;
    streamed.map_err(|(status, before)| status_after(&status, &before))
}

fn status_after(status: &tonic::Status, before: &Streamed) -> anyhow::Error {
    anyhow::anyhow!("{status} after {:?}", before.text)
}

/// The deployments whose answers the caller was sent, in order.
fn handed_on(route: &RouteTaken) -> Vec<&str> {
    let attempts = route.attempts.iter().filter(|it| it.handed_on);
    attempts.map(|it| it.deployment.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_off_is_gone_on_with_where_policy_says_so() -> anyhow::Result<()> {
    use AttemptOutcome::{Answered, ServerError, TimedOut, TransportError, Truncated};
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    for (model, outcome) in [
        ("truncated", Truncated),
        ("closed", TransportError),
        ("reset", TransportError),
        ("silent", TimedOut),
        ("broken", AttemptOutcome::Overloaded),
    ] {
        let streamed = stream(&caller, ask(model, "nonce=n")).await?;
        assert_eq!(streamed.text, WHOLE, "{model}");
        let route = streamed.route.unwrap_or_default();
        assert_eq!(handed_on(&route), [model, "good"]);
        // Another deployment of a provider that fell silent is not asked.
        let expected = [(model.to_owned(), outcome), ("good".to_owned(), Answered)];
        assert_eq!(attempts(Some(route)), expected);

        let reply = http.chat(&chat_stream(model, "nonce=n")).await?;
        let events = reply.events();
        assert_eq!(events.last(), Some(&"[DONE]"), "{model}: {events:?}");
        assert_eq!(text_of(&events), WHOLE, "{model}");
    }
    let streamed = stream(&caller, ask("twice", "nonce=n")).await?;
    assert_eq!(streamed.text, WHOLE);
    let route = streamed.route.unwrap_or_default();
    assert_eq!(handed_on(&route), ["truncated", "late", "good"]);
    let outcomes = [Truncated, ServerError, Truncated, Answered];
    let told: Vec<_> = attempts(Some(route)).into_iter().map(|it| it.1).collect();
    assert_eq!(told, outcomes);
    Ok(())
}

/// The text of the events of a stream.
fn text_of(events: &[&str]) -> String {
    let parsed = events
        .iter()
        .filter_map(|it| serde_json::from_str::<serde_json::Value>(it).ok());
    let texts = parsed.filter_map(|it| {
        let content = &it["choices"][0]["delta"]["content"];
        content.as_str().map(str::to_owned)
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_gone_on_with_is_an_error_as_before() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    for model in ["failing", "calling", "odd", "short", "once", "alone"] {
        let (status, before) = caller.stream(ask(model, "nonce=n")).await.unwrap_err();
        assert_eq!(caller::reason(&status), "ANSWER_TRUNCATED", "{model}");
        assert_eq!(before.text, "n:0 n:1 n:2 ", "{model}");
        let reply = http.chat(&chat_stream(model, "nonce=n")).await?;
        let events = reply.events();
        assert!(!events.contains(&"[DONE]"), "{model}");
        let last = events.last().copied().unwrap_or_default();
        assert!(last.contains("answer_truncated"), "{model}: {last}");
        assert_eq!(text_of(&events), "n:0 n:1 n:2 ", "{model}");
    }
    let logged = cluster.wait_requests(12).await?;
    let of = |start: &str| {
        let mut all = logged.iter().map(|it| it.attempts.as_str());
        all.find(|it| it.starts_with(start)).map(str::to_owned)
    };
    // An answer that is another one is nobody's fault, and no third is asked.
    let odd = logged.iter().filter(|it| it.attempts.contains("odd"));
    for it in odd {
        assert_eq!(it.attempts, "truncated:truncated odd:diverged");
    }
    assert_eq!(of("calling").as_deref(), Some("calling:truncated"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_can_go_on_with_a_text_is_asked_to_first() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let limited = |model| CompleteRequest {
        max_output_tokens: Some(100),
        ..ask(model, "nonce=a-long-nonce")
    };
    let whole = expected_content("a-long-nonce", 9);
    for (model, sent) in [("haiku", 6), ("vllm", 6), ("small", 9)] {
        let streamed = stream(&caller, limited(model)).await?;
        assert_eq!(streamed.text, whole, "{model}");
        let route = streamed.route.unwrap_or_default();
        assert_eq!(handed_on(&route), ["truncated", model]);
        let entry = entry(&cluster, model)?;
        assert_eq!(entry.chunks_sent, sent, "{model}");
        // What was said is part of the cap.
        let cap = entry.max_tokens.unwrap_or_default();
        assert!((60..100).contains(&cap), "{model}: {cap}");
    }
    // JSON cannot be begun by another: it is asked for anew.
    let json = CompleteRequest {
        response_format: Some(json_object()),
        ..limited("vllm")
    };
    assert_eq!(stream(&caller, json).await?.text, whole);
    assert_eq!(entry(&cluster, "vllm")?.chunks_sent, 9);
    Ok(())
}

fn json_object() -> tollgate_proto::completion::v1::ResponseFormat {
    use tollgate_proto::completion::v1::{JsonObjectFormat, ResponseFormat, response_format};
    ResponseFormat {
        format: Some(response_format::Format::JsonObject(JsonObjectFormat {})),
    }
}

/// The last request for a deployment.
fn entry(cluster: &Cluster, label: &str) -> anyhow::Result<Entry> {
    let label = format!("{label}@");
    let mut entries = cluster.provider.ledger().into_iter().rev();
    let found = entries.find(|it| it.model.starts_with(&label));
    found.ok_or_else(|| anyhow::anyhow!("nobody asked for {label}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_parts_are_charged_and_their_sum_is_told() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    for model in ["truncated", "haiku"] {
        let streamed = stream(&caller, ask(model, "nonce=n")).await?;
        let second = if model == "haiku" { "haiku" } else { "good" };
        let (first, second) = (entry(&cluster, "truncated")?, entry(&cluster, second)?);
        assert_eq!(first.outcome, Outcome::Cut);
        let usage = streamed.usage.unwrap_or_default();
        // The first told nothing: its three words are counted, two tokens or more each.
        let of_first = usage.output_tokens - second.completion_tokens;
        assert!((6..30).contains(&of_first), "{model}: {usage:?}");
        let input = usage.input_tokens - second.prompt_tokens;
        assert!((3..60).contains(&input), "{model}: {usage:?}");
        let before = usize::from(model == "haiku");
        let logged = cluster.wait_requests(before + 1).await?.pop();
        let tokens = logged.as_ref().map(|it| it.tokens);
        assert_eq!(tokens, Some(usage.input_tokens + usage.output_tokens));
        let rate = if model == "haiku" { 4_000 } else { 3_000 };
        let cost = input * 1_000 + of_first * 2_000;
        let cost = cost + second.prompt_tokens * 1_000 + second.completion_tokens * rate;
        assert_eq!(logged.map(|it| it.cost), Some(cost), "{model}");
    }
    // What both used is what the limit has settled, and nothing is held any more.
    let used: u64 = cluster.requests()?.iter().map(|it| it.tokens).sum();
    let settled = eventually("the limit is settled", PATIENCE, async || {
        let shown = cluster.tollgate_ok(&["limits", "-o", "json"])?;
        let shown: serde_json::Value = serde_json::from_str(&shown)?;
        let mut limits = shown["limits"].as_array().into_iter().flatten();
        let tokens = limits.find(|it| it["counter"] == "tokens");
        let spent = tokens.and_then(|it| it["spent"].as_u64());
        Ok((spent == Some(used)).then_some(()))
    });
    settled.await?;
    Ok(())
}
