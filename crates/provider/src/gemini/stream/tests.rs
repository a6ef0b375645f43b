use proptest::prelude::*;

use crate::chat::{Assembler, Audio, Chunk, Delta, FinishReason, Opaque, Part, Usage, UsageSource};
use crate::codec::{Codec, Kind, StreamDecoder};
use crate::failure::{Class, Failure};
use crate::testing::reported;

const TEXT: &str = include_str!("../../../samples/gemini_text.sse");
const TOOLS: &str = include_str!("../../../samples/gemini_tools.sse");
const TWO: &str = include_str!("../../../samples/gemini_two_candidates.sse");

/// Each sample stream with the number of candidates asked for.
const SAMPLES: [(&str, u32); 3] = [(TEXT, 1), (TOOLS, 1), (TWO, 2)];

fn decoder(choices: u32) -> StreamDecoder {
    Codec::new(Kind::Gemini).stream_decoder(choices)
}

/// Decodes the slices and then the end of the body.
fn decode<'a>(
    choices: u32,
    slices: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Chunk>, Result<(), Failure>) {
    let mut decoder = decoder(choices);
    let mut out = Vec::new();
    for slice in slices {
        if let Err(failure) = decoder.push(slice, &mut out) {
            return (out, Err(failure));
        }
    }
    let end = decoder.finish(&mut out);
    (out, end)
}

/// The events of JSON documents, each one event of the stream.
fn events(documents: &[&str]) -> String {
    documents
        .iter()
        .map(|document| format!("data: {document}\r\n\r\n"))
        .collect()
}

fn delta(choice: u32, delta: Delta) -> Chunk {
    Chunk::Delta { choice, delta }
}

fn text(choice: u32, text: &str) -> Chunk {
    delta(choice, Delta::Text(text.to_owned()))
}

fn state(kind: &str, signature: &'static str) -> Opaque {
    Opaque {
        provider: "gemini".to_owned(),
        kind: kind.to_owned(),
        bytes: signature.into(),
    }
}

#[test]
fn a_sample_answer_gives_its_events() {
    let (chunks, end) = decode(1, [TEXT.as_bytes()]);
    assert_eq!(end, Ok(()));
    let usage = Usage {
        cache_read: 5,
        reasoning: 41,
        ..Usage::of(12, 49, UsageSource::Provider)
    };
    assert_eq!(
        chunks,
        [
            Chunk::Start {
                id: "vL4naZ3fK8-Nxs0P".to_owned(),
                model: "gemini-2.5-flash".to_owned(),
            },
            delta(0, Delta::Reasoning("**Weighing**\n\n".to_owned())),
            text(0, "Grüße"),
            text(0, ", \"you\"\n🎉"),
            delta(0, Delta::ReasoningState(state("signature", "CvcBAePx0/Y="))),
            Chunk::Finish {
                choice: 0,
                reason: FinishReason::Stop
            },
            reported(
                r#"{"promptTokenCount": 12, "candidatesTokenCount": 8, "totalTokenCount": 61, "cachedContentTokenCount": 5, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}], "thoughtsTokenCount": 41}"#
            ),
            Chunk::Usage(usage),
        ]
    );
}

#[test]
fn tool_calls_keep_their_signatures_and_end_the_turn() {
    let (chunks, end) = decode(1, [TOOLS.as_bytes()]);
    assert_eq!(end, Ok(()));
    let mut assembler = Assembler::new();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    let mut response = assembler.finish().unwrap();
    let choice = response.choices.remove(0);
    assert_eq!(choice.finish_reason, FinishReason::ToolCalls);
    let call = |id: &str, name: &str, arguments: &str, opaque| {
        Part::ToolCall(crate::chat::ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            opaque,
        })
    };
    assert_eq!(
        choice.message.parts,
        [
            Part::Text("Let me look.".to_owned()),
            Part::Reasoning {
                text: String::new(),
                opaque: vec![state("text_signature", "CiQB4/H/Xw==")],
            },
            call(
                "8h2kq0ab",
                "weather",
                r#"{"city": "Köln", "days": 2}"#,
                vec![state("call_signature", "EpwC4/H/aa+b")],
            ),
            call("call_vL4naZ3fK8-Nxs0P_0_1", "time", "{}", vec![]),
        ]
    );
    let usage = Usage {
        reasoning: 20,
        ..Usage::of(50, 41, UsageSource::Provider)
    };
    assert_eq!(response.usage, Some(usage));
}

#[test]
fn candidates_may_interleave() {
    let (chunks, end) = decode(2, [TWO.as_bytes()]);
    assert_eq!(end, Ok(()));
    let finish = |choice, reason| Chunk::Finish { choice, reason };
    assert_eq!(
        chunks[1..],
        [
            text(0, "zero"),
            text(1, "one"),
            text(1, "!"),
            finish(1, FinishReason::Length),
            text(0, "."),
            finish(0, FinishReason::Stop),
            reported(
                r#"{"promptTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 8, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}]}"#
            ),
            Chunk::Usage(Usage::of(3, 5, UsageSource::Provider)),
        ]
    );
}

