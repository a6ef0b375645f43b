use proptest::prelude::*;

use super::super::{BLOCK, PROVIDER, REDACTED, SIGNATURE};
use crate::chat::{Chunk, Delta, FinishReason, Opaque, Part, Tier, ToolCall, Usage, UsageSource};
use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};
use crate::testing::{Sample, assembled, check_cuts, check_damaged, parts, reported};

const TEXT: &str = include_str!("../../../samples/anthropic_text.sse");
const TOOLS: &str = include_str!("../../../samples/anthropic_tools.sse");

fn samples() -> [Sample; 2] {
    let sample = |body, last| Sample::text(Kind::Anthropic, body, last);
    [
        sample(TEXT, r#""usage":{"output_tokens":12}}"#),
        sample(TOOLS, r#""thinking_tokens":40}}}"#),
    ]
}

fn decode(body: &str) -> (Vec<Chunk>, Result<(), Failure>) {
    crate::testing::decode(Kind::Anthropic, [body.as_bytes()])
}

fn events(documents: &[&str]) -> String {
    let event = |document: &&str| format!("data: {document}\n\n");
    documents.iter().map(event).collect()
}

fn delta(delta: Delta) -> Chunk {
    Chunk::Delta { choice: 0, delta }
}

fn text(text: &str) -> Chunk {
    delta(Delta::Text(text.to_owned()))
}

fn state(kind: &str, bytes: &'static str) -> Opaque {
    Opaque {
        provider: PROVIDER.to_owned(),
        kind: kind.to_owned(),
        bytes: bytes.into(),
    }
}

#[test]
fn a_sample_answer_gives_its_events() {
    let (chunks, end) = decode(TEXT);
    assert_eq!(end, Ok(()));
    let usage = Usage {
        cache_read: 2000,
        cache_write: 300,
        cache_write_1h: 200,
        tier: Some(Tier::Standard),
        ..Usage::of(2310, 12, UsageSource::Provider)
    };
    let start = Chunk::Start {
        id: "msg_01Qm4Zt7".to_owned(),
        model: "claude-sonnet-4-5-20250929".to_owned(),
    };
    let finish = Chunk::Finish {
        choice: 0,
        reason: FinishReason::Stop,
    };
    assert_eq!(
        chunks,
        [
            start,
            text("Grüße"),
            text(", \"you\"\n🎉"),
            finish,
            // The first report, with what the last one says of it.
            reported(
                r#"{"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"cache_creation_input_tokens":300,"cache_read_input_tokens":2000,"input_tokens":10,"output_tokens":12,"service_tier":"standard"}"#
            ),
            Chunk::Usage(usage),
        ]
    );
}

#[test]
fn thoughts_keep_their_state_and_calls_are_put_together() {
    let (chunks, end) = decode(TOOLS);
    assert_eq!(end, Ok(()));
    let response = assembled(chunks);
    let call = |id: &str, name: &str, arguments: &str| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            opaque: Vec::new(),
        })
    };
    let thought = Part::Reasoning {
        text: "Two places, two calls.".to_owned(),
        opaque: vec![
            state(SIGNATURE, "EqQBCkYIBxgC=="),
            state(REDACTED, "EmwKAhgBEgy3"),
        ],
    };
    assert_eq!(
        parts(&response),
        [
            thought,
            Part::Text("I look.".to_owned()),
            call("toolu_a", "weather", r#"{"city": "Köln"}"#),
            call("toolu_b", "time", "{}"),
        ]
    );
    assert_eq!(response.choices[0].finish_reason, FinishReason::ToolCalls);
    let usage = Usage {
        reasoning: 40,
        ..Usage::of(50, 90, UsageSource::Provider)
    };
    assert_eq!(response.usage, Some(usage));
}

#[test]
fn an_answer_cut_at_any_byte_is_truncated_until_its_reason_to_stop_is_there() {
    samples().iter().for_each(check_cuts);
}

const START: &str = r#"{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":4,"output_tokens":1}}}"#;
const BEGIN: &str =
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const HELLO: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}"#;
const STOP: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#;
const END: &str = r#"{"type":"message_stop"}"#;

