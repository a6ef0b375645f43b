use proptest::prelude::*;
use serde_json::{Value, json};

use crate::chat::{Chunk, Opaque, Part, Request, Role};
use crate::codec::{Api, Codec, Kind, Target};
use crate::openai::{self, ChunkRenderer};
use crate::testing::{assembled, decode, parts};

/// What a server that imitates the format answers whole.
fn whole(message: &Value) -> Vec<Part> {
    let answer = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let codec = Codec::new(Kind::OpenAiCompatible);
    let response = codec.decode(answer.to_string().as_bytes()).unwrap();
    parts(&response).to_vec()
}

/// The body of a stream of these deltas.
fn stream(deltas: &[Value]) -> String {
    let event = |delta: &Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
        format!("data: {}\n\n", json!({"id": "x", "choices": [choice]}))
    };
    let end = json!({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let events: String = deltas.iter().map(event).collect();
    format!("{events}data: {end}\n\ndata: [DONE]\n\n")
}

fn streamed(deltas: &[Value]) -> Vec<Part> {
    let body = stream(deltas);
    let (chunks, end) = decode(Kind::OpenAiCompatible, [body.as_bytes()]);
    assert_eq!(end, Ok(()));
    parts(&assembled(chunks)).to_vec()
}

/// The thoughts of an answer: the text of each, and the elements that it came with.
fn thoughts(parts: &[Part]) -> Vec<(String, Vec<Value>)> {
    let thought = |part: &Part| {
        let Part::Reasoning { text, opaque } = part else {
            return None;
        };
        let elements = opaque.iter().map(|it| serde_json::from_slice(&it.bytes));
        Some((text.clone(), elements.collect::<Result<_, _>>().unwrap()))
    };
    parts.iter().filter_map(thought).collect()
}

/// What goes to a provider where a message of the assistant's is sent back.
fn sent_back(codec: &Codec, parts: Vec<Part>) -> Result<Value, crate::Error> {
    let message = |role, parts| crate::chat::Message {
        role,
        parts,
        name: None,
    };
    let request = Request {
        messages: vec![
            message(Role::User, vec![Part::Text("hi".to_owned())]),
            message(Role::Assistant, parts),
        ],
        max_output_tokens: Some(9),
        ..Request::default()
    };
    let sent = codec.encode(&request, &Target::of("m"), false)?;
    Ok(serde_json::from_slice(&sent.body).unwrap())
}

fn details() -> Value {
    json!([
        {"type": "reasoning.summary", "summary": "In short.", "id": "s-1", "format": "openai-responses-v1", "index": 0},
        {"type": "reasoning.text", "text": "At length.", "signature": "c2ln", "id": "t-1",
            "format": "anthropic-claude-v1", "index": 1, "new": {"deep": [1, null]}},
        {"type": "reasoning.encrypted", "data": "b3Bh", "id": null, "format": "anthropic-claude-v1", "index": 2},
    ])
}

#[test]
fn thoughts_of_a_router_go_back_as_they_came() {
    let message = json!({"role": "assistant", "content": "So.", "reasoning": "In short.", "reasoning_details": details()});
    let answer = whole(&message);
    let elements = details().as_array().unwrap().clone();
    assert_eq!(thoughts(&answer), [("In short.".to_owned(), elements)]);
    let compatible = Codec::new(Kind::OpenAiCompatible);
    let sent = sent_back(&compatible, answer.clone()).unwrap();
    let back = &sent["messages"][1];
    assert_eq!(back["reasoning_details"], details());
    // The same thoughts once more would be others.
    assert_eq!(back.get("reasoning_content"), None);
    // No other provider made them, nor does the compatible servers' other interface know them.
    for kind in Kind::ALL {
        let sent = sent_back(&Codec::new(kind), answer.clone()).unwrap();
        let is_sent = sent.to_string().contains("c2ln");
        assert_eq!(is_sent, kind == Kind::OpenAiCompatible, "{kind:?}");
    }
    let responses = compatible.over(Api::Responses).unwrap();
    let sent = sent_back(&responses, answer).unwrap().to_string();
    assert!(!sent.contains("c2ln"), "{sent}");
}

#[test]
fn they_survive_a_caller_of_the_edge() {
    let message = json!({"role": "assistant", "content": "So.", "reasoning_details": details()});
    let answer = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let codec = Codec::new(Kind::OpenAiCompatible);
    let response = codec.decode(answer.to_string().as_bytes()).unwrap();
    let told: Value = serde_json::from_slice(&openai::render_response(&response, 7)).unwrap();
    let told = &told["choices"][0]["message"];
    assert_eq!(told["reasoning_content"], "In short.\n\nAt length.");
    let asked = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}, told]});
    let parsed = openai::parse_request(asked.to_string().as_bytes()).unwrap();
    let sent = codec.encode(&parsed.request, &Target::of("m"), false);
    let sent: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
    assert_eq!(sent["messages"][1]["reasoning_details"], details());
}

