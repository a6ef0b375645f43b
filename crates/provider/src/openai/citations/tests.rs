use std::ops::Range;

use serde_json::{Value, json};

use crate::chat::{
    Chunk, Citation, Delta, Location, Message, Opaque, Part, Request, Response, Role, Unit,
};
use crate::codec::{Codec, Kind, Target};
use crate::openai::{ChunkRenderer, parse_request, render_response};
use crate::testing::{assembled, decode, parts};

const ANNOTATIONS: &str = r#"[
    {"type":"url_citation","url_citation":{"start_index":7,"end_index":12,"url":"https://a.example","title":"A"}},
    {"type":"url_citation","url_citation":{"start_index":0,"end_index":99,"url":"https://b.example","title":"","content":"quoted"}},
    {"type":"file_citation","index":3},17]"#;

fn web(passage: Range<u32>, url: &str) -> Citation {
    Citation {
        passage,
        url: Some(url.to_owned()),
        ..Citation::default()
    }
}

fn annotated() -> Vec<Part> {
    let a = Citation {
        title: Some("A".to_owned()),
        ..web(9..14, "https://a.example")
    };
    let b = Citation {
        quoted_text: Some("quoted".to_owned()),
        ..web(0..14, "https://b.example")
    };
    vec![Part::Cited {
        text: "Grüße, hello".to_owned(),
        citations: vec![a, b],
    }]
}