#[test]
fn ends_are_judged() {
    let error =
        |kind: &str| format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"x"}}}}"#);
    let overloaded = error("overloaded_error");
    let broken = error("api_error");
    let limited = error("rate_limit_error");
    let no_reason =
        r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":2}}"#;
    for (documents, expect) in [
        (&[START, BEGIN, HELLO, STOP, END][..], None),
        // A block of which nothing could be read is no empty success.
        (&[START, BEGIN, "{", STOP, END], Some(Class::Server)),
        (&[START, BEGIN, HELLO, STOP], None),
        (&[START, STOP, END], None),
        (&["{}", START, BEGIN, HELLO, "<html>", STOP, END], None),
        (
            &[START, r#"{"type":"yet_to_come","x":1}"#, BEGIN, HELLO, STOP],
            None,
        ),
        (&[], Some(Class::Truncated)),
        (&[END], Some(Class::Truncated)),
        (&[START, BEGIN, HELLO], Some(Class::Truncated)),
        (&[START, BEGIN, HELLO, END], Some(Class::Truncated)),
        (&[START, BEGIN, HELLO, no_reason], Some(Class::Truncated)),
        (&[START, "{", "{", STOP, END], Some(Class::Server)),
        // What is lost with a block's beginning cannot be made up.
        (&[START, "{", HELLO, STOP, END], Some(Class::Server)),
        (&[START, BEGIN, HELLO, &overloaded], Some(Class::Overloaded)),
        (
            &[START, BEGIN, HELLO, &broken, STOP, END],
            Some(Class::Server),
        ),
        (&[&limited], Some(Class::KeyLimited)),
    ] {
        let (_, end) = decode(&events(documents));
        assert_eq!(end.err().map(|it| it.class), expect, "{documents:?}");
    }
}

#[test]
fn what_follows_the_end_does_not_matter() {
    let whole = decode(TEXT);
    let endless = "x".repeat(crate::sse::MAX_LINE + 1);
    assert_eq!(decode(&format!("{TEXT}{endless}")), whole);
    let slices = [TEXT.as_bytes(), endless.as_bytes()];
    assert_eq!(crate::testing::decode(Kind::Anthropic, slices), whole);
}

#[test]
fn an_error_told_as_a_plain_body_is_that_error() {
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
    let (_, end) = decode(body);
    assert_eq!(end.unwrap_err().class, Class::Overloaded);
}

#[test]
fn every_reason_to_stop_has_its_meaning() {
    for (reason, expect) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("refusal", FinishReason::Refusal),
        ("pause_turn", FinishReason::Other),
        ("yet_to_come", FinishReason::Other),
    ] {
        let stop = STOP.replace("end_turn", reason);
        let (chunks, end) = decode(&events(&[START, BEGIN, HELLO, &stop, END]));
        assert_eq!(end, Ok(()));
        assert_eq!(assembled(chunks).choices[0].finish_reason, expect);
    }
}

#[test]
fn a_refusal_is_explained() {
    let stop = r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"type":"refusal","category":"bio","explanation":"no"}},"usage":{"output_tokens":2}}"#;
    let (chunks, end) = decode(&events(&[START, BEGIN, HELLO, stop, END]));
    assert_eq!(end, Ok(()));
    let refusal = Part::Refusal("no".to_owned());
    assert_eq!(parts(&assembled(chunks))[1], refusal);
}

/// A block of a type that means nothing here is kept whole, its streamed input included.
#[test]
fn blocks_of_unknown_types_are_kept() {
    let begin = r#"{"type":"content_block_start","index":0,"content_block":{"type":"mcp_tool_use","id":"x","name":"n","input":{}}}"#;
    let more = r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1}"}}"#;
    let stop = r#"{"type":"content_block_stop","index":0}"#;
    let (chunks, end) = decode(&events(&[START, begin, more, stop, STOP, END]));
    assert_eq!(end, Ok(()));
    let kept = r#"{"id":"x","input":{"q":1},"name":"n","type":"mcp_tool_use"}"#;
    let expect = Part::Reasoning {
        text: String::new(),
        opaque: vec![state(BLOCK, kept)],
    };
    assert_eq!(parts(&assembled(chunks)), [expect]);
}

#[test]
fn usage_of_a_cut_stream_is_kept_for_the_bill() {
    let usage_of = |documents: &[&str]| {
        let mut decoder = Codec::new(Kind::Anthropic).stream_decoder(1);
        let mut out = Vec::new();
        let body = events(documents);
        decoder.push(body.as_bytes(), &mut out).unwrap();
        decoder.usage()
    };
    let used = |output| Some(Usage::of(4, output, UsageSource::Provider));
    assert_eq!(usage_of(&[START, BEGIN, HELLO]), used(1));
    assert_eq!(usage_of(&[START, BEGIN, HELLO, STOP]), used(2));
    // The count that an answer begins with is none of the whole answer.
    let uncounted = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    assert_eq!(usage_of(&[START, BEGIN, HELLO, uncounted]), None);
}

