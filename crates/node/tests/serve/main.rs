//! The node in this process against a control plane in memory: both edges, limits, snapshot, drain.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "what fails here is a test"
)]

mod control;
mod ends;
mod frames;
mod gateway;
mod overload;
mod providers;
mod thoughts;

use std::time::Duration;

use gateway::{Gateway, KEY, ask, chat};
use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tollgate_proto::completion::v1::{AttemptOutcome, FinishReason, UsageSource, part, part_delta};
use tollgate_proto::node::v1::stream_config_request::Message as Heard;
use tonic::Code;
use tonic_types::StatusExt;

const POLICY: &str = r#"
providers:
  fake:   { kind: simulated, simulated: { output_tokens: 5 } }
  slow:   { kind: simulated, simulated: { output_tokens: 1000, token_interval: 10ms } }
  broken: { kind: simulated, simulated: { fault: { kind: status, status: 500 } } }
  cut:    { kind: simulated, simulated: { output_tokens: 8, fault: { kind: truncate, after_tokens: 3 } } }
  mute:   { kind: simulated, simulated: { fault: { kind: hang } } }
deployments:
  fake:   { provider: fake, model: fake-1, price: { input: "1", output: "2" } }
  slow:   { provider: slow, model: slow-1 }
  broken: { provider: broken, model: broken-1 }
  cut:    { provider: cut, model: cut-1 }
  mute:   { provider: mute, model: mute-1 }
pools:
  fake:   { targets: [ { deployment: fake } ] }
  slow:   { targets: [ { deployment: slow } ] }
  broken: { targets: [ { deployment: broken } ] }
  cut:    { targets: [ { deployment: cut } ] }
  mute:   { targets: [ { deployment: mute } ] }
models:
  chat:     { aliases: [gpt-x], routes: [ { pools: [fake] } ], max_output_tokens: 100 }
  slow:     { routes: [ { pools: [slow] } ] }
  failover: { routes: [ { pools: [broken, fake] } ] }
  patient:  { routes: [ { pools: [mute, fake] } ], retry: { attempts: 2, per_attempt_timeout: 50ms } }
  broken:   { routes: [ { pools: [broken] } ] }
  cut:      { routes: [ { pools: [cut] } ] }
  mute:     { routes: [ { pools: [mute] } ], deadline: 200ms }
"#;

fn with_limits(limits: &str) -> String {
    format!("{POLICY}limits:\n{limits}")
}

#[tokio::test]
async fn a_whole_answer_over_both_edges() {
    let gateway = Gateway::start(POLICY).await;
    let answer = gateway
        .grpc()
        .await
        .complete(ask("gpt-x"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.model, "chat");
    let choice = &answer.choices[0];
    assert_eq!(choice.finish_reason(), FinishReason::Stop);
    let part = &choice.message.as_ref().unwrap().parts[0];
    assert!(matches!(&part.part, Some(part::Part::Text(text)) if !text.is_empty()));
    let usage = answer.usage.unwrap();
    assert_eq!(
        (usage.output_tokens, usage.source()),
        (5, UsageSource::Provider)
    );
    let cost = answer.cost.unwrap().nano_usd.unwrap();
    assert_eq!(
        cost,
        i64::try_from(usage.input_tokens * 1000 + 5 * 2000).unwrap()
    );
    let route = answer.route.unwrap();
    assert_eq!(
        (route.deployment.as_str(), route.attempts.len()),
        ("fake", 1)
    );

    let response = gateway.post(&chat("chat", false)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("x-request-id"));
    let body: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "chat");
    assert_eq!(body["usage"]["completion_tokens"], 5);
}

