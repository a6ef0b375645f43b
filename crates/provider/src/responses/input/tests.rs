use serde_json::{Value, json};

use super::super::{ITEM, PHASE};
use crate::Error;
use crate::chat::{
    Document, DocumentSource, Image, Message, Opaque, Part, Request, Role, Source, StoredFile,
    ToolCall,
};
use crate::codec::{Api, Codec, HttpRequest, Kind, Target};

fn encode(kind: Kind, messages: Vec<Message>) -> Result<HttpRequest, Error> {
    let request = Request {
        messages,
        ..Request::default()
    };
    let codec = Codec::new(kind).over(Api::Responses).unwrap();
    codec.encode(&request, &Target::of("m"), false)
}

/// The items that are sent.
fn input(kind: Kind, messages: Vec<Message>) -> Value {
    let sent = encode(kind, messages).unwrap();
    let mut body: Value = serde_json::from_slice(&sent.body).unwrap();
    body["input"].take()
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

/// A file that the provider keeps.
fn stored() -> Source {
    Source::Stored(StoredFile {
        id: "file-1".to_owned(),
        mime: None,
        owner: Some("openai".to_owned()),
    })
}

#[test]
fn instructions_stand_where_they_stood() {
    let asked = vec![
        Message::text(Role::System, "brief"),
        Message::text(Role::User, "hi"),
        Message::text(Role::Developer, "briefer"),
    ];
    let item = |role: &str, content: &str| json!({"role": role, "content": content});
    let [system, user] = [item("system", "brief"), item("user", "hi")];
    assert_eq!(
        input(Kind::OpenAi, asked.clone()),
        json!([system, user, item("developer", "briefer")])
    );
    assert_eq!(
        input(Kind::OpenAiCompatible, asked),
        json!([system, user, item("system", "briefer")])
    );
}

#[test]
fn media_are_parts_of_a_message() {
    let picture = |source, detail: Option<&str>| {
        Part::Image(Image {
            source,
            detail: detail.map(str::to_owned),
        })
    };
    let file = |source, title: Option<&str>| {
        Part::Document(Document {
            source,
            title: title.map(str::to_owned),
            citations: false,
        })
    };
    let bytes = |mime: &str, data: Vec<u8>| Source::Bytes {
        mime: mime.to_owned(),
        data: data.into(),
    };
    let pdf = DocumentSource::File(bytes("application/pdf", vec![6]));
    let address = DocumentSource::File(Source::Url("https://x.example/a.pdf".to_owned()));
    let text = DocumentSource::Text {
        text: "blue".to_owned(),
        mime: "text/plain".to_owned(),
    };
    let parts = vec![
        Part::Text("see".to_owned()),
        picture(bytes("image/png", vec![1, 2, 3]), Some("low")),
        picture(stored(), None),
        file(pdf, None),
        file(address, Some("A")),
        file(text, Some("Sky")),
        file(DocumentSource::File(stored()), None),
    ];
    let content = json!([
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,AQID", "detail": "low"},
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {"type": "input_file", "filename": "document", "file_data": "data:application/pdf;base64,Bg=="},
        {"type": "input_file", "filename": "A", "file_url": "https://x.example/a.pdf"},
        {"type": "input_text", "text": "Sky\n\nblue"},
        {"type": "input_file", "file_id": "file-1"},
    ]);
    assert_eq!(
        input(Kind::OpenAi, vec![message(Role::User, parts)]),
        json!([{"role": "user", "content": content}])
    );
}

fn state(provider: &str, kind: &str, data: &str) -> Opaque {
    Opaque {
        provider: provider.to_owned(),
        kind: kind.to_owned(),
        bytes: data.to_owned().into(),
    }
}

fn call(id: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "look".to_owned(),
        arguments: r#"{"n": 1}"#.to_owned(),
        opaque: Vec::new(),
    })
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult {
        tool_call_id: id.to_owned(),
        parts,
        is_error,
    }
}

const THOUGHT: &str = r#"{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Hm"}],"encrypted_content":"gAA","x":null}"#;
const SEARCH: &str = r#"{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"q"}}"#;

