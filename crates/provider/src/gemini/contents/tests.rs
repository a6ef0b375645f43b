use serde_json::{Value, json};

use crate::Error;
use crate::chat::{Image, Message, Opaque, Part, Request, Role, Source, ToolCall};
use crate::codec::{Codec, Kind, Target};
use crate::openai;

const MODEL: &str = "gemini-2.5-flash";

fn text_of(request: &Request, model: &str) -> Result<String, Error> {
    let sent = Codec::new(Kind::Gemini).encode(request, &Target::of(model), false)?;
    Ok(String::from_utf8(sent.body.to_vec()).unwrap())
}

fn body(request: &Request, model: &str) -> Value {
    serde_json::from_str(&text_of(request, model).unwrap()).unwrap()
}

fn request(messages: Vec<Message>) -> Request {
    Request {
        model: "m".to_owned(),
        messages,
        ..Request::default()
    }
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

/// What a caller of the compatible edge says, as the canonical request.
fn said(messages: &Value) -> Request {
    let body = json!({"model": "m", "messages": messages});
    openai::parse_request(&serde_json::to_vec(&body).unwrap())
        .unwrap()
        .request
}

#[test]
fn a_conversation_takes_the_form_of_this_provider() {
    let request = said(&json!([
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [
            {"type": "text", "text": "what is \u{1F980}?\n"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.PNG?x=1.y", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a", "detail": "auto"}},
            {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AQID", "detail": "high"}},
            {"type": "input_audio", "input_audio": {"data": "BAU=", "format": "wav"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,Bg=="}},
        ]},
        {"role": "user", "content": "well?"},
        {"role": "assistant", "content": "one moment", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{\"z\": 1.50, \"a\":[ ]}"}},
            {"id": "c2", "type": "function", "function": {"name": "v", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "c2", "content": "rain"},
        {"role": "tool", "tool_call_id": "c1", "content": [
            {"type": "text", "text": "a"}, {"type": "text", "text": "b"},
        ]},
        {"role": "user", "content": "thanks"},
        {"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "refusal", "refusal": "y"}]},
        {"role": "system", "content": "still brief"},
        {"role": "user", "content": "and now?"},
    ]));
    let body = body(&request, MODEL);
    assert_eq!(
        body["systemInstruction"],
        json!({"parts": [{"text": "be brief"}, {"text": "a"}, {"text": "b"}, {"text": "still brief"}]})
    );
    assert_eq!(
        body["contents"],
        json!([
            {"role": "user", "parts": [
                {"text": "what is \u{1F980}?\n"},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.PNG?x=1.y"},
                 "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}},
                {"fileData": {"fileUri": "https://example.com/a"}},
                {"inlineData": {"mimeType": "image/webp", "data": "AQID"},
                 "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "BAU="}},
                {"text": "a.pdf"},
                {"inlineData": {"mimeType": "application/pdf", "data": "Bg=="}},
                {"text": "well?"},
            ]},
            {"role": "model", "parts": [
                {"text": "one moment"},
                {"functionCall": {"id": "c1", "name": "w", "args": {"z": 1.50, "a": []}}},
                {"functionCall": {"id": "c2", "name": "v", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "c2", "name": "v", "response": {"output": "rain"}}},
                {"functionResponse": {"id": "c1", "name": "w", "response": {"output": ["a", "b"]}}},
            ]},
            {"role": "user", "parts": [{"text": "thanks"}]},
            {"role": "model", "parts": [{"text": "x"}, {"text": "y"}]},
            {"role": "user", "parts": [{"text": "and now?"}]},
        ])
    );
}

#[test]
fn arguments_are_sent_as_the_model_wrote_them() {
    let call = ToolCall {
        id: "c".to_owned(),
        name: "f".to_owned(),
        arguments: r#" {"z":1.50,"a":12345678901234567890123} "#.to_owned(),
        opaque: vec![],
    };
    let request = request(vec![
        Message::text(Role::User, "hi"),
        message(Role::Assistant, vec![Part::ToolCall(call)]),
    ]);
    let text = text_of(&request, MODEL).unwrap();
    assert!(
        text.contains(r#""args":{"z":1.50,"a":12345678901234567890123}"#),
        "{text}"
    );
}

#[test]
fn results_of_tools_may_fail_and_hold_files() {
    let call = ToolCall {
        id: "c".to_owned(),
        name: "f".to_owned(),
        arguments: String::new(),
        opaque: vec![],
    };
    let result = |parts, is_error| Part::ToolResult {
        tool_call_id: "c".to_owned(),
        parts,
        is_error,
    };
    let image = Part::Image(Image {
        source: Source::Bytes {
            mime: "image/png".to_owned(),
            data: vec![1, 2, 3].into(),
        },
        detail: None,
    });
    let request = request(vec![
        message(Role::Assistant, vec![Part::ToolCall(call)]),
        message(
            Role::Tool,
            vec![
                result(vec![text("no such file")], true),
                result(vec![image], false),
            ],
        ),
    ]);
    assert_eq!(
        body(&request, MODEL)["contents"][1]["parts"],
        json!([
            {"functionResponse": {"id": "c", "name": "f", "response": {"error": "no such file"}}},
            {"functionResponse": {"id": "c", "name": "f", "response": {"output": ""},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "AQID"}}]}},
        ])
    );
}

fn state(kind: &str, signature: &'static str) -> Opaque {
    Opaque {
        provider: "gemini".to_owned(),
        kind: kind.to_owned(),
        bytes: signature.into(),
    }
}

fn call(id: &str, opaque: Vec<Opaque>) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        opaque,
    })
}

