use serde_json::{Value, json};

use crate::chat::{Citation, Location, Message, Part, Request, Response, Role, Unit};
use crate::codec::{Codec, Kind, Target};
use crate::testing::{Sample, assembled, check_cuts, decode, parts};

const CHAR: &str = r#"{"type":"char_location","cited_text":"Sky is blue.","document_index":1,"document_title":"Sky","start_char_index":0,"end_char_index":12,"file_id":null}"#;
const PAGE: &str = r#"{"type":"page_location","cited_text":"p","document_index":0,"document_title":null,"start_page_number":3,"end_page_number":4,"file_id":"file_1"}"#;
const BLOCK: &str = r#"{"type":"search_result_location","cited_text":"s","search_result_index":0,"source":"https://s.example","title":"S","start_block_index":2,"end_block_index":3}"#;
const WEB: &str = r#"{"type":"web_search_result_location","cited_text":"Wet.","url":"https://r.example","title":"Rain","encrypted_index":"Eo8="}"#;
const FUTURE: &str = r#"{"type":"dream_location","depth":3}"#;

fn whole() -> Response {
    let body = format!(
        r#"{{"id":"m","model":"claude","type":"message","role":"assistant","stop_reason":"end_turn","content":[
        {{"type":"text","text":"Grüße: "}},
        {{"type":"text","text":"it is blue.","citations":[{CHAR},{PAGE},{BLOCK}]}},
        {{"type":"text","text":" And ","citations":null}},
        {{"type":"text","text":"wet","citations":[{WEB},{FUTURE},17]}}]}}"#
    );
    Codec::new(Kind::Anthropic).decode(body.as_bytes()).unwrap()
}

