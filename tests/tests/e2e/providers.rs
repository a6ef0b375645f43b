//! Every kind of provider means the same to a caller: the fake provider behaves alike in each wire format, so what
//! comes out of the gateway must be alike too.

use std::fmt::Write;

use anyhow::Context;
use tokio::task::JoinSet;
use tollgate_proto::completion::v1::{AttemptOutcome, CompleteResponse, FinishReason, Usage, part};
use tollgate_tests::provider::{Entry, Outcome};

use super::caller::{self, Caller, ask};
use super::cluster::{Cluster, Key, PATIENCE, Store};
use super::condition::eventually;

/// A kind of provider with what sets it apart from the others.
pub struct Kind {
    pub name: &'static str,
    /// The kind as a policy names it, where that is not the name.
    kind: Option<&'static str>,
    /// What else a policy must say of a deployment there.
    pub served: &'static str,
    /// Whether it tells how many of the output tokens were thinking.
    counts_reasoning: bool,
    /// Whether it tells what it charges for apart from what it counts.
    billed: bool,
    /// A field of its own report of usage.
    reports: &'static str,
    /// How an attempt ends that meets a used-up allowance: not every format tells it from a rate limit.
    quota: AttemptOutcome,
    /// What else a policy must say of such a provider.
    pub settings: &'static str,
    /// What the fake provider must be told to be like such a provider.
    pub habits: &'static str,
}

impl Kind {
    /// The kind as a policy names it.
    pub fn kind(&self) -> &'static str {
        self.kind.unwrap_or(self.name)
    }
}

const PLAIN: Kind = Kind {
    name: "",
    kind: None,
    served: "",
    counts_reasoning: false,
    billed: false,
    reports: "prompt_tokens",
    quota: AttemptOutcome::KeyRefused,
    settings: "",
    habits: "",
};

/// Every kind that the gateway has a codec for, over each of its interfaces.
pub const KINDS: [Kind; 10] = [
    Kind {
        name: "openai",
        counts_reasoning: true,
        ..PLAIN
    },
    Kind {
        name: "openai_compatible",
        counts_reasoning: true,
        ..PLAIN
    },
    Kind {
        name: "azure_openai",
        counts_reasoning: true,
        ..PLAIN
    },
    Kind {
        name: "openai_responses",
        kind: Some("openai"),
        served: ", api: responses",
        reports: "input_tokens",
        counts_reasoning: true,
        ..PLAIN
    },
    Kind {
        name: "azure_openai_responses",
        kind: Some("azure_openai"),
        served: ", api: responses",
        reports: "input_tokens",
        counts_reasoning: true,
        ..PLAIN
    },
    Kind {
        name: "mistral",
        counts_reasoning: true,
        habits: "+usage-unasked+thinking-in-parts",
        ..PLAIN
    },
    Kind {
        name: "anthropic",
        reports: "input_tokens",
        ..PLAIN
    },
    Kind {
        name: "gemini",
        reports: "promptTokenCount",
        counts_reasoning: true,
        ..PLAIN
    },
    Kind {
        name: "cohere",
        reports: "billed_units",
        billed: true,
        ..PLAIN
    },
    Kind {
        name: "bedrock",
        reports: "inputTokens",
        quota: AttemptOutcome::RateLimited,
        settings: ", region: eu-central-1",
        ..PLAIN
    },
];

/// An answer of every kind of part.
const RICH: &str = "ok-3+think-2+calls-2+cached-2";

/// What a provider refuses, and how the attempt must have ended; `Unspecified` for what kinds differ in.
const REFUSALS: [(&str, AttemptOutcome); 7] = [
    ("refuse-rate", AttemptOutcome::RateLimited),
    ("refuse-quota", AttemptOutcome::Unspecified),
    ("refuse-ramp", AttemptOutcome::RateLimited),
    ("refuse-overload", AttemptOutcome::Overloaded),
    ("refuse-context", AttemptOutcome::ContextTooLong),
    ("refuse-filter", AttemptOutcome::ContentFiltered),
    ("refuse-key", AttemptOutcome::KeyRefused),
];

