use proptest::prelude::*;

use super::super::{ITEM, PHASE};
use crate::chat::{
    Chunk, Citation, Delta, FinishReason, Opaque, Part, Tier, ToolCall, Usage, UsageSource,
};
use crate::codec::{Api, Codec, Kind};
use crate::failure::{Class, Failure};
use crate::testing::{Sample, assembled, check_cuts, check_damaged, parts, reported};

const TEXT: &str = include_str!("../../../samples/responses/text.sse");
const TOOLS: &str = include_str!("../../../samples/responses/tools.sse");

fn codec() -> Codec {
    Codec::new(Kind::OpenAi).over(Api::Responses).unwrap()
}

fn samples() -> [Sample; 2] {
    [TEXT, TOOLS].map(|body| {
        let last = body.trim_end().lines().next_back().unwrap();
        Sample::text(codec(), body, last)
    })
}

fn decode(body: &str) -> (Vec<Chunk>, Result<(), Failure>) {
    crate::testing::decode(codec(), [body.as_bytes()])
}

fn events(documents: &[&str]) -> String {
    let event = |document: &&str| format!("data: {document}\n\n");
    documents.iter().map(event).collect()
}

fn delta(delta: Delta) -> Chunk {
    Chunk::Delta { choice: 0, delta }
}

fn text(text: &str) -> Chunk {
    delta(Delta::Text(text.to_owned()))
}

fn state(kind: &str, bytes: &str) -> Opaque {
    Opaque {
        provider: "openai".to_owned(),
        kind: kind.to_owned(),
        bytes: bytes.to_owned().into(),
    }
}

#[test]
fn a_sample_answer_gives_its_events() {
    let (chunks, end) = decode(TEXT);
    assert_eq!(end, Ok(()));
    let usage = Usage {
        cache_read: 4,
        cache_write: 2,
        reasoning: 2,
        tier: Some(Tier::Standard),
        ..Usage::of(19, 10, UsageSource::Provider)
    };
    let start = Chunk::Start {
        id: "resp_0a1b2c3d4e5f".to_owned(),
        model: "gpt-5.4-2026-03-05".to_owned(),
    };
    let source = Citation {
        passage: 9..14,
        url: Some("https://you.example".to_owned()),
        title: Some("You".to_owned()),
        ..Citation::default()
    };
    let finish = Chunk::Finish {
        choice: 0,
        reason: FinishReason::Stop,
    };
    assert_eq!(
        chunks,
        [
            start,
            delta(Delta::ReasoningState(state(PHASE, "final_answer"))),
            text("Grüße"),
            text(", \"you\"\n🎉"),
            delta(Delta::Citation(source)),
            finish,
            reported(
                r#"{"input_tokens":19,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":2},"output_tokens":10,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":29}"#
            ),
            Chunk::Usage(usage),
        ]
    );
}

#[test]
fn thoughts_keep_their_state_and_calls_are_put_together() {
    let (chunks, end) = decode(TOOLS);
    assert_eq!(end, Ok(()));
    let response = assembled(chunks);
    let call = |id: &str, name: &str, arguments: &str| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            opaque: Vec::new(),
        })
    };
    let thought = r#"{"id":"rs_01","type":"reasoning","encrypted_content":"gAAAAABo_thought","summary":[{"type":"summary_text","text":"Two places, "},{"type":"summary_text","text":"two calls."}]}"#;
    let search = r#"{"id":"ws_01","type":"web_search_call","status":"completed","action":{"type":"search","query":"Köln"}}"#;
    let thought = Part::Reasoning {
        text: "Two places, \n\ntwo calls.".to_owned(),
        opaque: vec![
            state(ITEM, thought),
            state(ITEM, search),
            state(PHASE, "commentary"),
        ],
    };
    assert_eq!(
        parts(&response),
        [
            thought,
            Part::Text("I look.".to_owned()),
            call("call_a", "weather", r#"{"city": "Köln"}"#),
            call("call_b", "time", "{}"),
        ]
    );
    assert_eq!(response.choices[0].finish_reason, FinishReason::ToolCalls);
    let usage = Usage {
        reasoning: 40,
        tier: Some(Tier::Standard),
        // The stream holds one.
        searches: 1,
        ..Usage::of(50, 90, UsageSource::Provider)
    };
    assert_eq!(response.usage, Some(usage));
}

#[test]
fn an_answer_cut_at_any_byte_is_truncated_until_its_last_event_is_there() {
    samples().iter().for_each(check_cuts);
}

const START: &str =
    r#"{"type":"response.created","response":{"id":"r","model":"m","status":"in_progress"}}"#;
