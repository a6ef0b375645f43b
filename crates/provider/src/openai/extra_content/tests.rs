use serde_json::{Value, json};

use crate::chat::{Chunk, Delta, Part};
use crate::codec::{Codec, Kind, Target};
use crate::openai::{self, ChunkRenderer};

const TOOLS: &[u8] = include_bytes!("../../../samples/gemini_tools.sse");

/// What Gemini is sent when a caller goes on after this message of the assistant's.
fn sent_after(message: &Value) -> Value {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}, message]});
    let parsed = openai::parse_request(&serde_json::to_vec(&body).unwrap()).unwrap();
    let target = Target::of("gemini-3.8-flash");
    let sent = Codec::new(Kind::Gemini).encode(&parsed.request, &target, false);
    serde_json::from_slice(&sent.unwrap().body).unwrap()
}

/// A caller of the compatible edge who sends back what it was told loses no signature of a call.
#[test]
fn signatures_of_calls_survive_a_caller() {
    let part =
        json!({"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": "c2ln"});
    let answer = json!({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]});
    let response = Codec::new(Kind::Gemini)
        .decode(&serde_json::to_vec(&answer).unwrap())
        .unwrap();
    let told: Value = serde_json::from_slice(&openai::render_response(&response, 7)).unwrap();
    let message = &told["choices"][0]["message"];
    assert_eq!(
        message["tool_calls"][0]["extra_content"],
        json!({"google": {"thought_signature": "c2ln"}})
    );
    assert_eq!(sent_after(message)["contents"][1]["parts"], json!([part]));
}

#[test]
fn a_streamed_call_tells_its_signature_under_its_index() {
    let mut decoder = Codec::new(Kind::Gemini).stream_decoder(1);
    let mut chunks = Vec::new();
    decoder.push(TOOLS, &mut chunks).unwrap();
    decoder.finish(&mut chunks).unwrap();
    let mut renderer = ChunkRenderer::new("x", "m", 7, false);
    let mut out = Vec::new();
    chunks
        .iter()
        .for_each(|chunk| renderer.chunk(chunk, &mut out));
    let text = String::from_utf8(out).unwrap();
    let told: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|event| serde_json::from_str::<Value>(event).unwrap())
        .map(|event| event["choices"][0]["delta"]["tool_calls"][0].clone())
        .filter(|call| call.get("extra_content").is_some())
        .collect();
    assert_eq!(
        told,
        [json!({"index": 0, "extra_content": {"google": {"thought_signature": "EpwC4/H/aa+b"}}})]
    );
}

#[test]
fn what_else_is_found_there_is_ignored() {
    for extra in [
        json!(null),
        json!("text"),
        json!([]),
        json!({"google": null}),
        json!({"google": {"thought_signature": null}}),
        json!({"other": {"thought_signature": "x"}}),
    ] {
        let call = json!({"id": "c", "type": "function", "extra_content": extra,
            "function": {"name": "f", "arguments": "{}"}});
        let body = json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]});
        let parsed = openai::parse_request(&serde_json::to_vec(&body).unwrap()).unwrap();
        let Part::ToolCall(call) = &parsed.request.messages[0].parts[0] else {
            panic!("{extra}");
        };
        assert_eq!(call.opaque, [], "{extra}");
    }
}

#[test]
fn a_server_of_this_format_gets_the_signatures_of_its_calls_back() {
    let state = json!({"google": {"thought_signature": "c2ln"}});
    let call = json!({"index": 0, "id": "c1", "type": "function", "extra_content": state,
        "function": {"name": "f", "arguments": "{}"}});
    let codec = Codec::new(Kind::OpenAiCompatible);
    let whole = json!({"model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "tool_calls": [call]}}]});
    let response = codec.decode(whole.to_string().as_bytes()).unwrap();
    let told: Value = serde_json::from_slice(&openai::render_response(&response, 7)).unwrap();
    let mut decoder = codec.stream_decoder(1);
    let mut chunks = Vec::new();
    let event = json!({"model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
    decoder
        .push(format!("data: {event}\n\n").as_bytes(), &mut chunks)
        .unwrap();
    let streamed = chunks.iter().find_map(|chunk| {
        let Chunk::Delta {
            delta: Delta::ToolState { state, .. },
            ..
        } = chunk
        else {
            return None;
        };
        Some(state.clone())
    });
    let [Part::ToolCall(whole)] = &response.choices[0].message.parts[..] else {
        panic!("{response:?}");
    };
    assert_eq!(streamed.as_ref(), whole.opaque.first());

    let asked = json!({"model": "m", "messages": [
        {"role": "user", "content": "hi"},
        told["choices"][0]["message"],
        {"role": "tool", "tool_call_id": "c1", "content": "blue"},
    ]});
    let parsed = openai::parse_request(asked.to_string().as_bytes()).unwrap();
    let sent = |kind, model| {
        let sent = Codec::new(kind).encode(&parsed.request, &Target::of(model), false);
        let body: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
        body["messages"][1]["tool_calls"][0]["extra_content"].clone()
    };
    assert_eq!(sent(Kind::OpenAiCompatible, "google/gemini-3-pro"), state);
    // Others may refuse what they do not know.
    assert_eq!(sent(Kind::OpenAiCompatible, "llama"), Value::Null);
    assert_eq!(sent(Kind::OpenAi, "gpt-5"), Value::Null);
}