#[test]
fn fragments_of_a_stream_are_put_together() {
    let text = |more: &str| json!([{"type": "reasoning.text", "text": more, "signature": null, "format": "a", "index": 0}]);
    let signed =
        json!([{"type": "reasoning.text", "signature": "c2ln", "format": "a", "index": 0}]);
    let hidden = |data: &str| json!({"type": "reasoning.encrypted", "data": data, "format": "a", "index": 0});
    let parts = streamed(&[
        json!({"role": "assistant", "content": "", "reasoning": "Hm", "reasoning_details": text("Hm")}),
        json!({"reasoning": ", yes", "reasoning_details": text(", yes")}),
        json!({"reasoning": null, "reasoning_details": signed}),
        json!({"reasoning_details": [hidden("eA=="), hidden("eQ==")]}),
        json!({"reasoning": "Then", "reasoning_details": text("Then")}),
        json!({"content": "So."}),
    ]);
    let element = |text: &str, signature: Value| json!({"type": "reasoning.text", "text": text, "signature": signature, "format": "a", "index": 0});
    assert_eq!(
        thoughts(&parts),
        [
            (
                "Hm, yes".to_owned(),
                vec![
                    element("Hm, yes", json!("c2ln")),
                    hidden("eA=="),
                    hidden("eQ==")
                ]
            ),
            ("Then".to_owned(), vec![]),
            // Nothing said before the end that this thought was over.
            (String::new(), vec![element("Then", Value::Null)]),
        ]
    );
    let sent = sent_back(&Codec::new(Kind::OpenAiCompatible), parts).unwrap();
    let back = sent["messages"][1]["reasoning_details"].as_array().unwrap();
    assert_eq!(back.len(), 4);
}

#[test]
fn a_fragment_of_another_element_begins_one() {
    let summary = |id: Value, index: u32, more: &str| json!({"reasoning_details": [{"type": "reasoning.summary", "summary": more, "id": id, "index": index}]});
    let parts = streamed(&[
        summary(json!("a"), 0, "On"),
        summary(Value::Null, 0, "e"),
        summary(json!("b"), 0, "Two"),
        summary(json!("b"), 1, "Three"),
    ]);
    let element = |id: &str, index: u32, text: &str| json!({"type": "reasoning.summary", "summary": text, "id": id, "index": index});
    assert_eq!(
        thoughts(&parts),
        [
            ("One".to_owned(), vec![element("a", 0, "One")]),
            ("\n\nTwo".to_owned(), vec![element("b", 0, "Two")]),
            ("\n\nThree".to_owned(), vec![element("b", 1, "Three")]),
        ]
    );
}

#[test]
fn what_is_no_thought_is_passed_over() {
    for details in [
        json!(null),
        json!("x"),
        json!({}),
        json!([]),
        json!([1, "x", null]),
    ] {
        let message = json!({"role": "assistant", "content": "So.", "reasoning_details": details});
        assert_eq!(whole(&message), [Part::Text("So.".to_owned())], "{details}");
        let parts = streamed(&[message]);
        assert_eq!(parts, [Part::Text("So.".to_owned())], "{details}");
    }
}

#[test]
fn a_thought_without_end_ends_the_stream() {
    let more =
        json!({"reasoning_details": [{"type": "reasoning.text", "text": "x".repeat(1 << 19)}]});
    let body = stream(&vec![more; 9]);
    let (_, end) = decode(Kind::OpenAiCompatible, [body.as_bytes()]);
    assert_eq!(
        end.unwrap_err().detail,
        "a thought of the answer is too long"
    );
}

#[test]
fn what_was_changed_is_refused() {
    for bytes in ["", "{", "[]", "1"] {
        let state = Opaque {
            provider: "openai_compatible".to_owned(),
            kind: "reasoning_detail".to_owned(),
            bytes: bytes.into(),
        };
        let thought = Part::Reasoning {
            text: String::new(),
            opaque: vec![state],
        };
        let error = sent_back(&Codec::new(Kind::OpenAiCompatible), vec![thought]).unwrap_err();
        let field = "messages[1].parts[0].reasoning.provider_state";
        assert_eq!(error.field(), Some(field));
    }
}

proptest! {
    /// However a text is cut into fragments, and those into events, the caller and the provider get it whole.
    #[test]
    fn cuts_do_not_matter(pieces in prop::collection::vec("[a-zé\"\\\\]{1,5}", 1..12)) {
        let fragment = |text: &String| json!({"reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0}]});
        let deltas: Vec<_> = pieces.iter().map(fragment).collect();
        let body = stream(&deltas);
        let (chunks, end) = decode(Kind::OpenAiCompatible, [body.as_bytes()]);
        prop_assert_eq!(end, Ok(()));
        let mut renderer = ChunkRenderer::new("x", "m", 7, false);
        let mut out = Vec::new();
        chunks.iter().for_each(|chunk: &Chunk| renderer.chunk(chunk, &mut out));
        let text = pieces.concat();
        let element = json!({"type": "reasoning.text", "text": text, "index": 0});
        let parts = parts(&assembled(chunks)).to_vec();
        prop_assert_eq!(thoughts(&parts), [(text, vec![element])]);
    }
}
