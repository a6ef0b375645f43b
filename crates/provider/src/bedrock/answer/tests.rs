use super::super::{BLOCK, PROVIDER, REDACTED, SIGNATURE};
use crate::chat::{FinishReason, Opaque, Part, Response, ToolCall, Usage, UsageSource};
use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};
use crate::testing::parts;

fn decode(body: &str) -> Result<Response, Failure> {
    Codec::new(Kind::Bedrock).decode(body.as_bytes())
}

fn state(kind: &str, bytes: &'static [u8]) -> Opaque {
    Opaque {
        provider: PROVIDER.to_owned(),
        kind: kind.to_owned(),
        bytes: bytes.into(),
    }
}

fn thought(text: &str, opaque: Vec<Opaque>) -> Part {
    Part::Reasoning {
        text: text.to_owned(),
        opaque,
    }
}

#[test]
fn a_whole_answer_is_read() {
    let body = r#"{"metrics":{"latencyMs":5},"output":{"message":{"role":"assistant","content":[
        {"reasoningContent":{"reasoningText":{"text":"hm","signature":"EqQB"}}},
        {"reasoningContent":{"redactedContent":"AQID"}},
        {"reasoningContent":{"reasoningText":{"text":"unsigned"}}},
        {"text":"I look."},
        {"citationsContent":{"content":[{"text":"a"},{"text":"b"}],"citations":[]}},
        {"toolUse":{"toolUseId":"tooluse_a","name":"weather","input":{"city": "Köln"}}},
        {"toolUse":{"toolUseId":"s","name":"search","input":{},"type":"server_tool_use"}}
    ]}},"stopReason":"tool_use","usage":{"inputTokens":10,"outputTokens":12,"totalTokens":2322,
        "cacheReadInputTokens":2000,"cacheWriteInputTokens":300,"cacheDetails":[{"ttl":"1h","inputTokens":200}]}}"#;
    let response = decode(body).unwrap();
    let call = Part::ToolCall(ToolCall {
        id: "tooluse_a".to_owned(),
        name: "weather".to_owned(),
        arguments: r#"{"city": "Köln"}"#.to_owned(),
        opaque: Vec::new(),
    });
    let kept =
        br#"{"toolUse":{"toolUseId":"s","name":"search","input":{},"type":"server_tool_use"}}"#;
    assert_eq!(
        parts(&response),
        [
            thought("hm", vec![state(SIGNATURE, b"EqQB")]),
            thought("", vec![state(REDACTED, &[1, 2, 3])]),
            thought("unsigned", vec![]),
            Part::Text("I look.".to_owned()),
            Part::Text("ab".to_owned()),
            call,
            thought("", vec![state(BLOCK, kept)]),
        ]
    );
    assert_eq!(response.choices[0].finish_reason, FinishReason::ToolCalls);
    let usage = Usage {
        cache_read: 2000,
        cache_write: 300,
        cache_write_1h: 200,
        ..Usage::of(2310, 12, UsageSource::Provider)
    };
    assert_eq!(response.usage, Some(usage));
}

#[test]
fn usage_that_cannot_be_believed_is_none() {
    for usage in [
        r#"{"inputTokens":-1,"outputTokens":1}"#,
        r#"{"inputTokens":1}"#,
        r#"{"inputTokens":1,"outputTokens":1,"cacheReadInputTokens":-1}"#,
        r#"{"inputTokens":1,"outputTokens":1e300}"#,
        r#""none""#,
    ] {
        let body = format!(
            r#"{{"output":{{"message":{{"content":[{{"text":"a"}}]}}}},"stopReason":"end_turn","usage":{usage}}}"#
        );
        assert_eq!(decode(&body).unwrap().usage, None, "{usage}");
    }
}

#[test]
fn what_is_no_answer_is_a_failure() {
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"output":{"message":{"content":7}}}"#,
        r#"{"output":{"message":{"content":[7]}}}"#,
        r#"{"output":{"message":{"content":[{"toolUse":{"name":"n"}}]}}}"#,
        r#"{"output":{"message":{"content":[{"reasoningContent":{"redactedContent":"!"}}]}}}"#,
        r#"{"output":{"message":{"content":[]}},"stopReason":"malformed_model_output"}"#,
    ] {
        assert_eq!(decode(body).unwrap_err().class, Class::Server, "{body}");
    }
}
