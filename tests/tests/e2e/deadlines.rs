//! Requests end when their callers wait no longer, streams too.

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Code;

use super::caller::{Caller, ask};
use super::cluster::{Cluster, PATIENCE, Store};
use super::condition::eventually;
use super::http::{Http, chat, chat_stream};

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments:
  flowing: { provider: mock, model: flowing@ok-2000x10ms }
  stuck:   { provider: mock, model: stuck@hang-after-3 }
  silent:  { provider: mock, model: silent@hang }
pools:
  flowing: { targets: [ { deployment: flowing } ] }
  stuck:   { targets: [ { deployment: stuck } ] }
  silent:  { targets: [ { deployment: silent } ] }
models:
  flowing: { routes: [ { pools: [flowing] } ] }
  stuck:   { routes: [ { pools: [stuck] } ] }
  silent:  { routes: [ { pools: [silent] } ] }
"#;

/// How long callers wait, one after the other.
const FIRST: Duration = Duration::from_millis(250);
const STEP: Duration = Duration::from_millis(35);
const ROUNDS: u32 = 10;

/// How late half of all requests may end at most, after timers of this process that were set with them.
const MOST_LATE: Duration = Duration::from_millis(50);

/// How much later than a timer something ended that began with it. A machine that is late makes both late.
async fn late(
    what: &'static str,
    limit: Duration,
    request: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<(&'static str, Duration)> {
    let timer = async {
        tokio::time::sleep(limit).await;
        anyhow::Ok(Instant::now())
    };
    let ended = async {
        request.await?;
        anyhow::Ok(Instant::now())
    };
    let (timer, ended) = tokio::try_join!(timer, ended)?;
    Ok((what, ended.saturating_duration_since(timer)))
}

async fn over_grpc(caller: Caller, model: &str, limit: Duration) -> anyhow::Result<()> {
    let streamed = caller.stream_within(ask(model, "nonce=n"), limit).await;
    let Err((status, before)) = streamed else {
        anyhow::bail!("{model} came to an end");
    };
    assert_eq!(status.code(), Code::DeadlineExceeded, "{model}: {status}");
    assert!(before.text.starts_with("n:0 "), "{model}");
    Ok(())
}

async fn over_http(caller: Http, body: Value, limit: Duration) -> anyhow::Result<()> {
    let caller = caller.with("x-request-timeout-ms", limit.as_millis().to_string());
    let reply = caller.chat(&body).await?;
    assert!(
        reply.body.contains("deadline_exceeded"),
        "{body}: {}",
        reply.body
    );
    assert!(!reply.body.contains("[DONE]"), "{body}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_end_within_fifty_milliseconds_of_their_deadlines() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    let mut requests = JoinSet::new();
    for round in 0..ROUNDS {
        let limit = FIRST + STEP * round;
        for model in ["flowing", "stuck"] {
            let request = over_grpc(caller.clone(), model, limit);
            requests.spawn(late("a stream over gRPC", limit, request));
            let request = over_http(http.clone(), chat_stream(model, "nonce=n"), limit);
            requests.spawn(late("a stream over HTTP", limit, request));
        }
        let request = over_http(http.clone(), chat("silent", "nonce=n"), limit);
        requests.spawn(late("a whole answer", limit, request));
    }
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    while let Some(ended) = requests.join_next().await {
        let (what, late) = ended??;
        all.entry(what).or_default().push(late);
    }
    assert_eq!(all.len(), 3);
    for (what, mut late) in all {
        late.sort_unstable();
        assert!(late[late.len() / 2] < MOST_LATE, "{what}: {late:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_does_not_read_keeps_no_provider_at_work_beyond_its_deadline()
-> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &POLICY.replace("x10ms", "")).await?;
    let key = cluster.key("acme/a").await?;
    let limit = Duration::from_millis(400);
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    let http = http.with("x-request-timeout-ms", limit.as_millis().to_string());
    // More than all buffers on the way hold.
    let mut body = chat_stream("flowing", &format!("nonce={}", "n".repeat(10_000)));
    body["max_tokens"] = 4096.into();
    let began = Instant::now();
    let path = "/v1/chat/completions";
    let mut reply = http
        .open(http::Method::POST, path, body.to_string())
        .await?;
    reply.body_mut().frame().await.transpose()?;
    let over = eventually("the provider is told", PATIENCE, async || {
        Ok((cluster.provider.stats().in_flight == 0).then_some(()))
    });
    over.await?;
    assert!(began.elapsed() >= limit);
    assert_eq!(cluster.provider.stats().cancelled, 1);
    let logged = cluster.wait_requests(1).await?;
    assert_ne!(logged[0].status, "OK");
    Ok(())
}
