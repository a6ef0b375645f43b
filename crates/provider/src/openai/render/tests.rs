use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ChunkRenderer, ErrorBody, render_error, render_error_event, render_response};
use crate::chat::{
    Aside, Assembler, Chunk, Delta, FinishReason, Json, Opaque, Tier, Usage, UsageSource,
};
use crate::codec::{Codec, Kind};

/// The events a renderer writes for these chunks, as JSON.
fn rendered(chunks: &[Chunk], include_usage: bool) -> Vec<Value> {
    let mut renderer = ChunkRenderer::new("id\"1", "m", 7, include_usage);
    let mut out = Vec::new();
    chunks
        .iter()
        .for_each(|chunk| renderer.chunk(chunk, &mut out));
    let text = String::from_utf8(out).unwrap();
    assert!(text.is_empty() || text.ends_with("\n\n"));
    text.split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

fn delta(delta: Delta) -> Chunk {
    Chunk::Delta { choice: 0, delta }
}

fn usage() -> Usage {
    Usage {
        cache_read: 3,
        cache_write: 2,
        input_audio: 1,
        reasoning: 4,
        output_audio: 1,
        ..Usage::of(10, 5, UsageSource::Provider)
    }
}

fn event(delta: &Value, finish: &Value) -> Value {
    json!({
        "id": "id\"1", "object": "chat.completion.chunk", "created": 7, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    })
}

#[test]
fn chunks_have_the_shape_clients_expect() {
    let chunks = [
        Chunk::Start {
            id: "upstream".to_owned(),
            model: "upstream".to_owned(),
        },
        delta(Delta::Text("a\"\n".to_owned())),
        delta(Delta::Refusal("no".to_owned())),
        delta(Delta::Reasoning("hm".to_owned())),
        delta(Delta::ToolCall {
            index: 1,
            id: "c".to_owned(),
            name: "f".to_owned(),
        }),
        delta(Delta::ToolArguments {
            index: 1,
            fragment: "{\"".to_owned(),
        }),
        Chunk::Finish {
            choice: 0,
            reason: FinishReason::ToolCalls,
        },
        Chunk::Usage(usage()),
    ];
    assert_eq!(
        rendered(&chunks, false),
        [
            event(&json!({"role": "assistant", "content": ""}), &Value::Null),
            event(&json!({"content": "a\"\n"}), &Value::Null),
            event(&json!({"refusal": "no"}), &Value::Null),
            event(&json!({"reasoning_content": "hm"}), &Value::Null),
            event(
                &json!({"tool_calls": [{"index": 1, "id": "c", "type": "function",
                    "function": {"name": "f", "arguments": ""}}]}),
                &Value::Null
            ),
            event(
                &json!({"tool_calls": [{"index": 1, "function": {"arguments": "{\""}}]}),
                &Value::Null
            ),
            event(&json!({}), &json!("tool_calls")),
        ]
    );
}

#[test]
fn usage_comes_last_and_only_when_asked_for() {
    let chunks = [
        Chunk::Finish {
            choice: 0,
            reason: FinishReason::Stop,
        },
        Chunk::Usage(usage()),
    ];
    let events = rendered(&chunks, true);
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["usage"], Value::Null);
    assert!(events[0].as_object().unwrap().contains_key("usage"));
    assert_eq!(events[2]["choices"], json!([]));
    assert_eq!(
        events[2]["usage"],
        json!({
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2, "audio_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 1},
        })
    );
    assert!(
        rendered(&chunks, false)
            .iter()
            .all(|event| event.get("usage").is_none())
    );
}

/// A provider may lay its JSON out in lines; an event is one.
#[test]
fn what_a_provider_says_in_lines_of_its_own_breaks_no_event() {
    let lines = |text: &str| Json::parse(text.to_owned()).unwrap();
    let chunks = [
        delta(Delta::Logprobs(lines("{\r\n \"content\": [1]\n}"))),
        Chunk::UsageReport(lines("{\n\t\"search\\nunits\":\n\r\n2}")),
        Chunk::Usage(usage()),
    ];
    let events = rendered(&chunks, true);
    assert_eq!(events.len(), 3);
    assert_eq!(events[1]["choices"][0]["logprobs"], json!({"content": [1]}));
    assert_eq!(
        events[2]["usage"]["provider_report"],
        json!({"search\nunits": 2})
    );
}