/// An answer of thoughts, text and calls, what its calls found, and what was said then.
fn conversation() -> Vec<Message> {
    let thought = Part::Reasoning {
        text: "Hm".to_owned(),
        opaque: vec![
            state("anthropic", "signature", "s"),
            state("openai", ITEM, THOUGHT),
            state("openai", ITEM, SEARCH),
            state("openai", PHASE, "commentary"),
            state("azure_openai", ITEM, THOUGHT),
        ],
    };
    let unsigned = Part::Reasoning {
        text: "Hm".to_owned(),
        opaque: Vec::new(),
    };
    let picture = Part::Image(Image {
        source: Source::Url("https://x.example/a.png".to_owned()),
        detail: None,
    });
    vec![
        Message::text(Role::User, "hi"),
        message(
            Role::Assistant,
            vec![
                thought,
                Part::Text("I look.".to_owned()),
                unsigned,
                call("a"),
                call("b"),
            ],
        ),
        message(
            Role::Tool,
            vec![
                result("a", vec![Part::Text("one".to_owned()), picture], false),
                result("b", vec![Part::Text("none".to_owned())], true),
            ],
        ),
        message(
            Role::Assistant,
            vec![
                Part::Text("So.".to_owned()),
                Part::Refusal("No more.".to_owned()),
            ],
        ),
    ]
}

#[test]
fn thoughts_go_back_as_they_came_and_where_they_stood() {
    let sent = encode(Kind::OpenAi, conversation()).unwrap();
    let text = std::str::from_utf8(&sent.body).unwrap();
    assert!(text.contains(&format!("{THOUGHT},{SEARCH}")), "{text}");
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "look", "arguments": "{\"n\": 1}"});
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(
        input(Kind::OpenAi, conversation()),
        json!([
            {"role": "user", "content": "hi"},
            parsed(THOUGHT),
            parsed(SEARCH),
            {"role": "assistant", "content": "I look.", "phase": "commentary"},
            call("a"),
            call("b"),
            {"type": "function_call_output", "call_id": "a", "output": [
                {"type": "input_text", "text": "one"},
                {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto"},
            ]},
            {"type": "function_call_output", "call_id": "b", "output": "Error: none"},
            {"role": "assistant", "content": "So."},
            {"role": "assistant", "content": "No more."},
        ])
    );
}

/// Neither may a caller have the provider look up what others left there, nor put words into its mouth.
#[test]
fn state_that_was_changed_is_refused_by_name() {
    let refused = |kind: &str, data: &str| {
        let thought = Part::Reasoning {
            text: String::new(),
            opaque: vec![state("openai", kind, data)],
        };
        let asked = vec![message(Role::Assistant, vec![thought])];
        let error = encode(Kind::OpenAi, asked).unwrap_err();
        assert_eq!(
            error.field(),
            Some("messages[0].parts[0].reasoning.provider_state"),
            "{data}"
        );
    };
    for data in [
        "",
        "[]",
        "{}",
        "{\"type\":",
        r#"{"type":"item_reference","id":"rs_1"}"#,
        r#"{"type":"message","role":"developer","content":"x"}"#,
        r#"{"type":"function_call","call_id":"a","name":"n","arguments":""}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[]}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null,"content":[]}"#,
    ] {
        refused(ITEM, data);
    }
    refused("yet_to_come", THOUGHT);
    let thought = Part::Reasoning {
        text: String::new(),
        opaque: vec![Opaque {
            bytes: vec![0xff].into(),
            ..state("openai", PHASE, "")
        }],
    };
    let asked = vec![message(Role::Assistant, vec![thought])];
    assert!(encode(Kind::OpenAi, asked).is_err());
}

#[test]
fn an_id_that_is_too_long_is_another_wherever_it_stands() {
    let ids = |kind: Kind, id: &str| {
        let sent = input(
            kind,
            vec![
                Message::text(Role::User, "hi"),
                message(Role::Assistant, vec![call(id)]),
                message(
                    Role::Tool,
                    vec![result(id, vec![Part::Text("x".to_owned())], false)],
                ),
            ],
        );
        let id = |at: usize| sent[at]["call_id"].as_str().unwrap().to_owned();
        (id(1), id(2))
    };
    let longest = "x".repeat(64);
    let longer = "x".repeat(65);
    for kind in [Kind::OpenAi, Kind::AzureOpenAi, Kind::OpenAiCompatible] {
        assert_eq!(ids(kind, &longest), (longest.clone(), longest.clone()));
        let (of_call, of_result) = ids(kind, &longer);
        assert_eq!(of_call, of_result);
        assert!(of_call.len() <= 64, "{of_call}");
        assert_ne!(of_call, ids(kind, &"y".repeat(65)).0);
    }
}
