//! Round trips over a real socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;

/// Sends one request on a connection of its own and returns all that comes back until its end.
fn exchange(provider: &MockProvider, model: &str, stream: bool) -> std::io::Result<String> {
    let mut socket = send(provider, model, stream)?;
    let mut reply = Vec::new();
    socket.read_to_end(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

fn send(provider: &MockProvider, model: &str, stream: bool) -> std::io::Result<TcpStream> {
    let body = serde_json::json!({
        "model": model,
        "messages": [{ "role": "user", "content": "nonce=n1" }],
        "max_tokens": 100,
        "stream": stream,
        "stream_options": { "include_usage": true },
    })
    .to_string();
    post(provider, "/v1/chat/completions", &body)
}

/// Sends a body somewhere, with what any format wants in its headers.
fn post(provider: &MockProvider, path: &str, body: &str) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(provider.address())?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-1\r\n\
         anthropic-version: 2023-06-01\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(socket)
}

/// The head and the body of what comes back.
fn parts(mut socket: TcpStream) -> (String, String) {
    let mut reply = Vec::new();
    socket.read_to_end(&mut reply).unwrap();
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The ledger's only entry, once it has ended.
fn ended(provider: &MockProvider) -> Entry {
    for _ in 0..1000 {
        if let [entry] = provider.ledger().as_slice()
            && entry.outcome != Outcome::InFlight
        {
            return entry.clone();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no end: {:?}", provider.ledger());
}

#[test]
fn a_unary_reply_echoes_the_nonce_and_is_in_the_ledger() {
    let provider = MockProvider::start().unwrap();
    let reply = exchange(&provider, "ok-3", false).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    assert!(reply.contains(r#""content":"n1:0 n1:1 n1:2 ""#), "{reply}");
    assert!(
        reply.contains(r#""usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}"#)
    );
    let entry = ended(&provider);
    assert_eq!(entry.outcome, Outcome::Completed);
    assert_eq!((entry.prompt_tokens, entry.completion_tokens), (5, 3));
    assert_eq!((entry.model.as_str(), entry.nonce.as_str()), ("ok-3", "n1"));
    assert_eq!(entry.key_hash, key_hash("sk-1"));
    assert_eq!(provider.stats().completed, 1);
}

#[test]
fn a_stream_has_its_chunks_usage_and_end() {
    let provider = MockProvider::start().unwrap();
    let reply = exchange(&provider, "ok-200x1ms", true).unwrap();
    let events: Vec<&str> = reply.matches("data: ").collect();
    // Role, 100 chunks (cut by max_tokens), finish reason, usage, sentinel.
    assert_eq!(events.len(), 1 + 100 + 1 + 1 + 1);
    assert!(reply.contains(r#""finish_reason":"length""#));
    assert!(reply.contains("data: [DONE]\n\n"));
    let entry = ended(&provider);
    assert_eq!((entry.chunks_sent, entry.completion_tokens), (100, 100));
    assert!(entry.ended_ms.unwrap() >= entry.arrived_ms + 100);
}

#[test]
fn faults_look_on_the_wire_as_their_names_say() {
    let check = |model: &str, stream: bool, sign: &str, outcome: Outcome| {
        let provider = MockProvider::start().unwrap();
        let reply = exchange(&provider, model, stream);
        let reply = reply.unwrap_or_else(|error| format!("{:?}", error.kind()));
        assert!(reply.contains(sign), "{model}: {reply}");
        assert_eq!(ended(&provider).outcome, outcome, "{model}");
    };
    check(
        "status-429-retry-2",
        true,
        "retry-after: 2",
        Outcome::Refused,
    );
    check(
        "status-503",
        false,
        r#""type":"server_error""#,
        Outcome::Refused,
    );
    check("nonsense", false, "model_not_found", Outcome::Refused);
    check("html", false, "text/html", Outcome::Refused);
    check(
        "redirect",
        false,
        "location: /_redirected",
        Outcome::Refused,
    );
    check("bad-json", false, "HTTP/1.1 200", Outcome::Refused);
    check("reset", false, "ConnectionReset", Outcome::Cut);
    check("reset-after-3", true, "ConnectionReset", Outcome::Cut);
    check("error-in-stream-3", true, r#"data: {"error""#, Outcome::Cut);
    check(
        "truncate-after-3",
        true,
        "n1:2 \"},\"logprobs\":null,\"finish_reason\":null}]}\n\n\r\n0\r\n\r\n",
        Outcome::Cut,
    );
    check("dup-usage", true, "data: [DONE]", Outcome::Completed);
    check(
        "trickle-0ms",
        false,
        "\r\n1\r\n}\r\n0\r\n\r\n",
        Outcome::Completed,
    );
    check("crlf", true, "data: [DONE]\r\n\r\n", Outcome::Completed);
    check("comments", true, ": still here\n\n", Outcome::Completed);
}

#[test]
fn a_giant_line_is_giant_and_split_characters_come_together_again() {
    let provider = MockProvider::start().unwrap();
    let reply = exchange(&provider, "giant-line-2", false).unwrap();
    assert!(reply.len() > 2 << 20);
    assert!(ended(&provider).bytes_sent > 2 << 20);
    provider.clear_ledger();
    let reply = exchange(&provider, "split-utf8", true).unwrap();
    // The chunked framing shows where a crab was cut: into two and two bytes.
    assert!(!reply.contains('🦀') && reply.contains("n1:0é"), "{reply}");
    assert_eq!(ended(&provider).chunks_sent, 8);
    let whole = exchange(&provider, "split-utf8", false).unwrap();
    assert!(whole.contains("n1:0é🦀 n1:1é🦀 "), "{whole}");
}

#[test]
fn streams_cut_without_an_end_carry_no_finish_reason_or_final_chunk() {
    for model in ["close-after-3", "truncate-after-3", "reset-after-3"] {
        let provider = MockProvider::start().unwrap();
        let mut socket = send(&provider, model, true).unwrap();
        let (mut reply, mut block) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = socket.read(&mut block) {
            reply.extend_from_slice(&block[..n]);
        }
        let reply = String::from_utf8(reply).unwrap();
        assert!(
            reply.contains("n1:2 ") && !reply.contains("n1:3 "),
            "{model}: {reply}"
        );
        assert!(
            !reply.contains("stop") && !reply.contains("[DONE]"),
            "{model}: {reply}"
        );
        assert_eq!(
            reply.contains("\r\n0\r\n\r\n"),
            model.starts_with("truncate")
        );
        assert_eq!(ended(&provider).chunks_sent, 3);
    }
}

#[test]
fn a_disconnect_is_seen_as_a_cancel() {
    for (model, stream) in [
        ("hang", false),
        ("hang-after-3", true),
        ("ok-1000x10ms", true),
    ] {
        let provider = MockProvider::start().unwrap();
        let socket = send(&provider, model, stream).unwrap();
        while provider.ledger().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(provider.stats().in_flight, 1);
        drop(socket);
        assert_eq!(ended(&provider).outcome, Outcome::Cancelled, "{model}");
        assert_eq!(provider.stats().in_flight, 0);
    }
}

#[test]
fn an_override_rules_until_it_is_lifted_and_a_drop_closes_the_port() {
    let provider = MockProvider::start().unwrap();
    let status = |model: &str| exchange(&provider, model, false).unwrap()[9..12].to_owned();
    provider.behave_for("ok", Some("status-500".parse().unwrap()));
    assert_eq!(
        (status("ok"), status("ok-1")),
        ("500".to_owned(), "200".to_owned())
    );
    provider.behave(Some("status-503".parse().unwrap()));
    assert_eq!(
        (status("ok"), status("ok-1")),
        ("503".to_owned(), "503".to_owned())
    );
    provider.behave(None);
    provider.behave_for("ok", None);
    assert_eq!(status("ok"), "200");
    let address = provider.address();
    drop(provider);
    assert!(TcpStream::connect(address).is_err());
}

/// Every format: where a completion is asked for, with the body for a model, a limit and a stream.
fn ask(provider: &MockProvider, format: Format, model: &str, stream: bool) -> (String, String) {
    let text = "nonce=n1";
    let message = serde_json::json!({ "role": "user", "content": text });
    let plain = serde_json::json!({
        "model": model, "max_tokens": 100, "stream": stream, "messages": [message],
        "stream_options": { "include_usage": true },
    });
    let (path, body) = match format {
        Format::OpenAi => ("/v1/chat/completions".to_owned(), plain),
        Format::Responses => {
            let body = serde_json::json!({
                "model": model, "max_output_tokens": 100, "stream": stream, "input": [message], "store": false,
            });
            ("/v1/responses".to_owned(), body)
        }
        Format::Anthropic => ("/v1/messages".to_owned(), plain),
        Format::Cohere => ("/v2/chat".to_owned(), plain),
        Format::Gemini => {
            let action = if stream {
                "streamGenerateContent?alt=sse"
            } else {
                "generateContent"
            };
            let body = serde_json::json!({ "contents": [{ "role": "user", "parts": [{ "text": text }] }] });
            (format!("/v1beta/models/{model}:{action}"), body)
        }
        Format::Bedrock => {
            let action = if stream {
                "converse-stream"
            } else {
                "converse"
            };
            let body = serde_json::json!({ "messages": [{ "role": "user", "content": [{ "text": text }] }] });
            (format!("/model/{model}/{action}"), body)
        }
    };
    parts(post(provider, &path, &body.to_string()).unwrap())
}

const FORMATS: [Format; 6] = [
    Format::OpenAi,
    Format::Responses,
    Format::Anthropic,
    Format::Gemini,
    Format::Cohere,
    Format::Bedrock,
];

#[test]
fn a_model_behaves_alike_in_every_format() {
    for format in FORMATS {
        for stream in [false, true] {
            let provider = MockProvider::start().unwrap();
            let (head, body) = ask(&provider, format, "ok-3+think-2+calls-1+cached-2", stream);
            assert!(head.starts_with("HTTP/1.1 200"), "{format:?}: {head}");
            for sign in ["n1:0 ", "n1:2 ", "think:1 ", "lookup", "call_0_0"] {
                assert!(body.contains(sign), "{format:?} {sign}: {body}");
            }
            let entry = ended(&provider);
            assert_eq!(entry.outcome, Outcome::Completed, "{format:?}");
            let tokens = (entry.prompt_tokens, entry.completion_tokens);
            assert_eq!(tokens, (5, 3 + 2 + 1), "{format:?}");
            assert_eq!(entry.stream, stream, "{format:?}");
            assert_eq!(entry.key_hash, key_hash("sk-1"), "{format:?}");
            if !stream {
                let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert!(answer.is_object(), "{format:?}");
            }
        }
    }
}

#[test]
fn every_refusal_has_words_in_every_format() {
    for format in FORMATS {
        let provider = MockProvider::start().unwrap();
        for (name, _) in Refusal::ALL {
            let (head, body) = ask(&provider, format, &format!("refuse-{name}"), false);
            let told: serde_json::Value = serde_json::from_str(&body).unwrap();
            // A prompt that Gemini blocks is a success without candidates.
            let blocked = told.pointer("/promptFeedback/blockReason").is_some();
            assert!(
                blocked || head.starts_with("HTTP/1.1 4") || head.starts_with("HTTP/1.1 5"),
                "{format:?} {name}: {head}"
            );
        }
        let (head, _) = ask(&provider, format, "status-503-retry-7", true);
        assert!(head.contains("retry-after: 7"), "{format:?}: {head}");
    }
}

#[test]
fn a_stream_can_be_cut_at_any_byte() {
    for format in FORMATS {
        let provider = MockProvider::start().unwrap();
        ask(&provider, format, "ok-2+truncate-at-150", true);
        let entry = provider.ledger().pop().unwrap();
        assert_eq!((entry.outcome, entry.bytes_sent), (Outcome::Cut, 150));
    }
}

#[test]
fn what_a_format_demands_is_demanded() {
    let provider = MockProvider::start().unwrap();
    provider.record();
    let path = "/v1beta/models/ok:streamGenerateContent";
    let (head, body) = parts(post(&provider, path, r#"{"contents":[]}"#).unwrap());
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert!(body.contains("alt=sse"), "{body}");
    let recorded = provider.recorded();
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].format, Format::Gemini);
    assert_eq!(recorded[0].body, r#"{"contents":[]}"#);
}