#[test]
fn reasons_outside_the_closed_set_take_the_nearest() {
    for (reason, expect) in [
        (FinishReason::Stop, "stop"),
        (FinishReason::Length, "length"),
        (FinishReason::ToolCalls, "tool_calls"),
        (FinishReason::ContentFilter, "content_filter"),
        (FinishReason::Refusal, "content_filter"),
        (FinishReason::Other, "stop"),
    ] {
        let events = rendered(&[Chunk::Finish { choice: 0, reason }], false);
        assert_eq!(events[1]["choices"][0]["finish_reason"], expect);
    }
}

#[test]
fn state_of_another_provider_is_not_shown() {
    let opaque = Opaque {
        provider: "p".to_owned(),
        kind: "signature".to_owned(),
        bytes: bytes::Bytes::from_static(b"secret"),
    };
    let events = rendered(&[delta(Delta::ReasoningState(opaque))], false);
    assert!(!format!("{events:?}").contains("secret"));
}

#[test]
fn logprobs_stand_beside_the_delta() {
    let json = Json::parse(r#"{"content":[{"token":"a"}]}"#.to_owned()).unwrap();
    let events = rendered(&[delta(Delta::Logprobs(json))], false);
    assert_eq!(
        events[1]["choices"][0]["logprobs"]["content"][0]["token"],
        "a"
    );
    assert_eq!(events[1]["choices"][0]["delta"], json!({}));
}

#[test]
fn errors_have_the_shape_clients_expect() {
    let body = ErrorBody {
        message: "slow \"down\"",
        kind: "rate_limit_error",
        param: None,
        code: Some("rate_limit_exceeded"),
    };
    let expect = json!({"error": {
        "message": "slow \"down\"", "type": "rate_limit_error", "param": null,
        "code": "rate_limit_exceeded",
    }});
    assert_eq!(
        serde_json::from_slice::<Value>(&render_error(&body)).unwrap(),
        expect
    );
    let mut out = Vec::new();
    render_error_event(&body, &mut out);
    let event = String::from_utf8(out).unwrap();
    let json = event
        .strip_prefix("data: ")
        .unwrap()
        .strip_suffix("\n\n")
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), expect);
}

#[test]
fn a_whole_answer_comes_out_as_it_went_in() {
    let body = json!({
        "id": "x", "object": "chat.completion", "created": 7, "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hi", "refusal": null},
             "logprobs": {"content": [], "refusal": null}, "finish_reason": "stop"},
            {"index": 1, "message": {"role": "assistant", "content": null, "refusal": null,
             "reasoning_content": "hm", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
             "logprobs": null, "finish_reason": "tool_calls"},
            {"index": 2, "message": {"role": "assistant", "content": null, "refusal": "no"},
             "logprobs": null, "finish_reason": "content_filter"},
        ],
        "usage": {
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2, "audio_tokens": 1, "image_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 1},
        },
        "service_tier": "default",
    });
    let mut response = Codec::new(Kind::OpenAi)
        .decode(&serde_json::to_vec(&body).unwrap())
        .unwrap();
    let report = response.usage_report.take().unwrap();
    let report: Value = serde_json::from_str(report.get()).unwrap();
    assert_eq!(report, body["usage"]);
    let served = Usage {
        input_image: 2,
        tier: Some(Tier::Standard),
        ..usage()
    };
    assert_eq!(response.usage, Some(served));
    assert_eq!(
        serde_json::from_slice::<Value>(&render_response(&response, 7)).unwrap(),
        body
    );
}

