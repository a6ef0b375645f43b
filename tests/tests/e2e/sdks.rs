//! The providers' own SDKs as judges, of what the gateway sends and of what the fake provider answers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tollgate_proto::completion::v1::{
    AudioOutput, Citation, CompleteRequest, CompleteResponse, Document, EmbedInput, EmbedRequest,
    FunctionTool, Image, InputType, JsonSchemaFormat, Message, OutputModality, Part, PromptCache,
    ProviderState, ProviderTool, ReasoningRequest, ResponseFormat, Role, TokenList, Tool, ToolCall,
    ToolChoice, ToolChoiceMode, ToolResult, Truncation, VectorEncoding, document, embed_input,
    image, part, response_format, tool, tool_choice,
};
use tollgate_tests::process::run;
use tollgate_tests::provider::Recorded;
use tonic::Code;

use super::caller::{Caller, ask, embed};
use super::cluster::{Cluster, Store};
use super::environment::{repository, required};
use super::providers::KINDS;

/// The scripts of `tests/clients`, one for each SDK.
const SDKS: [&str; 6] = [
    "openai_sdk.py",
    "anthropic_sdk.py",
    "google_genai_sdk.py",
    "cohere_sdk.py",
    "mistralai_sdk.py",
    "botocore_sdk.py",
];

/// Models for vectors at Vertex AI, which asks for those of Gemini and of others in different ways.
const VERTEX: [&str; 4] = [
    "  vertex: { kind: gemini, base_url: \"PROVIDER/vertex/publishers/google\", internal: true, drop_unsupported: true }\n",
    "  v-gemini: { provider: vertex, model: \"gemini@ok\" }\n  v-text: { provider: vertex, model: \"text@ok\" }\n",
    "  v-gemini: { targets: [ { deployment: v-gemini } ] }\n  v-text: { targets: [ { deployment: v-text } ] }\n",
    "  v-gemini: { routes: [ { pools: [v-gemini] } ] }\n  v-text: { routes: [ { pools: [v-text] } ] }\n",
];

/// A model at a provider of each kind, whose requests say by their path which kind that is. What a kind has no words
/// for is left out: what is judged here is what it does say.
fn policy() -> String {
    let mut parts = [const { String::new() }; 4];
    for kind in KINDS {
        let (settings, habits, served) = (kind.settings, kind.habits, kind.served);
        let (of, kind) = (kind.kind(), kind.name);
        let provider = kind.replace('_', "-");
        // Writing to a String cannot fail.
        let _ = writeln!(
            parts[0],
            "  {provider}: {{ kind: {of}, base_url: \"PROVIDER/{kind}\", internal: true, drop_unsupported: true{settings} }}"
        );
        let models = [
            (
                provider.clone(),
                format!("ok-3+think-2+searched+calls-2+cached-2{habits}"),
                served,
            ),
            (vectors(kind), "cohere.embed-v4@ok".to_owned(), ""),
        ];
        for (name, model, served) in models {
            let lines = [
                format!("  {name}: {{ provider: {provider}, model: \"{model}\"{served} }}"),
                format!("  {name}: {{ targets: [ {{ deployment: {name} }} ] }}"),
                format!(
                    "  {name}: {{ routes: [ {{ pools: [{name}] }} ], retry: {{ attempts: 1 }} }}"
                ),
            ];
            for (part, line) in parts[1..].iter_mut().zip(lines) {
                let _ = writeln!(part, "{line}");
            }
        }
    }
    for (part, line) in parts.iter_mut().zip(VERTEX) {
        part.push_str(line);
    }
    let [providers, deployments, pools, models] = parts;
    format!(
        "providers:\n{providers}deployments:\n{deployments}pools:\n{pools}models:\n{models}\
         limits: [ {{ name: tokens, per: [key], tokens: 10000000, window: 1h }} ]\n"
    )
}