#[test]
fn what_google_thinks_of_an_answer_is_told_where_it_is_new() {
    let (safe, hot) = (
        r#"[{"category":"HARASSMENT","probability":"NEGLIGIBLE"}]"#,
        r#"[{"category":"HARASSMENT","probability":"LOW"}]"#,
    );
    let event = |text: &str, ratings: &str, more: &str| {
        let content = format!(r#"{{"parts":[{{"text":"{text}"}}]}}"#);
        format!(r#"{{"candidates":[{{"content":{content},"safetyRatings":{ratings}{more}}}]}}"#)
    };
    let end = event("c", hot, r#","finishReason":"STOP""#);
    let body = events(&[&event("a", safe, ""), &event("b", safe, ""), &end]);
    let (chunks, outcome) = decode(1, [body.as_bytes()]);
    assert_eq!(outcome, Ok(()));
    let told = chunks.iter().filter(|it| matches!(it, Chunk::Aside(_)));
    assert_eq!(told.count(), 2);
    let streamed = crate::testing::assembled(chunks);
    let whole = Codec::new(Kind::Gemini).decode(end.as_bytes()).unwrap();
    for answer in [&streamed, &whole] {
        assert_eq!(answer.choices[0].details["safetyRatings"].get(), hot);
    }
}

/// The rule this gateway lives by: an answer that lacks its end is never a success.
#[test]
fn an_answer_cut_at_any_byte_is_truncated_until_its_last_event_is_there() {
    for (sample, choices) in SAMPLES {
        let body = sample.as_bytes();
        let whole_at = sample.trim_ascii_end().len();
        let (whole, _) = decode(choices, [body]);
        for cut in 0..=body.len() {
            let (chunks, end) = decode(choices, [&body[..cut]]);
            let finished = chunks
                .iter()
                .filter(|c| matches!(c, Chunk::Finish { .. }))
                .count();
            if cut < whole_at {
                let failure = end.expect_err("a cut answer is no success");
                assert_eq!(failure.class, Class::Truncated, "cut at {cut}");
                assert!(finished < choices as usize, "cut at {cut}");
            } else {
                assert_eq!(end, Ok(()), "cut at {cut}");
                assert_eq!(finished, choices as usize, "cut at {cut}");
            }
            assert_eq!(chunks, whole[..chunks.len()], "cut at {cut}");
        }
    }
}

#[test]
fn how_the_bytes_are_cut_into_slices_does_not_matter() {
    for (sample, choices) in SAMPLES {
        let body = sample.as_bytes();
        let whole = decode(choices, [body]);
        for cut in 0..=body.len() {
            let (head, tail) = body.split_at(cut);
            assert_eq!(decode(choices, [head, tail]), whole, "cut at {cut}");
        }
        for size in [1, 2, 3, 7, 64] {
            let slices = body.chunks(size);
            assert_eq!(decode(choices, slices), whole, "slices of {size}");
        }
    }
}

const HELLO: &str = r#"{"candidates":[{"content":{"parts":[{"text":"hello"}]}}]}"#;
const STOP: &str = r#"{"candidates":[{"finishReason":"STOP"}]}"#;

/// Checks how a stream of these events ends.
fn check_end(documents: &[&str], choices: u32, expect: Option<Class>) {
    let (_, end) = decode(choices, [events(documents).as_bytes()]);
    assert_eq!(
        end.err().map(|failure| failure.class),
        expect,
        "{documents:?}"
    );
}

#[test]
fn ends_are_judged() {
    check_end(&[HELLO, STOP], 1, None);
    check_end(&[STOP], 1, None);
    check_end(&[], 1, Some(Class::Truncated));
    check_end(&[HELLO], 1, Some(Class::Truncated));
    check_end(&["[DONE]"], 1, Some(Class::Truncated));
    check_end(&["<html>502</html>"], 1, Some(Class::Truncated));
    // The second candidate never began.
    check_end(&[HELLO, STOP], 2, Some(Class::Truncated));
    let unspecified = r#"{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}]}"#;
    check_end(&[HELLO, unspecified], 1, Some(Class::Truncated));
    // One unreadable event costs its text; an answer of nothing else is no empty success.
    check_end(&[HELLO, "{", STOP], 1, None);
    check_end(&["{", "{", STOP], 1, Some(Class::Server));
}

#[test]
fn failures_inside_a_stream_are_understood() {
    for (document, expect) in [
        (
            r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#,
            Class::Overloaded,
        ),
        (
            r#"[{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}]"#,
            Class::KeyLimited,
        ),
        (
            r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
            Class::ContentFilter,
        ),
        (
            r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#,
            Class::Server,
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}"#,
            Class::Server,
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","partialArgs":[]}}]}}]}"#,
            Class::Server,
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"audio/L16","data":"?"}}]}}]}"#,
            Class::Server,
        ),
    ] {
        check_end(&[document, HELLO, STOP], 1, Some(expect));
        // A block is only one where there is no answer; the others fail wherever they come.
        if expect != Class::ContentFilter {
            check_end(&[HELLO, document, STOP], 1, Some(expect));
        }
    }
}

