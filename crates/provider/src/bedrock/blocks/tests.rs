use bytes::Bytes;
use serde_json::{Value, json};

use super::super::{BLOCK, PROVIDER, REDACTED, SIGNATURE};
use crate::Error;
use crate::chat::{
    Audio, Document, DocumentSource, Image, Message, Opaque, Part, Request, Role, Source, ToolCall,
};
use crate::codec::{Codec, Kind, Target};

fn encode(messages: Vec<Message>) -> Result<Value, Error> {
    let request = Request {
        messages,
        ..Request::default()
    };
    let sent = Codec::new(Kind::Bedrock).encode(&request, &Target::of("m"), false)?;
    Ok(serde_json::from_slice(&sent.body).unwrap())
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

/// The blocks that a message of these parts becomes.
fn blocks(role: Role, parts: Vec<Part>) -> Value {
    encode(vec![message(role, parts)]).unwrap()["messages"][0]["content"].clone()
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult {
        tool_call_id: id.to_owned(),
        parts,
        is_error,
    }
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: arguments.to_owned(),
        opaque: Vec::new(),
    })
}

fn bytes(mime: &str) -> Source {
    Source::Bytes {
        mime: mime.to_owned(),
        data: Bytes::from_static(&[1, 2, 3]),
    }
}

fn image(source: Source) -> Part {
    Part::Image(Image {
        source,
        detail: None,
    })
}

fn document(source: DocumentSource, title: Option<&str>) -> Part {
    Part::Document(Document {
        source,
        title: title.map(str::to_owned),
        citations: false,
    })
}

fn audio(format: &str) -> Part {
    Part::Audio(Audio {
        data: Bytes::from_static(&[1, 2, 3]),
        format: format.to_owned(),
        ..Audio::default()
    })
}

fn thought(text: &str, opaque: Vec<Opaque>) -> Part {
    Part::Reasoning {
        text: text.to_owned(),
        opaque,
    }
}

fn state(kind: &str, bytes: &'static [u8]) -> Opaque {
    Opaque {
        provider: PROVIDER.to_owned(),
        kind: kind.to_owned(),
        bytes: bytes.into(),
    }
}

#[test]
fn instructions_stand_apart_and_speakers_take_turns() {
    let sent = encode(vec![
        Message::text(Role::System, "a"),
        Message::text(Role::Developer, "b"),
        Message::text(Role::User, "c"),
        message(Role::Assistant, vec![call("1", "{}"), call("2", "")]),
        message(Role::Tool, vec![result("1", vec![text("x")], false)]),
        message(Role::Tool, vec![result("2", vec![], true)]),
        Message::text(Role::User, "e"),
        Message::text(Role::Assistant, ""),
    ])
    .unwrap();
    assert_eq!(sent["system"], json!([{"text": "a"}, {"text": "b"}]));
    let tool_use = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {}}});
    assert_eq!(
        sent["messages"],
        json!([
            {"role": "user", "content": [{"text": "c"}]},
            {"role": "assistant", "content": [tool_use("1"), tool_use("2")]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "1", "content": [{"text": "x"}]}},
                {"toolResult": {"toolUseId": "2", "content": [], "status": "error"}},
                {"text": "e"},
            ]},
        ])
    );
}

#[test]
fn every_part_of_a_user_has_its_block() {
    let data = json!({"bytes": "AQID"});
    let pdf = || DocumentSource::File(bytes("application/pdf"));
    let markdown = DocumentSource::Text {
        text: "b".to_owned(),
        mime: "text/markdown".to_owned(),
    };
    for (part, block) in [
        (text("a"), json!({"text": "a"})),
        (
            image(bytes("image/jpeg")),
            json!({"image": {"format": "jpeg", "source": data}}),
        ),
        (
            audio("wav"),
            json!({"audio": {"format": "wav", "source": data}}),
        ),
        (
            document(pdf(), Some(" Größe: 2/3.pdf")),
            json!({"document": {"format": "pdf", "name": "Gr e 2 3 pdf", "source": data}}),
        ),
        (
            document(pdf(), None),
            json!({"document": {"format": "pdf", "name": "document 1 1 0", "source": data}}),
        ),
        (
            document(markdown, Some("t")),
            json!({"document": {"format": "md", "name": "t", "source": {"text": "b"}}}),
        ),
    ] {
        assert_eq!(blocks(Role::User, vec![part]), json!([block]));
    }
}

