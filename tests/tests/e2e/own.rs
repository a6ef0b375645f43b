//! What belongs to one provider: sound that it made, files that it keeps, tools that it runs.

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tollgate_proto::completion::v1::{
    Audio, AudioOutput, CompleteRequest, Document, Message, OutputModality, Part, ProviderTool,
    Role, Tool, document, part, part_delta, tool,
};
use tonic::Code;

use super::caller::{Caller, ask};
use super::cluster::{Cluster, Store};
use super::http::{Http, chat};

/// Models that speak, which cost ten times as much for sound, and one of providers that differ in what they have.
const POLICY: &str = r#"
providers:
  openai: { kind: openai, base_url: "PROVIDER/openai", internal: true }
  google: { kind: gemini, base_url: "PROVIDER/gemini", internal: true }
  claude: { kind: anthropic, base_url: "PROVIDER/anthropic", internal: true }
deployments:
  openai: { provider: openai, model: "openai@ok-3+spoken", price: { input: "1", input_audio: "10", output: "2", output_audio: "20" } }
  google: { provider: google, model: "google@ok-3+spoken", price: { input: "1", input_audio: "10", output: "2", output_audio: "20" } }
  first:  { provider: openai, model: "first@ok-3", price: { input: "1", output: "2" } }
  second: { provider: claude, model: "second@ok-3+searched", price: { input: "1", output: "2", search: "0.01" } }
  third:  { provider: claude, model: "third@ok-3+searched", price: { input: "1", output: "2" } }
pools:
  openai: { targets: [ { deployment: openai } ] }
  google: { targets: [ { deployment: google } ] }
  first:  { targets: [ { deployment: first } ] }
  second: { targets: [ { deployment: second } ] }
  third:  { targets: [ { deployment: third } ] }
models:
  openai: { routes: [ { pools: [openai] } ] }
  google: { routes: [ { pools: [google] } ] }
  chat:   { routes: [ { pools: [first, second] } ] }
  third:  { routes: [ { pools: [third] } ] }
limits: [ { name: cost, per: [key], cost_usd: "1", window: 1h } ]
"#;

const WORDS: &str = "n:0 n:1 n:2 ";

fn speaking(model: &str) -> CompleteRequest {
    CompleteRequest {
        output_modalities: vec![OutputModality::Text.into(), OutputModality::Audio.into()],
        audio_output: Some(AudioOutput {
            voice: "alloy".to_owned(),
            format: "pcm16".to_owned(),
        }),
        ..ask(model, "nonce=n")
    }
}

