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
        max_output_tokens: Some(1),
        ..Request::default()
    };
    let sent = Codec::new(Kind::Anthropic).encode(&request, &Target::of("claude"), false)?;
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

fn document(source: DocumentSource) -> Part {
    Part::Document(Document {
        source,
        title: Some("t".to_owned()),
        citations: false,
    })
}

fn thought(text: &str, opaque: Vec<Opaque>) -> Part {
    Part::Reasoning {
        text: text.to_owned(),
        opaque,
    }
}

fn state(kind: &str, bytes: &'static str) -> Opaque {
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
        Message::text(Role::System, "d"),
        Message::text(Role::User, "e"),
        Message::text(Role::Assistant, ""),
    ])
    .unwrap();
    let words = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(sent["system"], json!([words("a"), words("b"), words("d")]));
    let tool_use = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    assert_eq!(
        sent["messages"],
        json!([
            {"role": "user", "content": [words("c")]},
            {"role": "assistant", "content": [tool_use("1"), tool_use("2")]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": [words("x")]},
                {"type": "tool_result", "tool_use_id": "2", "is_error": true},
                words("e"),
            ]},
        ])
    );
}

#[test]
fn every_part_of_a_user_has_its_block() {
    let url = || Source::Url("https://example.com/x".to_owned());
    let base64 = |mime: &str| json!({"type": "base64", "media_type": mime, "data": "AQID"});
    let at = json!({"type": "url", "url": "https://example.com/x"});
    let plain = |data: &str| json!({"type": "text", "media_type": "text/plain", "data": data});
    for (part, block) in [
        (text("a"), json!({"type": "text", "text": "a"})),
        (image(url()), json!({"type": "image", "source": at})),
        (
            image(bytes("image/png")),
            json!({"type": "image", "source": base64("image/png")}),
        ),
        (
            document(DocumentSource::File(url())),
            json!({"type": "document", "source": at, "title": "t"}),
        ),
        (
            document(DocumentSource::File(bytes("application/pdf"))),
            json!({"type": "document", "source": base64("application/pdf"), "title": "t"}),
        ),
        (
            document(DocumentSource::File(bytes("text/csv"))),
            json!({"type": "document", "source": plain("\u{1}\u{2}\u{3}"), "title": "t"}),
        ),
        (
            document(DocumentSource::Text {
                text: "b".to_owned(),
                mime: "text/markdown".to_owned(),
            }),
            json!({"type": "document", "source": plain("b"), "title": "t"}),
        ),
    ] {
        assert_eq!(blocks(Role::User, vec![part]), json!([block]));
    }
}

#[test]
fn a_tools_result_may_hold_pictures_and_documents() {
    let parts = vec![
        text("a"),
        image(bytes("image/png")),
        document(DocumentSource::File(bytes("application/pdf"))),
    ];
    let sent = blocks(Role::Tool, vec![result("1", parts, false)]);
    let kinds: Vec<_> = sent[0]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["text", "image", "document"]);
}