#[test]
fn thoughts_go_back_as_they_came_where_they_came() {
    let kept = br#"{"toolUse":{"toolUseId":"s","name":"n","input":{},"type":"server_tool_use"}}"#;
    let sent = blocks(
        Role::Assistant,
        vec![
            thought(
                "a",
                vec![state(SIGNATURE, b"s=="), state(REDACTED, &[1, 2, 3])],
            ),
            call("1", "{}"),
            thought("", vec![state(BLOCK, kept)]),
            thought("", vec![state(BLOCK, br#"{"searchResult":{"b":1,"a":2}}"#)]),
            // Thoughts of others, and thoughts that nobody signed.
            thought("b", vec![]),
            thought(
                "c",
                vec![Opaque {
                    provider: "anthropic".to_owned(),
                    ..state(SIGNATURE, b"x")
                }],
            ),
            text("d"),
        ],
    );
    assert_eq!(
        sent,
        json!([
            {"reasoningContent": {"reasoningText": {"text": "a", "signature": "s=="}}},
            {"reasoningContent": {"redactedContent": "AQID"}},
            {"toolUse": {"toolUseId": "1", "name": "f", "input": {}}},
            {"toolUse": {"toolUseId": "s", "name": "n", "input": {}, "type": "server_tool_use"}},
            {"searchResult": {"b": 1, "a": 2}},
            {"text": "d"},
        ])
    );
}

#[test]
fn state_that_was_changed_is_refused() {
    for (kind, data) in [
        ("yet_to_come", &b"x"[..]),
        (SIGNATURE, &[0xff]),
        (BLOCK, b"x"),
        (BLOCK, b"{}"),
        (BLOCK, br#"{"text":"not looked at"}"#),
        (BLOCK, br#"{"x":1,"image":{"source":{"s3Location":{}}}}"#),
        (
            BLOCK,
            br#"{"toolUse":{"toolUseId":"s","name":"n","input":{}}}"#,
        ),
    ] {
        let parts = vec![text("a"), thought("", vec![state(kind, data)])];
        let error = encode(vec![message(Role::Assistant, parts)]).unwrap_err();
        let field = "messages[0].parts[1].reasoning.provider_state";
        assert_eq!(error.field(), Some(field), "{kind} {data:?}");
    }
}

#[test]
fn parts_that_cannot_be_sent_are_refused_by_name() {
    let url = || Source::Url("https://example.com/x".to_owned());
    let detailed = Part::Image(Image {
        source: bytes("image/png"),
        detail: Some("high".to_owned()),
    });
    let zip = document(DocumentSource::File(bytes("application/zip")), None);
    let linked = document(DocumentSource::File(url()), None);
    for (role, part, rest) in [
        (Role::User, audio("flv"), ".audio.media_type"),
        (Role::User, image(url()), ".image.url"),
        (Role::User, image(bytes("image/tiff")), ".image.media_type"),
        (Role::User, detailed, ".image.detail"),
        (Role::User, zip, ".document.media_type"),
        (Role::User, linked, ".document.url"),
        (Role::User, call("1", "{}"), ""),
        (Role::System, image(bytes("image/png")), ""),
        (Role::Assistant, audio("wav"), ".audio"),
        (Role::Assistant, result("1", vec![], false), ""),
        (
            Role::Assistant,
            call(&"x".repeat(65), "{}"),
            ".tool_call.id",
        ),
        (
            Role::Assistant,
            call("1", "[1]"),
            ".tool_call.arguments_json",
        ),
        (
            Role::Tool,
            result("1", vec![audio("wav")], false),
            ".tool_result",
        ),
    ] {
        let error = encode(vec![message(role, vec![text("a"), part])]).unwrap_err();
        let field = format!("messages[0].parts[1]{rest}");
        assert_eq!(error.field(), Some(field.as_str()), "{error}");
    }
}
