use bytes::Bytes;

use super::super::tests::{check_refused, parse, saying};
use crate::chat::{Document, DocumentSource, Image, Part, Source, ToolCall};

#[test]
fn a_conversation_with_tools_is_read() {
    let request = parse(&saying(
        r#"{"role":"developer","content":"be brief"},{"role":"user","name":"ann","content":"weather?"},
        {"role":"assistant","content":null,"refusal":null,"annotations":[],"audio":null,
        "function_call":null,"reasoning_content":"think","tool_calls":[
        {"index":0,"id":"c1","type":"function","function":{"name":"w","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"rain"}]},
        {"role":"assistant","content":[{"type":"refusal","refusal":"no"}]}"#,
    ))
    .request;
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "w".to_owned(),
        arguments: "{}".to_owned(),
        opaque: Vec::new(),
    };
    assert_eq!(request.messages[1].name.as_deref(), Some("ann"));
    assert_eq!(
        request.messages[2].parts,
        [
            Part::Reasoning {
                text: "think".to_owned(),
                opaque: Vec::new()
            },
            Part::ToolCall(call),
        ]
    );
    assert_eq!(
        request.messages[3].parts,
        [Part::ToolResult {
            tool_call_id: "c1".to_owned(),
            parts: vec![Part::Text("rain".to_owned())],
            is_error: false,
        }]
    );
    assert_eq!(request.messages[4].parts, [Part::Refusal("no".to_owned())]);
}

#[test]
fn parts_of_every_type_are_read() {
    let request = parse(&saying(
        r#"{"role":"user","content":[{"type":"text","text":"a\"b"},
        {"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,AQID"}},
        {"type":"input_audio","input_audio":{"data":"BAU=","format":"wav"}},
        {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,Bg=="}}]}"#,
    ))
    .request;
    let bytes = |mime: &str, data: &'static [u8]| Source::Bytes {
        mime: mime.to_owned(),
        data: Bytes::from_static(data),
    };
    assert_eq!(
        request.messages[0].parts,
        [
            Part::Text("a\"b".to_owned()),
            Part::Image(Image {
                source: Source::Url("https://example.com/a.png".to_owned()),
                detail: Some("low".to_owned()),
            }),
            Part::Image(Image {
                source: bytes("image/png", &[1, 2, 3]),
                detail: None
            }),
            Part::Audio {
                data: Bytes::from_static(&[4, 5]),
                format: "wav".to_owned()
            },
            Part::Document(Document {
                source: DocumentSource::File(bytes("application/pdf", &[6])),
                title: Some("a.pdf".to_owned()),
                citations: false,
            }),
        ]
    );
}

#[test]
fn errors_name_the_field_of_the_message() {
    check_refused(
        &saying(r#"{"role":"function","content":"a"}"#),
        "messages[0].role",
        "developer",
    );
    check_refused(
        &saying(r#"{"role":"user"}"#),
        "messages[0].content",
        "required",
    );
    check_refused(
        &saying(r#"{"role":"tool","content":"a"}"#),
        "messages[0].tool_call_id",
        "required",
    );
    check_refused(
        &saying(r#"{"role":"user","content":"a","tool_calls":[]}"#),
        "messages[0].tool_calls",
        "not allowed",
    );
    check_refused(
        &saying(r#"{"role":"assistant","audio":{"id":"x"}}"#),
        "messages[0].audio",
        "not supported",
    );
    check_refused(
        &saying(r#"{"role":"assistant","tool_calls":[{"id":"x","function":{}}]}"#),
        "messages[0].tool_calls[0].function.name",
        "required",
    );
}

#[test]
fn errors_name_the_part() {
    let part = |part: &str| saying(&format!(r#"{{"role":"user","content":[{part}]}}"#));
    for (json, path, words) in [
        (
            r#"{"type":"text"}"#,
            "messages[0].content[0].text",
            "required",
        ),
        (
            r#"{"type":"video"}"#,
            "messages[0].content[0].type",
            "user message",
        ),
        (
            r#"{"type":"refusal","refusal":"x"}"#,
            "messages[0].content[0].type",
            "user message",
        ),
        (
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,?"}}"#,
            "messages[0].content[0].image_url.url",
            "base64",
        ),
        (
            r#"{"type":"image_url","image_url":{"url":"data:image/png,raw"}}"#,
            "messages[0].content[0].image_url.url",
            "base64",
        ),
        (
            r#"{"type":"input_audio","input_audio":{"data":"?","format":"wav"}}"#,
            "messages[0].content[0].input_audio.data",
            "base64",
        ),
        (
            r#"{"type":"file","file":{"file_id":"f"}}"#,
            "messages[0].content[0].file.file_id",
            "file_data",
        ),
        (
            r#"{"type":"file","file":{"file_data":"http://x"}}"#,
            "messages[0].content[0].file.file_data",
            "data URL",
        ),
    ] {
        check_refused(&part(json), path, words);
    }
    check_refused(
        &saying(r#"{"role":"system","content":[{"type":"image_url","image_url":{"url":"x"}}]}"#),
        "messages[0].content[0].type",
        "system message",
    );
}
