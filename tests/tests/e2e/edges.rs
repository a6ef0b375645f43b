//! What callers are told when something is wrong with their request, over gRPC and HTTP.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tollgate_proto::completion::v1::{CompleteRequest, Message, Role};
use tonic::Code;
use tonic_types::StatusExt;

use super::caller::{self, Caller, ask};
use super::cluster::{Cluster, PATIENCE, Store};
use super::condition::eventually;
use super::http::{Http, Reply, chat, chat_stream};

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: mock, model: ok-4, price: { input: "1", output: "2" } } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { aliases: [gpt-4o], routes: [ { pools: [main] } ], max_output_tokens: 100 } }
limits:
  - { name: three, per: [key], requests: 3, window: 1h }
  - { name: tokens, per: [key], tokens: 100000, window: 1h }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_which_limit_and_when_to_come_back() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    for _ in 0..3 {
        let reply = http.chat(&chat("gpt-4o", "hello")).await?;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        assert_eq!(reply.header("x-ratelimit-limit-requests"), "3");
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), "100000");
        // As far as the node knows: what other nodes hold is not told to it at once.
        let remaining: u64 = reply.header("x-ratelimit-remaining-requests").parse()?;
        assert!(remaining < 3, "{remaining}");
    }
    for body in [chat("chat", "hello"), chat_stream("chat", "hello")] {
        let reply = http.chat(&body).await?;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = reply.header("retry-after").parse()?;
        assert!((1..=3600).contains(&wait), "{wait}");
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), "0");
        let error = &reply.json()["error"];
        assert_eq!(error["code"], "rate_limit_exceeded", "{error}");
        assert_eq!(error["type"], "rate_limit_error");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("`three`"), "{message}");
    }
    let status = cluster
        .caller(0, &key)?
        .complete("chat", "hello")
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(caller::reason(&status), "LIMIT_EXCEEDED");
    assert!(caller::refused_by(&status)[0].contains("three"));
    assert!(caller::retry_delay(&status).is_some());
    assert_eq!(cluster.provider.stats().requests, 3);

    let limits: Value =
        serde_json::from_str(&cluster.tollgate_ok(&["limits", "three", "-o", "json"])?)?;
    let counter = &limits["limits"][0];
    assert_eq!(counter["limit"], 3, "{limits}");
    Ok(())
}

/// A request that is wrong: what it is, its body, and what the reply must name.
type Wrong = (&'static str, Value, &'static str);

fn with(name: &str, value: Value) -> Value {
    let mut body = chat("chat", "hello");
    body[name] = value;
    body
}

/// Requests that have no sense.
fn malformed() -> Vec<Wrong> {
    let no_model = json!({"messages": [{"role": "user", "content": "hello"}]});
    let no_role = json!([{"role": "boss", "content": "x"}]);
    vec![
        ("a list", json!([]), ""),
        ("no model", no_model, "model"),
        ("no messages", json!({"model": "chat"}), "messages"),
        ("empty messages", with("messages", json!([])), "messages"),
        ("an unknown role", with("messages", no_role), "role"),
        (
            "a text for messages",
            with("messages", json!("hello")),
            "messages",
        ),
    ]
}

