//! What is asked of providers beside work: an operator asks for their models and counts, callers for counts.

use serde_json::{Value, json};

use tollgate_proto::completion::v1::{CountTokensRequest, CountTokensResponse, UsageSource};
use tonic::Code;
use tonic_types::StatusExt;

use super::caller::{self, ask};
use super::cluster::{Cluster, Store, texts};

/// The key of a provider is found where the policy says, which is here.
fn policy(key: &str) -> String {
    format!(
        r#"
providers:
  openai: {{ kind: openai, base_url: "PROVIDER", internal: true }}
  claude: {{ kind: anthropic, base_url: "PROVIDER", internal: true, credential: {{ file: "{key}" }} }}
  google: {{ kind: gemini, base_url: "PROVIDER", internal: true, credential: {{ file: "{key}" }} }}
  aws:    {{ kind: bedrock, base_url: "PROVIDER", internal: true, region: eu-central-1, credential: {{ file: "{key}" }} }}
deployments:
  gpt:    {{ provider: openai, model: ok-50 }}
  opus:   {{ provider: claude, model: giant-line-64 }}
  flash:  {{ provider: google, model: giant-line-64 }}
  typo:   {{ provider: google, model: giant-lime-64 }}
  nova:   {{ provider: aws, model: ok }}
pools:  {{ main: {{ targets: [ {{ deployment: gpt }}, {{ deployment: opus }}, {{ deployment: flash }}, {{ deployment: typo }}, {{ deployment: nova }} ] }} }}
models: {{ chat: {{ routes: [ {{ pools: [main] }} ] }} }}
"#
    )
}

/// What the fake provider counts in the sample: by its rule, for instructions of 53 bytes and prose of 1720.
const COUNTED: u64 = (14 + 3) + (430 + 3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_asked_for_its_models_and_counts() -> anyhow::Result<()> {
    let key = tempfile::NamedTempFile::new()?;
    std::fs::write(key.path(), "a-key")?;
    let policy = policy(&key.path().display().to_string());
    let cluster = Cluster::start(Store::Embedded, 1, &policy).await?;
    let file = cluster.policy_file(&policy)?;
    let check = |name: &str| -> anyhow::Result<(bool, Value, String)> {
        let output = cluster.tollgate(&["providers", "check", name, "-f", &file, "-o", "json"])?;
        let (out, err) = texts(&output);
        let value = serde_json::from_str(&out).unwrap_or_default();
        Ok((output.status.success(), value, err))
    };
    for (name, there, counted) in [
        ("openai", json!(true), Value::Null),
        ("claude", json!(true), json!(COUNTED)),
        ("aws", Value::Null, json!(COUNTED)),
    ] {
        let (fine, told, err) = check(name)?;
        assert!(fine, "{name}: {err}");
        let deployment = &told["deployments"][0];
        assert_eq!(deployment["there"], there, "{name}: {told}");
        assert_eq!(deployment["counted_tokens"], counted, "{name}: {told}");
    }
    // Models beyond the first part of the list are found; one that is not there is told, with what to do.
    let (fine, told, err) = check("google")?;
    assert!(!fine);
    let there: Vec<_> = told["deployments"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let there: Vec<_> = there.iter().map(|it| (&it["name"], &it["there"])).collect();
    assert_eq!(
        there,
        [
            (&json!("flash"), &json!(true)),
            (&json!("typo"), &json!(false))
        ]
    );
    assert!(err.contains("typo (giant-lime-64)"), "{err}");
    let (fine, _, err) = check("nobody")?;
    assert!(!fine && err.contains("no provider `nobody`"), "{err}");
    Ok(())
}

const COUNTING: &str = r#"
providers:
  openai: { kind: openai, base_url: "PROVIDER", internal: true }
  claude: { kind: anthropic, base_url: "PROVIDER", internal: true }
  google: { kind: gemini, base_url: "PROVIDER", internal: true }
  aws:    { kind: bedrock, base_url: "PROVIDER", internal: true, region: eu-central-1 }
  dead:   { kind: anthropic, base_url: "http://127.0.0.1:1", internal: true }
deployments:
  gpt:   { provider: openai, model: ok, base_model: gpt-4o }
  o3:    { provider: openai, model: ok, api: responses }
  opus:  { provider: claude, model: ok }
  flash: { provider: google, model: ok }
  nova:  { provider: aws, model: ok }
  gone:  { provider: dead, model: ok }
pools:
  gpt:   { targets: [ { deployment: gpt } ] }
  o3:    { targets: [ { deployment: o3 } ] }
  opus:  { targets: [ { deployment: opus } ] }
  flash: { targets: [ { deployment: flash } ] }
  nova:  { targets: [ { deployment: nova } ] }
  gone:  { targets: [ { deployment: gone } ] }
models:
  gpt:   { routes: [ { pools: [gpt] } ] }
  exact: { routes: [ { pools: [gpt] } ], tokens: exact }
  o3:    { routes: [ { pools: [o3] } ] }
  opus:  { routes: [ { pools: [opus] } ] }
  flash: { routes: [ { pools: [flash] } ] }
  nova:  { routes: [ { pools: [nova] } ] }
  gone:  { routes: [ { pools: [gone] } ] }
limits: [ { name: one, per: [key], requests: 1, window: 1h } ]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_told_how_many_tokens_a_conversation_has() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, COUNTING).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let question = |model: &str, local| CountTokensRequest {
        request: Some(ask(model, "nonce=n, and some words more")),
        local,
    };
    let told = |count: &CountTokensResponse| (count.source(), count.deployment.clone());
    let provider = |name: &str| (UsageSource::Provider, name.to_owned());
    // The fake provider counts four bytes as a token, and three for a message.
    for model in ["o3", "opus", "flash", "nova"] {
        let count = caller.count(question(model, false)).await?;
        assert_eq!(count.input_tokens, 7 + 3, "{model}");
        assert_eq!(told(&count), provider(model));
        assert_eq!(count.model, model);
    }
    let own = |source: UsageSource| (source, String::new());
    for (model, local, source) in [
        ("gpt", false, UsageSource::Estimated),
        ("exact", false, UsageSource::Counted),
        ("opus", true, UsageSource::Estimated),
        ("gone", false, UsageSource::Estimated),
    ] {
        let count = caller.count(question(model, local)).await?;
        assert_eq!(told(&count), own(source), "{model}");
        assert!((8..40).contains(&count.input_tokens), "{model}: {count:?}");
    }
    // More than the limit allows, had they counted; and nobody was asked for an answer.
    assert_eq!(cluster.provider.stats().requests, 0);
    caller.complete("opus", "nonce=n").await?;

    let seeded = CountTokensRequest {
        request: Some(tollgate_proto::completion::v1::CompleteRequest {
            seed: Some(1),
            ..ask("opus", "hello")
        }),
        local: false,
    };
    let status = caller.count(seeded).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let faults = status
        .get_details_bad_request()
        .map(|it| it.field_violations);
    let fields = faults.unwrap_or_default().into_iter().map(|it| it.field);
    assert_eq!(fields.collect::<Vec<_>>(), ["seed"]);
    let status = caller
        .count(CountTokensRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let status = caller.count(question("nobody", true)).await.unwrap_err();
    assert_eq!(caller::reason(&status), "MODEL_NOT_FOUND");
    let stranger = caller::Caller::new(&cluster.nodes[0].url, "tg_nobody")?;
    let status = stranger.count(question("opus", true)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    Ok(())
}
