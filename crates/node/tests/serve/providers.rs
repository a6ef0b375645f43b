//! Every wire format from a policy to a server that speaks it, and back to a caller.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// What a server was asked.
#[derive(Clone, Debug)]
struct Asked {
    /// Path and query.
    target: String,
    headers: HeaderMap,
    body: Value,
}

/// A server that answers whatever it is asked with one whole answer, or one stream where a stream is asked for.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: JoinSet<()>,
}

#[derive(Clone)]
struct Answers {
    whole: &'static str,
    stream: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A provider on a port of its own that answers by this router, until the tasks are dropped.
pub(super) async fn provider(router: Router) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(router.clone());
            let http = hyper::server::conn::http1::Builder::new();
            connections.spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, task)
}

impl Server {
    async fn start(whole: &'static str, stream: &'static str) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers = Answers {
            whole,
            stream,
            asked: Arc::clone(&asked),
        };
        let router = Router::new().fallback(answer).with_state(answers);
        let (address, task) = provider(router).await;
        Self {
            address,
            asked,
            _task: task,
        }
    }

    fn last(&self) -> Asked {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

async fn answer(
    State(answers): State<Answers>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse + use<> {
    let is_stream = headers["accept"] == "text/event-stream";
    answers.asked.lock().unwrap().push(Asked {
        target: uri.to_string(),
        headers,
        body: serde_json::from_slice(&body).unwrap(),
    });
    let (kind, body) = if is_stream {
        ("text/event-stream", answers.stream)
    } else {
        ("application/json", answers.whole)
    };
    ([("content-type", kind)], body)
}

/// A gateway whose one provider is of this kind at that server.
async fn gateway(server: &Server, provider: &str, key: &str) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, key).unwrap();
    let policy = format!(
        r#"
providers:
  p: {{ {provider}, internal: true, credential: {{ file: {path:?} }} }}
deployments:
  d: {{ provider: p, model: "upstream/1" }}
pools:
  main: {{ targets: [ {{ deployment: d }} ] }}
models:
  chat: {{ routes: [ {{ pools: [main] }} ], max_output_tokens: 100 }}
"#
    )
    .replace("ADDRESS", &server.address);
    (Gateway::start(&policy).await, folder)
}

/// The text and the finish reason of an answer over HTTP, whole or streamed.
async fn say(gateway: &Gateway, stream: bool) -> (String, String) {
    let response = gateway.post(&chat("chat", stream)).send().await.unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    assert_eq!(status, 200, "{body}");
    let documents: Vec<Value> = if stream {
        let events = body.lines().filter_map(|line| line.strip_prefix("data: "));
        let json = events.filter(|event| *event != "[DONE]");
        json.map(|event| serde_json::from_str(event).unwrap())
            .collect()
    } else {
        vec![serde_json::from_str(&body).unwrap()]
    };
    let (mut text, mut reason) = (String::new(), String::new());
    for choice in documents.iter().map(|document| &document["choices"][0]) {
        let said = if stream { "delta" } else { "message" };
        text.push_str(choice[said]["content"].as_str().unwrap_or_default());
        reason.push_str(choice["finish_reason"].as_str().unwrap_or_default());
    }
    (text, reason)
}

const GEMINI_WHOLE: &str = r#"{"candidates":[{"content":{"parts":[{"text":"hello"}],"role":"model"},"finishReason":"STOP","index":0}],
    "usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1,"thoughtsTokenCount":2,"totalTokenCount":7},"modelVersion":"g","responseId":"r"}"#;
const GEMINI_STREAM: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":\"c2ln\"}],\"role\":\"model\"},\"index\":0}]}\r\n\r\n\
    data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":3,\"totalTokenCount\":7},\"modelVersion\":\"g\",\"responseId\":\"r\"}\r\n\r\n";

#[tokio::test]
async fn gemini_answers() {
    let server = Server::start(GEMINI_WHOLE, GEMINI_STREAM).await;
    let provider = r#"kind: gemini, base_url: "http://ADDRESS/v1beta""#;
    let (gateway, _folder) = gateway(&server, provider, "AIza-test").await;
    let mut client = gateway.grpc().await;
    let answer = client.complete(ask("chat")).await.unwrap().into_inner();
    let usage = answer.usage.unwrap();
    assert_eq!(
        (
            usage.input_tokens,
            usage.output_tokens,
            usage.reasoning_tokens
        ),
        (4, 3, 2)
    );
    let asked = server.last();
    assert_eq!(asked.target, "/v1beta/upstream/1:generateContent");
    assert_eq!(asked.headers["x-goog-api-key"], "AIza-test");
    assert!(!asked.headers.contains_key("authorization"));
    assert_eq!(
        asked.body,
        json!({
            "contents": [{"role": "user", "parts": [{"text": "say something"}]}],
            "generationConfig": {"maxOutputTokens": 100},
        })
    );

    let mut stream = client
        .stream_complete(ask("chat"))
        .await
        .unwrap()
        .into_inner();
    let mut parts = Vec::new();
    let mut reason = FinishReason::Unspecified;
    while let Some(message) = stream.message().await.unwrap() {
        for choice in message.choices {
            reason = reason.max(choice.finish_reason());
            parts.extend(choice.parts.into_iter().filter_map(|part| part.delta));
        }
    }
    assert_eq!(reason, FinishReason::ToolCalls);
    let states: Vec<_> = parts
        .iter()
        .filter_map(|part| match part {
            part_delta::Delta::ToolCall(call) => call.provider_state.first(),
            part_delta::Delta::Text(_)
            | part_delta::Delta::Refusal(_)
            | part_delta::Delta::Reasoning(_)
            | part_delta::Delta::Audio(_)
            | part_delta::Delta::Citation(_) => None,
        })
        .map(|state| (&*state.provider, &state.data[..]))
        .collect();
    assert_eq!(states, [("gemini", &b"c2ln"[..])]);
    assert_eq!(
        server.last().target,
        "/v1beta/upstream/1:streamGenerateContent?alt=sse"
    );
    assert_eq!(
        say(&gateway, false).await,
        ("hello".to_owned(), "stop".to_owned())
    );
}