/// Requests that ask for what cannot be had.
fn out_of_range() -> Vec<Wrong> {
    vec![
        (
            "a text for a number",
            with("temperature", json!("hot")),
            "temperature",
        ),
        (
            "a negative maximum",
            with("max_tokens", json!(-1)),
            "max_tokens",
        ),
        ("too large a maximum", with("max_tokens", json!(101)), "max"),
        ("no answers", with("n", json!(0)), "n"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_request_is_told_what_is_wrong_with_it() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    for (what, body, named) in malformed().into_iter().chain(out_of_range()) {
        let reply = http.chat(&body).await?;
        let status = StatusCode::BAD_REQUEST;
        assert_eq!(reply.status, status, "{what}: {}", reply.body);
        says(&reply, what, named);
    }
    let path = "/v1/chat/completions";
    let reply = http.send(Method::POST, path, "{").await?;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    says(&reply, "no JSON", "");
    let reply = http.chat(&chat("nobody", "hello")).await?;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    says(&reply, "an unknown model", "nobody");
    let reply = http.send(Method::GET, "/v1/nothing", "").await?;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    says(&reply, "unknown path", "/v1/chat/completions");
    let reply = http.send(Method::GET, "/v1/models", "").await?;
    assert_eq!(reply.json()["data"][0]["id"], "chat", "{}", reply.body);
    // Nothing that was refused has reached the provider or counts against a limit.
    assert_eq!(cluster.provider.stats().requests, 0);
    for _ in 0..3 {
        assert_eq!(
            http.chat(&chat("chat", "hello")).await?.status,
            StatusCode::OK
        );
    }
    Ok(())
}

#[track_caller]
fn says(reply: &Reply, what: &str, named: &str) {
    let error = &reply.json()["error"];
    let message = error["message"].as_str().unwrap_or_default();
    let param = error["param"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "{what}: {}", reply.body);
    let said = format!("{message} {param}");
    assert!(said.contains(named), "{what}: `{named}` in {}", reply.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_valid_key_gets_in() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let url = &cluster.nodes[0].url;
    let http = Http::new(url, &key.secret);
    for authorization in [
        None,
        Some("Bearer tg_nobody"),
        Some("Basic x"),
        Some("Bearer "),
    ] {
        let reply = http.clone().authorized(authorization);
        let reply = reply.chat(&chat("chat", "hello")).await?;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{authorization:?}");
        assert_eq!(reply.json()["error"]["code"], "invalid_api_key");
    }
    let status = Caller::new(url, "tg_nobody")?
        .complete("chat", "hello")
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(caller::reason(&status), "KEY_INVALID");
    // A node that has just been told there is no such key learns at once when there is.
    let last = http.chat(&chat("chat", "hello")).await?;
    let last = last.headers["x-request-id"].to_str()?;
    let (log, _) = eventually("the last request is logged", PATIENCE, async || {
        let log = cluster.node_log(0)?;
        Ok(log.contains(last).then_some(log))
    })
    .await?;
    assert!(!log.contains(&key.secret), "the log shows a key");
    assert!(
        !log.contains("tg_nobody"),
        "the log shows what might be a key"
    );
    assert!(!log.contains("hello"), "the log shows a prompt");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_names_every_wrong_field() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let wrong = CompleteRequest {
        model: "chat".to_owned(),
        messages: vec![Message {
            role: Role::Unspecified.into(),
            ..Message::default()
        }],
        temperature: Some(9.0),
        top_p: Some(-1.0),
        ..CompleteRequest::default()
    };
    let status = caller.send(wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let faults = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations);
    let fields: Vec<String> = faults
        .unwrap_or_default()
        .into_iter()
        .map(|v| v.field)
        .collect();
    for field in ["messages[0].role", "temperature", "top_p"] {
        assert!(fields.iter().any(|f| f == field), "{field} in {fields:?}");
    }
    let answer = caller.complete("chat", "nonce=n").await?;
    assert_eq!(caller::text(&answer), "n:0 n:1 n:2 n:3 ");
    assert_eq!(answer.model, "chat");
    let (usage, cost) = (
        answer.usage.unwrap_or_default(),
        answer.cost.unwrap_or_default(),
    );
    assert_eq!(usage.output_tokens, 4);
    // USD 1 per million input tokens is 1,000 billionths each, output twice that.
    let expected = usage.input_tokens * 1000 + usage.output_tokens * 2000;
    assert_eq!(cost.nano_usd, Some(i64::try_from(expected)?));
    let capped = CompleteRequest {
        max_output_tokens: Some(2),
        ..ask("chat", "nonce=n")
    };
    assert_eq!(caller::text(&caller.send(capped).await?), "n:0 n:1 ");
    Ok(())
}