#[test]
fn thoughts_go_back_as_they_came_where_they_came() {
    let sent = blocks(
        Role::Assistant,
        vec![
            thought("a", vec![state(SIGNATURE, "s=="), state(REDACTED, "r==")]),
            call("1", "{}"),
            thought("", vec![state(REDACTED, "q"), state(SIGNATURE, "t")]),
            thought(
                "",
                vec![state(BLOCK, r#"{"type":"mcp_tool_use","b":1,"a":2}"#)],
            ),
            // Thoughts of others, and thoughts that nobody signed.
            thought("b", vec![]),
            thought(
                "c",
                vec![Opaque {
                    provider: "gemini".to_owned(),
                    ..state(SIGNATURE, "x")
                }],
            ),
            text("d"),
        ],
    );
    assert_eq!(
        sent,
        json!([
            {"type": "thinking", "thinking": "a", "signature": "s=="},
            {"type": "redacted_thinking", "data": "r=="},
            {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            {"type": "redacted_thinking", "data": "q"},
            {"type": "thinking", "thinking": "", "signature": "t"},
            {"type": "mcp_tool_use", "b": 1, "a": 2},
            {"type": "text", "text": "d"},
        ])
    );
}

#[test]
fn state_that_was_changed_is_refused() {
    for (kind, data) in [
        ("yet_to_come", "x"),
        (BLOCK, "x"),
        (BLOCK, r#"{"type":"text","text":"not looked at"}"#),
        (BLOCK, r#"{"type":"image","source":{"type":"file"}}"#),
    ] {
        let parts = vec![text("a"), thought("", vec![state(kind, data)])];
        let error = encode(vec![message(Role::Assistant, parts)]).unwrap_err();
        let field = "messages[0].parts[1].reasoning.provider_state";
        assert_eq!(error.field(), Some(field), "{kind} {data}");
    }
}

#[test]
fn ids_of_other_providers_are_rewritten_alike_in_call_and_result() {
    let id = "call:1/é";
    let sent = encode(vec![
        message(Role::Assistant, vec![call(id, "{}")]),
        message(Role::Tool, vec![result(id, vec![text("x")], false)]),
    ])
    .unwrap();
    let call = &sent["messages"][0]["content"][0]["id"];
    assert_eq!(call, "call_3a1_2f_c3_a9");
    assert_eq!(call, &sent["messages"][1]["content"][0]["tool_use_id"]);
}

#[test]
fn arguments_are_sent_as_the_model_wrote_them() {
    let request = Request {
        messages: vec![message(
            Role::Assistant,
            vec![call("1", r#"{"b": 1.0, "a":2}"#)],
        )],
        max_output_tokens: Some(1),
        ..Request::default()
    };
    let codec = Codec::new(Kind::Anthropic);
    let sent = codec
        .encode(&request, &Target::of("claude"), false)
        .unwrap();
    let body = std::str::from_utf8(&sent.body).unwrap();
    assert!(body.contains(r#""input":{"b": 1.0, "a":2}"#), "{body}");
    for broken in ["[1]", "{", "7", r#""{}""#] {
        let error = encode(vec![message(Role::Assistant, vec![call("1", broken)])]).unwrap_err();
        let field = "messages[0].parts[0].tool_call.arguments_json";
        assert_eq!(error.field(), Some(field), "{broken}");
    }
}

#[test]
fn parts_that_cannot_be_sent_are_refused_by_name() {
    let audio = Part::Audio(Audio {
        data: Bytes::from_static(b"x"),
        format: "wav".to_owned(),
        ..Audio::default()
    });
    let detailed = Part::Image(Image {
        source: bytes("image/png"),
        detail: Some("high".to_owned()),
    });
    let binary = document(DocumentSource::File(Source::Bytes {
        mime: "text/plain".to_owned(),
        data: Bytes::from_static(&[0xff]),
    }));
    let zip = document(DocumentSource::File(bytes("application/zip")));
    for (role, part, rest) in [
        (Role::User, audio.clone(), ".audio"),
        (Role::User, image(bytes("image/tiff")), ".image.media_type"),
        (Role::User, detailed, ".image.detail"),
        (Role::User, zip, ".document.media_type"),
        (Role::User, binary, ".document.data"),
        (Role::User, call("1", "{}"), ""),
        (Role::System, image(bytes("image/png")), ""),
        (Role::Assistant, image(bytes("image/png")), ""),
        (Role::Assistant, result("1", vec![], false), ""),
        (Role::Tool, result("1", vec![audio], false), ".tool_result"),
    ] {
        let error = encode(vec![message(role, vec![text("a"), part])]).unwrap_err();
        let field = format!("messages[0].parts[1]{rest}");
        assert_eq!(error.field(), Some(field.as_str()), "{error}");
    }
}

/// Behind what the user said and before an answer, or at the end: elsewhere it refuses instructions within a conversation.
#[test]
fn newer_models_find_instructions_where_they_stood() {
    let say = |role, text: &str| Message::text(role, text);
    let (user, system) = (Role::User, Role::System);
    let sent = |messages: Vec<Message>| {
        let request = Request {
            messages,
            max_output_tokens: Some(1),
            ..Request::default()
        };
        let sent =
            Codec::new(Kind::Anthropic).encode(&request, &Target::of("claude-opus-4-8"), false);
        let sent = sent.unwrap();
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        let messages = body["messages"].as_array().unwrap().iter();
        let roles: Vec<_> = messages
            .map(|it| it["role"].as_str().unwrap().to_owned())
            .collect();
        let before = body["system"].as_array().map_or(0, Vec::len);
        (roles.join(" "), before, sent.warnings.len())
    };
    let told = |roles: &str, before, warnings| (roles.to_owned(), before, warnings);
    let answer = || say(Role::Assistant, "yes");
    let all = vec![
        say(system, "first"),
        say(user, "hi"),
        say(system, "a"),
        say(Role::Developer, "b"),
        answer(),
        message(Role::Tool, vec![result("1", vec![text("x")], false)]),
        say(system, "c"),
    ];
    assert_eq!(sent(all), told("user system assistant user system", 1, 0));
    // What it would refuse there goes where others are told it, with a warning.
    let before_user = vec![say(user, "hi"), say(system, "a"), say(user, "you")];
    assert_eq!(sent(before_user), told("user", 1, 1));
    let thought = Part::Reasoning {
        text: "hm".to_owned(),
        opaque: Vec::new(),
    };
    let unsaid = message(Role::Assistant, vec![thought]);
    let before_nothing = vec![say(user, "hi"), say(system, "a"), unsaid, say(user, "you")];
    assert_eq!(sent(before_nothing), told("user user", 1, 1));
    let behind_answer = vec![say(user, "hi"), answer(), say(system, "a")];
    assert_eq!(sent(behind_answer), told("user assistant user", 0, 1));
    let first = vec![say(user, ""), say(system, "a"), answer(), say(user, "hi")];
    assert_eq!(sent(first), told("assistant user", 1, 1));
}
