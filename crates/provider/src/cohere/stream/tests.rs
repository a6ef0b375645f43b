use proptest::prelude::*;

use crate::chat::{
    Assembler, Billed, Chunk, Citation, Delta, FinishReason, Opaque, Part, Request, Role, Usage,
    UsageSource,
};
use crate::codec::{Codec, Kind, StreamDecoder, Target};
use crate::failure::{Class, Failure};
use crate::testing::reported;

const TEXT: &str = include_str!("../../../samples/cohere/text.sse");
const TOOLS: &str = include_str!("../../../samples/cohere/tools.sse");
const THINKING: &str = include_str!("../../../samples/cohere/thinking.sse");
const SAMPLES: [&str; 3] = [TEXT, TOOLS, THINKING];

fn decoder() -> StreamDecoder {
    Codec::new(Kind::Cohere).stream_decoder(1)
}

/// Decodes the slices and then the end of the body.
fn decode<'a>(slices: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Chunk>, Result<(), Failure>) {
    let mut decoder = decoder();
    let mut out = Vec::new();
    for slice in slices {
        if let Err(failure) = decoder.push(slice, &mut out) {
            return (out, Err(failure));
        }
    }
    let end = decoder.finish(&mut out);
    (out, end)
}

fn decode_str(body: &str) -> (Vec<Chunk>, Result<(), Failure>) {
    decode([body.as_bytes()])
}

/// The events of JSON documents, each one event of the stream.
fn events(documents: &[&str]) -> String {
    documents
        .iter()
        .map(|document| format!("data: {document}\n\n"))
        .collect()
}

fn delta(delta: Delta) -> Chunk {
    Chunk::Delta { choice: 0, delta }
}

fn text(text: &str) -> Chunk {
    delta(Delta::Text(text.to_owned()))
}

fn start() -> Chunk {
    Chunk::Start {
        id: "29f14a5a-11de-4cae-9800-25e4747408ea".to_owned(),
        model: String::new(),
    }
}

fn finish(reason: FinishReason) -> Chunk {
    Chunk::Finish { choice: 0, reason }
}

fn usage(counted: (u64, u64), billed: (u64, u64), cache_read: u64) -> Chunk {
    Chunk::Usage(Usage {
        cache_read,
        billed: Some(Billed {
            input: billed.0,
            output: billed.1,
        }),
        ..Usage::of(counted.0, counted.1, UsageSource::Provider)
    })
}

#[test]
fn a_sample_answer_gives_its_events() {
    let (chunks, end) = decode_str(TEXT);
    assert_eq!(end, Ok(()));
    let logprobs = r#"{"content":[{"token":"Grüße","logprob":-0.75,"bytes":[71,114,195,188,195,159,101],"top_logprobs":[]}],"refusal":null}"#;
    let logprobs = crate::chat::Json::parse(logprobs.to_owned()).unwrap();
    let source = Citation {
        passage: 0..7,
        quoted_text: Some("x".to_owned()),
        source_id: Some("doc:0".to_owned()),
        ..Citation::default()
    };
    assert_eq!(
        chunks,
        [
            start(),
            text("Grüße"),
            delta(Delta::Logprobs(logprobs)),
            text(", \"you\"\n🎉"),
            delta(Delta::Citation(source)),
            finish(FinishReason::Stop),
            reported(
                r#"{"billed_units":{"input_tokens":7,"output_tokens":10},"tokens":{"input_tokens":503,"output_tokens":11},"cached_tokens":496}"#
            ),
            usage((503, 11), (7, 10), 496),
        ]
    );
}

#[test]
fn thinking_comes_before_the_answer() {
    let (chunks, end) = decode_str(THINKING);
    assert_eq!(end, Ok(()));
    let thought = |text: &str| delta(Delta::Reasoning(text.to_owned()));
    assert_eq!(
        chunks,
        [
            start(),
            thought("Hm"),
            thought(", yes."),
            text("Yes"),
            text("."),
            finish(FinishReason::Length),
            reported(
                r#"{"billed_units":{"input_tokens":3.0,"output_tokens":5.0},"tokens":{"input_tokens":9.0,"output_tokens":12.0},"cached_tokens":0}"#
            ),
            usage((9, 12), (3, 5), 0),
        ]
    );
}

fn assembled(chunks: Vec<Chunk>) -> crate::chat::Message {
    let mut assembler = Assembler::new();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    let mut response = assembler.finish().unwrap();
    response.choices.remove(0).message
}