const BEGIN: &str = r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","role":"assistant","content":[]}}"#;
const HELLO: &str = r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"hello","logprobs":[]}"#;
const DONE: &str = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hello","annotations":[]}]}}"#;
const END: &str = r#"{"type":"response.completed","response":{"id":"r","model":"m","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hello","annotations":[]}]}],"usage":{"input_tokens":4,"output_tokens":2,"total_tokens":6}}}"#;
const EMPTY: &str =
    r#"{"type":"response.completed","response":{"status":"completed","output":[]}}"#;

#[test]
fn ends_are_judged() {
    let unknown = r#"{"type":"response.audio.delta","delta":{"x":1},"output_index":"a","content_index":null}"#;
    let strange = r#"{"type":"response.output_text.delta","output_index":0,"delta":{"x":1}}"#;
    let headless = r#"{"type":"response.completed"}"#;
    for (documents, expect) in [
        (&[START, BEGIN, HELLO, DONE, END][..], None),
        (&[START, BEGIN, HELLO, END], None),
        (&[HELLO, END], None),
        (&[START, END], None),
        (&[END], None),
        (&[START, unknown, BEGIN, HELLO, DONE, "[DONE]", END], None),
        (&["{", START, BEGIN, strange, HELLO, "<html>", END], None),
        (&[START, BEGIN, HELLO, headless, END], None),
        (&[START, EMPTY], None),
        (&[], Some(Class::Truncated)),
        (&[START, BEGIN, HELLO, DONE], Some(Class::Truncated)),
        (
            &[START, BEGIN, HELLO, DONE, "[DONE]"],
            Some(Class::Truncated),
        ),
        (&[START, BEGIN, HELLO, headless], Some(Class::Truncated)),
        // An answer of which nothing could be read is no empty success.
        (&[START, "{", EMPTY], Some(Class::Server)),
    ] {
        let (_, end) = decode(&events(documents));
        assert_eq!(end.err().map(|it| it.class), expect, "{documents:?}");
    }
}

/// Whatever of its events a server leaves out, its answer is told once.
#[test]
fn an_answer_is_told_once_however_many_events_tell_it() {
    for documents in [
        &[START, BEGIN, HELLO, DONE, END][..],
        &[START, BEGIN, HELLO, DONE, DONE, END],
        &[START, BEGIN, HELLO, END],
        &[START, BEGIN, DONE, END],
        &[START, HELLO, DONE, END],
        &[START, DONE, END, END],
        &[START, BEGIN, END],
        &[END, START, BEGIN, HELLO],
    ] {
        let (chunks, end) = decode(&events(documents));
        assert_eq!(end, Ok(()), "{documents:?}");
        let response = assembled(chunks.clone());
        let said = [Part::Text("hello".to_owned())];
        assert_eq!(parts(&response), said, "{documents:?}");
        assert_eq!((&*response.id, &*response.model), ("r", "m"));
        assert!(matches!(chunks[0], Chunk::Start { .. }), "{chunks:?}");
        let usage = Usage::of(4, 2, UsageSource::Provider);
        assert_eq!(response.usage, Some(usage));
    }
}

/// Calls and thoughts, of which some or all pieces are left out.
#[test]
fn calls_and_thoughts_are_told_once() {
    let begin = r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"a","name":"n","arguments":""}}"#;
    let piece =
        r#"{"type":"response.function_call_arguments.delta","output_index":1,"delta":"{}"}"#;
    let over = r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"a","name":"n","arguments":"{}"}}"#;
    let hm = r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","summary":[]}}"#;
    let open = r#"{"type":"response.reasoning_text.delta","output_index":0,"content_index":0,"delta":"Hm"}"#;
    let thought = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"Hm"}]}}"#;
    for documents in [
        &[hm, open, thought, begin, piece, over, EMPTY][..],
        &[hm, thought, begin, over, EMPTY],
        &[thought, over, EMPTY],
        &[open, thought, piece, over, EMPTY],
    ] {
        let (chunks, end) = decode(&events(documents));
        assert_eq!(end, Ok(()), "{documents:?}");
        let response = assembled(chunks);
        let [Part::Reasoning { text, opaque }, Part::ToolCall(call)] = parts(&response) else {
            panic!("{response:?}");
        };
        assert_eq!((&**text, opaque.len()), ("Hm", 1), "{documents:?}");
        assert_eq!((&*call.id, &*call.arguments), ("a", "{}"));
        assert_eq!(response.choices[0].finish_reason, FinishReason::ToolCalls);
    }
}

