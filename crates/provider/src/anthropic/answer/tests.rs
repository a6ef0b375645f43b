use crate::chat::{FinishReason, Part, Response, Tier, Usage, UsageSource};
use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};
use crate::testing::{assembled, decode as decode_stream, parts};

fn decode(body: &str) -> Result<Response, Failure> {
    Codec::new(Kind::Anthropic).decode(body.as_bytes())
}

const WHOLE: &str = r#"{"id":"msg_02","type":"message","role":"assistant","model":"claude-opus-4-5","content":[
    {"type":"thinking","thinking":"Two places, two calls.","signature":"EqQBCkYIBxgC=="},
    {"type":"redacted_thinking","data":"EmwKAhgBEgy3"},
    {"type":"text","text":"I look."},
    {"type":"tool_use","id":"toolu_a","name":"weather","input":{"city": "Köln"}},
    {"type":"tool_use","id":"toolu_b","name":"time","input":{}}],
    "stop_reason":"tool_use","stop_sequence":null,
    "usage":{"input_tokens":50,"cache_read_input_tokens":0,"output_tokens":90,"output_tokens_details":{"thinking_tokens":40}}}"#;

/// The same answer, whole and streamed, differs only in how thoughts are grouped.
#[test]
fn a_whole_answer_says_what_the_stream_says() {
    let whole = decode(WHOLE).unwrap();
    let body = include_bytes!("../../../samples/anthropic_tools.sse");
    let (chunks, end) = decode_stream(Kind::Anthropic, [&body[..]]);
    assert_eq!(end, Ok(()));
    let streamed = assembled(chunks);
    assert_eq!((&whole.id, &whole.model), (&streamed.id, &streamed.model));
    assert_eq!(whole.usage, streamed.usage);
    assert_eq!(whole.choices[0].finish_reason, FinishReason::ToolCalls);
    let [first, second, rest @ ..] = parts(&whole) else {
        panic!("{whole:?}");
    };
    assert_eq!(rest, &parts(&streamed)[1..]);
    let states = |part: &Part| {
        let Part::Reasoning { opaque, .. } = part else {
            panic!("{part:?}");
        };
        opaque.clone()
    };
    let both = [states(first), states(second)].concat();
    assert_eq!(both, states(&parts(&streamed)[0]));
}

#[test]
fn usage_counts_what_was_cached_as_input() {
    let body = r#"{"content":[],"stop_reason":"end_turn","usage":{"input_tokens":10,
        "cache_creation_input_tokens":300,"cache_read_input_tokens":2000,
        "cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":12,
        "output_tokens_details":{"thinking_tokens":7},
        "server_tool_use":{"web_search_requests":2,"web_fetch_requests":1}}}"#;
    let usage = Usage {
        searches: 2,
        cache_read: 2000,
        cache_write: 300,
        cache_write_1h: 200,
        reasoning: 7,
        ..Usage::of(2310, 12, UsageSource::Provider)
    };
    assert_eq!(decode(body).unwrap().usage, Some(usage));
}

#[test]
fn a_refusal_is_explained() {
    let body = r#"{"content":[],"stop_reason":"refusal","stop_details":{"type":"refusal","explanation":"no"}}"#;
    let response = decode(body).unwrap();
    assert_eq!(parts(&response), [Part::Refusal("no".to_owned())]);
    assert_eq!(response.choices[0].finish_reason, FinishReason::Refusal);
}

#[test]
fn what_is_no_answer_is_a_failure() {
    for (body, class) in [
        ("", Class::Server),
        ("<html>", Class::Server),
        ("{}", Class::Server),
        (r#"{"content":7}"#, Class::Server),
        (r#"{"content":[7]}"#, Class::Server),
        (
            r#"{"content":[{"type":"tool_use","name":"n"}]}"#,
            Class::Server,
        ),
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#,
            Class::Overloaded,
        ),
    ] {
        assert_eq!(decode(body).unwrap_err().class, class, "{body}");
    }
}

#[test]
fn the_class_of_processing_is_told_with_usage() {
    let cases = [
        (r#""service_tier":"standard""#, Some(Tier::Standard)),
        (r#""service_tier":"priority""#, Some(Tier::Priority)),
        (
            r#""service_tier":"batch","speed":"standard""#,
            Some(Tier::Batch),
        ),
        (
            r#""service_tier":"standard","speed":"fast""#,
            Some(Tier::Fast),
        ),
        (r#""service_tier":"of tomorrow","speed":null"#, None),
        (r#""service_tier":null"#, None),
    ];
    for (served, tier) in cases {
        let body = format!(
            r#"{{"type":"message","content":[],"usage":{{"input_tokens":1,"output_tokens":2,{served}}}}}"#
        );
        let response = Codec::new(Kind::Anthropic).decode(body.as_bytes());
        let usage = response.unwrap().usage.unwrap();
        assert_eq!(usage.tier, tier, "{served}");
    }
}