#[test]
fn an_error_told_without_a_stream_is_understood() {
    let body = "[{\n  \"error\": {\n    \"code\": 400,\n    \"message\": \"API key not valid.\",\n    \"status\": \"INVALID_ARGUMENT\",\n    \"details\": [{\"@type\": \"type.googleapis.com/google.rpc.ErrorInfo\", \"reason\": \"API_KEY_INVALID\"}]\n  }\n}\n]";
    for size in [1, 7, 1000] {
        let (chunks, end) = decode(1, body.as_bytes().chunks(size));
        assert_eq!((chunks, end.unwrap_err().class), (vec![], Class::KeyDead));
    }
}

#[test]
fn usage_of_a_cut_stream_is_kept_for_the_bill() {
    let mut decoder = decoder(1);
    let mut out = Vec::new();
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1,"thoughtsTokenCount":2,"totalTokenCount":7}}"#;
    decoder.push(events(&[body]).as_bytes(), &mut out).unwrap();
    assert_eq!(
        decoder.finish(&mut out).unwrap_err().class,
        Class::Truncated
    );
    assert_eq!(decoder.usage().map(|usage| usage.total()), Some(7));
}

/// An early report would be too low for the whole answer.
#[test]
fn the_last_report_of_usage_counts_also_where_it_cannot_be_right() {
    let with = |usage: &str| format!(r#"{{"candidates":[{{}}],"usageMetadata":{usage}}}"#);
    let early = with(r#"{"promptTokenCount":4,"totalTokenCount":4}"#);
    let late = with(r#"{"promptTokenCount":4,"candidatesTokenCount":9,"totalTokenCount":13}"#);
    let wrong = with(r#"{"promptTokenCount":4,"candidatesTokenCount":-9}"#);
    for (documents, expect) in [
        ([&*early, &*late, STOP], Some(13)),
        ([&*late, &*wrong, STOP], None),
    ] {
        let (chunks, end) = decode(1, [events(&documents).as_bytes()]);
        assert_eq!(end, Ok(()));
        let total = match chunks.last() {
            Some(Chunk::Usage(usage)) => Some(usage.total()),
            _ => None,
        };
        assert_eq!(total, expect);
    }
}

#[test]
fn nothing_after_a_finish_counts() {
    let (chunks, end) = decode(1, [events(&[STOP, HELLO]).as_bytes()]);
    assert_eq!(end, Ok(()));
    assert_eq!(chunks.len(), 2, "{chunks:?}");
}

proptest! {
    /// Damaged in any way and cut in any way, a stream gives one and the same answer, and a success
    /// only if every candidate that was seen has finished.
    #[test]
    fn damage_never_makes_a_success_of_a_part(
        which in 0..SAMPLES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        size in 1_usize..300,
    ) {
        let (sample, choices) = SAMPLES[which];
        let mut body = sample.as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let whole = decode(choices, [&body[..]]);
        prop_assert_eq!(&decode(choices, body.chunks(size)), &whole);
        let (chunks, end) = whole;
        if end.is_ok() {
            for chunk in &chunks {
                if let Chunk::Delta { choice, .. } = chunk {
                    let finish = |chunk: &&Chunk| matches!(chunk, Chunk::Finish { choice: of, .. } if of == choice);
                    prop_assert_eq!(chunks.iter().filter(finish).count(), 1);
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..600), size in 1_usize..64) {
        let (_, end) = decode(1, body.chunks(size));
        prop_assert!(end.is_err());
        prop_assert!(Codec::new(Kind::Gemini).decode(&body).is_err());
    }
}

#[test]
fn sound_is_told_with_its_media_type() {
    let part = |data: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"mimeType":"audio/L16;codec=pcm;rate=24000","data":"{data}"}}}}]}}}}]}}"#
        )
    };
    let (chunks, end) = decode(
        1,
        [events(&[&part("AQI="), &part("Aw=="), STOP]).as_bytes()],
    );
    assert_eq!(end, Ok(()));
    let mut assembler = Assembler::new();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    let answer = assembler.finish().unwrap();
    let spoken = Audio {
        data: vec![1, 2, 3].into(),
        format: "L16;codec=pcm;rate=24000".to_owned(),
        ..Audio::default()
    };
    assert_eq!(answer.choices[0].message.parts, [Part::Audio(spoken)]);
}