/// The model for vectors at a provider of a kind.
fn vectors(kind: &str) -> String {
    format!("{}-vectors", kind.replace('_', "-"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_providers_sdks_agree_with_what_is_sent_and_answered() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    cluster.provider.record();
    let key = cluster.key("acme/sdks").await?;
    let caller = cluster.caller(0, &key)?;
    for kind in KINDS {
        converse(&caller, &kind.name.replace('_', "-")).await?;
        if kind.name != "anthropic" && kind.served.is_empty() {
            ask_for_vectors(&caller, &vectors(kind.name)).await?;
        }
    }
    for model in ["v-gemini", "v-text"] {
        ask_for_vectors(&caller, model).await?;
    }
    let captured = tempfile::NamedTempFile::new()?;
    std::fs::write(captured.path(), lines(&cluster.provider.recorded())?)?;
    let provider = format!("http://{}", cluster.provider.address());
    for sdk in SDKS {
        judge(sdk, &provider, captured.path()).await?;
    }
    Ok(())
}

/// Runs one script.
async fn judge(sdk: &str, provider: &str, captured: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(required("TOLLGATE_TEST_PYTHON")?);
    let kinds = KINDS.map(|kind| kind.name).join(" ");
    command
        .arg(repository().join("tests/clients").join(sdk))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TOLLGATE_PROVIDER", provider)
        .env("TOLLGATE_REQUESTS", captured)
        .env("TOLLGATE_KINDS", kinds);
    let output = tokio::task::spawn_blocking(move || run(&mut command)).await??;
    anyhow::ensure!(output.ends_with("all is well\n"), "{sdk}: {output}");
    Ok(())
}

/// The captured requests as JSON, one a line.
fn lines(recorded: &[Recorded]) -> anyhow::Result<String> {
    let mut lines = String::new();
    for request in recorded {
        // After the `/v1` of the fake provider's address.
        let kind = request.path.split('/').nth(2).unwrap_or_default();
        let headers: BTreeMap<_, _> = request.headers.iter().cloned().collect();
        let body: Value = serde_json::from_slice(&request.body)?;
        let path = &request.path;
        let line = json!({ "kind": kind, "path": path, "headers": headers, "body": body });
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{line}");
    }
    Ok(lines)
}

/// Says everything once, unary and streamed; at last what answers an answer, with all that came with it.
async fn converse(caller: &Caller, model: &str) -> anyhow::Result<()> {
    let requests = [
        ask(model, "nonce=n"),
        settings(model),
        tools(model),
        picture(model),
        schema(model),
        thinking(model),
        sources(model),
        spoken(model),
        own_tools(model),
    ];
    for request in requests {
        caller.send(request.clone()).await?;
        let streamed = caller.stream(request).await;
        streamed.map_err(|(status, _)| status)?;
    }
    // Only some kinds keep files, or pictures as such: whoever does not refuses before anything is sent.
    for request in stored(model) {
        match caller.send(request).await {
            Ok(_) => {}
            Err(status) if status.code() == Code::InvalidArgument => {}
            Err(status) => anyhow::bail!("{model}: {status}"),
        }
    }
    let answer = caller.send(thinking(model)).await?;
    let next = reply_to(&answer, thinking(model));
    caller.send(next.clone()).await?;
    let streamed = caller.stream(next).await;
    streamed.map_err(|(status, _)| status)?;
    Ok(())
}

/// Asks for vectors in every way that some kind has words for.
async fn ask_for_vectors(caller: &Caller, model: &str) -> anyhow::Result<()> {
    let plain = EmbedRequest {
        input_type: InputType::Query.into(),
        ..embed(model, &["one", "two"])
    };
    let settings = EmbedRequest {
        dimensions: Some(16),
        input_type: InputType::Document.into(),
        encoding: VectorEncoding::Binary.into(),
        truncation: Truncation::End.into(),
        end_user: "ann".to_owned(),
        ..embed(model, &["one"])
    };
    caller.embed(plain.clone()).await?;
    caller.embed(settings).await?;
    let with = |inputs: Vec<embed_input::Input>| EmbedRequest {
        inputs: inputs
            .into_iter()
            .map(|it| EmbedInput { input: Some(it) })
            .collect(),
        ..plain.clone()
    };
    // Only some kinds take these: whoever does not refuses before anything is sent.
    let tokens = TokenList { tokens: vec![1, 2] };
    let others = [
        with(vec![embed_input::Input::Tokens(tokens)]),
        with(vec![embed_input::Input::Image(pixel())]),
        with(vec![
            embed_input::Input::Text("one".to_owned()),
            embed_input::Input::Image(pixel()),
        ]),
    ];
    for request in others {
        match caller.embed(request).await {
            Ok(_) => {}
            Err(status) if status.code() == Code::InvalidArgument => {}
            Err(status) => anyhow::bail!("{model}: {status}"),
        }
    }
    Ok(())
}

fn settings(model: &str) -> CompleteRequest {
    CompleteRequest {
        max_output_tokens: Some(100),
        temperature: Some(0.25),
        top_p: Some(0.5),
        stop: vec!["a".to_owned(), "b".to_owned()],
        seed: Some(7),
        frequency_penalty: Some(0.5),
        presence_penalty: Some(0.5),
        end_user: "ann".to_owned(),
        prompt_cache: Some(PromptCache {
            key: "ann".to_owned(),
            retention: "24h".to_owned(),
        }),
        ..ask(model, "nonce=n")
    }
}

/// An answer in sound, of one of Gemini's voices: OpenAI's SDK takes any name.
fn spoken(model: &str) -> CompleteRequest {
    CompleteRequest {
        output_modalities: vec![OutputModality::Text.into(), OutputModality::Audio.into()],
        audio_output: Some(AudioOutput {
            voice: "Kore".to_owned(),
            format: "pcm16".to_owned(),
        }),
        max_output_tokens: Some(100),
        ..ask(model, "nonce=n")
    }
}

/// A tool that the provider runs, for each kind that runs some.
fn own_tools(model: &str) -> CompleteRequest {
    let own = |(provider, kind, settings): (&str, &str, Value)| Tool {
        tool: Some(tool::Tool::Provider(ProviderTool {
            r#type: kind.to_owned(),
            settings_json: settings.to_string(),
            provider: provider.to_owned(),
        })),
        ..Tool::default()
    };
    let search = json!({ "name": "web_search", "max_uses": 3 });
    let tools = [
        ("anthropic", "web_search_20250305", search),
        ("gemini", "googleSearch", json!({})),
        ("gemini", "codeExecution", json!({})),
        ("bedrock", "systemTool", json!({ "name": "nova_grounding" })),
    ];
    CompleteRequest {
        tools: tools.into_iter().map(own).chain([lookup()]).collect(),
        max_output_tokens: Some(100),
        ..ask(model, "nonce=n")
    }
}

/// A document and a picture that the provider keeps.
fn stored(model: &str) -> [CompleteRequest; 2] {
    let document = part::Part::Document(Document {
        source: Some(document::Source::FileId("s3://bucket/a.pdf".to_owned())),
        media_type: "application/pdf".to_owned(),
        ..Document::default()
    });
    let image = part::Part::Image(Image {
        source: Some(image::Source::FileId("s3://bucket/a.png".to_owned())),
        media_type: "image/png".to_owned(),
        ..Image::default()
    });
    [document, image].map(|file| CompleteRequest {
        messages: vec![message(Role::User, vec![text("What? nonce=n"), file])],
        max_output_tokens: Some(100),
        ..ask(model, "")
    })
}

fn message(role: Role, parts: Vec<part::Part>) -> Message {
    let part = |part| Part {
        part: Some(part),
        ..Part::default()
    };
    Message {
        role: role.into(),
        parts: parts.into_iter().map(part).collect(),
        ..Message::default()
    }
}

fn text(text: &str) -> part::Part {
    part::Part::Text(text.to_owned())
}

fn result(id: &str, said: &str, is_error: bool) -> part::Part {
    part::Part::ToolResult(ToolResult {
        tool_call_id: id.to_owned(),
        parts: message(Role::Tool, vec![text(said)]).parts,
        is_error,
    })
}

fn lookup() -> Tool {
    let parameters = json!({
        "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"],
    });
    let function = FunctionTool {
        name: "lookup".to_owned(),
        description: "Looks a number up.".to_owned(),
        parameters_json: parameters.to_string(),
        strict: None,
    };
    Tool {
        tool: Some(tool::Tool::Function(function)),
        ..Tool::default()
    }
}

/// A conversation with instructions, calls of tools at once, one of which failed, and a call that must be made.
fn tools(model: &str) -> CompleteRequest {
    let call = |id: &str| {
        part::Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "lookup".to_owned(),
            arguments_json: r#"{"n":1}"#.to_owned(),
            ..ToolCall::default()
        })
    };
    let mode = tool_choice::Choice::Mode(ToolChoiceMode::Required.into());
    CompleteRequest {
        messages: vec![
            message(Role::System, vec![text("Be brief.")]),
            message(Role::Developer, vec![text("Use tools.")]),
            message(Role::User, vec![text("Look up."), text("nonce=n")]),
            message(
                Role::Assistant,
                vec![text("So I do."), call("call_a"), call("call_b")],
            ),
            message(
                Role::Tool,
                vec![
                    result("call_a", "one", false),
                    result("call_b", "none", true),
                ],
            ),
            message(Role::User, vec![text("And again. nonce=n")]),
        ],
        tools: vec![lookup()],
        tool_choice: Some(ToolChoice { choice: Some(mode) }),
        parallel_tool_calls: Some(true),
        ..ask(model, "")
    }
}

