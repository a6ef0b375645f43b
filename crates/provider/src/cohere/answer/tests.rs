use crate::chat::{Billed, FinishReason, Opaque, Part, Response, ToolCall, Usage, UsageSource};
use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};

fn decode(body: &str) -> Result<Response, Failure> {
    Codec::new(Kind::Cohere).decode(body.as_bytes())
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

#[test]
fn a_whole_answer_is_understood() {
    let response = decode(
        r#"{"id":"x","finish_reason":"COMPLETE","message":{"role":"assistant","content":[
            {"type":"thinking","thinking":"Hm."},{"type":"text","text":"Grüße"}],
            "citations":[{"start":0,"end":5,"text":"Grüße","sources":[]}]},
            "logprobs":[{"text":"Gr","token_ids":[1,2],"logprobs":[-0.5,-0.25]},{"text":"","token_ids":[]}],
            "usage":{"billed_units":{"input_tokens":7.0,"output_tokens":10,"search_units":1},
                     "tokens":{"input_tokens":503,"output_tokens":11},"cached_tokens":496}}"#,
    )
    .unwrap();
    assert_eq!((&*response.id, &*response.model), ("x", ""));
    let choice = &response.choices[0];
    assert_eq!(
        choice.message.parts,
        [
            Part::Reasoning {
                text: "Hm.".to_owned(),
                opaque: vec![]
            },
            text("Grüße"),
        ]
    );
    assert_eq!(choice.finish_reason, FinishReason::Stop);
    assert_eq!(
        choice.logprobs.as_ref().unwrap().get(),
        r#"{"content":[{"token":"Gr","logprob":-0.75,"bytes":[71,114],"top_logprobs":[]}],"refusal":null}"#
    );
    assert_eq!(
        response.usage,
        Some(Usage {
            cache_read: 496,
            billed: Some(Billed {
                input: 7,
                output: 10
            }),
            ..Usage::of(503, 11, UsageSource::Provider)
        })
    );
}

#[test]
fn a_plan_is_thinking_that_knows_it_is_a_plan() {
    let response = decode(
        r#"{"id":"x","finish_reason":"TOOL_CALL","message":{"role":"assistant","content":null,"tool_plan":"I ask.",
            "tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},
                          {"id":"b","type":"function","function":{"name":"g"}}]}}"#,
    )
    .unwrap();
    let call = |id: &str, name: &str, arguments: &str| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            opaque: vec![],
        })
    };
    let plan = Part::Reasoning {
        text: "I ask.".to_owned(),
        opaque: vec![Opaque {
            provider: "cohere".to_owned(),
            kind: "tool_plan".to_owned(),
            bytes: "6".into(),
        }],
    };
    let choice = &response.choices[0];
    assert_eq!(
        choice.message.parts,
        [plan, call("a", "f", "{}"), call("b", "g", "")]
    );
    assert_eq!(choice.finish_reason, FinishReason::ToolCalls);
    assert_eq!(response.usage, None);
}

#[test]
fn finish_reasons_mean_an_end_or_a_failure() {
    for (reason, expect) in [
        ("COMPLETE", Ok(FinishReason::Stop)),
        ("STOP_SEQUENCE", Ok(FinishReason::Stop)),
        ("MAX_TOKENS", Ok(FinishReason::Length)),
        ("TOOL_CALL", Ok(FinishReason::ToolCalls)),
        ("NEWER", Ok(FinishReason::Other)),
        ("ERROR", Err(Class::Server)),
        ("ERROR_SOMETHING", Err(Class::Server)),
        ("ERROR_TOXIC", Err(Class::ContentFilter)),
        ("ERROR_LIMIT", Err(Class::ContextTooLong)),
        ("TIMEOUT", Err(Class::Server)),
    ] {
        let body =
            format!(r#"{{"finish_reason":"{reason}","message":{{"content":[{{"text":"a"}}]}}}}"#);
        let found = decode(&body)
            .map(|response| response.choices[0].finish_reason)
            .map_err(|failure| failure.class);
        assert_eq!(found, expect, "{reason}");
    }
    let whole = decode(r#"{"message":{"content":[]}}"#).unwrap();
    assert_eq!(whole.choices[0].finish_reason, FinishReason::Other);
}

#[test]
fn usage_that_cannot_be_believed_is_none() {
    for usage in [
        r#"{"billed_units":{"input_tokens":1,"output_tokens":2}}"#,
        r#"{"tokens":{"input_tokens":1}}"#,
        r#"{"tokens":{"input_tokens":-1,"output_tokens":2}}"#,
        r#"{"tokens":{"input_tokens":1.5,"output_tokens":2}}"#,
        r#"{"tokens":{"input_tokens":1,"output_tokens":2147483649}}"#,
        r#"{"tokens":{"input_tokens":1,"output_tokens":2},"cached_tokens":5}"#,
        r#"{"tokens":{"input_tokens":1,"output_tokens":2},"billed_units":{"input_tokens":-1,"output_tokens":2}}"#,
        r#"{"tokens":"many"}"#,
        "7",
        "null",
    ] {
        let body = format!(r#"{{"message":{{"content":[]}},"usage":{usage}}}"#);
        assert_eq!(decode(&body).unwrap().usage, None, "{usage}");
    }
    let body =
        r#"{"message":{"content":[]},"usage":{"tokens":{"input_tokens":1,"output_tokens":2}}}"#;
    let usage = decode(body).unwrap().usage;
    assert_eq!(usage, Some(Usage::of(1, 2, UsageSource::Provider)));
}

#[test]
fn what_is_no_answer_is_a_failure() {
    for (body, expect) in [
        ("", Class::Server),
        ("<html>", Class::Server),
        ("[]", Class::Server),
        ("{}", Class::Server),
        (r#"{"message":null}"#, Class::Server),
        (r#"{"message":{"content":7}}"#, Class::Server),
        (r#"{"message":{"content":[{"text":"cut"#, Class::Server),
        (r#"{"message":"something broke","id":"x"}"#, Class::Server),
        (
            r#"{"message":"too many tokens: 9 > 8"}"#,
            Class::ContextTooLong,
        ),
        (r#"{"message":{"tool_calls":[{"id":"a"}]}}"#, Class::Server),
        (
            r#"{"message":{"tool_calls":[{"function":{"name":"f"}}]}}"#,
            Class::Server,
        ),
        (
            r#"{"message":{"tool_calls":[{"id":"a","function":{}}]}}"#,
            Class::Server,
        ),
    ] {
        assert_eq!(decode(body).unwrap_err().class, expect, "{body}");
    }
}

#[test]
fn a_failure_does_not_repeat_the_answer() {
    for body in [
        r#"{"message":{"content":7,"x":"a secret"}}"#,
        r#"{"message":{"content":"a secret"}}"#,
        r#"{"message":["a secret"]}"#,
    ] {
        let failure = decode(body).unwrap_err();
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
}
