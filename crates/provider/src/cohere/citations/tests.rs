use crate::chat::{Citation, Message, Opaque, Part, Request, Role};
use crate::codec::{Codec, Kind, Target};
use crate::testing::{Sample, assembled, check_cuts, decode, parts};

const BOTH: &str = r#"{"start":7,"end":12,"text":"hello","type":"TEXT_CONTENT","sources":[
    {"type":"document","id":"doc:1","document":{"id":"doc:1","title":"T","url":"https://d.example","snippet":"said hello"}},
    {"type":"tool","id":"lookup:0","tool_output":{"text":"hello there"}}]}"#;
const OF_THOUGHTS: &str =
    r#"{"start":0,"end":2,"type":"PLAN","sources":[{"type":"document","id":"doc:2"}]}"#;

fn wanted() -> Vec<Part> {
    let some = |text: &str| Some(text.to_owned());
    let document = Citation {
        passage: 9..14,
        url: some("https://d.example"),
        title: some("T"),
        quoted_text: some("said hello"),
        source_id: some("doc:1"),
        ..Citation::default()
    };
    let tool = Citation {
        passage: 9..14,
        quoted_text: some("hello there"),
        source_id: some("lookup:0"),
        ..Citation::default()
    };
    let text = Part::Cited {
        text: "Grüße, hello".to_owned(),
        citations: vec![document, tool],
    };
    // A citation of thoughts is kept for whoever wants to read it.
    let of_thoughts = Part::Reasoning {
        text: String::new(),
        opaque: vec![Opaque {
            provider: "cohere".to_owned(),
            kind: "citation".to_owned(),
            bytes: OF_THOUGHTS.into(),
        }],
    };
    vec![text, of_thoughts]
}

#[test]
fn sources_of_a_whole_answer_count_once_each() {
    let body = format!(
        r#"{{"id":"c","finish_reason":"COMPLETE","message":{{"role":"assistant",
        "content":[{{"type":"text","text":"Grüße, hello"}}],"citations":[{BOTH},{OF_THOUGHTS},17]}}}}"#
    );
    let response = Codec::new(Kind::Cohere).decode(body.as_bytes()).unwrap();
    assert_eq!(parts(&response), wanted());
}

#[test]
fn sources_of_a_stream_are_of_the_same_passages() {
    let source = |json: &str| {
        let json = json.replace('\n', "");
        format!(
            r#"{{"type":"citation-start","index":0,"delta":{{"message":{{"citations":{json}}}}}}}"#
        )
    };
    let events = [
        r#"{"id":"c","type":"message-start","delta":{"message":{"role":"assistant","content":[],"citations":[]}}}"#.to_owned(),
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Grüße, "}}}}"#.to_owned(),
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"hello"}}}}"#.to_owned(),
        source(BOTH),
        r#"{"type":"citation-end","index":0}"#.to_owned(),
        source(OF_THOUGHTS),
        r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}"#.to_owned(),
    ];
    let body: String = events.iter().map(|it| format!("data: {it}\n\n")).collect();
    check_cuts(&Sample::text(Kind::Cohere, &body, "\"COMPLETE\"}}"));
    let (chunks, end) = decode(Kind::Cohere, [body.as_bytes()]);
    end.unwrap();
    assert_eq!(parts(&assembled(chunks)), wanted());
}

#[test]
fn citations_of_thoughts_say_nothing_to_the_model() {
    let said = Message {
        role: Role::Assistant,
        parts: wanted(),
        name: None,
    };
    let request = Request {
        messages: vec![
            Message::text(Role::User, "hi"),
            said,
            Message::text(Role::User, "on"),
        ],
        ..Request::default()
    };
    let sent = Codec::new(Kind::Cohere)
        .encode(&request, &Target::of("m"), false)
        .unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(
        sent["messages"][1],
        serde_json::json!({"role": "assistant", "content": "Grüße, hello"})
    );
}