/// A stream of one choice: what a caller of this edge and a gateway behind this one must agree on.
fn streams() -> impl Strategy<Value = Vec<Chunk>> {
    let text = "\\PC{1,12}";
    let piece = prop_oneof![
        text.prop_map(Delta::Text),
        text.prop_map(Delta::Refusal),
        text.prop_map(Delta::Reasoning),
    ];
    let reason = prop_oneof![
        Just(FinishReason::Stop),
        Just(FinishReason::Length),
        Just(FinishReason::ContentFilter),
    ];
    let call = ("\\PC{1,5}", "\\PC{1,5}", "\\PC{1,9}");
    (
        prop::collection::vec(piece, 0..8),
        prop::collection::vec(call, 0..3),
        reason,
        0..9_u64,
    )
        .prop_map(|(pieces, calls, reason, tokens)| {
            let mut chunks: Vec<Chunk> = pieces.into_iter().map(delta).collect();
            for (index, (id, name, fragment)) in (0..).zip(calls) {
                chunks.push(delta(Delta::ToolCall { index, id, name }));
                chunks.push(delta(Delta::ToolArguments { index, fragment }));
            }
            chunks.push(Chunk::Finish { choice: 0, reason });
            let usage = Usage::of(tokens, tokens, UsageSource::Provider);
            chunks.push(Chunk::Usage(usage));
            chunks
        })
}

proptest! {
    #[test]
    fn what_is_rendered_is_decoded_to_the_same_chunks(chunks in streams()) {
        let mut renderer = ChunkRenderer::new("i", "m", 7, true);
        let mut body = Vec::new();
        chunks.iter().for_each(|chunk| renderer.chunk(chunk, &mut body));
        renderer.done(&mut body);
        let mut decoder = Codec::new(Kind::OpenAi).stream_decoder(1);
        let mut decoded = Vec::new();
        decoder.push(&body, &mut decoded).unwrap();
        decoder.finish(&mut decoded).unwrap();
        // What was written is a report in its own right.
        let told = |chunk: &Chunk| matches!(chunk, Chunk::UsageReport(_));
        prop_assert!(told(&decoded.remove(decoded.len() - 2)));
        prop_assert_eq!(&decoded[1..], &chunks[..]);

        // Folding the stream and rendering the whole gives what decoding it folds to again.
        let mut assembler = Assembler::new();
        decoded.into_iter().for_each(|chunk| assembler.push(chunk));
        let whole = assembler.finish().unwrap();
        let again = Codec::new(Kind::OpenAi).decode(&render_response(&whole, 7)).unwrap();
        prop_assert_eq!(again.choices[0].finish_reason, whole.choices[0].finish_reason);
        prop_assert_eq!(again.usage, whole.usage);
    }
}

/// Clients look for a choice in every event, so that nothing that is told beside an answer has one of its own.
#[test]
fn what_is_told_beside_an_answer_goes_with_its_next_event() {
    let value = Json::parse("{\n\"id\":\"x\"}".to_owned()).unwrap();
    let detail = |choice, name| {
        Chunk::Aside(Aside::Detail {
            choice,
            name,
            value: value.clone(),
        })
    };
    let text = |text: &str| Chunk::Delta {
        choice: 0,
        delta: Delta::Text(text.to_owned()),
    };
    let chunks = [
        detail(None, "prompt_filter_results"),
        Chunk::Aside(Aside::Fingerprint("fp".to_owned())),
        text("a"),
        detail(Some(0), "content_filter_results"),
        text("b"),
        detail(None, "container"),
        Chunk::Aside(Aside::StopSequence {
            choice: 0,
            text: "\"END\"".to_owned(),
        }),
        Chunk::Finish {
            choice: 0,
            reason: FinishReason::Stop,
        },
    ];
    let mut renderer = ChunkRenderer::new("x", "m", 7, true);
    let mut out = Vec::new();
    chunks.iter().for_each(|it| renderer.chunk(it, &mut out));
    let out = String::from_utf8(out).unwrap();
    let head = r#"data: {"id":"x","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"delta":{"#;
    let rest = [
        r#""role":"assistant","content":""},"finish_reason":null}],"prompt_filter_results":{ "id":"x"},"usage":null}"#,
        r#""content":"a"},"finish_reason":null}],"usage":null}"#,
        r#""content":"b"},"content_filter_results":{ "id":"x"},"finish_reason":null}],"usage":null}"#,
        r#"},"stop_sequence":"\"END\"","finish_reason":"stop"}],"container":{ "id":"x"},"usage":null}"#,
    ];
    let expected: Vec<_> = rest.iter().map(|it| format!("{head}{it}")).collect();
    let events: Vec<_> = out.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(events, expected);
}