#[test]
fn a_plan_and_its_calls_are_put_together_and_go_back_as_they_came() {
    let (chunks, end) = decode_str(TOOLS);
    assert_eq!(end, Ok(()));
    assert!(chunks.contains(&finish(FinishReason::ToolCalls)));
    let message = assembled(chunks);
    let plan = Part::Reasoning {
        text: "I will ask for both.".to_owned(),
        opaque: vec![Opaque {
            provider: "cohere".to_owned(),
            kind: "tool_plan".to_owned(),
            bytes: "20".into(),
        }],
    };
    assert_eq!(message.parts[0], plan);

    let request = Request {
        messages: vec![message],
        ..Request::default()
    };
    let sent = Codec::new(Kind::Cohere)
        .encode(&request, &Target::of("m"), false)
        .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(
        body["messages"][0],
        serde_json::json!({"role": "assistant", "tool_plan": "I will ask for both.", "tool_calls": [
            {"id": "weather_a1", "type": "function",
                "function": {"name": "weather", "arguments": "{\"city\":\"Köln\"}"}},
            {"id": "time_b2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
        ]})
    );
}

#[test]
fn thinking_that_turns_into_a_plan_stays_apart_from_it() {
    let body = events(&[
        r#"{"type":"content-delta","delta":{"message":{"content":{"thinking":"Hm. "}}}}"#,
        r#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"Go."}}}"#,
        TOOL,
        END,
    ]);
    let (chunks, end) = decode_str(&body);
    assert_eq!(end, Ok(()));
    let message = assembled(chunks);
    assert_eq!(message.role, Role::Assistant);
    let request = Request {
        messages: vec![message],
        ..Request::default()
    };
    let sent = Codec::new(Kind::Cohere)
        .encode(&request, &Target::of("m"), false)
        .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    let message = &body["messages"][0];
    assert_eq!(message["tool_plan"], "Go.");
    assert_eq!(message["content"][0]["thinking"], "Hm. ");
}

/// The rule this gateway lives by: an answer that lacks its end is never a success.
#[test]
fn an_answer_cut_at_any_byte_is_truncated_until_its_end_is_there() {
    for sample in SAMPLES {
        let body = sample.as_bytes();
        let whole_at = sample.trim_end().len();
        let (whole, _) = decode([body]);
        for cut in 0..=body.len() {
            let (chunks, end) = decode([&body[..cut]]);
            let finished = chunks.iter().any(|c| matches!(c, Chunk::Finish { .. }));
            let counted = chunks.iter().any(|c| matches!(c, Chunk::Usage(_)));
            if cut < whole_at {
                let failure = end.expect_err("a cut answer is no success");
                assert_eq!(failure.class, Class::Truncated, "cut at {cut}");
                assert!(!finished && !counted, "cut at {cut}");
            } else {
                assert_eq!(end, Ok(()), "cut at {cut}");
                assert!(finished && counted, "cut at {cut}");
            }
            assert_eq!(chunks, whole[..chunks.len()], "cut at {cut}");
        }
    }
}

#[test]
fn how_the_bytes_are_cut_into_slices_does_not_matter() {
    for sample in SAMPLES {
        let body = sample.as_bytes();
        let whole = decode([body]);
        for cut in 0..=body.len() {
            let (head, tail) = body.split_at(cut);
            assert_eq!(decode([head, tail]), whole, "cut at {cut}");
        }
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(decode(body.chunks(size)), whole, "slices of {size}");
        }
    }
}

const HELLO: &str =
    r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"hello"}}}}"#;
const TOOL: &str = r#"{"type":"tool-call-start","index":3,"delta":{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}}}"#;
const END: &str = r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}"#;

