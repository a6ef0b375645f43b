//! What is told beside the text.

use serde_json::{Value, json};

use super::{decode_str, events, text};
use crate::chat::{Aside, Chunk, Delta, Json};
use crate::codec::{Codec, Kind};
use crate::openai;

#[test]
fn the_configuration_is_told_once_and_again_where_it_changes() {
    let event = |name: &str, text: &str| {
        format!(
            r#"{{"id":"c","system_fingerprint":{name},"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#
        )
    };
    let (a, b) = (r#""fp_a""#, r#""fp_b""#);
    let documents = [
        event("null", "a"),
        event(a, "b"),
        event(a, "c"),
        event("null", "d"),
        event(b, "e"),
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
    ];
    let documents: Vec<_> = documents.iter().map(String::as_str).collect();
    let (chunks, end) = decode_str(&events(&documents));
    assert_eq!(end, Ok(()));
    let told = |name: &str| Chunk::Aside(Aside::Fingerprint(name.to_owned()));
    assert_eq!(
        chunks[1..8],
        [
            text(0, "a"),
            told("fp_a"),
            text(0, "b"),
            text(0, "c"),
            text(0, "d"),
            told("fp_b"),
            text(0, "e"),
        ]
    );
    let whole = crate::testing::assembled(chunks);
    assert_eq!(whole.fingerprint.as_deref(), Some("fp_b"));
}

/// What is told of a token, with two alternatives.
fn token(token: &str, logprob: f64, bytes: &Value) -> Value {
    let alternatives = json!([
        {"token": token, "logprob": logprob, "bytes": bytes},
        {"token": "x", "logprob": -3.5, "bytes": [120]},
    ]);
    json!({"token": token, "logprob": logprob, "bytes": bytes, "top_logprobs": alternatives})
}

#[test]
fn log_probabilities_are_told_of_every_token_with_its_alternatives() {
    // A character of which each token has a part, and what an imitator leaves out.
    let said = [
        token("Gr", -0.25, &json!([71, 114])),
        token("\\xc3", -0.5, &json!([195])),
        token("\\xbc", -0.125, &json!([188])),
        token("n", -2.0, &Value::Null),
    ];
    let refused = token("No", -0.75, &json!([78, 111]));
    let event = |delta: Value, content: Value, refusal: Value| {
        let logprobs = json!({"content": content, "refusal": refusal});
        let choice = json!({"index": 0, "delta": delta, "logprobs": logprobs});
        json!({"id": "c", "choices": [choice]}).to_string()
    };
    let documents = [
        event(json!({"content": "Gr"}), json!([said[0]]), Value::Null),
        event(json!({"content": "ün"}), json!(said[1..]), Value::Null),
        event(json!({"refusal": "No"}), Value::Null, json!([refused])),
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
    ];
    let documents: Vec<_> = documents.iter().map(String::as_str).collect();
    let (chunks, end) = decode_str(&events(&documents));
    assert_eq!(end, Ok(()));
    let told = |json: &Json| serde_json::from_str::<Value>(json.get()).unwrap();
    let pieces = chunks.iter().filter_map(|it| match it {
        Chunk::Delta {
            delta: Delta::Logprobs(json),
            ..
        } => Some(told(json)),
        Chunk::Warning(_)
        | Chunk::Start { .. }
        | Chunk::Delta { .. }
        | Chunk::Aside(_)
        | Chunk::Finish { .. }
        | Chunk::UsageReport(_)
        | Chunk::Usage(_) => None,
    });
    assert_eq!(
        pieces.collect::<Vec<_>>(),
        [
            json!({"content": [said[0]], "refusal": null}),
            json!({"content": said[1..], "refusal": null}),
            json!({"content": null, "refusal": [refused]}),
        ]
    );

    let all = json!({"content": said, "refusal": [refused]});
    let message = json!({"role": "assistant", "content": "Grün", "refusal": "No"});
    let choice = json!({"index": 0, "message": message, "logprobs": all, "finish_reason": "stop"});
    let whole = json!({"id": "c", "choices": [choice]}).to_string();
    let whole = Codec::new(Kind::OpenAi).decode(whole.as_bytes()).unwrap();
    let streamed = crate::testing::assembled(chunks);
    for answer in [&whole, &streamed] {
        let logprobs = answer.choices[0].logprobs.as_ref().unwrap();
        assert_eq!(told(logprobs), all);
        let edge: Value = serde_json::from_slice(&openai::render_response(answer, 7)).unwrap();
        assert_eq!(edge["choices"][0]["logprobs"], all);
    }
}

/// vLLM says what ended an answer: the text of a stop sequence, the number of a token, or nothing.
#[test]
fn what_ended_an_answer_is_told() {
    for (reason, sequence, token) in [
        (json!("END"), Some("END"), None),
        (json!(32_001), None, Some("32001")),
        (json!(null), None, None),
    ] {
        let choice = |body: Value| {
            let mut choice = json!({"index": 0, "finish_reason": "stop", "stop_reason": reason});
            let own = choice.as_object_mut().unwrap();
            own.extend(body.as_object().unwrap().clone());
            json!({"id": "c", "choices": [choice]}).to_string()
        };
        let (chunks, end) = decode_str(&events(&[&choice(json!({"delta": {"content": "a"}}))]));
        assert_eq!(end, Ok(()));
        let whole = choice(json!({"message": {"role": "assistant", "content": "a"}}));
        let whole = Codec::new(Kind::OpenAiCompatible)
            .decode(whole.as_bytes())
            .unwrap();
        for answer in [&whole, &crate::testing::assembled(chunks)] {
            let answer = &answer.choices[0];
            assert_eq!(answer.stop_sequence.as_deref(), sequence);
            let told = answer.details.get("stop_reason").map(Json::get);
            assert_eq!(told, token);
        }
    }
}