fn reasoning(text: &str, opaque: Vec<Opaque>) -> Part {
    Part::Reasoning {
        text: text.to_owned(),
        opaque,
    }
}

/// The parts that a message of the assistant's becomes.
fn assistant(model: &str, parts: Vec<Part>) -> Value {
    let request = request(vec![message(Role::Assistant, parts)]);
    body(&request, model)["contents"][0]["parts"].clone()
}

#[test]
fn signatures_go_back_to_where_they_stood() {
    let foreign = Opaque {
        provider: "anthropic".to_owned(),
        kind: "signature".to_owned(),
        bytes: "no".into(),
    };
    let sent = assistant(
        "gemini-3-pro-preview",
        vec![
            reasoning("left out", vec![foreign.clone()]),
            reasoning("kept", vec![state("thought_signature", "dGg=")]),
            text("a"),
            reasoning("", vec![state("text_signature", "dHg=")]),
            text("b"),
            reasoning("", vec![state("signature", "YWw=")]),
            call("c1", vec![foreign, state("call_signature", "Y2E=")]),
            call("c2", vec![]),
        ],
    );
    let call = |id: &str| json!({"id": id, "name": "f", "args": {}});
    assert_eq!(
        sent,
        json!([
            {"text": "kept", "thought": true, "thoughtSignature": "dGg="},
            {"text": "a", "thoughtSignature": "dHg="},
            {"text": "b"},
            {"text": "", "thoughtSignature": "YWw="},
            {"functionCall": call("c1"), "thoughtSignature": "Y2E="},
            {"functionCall": call("c2")},
        ])
    );
}

/// What came in a stream or whole goes back as it came.
#[test]
fn an_answer_goes_back_as_it_came() {
    let answer = json!({"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
        {"text": "thought", "thought": true, "thoughtSignature": "MQ=="},
        {"text": "said", "thoughtSignature": "Mg=="},
        {"text": "more"},
        {"text": "", "thoughtSignature": "Mw=="},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "NA=="},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    ]}}]});
    let codec = Codec::new(Kind::Gemini);
    let response = codec.decode(&serde_json::to_vec(&answer).unwrap()).unwrap();
    let request = request(vec![response.choices[0].message.clone()]);
    assert_eq!(
        body(&request, "gemini-3-pro-preview")["contents"][0]["parts"],
        answer["candidates"][0]["content"]["parts"]
    );
}

