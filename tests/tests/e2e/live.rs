//! The suite against real providers, held against fake ones.

use std::collections::BTreeMap;

use tollgate_tests::live::{Options, run};
use tollgate_tests::provider::MockProvider;

use super::environment::tollgate_program;

fn options() -> anyhow::Result<Options> {
    Ok(Options {
        tollgate: tollgate_program()?,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_it_says_what_it_would_do() -> anyhow::Result<()> {
    let report = run(&options()?, &BTreeMap::new()).await?;
    assert_eq!(report.differ, 0);
    for variable in [
        "OPENAI_API_KEY",
        "AZURE_OPENAI_API_KEY, AZURE_OPENAI_BASE_URL",
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "MISTRAL_API_KEY",
        "COHERE_API_KEY",
        "AWS_BEARER_TOKEN_BEDROCK",
        "OPENAI_COMPATIBLE_API_KEY, OPENAI_COMPATIBLE_BASE_URL",
    ] {
        assert!(
            report.text.contains(variable),
            "{variable}: {}",
            report.text
        );
    }
    assert!(report.text.contains("8 small requests"), "{}", report.text);
    Ok(())
}

/// The fake provider says thirty words whatever it is asked: neither JSON nor a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_tells_who_differs_and_in_what() -> anyhow::Result<()> {
    let provider = MockProvider::start()?;
    let mut variables = BTreeMap::new();
    for (prefix, key) in [
        ("OPENAI", "OPENAI_API_KEY"),
        ("AZURE_OPENAI", "AZURE_OPENAI_API_KEY"),
        ("ANTHROPIC", "ANTHROPIC_API_KEY"),
        ("GEMINI", "GEMINI_API_KEY"),
        ("COHERE", "COHERE_API_KEY"),
        ("BEDROCK", "AWS_BEARER_TOKEN_BEDROCK"),
        ("OPENAI_COMPATIBLE", "OPENAI_COMPATIBLE_API_KEY"),
    ] {
        variables.insert(key.to_owned(), "a-key".to_owned());
        variables.insert(format!("{prefix}_BASE_URL"), provider.base_url());
        variables.insert(format!("{prefix}_MODEL"), "ok-30".to_owned());
    }
    let report = run(&options()?, &variables).await?;
    let told = &report.text;
    assert_eq!(told.matches("differs").count(), 2 * 7, "{told}");
    assert_eq!(
        told.matches("the answer does not follow the schema")
            .count(),
        7,
        "{told}"
    );
    assert_eq!(
        told.matches("finish reason Some(Stop), not ToolCalls; no call")
            .count(),
        7,
        "{told}"
    );
    assert_eq!(told.matches("as the fixtures say").count(), 5 * 7, "{told}");
    assert!(!told.contains("a-key"), "{told}");
    Ok(())
}
