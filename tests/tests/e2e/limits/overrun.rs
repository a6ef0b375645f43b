//! Streams that outgrow what a limit holds for them.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tollgate_proto::completion::v1::{CompleteRequest, FinishReason, StreamCompleteResponse};
use tollgate_tests::provider::{Entry, Outcome};

use crate::caller::{self, Caller, ask};
use crate::cluster::{Cluster, Key, PATIENCE, Store};
use crate::condition::eventually;
use crate::http::Http;

/// Output tokens that the limit has.
const LIMIT: u64 = 1_000;
/// Pieces of the long answer; its tokens are more than the limit has.
const PIECES: u32 = 600;

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments: { brief: { provider: mock, model: ok-4 }, long: { provider: mock, model: "usage-lies+ok-600x4ms" } }
pools:       { brief: { targets: [ { deployment: brief } ] }, long: { targets: [ { deployment: long } ] } }
models:
  chat:
    routes: [ { when: "request.metadata.long == 'yes'", pools: [long] }, { pools: [brief] } ]
    max_output_tokens: 100000
limits:      [ { name: output, per: [key], output_tokens: 1000, window: 1h, reserve: expected, on_overrun: MODE } ]
"#;

fn asks(long: bool, most: u32) -> CompleteRequest {
    let mut request = CompleteRequest {
        max_output_tokens: Some(most),
        ..ask("chat", "nonce=grow hello")
    };
    if long {
        request.metadata.insert("long".to_owned(), "yes".to_owned());
    }
    request
}

/// A node that knows answers to be brief.
async fn experienced(mode: &str) -> anyhow::Result<(Cluster, Key)> {
    let cluster = Cluster::start(Store::Embedded, 1, &POLICY.replace("MODE", mode)).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    for _ in 0..10 {
        caller.send(asks(false, 10)).await?;
    }
    Ok((cluster, key))
}

/// All pieces of a long answer.
async fn long_answer(caller: &Caller) -> anyhow::Result<Vec<StreamCompleteResponse>> {
    let mut stream = caller.open(asks(true, 90_000)).await?;
    let mut pieces = Vec::new();
    while let Some(piece) = stream.message().await? {
        pieces.push(piece);
    }
    Ok(pieces)
}

fn finish_of(pieces: &[StreamCompleteResponse]) -> Option<FinishReason> {
    let choices = pieces.iter().flat_map(|piece| &piece.choices);
    let mut reasons = choices.map(|choice| choice.finish_reason());
    reasons.find(|reason| *reason != FinishReason::Unspecified)
}

/// How the provider saw the long answer end.
async fn at_the_provider(cluster: &Cluster) -> anyhow::Result<Entry> {
    let ended = eventually("the provider sees the end", PATIENCE, async || {
        let ledger = cluster.provider.ledger();
        let last = ledger.into_iter().next_back();
        Ok(last.filter(|entry| entry.stream && entry.outcome != Outcome::InFlight))
    });
    Ok(ended.await?.0)
}

/// What the control plane has as spent of the limit, once that is so much.
async fn spent(cluster: &Cluster, expected: u64) -> anyhow::Result<()> {
    eventually("what was used is settled once", PATIENCE, async || {
        let text = cluster.tollgate_ok(&["limits", "--output", "json"])?;
        let all: serde_json::Value = serde_json::from_str(&text)?;
        let spent = all["limits"][0]["spent"].as_u64();
        Ok((spent == Some(expected)).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_outgrows_a_limit_is_ended_and_says_which() -> anyhow::Result<()> {
    let (cluster, key) = experienced("stop").await?;
    let caller = cluster.caller(0, &key)?;
    let pieces = long_answer(&caller).await?;
    assert_eq!(finish_of(&pieces), Some(FinishReason::Length));
    let last = pieces.last().cloned().unwrap_or_default();
    assert_eq!(last.stopped_by, "output");
    let usage = last.usage.unwrap_or_default();
    // All that there is was used, and hardly more: what one read brings.
    let before = 10 * 4;
    let used = before + usage.output_tokens;
    assert!((LIMIT..LIMIT + LIMIT / 5).contains(&used), "{used}");
    let entry = at_the_provider(&cluster).await?;
    assert_eq!(entry.outcome, Outcome::Cancelled);
    assert!(entry.chunks_sent < PIECES, "{entry:?}");

    let refused = caller.send(asks(false, 10)).await.unwrap_err();
    assert_eq!(caller::reason(&refused), "LIMIT_EXCEEDED");
    spent(&cluster, used).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_outgrows_a_limit_goes_on_as_debt_where_policy_says_so() -> anyhow::Result<()>
{
    let (cluster, key) = experienced("finish").await?;
    let caller = cluster.caller(0, &key)?;
    let pieces = long_answer(&caller).await?;
    assert_eq!(finish_of(&pieces), Some(FinishReason::Stop));
    let last = pieces.last().cloned().unwrap_or_default();
    assert_eq!(last.stopped_by, "");
    let entry = at_the_provider(&cluster).await?;
    assert_eq!(entry.outcome, Outcome::Completed);
    let refused = caller.send(asks(false, 10)).await.unwrap_err();
    assert_eq!(caller::reason(&refused), "LIMIT_EXCEEDED");
    spent(&cluster, 10 * 4 + entry.completion_tokens).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_over_http_are_told_as_well() -> anyhow::Result<()> {
    let (cluster, key) = experienced("stop").await?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    let body = json!({
        "model": "chat", "stream": true, "max_completion_tokens": 90_000,
        "metadata": { "long": "yes" },
        "messages": [{ "role": "user", "content": "nonce=grow hello" }],
    });
    let reply = tokio::time::timeout(Duration::from_secs(20), http.chat(&body)).await??;
    assert_eq!(reply.status, StatusCode::OK);
    for part in ["\"finish_reason\":\"length\"", "\"stopped_by\":\"output\""] {
        assert!(reply.body.contains(part), "{part} in {}", reply.body);
    }
    assert!(reply.body.trim_end().ends_with("data: [DONE]"));
    Ok(())
}
