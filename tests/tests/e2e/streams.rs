//! Streams end as what they are: whole, broken, or abandoned by their caller.

use std::time::Duration;

use anyhow::Context;
use http::Method;
use http_body_util::BodyExt;
use tollgate_proto::completion::v1::{StreamCompleteResponse, part_delta};
use tollgate_tests::provider::{Outcome, expected_content};
use tonic::Code;

use super::caller::{self, ask};
use super::cluster::{Cluster, PATIENCE, Store};
use super::condition::eventually;
use super::http::{Http, chat_stream};

/// Ways in which a provider breaks a stream after content.
const BROKEN: [&str; 5] = [
    "truncate-after-3",
    "close-after-3",
    "reset-after-3",
    "hang-after-3",
    "error-in-stream-3",
];
/// Oddities that do not make a stream incomplete.
const WHOLE: [&str; 6] = [
    "ok-8",
    "no-done",
    "dup-usage",
    "malformed-line",
    "comments",
    "crlf",
];

/// A model for each behaviour of the provider, under its name.
fn policy() -> String {
    use std::fmt::Write;
    let (mut deployments, mut pools, mut models) = (String::new(), String::new(), String::new());
    for name in BROKEN
        .into_iter()
        .chain(WHOLE)
        .chain(["ok-200x20ms", "ok-30x20ms"])
    {
        // Writing to a String cannot fail.
        let _ = writeln!(deployments, "  {name}: {{ provider: mock, model: {name} }}");
        let _ = writeln!(
            pools,
            "  {name}: {{ targets: [ {{ deployment: {name} }} ] }}"
        );
        let _ = writeln!(models, "  {name}: {{ routes: [ {{ pools: [{name}] }} ] }}");
    }
    format!(
        "providers:\n  mock: {{ kind: openai_compatible, base_url: \"PROVIDER\", internal: true, timeouts: {{ idle: 500ms }} }}\n\
         deployments:\n{deployments}pools:\n{pools}models:\n{models}\
         limits: [ {{ name: tokens, per: [key], tokens: 1000000, window: 1h }} ]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_stream_is_an_error_on_both_edges() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let grpc = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    for name in BROKEN {
        let (status, before) = grpc.stream(ask(name, "nonce=n")).await.unwrap_err();
        assert_eq!(
            caller::reason(&status),
            "ANSWER_TRUNCATED",
            "{name}: {status}"
        );
        assert_eq!(status.code(), Code::DataLoss, "{name}");
        assert!(
            before.text.starts_with("n:0 n:1 "),
            "{name}: {:?}",
            before.text
        );

        // An SDK that reads to the end must meet the error: an event of that kind, and no `[DONE]`.
        let reply = http.chat(&chat_stream(name, "nonce=n")).await?;
        let events = reply.events();
        assert!(!events.contains(&"[DONE]"), "{name}: {events:?}");
        let last = events.last().copied().unwrap_or_default();
        assert!(last.contains("\"error\""), "{name}: {events:?}");
        assert!(last.contains("answer_truncated"), "{name}: {last}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_stream_that_is_complete_is_a_success() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let grpc = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    for name in WHOLE {
        let answer = grpc.stream(ask(name, "nonce=n")).await;
        let answer = answer.map_err(|(status, _)| status)?;
        assert_eq!(answer.text, "n:0 n:1 n:2 n:3 n:4 n:5 n:6 n:7 ", "{name}");
        let usage = answer.usage.unwrap_or_default();
        assert_eq!(usage.output_tokens, 8, "{name}");

        let reply = http.chat(&chat_stream(name, "nonce=n")).await?;
        let events = reply.events();
        assert_eq!(events.last(), Some(&"[DONE]"), "{name}: {events:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_is_noticed_by_the_provider_and_settled() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let grpc = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);

    let mut stream = grpc.open(ask("ok-200x20ms", "nonce=grpc")).await?;
    for _ in 0..4 {
        stream.message().await?;
    }
    drop(stream);
    gone(&cluster, "grpc").await?;

    let body = chat_stream("ok-200x20ms", "nonce=http").to_string();
    let path = "/v1/chat/completions";
    let mut reply = http.open(Method::POST, path, body).await?;
    for _ in 0..4 {
        let frame = reply.body_mut().frame().await;
        assert!(frame.is_some_and(|frame| frame.is_ok()));
    }
    drop(reply);
    drop(http);
    gone(&cluster, "http").await?;

    // Both are settled at what was streamed: far below what was reserved, and not nothing.
    for request in cluster.wait_requests(2).await? {
        assert_eq!(request.status, "CANCELLED");
        assert!(request.admitted);
        let reserved = request.limits.first().map_or(0, |taken| taken.units);
        assert!(request.tokens > 0 && request.tokens < 150, "{request:?}");
        assert!(reserved > 4000, "{request:?}");
    }
    Ok(())
}

/// The provider sees the disconnect within 100 ms.
async fn gone(cluster: &Cluster, nonce: &str) -> anyhow::Result<()> {
    let ((), took) = eventually("the provider sees the cancel", PATIENCE, async || {
        let ledger = cluster.provider.ledger();
        let entry = ledger.iter().find(|entry| entry.nonce == nonce);
        Ok(entry
            .is_some_and(|entry| entry.outcome == Outcome::Cancelled)
            .then_some(()))
    })
    .await?;
    assert!(took < Duration::from_millis(100), "{nonce}: {took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_to_end_finishes_its_streams() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let grpc = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    let path = "/v1/chat/completions";
    let mut over_grpc = grpc.open(ask("ok-30x20ms", "nonce=grpc")).await?;
    let body = chat_stream("ok-30x20ms", "nonce=http").to_string();
    let over_http = http.open(Method::POST, path, body).await?;
    over_grpc.message().await?;

    let finished = async {
        let mut last = None;
        while let Some(piece) = over_grpc.message().await? {
            last = Some(piece);
        }
        let body = over_http.into_body().collect().await?.to_bytes();
        anyhow::Ok((last, String::from_utf8(body.to_vec())?))
    };
    let (finished, ended) = tokio::join!(finished, cluster.nodes[0].stop());
    let (last, body) = finished?;
    let usage = last.and_then(|piece| piece.usage).unwrap_or_default();
    assert_eq!(usage.output_tokens, 30, "the stream over gRPC is whole");
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    ended?;
    assert!(grpc.complete("ok-8", "nonce=late").await.is_err());
    Ok(())
}

/// Chunks of an answer of which buffers hold a small part, and the length of each: 30 MB.
const LONG: u32 = 30_000;
const LENGTH: usize = 1000;

const READERS: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { long: { provider: mock, model: ok-30000 }, short: { provider: mock, model: ok } }
pools:       { long: { targets: [ { deployment: long } ] }, short: { targets: [ { deployment: short } ] } }
models:
  long:  { routes: [ { pools: [long] } ], max_output_tokens: 100000 }
  short: { routes: [ { pools: [short] } ] }
"#;

/// What a node holds for readers that lag, bytes: far less than their answers.
const MOST_HELD: u64 = 16 << 20;

fn text_of(message: StreamCompleteResponse) -> String {
    let parts = message.choices.into_iter().flat_map(|it| it.parts);
    let texts = parts.filter_map(|part| match part.delta {
        Some(part_delta::Delta::Text(text)) => Some(text),
        _ => None,
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_lags_holds_up_its_provider_and_gets_fewer_and_larger_pieces()
-> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, READERS).await?;
    let key = cluster.key("acme/a").await?;
    let grpc = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    grpc.complete("short", "nonce=first").await?;
    let node = cluster.nodes[0].process.as_ref().context("the node runs")?;
    let before = node.rss()?;

    let [long_g, long_h] = ["g", "h"].map(|it| it.repeat(LENGTH));
    let nonce = |it: &str| format!("nonce={it}");
    let mut over_grpc = grpc.open(ask("long", &nonce(&long_g))).await?;
    let first = over_grpc.message().await?;
    let mut text = text_of(first.context("a first message")?);
    let body = chat_stream("long", &nonce(&long_h)).to_string();
    let path = "/v1/chat/completions";
    let mut over_http = http.open(Method::POST, path, body).await?;
    over_http
        .body_mut()
        .frame()
        .await
        .context("a first frame")??;
    // Nobody reads them while others are served, and so nobody writes them either.
    for _ in 0..100 {
        grpc.complete("short", "nonce=other").await?;
    }
    let unfinished = cluster.provider.ledger().into_iter();
    let unfinished = unfinished.filter(|it| it.outcome == Outcome::InFlight);
    let mut unfinished: Vec<_> = unfinished.map(|it| it.nonce).collect();
    unfinished.sort();
    assert_eq!(unfinished, [&*long_g, &*long_h]);
    let held = node.rss()?.saturating_sub(before);
    assert!(held < MOST_HELD, "{held} bytes");

    let mut pieces = 1;
    while let Some(message) = over_grpc.message().await? {
        pieces += 1;
        text.push_str(&text_of(message));
    }
    assert!(text == expected_content(&long_g, LONG), "the text is whole");
    assert!(pieces < LONG / 5, "{pieces} messages");
    let rest = over_http.into_body().collect().await?.to_bytes();
    let rest = String::from_utf8(rest.to_vec())?;
    assert!(rest.ends_with("data: [DONE]\n\n"), "the stream is whole");
    let last = format!("{long_h}:{} \"", LONG - 1);
    assert!(rest.contains(&last), "so is its text");
    let events = rest.matches("data: ").count();
    assert!(events < LONG as usize / 5, "{events} events");
    Ok(())
}
