use proptest::prelude::*;

use crate::chat::{Aside, Assembler, Chunk, Delta, FinishReason, Part, Tier, Usage, UsageSource};
use crate::codec::{Codec, Kind, StreamDecoder};
use crate::failure::{Class, Failure};
use crate::testing::reported;

mod beside;
mod usage;

const TEXT: &str = include_str!("../../../samples/text.sse");
const TOOLS: &str = include_str!("../../../samples/tools.sse");
const TWO_CHOICES: &str = include_str!("../../../samples/two_choices.sse");
const AZURE: &str = include_str!("../../../samples/azure.sse");
const MISTRAL: &str = include_str!("../../../samples/mistral.sse");

/// Each sample stream with the number of choices asked for and the text that its last finish reason
/// ends with.
const SAMPLES: [(&str, u32, &str); 5] = [
    (
        TEXT,
        1,
        r#""finish_reason":"stop"}],"usage":null,"obfuscation":"p"}"#,
    ),
    (TOOLS, 1, r#""total_tokens":70}}"#),
    (TWO_CHOICES, 2, r#""completion_tokens":5}}"#),
    (
        AZURE,
        1,
        r#""finish_reason":"stop","index":0,"logprobs":null}],"created":1760000000,"id":"chatcmpl-Az1","model":"gpt-4o-2024-11-20","object":"chat.completion.chunk","system_fingerprint":"fp_b705f0c291"}"#,
    ),
    (MISTRAL, 1, r#""completion_tokens":43}}"#),
];

fn decoder(choices: u32) -> StreamDecoder {
    Codec::new(Kind::OpenAi).stream_decoder(choices)
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

fn decode_str(body: &str) -> (Vec<Chunk>, Result<(), Failure>) {
    decode(1, [body.as_bytes()])
}

/// The events of JSON documents, each one event of the stream.
fn events(documents: &[&str]) -> String {
    documents
        .iter()
        .map(|document| format!("data: {document}\n\n"))
        .collect()
}

fn text(choice: u32, text: &str) -> Chunk {
    Chunk::Delta {
        choice,
        delta: Delta::Text(text.to_owned()),
    }
}

/// The tool calls of a message of nothing else: (id, name, arguments) each.
fn calls_of(parts: &[Part]) -> Vec<(&str, &str, &str)> {
    let calls = parts.iter().filter_map(|part| match part {
        Part::ToolCall(call) => Some((&*call.id, &*call.name, &*call.arguments)),
        Part::Text(_)
        | Part::Cited { .. }
        | Part::Image(_)
        | Part::Audio(_)
        | Part::Document(_)
        | Part::ToolResult { .. }
        | Part::Reasoning { .. }
        | Part::Refusal(_) => None,
    });
    let calls: Vec<_> = calls.collect();
    assert_eq!(calls.len(), parts.len(), "{parts:?}");
    calls
}

#[test]
fn a_sample_answer_gives_its_events() {
    let (chunks, end) = decode_str(TEXT);
    assert_eq!(end, Ok(()));
    let usage = Usage {
        cache_read: 4,
        reasoning: 2,
        tier: Some(Tier::Standard),
        ..Usage::of(19, 10, UsageSource::Provider)
    };
    assert_eq!(
        chunks,
        [
            Chunk::Start {
                id: "chatcmpl-Qm4Zt7Xw0sVhLd2NfYbKc8RjUa".to_owned(),
                model: "gpt-4o-2024-08-06".to_owned(),
            },
            Chunk::Aside(Aside::Fingerprint("fp_0a1b2c3d4e".to_owned())),
            text(0, "Grüße"),
            text(0, ", \"you\"\n🎉"),
            Chunk::Finish {
                choice: 0,
                reason: FinishReason::Stop
            },
            reported(
                r#"{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#
            ),
            Chunk::Usage(usage),
        ]
    );
}

#[test]
fn tool_calls_are_put_together_from_their_fragments() {
    let (chunks, end) = decode_str(TOOLS);
    assert_eq!(end, Ok(()));
    let mut assembler = Assembler::new();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    let response = assembler.finish().unwrap();
    let calls = calls_of(&response.choices[0].message.parts);
    assert_eq!(
        calls,
        [
            ("call_a", "weather", r#"{"city":"Köln"}"#),
            ("call_b", "time", "{}")
        ]
    );
    assert_eq!(response.choices[0].finish_reason, FinishReason::ToolCalls);
    assert_eq!(
        response.usage,
        Some(Usage::of(50, 20, UsageSource::Provider))
    );
}

#[test]
fn choices_may_interleave_and_done_may_be_missing() {
    let (chunks, end) = decode(2, [TWO_CHOICES.as_bytes()]);
    assert_eq!(end, Ok(()));
    assert_eq!(
        chunks[1..],
        [
            text(1, "one"),
            Chunk::Delta {
                choice: 0,
                delta: Delta::Reasoning("hm".to_owned())
            },
            text(1, "!"),
            Chunk::Finish {
                choice: 1,
                reason: FinishReason::Length
            },
            text(0, "zero"),
            text(0, "."),
            Chunk::Finish {
                choice: 0,
                reason: FinishReason::Stop
            },
            reported(r#"{"prompt_tokens":3,"completion_tokens":5}"#),
            Chunk::Usage(Usage::of(3, 5, UsageSource::Provider)),
        ]
    );
}

/// The rule this gateway lives by: an answer that lacks its end is never a success.
#[test]
fn an_answer_cut_at_any_byte_is_truncated_until_its_last_finish_reason_is_there() {
    for (sample, choices, last) in SAMPLES {
        let body = sample.as_bytes();
        let whole_at = sample.find(last).unwrap() + last.len();
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
                assert!(
                    !chunks.iter().any(|c| matches!(c, Chunk::Usage(_))),
                    "cut at {cut}"
                );
            } else {
                assert_eq!(end, Ok(()), "cut at {cut}");
                assert_eq!(finished, choices as usize, "cut at {cut}");
            }
            assert_eq!(chunks, whole[..chunks.len()], "cut at {cut}");
        }
    }
}

#[test]
fn pieces_of_one_text_are_made_one_where_that_is_asked_for() {
    for (sample, choices, _) in SAMPLES {
        let (mut apart, _) = decode(choices, [sample.as_bytes()]);
        apart.dedup_by(|next, before| before.join(next));
        for slice in [1, 7, sample.len()] {
            let mut joined = Vec::new();
            let mut decoder = decoder(choices).joining();
            for bytes in sample.as_bytes().chunks(slice) {
                decoder.push(bytes, &mut joined).unwrap();
            }
            decoder.finish(&mut joined).unwrap();
            assert_eq!(joined, apart);
        }
    }
}

#[test]
fn the_last_piece_is_joined_too_though_its_event_has_no_end() {
    let body = events(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
    ]);
    let mut joined = Vec::new();
    let mut decoder = decoder(1).joining();
    decoder
        .push(body.trim_end().as_bytes(), &mut joined)
        .unwrap();
    decoder.finish(&mut joined).unwrap();
    assert_eq!(joined[1], text(0, "ab"));
}

#[test]
fn how_the_bytes_are_cut_into_slices_does_not_matter() {
    for (sample, choices, _) in SAMPLES {
        let body = sample.as_bytes();
        let whole = decode(choices, [body]);
        for cut in 0..=body.len() {
            let (head, tail) = body.split_at(cut);
            assert_eq!(decode(choices, [head, tail]), whole, "cut at {cut}");
        }
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(
                decode(choices, body.chunks(size)),
                whole,
                "slices of {size}"
            );
        }
    }
}

#[test]
fn an_event_is_handed_out_with_the_slice_that_completes_it() {
    let mut decoder = decoder(1);
    let mut out = Vec::new();
    decoder
        .push(
            events(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#]).as_bytes(),
            &mut out,
        )
        .unwrap();
    assert_eq!(out[1..], [text(0, "a")]);
}

const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
const HELLO: &str = r#"{"choices":[{"delta":{"content":"hello"}}]}"#;

#[test]
fn what_is_not_json_is_skipped_and_counted() {
    let mut decoder = decoder(1);
    let mut out = Vec::new();
    let bad = r#"{"choices":[{"delta":{"cont"#;
    let body = events(&[HELLO, bad, "<html>", r#"{"choices":7}"#, STOP, "[DONE]"]);
    decoder.push(body.as_bytes(), &mut out).unwrap();
    assert!(decoder.is_done());
    decoder.finish(&mut out).unwrap();
    assert_eq!(decoder.malformed(), 3);
    assert_eq!(out.len(), 3);
}

#[test]
fn a_stray_byte_spoils_a_character_and_not_the_event() {
    let mut body = events(&[r#"{"choices":[{"delta":{"content":"a#b"}}]}"#, STOP]).into_bytes();
    let at = body.iter().position(|byte| *byte == b'#').unwrap();
    body[at] = 0xff;
    let (chunks, end) = decode(1, [&body[..]]);
    assert_eq!((chunks[1].clone(), end), (text(0, "a\u{fffd}b"), Ok(())));
}

#[test]
fn ends_are_judged() {
    let start = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x"}]}}]}"#;
    for (documents, choices, expect) in [
        (&[HELLO, STOP, "[DONE]"][..], 1, None),
        (&[HELLO, STOP], 1, None),
        (&[STOP], 1, None),
        // The sentinel is not an end by itself.
        (&[HELLO, "[DONE]"], 1, Some(Class::Truncated)),
        (&["[DONE]"], 1, Some(Class::Truncated)),
        (&[], 1, Some(Class::Truncated)),
        (&[HELLO], 1, Some(Class::Truncated)),
        (&["<html>502</html>"], 1, Some(Class::Truncated)),
        // One unreadable event costs its text; an answer of nothing else is no empty success.
        (&[HELLO, "{", STOP], 1, None),
        (&["{", "{", STOP, "[DONE]"], 1, Some(Class::Server)),
        // A second choice that never began, unless the provider says that this was all.
        (&[HELLO, STOP], 2, Some(Class::Truncated)),
        (&[HELLO, STOP, "[DONE]"], 2, None),
        // Errors inside the stream.
        (
            &[HELLO, r#"{"error":{"message":"x","code":"server_error"}}"#],
            1,
            Some(Class::Server),
        ),
        (
            &[HELLO, r#"{"error":"boom"}"#, STOP, "[DONE]"],
            1,
            Some(Class::Server),
        ),
        (
            &[r#"{"error":{"code":"rate_limit_exceeded"}}"#],
            1,
            Some(Class::KeyLimited),
        ),
        (
            &[r#"{"error":{"message":"busy","code":503}}"#],
            1,
            Some(Class::Overloaded),
        ),
        (
            &[r#"{"object":"error","message":"no","code":400}"#],
            1,
            Some(Class::CallerError),
        ),
        (
            &[r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#],
            1,
            Some(Class::Server),
        ),
        (
            &[r#"{"error":null,"choices":[{"delta":null,"finish_reason":"stop"}]}"#],
            1,
            None,
        ),
        // A call without a name cannot be made.
        (&[start, STOP], 1, Some(Class::Server)),
    ] {
        let (_, end) = decode(choices, [events(documents).as_bytes()]);
        assert_eq!(
            end.err().map(|failure| failure.class),
            expect,
            "{documents:?}"
        );
    }
}

#[test]
fn an_event_named_error_is_one() {
    let body = "event: error\ndata: {\"message\":\"overloaded\",\"type\":\"overloaded_error\"}\n\n";
    assert_eq!(decode_str(body).1.unwrap_err().class, Class::Overloaded);
}

#[test]
fn an_error_told_without_a_stream_is_understood() {
    for (body, expect) in [
        (
            "{\"error\":{\"message\":\"x\",\"code\":\"insufficient_quota\"}}",
            Class::KeyDead,
        ),
        (
            "{\n  \"error\": {\n    \"code\": \"slow_down\"\n  }\n}\n",
            Class::Ramping,
        ),
        ("{}", Class::Truncated),
        ("<html>no</html>", Class::Truncated),
    ] {
        for size in [1, 7, 1000] {
            let (chunks, end) = decode(1, body.as_bytes().chunks(size));
            assert_eq!((chunks, end.unwrap_err().class), (vec![], expect), "{body}");
        }
    }
    let long = format!("{{\"error\":{{\"message\":\"{}\"}}}}", "x".repeat(100_000));
    assert_eq!(decode_str(&long).1.unwrap_err().class, Class::Truncated);
}

#[test]
fn a_failed_stream_stays_failed() {
    let mut decoder = decoder(1);
    let mut out = Vec::new();
    let failure = decoder
        .push(events(&[r#"{"error":"boom"}"#]).as_bytes(), &mut out)
        .unwrap_err();
    assert_eq!(
        decoder.push(events(&[HELLO, STOP]).as_bytes(), &mut out),
        Err(failure.clone())
    );
    assert_eq!(decoder.finish(&mut out), Err(failure));
    assert_eq!(out, []);
    assert!(!decoder.is_done());
}

#[test]
fn nothing_after_the_end_counts() {
    let late = events(&[STOP, HELLO, "[DONE]", HELLO, r#"{"error":"late"}"#]);
    let (chunks, end) = decode_str(&late);
    assert_eq!(end, Ok(()));
    assert_eq!(chunks.len(), 2, "{chunks:?}");
}

#[test]
fn too_long_a_line_fails_the_stream() {
    let line = format!("data: {}", "x".repeat(crate::sse::MAX_LINE));
    assert_eq!(decode_str(&line).1.unwrap_err().class, Class::Server);
}
