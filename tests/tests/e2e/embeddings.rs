//! Vectors take the way of completions: keys, limits, failover, one settlement; whichever the provider and the edge.

use std::fmt::Write;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tollgate_proto::completion::v1::{
    AttemptOutcome, EmbedResponse, InputType, UsageSource, VectorEncoding, embedding,
};
use tollgate_tests::provider::expected_vector;
use tonic::Code;
use tonic_types::StatusExt;

use super::caller::{self, embed};
use super::cluster::{Cluster, Store};
use super::http::{Http, Reply};

/// Kinds of provider, each with the start of a model's name, and what else the policy must say of it.
const KINDS: [(&str, &str, &str); 8] = [
    ("openai", "", ""),
    ("openai_compatible", "", ""),
    ("azure_openai", "", ""),
    ("mistral", "", ""),
    ("gemini", "", ""),
    ("cohere", "", ""),
    ("bedrock", "cohere.embed-v4-", ", region: eu-central-1"),
    ("bedrock", "titan-embed-text-", ", region: eu-central-1"),
];

/// Models `0` to `7`, each of a kind of provider that behaves so, and `8`, of one that has no embeddings.
fn policy(behaviour: &str) -> String {
    let mut parts = [const { String::new() }; 4];
    let kinds = KINDS.into_iter().chain([("anthropic", "", "")]);
    for (index, (kind, start, settings)) in kinds.enumerate() {
        let lines = [
            format!(
                "  p{index}: {{ kind: {kind}, base_url: \"PROVIDER\", internal: true, drop_unsupported: true{settings} }}"
            ),
            format!(
                "  d{index}: {{ provider: p{index}, model: \"{start}{index}@{behaviour}\", price: {{ input: 1, output: 2 }} }}"
            ),
            format!("  m{index}: {{ targets: [ {{ deployment: d{index} }} ] }}"),
            format!(
                "  m{index}: {{ aliases: [\"{index}\"], routes: [ {{ pools: [m{index}] }} ], retry: {{ attempts: 1 }} }}"
            ),
        ];
        for (part, line) in parts.iter_mut().zip(lines) {
            // Writing to a String cannot fail.
            let _ = writeln!(part, "{line}");
        }
    }
    let [providers, deployments, pools, models] = parts;
    format!(
        "providers:\n{providers}deployments:\n{deployments}pools:\n{pools}models:\n{models}\
         limits:\n  - {{ name: tokens, per: [key], tokens: 10000000, window: 1h }}\n"
    )
}

/// The vectors of an answer; none of other numbers than floats.
fn floats(response: &EmbedResponse) -> Vec<&[f32]> {
    let vectors = response.embeddings.iter();
    let floats = vectors.filter_map(|it| match it.vector.as_ref()? {
        embedding::Vector::Floats(floats) => Some(floats.values.as_slice()),
        embedding::Vector::Packed(_) => None,
    });
    floats.collect()
}

/// The texts that a model is asked for: Titan takes one.
fn texts(index: usize) -> &'static [&'static str] {
    match index {
        7 => &["nonce=n one"],
        _ => &["two words", "nonce=n one"],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_mean_the_same_from_every_kind_of_provider() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy("ok")).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    for (index, (kind, ..)) in KINDS.into_iter().enumerate() {
        let texts = texts(index);
        let expected: Vec<_> = texts.iter().map(|it| expected_vector(it, 4)).collect();
        let mut request = embed(&index.to_string(), texts);
        request.dimensions = Some(4);
        request.set_input_type(InputType::Document);
        let answer = caller.embed(request).await?;
        assert_eq!(floats(&answer), expected, "{kind}");
        assert_eq!(answer.encoding(), VectorEncoding::Float);
        assert_eq!(answer.model, format!("m{index}"));
        let tokens: usize = texts.iter().map(|it| it.len().div_ceil(4) + 3).sum();
        let usage = answer.usage.unwrap_or_default();
        assert_eq!(
            (usage.input_tokens, usage.output_tokens),
            (tokens as u64, 0),
            "{kind}"
        );
        assert_eq!(usage.source(), UsageSource::Provider, "{kind}");
        let report = usage.provider_report.unwrap_or_default();
        assert!(!report.fields.is_empty(), "{kind}");
        let cost = answer.cost.and_then(|cost| cost.nano_usd);
        assert_eq!(cost, i64::try_from(tokens * 1000).ok(), "{kind}");
        let route = answer.route.unwrap_or_default();
        assert_eq!(route.deployment, format!("d{index}"));
        // Only a server that imitates OpenAI may want to be told in the text what the vectors are for.
        let left_out: Vec<_> = answer.warnings.iter().map(|it| &*it.field).collect();
        let fields: &[&str] = if kind == "openai_compatible" {
            &["input_type"]
        } else {
            &[]
        };
        assert_eq!(left_out, fields, "{kind}");

        for encoding in ["float", "base64"] {
            let reply = over_http(&http, index, encoding).await?;
            assert_eq!(reply.status, StatusCode::OK, "{kind}: {}", reply.body);
            assert_eq!(vectors_of(&reply.json())?, expected, "{kind}");
            let usage = &reply.json()["usage"];
            assert_eq!(usage["prompt_tokens"], tokens, "{kind}");
            assert!(usage["provider_report"].is_object(), "{kind}: {usage}");
            assert_eq!(reply.header("x-ratelimit-limit-tokens"), "10000000");
        }
    }
    let logged = cluster.wait_requests(KINDS.len() * 3).await?;
    let served = cluster.provider.stats().prompt_tokens;
    assert_eq!(logged.iter().map(|it| it.tokens).sum::<u64>(), served);
    assert!(
        cluster
            .node_log(0)?
            .contains("\"operation\":\"embeddings\"")
    );
    Ok(())
}