#[test]
fn ends_are_judged() {
    let ends = |delta: &str| format!(r#"{{"type":"message-end","delta":{delta}}}"#);
    let error = ends(r#"{"finish_reason":"ERROR","error":"the model broke"}"#);
    let timeout = ends(r#"{"finish_reason":"TIMEOUT"}"#);
    let only_error = ends(r#"{"error":"too many tokens"}"#);
    let both = ends(r#"{"finish_reason":"COMPLETE","error":"the model broke"}"#);
    let nothing = ends("{}");
    let nameless =
        r#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"a"}}}}"#;
    for (documents, expect) in [
        (&[HELLO, END][..], None),
        (&[END], None),
        (&[HELLO, END, "[DONE]"], None),
        (&[HELLO, "[DONE]", END], Some(Class::Truncated)),
        (&["[DONE]"], Some(Class::Truncated)),
        (&[HELLO], Some(Class::Truncated)),
        (&[], Some(Class::Truncated)),
        (&["<html>502</html>"], Some(Class::Truncated)),
        (&[HELLO, &nothing], Some(Class::Truncated)),
        (
            &[HELLO, r#"{"type":"message-end"}"#],
            Some(Class::Truncated),
        ),
        // One unreadable event costs its text; an answer of nothing else is no empty success.
        (&[HELLO, "{", END], None),
        (&["{", END], Some(Class::Server)),
        (&[HELLO, &error], Some(Class::Server)),
        (&[HELLO, &timeout], Some(Class::Server)),
        (&[HELLO, &only_error], Some(Class::ContextTooLong)),
        (&[HELLO, &both], Some(Class::Server)),
        (
            &[HELLO, r#"{"message":"internal error","id":"x"}"#, END],
            Some(Class::Server),
        ),
        (&[r#"{"error":{"message":"boom"}}"#], Some(Class::Server)),
        // A call without a name cannot be made.
        (&[nameless, END], Some(Class::Server)),
        // What is not known says nothing.
        (
            &[
                HELLO,
                r#"{"type":"novelty","delta":{"message":{"x":1}}}"#,
                r#"{"index":7}"#,
                END,
            ],
            None,
        ),
    ] {
        let (_, end) = decode([events(documents).as_bytes()]);
        assert_eq!(
            end.err().map(|failure| failure.class),
            expect,
            "{documents:?}"
        );
    }
}

#[test]
fn an_error_is_understood_however_it_is_told() {
    for body in [
        "event: error\ndata: {\"message\":\"x\"}\n\n",
        "event: error\ndata: broken\n\n",
        "{\n  \"message\": \"internal\"\n}\n",
    ] {
        for size in [1, 7, 1000] {
            let (chunks, end) = decode(body.as_bytes().chunks(size));
            assert_eq!((chunks, end.unwrap_err().class), (vec![], Class::Server));
        }
    }
}

#[test]
fn nothing_after_the_end_counts() {
    let (chunks, end) = decode_str(&events(&[HELLO, END, HELLO, r#"{"message":"late"}"#]));
    assert_eq!(end, Ok(()));
    assert_eq!(chunks[1..], [text("hello"), finish(FinishReason::Stop)]);
}

#[test]
fn a_stray_byte_spoils_a_character_and_not_the_event() {
    let mut body = events(&[HELLO, END]).into_bytes();
    let at = body.windows(5).position(|run| run == b"hello").unwrap();
    body[at + 1] = 0xff;
    let (chunks, end) = decode([&body[..]]);
    assert_eq!((chunks[1].clone(), end), (text("h\u{fffd}llo"), Ok(())));
}

#[test]
fn the_decoder_says_what_it_skipped_and_that_it_is_done() {
    let mut decoder = decoder();
    let mut out = Vec::new();
    let body = events(&[HELLO, "{\"type\":", r#"{"delta":7}"#, END]);
    decoder.push(body.as_bytes(), &mut out).unwrap();
    assert!(decoder.is_done());
    assert_eq!(decoder.malformed(), 2);
    decoder.finish(&mut out).unwrap();
}

#[test]
fn too_long_a_line_fails_the_stream() {
    let line = format!("data: {}", "x".repeat(crate::sse::MAX_LINE));
    assert_eq!(decode_str(&line).1.unwrap_err().class, Class::Server);
}

proptest! {
    /// Damaged in any way and cut in any way, a stream gives one and the same answer, and a success only with its end.
    #[test]
    fn damage_never_makes_a_success_of_a_part(
        which in 0..SAMPLES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        size in 1_usize..300,
    ) {
        let mut body = SAMPLES[which].as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let whole = decode([&body[..]]);
        prop_assert_eq!(&decode(body.chunks(size)), &whole);
        let (chunks, end) = whole;
        let finished = chunks.iter().filter(|c| matches!(c, Chunk::Finish { .. })).count();
        prop_assert_eq!(finished, usize::from(end.is_ok()), "{:?}", chunks);
    }

    #[test]
    fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode([&body[..]]);
        let codec = Codec::new(Kind::Cohere);
        let _ = codec.decode(&body);
        let _ = codec.classify(
            http::StatusCode::BAD_REQUEST,
            &http::HeaderMap::new(),
            &body,
            std::time::SystemTime::UNIX_EPOCH,
        );
    }
}
