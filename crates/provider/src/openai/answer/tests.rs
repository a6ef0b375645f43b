use crate::chat::{FinishReason, Part, Response};
use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};

fn decode(body: &str) -> Result<Response, Failure> {
    Codec::new(Kind::OpenAiCompatible).decode(body.as_bytes())
}

#[test]
fn answers_of_imitators_are_understood() {
    let text = |text: &str| vec![Part::Text(text.to_owned())];
    for (choice, parts, reason) in [
        (
            r#"{"message":{"content":"a"},"finish_reason":"eos"}"#,
            text("a"),
            FinishReason::Stop,
        ),
        (
            r#"{"message":{"content":"a"},"finish_reason":null}"#,
            text("a"),
            FinishReason::Other,
        ),
        (
            r#"{"message":{"content":"a"},"finish_reason":"odd"}"#,
            text("a"),
            FinishReason::Other,
        ),
        (
            r#"{"message":{"content":""},"finish_reason":"max_tokens"}"#,
            vec![],
            FinishReason::Length,
        ),
        (
            r#"{"message":{},"finish_reason":"content_filter"}"#,
            vec![],
            FinishReason::ContentFilter,
        ),
        (
            r#"{"message":{"content":[{"type":"text","text":"a"}],"extra":1},"finish_reason":"stop"}"#,
            text("a"),
            FinishReason::Stop,
        ),
        (
            r#"{"message":{"reasoning":"hm","content":null},"finish_reason":"stop"}"#,
            vec![Part::Reasoning {
                text: "hm".to_owned(),
                opaque: vec![],
            }],
            FinishReason::Stop,
        ),
    ] {
        let response = decode(&format!(r#"{{"choices":[{choice}]}}"#)).unwrap();
        assert_eq!(response.choices[0].message.parts, parts, "{choice}");
        assert_eq!(response.choices[0].finish_reason, reason, "{choice}");
        assert_eq!(response.usage, None);
    }
}

#[test]
fn choices_are_sorted() {
    let choice = |index| format!(r#"{{"index":{index},"message":{{"content":"{index}"}}}}"#);
    let response = decode(&format!(r#"{{"choices":[{},{}]}}"#, choice(1), choice(0))).unwrap();
    assert_eq!(
        response.choices.iter().map(|c| c.index).collect::<Vec<_>>(),
        [0, 1]
    );
}

#[test]
fn what_is_no_answer_is_a_failure() {
    for (body, expect) in [
        ("", Class::Server),
        ("<html>", Class::Server),
        ("[]", Class::Server),
        ("{}", Class::Server),
        (r#"{"choices":[]}"#, Class::Server),
        (r#"{"choices":[{"finish_reason":"stop"}]}"#, Class::Server),
        (
            r#"{"choices":[{"message":{"content":"a"},"finish_reason":"error"}]}"#,
            Class::Server,
        ),
        (
            r#"{"choices":[{"message":{"tool_calls":[{"function":{"name":"f"}}]}}]}"#,
            Class::Server,
        ),
        (
            r#"{"choices":[{"message":{"tool_calls":[{"id":"a","function":{}}]}}]}"#,
            Class::Server,
        ),
        (
            r#"{"error":{"message":"x","code":"rate_limit_exceeded"}}"#,
            Class::KeyLimited,
        ),
        (r#"{"error":"boom"}"#, Class::Server),
        (r#"{"choices":[{"message":{"content":"cut"#, Class::Server),
    ] {
        assert_eq!(decode(body).unwrap_err().class, expect, "{body}");
    }
}

#[test]
fn a_failure_does_not_repeat_the_answer() {
    for body in [
        r#"{"choices":[{"message":{"content":7,"x":"a secret"}}]}"#,
        r#"{"choices":[{"message":"a secret"}]}"#,
        r#"{"choices":"a secret"}"#,
    ] {
        let failure = decode(body).unwrap_err();
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
}
