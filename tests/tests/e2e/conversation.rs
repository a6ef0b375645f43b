//! One conversation that moves from provider to provider: each is told the same, gets back its own state as it came,
//! and is shown nobody else's.

mod transcript;

use std::fmt::Write;

use tollgate_proto::completion::v1::{
    CacheHint, CompleteRequest, FunctionTool, Image, Message, Part, ProviderState, Reasoning,
    ReasoningEffort, ReasoningRequest, Role, Tool, ToolCall, ToolResult, image, part, part_delta,
    tool,
};
use tollgate_tests::provider::Recorded;

use super::caller::{Caller, ask};
use super::cluster::{Cluster, Store};
use super::providers::{KINDS, Kind};

/// The smallest GIF there is.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";
/// What every answer says.
const SAID: [&str; 3] = [
    "assistant: text word:0 word:1 word:2 ",
    r#"assistant: call #0 lookup {"n":0}"#,
    r#"assistant: call #1 lookup {"n":1}"#,
];
const SCHEMA: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#;

/// A model at a provider of each kind, with nowhere else to go. Nothing may be left out.
fn policy() -> String {
    let mut parts = [const { String::new() }; 4];
    for kind in KINDS {
        let (settings, habits, served) = (kind.settings, kind.habits, kind.served);
        let (of, name, kind) = (kind.kind(), name(&kind), kind.name);
        let lines = [
            format!(
                "  {name}: {{ kind: {of}, base_url: \"PROVIDER/{kind}\", internal: true{settings} }}"
            ),
            format!(
                "  {name}: {{ provider: {name}, model: \"anthropic.claude@ok-3+think-2+calls-2+cached-2{habits}\"{served} }}"
            ),
            format!("  {name}: {{ targets: [ {{ deployment: {name} }} ] }}"),
            format!("  {name}: {{ routes: [ {{ pools: [{name}] }} ], retry: {{ attempts: 1 }} }}"),
        ];
        for (part, line) in parts.iter_mut().zip(lines) {
            // Writing to a String cannot fail.
            let _ = writeln!(part, "{line}");
        }
    }
    let [providers, deployments, pools, models] = parts;
    format!(
        "providers:\n{providers}deployments:\n{deployments}pools:\n{pools}models:\n{models}\
         limits: [ {{ name: tokens, per: [key], tokens: 10000000, window: 1h }} ]\n"
    )
}

fn name(kind: &Kind) -> String {
    kind.name.replace('_', "-")
}

fn of(part: part::Part) -> Part {
    Part {
        part: Some(part),
        ..Part::default()
    }
}

fn text(text: &str) -> Part {
    of(part::Part::Text(text.to_owned()))
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role: role.into(),
        parts,
        ..Message::default()
    }
}

/// Instructions that are to be cached, and a question about a picture.
fn beginning() -> Vec<Message> {
    let instructions = Part {
        cache_hint: Some(CacheHint::default()),
        ..text("Be brief.")
    };
    let picture = part::Part::Image(Image {
        source: Some(image::Source::Data(PIXEL.into())),
        media_type: "image/gif".to_owned(),
        ..Image::default()
    });
    vec![
        message(Role::System, vec![instructions]),
        message(Role::User, vec![text("What is it?"), of(picture)]),
    ]
}

fn request(kind: &Kind, messages: &[Message]) -> CompleteRequest {
    let function = FunctionTool {
        name: "lookup".to_owned(),
        parameters_json: SCHEMA.to_owned(),
        ..FunctionTool::default()
    };
    CompleteRequest {
        messages: messages.to_vec(),
        max_output_tokens: Some(4096),
        reasoning: Some(ReasoningRequest {
            effort: ReasoningEffort::Medium.into(),
            ..ReasoningRequest::default()
        }),
        tools: vec![Tool {
            tool: Some(tool::Tool::Function(function)),
            ..Tool::default()
        }],
        ..ask(&name(kind), "")
    }
}

/// What the tools found, in the order of the calls.
fn results(answer: &Message, turn: usize) -> Message {
    let calls = answer.parts.iter().filter_map(|part| match &part.part {
        Some(part::Part::ToolCall(call)) => Some(call.id.clone()),
        _ => None,
    });
    let result = |(index, tool_call_id): (usize, String)| {
        of(part::Part::ToolResult(ToolResult {
            tool_call_id,
            parts: vec![text(&format!("found {turn}.{index}"))],
            is_error: false,
        }))
    };
    message(Role::Tool, calls.enumerate().map(result).collect())
}

/// Asks for a whole answer.
async fn whole(caller: &Caller, request: CompleteRequest) -> anyhow::Result<Message> {
    let answer = caller.send(request).await?;
    assert_eq!(answer.warnings, [], "nothing had to be left out");
    assert_eq!(answer.usage.map(|usage| usage.cache_read_tokens), Some(2));
    let choice = answer.choices.into_iter().next().unwrap_or_default();
    Ok(choice.message.unwrap_or_default())
}