#[tokio::test]
async fn a_gemini_stream_without_its_end_is_an_error() {
    let cut = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hel\"}]}}]}\r\n\r\n";
    let server = Server::start(GEMINI_WHOLE, cut).await;
    let provider = r#"kind: gemini, base_url: "http://ADDRESS""#;
    let (gateway, _folder) = gateway(&server, provider, "AIza-test").await;
    let mut client = gateway.grpc().await;
    let mut stream = client
        .stream_complete(ask("chat"))
        .await
        .unwrap()
        .into_inner();
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cut stream ended as if it were whole"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DataLoss);
}

#[tokio::test]
async fn a_prompt_that_gemini_blocks_is_told_as_such() {
    let blocked =
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}"#;
    let server = Server::start(blocked, "").await;
    let provider = r#"kind: gemini, base_url: "http://ADDRESS""#;
    let (gateway, _folder) = gateway(&server, provider, "AIza-test").await;
    let mut client = gateway.grpc().await;
    let status = client.complete(ask("chat")).await.unwrap_err();
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "CONTENT_FILTERED"
    );
}

const OPENAI_WHOLE: &str = r#"{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":4,"completion_tokens":1,"total_tokens":5}}"#;
const AZURE_STREAM: &str = "data: {\"choices\":[],\"id\":\"\",\"model\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"},\"finish_reason\":\"stop\",\"content_filter_results\":{}}],\"id\":\"1\",\"model\":\"m\"}\n\n\
    data: [DONE]\n\n";
const MISTRAL_STREAM: &str = "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]},{\"type\":\"text\",\"text\":\"hello\"}]},\"finish_reason\":null}]}\n\n\
    data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2,\"total_tokens\":6}}\n\n\
    data: [DONE]\n\n";

/// Checks that both a whole and a streamed answer come back, and returns what was asked for the latter.
async fn check_hello(server: &Server, provider: &str, key: &str) -> Asked {
    let (gateway, _folder) = gateway(server, provider, key).await;
    for stream in [false, true] {
        assert_eq!(
            say(&gateway, stream).await,
            ("hello".to_owned(), "stop".to_owned()),
            "{provider} {stream}"
        );
    }
    server.last()
}

#[tokio::test]
async fn azure_answers_over_each_of_its_interfaces() {
    let server = Server::start(OPENAI_WHOLE, AZURE_STREAM).await;
    for (version, target) in [
        ("", "/openai/v1/chat/completions"),
        (
            ", api_version: preview",
            "/openai/v1/chat/completions?api-version=preview",
        ),
        (
            r#", api_version: "2024-10-21""#,
            "/openai/deployments/upstream%2F1/chat/completions?api-version=2024-10-21",
        ),
    ] {
        let provider = format!(r#"kind: azure_openai, base_url: "http://ADDRESS"{version}"#);
        let asked = check_hello(&server, &provider, "0123test").await;
        assert_eq!(asked.target, target);
        assert_eq!(asked.headers["api-key"], "0123test");
        assert!(!asked.headers.contains_key("authorization"));
        assert_eq!(asked.body["max_completion_tokens"], 100);
    }
}

#[tokio::test]
async fn mistral_answers() {
    let server = Server::start(OPENAI_WHOLE, MISTRAL_STREAM).await;
    let provider = r#"kind: mistral, base_url: "http://ADDRESS/v1""#;
    let asked = check_hello(&server, provider, "test").await;
    assert_eq!(asked.target, "/v1/chat/completions");
    assert_eq!(asked.headers["authorization"], "Bearer test");
    assert_eq!(
        asked.body,
        json!({
            "model": "upstream/1", "messages": [{"role": "user", "content": "say something"}],
            "max_tokens": 100, "stream": true,
        })
    );
}

/// A stream of which nothing can be read but that it ended.
const UNREADABLE: &str = "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\n\n\
    data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn another_answers_where_nothing_of_a_stream_can_be_read() {
    let server = Server::start("{}", UNREADABLE).await;
    let policy = format!(
        r#"
providers:
  broken: {{ kind: openai_compatible, base_url: "http://{}/v1", internal: true }}
  fake: {{ kind: simulated, simulated: {{ output_tokens: 3 }} }}
deployments:
  broken: {{ provider: broken, model: m }}
  good: {{ provider: fake, model: good }}
pools:
  first: {{ targets: [ {{ deployment: broken }} ] }}
  second: {{ targets: [ {{ deployment: good }} ] }}
models:
  chat: {{ routes: [ {{ pools: [first, second] }} ], max_output_tokens: 100 }}
"#,
        server.address
    );
    let gateway = Gateway::start(&policy).await;
    let (text, reason) = say(&gateway, true).await;
    assert_eq!((text.is_empty(), &*reason), (false, "stop"));
    assert_eq!(server.last().body["stream"], true);
}
