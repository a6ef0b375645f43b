use serde_json::{Value, json};

use super::super::event_stream::tests::event;
use crate::chat::{Citation, Location, Message, Part, Request, Response, Role, Unit};
use crate::codec::{Codec, Kind, Target};
use crate::testing::{Sample, assembled, check_cuts, decode, parts};

const PAGE: &str = r#"{"title":"Sky","source":"doc-1","sourceContent":[{"text":"Sky is "},{"text":"blue."}],"location":{"documentPage":{"documentIndex":2,"start":3,"end":4}}}"#;
const WEB: &str =
    r#"{"title":"Rain","location":{"web":{"url":"https://r.example","domain":"r.example"}}}"#;

fn whole() -> Response {
    let body = format!(
        r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"Grüße: "}},
        {{"citationsContent":{{"content":[{{"text":"it is "}},{{"text":"blue."}}],"citations":[{PAGE},{WEB}]}}}}]}}}},
        "stopReason":"end_turn","usage":{{"inputTokens":1,"outputTokens":2,"totalTokens":3}}}}"#
    );
    Codec::new(Kind::Bedrock).decode(body.as_bytes()).unwrap()
}

fn streamed() -> Sample {
    let mut body = event("messageStart", r#"{"role":"assistant"}"#);
    let delta = |index: u32, delta: &str| {
        let payload = format!(r#"{{"contentBlockIndex":{index},"delta":{delta}}}"#);
        event("contentBlockDelta", &payload)
    };
    body.extend(delta(0, r#"{"text":"Grüße: "}"#));
    body.extend(event("contentBlockStop", r#"{"contentBlockIndex":0}"#));
    body.extend(delta(1, r#"{"text":"it is "}"#));
    body.extend(delta(1, &format!(r#"{{"citation":{PAGE}}}"#)));
    body.extend(delta(1, r#"{"text":"blue."}"#));
    body.extend(delta(1, &format!(r#"{{"citation":{WEB}}}"#)));
    body.extend(event("contentBlockStop", r#"{"contentBlockIndex":1}"#));
    body.extend(event("messageStop", r#"{"stopReason":"end_turn"}"#));
    Sample {
        codec: Kind::Bedrock.into(),
        whole_at: body.len(),
        body,
    }
}

/// The content that an answer is sent back as.
fn returned(response: &Response) -> Value {
    let answer = response.choices[0].message.clone();
    let request = Request {
        messages: vec![Message::text(Role::User, "hi"), answer],
        ..Request::default()
    };
    let sent = Codec::new(Kind::Bedrock).encode(&request, &Target::of("m"), false);
    let body: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
    body["messages"][1]["content"].clone()
}

#[test]
fn sources_are_told_of_the_passage_they_are_of() {
    let state = |json: &'static str| Some(super::state(super::CITATION, json.into()));
    let some = |text: &str| Some(text.to_owned());
    let citations = |passage: std::ops::Range<u32>| {
        let page = Citation {
            passage: passage.clone(),
            title: some("Sky"),
            quoted_text: some("Sky is blue."),
            source_id: some("doc-1"),
            document: Some(2),
            location: Some(Location {
                unit: Unit::Pages,
                range: 3..4,
            }),
            opaque: state(PAGE),
            ..Citation::default()
        };
        let web = Citation {
            passage,
            url: some("https://r.example"),
            title: some("Rain"),
            opaque: state(WEB),
            ..Citation::default()
        };
        vec![page, web]
    };
    let cited = |text: &str, citations| Part::Cited {
        text: text.to_owned(),
        citations,
    };
    assert_eq!(parts(&whole())[1], cited("it is blue.", citations(0..11)));
    let sample = streamed();
    check_cuts(&sample);
    let (chunks, _) = decode(Kind::Bedrock, [&sample.body[..]]);
    let wanted = cited("Grüße: it is blue.", citations(9..20));
    assert_eq!(parts(&assembled(chunks)), [wanted]);
}

#[test]
fn sources_go_back_in_the_blocks_they_came_in() {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let sources = [json(PAGE), json(WEB)];
    let wanted = json!([
        {"text": "Grüße: "},
        {"citationsContent": {"content": [{"text": "it is blue."}], "citations": sources}},
    ]);
    assert_eq!(returned(&whole()), wanted);
    let (chunks, _) = decode(Kind::Bedrock, [&streamed().body[..]]);
    assert_eq!(returned(&assembled(chunks)), wanted);
}