#[test]
fn reports_of_a_stream_are_handed_on_as_one() {
    let told = |documents: &[&str]| {
        let (chunks, end) = decode(&events(documents));
        assert_eq!(end, Ok(()));
        assembled(chunks).usage_report.map(|it| it.get().to_owned())
    };
    let stop = |usage: &str| {
        format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}"#
        )
    };
    for (later, expect) in [
        (
            r#"{"output_tokens":2,"server_tool_use":{"web_search_requests":1}}"#,
            r#"{"input_tokens":4,"output_tokens":2,"server_tool_use":{"web_search_requests":1}}"#,
        ),
        // Nothing said is nothing taken back.
        (
            r#"{"input_tokens":null,"output_tokens":-2,"speed":null}"#,
            r#"{"input_tokens":4,"output_tokens":-2,"speed":null}"#,
        ),
    ] {
        let merged = told(&[START, BEGIN, HELLO, &stop(later), END]);
        assert_eq!(merged.as_deref(), Some(expect));
    }
    let alone = r#"{"type":"message_start","message":{"id":"m","model":"c"}}"#;
    let report = r#"{"input_tokens":4, "output_tokens":2}"#;
    assert_eq!(
        told(&[alone, BEGIN, HELLO, &stop(report), END]).as_deref(),
        Some(report)
    );
    // Each within its bounds, and both together not.
    let long = |name: &str| format!(r#"{{"output_tokens":2,"{name}":"{}"}}"#, "x".repeat(5000));
    let first = format!(
        r#"{{"type":"message_start","message":{{"id":"m","model":"c","usage":{}}}}}"#,
        long("a")
    );
    let both = [&*first, BEGIN, HELLO, &stop(&long("b")), END];
    assert_eq!(told(&both), None);
    // What an answer begins with is no report of the whole answer.
    let uncounted = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    assert_eq!(told(&[START, BEGIN, HELLO, uncounted, END]), None);
}

#[test]
fn searches_are_counted_where_a_later_report_tells_them() {
    let stop = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2,"server_tool_use":{"web_search_requests":3}}}"#;
    let (chunks, end) = decode(&events(&[START, BEGIN, HELLO, stop, END]));
    assert_eq!(end, Ok(()));
    let usage = assembled(chunks).usage.unwrap();
    assert_eq!((usage.searches, usage.output_total), (3, 2));
}

#[test]
fn unbelievable_usage_is_none() {
    for report in [
        r#"{"output_tokens":-1}"#,
        r#"{"output_tokens":1.5}"#,
        r#"{"output_tokens":3000000000}"#,
        r#"{"output_tokens":2,"output_tokens_details":{"thinking_tokens":5}}"#,
        r#"{"output_tokens":2,"cache_creation_input_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":5}}"#,
    ] {
        let stop = format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{report}}}"#
        );
        let (chunks, end) = decode(&events(&[START, BEGIN, HELLO, &stop, END]));
        assert_eq!(end, Ok(()));
        assert_eq!(assembled(chunks).usage, None, "{report}");
    }
}

proptest! {
    #[test]
    fn damage_never_makes_a_success_of_a_part(
        which in 0..2_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        size in 1_usize..300,
    ) {
        let mut body = samples()[which].body.clone();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        check_damaged(Kind::Anthropic, &body, size);
    }

    #[test]
    fn nothing_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..400), size in 1_usize..50) {
        check_damaged(Kind::Anthropic, &body, size);
        // No body is longer than its decoder lets it be; what it says does not matter.
        let _: Result<_, Failure> = Codec::new(Kind::Anthropic).decode(&body);
    }
}

#[test]
fn where_it_stopped_and_where_its_code_ran_are_told() {
    let container = r#"{"id":"container_1","expires_at":"2026-11-27T12:00:00Z"}"#;
    let stop = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"stop_sequence","stop_sequence":"END","container":{container}}},"usage":{{"output_tokens":3}}}}"#
    );
    let start = r#"{"type":"message_start","message":{"id":"m","model":"c","content":[],"container":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#;
    let body = events(&[start, &stop, r#"{"type":"message_stop"}"#]);
    let (chunks, end) = decode(&body);
    assert_eq!(end, Ok(()));
    let streamed = assembled(chunks);
    let whole = format!(
        r#"{{"id":"m","type":"message","model":"c","content":[],"stop_reason":"stop_sequence","stop_sequence":"END","container":{container},"usage":{{"input_tokens":1,"output_tokens":3}}}}"#
    );
    let whole = Codec::new(Kind::Anthropic)
        .decode(whole.as_bytes())
        .unwrap();
    for answer in [&streamed, &whole] {
        assert_eq!(answer.choices[0].stop_sequence.as_deref(), Some("END"));
        assert_eq!(answer.details["container"].get(), container);
    }
}