#[test]
fn annotations_are_sources() {
    let body = format!(
        r#"{{"id":"c","model":"m","choices":[{{"index":0,"finish_reason":"stop",
        "message":{{"role":"assistant","content":"Grüße, hello","annotations":{ANNOTATIONS}}}}}]}}"#
    );
    let response = Codec::new(Kind::OpenAi).decode(body.as_bytes()).unwrap();
    assert_eq!(parts(&response), annotated());

    let event = |delta: &str, reason: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    let annotations = ANNOTATIONS.replace('\n', "");
    let stream = [
        event(r#"{"role":"assistant","content":"Grüße, "}"#, "null"),
        event(r#"{"content":"hello"}"#, "null"),
        event(&format!(r#"{{"annotations":{annotations}}}"#), "null"),
        event("{}", "\"stop\""),
    ];
    let (chunks, end) = decode(Kind::OpenAi, [stream.concat().as_bytes()]);
    end.unwrap();
    assert_eq!(parts(&assembled(chunks)), annotated());
}

#[test]
fn sources_of_a_search_are_of_the_answer_as_a_whole() {
    let addresses = r#""citations":["https://a.example","https://b.example",7,""]"#;
    let results = r#""search_results":[{"title":"A","url":"https://a.example","date":"2026-01-02"},{"url":"https://b.example","title":"","snippet":"quoted"}]"#;
    let a = || web(0..0, "https://a.example");
    let b = || web(0..0, "https://b.example");
    let named = vec![
        Citation {
            title: Some("A".to_owned()),
            ..a()
        },
        Citation {
            quoted_text: Some("quoted".to_owned()),
            ..b()
        },
    ];
    for (told, citations) in [
        (addresses.to_owned(), vec![a(), b()]),
        (results.to_owned(), named.clone()),
        (format!("{addresses},{results}"), named),
    ] {
        let expected = vec![Part::Cited {
            text: "It is blue[1][2].".to_owned(),
            citations,
        }];
        let whole = format!(
            r#"{{"choices":[{{"index":0,"finish_reason":"stop","message":{{"content":"It is blue[1][2]."}}}}],{told}}}"#
        );
        let whole = Codec::new(Kind::OpenAiCompatible)
            .decode(whole.as_bytes())
            .unwrap();
        assert_eq!(parts(&whole), expected);
        // Perplexity tells them again and again, xAI with the last event.
        let event = |delta: &str, reason: &str, more: &str| {
            format!(
                "data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]{more}}}\n\n"
            )
        };
        let told = format!(",{told}");
        for early in ["", &told] {
            let stream = [
                event(r#"{"content":"It is "}"#, "null", early),
                event(r#"{"content":"blue[1][2]."}"#, "null", early),
                event("{}", "\"stop\"", &told),
            ];
            let (chunks, end) = decode(Kind::OpenAiCompatible, [stream.concat().as_bytes()]);
            end.unwrap();
            assert_eq!(parts(&assembled(chunks)), expected);
        }
    }
}

#[test]
fn references_stand_where_they_are_made() {
    let content = r#"[{"type":"text","text":"One"},{"type":"reference","reference_ids":[1,"b"]},{"type":"text","text":", two"},{"type":"reference","reference_ids":[2]}]"#;
    let reference = |at: u32, name: &str| Citation {
        passage: at..at,
        source_id: Some(name.to_owned()),
        opaque: Some(Opaque {
            provider: "mistral".to_owned(),
            kind: "reference".to_owned(),
            bytes: if name == "b" {
                "\"b\"".into()
            } else {
                name.to_owned().into()
            },
        }),
        ..Citation::default()
    };
    let body = format!(
        r#"{{"id":"c","model":"m","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","content":{content}}}}}]}}"#
    );
    let response = Codec::new(Kind::Mistral).decode(body.as_bytes()).unwrap();
    let cited = |text: &str, citations| Part::Cited {
        text: text.to_owned(),
        citations,
    };
    let one = cited("One", vec![reference(3, "1"), reference(3, "b")]);
    assert_eq!(
        parts(&response),
        [one, cited(", two", vec![reference(5, "2")])]
    );

    let event = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{content}}},\"finish_reason\":\"stop\"}}]}}\n\n"
    );
    let (chunks, end) = decode(Kind::Mistral, [event.as_bytes()]);
    end.unwrap();
    let references = vec![reference(3, "1"), reference(3, "b"), reference(8, "2")];
    let streamed = assembled(chunks);
    assert_eq!(parts(&streamed), [cited("One, two", references)]);

    // They go back to who made them as they came, and to nobody else.
    for answer in [response, streamed] {
        let sent = |kind| {
            let question = || Message::text(Role::User, "hi");
            let said = answer.choices[0].message.clone();
            let request = Request {
                messages: vec![question(), said, question()],
                ..Request::default()
            };
            let sent = Codec::new(kind).encode(&request, &Target::of("m"), false);
            let sent: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
            sent["messages"][1]["content"].clone()
        };
        let own: Value = serde_json::from_str(content).unwrap();
        assert_eq!(sent(Kind::Mistral), own);
        assert!(!sent(Kind::OpenAi).to_string().contains("reference"));
    }
}

/// An answer of two texts, with every kind of source.
fn answer() -> Response {
    let state = Opaque {
        provider: "anthropic".to_owned(),
        kind: "citation".to_owned(),
        bytes: r#"{"type":"page_location"}"#.into(),
    };
    let page = Citation {
        passage: 0..7,
        title: Some("T".to_owned()),
        quoted_text: Some("q".to_owned()),
        source_id: Some("file_1".to_owned()),
        document: Some(0),
        location: Some(Location {
            unit: Unit::Pages,
            range: 3..4,
        }),
        opaque: Some(state.clone()),
        ..Citation::default()
    };
    let found = Citation {
        opaque: Some(state),
        ..web(0..2, "https://b.example")
    };
    let body = r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"content":""}}]}"#;
    let mut response = Codec::new(Kind::OpenAi).decode(body.as_bytes()).unwrap();
    let cited = |text: &str, citations| Part::Cited {
        text: text.to_owned(),
        citations,
    };
    response.choices[0].message.parts = vec![
        cited("Grüße", vec![page]),
        Part::Text("; ".to_owned()),
        cited("hi you", vec![web(3..6, "https://a.example"), found]),
    ];
    response
}

