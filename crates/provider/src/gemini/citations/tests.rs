use std::ops::Range;

use crate::chat::{Citation, Location, Part, Unit};
use crate::codec::{Codec, Kind};
use crate::testing::{assembled, decode, parts};

const FOUND: &str = r#"{"webSearchQueries":["q"],"searchEntryPoint":{"renderedContent":"<b>"},"groundingChunks":[
    {"web":{"uri":"https://a.example","title":"A","domain":"a.example"}},
    {"retrievedContext":{"uri":"gs://b","title":"B","text":"quoted","documentName":"docs/b","pageNumber":7}},
    {"maps":{"uri":"https://maps.example","placeId":"places/c"}}],
    "groundingSupports":[
    {"segment":{"partIndex":1,"startIndex":0,"endIndex":7,"text":"Grüße"},"groundingChunkIndices":[0,1,9],"confidenceScores":[0.9,0.1]},
    {"segment":{"partIndex":2,"endIndex":5},"groundingChunkIndices":[1]}]}"#;

fn source(passage: Range<u32>, index: usize) -> Citation {
    let some = |text: &str| Some(text.to_owned());
    let sources = [
        Citation {
            url: some("https://a.example"),
            title: some("A"),
            ..Citation::default()
        },
        Citation {
            url: some("gs://b"),
            title: some("B"),
            quoted_text: some("quoted"),
            source_id: some("docs/b"),
            location: Some(Location {
                unit: Unit::Pages,
                range: 7..8,
            }),
            ..Citation::default()
        },
        Citation {
            url: some("https://maps.example"),
            source_id: some("places/c"),
            ..Citation::default()
        },
    ];
    let found = sources[index].clone();
    Citation { passage, ..found }
}

#[test]
fn sources_of_searches_are_told_and_the_searches_are_kept() {
    let said = r#"{"text":"Hm.","thought":true},{"text":"Grüße "},{"text":"hello"}"#;
    let body = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{said}]}},"finishReason":"STOP","groundingMetadata":{FOUND}}}]}}"#
    );
    let response = Codec::new(Kind::Gemini).decode(body.as_bytes()).unwrap();
    let parts = parts(&response);
    let citations = vec![
        source(0..7, 0),
        source(0..7, 1),
        source(8..13, 1),
        // It supports no passage.
        source(0..0, 2),
    ];
    let text = "Grüße hello".to_owned();
    assert_eq!(parts[1], Part::Cited { text, citations });
    let Part::Reasoning { text, opaque } = &parts[2] else {
        panic!("{parts:?}");
    };
    assert_eq!((&**text, &*opaque[0].kind), ("", super::GROUNDING));
    assert_eq!(opaque[0].bytes, FOUND.as_bytes());
}

#[test]
fn sources_told_again_and_again_count_once() {
    let event = |text: &str, rest: &str| {
        let content = format!(r#""content":{{"parts":[{{"text":"{text}"}}]}}"#);
        format!("data: {{\"candidates\":[{{{content}{rest}}}]}}\n\n")
    };
    let support = r#"{"segment":{"startIndex":0,"endIndex":7},"groundingChunkIndices":[0]}"#;
    let web = r#"{"web":{"uri":"https://a.example","title":"A"}}"#;
    let work = r#""citationMetadata":{"citationSources":[{"startIndex":8,"endIndex":13,"uri":"https://w.example","license":"mit"}]}"#;
    let early = format!(
        r#","groundingMetadata":{{"groundingChunks":[{web}],"groundingSupports":[{support}]}}"#
    );
    let again = format!(r#","groundingMetadata":{{"groundingSupports":[{support}]}},{work}"#);
    let last = format!(r#","finishReason":"STOP",{work}"#);
    let events = [
        // Of text that is yet to come.
        event("Grü", &early),
        event("ße ", &again),
        event("hello", &last),
    ];
    let (chunks, end) = decode(Kind::Gemini, [events.concat().as_bytes()]);
    end.unwrap();
    let answer = assembled(chunks);
    let work = Citation {
        passage: 8..13,
        url: Some("https://w.example".to_owned()),
        ..Citation::default()
    };
    let text = "Grüße hello".to_owned();
    let citations = vec![source(0..7, 0), work];
    assert_eq!(parts(&answer)[0], Part::Cited { text, citations });
}

#[test]
fn sources_that_cannot_be_read_change_no_answer() {
    let negative = r#"{"groundingSupports":[{"segment":{"startIndex":-1}}]}"#;
    for raw in ["17", r#"{"groundingChunks":{}}"#, negative] {
        let sources = format!(r#""groundingMetadata":{raw},"citationMetadata":{raw}"#);
        let body = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"Hi"}}]}},"finishReason":"STOP",{sources}}}]}}"#
        );
        let response = Codec::new(Kind::Gemini).decode(body.as_bytes()).unwrap();
        assert_eq!(parts(&response), [Part::Text("Hi".to_owned())], "{raw}");
    }
}