#[test]
fn failures_inside_a_stream_have_their_class() {
    let failed = |code: &str| {
        format!(
            r#"{{"type":"response.failed","response":{{"status":"failed","error":{{"code":"{code}","message":"x"}},"usage":{{"input_tokens":4,"output_tokens":2}}}}}}"#
        )
    };
    let error =
        |code: &str| format!(r#"{{"type":"error","code":{code},"message":"x","param":null}}"#);
    let nested = r#"{"type":"error","error":{"type":"server_error","code":"server_is_overloaded","message":"x"}}"#;
    let bare = r#"{"error":{"message":"x","code":"insufficient_quota"}}"#;
    let silent = r#"{"type":"response.failed","response":{"status":"failed"}}"#;
    let cancelled =
        r#"{"type":"response.completed","response":{"status":"cancelled","output":[]}}"#;
    for (document, class) in [
        (&*failed("server_error"), Class::Server),
        (&failed("rate_limit_exceeded"), Class::KeyLimited),
        (&failed("invalid_prompt"), Class::CallerError),
        (&error(r#""rate_limit_exceeded""#), Class::KeyLimited),
        (
            &error(r#""context_length_exceeded""#),
            Class::ContextTooLong,
        ),
        (&error("null"), Class::Server),
        (nested, Class::Overloaded),
        (bare, Class::KeyDead),
        (silent, Class::Server),
        (cancelled, Class::Server),
    ] {
        let (chunks, end) = decode(&events(&[START, BEGIN, HELLO, document, END]));
        assert_eq!(end.unwrap_err().class, class, "{document}");
        assert_eq!(chunks.last(), Some(&text("hello")), "{document}");
    }
    let mut decoder = codec().stream_decoder(1);
    let body = events(&[START, &failed("server_error")]);
    assert!(decoder.push(body.as_bytes(), &mut Vec::new()).is_err());
    let usage = Usage::of(4, 2, UsageSource::Provider);
    assert_eq!(decoder.usage(), Some(usage), "for the bill");
}

#[test]
fn an_error_told_as_a_plain_body_is_that_error() {
    let (_, end) = decode(r#"{"error":{"message":"x","code":"server_is_overloaded"}}"#);
    assert_eq!(end.unwrap_err().class, Class::Overloaded);
}

#[test]
fn log_probabilities_come_with_their_text() {
    let one = r#"[{"token":"hello","logprob":-0.5,"top_logprobs":[]}]"#;
    let hello = HELLO.replace("[]", one);
    let (chunks, end) = decode(&events(&[START, BEGIN, &hello, DONE, END]));
    assert_eq!(end, Ok(()));
    let told = assembled(chunks).choices.remove(0).logprobs.unwrap();
    assert_eq!(told.get(), format!(r#"{{"content":{one},"refusal":null}}"#));
}

#[test]
fn a_refusal_is_streamed() {
    let piece = |text: &str| {
        format!(
            r#"{{"type":"response.refusal.delta","output_index":0,"content_index":0,"delta":"{text}"}}"#
        )
    };
    let done = DONE.replace(
        r#""type":"output_text","text":"hello","annotations":[]"#,
        r#""type":"refusal","refusal":"I will not.""#,
    );
    let documents = [
        START,
        BEGIN,
        &piece("I will "),
        &piece("not."),
        &done,
        EMPTY,
    ];
    let (chunks, end) = decode(&events(&documents));
    assert_eq!(end, Ok(()));
    let response = assembled(chunks);
    assert_eq!(parts(&response), [Part::Refusal("I will not.".to_owned())]);
    assert_eq!(response.choices[0].finish_reason, FinishReason::Refusal);
}

#[test]
fn the_numbers_of_items_and_parts_are_bounded() {
    let begin =
        |index: usize| BEGIN.replace(r#""output_index":0"#, &format!(r#""output_index":{index}"#));
    let items: String = (0..=super::super::wire::MOST_ITEMS)
        .map(|index| format!("data: {}\n\n", begin(index)))
        .collect();
    let (_, end) = decode(&items);
    assert_eq!(end.unwrap_err().class, Class::Server);
    let say = |part: usize| {
        HELLO.replace(
            r#""content_index":0"#,
            &format!(r#""content_index":{part}"#),
        )
    };
    let said: String = (0..=super::super::wire::MOST_PARTS)
        .map(|part| format!("data: {}\n\n", say(part)))
        .collect();
    let (_, end) = decode(&said);
    assert_eq!(end.unwrap_err().class, Class::Server);
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic_or_end_twice(
        sample in 0..2_usize,
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..4),
        size in 1..200_usize,
    ) {
        let mut body = samples()[sample].body.clone();
        let at = at.index(body.len());
        body.splice(at..(at + 2).min(body.len()), with);
        check_damaged(codec(), &body, size);
    }
}
