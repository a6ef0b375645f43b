use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};

use super::super::{ITEM, PHASE};
use crate::chat::{FinishReason, Opaque, Part, Response, Tier, ToolCall, Usage, UsageSource};
use crate::codec::{Api, Codec, Kind};
use crate::failure::{Class, Failure};
use crate::testing::{assembled, decode as decode_stream, parts};

const WHOLE: &str = include_str!("../../../samples/responses/answer.json");
const FAILED: &str = include_str!("../../../samples/responses/failed.json");
const TOOLS: &str = include_str!("../../../samples/responses/tools.sse");

fn codec(kind: Kind) -> Codec {
    Codec::new(kind).over(Api::Responses).unwrap()
}

fn decode(body: &str) -> Result<Response, Failure> {
    codec(Kind::OpenAi).decode(body.as_bytes())
}

/// An answer with that output, and those fields beside it.
fn answer(output: &str, more: &str) -> String {
    format!(r#"{{"id":"r","model":"m","status":"completed","output":[{output}]{more}}}"#)
}

fn message(content: &str) -> String {
    format!(r#"{{"type":"message","role":"assistant","content":[{content}]}}"#)
}

#[test]
fn a_whole_answer_says_what_the_stream_says() {
    let whole = decode(WHOLE).unwrap();
    let (chunks, end) = decode_stream(codec(Kind::OpenAi), [TOOLS.as_bytes()]);
    assert_eq!(end, Ok(()));
    assert_eq!(whole, assembled(chunks));
}

#[test]
fn state_is_that_of_the_kind_that_gave_it() {
    for kind in [Kind::OpenAi, Kind::AzureOpenAi, Kind::OpenAiCompatible] {
        let whole = codec(kind).decode(WHOLE.as_bytes()).unwrap();
        let Part::Reasoning { opaque, .. } = &parts(&whole)[0] else {
            panic!("{whole:?}");
        };
        let kinds: Vec<_> = opaque.iter().map(|it| it.kind.as_str()).collect();
        assert_eq!(kinds, [ITEM, ITEM, PHASE]);
        assert!(opaque.iter().all(|it| it.provider == kind.as_str()));
    }
}

#[test]
fn thoughts_without_state_are_only_told() {
    let thought = |more: &str| {
        let item = format!(
            r#"{{"type":"reasoning","id":"rs_1","summary":[{{"type":"summary_text","text":"Hm"}}]{more}}}"#
        );
        let whole = decode(&answer(&item, "")).unwrap();
        let Part::Reasoning { text, opaque } = &parts(&whole)[0] else {
            panic!("{whole:?}");
        };
        (text.clone(), opaque.len())
    };
    assert_eq!(thought(""), ("Hm".to_owned(), 0));
    assert_eq!(
        thought(r#","encrypted_content":null,"content":null"#),
        ("Hm".to_owned(), 0)
    );
    assert_eq!(
        thought(r#","encrypted_content":"gAA""#),
        ("Hm".to_owned(), 1)
    );
    // Models whose thoughts are open tell them whole.
    let open = r#","content":[{"type":"reasoning_text","text":"Oh"}]"#;
    assert_eq!(thought(open), ("Hm\n\nOh".to_owned(), 1));
}

#[test]
fn items_of_unknown_types_are_kept() {
    let search = r#"{"type":"web_search_call","id":"ws_1","arguments":{"x":1},"content":7}"#;
    let usage = r#","usage":{"input_tokens":4,"output_tokens":2}"#;
    let whole = decode(&answer(&format!("{search},{}", message("")), usage)).unwrap();
    // A search is paid for apart from its tokens.
    assert_eq!(whole.usage.unwrap().searches, 1);
    let state = Opaque {
        provider: "openai".to_owned(),
        kind: ITEM.to_owned(),
        bytes: search.into(),
    };
    assert_eq!(
        parts(&whole),
        [Part::Reasoning {
            text: String::new(),
            opaque: vec![state]
        }]
    );
}

#[test]
fn a_refusal_is_explained() {
    let refusal = message(r#"{"type":"refusal","refusal":"I will not."}"#);
    let whole = decode(&answer(&refusal, "")).unwrap();
    assert_eq!(parts(&whole), [Part::Refusal("I will not.".to_owned())]);
    assert_eq!(whole.choices[0].finish_reason, FinishReason::Refusal);
    let both = message(
        r#"{"type":"output_text","text":"Well.","annotations":[]},{"type":"refusal","refusal":"No."}"#,
    );
    let whole = decode(&answer(&both, "")).unwrap();
    assert_eq!(whole.choices[0].finish_reason, FinishReason::Stop);
}

#[test]
fn every_end_has_its_meaning() {
    let incomplete = |reason: &str| {
        let details =
            format!(r#","status":"incomplete","incomplete_details":{{"reason":{reason}}}"#);
        answer("", &details).replacen(r#""status":"completed","#, "", 1)
    };
    let call = r#"{"type":"function_call","call_id":"a","name":"n","arguments":"{}"}"#;
    for (body, expect) in [
        (answer("", ""), FinishReason::Stop),
        (answer(call, ""), FinishReason::ToolCalls),
        (incomplete(r#""max_output_tokens""#), FinishReason::Length),
        (
            incomplete(r#""content_filter""#),
            FinishReason::ContentFilter,
        ),
        (incomplete(r#""steered""#), FinishReason::Other),
        (incomplete("null"), FinishReason::Other),
    ] {
        let whole = decode(&body).unwrap();
        assert_eq!(whole.choices[0].finish_reason, expect, "{body}");
    }
}

#[test]
fn calls_need_a_name_and_an_id() {
    let call = |fields: &str| {
        decode(&answer(
            &format!(r#"{{"type":"function_call",{fields}}}"#),
            "",
        ))
    };
    for fields in [
        r#""call_id":"a","arguments":"{}""#,
        r#""call_id":"","name":"n""#,
        r#""name":"n""#,
    ] {
        assert_eq!(call(fields).unwrap_err().class, Class::Server, "{fields}");
    }
    let whole = call(r#""id":"fc_1","name":"n""#).unwrap();
    let expect = Part::ToolCall(ToolCall {
        id: "fc_1".to_owned(),
        name: "n".to_owned(),
        arguments: String::new(),
        opaque: Vec::new(),
    });
    assert_eq!(parts(&whole), [expect]);
}

/// Places are counted in characters of the text, which ends up behind another one in the same part.
#[test]
fn sources_are_told_of_the_passage_they_are_of() {
    let cited = r#"{"type":"output_text","text":"Grüße, blue 🎉","annotations":[
        {"type":"url_citation","start_index":7,"end_index":14,"title":"Sky","url":"https://sky.example"},
        {"type":"file_citation","file_id":"file-1","filename":"sky.pdf","index":0},
        {"type":"container_file_citation","container_id":"c","file_id":"cfile_1","filename":"a.csv","start_index":0,"end_index":5},
        {"type":"yet_to_come","x":1},3]}"#;
    let plain = r#"{"type":"output_text","text":"Über"}"#;
    let whole = decode(&answer(&message(&format!("{plain},{cited}")), "")).unwrap();
    let [Part::Cited { text, citations }] = parts(&whole) else {
        panic!("{whole:?}");
    };
    assert_eq!(text, "ÜberGrüße, blue 🎉");
    let [page, file, made] = &citations[..] else {
        panic!("{citations:?}");
    };
    let at = |range: &std::ops::Range<u32>| {
        let place = |at: u32| usize::try_from(at).unwrap();
        &text[place(range.start)..place(range.end)]
    };
    assert_eq!(at(&page.passage), "blue 🎉");
    assert_eq!(page.url.as_deref(), Some("https://sky.example"));
    assert_eq!(page.title.as_deref(), Some("Sky"));
    assert!(file.passage.is_empty());
    assert_eq!(file.source_id.as_deref(), Some("file-1"));
    assert_eq!(file.title.as_deref(), Some("sky.pdf"));
    assert_eq!(at(&made.passage), "Grüße");
    assert_eq!(made.source_id.as_deref(), Some("cfile_1"));
}

#[test]
fn log_probabilities_take_the_common_shape() {
    let alternatives = r#"[{"token":"hi","bytes":[104,105],"logprob":-0.5},{"token":"ho","bytes":[104,111],"logprob":-1.5}]"#;
    let one = format!(
        r#"{{"token":"hi","bytes":[104,105],"logprob":-0.5,"top_logprobs":{alternatives}}}"#
    );
    let said = |logprobs: &str| {
        let part = format!(r#"{{"type":"output_text","text":"hi","logprobs":{logprobs}}}"#);
        let whole = decode(&answer(&message(&part), "")).unwrap();
        let told = whole.choices[0].logprobs.as_ref();
        told.map(|it| it.get().to_owned())
    };
    let expect = format!(r#"{{"content":[{one}],"refusal":null}}"#);
    assert_eq!(said(&format!("[{one}]")), Some(expect));
    assert_eq!(said("[]"), None);
    assert_eq!(said("null"), None);
}

#[test]
fn usage_is_read() {
    let report = r#"{"input_tokens":50,"input_tokens_details":{"cached_tokens":10,"cache_write_tokens":5},"output_tokens":90,"output_tokens_details":{"reasoning_tokens":40},"total_tokens":140}"#;
    let whole = decode(&answer(
        "",
        &format!(r#","service_tier":"flex","usage":{report}"#),
    ));
    let whole = whole.unwrap();
    let usage = Usage {
        cache_read: 10,
        cache_write: 5,
        reasoning: 40,
        tier: Some(Tier::Flex),
        ..Usage::of(50, 90, UsageSource::Provider)
    };
    assert_eq!(whole.usage, Some(usage));
    assert_eq!(whole.usage_report.unwrap().get(), report);
}

#[test]
fn searches_are_counted() {
    let usage = r#","usage":{"input_tokens":1,"output_tokens":1}"#;
    let searched = |more: &str| {
        let items = ["search", "search", "open_page"].map(|action| {
            format!(r#"{{"type":"web_search_call","action":{{"type":"{action}"}}}}"#)
        });
        let whole = decode(&answer(&items.join(","), &format!("{usage}{more}")));
        whole.unwrap().usage.unwrap().searches
    };
    assert_eq!(searched(""), 2);
    assert_eq!(
        searched(r#","tool_usage":{"image_gen":{},"web_search":{"num_requests":3}}"#),
        3
    );
    assert_eq!(searched(r#","tool_usage":{"web_search":null}"#), 2);
    assert_eq!(
        searched(r#","tool_usage":{"web_search":{"num_requests":-1}}"#),
        2
    );
}

#[test]
fn unbelievable_usage_is_none() {
    for report in [
        r#"{"input_tokens":-1,"output_tokens":1}"#,
        r#"{"input_tokens":1}"#,
        r#"{"input_tokens":1,"output_tokens":1,"output_tokens_details":{"reasoning_tokens":2}}"#,
        r#"{"input_tokens":1,"output_tokens":1,"input_tokens_details":{"cached_tokens":2}}"#,
        "null",
        "[]",
    ] {
        let whole = decode(&answer("", &format!(r#","usage":{report}"#))).unwrap();
        assert_eq!(whole.usage, None, "{report}");
    }
}

#[test]
fn what_is_no_answer_is_a_failure() {
    for (body, class) in [
        (FAILED.to_owned(), Class::Server),
        (r#"{"status":"failed"}"#.to_owned(), Class::Server),
        (
            r#"{"status":"queued","output":[]}"#.to_owned(),
            Class::Server,
        ),
        (
            r#"{"status":"in_progress","output":[]}"#.to_owned(),
            Class::Server,
        ),
        (
            r#"{"status":"cancelled","output":[]}"#.to_owned(),
            Class::Server,
        ),
        (
            r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#.to_owned(),
            Class::KeyLimited,
        ),
        ("{}".to_owned(), Class::Server),
        // Of the other interface.
        (
            r#"{"choices":[{"index":0,"message":{"content":"x"}}]}"#.to_owned(),
            Class::Server,
        ),
        ("[".to_owned(), Class::Server),
        (answer("7", ""), Class::Server),
        (answer(r#"{"x":1}"#, ""), Class::Server),
    ] {
        assert_eq!(decode(&body).unwrap_err().class, class, "{body}");
    }
}

/// What an answer that has failed says of it, under a status of success.
#[test]
fn failed_answers_have_their_class() {
    for (code, class) in [
        ("server_error", Class::Server),
        ("rate_limit_exceeded", Class::KeyLimited),
        ("invalid_prompt", Class::CallerError),
        ("data_residency_mismatch", Class::CallerError),
        ("bio_policy", Class::ContentFilter),
        ("misalignment_policy_violation", Class::ContentFilter),
        ("vector_store_timeout", Class::Server),
        ("invalid_image", Class::CallerError),
        ("invalid_image_format", Class::CallerError),
        ("invalid_base64_image", Class::CallerError),
        ("invalid_image_url", Class::CallerError),
        ("image_too_large", Class::CallerError),
        ("image_too_small", Class::CallerError),
        ("image_parse_error", Class::CallerError),
        ("image_content_policy_violation", Class::ContentFilter),
        ("invalid_image_mode", Class::CallerError),
        ("image_file_too_large", Class::CallerError),
        ("unsupported_image_media_type", Class::CallerError),
        ("empty_image_file", Class::CallerError),
        ("failed_to_download_image", Class::CallerError),
        ("image_file_not_found", Class::CallerError),
        ("yet_to_come", Class::Server),
    ] {
        let body = FAILED.replace("server_error", code);
        let failure = decode(&body).unwrap_err();
        assert_eq!(failure.class, class, "{code}");
        assert_eq!(failure.code.as_deref(), Some(code));
    }
}

#[test]
fn errors_are_judged_as_those_of_chat_completions() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("2"));
    for body in [
        r#"{"error":{"message":"m","type":"insufficient_quota","code":"credit_balance_exhausted"}}"#,
        r#"{"error":{"message":"m","type":"requests","code":"rate_limit_exceeded"}}"#,
        r#"{"error":{"message":"Item not found","type":"invalid_request_error","param":"input"}}"#,
        "<html>",
    ] {
        let judge = |codec: Codec| {
            let status = StatusCode::TOO_MANY_REQUESTS;
            codec.classify(status, &headers, body.as_bytes(), SystemTime::UNIX_EPOCH)
        };
        let failure = judge(codec(Kind::OpenAi));
        assert_eq!(failure, judge(Codec::new(Kind::OpenAi)));
        assert_eq!(failure.retry_after, Some(Duration::from_secs(2)));
    }
}
