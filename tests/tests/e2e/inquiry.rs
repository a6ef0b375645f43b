//! An operator asks providers for their models and counts.

use serde_json::{Value, json};

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
