use serde_json::{Value, json};

use crate::codec::{Codec, Kind, Target};
use crate::openai::{self, ChunkRenderer};
use crate::testing;

const TOOLS: &[u8] = include_bytes!("../../../samples/anthropic_tools.sse");

/// What Anthropic is sent of this message of the assistant's.
fn sent(message: &Value) -> Value {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}, message]});
    let parsed = openai::parse_request(&serde_json::to_vec(&body).unwrap()).unwrap();
    let codec = Codec::new(Kind::Anthropic);
    let sent = codec.encode(&parsed.request, &Target::of("m"), false);
    let body: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
    body["messages"][1]["content"].clone()
}

/// The blocks of the sample answer, as they must go back.
fn blocks() -> Value {
    json!([
        {"type": "thinking", "thinking": "Two places, two calls.", "signature": "EqQBCkYIBxgC=="},
        {"type": "redacted_thinking", "data": "EmwKAhgBEgy3"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_a", "name": "weather", "input": {"city": "Köln"}},
        {"type": "tool_use", "id": "toolu_b", "name": "time", "input": {}},
    ])
}

/// A caller of the compatible edge who sends back what it was told loses no thought and no signature.
#[test]
fn thoughts_survive_a_caller() {
    let answer = json!({"content": blocks(), "stop_reason": "tool_use"});
    let response = Codec::new(Kind::Anthropic)
        .decode(&serde_json::to_vec(&answer).unwrap())
        .unwrap();
    let told: Value = serde_json::from_slice(&openai::render_response(&response, 7)).unwrap();
    let message = &told["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "Two places, two calls.");
    assert_eq!(sent(message), blocks());
}

/// The message that a client puts together from the deltas of a stream, as OpenAI's own does: texts are
/// joined, elements of lists are joined by their index.
fn joined(events: &str) -> Value {
    fn join(into: &mut Value, delta: &Value) {
        match (into, delta) {
            (Value::Object(into), Value::Object(delta)) => {
                for (key, more) in delta {
                    match into.get_mut(key) {
                        Some(before) if key != "index" && key != "type" => join(before, more),
                        Some(_) => {}
                        None => {
                            into.insert(key.clone(), Value::Null);
                            join(&mut into[key], more);
                        }
                    }
                }
            }
            (into, Value::Array(delta)) => {
                let mut list = into.take().as_array().cloned().unwrap_or_default();
                for more in delta {
                    match list.iter_mut().find(|it| it["index"] == more["index"]) {
                        Some(before) => join(before, more),
                        None => list.push(more.clone()),
                    }
                }
                *into = list.into();
            }
            (Value::String(into), Value::String(delta)) => into.push_str(delta),
            (into, delta) => *into = delta.clone(),
        }
    }
    let mut message = json!({});
    let events = events.lines().filter_map(|it| it.strip_prefix("data: "));
    for event in events {
        let event: Value = serde_json::from_str(event).unwrap();
        join(&mut message, &event["choices"][0]["delta"]);
    }
    message
}

#[test]
fn thoughts_of_a_stream_survive_a_caller() {
    let (chunks, end) = testing::decode(Kind::Anthropic, [TOOLS]);
    assert_eq!(end, Ok(()));
    let mut renderer = ChunkRenderer::new("x", "m", 7, false);
    let mut out = Vec::new();
    chunks
        .iter()
        .for_each(|chunk| renderer.chunk(chunk, &mut out));
    let message = joined(std::str::from_utf8(&out).unwrap());
    assert_eq!(message["reasoning_content"], "Two places, two calls.");
    assert_eq!(sent(&message), blocks());
}

#[test]
fn several_thoughts_stay_apart() {
    let thoughts = json!([
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "thinking", "thinking": "b", "signature": "t"},
        {"type": "redacted_thinking", "data": "r"},
        {"type": "text", "text": "c"},
    ]);
    let answer = json!({"content": thoughts, "stop_reason": "end_turn"});
    let response = Codec::new(Kind::Anthropic)
        .decode(&serde_json::to_vec(&answer).unwrap())
        .unwrap();
    let told: Value = serde_json::from_slice(&openai::render_response(&response, 7)).unwrap();
    assert_eq!(sent(&told["choices"][0]["message"]), thoughts);
}

#[test]
fn what_else_is_found_there_is_ignored() {
    for details in [
        json!(null),
        json!("text"),
        json!([]),
        json!([7, null, {"type": "reasoning.text", "text": "x"}]),
    ] {
        let message = json!({"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning_details": details});
        assert_eq!(sent(&message), json!([{"type": "text", "text": "a"}]));
    }
}

#[test]
fn what_was_changed_is_refused() {
    let details = json!([{"format": "anthropic", "id": "signature", "data": "!", "text": "x"}]);
    for (role, details) in [("assistant", details), ("user", json!([]))] {
        let message = json!({"role": role, "content": "a", "reasoning_details": details});
        let body = json!({"model": "m", "messages": [message]});
        let error = openai::parse_request(&serde_json::to_vec(&body).unwrap()).unwrap_err();
        assert_eq!(error.field(), Some("messages[0].reasoning_details"));
    }
}