/// Ways in which a stream breaks after content.
const BROKEN: [&str; 5] = [
    "truncate-after-3",
    "close-after-3",
    "reset-after-3",
    "hang-after-3",
    "error-in-stream-3",
];

/// Oddities that do not make a stream incomplete.
const WHOLE: [&str; 12] = [
    "no-done",
    "dup-usage",
    "malformed-line",
    "comments",
    "crlf",
    "split-utf8",
    "wrong-type",
    "says-identity",
    "no-usage",
    "usage-nonsense",
    "usage-lies",
    "trickle-0ms",
];

/// Answers that are none.
const NO_ANSWER: [&str; 6] = [
    "html",
    "bad-json",
    "redirect",
    "gzip-bomb-64",
    "says-gzip",
    "giant-line-33",
];

/// A stream whose every byte comes in time, and whose first event does not.
const DRIPS: &str = "trickle-20ms";

/// The most memory that a node may have used, in bytes. An answer is held whole at most once, and it may have 32 MiB.
const MOST_MEMORY: u64 = 400 << 20;

/// A model for each behaviour of a provider of each kind, with nowhere else to go: callers say `KIND/BEHAVIOUR`.
fn policy() -> String {
    let (mut providers, mut rest) = (String::new(), [const { String::new() }; 3]);
    let refusals = REFUSALS.map(|(name, _)| name);
    let behaviours = [RICH].into_iter().chain(refusals).chain(BROKEN);
    let behaviours = behaviours.chain(WHOLE).chain(NO_ANSWER).chain([DRIPS]);
    let behaviours: Vec<_> = behaviours.collect();
    for it in KINDS {
        let (kind, of) = (it.name, it.kind());
        let Kind {
            settings,
            habits,
            served,
            ..
        } = it;
        // Writing to a String cannot fail.
        let provider = kind.replace('_', "-");
        for (index, behaviour) in behaviours.iter().enumerate() {
            let name = format!("{provider}-{index}");
            // Each at a provider of its own, which a refused key takes out.
            let _ = writeln!(
                providers,
                "  {name}: {{ kind: {of}, base_url: \"PROVIDER\", internal: true, timeouts: {{ idle: 500ms }}{settings} }}"
            );
            let lines = [
                format!(
                    "  {name}: {{ provider: {name}, model: \"{name}@{behaviour}{habits}\", price: {{ input: 1, output: 2 }}{served} }}"
                ),
                format!("  {name}: {{ targets: [ {{ deployment: {name} }} ] }}"),
                format!(
                    "  {name}: {{ aliases: [\"{kind}/{behaviour}\"], routes: [ {{ pools: [{name}] }} ], retry: {{ attempts: 1 }} }}"
                ),
            ];
            for (part, line) in rest.iter_mut().zip(lines) {
                let _ = writeln!(part, "{line}");
            }
        }
    }
    let [deployments, pools, models] = rest;
    format!(
        "providers:\n{providers}deployments:\n{deployments}pools:\n{pools}models:\n{models}\
         limits: [ {{ name: tokens, per: [key], tokens: 10000000, window: 1h }} ]\n"
    )
}

async fn cluster() -> anyhow::Result<(Cluster, Key, Caller)> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    Ok((cluster, key, caller))
}

/// What an answer is made of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    thinking: String,
    text: String,
    /// Name and arguments of each call.
    calls: Vec<(String, String)>,
}

fn content(response: &CompleteResponse) -> Content {
    let message = response.choices.first().and_then(|c| c.message.as_ref());
    let mut content = Content::default();
    for part in message.map(|m| m.parts.as_slice()).unwrap_or_default() {
        match &part.part {
            Some(part::Part::Text(text)) => content.text.push_str(text),
            Some(part::Part::Reasoning(thinking)) => content.thinking.push_str(&thinking.text),
            Some(part::Part::ToolCall(call)) => {
                let call = (call.name.clone(), call.arguments_json.clone());
                content.calls.push(call);
            }
            _ => {}
        }
    }
    content
}

