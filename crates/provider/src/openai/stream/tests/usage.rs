//! What a stream says of its use, and in what frame.

use super::*;

/// Checks what usage a stream that reports these ends with.
fn check_usage(reports: &[&str], expect: Option<Usage>) {
    let reports: Vec<String> = reports
        .iter()
        .map(|usage| format!(r#"{{"choices":[],"usage":{usage}}}"#))
        .collect();
    let mut documents = vec![HELLO, STOP];
    documents.extend(reports.iter().map(String::as_str));
    let (chunks, end) = decode_str(&events(&documents));
    assert_eq!(end, Ok(()), "{reports:?}");
    let found = match chunks.last() {
        Some(Chunk::Usage(usage)) => Some(*usage),
        _ => None,
    };
    assert_eq!(found, expect, "{reports:?}");
}

#[test]
fn the_last_usage_counts_wherever_it_comes() {
    let usage = |input, output| Usage::of(input, output, UsageSource::Provider);
    let first = r#"{"prompt_tokens":1,"completion_tokens":2}"#;
    let last = r#"{"prompt_tokens":1,"completion_tokens":9.0}"#;
    check_usage(&[first], Some(usage(1, 2)));
    check_usage(&[first, last, "null"], Some(usage(1, 9)));
    check_usage(&[], None);
    check_usage(&["null"], None);
    // Reasoning beside the completion, given away by the total.
    check_usage(
        &[
            r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":19,"completion_tokens_details":{"reasoning_tokens":7}}"#,
        ],
        Some(Usage {
            reasoning: 7,
            ..usage(10, 9)
        }),
    );
    check_usage(
        &[r#"{"prompt_tokens":10,"completion_tokens":2,"prompt_cache_hit_tokens":4}"#],
        Some(Usage {
            cache_read: 4,
            ..usage(10, 2)
        }),
    );
}

#[test]
fn usage_that_cannot_be_believed_is_none() {
    for report in [
        r#"{"prompt_tokens":-1,"completion_tokens":2}"#,
        r#"{"prompt_tokens":1,"completion_tokens":2147483649}"#,
        r#"{"prompt_tokens":1,"completion_tokens":1e400000}"#,
        r#"{"prompt_tokens":1.5,"completion_tokens":2}"#,
        r#"{"prompt_tokens":"1","completion_tokens":2}"#,
        r#"{"prompt_tokens":1}"#,
        "[1,2]",
        r#"{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5}}"#,
        r#"{"prompt_tokens":1,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":5}}"#,
        r#"{"prompt_tokens":1,"completion_tokens":2,"completion_tokens_details":{"accepted_prediction_tokens":2,"rejected_prediction_tokens":1}}"#,
    ] {
        check_usage(&[report], None);
    }
}

/// The report that a stream of these ends with.
fn report_of(reports: &[&str]) -> Option<String> {
    let event = |usage: &&str| format!(r#"{{"choices":[],"usage":{usage}}}"#);
    let reports: Vec<_> = reports.iter().map(event).collect();
    let documents = [HELLO, STOP].into_iter();
    let documents: Vec<_> = documents
        .chain(reports.iter().map(String::as_str))
        .collect();
    let (chunks, end) = decode_str(&events(&documents));
    assert_eq!(end, Ok(()));
    let mut told = chunks.iter().filter_map(|chunk| match chunk {
        Chunk::UsageReport(report) => Some(report.get().to_owned()),
        Chunk::Warning(_)
        | Chunk::Start { .. }
        | Chunk::Aside(_)
        | Chunk::Delta { .. }
        | Chunk::Finish { .. }
        | Chunk::Usage(_) => None,
    });
    let first = told.next();
    assert_eq!(told.next(), None);
    first
}

#[test]
fn the_last_report_is_handed_on_as_it_was_sent_believed_or_not() {
    let first = r#"{"prompt_tokens":1,"completion_tokens":2}"#;
    let last = r#"{ "prompt_tokens": 1.50, "cost_in_usd_ticks": 37756000, "a": {"b": [null]} }"#;
    assert_eq!(report_of(&[first]).as_deref(), Some(first));
    assert_eq!(report_of(&[first, last]).as_deref(), Some(last));
    assert_eq!(report_of(&[first, "null"]).as_deref(), Some(first));
    assert_eq!(report_of(&[]), None);
}

#[test]
fn a_report_that_is_none_or_larger_than_any_honest_one_is_not_handed_on() {
    let nested = |depth| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let long = |length: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(length - 8));
    for (report, handed_on) in [
        ("7".to_owned(), false),
        (r#""many""#.to_owned(), false),
        ("[1]".to_owned(), false),
        (nested(16), true),
        (nested(17), false),
        (long(8 * 1024), true),
        (long(8 * 1024 + 1), false),
    ] {
        let told = report_of(&[&report]);
        assert_eq!(told, handed_on.then_some(report));
    }
}

#[test]
fn usage_of_a_cut_stream_is_kept_for_the_bill() {
    let mut decoder = decoder(1);
    let mut out = Vec::new();
    let report = r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":4,"completion_tokens":1}}"#;
    decoder
        .push(events(&[report]).as_bytes(), &mut out)
        .unwrap();
    assert_eq!(
        decoder.finish(&mut out).unwrap_err().class,
        Class::Truncated
    );
    assert_eq!(
        decoder.usage(),
        Some(Usage::of(4, 1, UsageSource::Provider))
    );
}

#[test]
fn an_event_that_says_more_than_those_before_is_read_whole() {
    let content = |word: &str, more: &str| {
        let choices =
            format!(r#"[{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}]"#);
        format!(r#"{{"id":"c1","model":"m","choices":{choices},"usage":null{more}}}"#)
    };
    let end = r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    for (more, ends_well) in [
        ("", true),
        (r#","obfuscation":"aB9""#, true),
        (r#","obfuscation":"","extra":1"#, true),
        (
            r#","error":{"message":"overloaded","type":"server_error"}"#,
            false,
        ),
        (
            r#","obfuscation":"a","error":{"message":"overloaded"}"#,
            false,
        ),
        (r#","object":"error""#, false),
    ] {
        for before in ["", r#","obfuscation":"x""#] {
            let events = events(&[
                &content("one", before),
                &content("two", before),
                &content("three", more),
                end,
            ]);
            let (chunks, ended) = decode_str(&events);
            assert_eq!(ended.is_ok(), ends_well, "{more}: {ended:?}");
            assert_eq!(chunks[1..3], [text(0, "one"), text(0, "two")], "{more}");
            assert_eq!(chunks.contains(&text(0, "three")), ends_well, "{more}");
            let usage = Usage::of(3, 4, UsageSource::Provider);
            assert_eq!(chunks.contains(&Chunk::Usage(usage)), ends_well, "{more}");
        }
    }
}

#[test]
fn an_answer_begins_with_its_first_choice_whatever_came_before() {
    let events = events(&[
        r#"{"id":"c1","model":"m","choices":[]}"#,
        r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
    ]);
    let (chunks, ended) = decode_str(&events);
    assert!(ended.is_ok());
    assert!(
        matches!(&chunks[0], Chunk::Start { id, .. } if id == "c1"),
        "{chunks:?}"
    );
    assert_eq!(chunks[1], text(0, "a"));
}

proptest! {
    /// Damaged in any way and cut in any way, a stream gives one and the same answer, and a success
    /// only if every choice that was seen has finished.
    #[test]
    fn damage_never_makes_a_success_of_a_part(
        which in 0..SAMPLES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        size in 1_usize..300,
    ) {
        let (sample, choices, _) = SAMPLES[which];
        let mut body = sample.as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let whole = decode(choices, [&body[..]]);
        prop_assert_eq!(&decode(choices, body.chunks(size)), &whole);
        let (chunks, end) = whole;
        let seen = |chunk: &Chunk| match chunk {
            Chunk::Delta { choice, .. } => Some(*choice),
            Chunk::Warning(_)
            | Chunk::Start { .. }
            | Chunk::Aside(_)
            | Chunk::Finish { .. }
            | Chunk::UsageReport(_)
            | Chunk::Usage(_) => None,
        };
        let done = |choice| {
            let finish = |chunk: &&Chunk| matches!(chunk, Chunk::Finish { choice: of, .. } if *of == choice);
            chunks.iter().filter(finish).count() == 1
        };
        if end.is_ok() {
            prop_assert!(chunks.iter().filter_map(seen).all(done), "{:?}", chunks);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..600), size in 1_usize..64) {
        let (_, end) = decode(1, body.chunks(size));
        prop_assert!(end.is_err());
        prop_assert!(Codec::new(Kind::OpenAi).decode(&body).is_err());
    }
}

#[test]
fn pictures_and_the_class_of_processing_are_told_with_usage() {
    let report = r#"{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"image_tokens":4},"completion_tokens_details":{"image_tokens":2}}"#;
    let usage = |tier| Usage {
        input_image: 4,
        output_image: 2,
        tier,
        ..Usage::of(9, 5, UsageSource::Provider)
    };
    let cases = [
        ("default", Some(Tier::Standard)),
        ("flex", Some(Tier::Flex)),
        ("priority", Some(Tier::Priority)),
        // What was paid for in advance has no price here.
        ("scale", None),
        ("of tomorrow", None),
    ];
    for (name, tier) in cases {
        let last = format!(r#"{{"choices":[],"service_tier":"{name}","usage":{report}}}"#);
        let (chunks, end) = decode_str(&events(&[HELLO, STOP, &last]));
        assert_eq!(end, Ok(()), "{name}");
        assert_eq!(chunks.last(), Some(&Chunk::Usage(usage(tier))), "{name}");
        let message = r#"{"role":"assistant","content":"hi"}"#;
        let whole = format!(
            r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}],"service_tier":"{name}","usage":{report}}}"#
        );
        let whole = Codec::new(Kind::OpenAi).decode(whole.as_bytes()).unwrap();
        assert_eq!(whole.usage, Some(usage(tier)), "{name}");
    }
}