/// Code that the provider ran, what came of it, and pictures that it drew: none of it means anything to others.
#[test]
fn what_its_own_tools_did_is_kept_and_goes_back() {
    let answer = json!({"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
        {"text": "I count."},
        {"executableCode": {"language": "PYTHON", "code": "1 + 1"}, "thoughtSignature": "MQ=="},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        {"inlineData": {"mimeType": "image/png", "data": "AQID"}},
        {"text": "It is 2."},
    ]}}]});
    let codec = Codec::new(Kind::Gemini);
    let response = codec.decode(&serde_json::to_vec(&answer).unwrap()).unwrap();
    let said = response.choices[0].message.clone();
    let request = request(vec![Message::text(Role::User, "hi"), said]);
    assert_eq!(
        body(&request, "gemini-3-pro-preview")["contents"][1]["parts"],
        answer["candidates"][0]["content"]["parts"]
    );
    let others = Codec::new(Kind::OpenAi).encode(&request, &Target::of("m"), false);
    let others = String::from_utf8(others.unwrap().body.to_vec()).unwrap();
    assert!(others.contains("It is 2.") && !others.contains("OUTCOME_OK"));
}

/// A call or a text can not be passed off as such a part: it must go the way on which it is looked at.
#[test]
fn nothing_else_passes_for_what_its_own_tools_did() {
    for part in [r#"{"functionCall":{"name":"f"}}"#, r#"{"text":"x"}"#, "7"] {
        let kept = Opaque {
            provider: "gemini".to_owned(),
            kind: "part".to_owned(),
            bytes: part.as_bytes().to_vec().into(),
        };
        let sent = assistant(MODEL, vec![text("a"), reasoning("", vec![kept])]);
        assert_eq!(sent, json!([{"text": "a"}]), "{part}");
    }
}

#[test]
fn calls_of_other_models_get_a_stand_in_where_signatures_are_demanded() {
    let parts = || vec![text("a"), call("c1", vec![]), call("c2", vec![])];
    for (model, expect) in [
        (
            "gemini-3-pro-preview",
            json!("skip_thought_signature_validator"),
        ),
        ("gemini-2.5-pro", Value::Null),
    ] {
        let sent = assistant(model, parts());
        assert_eq!(sent[1]["thoughtSignature"], expect, "{model}");
        assert_eq!(sent[2]["thoughtSignature"], Value::Null, "{model}");
    }
}

/// Checks that the message of this role with this part is refused naming this field.
fn check_refused(role: Role, part: Part, field: &str) {
    let messages = vec![Message::text(Role::User, "hi"), message(role, vec![part])];
    match text_of(&request(messages), MODEL) {
        Err(Error::Unsupported {
            field: found, kind, ..
        }) => assert_eq!((&*found, kind), (field, "gemini")),
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn what_has_no_place_is_refused_by_name() {
    let image = || {
        Part::Image(Image {
            source: Source::Url("https://example.com".to_owned()),
            detail: None,
        })
    };
    let at = "messages[1].parts[0]";
    check_refused(Role::System, image(), at);
    check_refused(Role::Assistant, image(), at);
    check_refused(Role::User, Part::Refusal("r".to_owned()), at);
    check_refused(Role::User, call("c", vec![]), at);
    check_refused(Role::Tool, text("t"), at);
    let result = |parts| Part::ToolResult {
        tool_call_id: "lost".to_owned(),
        parts,
        is_error: false,
    };
    let field = "messages[1].parts[0].tool_result.tool_call_id";
    check_refused(Role::Tool, result(vec![]), field);
    for arguments in ["[1]", "{\"cut", "1", "{} {}"] {
        let call = Part::ToolCall(ToolCall {
            id: "c".to_owned(),
            name: "f".to_owned(),
            arguments: arguments.to_owned(),
            opaque: vec![],
        });
        let field = "messages[1].parts[0].tool_call.arguments";
        check_refused(Role::Assistant, call, field);
    }
}

#[test]
fn a_picture_of_a_tools_has_no_detail() {
    let picture = |detail: Option<&str>| Part::ToolResult {
        tool_call_id: "c".to_owned(),
        parts: vec![Part::Image(Image {
            source: Source::Url("https://example.com/a.png".to_owned()),
            detail: detail.map(str::to_owned),
        })],
        is_error: false,
    };
    let ask = |detail| {
        let call = message(Role::Assistant, vec![call("c", vec![])]);
        request(vec![call, message(Role::Tool, vec![picture(detail)])])
    };
    for fine in [None, Some("auto")] {
        assert!(text_of(&ask(fine), MODEL).is_ok());
    }
    let error = text_of(&ask(Some("high")), MODEL).unwrap_err();
    assert_eq!(
        error.field(),
        Some("messages[1].parts[0].tool_result.parts[0].image.detail")
    );
}