/// The smallest GIF there is.
fn pixel() -> Image {
    const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";
    Image {
        source: Some(image::Source::Data(PIXEL.into())),
        media_type: "image/gif".to_owned(),
        ..Image::default()
    }
}

fn picture(model: &str) -> CompleteRequest {
    let image = part::Part::Image(pixel());
    CompleteRequest {
        messages: vec![message(Role::User, vec![text("What? nonce=n"), image])],
        ..ask(model, "")
    }
}

fn schema(model: &str) -> CompleteRequest {
    let schema = json!({
        "type": "object", "properties": { "n": { "type": "integer" } },
        "required": ["n"], "additionalProperties": false,
    });
    let format = response_format::Format::JsonSchema(JsonSchemaFormat {
        name: "number".to_owned(),
        schema_json: schema.to_string(),
        strict: Some(true),
        ..JsonSchemaFormat::default()
    });
    CompleteRequest {
        response_format: Some(ResponseFormat {
            format: Some(format),
        }),
        ..ask(model, "nonce=n")
    }
}

/// A document to be cited, an answer that cited it, and what follows.
fn sources(model: &str) -> CompleteRequest {
    let document = part::Part::Document(Document {
        source: Some(document::Source::Text("The sky is blue.".to_owned())),
        title: "Sky".to_owned(),
        citations: true,
        ..Document::default()
    });
    let char_location = json!({
        "type": "char_location", "cited_text": "The sky is blue.", "document_index": 0, "document_title": "Sky",
        "start_char_index": 0, "end_char_index": 16,
    });
    let web = json!({
        "type": "web_search_result_location", "cited_text": "Blue.", "encrypted_index": "x9", "title": "Sky",
        "url": "https://sky.example",
    });
    let character = json!({
        "title": "Sky", "sourceContent": [{ "text": "The sky is blue." }],
        "location": { "documentChar": { "documentIndex": 0, "start": 0, "end": 16 } },
    });
    let cited = [
        ("anthropic", char_location),
        ("anthropic", web),
        ("bedrock", character),
    ];
    let citations = cited.map(|(provider, json)| Citation {
        end: 11,
        provider_state: Some(ProviderState {
            provider: provider.to_owned(),
            kind: "citation".to_owned(),
            data: json.to_string().into(),
        }),
        ..Citation::default()
    });
    let mut answer = message(Role::Assistant, vec![text("It is blue. So it is.")]);
    for part in &mut answer.parts {
        part.citations = citations.to_vec();
    }
    CompleteRequest {
        messages: vec![
            message(Role::User, vec![text("What?"), document]),
            answer,
            message(Role::User, vec![text("And again. nonce=n")]),
        ],
        max_output_tokens: Some(100),
        ..ask(model, "")
    }
}

fn thinking(model: &str) -> CompleteRequest {
    CompleteRequest {
        max_output_tokens: Some(4096),
        reasoning: Some(ReasoningRequest {
            max_tokens: Some(1024),
            ..ReasoningRequest::default()
        }),
        tools: vec![lookup()],
        ..ask(model, "nonce=n")
    }
}

/// The request that follows an answer: all of it, thoughts and their state included, and what the tools returned.
fn reply_to(answer: &CompleteResponse, mut request: CompleteRequest) -> CompleteRequest {
    let said = answer
        .choices
        .first()
        .and_then(|choice| choice.message.clone());
    let said = said.unwrap_or_default();
    let results = said.parts.iter().filter_map(|part| match &part.part {
        Some(part::Part::ToolCall(call)) => Some(result(&call.id, "found", false)),
        _ => None,
    });
    let results = message(Role::Tool, results.collect());
    let said = Message {
        role: Role::Assistant.into(),
        ..said
    };
    request.messages.extend([said, results]);
    request
}