/// The sound of a stream, put together as a caller would.
async fn heard(caller: &Caller, request: CompleteRequest) -> anyhow::Result<Audio> {
    let mut stream = caller.open(request).await?;
    let mut heard = Audio::default();
    let mut data = Vec::new();
    while let Some(piece) = stream.message().await? {
        for delta in piece.choices.into_iter().flat_map(|choice| choice.parts) {
            let Some(part_delta::Delta::Audio(more)) = delta.delta else {
                anyhow::bail!("nobody asked for {delta:?}");
            };
            data.extend_from_slice(&more.data);
            heard.transcript.push_str(&more.transcript);
            heard.id = if more.id.is_empty() {
                heard.id
            } else {
                more.id
            };
            heard.media_type = if more.media_type.is_empty() {
                heard.media_type
            } else {
                more.media_type
            };
            heard.expires_at = more.expires_at.or(heard.expires_at);
        }
    }
    heard.data = data.into();
    Ok(heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_in_sound_reach_callers_of_either_edge_and_are_paid_for() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    cluster.provider.record();
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    for (model, words) in [("openai", WORDS), ("google", "")] {
        let answer = caller.send(speaking(model)).await?;
        let usage = answer.usage.context("usage")?;
        let said = answer.choices[0].message.clone().context("a message")?;
        let [
            Part {
                part: Some(part::Part::Audio(audio)),
                ..
            },
        ] = &said.parts[..]
        else {
            anyhow::bail!("{said:?}");
        };
        assert_eq!(
            (&*audio.data, &*audio.transcript),
            (WORDS.as_bytes(), words)
        );
        assert_eq!(audio.media_type.is_empty(), model == "openai");
        let mut streamed = heard(&caller, speaking(model)).await?;
        // Each answer has a name of its own.
        streamed.id.clone_from(&audio.id);
        assert_eq!(&streamed, audio, "{model}");

        // What was said goes back as its provider knows it.
        let mut next = ask(model, "nonce=n");
        next.messages.insert(0, said.clone());
        caller.send(next).await?;
        let sent = cluster.provider.recorded().pop().context("a request")?;
        let sent = String::from_utf8(sent.body.to_vec())?;
        let known = if model == "openai" {
            json!({ "id": audio.id }).to_string()
        } else {
            STANDARD.encode(WORDS)
        };
        assert!(sent.contains(&known), "{sent}");

        if model == "openai" {
            assert_eq!(usage.output_audio_tokens, 3);
            let cost = answer.cost.and_then(|cost| cost.nano_usd);
            let tokens = usage.input_tokens * 1_000 + 3 * 20_000;
            assert_eq!(cost, i64::try_from(tokens).ok());
        }
    }
    let http = Http::new(&cluster.nodes[0].url, &key.secret);
    let mut body = chat("openai", "nonce=n");
    body["modalities"] = json!(["text", "audio"]);
    body["audio"] = json!({"voice": "alloy", "format": "pcm16"});
    let reply = http.chat(&body).await?.json();
    let audio = &reply["choices"][0]["message"]["audio"];
    assert_eq!(audio["transcript"], WORDS, "{reply}");
    assert_eq!(audio["data"], STANDARD.encode(WORDS), "{reply}");
    assert_eq!(
        reply["usage"]["completion_tokens_details"]["audio_tokens"],
        3
    );
    assert!(audio["expires_at"].as_u64() > Some(0), "{reply}");
    Ok(())
}

fn tool(kind: &str) -> Tool {
    Tool {
        tool: Some(tool::Tool::Provider(ProviderTool {
            r#type: kind.to_owned(),
            settings_json: json!({ "name": "web_search" }).to_string(),
            provider: String::new(),
        })),
        ..Tool::default()
    }
}

fn about_a_file(owner: &str) -> CompleteRequest {
    let document = part::Part::Document(Document {
        source: Some(document::Source::FileId("file_1".to_owned())),
        provider: owner.to_owned(),
        ..Document::default()
    });
    let mut request = ask("chat", "nonce=n");
    request.messages[0].parts.push(Part {
        part: Some(document),
        ..Part::default()
    });
    request
}

/// Who does not have what a request is about is not asked, though it would be first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_has_it_is_asked() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, POLICY).await?;
    cluster.provider.record();
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let searching = CompleteRequest {
        tools: vec![tool("web_search_20250305")],
        ..ask("chat", "nonce=n")
    };
    let mut searched = None;
    for (request, expect) in [
        (ask("chat", "nonce=n"), "first"),
        (about_a_file(""), "first"),
        (about_a_file("openai"), "first"),
        (about_a_file("claude"), "second"),
        (about_a_file("anthropic"), "second"),
        (searching.clone(), "second"),
    ] {
        let answer = caller.send(request).await?;
        let route = answer.route.context("a route")?;
        assert_eq!(route.deployment, expect);
        searched = answer.choices.into_iter().next().and_then(|it| it.message);
    }
    let status = caller.send(about_a_file("nobody")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("another provider"), "{status}");

    // A search is paid for beside its tokens; where nobody says how much, and money is limited, none is made.
    let answer = caller.send(searching.clone()).await?;
    let usage = answer.usage.context("usage")?;
    let tokens = 1_000 * usage.input_tokens + 2_000 * usage.output_tokens;
    assert_eq!(usage.searches, 1);
    let cost = answer.cost.and_then(|cost| cost.nano_usd);
    assert_eq!(cost, i64::try_from(tokens + 10_000_000).ok());
    let unpriced = CompleteRequest {
        model: "third".to_owned(),
        ..searching.clone()
    };
    let status = caller.send(unpriced).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("price.search"), "{status}");

    // What the search found goes back as it came, and once.
    let question = searching.messages[0].clone();
    let next = CompleteRequest {
        messages: vec![
            question.clone(),
            Message {
                role: Role::Assistant.into(),
                ..searched.context("an answer")?
            },
            question,
        ],
        ..searching
    };
    caller.send(next).await?;
    let sent = cluster.provider.recorded().pop().context("a request")?;
    let sent: Value = serde_json::from_slice(&sent.body)?;
    let content = &sent["messages"][1]["content"];
    assert_eq!(content[0]["type"], "server_tool_use", "{sent}");
    assert_eq!(content[1]["type"], "web_search_tool_result", "{sent}");
    assert_eq!(content[1]["content"][0]["encrypted_content"], "c2VjcmV0");
    assert_eq!(content[2]["text"], WORDS, "{sent}");
    Ok(())
}