#[test]
fn callers_are_told_the_sources_in_characters_of_the_whole_and_send_them_back() {
    let rendered: Value = serde_json::from_slice(&render_response(&answer(), 0)).unwrap();
    let message = &rendered["choices"][0]["message"];
    assert_eq!(message["content"], "Grüße; hi you");
    let annotation = |start: u32, end: u32, url: &str| {
        let source = json!({"start_index": start, "end_index": end, "title": "", "url": url});
        json!({"type": "url_citation", "url_citation": source})
    };
    let annotations = json!([
        annotation(10, 13, "https://a.example"),
        annotation(7, 9, "https://b.example"),
    ]);
    assert_eq!(message["annotations"], annotations);
    let data = "eyJ0eXBlIjoicGFnZV9sb2NhdGlvbiJ9";
    let citations = json!([
        {"start_index": 0, "end_index": 5, "title": "T", "cited_text": "q", "source_id": "file_1", "document_index": 0,
         "location": {"unit": "pages", "start": 3, "end": 4}, "format": "anthropic", "id": "citation", "data": data},
        {"start_index": 7, "end_index": 9, "url": "https://b.example", "format": "anthropic", "id": "citation", "data": data},
    ]);
    assert_eq!(message["citations"], citations);

    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}, message]});
    let parsed = parse_request(body.to_string().as_bytes()).unwrap().request;
    let Part::Cited { text, citations } = &parsed.messages[1].parts[0] else {
        panic!("{parsed:?}");
    };
    let passages: Vec<_> = citations.iter().map(|it| it.passage.clone()).collect();
    assert_eq!((&**text, passages), ("Grüße; hi you", vec![0..7, 9..11]));
    let state = citations[0].opaque.as_ref().unwrap();
    assert_eq!(state.bytes, r#"{"type":"page_location"}"#.as_bytes());
}

#[test]
fn sources_that_were_changed_are_refused() {
    let parse = |content: Value, citations: Value| {
        let message = json!({"role": "assistant", "content": content, "citations": citations});
        let body = json!({"model": "m", "messages": [message]});
        parse_request(body.to_string().as_bytes())
    };
    let changed = json!([{"start_index": 0, "end_index": 1, "format": "anthropic", "id": "citation", "data": "?"}]);
    let error = parse(json!("hi"), changed).unwrap_err();
    assert_eq!(error.field(), Some("messages[0].citations"));
    let parts = json!([{"type": "text", "text": "hi"}]);
    let error = parse(parts, json!([])).unwrap_err();
    assert_eq!(error.field(), Some("messages[0].citations"));
    // What others add means nothing here.
    let parsed = parse(json!("hi"), json!(["https://a.example", {"url": "b"}])).unwrap();
    assert_eq!(
        parsed.request.messages[0].parts,
        [Part::Text("hi".to_owned())]
    );
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "hi", "citations": []}]});
    assert!(parse_request(body.to_string().as_bytes()).is_err());
}

#[test]
fn a_stream_tells_sources_with_what_they_are_of() {
    let whole = answer();
    let mut renderer = ChunkRenderer::new("i", "m", 0, false);
    let mut out = Vec::new();
    for part in &whole.choices[0].message.parts {
        let (Part::Text(text) | Part::Cited { text, .. }) = part else {
            panic!("{part:?}");
        };
        let mut deltas = vec![Delta::Text(text.clone())];
        if let Part::Cited { citations, .. } = part {
            deltas.extend(citations.iter().cloned().map(Delta::Citation));
        }
        for delta in deltas {
            let chunk = Chunk::Delta { choice: 0, delta };
            renderer.chunk(&chunk, &mut out);
        }
    }
    let out = String::from_utf8(out).unwrap();
    let events = out.split("\n\n").filter_map(|it| it.strip_prefix("data: "));
    let deltas = events.map(|it| {
        let event: Value = serde_json::from_str(it).unwrap();
        event["choices"][0]["delta"].clone()
    });
    let told: Vec<_> = deltas
        .filter(|it| it.get("annotations").is_some() || it.get("citations").is_some())
        .collect();
    assert_eq!(told.len(), 3);
    assert_eq!(told[0]["citations"][0]["end_index"], 5);
    // One text, as it streams: what was told of the parts counts from its beginning.
    assert_eq!(told[1]["annotations"][0]["url_citation"]["start_index"], 2);
    assert_eq!(told[2]["citations"][0]["end_index"], 2);
}