/// The same in a stream, where sources come before, between and after the pieces of their text.
fn streamed() -> String {
    let start = r#"{"type":"message_start","message":{"id":"m","model":"claude"}}"#;
    let mut events = vec![start.to_owned()];
    let text = |text: &str| json!({"type": "text_delta", "text": text}).to_string();
    let source = |json: &str| format!(r#"{{"type":"citations_delta","citation":{json}}}"#);
    let blocks = [
        vec![text("Grüße: ")],
        vec![
            source(CHAR),
            text("it is"),
            source(PAGE),
            text(" blue."),
            source(BLOCK),
        ],
        vec![text(" And ")],
        vec![text("wet"), source(WEB), source(FUTURE), source("17")],
    ];
    for (index, deltas) in blocks.into_iter().enumerate() {
        let block = r#"{"type":"text","text":""}"#;
        events.push(format!(
            r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#
        ));
        events.extend(deltas.into_iter().map(|delta| {
            format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#)
        }));
        events.push(format!(
            r#"{{"type":"content_block_stop","index":{index}}}"#
        ));
    }
    events.push(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#.to_owned());
    events.push(r#"{"type":"message_stop"}"#.to_owned());
    let events = events.iter().map(|event| format!("data: {event}\n\n"));
    events.collect()
}

fn told(part: &Part) -> (&str, &[Citation]) {
    let Part::Cited { text, citations } = part else {
        panic!("{part:?}");
    };
    (text, citations)
}

#[test]
fn sources_are_told_of_the_passage_they_are_of() {
    let response = whole();
    let parts = parts(&response);
    let place = |unit, range| Some(Location { unit, range });
    let state = |json: &'static str| Some(super::state(super::CITATION, json.to_owned()));
    let some = |text: &str| Some(text.to_owned());
    let wanted = [
        Citation {
            passage: 0..11,
            title: some("Sky"),
            quoted_text: some("Sky is blue."),
            document: Some(1),
            location: place(Unit::Characters, 0..12),
            opaque: state(CHAR),
            ..Citation::default()
        },
        Citation {
            passage: 0..11,
            quoted_text: some("p"),
            source_id: some("file_1"),
            document: Some(0),
            location: place(Unit::Pages, 3..4),
            opaque: state(PAGE),
            ..Citation::default()
        },
        Citation {
            passage: 0..11,
            title: some("S"),
            quoted_text: some("s"),
            source_id: some("https://s.example"),
            location: place(Unit::Blocks, 2..3),
            opaque: state(BLOCK),
            ..Citation::default()
        },
    ];
    assert_eq!(told(&parts[1]), ("it is blue.", &wanted[..]));
    let (_, web) = told(&parts[3]);
    assert_eq!(web[0].url.as_deref(), Some("https://r.example"));
    // One of a type yet to come goes back nevertheless; what is none is none.
    assert_eq!((web.len(), &web[1].opaque), (2, &state(FUTURE)));
}

#[test]
fn sources_of_a_stream_are_of_the_same_passages() {
    let body = streamed();
    check_cuts(&Sample::text(Kind::Anthropic, &body, "\"end_turn\"}}"));
    let (chunks, end) = decode(Kind::Anthropic, [body.as_bytes()]);
    end.unwrap();
    let streamed = assembled(chunks);
    let (text, citations) = told(&parts(&streamed)[0]);
    assert_eq!(text, "Grüße: it is blue. And wet");
    let passages: Vec<_> = citations
        .iter()
        .map(|it| &text[it.passage.start as usize..it.passage.end as usize])
        .collect();
    let blue = "it is blue.";
    assert_eq!(passages, [blue, blue, blue, "wet", "wet"]);
}

/// The content that an answer is sent back as.
fn returned(response: &Response) -> Value {
    let message = response.choices[0].message.clone();
    let request = Request {
        messages: vec![Message::text(Role::User, "hi"), message],
        max_output_tokens: Some(9),
        ..Request::default()
    };
    let sent = Codec::new(Kind::Anthropic).encode(&request, &Target::of("claude"), false);
    let body: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
    body["messages"][1]["content"].clone()
}

#[test]
fn sources_go_back_in_the_blocks_they_came_in() {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let wanted = json!([
        {"type": "text", "text": "Grüße: "},
        {"type": "text", "text": "it is blue.", "citations": [json(CHAR), json(PAGE), json(BLOCK)]},
        {"type": "text", "text": " And "},
        {"type": "text", "text": "wet", "citations": [json(WEB), json(FUTURE)]},
    ]);
    assert_eq!(returned(&whole()), wanted);
    let (chunks, _) = decode(Kind::Anthropic, [streamed().as_bytes()]);
    assert_eq!(returned(&assembled(chunks)), wanted);
}

#[test]
fn sources_that_were_changed_are_refused_and_those_of_others_left_out() {
    let cited = |passage: std::ops::Range<u32>, provider: &str, json: &'static str| {
        let mut state = super::state(super::CITATION, json.to_owned());
        state.provider = provider.to_owned();
        Citation {
            passage,
            opaque: Some(state),
            ..Citation::default()
        }
    };
    let send = |citations: Vec<Citation>| {
        let text = "Grüße".to_owned();
        let message = Message {
            role: Role::Assistant,
            parts: vec![Part::Cited { text, citations }],
            name: None,
        };
        let request = Request {
            messages: vec![Message::text(Role::User, "hi"), message],
            max_output_tokens: Some(9),
            ..Request::default()
        };
        Codec::new(Kind::Anthropic).encode(&request, &Target::of("claude"), false)
    };
    for changed in [
        vec![cited(0..3, "anthropic", WEB)],
        vec![cited(0..99, "anthropic", WEB)],
        vec![cited(2..4, "anthropic", WEB), cited(0..2, "anthropic", WEB)],
        vec![cited(0..2, "anthropic", "17")],
        vec![cited(0..2, "anthropic", "{")],
    ] {
        let error = send(changed).unwrap_err();
        assert_eq!(error.field(), Some("messages[1].parts[0].citations"));
    }
    let sent = send(vec![cited(0..2, "bedrock", "{}"), Citation::default()]).unwrap();
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    let plain = json!([{"type": "text", "text": "Grüße"}]);
    assert_eq!(body["messages"][1]["content"], plain);
}
