//! The suite against real providers, held against fake ones.

use std::collections::BTreeMap;

use tollgate_tests::live::{Options, Report, run};
use tollgate_tests::provider::MockProvider;

use super::environment::tollgate_program;

/// The beginning of each provider's variables, that of its key, and how often it is asked.
const PROVIDERS: [(&str, &str, usize); 8] = [
    ("OPENAI", "OPENAI_API_KEY", 12),
    ("AZURE_OPENAI", "AZURE_OPENAI_API_KEY", 12),
    ("ANTHROPIC", "ANTHROPIC_API_KEY", 11),
    ("GEMINI", "GEMINI_API_KEY", 12),
    ("MISTRAL", "MISTRAL_API_KEY", 11),
    ("COHERE", "COHERE_API_KEY", 11),
    ("BEDROCK", "AWS_BEARER_TOKEN_BEDROCK", 12),
    ("OPENAI_COMPATIBLE", "OPENAI_COMPATIBLE_API_KEY", 10),
];

/// Runs the suite at a fake provider with some of the keys, where every model behaves so; one that obliges may think
/// first. The server that is compatible has no embeddings.
async fn run_at(
    provider: &MockProvider,
    wanted: &[&str],
    behaviour: &str,
) -> anyhow::Result<Report> {
    let mut variables = BTreeMap::new();
    for (prefix, key, _) in PROVIDERS {
        if !wanted.contains(&prefix) {
            continue;
        }
        variables.insert(key.to_owned(), "a-key".to_owned());
        for (name, value) in [
            ("BASE_URL", provider.base_url()),
            ("MODEL", behaviour.to_owned()),
            (
                "REASONING_MODEL",
                behaviour.replace("obliging", "obliging+think-2"),
            ),
            ("EMBEDDING_MODEL", format!("titan-embed-text-1@{behaviour}")),
        ] {
            variables.insert(format!("{prefix}_{name}"), value);
        }
        variables.remove("OPENAI_COMPATIBLE_EMBEDDING_MODEL");
    }
    let options = Options {
        tollgate: tollgate_program()?,
    };
    run(&options, &variables).await
}

/// What is told of paths: the lines that are set in.
fn told<'a>(report: &'a Report, start: &'a str) -> Vec<&'a str> {
    let lines = report.text.lines();
    let mut told: Vec<_> = lines.filter_map(|it| it.strip_prefix(start)).collect();
    told.sort_unstable();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_it_says_what_it_would_do() -> anyhow::Result<()> {
    let provider = MockProvider::start()?;
    let report = run_at(&provider, &[], "ok").await?;
    assert_eq!(report.differ, 0);
    for (prefix, key, _) in PROVIDERS {
        for variable in [key.to_owned(), format!("{prefix}_BASE_URL")] {
            assert!(report.text.contains(&variable), "{}", report.text);
        }
    }
    assert!(report.text.contains("15 requests"), "{}", report.text);
    assert_eq!(provider.ledger().len(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_as_asked_is_as_the_fixtures_say() -> anyhow::Result<()> {
    let provider = MockProvider::start()?;
    let every = PROVIDERS.map(|(prefix, ..)| prefix);
    let behaviour = "ok-30+obliging+cached-3+usage-unasked";
    let report = run_at(&provider, &every, behaviour).await?;
    let text = &report.text;
    assert_eq!(report.differ, 0, "{text}");
    let asked: usize = PROVIDERS.iter().map(|(_, _, cases)| cases).sum();
    let fine = text.matches("as the fixtures say").count();
    assert_eq!(fine, asked, "{text}");
    assert!(!text.contains("a-key"), "{text}");
    // The fake provider has one format for all that speak OpenAI's: embeddings as Mistral's, all else as OpenAI's.
    let unknown = [
        "choices[].message.reasoning_content: string",
        "choices[].message.refusal: null",
        "error.code: string",
        "error.message: string",
        "error.param: null",
        "error.type: string",
        "error: object",
        "id: string",
        "id: string",
        "usage.completion_tokens: number",
        "usage.completion_tokens: number",
        "usage.completion_tokens_details.reasoning_tokens: number",
        "usage.completion_tokens_details: object",
    ];
    assert_eq!(told(&report, "    no fixture has  "), unknown, "{text}");
    assert_eq!(report.strange, unknown.len(), "{text}");
    Ok(())
}

/// The fake provider says thirty words whatever it is asked: neither JSON nor a call, and from no cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_tells_who_differs_and_in_what() -> anyhow::Result<()> {
    let provider = MockProvider::start()?;
    let report = run_at(&provider, &["OPENAI", "ANTHROPIC"], "ok-30").await?;
    let told = &report.text;
    assert_eq!(report.differ, 5 * 2, "{told}");
    for (problem, times) in [
        ("the answer does not follow the schema", 1),
        ("finish reason Some(Stop), not ToolCalls; no call", 3),
        ("no state to send back", 1),
        ("nothing came from the cache", 1),
    ] {
        assert_eq!(
            told.matches(problem).count(),
            times * 2,
            "{problem}: {told}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_fixture_has_is_named_by_its_path() -> anyhow::Result<()> {
    let provider = MockProvider::start()?;
    let behaviour = "ok-30+obliging+cached-3+strange";
    let report = run_at(&provider, &["OPENAI_COMPATIBLE", "BEDROCK"], behaviour).await?;
    assert_eq!(report.differ, 0, "{}", report.text);
    let unknown = [
        // In a stream of Bedrock's, of each event.
        "contentBlockDelta/strange: number",
        "contentBlockStart/strange: number",
        "contentBlockStop/strange: number",
        "messageStart/strange: number",
        "messageStop/strange: number",
        "metadata/strange: number",
        // In its answers and vectors, and in the other's answers and streams.
        "strange: number",
        "strange: number",
        "strange: number",
        "strange: number",
    ];
    let found = told(&report, "    no fixture has  ");
    assert_eq!(found, unknown, "{}", report.text);
    let others = ["created: string, not number"; 2];
    let found = told(&report, "    another type    ");
    assert_eq!(found, others, "{}", report.text);
    assert_eq!(report.strange, unknown.len() + others.len());
    Ok(())
}