async fn over_http(http: &Http, index: usize, encoding: &str) -> anyhow::Result<Reply> {
    let body = json!({
        "model": index.to_string(), "input": texts(index), "dimensions": 4, "input_type": "search_document",
        "encoding_format": encoding,
    });
    http.send(Method::POST, "/v1/embeddings", body.to_string())
        .await
}

/// The vectors of an answer over HTTP, however they are written.
fn vectors_of(answer: &Value) -> anyhow::Result<Vec<Vec<f32>>> {
    let vector = |item: &Value| -> anyhow::Result<Vec<f32>> {
        let Some(text) = item["embedding"].as_str() else {
            return Ok(serde_json::from_value(item["embedding"].clone())?);
        };
        let bytes = STANDARD.decode(text)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        anyhow::ensure!(rest.is_empty(), "{text}");
        Ok(numbers.iter().map(|it| f32::from_le_bytes(*it)).collect())
    };
    let data = answer["data"].as_array().context("a list")?;
    data.iter().map(vector).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_means_the_same_from_every_kind_of_provider() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy("ok")).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let mut asked = 0;
    for (behaviour, reason, outcome) in [
        ("refuse-rate", "PROVIDERS_FAILED", "rate_limited"),
        ("refuse-overload", "PROVIDERS_FAILED", "overloaded"),
        ("refuse-key", "PROVIDERS_FAILED", "key_refused"),
        ("refuse-context", "CONTEXT_TOO_LONG", "context_too_long"),
        ("status-500", "PROVIDERS_FAILED", "server_error"),
        ("bad-json", "PROVIDERS_FAILED", "bad_response"),
        ("html", "PROVIDERS_FAILED", "bad_response"),
        ("gzip-bomb-64", "PROVIDERS_FAILED", "bad_response"),
        ("truncate-after-1", "PROVIDERS_FAILED", "bad_response"),
        ("reset", "PROVIDERS_FAILED", "transport_error"),
        ("close-after-1", "PROVIDERS_FAILED", "transport_error"),
    ] {
        // Anew, so that what went wrong before does not count.
        cluster.apply(&policy(behaviour))?;
        for (index, (kind, ..)) in KINDS.into_iter().enumerate() {
            let mut request = embed(&index.to_string(), texts(index));
            request.set_input_type(InputType::Query);
            let status = caller.embed(request).await.unwrap_err();
            asked += 1;
            assert_eq!(
                caller::reason(&status),
                reason,
                "{kind}, {behaviour}: {status}"
            );
            let logged = cluster.wait_requests(asked).await?;
            let attempts = logged.last().map(|it| it.attempts.clone());
            assert_eq!(
                attempts,
                Some(format!("d{index}:{outcome}")),
                "{kind}, {behaviour}"
            );
        }
    }
    // Where no count comes, or none that can be believed, it is estimated.
    for behaviour in ["no-usage", "usage-nonsense"] {
        cluster.apply(&policy(behaviour))?;
        for (index, (kind, ..)) in KINDS.into_iter().enumerate() {
            let mut request = embed(&index.to_string(), texts(index));
            request.set_input_type(InputType::Query);
            let usage = caller.embed(request).await?.usage.unwrap_or_default();
            assert_eq!(
                usage.source(),
                UsageSource::Estimated,
                "{kind}, {behaviour}"
            );
            assert!(
                usage.input_tokens > 0 && usage.output_tokens == 0,
                "{usage:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_does_not_take_is_refused_before_anything_is_sent() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy("ok")).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let many: Vec<_> = std::iter::repeat_n("a", 101).collect();
    for (model, texts, field) in [
        ("8", &["a"][..], "model"),
        ("4", &many, "inputs"),
        ("5", &many, "inputs"),
        ("5", &["a"], "input_type"),
        ("7", &["a", "b"], "inputs"),
        ("0", &[], "inputs"),
        ("0", &[""], "inputs[0]"),
    ] {
        let status = caller.embed(embed(model, texts)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{model}: {status}");
        let fields = status.get_details_bad_request().context("a field")?;
        let named = fields.field_violations.first().map(|it| it.field.as_str());
        assert_eq!(named, Some(field), "{model}: {status}");
    }
    let status = caller.embed(embed("nobody", &["a"])).await.unwrap_err();
    assert_eq!(caller::reason(&status), "MODEL_NOT_FOUND");

    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    for (body, param) in [
        (json!({"model": "0"}), "input"),
        (json!({"model": "0", "input": ["a", 1]}), "input"),
        (json!({"model": "8", "input": "a"}), "model"),
        (json!({"model": "4", "input": many}), "input"),
        (
            json!({"model": "0", "input": "a", "encoding_format": "x"}),
            "encoding_format",
        ),
    ] {
        let reply = http
            .send(Method::POST, "/v1/embeddings", body.to_string())
            .await?;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.body);
        assert_eq!(reply.json()["error"]["param"], param, "{}", reply.body);
    }
    let stranger = http.authorized(Some("Bearer tg_nobody"));
    let body = json!({"model": "0", "input": "a"}).to_string();
    let reply = stranger.send(Method::POST, "/v1/embeddings", body).await?;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(cluster.provider.stats().requests, 0);
    Ok(())
}

const LIMITED: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments:
  down: { provider: mock, model: status-500, price: { input: "1", output: "2" } }
  up:   { provider: mock, model: ok, price: { input: "1", output: "2" } }
  slow: { provider: mock, model: hang, price: { input: "1", output: "2" } }
pools:
  down: { targets: [ { deployment: down } ] }
  up:   { targets: [ { deployment: up } ] }
  slow: { targets: [ { deployment: slow } ] }
models:
  vectors: { routes: [ { pools: [down, up] } ] }
  slow:    { routes: [ { pools: [slow] } ], deadline: 300ms }
limits:
  - { name: requests, per: [key], requests: 3, window: 1h }
  - { name: tokens, per: [team], tokens: 1000, window: 1h }
  - { name: cost, per: [team], cost_usd: "1", window: 1h }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_and_failover_goes_on() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, LIMITED).await?;
    let key = cluster.key("acme/team/a").await?;
    let caller = cluster.caller(0, &key)?;
    for _ in 0..2 {
        let answer = caller.embed(embed("vectors", &["nonce=n"])).await?;
        let attempts = answer.route.unwrap_or_default().attempts;
        let last = attempts
            .last()
            .map(|it| (it.deployment.as_str(), it.outcome()));
        assert_eq!(last, Some(("up", AttemptOutcome::Answered)));
    }
    let late = caller.embed(embed("slow", &["nonce=n"])).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    let status = caller
        .embed(embed("vectors", &["nonce=n"]))
        .await
        .unwrap_err();
    assert_eq!(caller::reason(&status), "LIMIT_EXCEEDED", "{status}");
    assert!(caller::refused_by(&status)[0].contains("requests"));

    let other = cluster.key("acme/team/b").await?;
    let large = "word ".repeat(1200);
    let status = cluster
        .caller(0, &other)?
        .embed(embed("vectors", &[&large]))
        .await;
    assert_eq!(caller::reason(&status.unwrap_err()), "LIMIT_TOO_SMALL");

    // Each costs what the provider counted: 5 tokens. Of the one that hung, nothing is known but what was held.
    let logged = cluster.wait_requests(5).await?;
    let charged: Vec<_> = logged.iter().map(|it| (it.tokens, it.cost)).collect();
    assert_eq!(charged[..2], [(5, 5_000), (5, 5_000)], "{charged:?}");
    Ok(())
}

const KNOWN: &str = r#"
providers:   { openai: { kind: openai, base_url: "PROVIDER", internal: true } }
deployments: { small: { provider: openai, model: ok, base_model: text-embedding-3-small } }
pools:       { small: { targets: [ { deployment: small } ] } }
models:      { vectors: { routes: [ { pools: [small] } ] } }
limits:      [ { name: spend, cost_usd: "0.0000002", window: 1h } ]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_knows_what_vectors_cost() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, KNOWN).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    // 0.02 USD for a million tokens, of which there are five: nothing comes out that would cost.
    for _ in 0..2 {
        let answer = caller.embed(embed("vectors", &["nonce=n"])).await?;
        let cost = answer.cost.unwrap_or_default();
        assert_eq!(cost.nano_usd, Some(5 * 20));
        assert!(cost.price_catalog.starts_with("genai-prices-"), "{cost:?}");
    }
    let status = caller.embed(embed("vectors", &["nonce=n"])).await;
    let status = status.unwrap_err();
    assert_eq!(caller::reason(&status), "LIMIT_EXCEEDED", "{status}");

    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    let models = http.send(Method::GET, "/v1/models/vectors", "").await?;
    assert_eq!(models.json()["capabilities"], json!(["embeddings"]));
    Ok(())
}