/// Asks for a stream, and puts it together as a caller would.
async fn streamed(caller: &Caller, request: CompleteRequest) -> anyhow::Result<Message> {
    let mut stream = caller.open(request).await?;
    let mut parts: Vec<Part> = Vec::new();
    let mut first_call = None;
    while let Some(piece) = stream.message().await? {
        for delta in piece.choices.into_iter().flat_map(|choice| choice.parts) {
            match delta.delta {
                Some(part_delta::Delta::Text(more)) => match parts.last_mut() {
                    Some(Part {
                        part: Some(part::Part::Text(text)),
                        ..
                    }) => text.push_str(&more),
                    _ => parts.push(text(&more)),
                },
                Some(part_delta::Delta::Reasoning(more)) => think(&mut parts, more),
                Some(part_delta::Delta::ToolCall(more)) => {
                    let first = *first_call.get_or_insert(parts.len());
                    let at = first + more.index as usize;
                    if parts.len() == at {
                        parts.push(of(part::Part::ToolCall(ToolCall::default())));
                    }
                    let Some(part::Part::ToolCall(call)) = &mut parts[at].part else {
                        anyhow::bail!("calls follow each other");
                    };
                    call.id.push_str(&more.id);
                    call.name.push_str(&more.name);
                    call.arguments_json.push_str(&more.arguments_json);
                    call.provider_state.extend(more.provider_state);
                }
                other => anyhow::bail!("nobody asked for {other:?}"),
            }
        }
    }
    Ok(message(Role::Assistant, parts))
}

/// Adds to a thought. State closes what it belongs to.
fn think(parts: &mut Vec<Part>, more: Reasoning) {
    if let Some(part::Part::Reasoning(thought)) = parts.last_mut().and_then(|it| it.part.as_mut())
        && (thought.provider_state.is_empty() || more.text.is_empty())
    {
        thought.text.push_str(&more.text);
        thought.provider_state.extend(more.provider_state);
    } else {
        parts.push(of(part::Part::Reasoning(more)));
    }
}

/// The state that came with an answer.
fn state(answer: &Message) -> Vec<ProviderState> {
    let states = answer.parts.iter().flat_map(|part| match &part.part {
        Some(part::Part::Reasoning(thought)) => thought.provider_state.clone(),
        Some(part::Part::ToolCall(call)) => call.provider_state.clone(),
        _ => Vec::new(),
    });
    states.collect()
}

/// Whether that kind gives state that nobody but it can read. Cohere's is how much of a thought was a plan.
fn gives_state(kind: &Kind) -> bool {
    let signs = matches!(kind.name, "anthropic" | "gemini" | "bedrock" | "mistral");
    signs || !kind.served.is_empty()
}

/// Holds a request against the conversation and the state given so far.
#[track_caller]
fn check(
    kind: &Kind,
    sent: &Recorded,
    messages: &[Message],
    given: &[ProviderState],
) -> anyhow::Result<()> {
    let body: serde_json::Value = serde_json::from_slice(&sent.body)?;
    let told = transcript::of_request(sent.format, &body);
    assert_eq!(told, transcript::of_messages(messages), "{}", kind.name);
    let text = std::str::from_utf8(&sent.body)?;
    for state in given {
        let data = std::str::from_utf8(&state.data)?;
        // Over chat completions there is no place for what came over Responses.
        let own = state.provider == kind.kind() && gives_state(kind);
        let times = text.matches(data).count();
        assert_eq!(
            times,
            usize::from(own),
            "{} at {}",
            state.provider,
            kind.name
        );
    }
    let cached = match kind.name {
        "anthropic" => text.contains(r#""cache_control":{"type":"ephemeral"}"#),
        "bedrock" => text.contains(r#""cachePoint":{"type":"default"}"#),
        _ => !text.contains("\"cache"),
    };
    assert!(cached, "{}: {text}", kind.name);
    Ok(())
}

/// Two laps over all kinds: in the second, each gets back what it gave in the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_moves_over_every_kind_of_provider() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    cluster.provider.record();
    let key = cluster.key("acme/mover").await?;
    let caller = cluster.caller(0, &key)?;
    let mut messages = beginning();
    let mut given = Vec::new();
    for turn in 0..2 * KINDS.len() {
        let kind = &KINDS[turn % KINDS.len()];
        // Unary and streamed by turns, and the other way round in the second lap.
        let streams = (turn + turn / KINDS.len()) % 2 == 1;
        let asked = request(kind, &messages);
        let answer = if streams {
            streamed(&caller, asked).await
        } else {
            whole(&caller, asked).await
        };
        let answer = answer.map_err(|error| error.context(kind.name))?;
        let sent = cluster.provider.recorded();
        assert_eq!(sent.len(), turn + 1);
        check(kind, &sent[turn], &messages, &given)?;

        let said = transcript::of_messages(std::slice::from_ref(&answer));
        assert_eq!(said, SAID, "{}", kind.name);
        let state = state(&answer);
        let readable = state.iter().filter(|it| it.kind != "tool_plan");
        assert_eq!(
            readable.clone().count(),
            usize::from(gives_state(kind)),
            "{}",
            kind.name
        );
        given.extend(readable.cloned());
        let results = results(&answer, turn);
        messages.extend([answer, results]);
    }
    Ok(())
}