#[tokio::test]
async fn a_stream_over_both_edges() {
    let gateway = Gateway::start(POLICY).await;
    let mut stream = gateway
        .grpc()
        .await
        .stream_complete(ask("chat"))
        .await
        .unwrap()
        .into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        messages.push(message);
    }
    assert!(messages[0].id.starts_with("tg-"));
    let finished = messages
        .iter()
        .flat_map(|message| &message.choices)
        .filter(|choice| choice.finish_reason != 0);
    assert_eq!(finished.count(), 1);
    let last = messages.last().unwrap();
    assert_eq!(last.usage.as_ref().unwrap().output_tokens, 5);
    assert!(last.cost.is_some() && last.route.is_some());

    let response = gateway.post(&chat("chat", true)).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(text.contains(r#""finish_reason":"stop""#), "{text}");
}

#[tokio::test]
async fn keys_are_asked_for() {
    let gateway = Gateway::start(POLICY).await;
    let mut client = gateway.grpc().await;
    let mut request = ask("chat");
    request.metadata_mut().remove("authorization");
    assert_eq!(
        client.complete(request).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let mut request = ask("chat");
    request
        .metadata_mut()
        .insert("authorization", "Bearer tg_other".parse().unwrap());
    let status = client.complete(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "KEY_INVALID"
    );

    assert!(client.complete(ask("chat")).await.is_ok());
    gateway.control.revoke(KEY);
    let refused = async {
        while client.complete(ask("chat")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), refused)
        .await
        .expect("revoked in time");
}

#[tokio::test]
async fn a_limit_admits_exactly_its_amount() {
    let limits = "  - { name: per-key, per: [key], requests: 20, window: 1h }\n";
    let gateway = Gateway::start(&with_limits(limits)).await;
    let request = || async {
        let response = gateway.post(&chat("chat", false)).send().await.unwrap();
        (
            response.status().as_u16(),
            response.headers().clone(),
            response.text().await.unwrap(),
        )
    };
    let answers = futures_util::future::join_all((0..60).map(|_| request())).await;
    let (admitted, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(status, ..)| *status == 200);
    assert_eq!(admitted.len(), 20);
    assert_eq!(admitted[0].1["x-ratelimit-limit-requests"], "20");
    for (status, headers, body) in refused {
        assert_eq!(status, 429, "{body}");
        assert!(headers.contains_key("retry-after"));
        assert_eq!(headers["x-ratelimit-remaining-requests"], "0");
        assert!(body.contains("per-key"), "{body}");
    }
    let status = gateway
        .grpc()
        .await
        .complete(ask("chat"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "LIMIT_EXCEEDED");
    assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    assert_eq!(
        details.quota_failure().unwrap().violations[0].subject,
        "per-key/key=k1"
    );
}

#[tokio::test]
async fn tokens_are_reserved_and_settled_at_the_real_usage() {
    let limits = "  - { name: tokens, tokens: 500, window: 1h }\n";
    let gateway = Gateway::start(&with_limits(limits)).await;
    let mut client = gateway.grpc().await;
    // Each reserves more than 100 and uses few: without settling, the fifth would be refused.
    let mut used = 0;
    for _ in 0..10 {
        let usage = client
            .complete(ask("chat"))
            .await
            .unwrap()
            .into_inner()
            .usage
            .unwrap();
        used += usage.input_tokens + usage.output_tokens;
    }
    // The owner counts what was used.
    gateway
        .control
        .wait_used("tokens", |units| units == used)
        .await;
    // One that can never fit is told so.
    let mut request = ask("slow");
    request.get_mut().max_output_tokens = Some(1000);
    let status = client.complete(request).await.unwrap_err();
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "LIMIT_TOO_SMALL"
    );
}

#[tokio::test]
async fn the_next_pool_answers() {
    let gateway = Gateway::start(POLICY).await;
    let mut client = gateway.grpc().await;
    for (model, outcome) in [
        ("failover", AttemptOutcome::ServerError),
        ("patient", AttemptOutcome::TimedOut),
    ] {
        let route = client
            .complete(ask(model))
            .await
            .unwrap()
            .into_inner()
            .route
            .unwrap();
        let outcomes: Vec<_> = route
            .attempts
            .iter()
            .map(|attempt| attempt.outcome())
            .collect();
        assert_eq!(outcomes, [outcome, AttemptOutcome::Answered], "{model}");
        assert_eq!(route.deployment, "fake");
        let mut stream = client
            .stream_complete(ask(model))
            .await
            .unwrap()
            .into_inner();
        let mut last = None;
        while let Some(message) = stream.message().await.unwrap() {
            last = Some(message);
        }
        assert_eq!(last.unwrap().route.unwrap().attempts.len(), 2, "{model}");
    }
    let status = client.complete(ask("broken")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "PROVIDERS_FAILED"
    );
}

#[tokio::test]
async fn a_cut_stream_is_an_error_on_both_edges() {
    let gateway = Gateway::start(POLICY).await;
    let mut stream = gateway
        .grpc()
        .await
        .stream_complete(ask("cut"))
        .await
        .unwrap()
        .into_inner();
    let mut pieces = 0;
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => pieces += 1,
            Ok(None) => panic!("a cut stream ended as if it were whole"),
            Err(status) => break status,
        }
    };
    assert!(pieces > 0);
    assert_eq!(status.code(), Code::DataLoss);
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "ANSWER_TRUNCATED"
    );

    let text = gateway
        .post(&chat("cut", true))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        !text.contains("[DONE]") && !text.contains(r#""finish_reason":"stop""#),
        "{text}"
    );
    assert!(text.contains(r#"data: {"error":"#), "{text}");
}