#[track_caller]
fn check_usage(kind: &Kind, usage: &Usage) {
    let name = kind.name;
    assert_eq!((usage.input_tokens, usage.output_tokens), (5, 7), "{name}");
    assert_eq!(usage.cache_read_tokens, 2, "{name}");
    let thinking = if kind.counts_reasoning { 2 } else { 0 };
    assert_eq!(usage.reasoning_tokens, thinking, "{name}");
    let billed = usage.billed_input_tokens.zip(usage.billed_output_tokens);
    assert_eq!(billed, kind.billed.then_some((2, 7)), "{name}");
    let report = usage.provider_report.clone().unwrap_or_default();
    assert!(
        report.fields.contains_key(kind.reports),
        "{name}: {report:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_means_the_same_from_every_kind_of_provider() -> anyhow::Result<()> {
    let (cluster, _key, caller) = cluster().await?;
    let expected = Content {
        thinking: "think:0 think:1 ".to_owned(),
        text: "n:0 n:1 n:2 ".to_owned(),
        calls: [0, 1]
            .map(|n| ("lookup".to_owned(), format!(r#"{{"n":{n}}}"#)))
            .to_vec(),
    };
    for kind in KINDS {
        let model = format!("{}/{RICH}", kind.name);
        let answer = caller.complete(&model, "nonce=n").await?;
        assert_eq!(content(&answer), expected, "{model}");
        let choice = answer.choices.first();
        let reason = choice.map(|choice| choice.finish_reason());
        assert_eq!(reason, Some(FinishReason::ToolCalls), "{model}");
        check_usage(&kind, &answer.usage.unwrap_or_default());
        let paid_input = if kind.billed { 2 } else { 5 };
        let cost = answer.cost.and_then(|cost| cost.nano_usd);
        assert_eq!(cost, Some(paid_input * 1000 + 7 * 2000), "{model}");

        let streamed = caller.stream(ask(&model, "nonce=n")).await;
        let streamed = streamed.map_err(|(status, _)| status)?;
        let content = Content {
            thinking: streamed.thinking,
            text: streamed.text,
            calls: streamed.calls,
        };
        assert_eq!(content, expected, "{model}");
        check_usage(&kind, &streamed.usage.unwrap_or_default());
    }
    let logged = cluster.wait_requests(2 * KINDS.len()).await?;
    for (at, request) in logged.iter().enumerate() {
        let named = request.provider_request.starts_with("req-");
        assert_eq!(named, KINDS[at / 2].name != "gemini", "{request:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_means_the_same_from_every_kind_of_provider() -> anyhow::Result<()> {
    let (cluster, _key, caller) = cluster().await?;
    let mut expected = Vec::new();
    for kind in KINDS {
        for (index, (refusal, outcome)) in REFUSALS.into_iter().enumerate() {
            let model = format!("{}/{refusal}", kind.name);
            let status = caller.complete(&model, "nonce=n").await.unwrap_err();
            let told = status.message();
            assert!(!told.contains("Trial key"), "{model}: {told}");
            // The deployments are numbered in the order of the policy, in which `RICH` comes first.
            let outcome = if outcome == AttemptOutcome::Unspecified {
                kind.quota
            } else {
                outcome
            };
            let name = outcome.as_str_name().trim_start_matches("ATTEMPT_OUTCOME_");
            let provider = kind.name.replace('_', "-");
            let name = name.to_lowercase();
            expected.push(format!("{provider}-{}:{name}", index + 1));
        }
    }
    let logged = cluster.wait_requests(expected.len()).await?;
    for (request, expected) in logged.iter().zip(&expected) {
        assert_eq!(request.attempts, *expected);
        let (deployment, _) = expected.split_once(':').context("an outcome")?;
        let told = &request.failures;
        // What a caller is not told: whose words it were, the status, and what the provider's support asks for.
        assert!(told.starts_with(&format!("{deployment}: ")), "{told}");
        // Gemini refuses a prompt with success.
        let status = [" (4", " (5", " (PROHIBITED_CONTENT)"]
            .into_iter()
            .any(|it| told.contains(it));
        assert!(status, "{told}");
        let named = told.contains("req-");
        assert_eq!(named, !deployment.starts_with("gemini"), "{told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_whole_or_an_error_from_every_kind_of_provider() -> anyhow::Result<()> {
    let (cluster, _key, caller) = cluster().await?;
    for kind in KINDS {
        for behaviour in BROKEN {
            let model = format!("{}/{behaviour}", kind.name);
            let (status, before) = caller.stream(ask(&model, "nonce=n")).await.unwrap_err();
            let reason = caller::reason(&status);
            assert_eq!(reason, "ANSWER_TRUNCATED", "{model}: {status}");
            let text = before.text;
            assert!(text.starts_with("n:0 n:1 "), "{model}: {text}");
        }
        for behaviour in WHOLE {
            let model = format!("{}/{behaviour}", kind.name);
            let answer = caller.stream(ask(&model, "nonce=n")).await;
            let answer = answer.map_err(|(status, _)| anyhow::anyhow!("{model}: {status}"))?;
            let text = answer.text.replace("é🦀", "");
            assert_eq!(text, "n:0 n:1 n:2 n:3 n:4 n:5 n:6 n:7 ", "{model}");
            let usage = answer.usage.unwrap_or_default();
            assert!(usage.output_tokens > 0, "{model}: {usage:?}");

            let answer = caller.complete(&model, "nonce=n").await?;
            let text = content(&answer).text.replace("é🦀", "");
            assert_eq!(text, "n:0 n:1 n:2 n:3 n:4 n:5 n:6 n:7 ", "{model}");
            let usage = answer.usage.unwrap_or_default();
            assert!(usage.output_tokens > 0, "{model}: {usage:?}");
        }
    }
    // Each is settled once, which is when it is logged.
    let asked = KINDS.len() * (BROKEN.len() + 2 * WHOLE.len());
    assert_eq!(cluster.wait_requests(asked).await?.len(), asked);
    Ok(())
}

/// What counts is what means something: bytes that complete no event do not keep a dead stream alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dripping_stream_is_given_up_at_every_kind_of_provider() -> anyhow::Result<()> {
    let (cluster, _key, caller) = cluster().await?;
    let mut asked = JoinSet::new();
    for kind in KINDS {
        let (caller, model) = (caller.clone(), format!("{}/{DRIPS}", kind.name));
        asked.spawn(async move { (caller.stream(ask(&model, "nonce=n")).await, model) });
    }
    while let Some(one) = asked.join_next().await {
        let (answer, model) = one?;
        let (status, before) = answer.unwrap_err();
        assert_eq!(before.text, "", "{model}");
        let reason = caller::reason(&status);
        assert_eq!(reason, "PROVIDERS_FAILED", "{model}: {status}");
    }
    let logged = cluster.wait_requests(KINDS.len()).await?;
    for request in logged {
        assert!(request.attempts.ends_with(":timed_out"), "{request:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_answer_is_an_error_from_every_kind_of_provider() -> anyhow::Result<()> {
    let (cluster, _key, caller) = cluster().await?;
    let mut taken = Vec::new();
    for kind in KINDS {
        for behaviour in NO_ANSWER {
            let model = format!("{}/{behaviour}", kind.name);
            let status = caller.complete(&model, "nonce=n").await.unwrap_err();
            let reason = caller::reason(&status);
            assert_eq!(reason, "PROVIDERS_FAILED", "{model}: {status}");
            if caller.stream(ask(&model, "nonce=n")).await.is_ok() {
                taken.push(model);
            }
        }
    }
    assert!(taken.is_empty(), "taken for answers: {taken:?}");
    assert_eq!(cluster.provider.stats().redirects_followed, 0);
    let node = cluster.nodes[0].process.as_ref();
    let memory = node.context("the node runs")?.peak_rss()?;
    assert!(memory < MOST_MEMORY, "{memory} bytes");
    // None of them is read on behind the callers' backs.
    eventually("every request ends", PATIENCE, async || {
        let ledger = cluster.provider.ledger();
        let ended = |entry: &Entry| entry.outcome != Outcome::InFlight;
        Ok(ledger.iter().all(ended).then_some(()))
    })
    .await?;
    Ok(())
}
