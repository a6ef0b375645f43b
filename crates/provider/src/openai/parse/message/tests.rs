use bytes::Bytes;

use super::super::tests::{check_refused, parse, saying};
use crate::chat::{
    Audio, CachePlace, Document, DocumentSource, Image, Part, Source, StoredFile, ToolCall,
};

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
            Part::Audio(Audio {
                data: Bytes::from_static(&[4, 5]),
                format: "wav".to_owned(),
                ..Audio::default()
            }),
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
        &saying(r#"{"role":"assistant","audio":{"data":"AQID"}}"#),
        "messages[0].audio.id",
        "required",
    );
    check_refused(
        &saying(r#"{"role":"user","content":"a","audio":{"id":"x"}}"#),
        "messages[0].audio",
        "not allowed",
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
            r#"{"type":"file","file":{"file_id":"f","file_data":"x"}}"#,
            "messages[0].content[0].file.file_data",
            "leave one out",
        ),
        (
            r#"{"type":"text","text":"a","cache_control":{"type":"lasting"}}"#,
            "messages[0].content[0].cache_control.type",
            "ephemeral",
        ),
        (
            r#"{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1d"}}"#,
            "messages[0].content[0].cache_control.ttl",
            "1h",
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

#[test]
fn stored_files_are_pictures_where_their_type_says_so() {
    let file = |mime: Option<&str>, owner: Option<&str>| StoredFile {
        id: "f".to_owned(),
        mime: mime.map(str::to_owned),
        owner: owner.map(str::to_owned),
    };
    let request = parse(&saying(
        r#"{"role":"user","content":[{"type":"file","file":{"file_id":"f","filename":"a.pdf"}},
        {"type":"file","file":{"file_id":"f","format":"image/png","provider":"claude"}}]}"#,
    ))
    .request;
    let document = Document {
        source: DocumentSource::File(Source::Stored(file(None, None))),
        title: Some("a.pdf".to_owned()),
        citations: false,
    };
    let image = Image {
        source: Source::Stored(file(Some("image/png"), Some("claude"))),
        detail: None,
    };
    assert_eq!(
        request.messages[0].parts,
        [Part::Document(document), Part::Image(image)]
    );
}

#[test]
fn what_was_spoken_is_known_by_its_id_and_its_words() {
    let request = parse(&saying(
        r#"{"role":"assistant","content":null,
        "audio":{"id":"audio_1","data":"AQID","expires_at":9,"transcript":"Hello."}}"#,
    ))
    .request;
    let spoken = Audio {
        id: Some("audio_1".to_owned()),
        transcript: "Hello.".to_owned(),
        ..Audio::default()
    };
    assert_eq!(request.messages[0].parts, [Part::Audio(spoken)]);
}

#[test]
fn cache_hints_stand_at_the_parts_that_are_made_of_what_they_stand_at() {
    let request = parse(&saying(
        r#"{"role":"system","content":"s","cache_control":{"type":"ephemeral"}},
        {"role":"user","content":[{"type":"text","text":"a"},
            {"type":"text","text":"b","cache_control":{"type":"ephemeral","ttl":"5m"}}],
            "cache_control":{"type":"ephemeral","ttl":"1h"}},
        {"role":"assistant","reasoning_content":"t","content":[
            {"type":"text","text":"c","cache_control":{"type":"ephemeral","ttl":"1h"}}],
            "tool_calls":[{"id":"c1","type":"function","function":{"name":"w","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"x"},
            {"type":"text","text":"y","cache_control":{"type":"ephemeral"}}]}"#,
    ))
    .request;
    let points: Vec<_> = request
        .cache_points
        .iter()
        .map(|point| (point.after, point.time_to_live.map(|it| it.as_secs())))
        .collect();
    let part = |message, part| CachePlace::Part { message, part };
    assert_eq!(
        points,
        [
            (part(0, 0), None),
            // That of the message stands at the same part as that of its last.
            (part(1, 1), Some(300)),
            // Behind the thought.
            (part(2, 1), Some(3600)),
            // The result of a tool is one part.
            (part(3, 0), None),
        ]
    );
}
