use proptest::prelude::*;

use super::super::event_stream::tests::{error, event, exception};
use super::super::{BLOCK, PROVIDER, REDACTED, SIGNATURE};
use crate::chat::{
    Chunk, Delta, FinishReason, Opaque, Part, Request, Tier, ToolCall, Usage, UsageSource,
};
use crate::codec::{Codec, Kind, Target};
use crate::failure::{Class, Failure};
use crate::testing::{Sample, assembled, check_cuts, check_damaged, parts, reported};

/// A recorded stream as its events, the last one of the answer itself being `messageStop`.
fn sample(events: &[(&str, &str)]) -> Sample {
    let mut body = Vec::new();
    let mut whole_at = 0;
    for (name, payload) in events {
        body.extend(event(name, payload));
        if *name == "messageStop" {
            whole_at = body.len();
        }
    }
    Sample {
        codec: Kind::Bedrock.into(),
        body,
        whole_at,
    }
}

const START: (&str, &str) = ("messageStart", r#"{"p":"abcd","role":"assistant"}"#);
const HELLO: (&str, &str) = (
    "contentBlockDelta",
    r#"{"contentBlockIndex":0,"delta":{"text":"hello"}}"#,
);
const END: (&str, &str) = ("contentBlockStop", r#"{"contentBlockIndex":0}"#);
const STOP: (&str, &str) = ("messageStop", r#"{"stopReason":"end_turn"}"#);
const METADATA: (&str, &str) = (
    "metadata",
    r#"{"metrics":{"latencyMs":9},"usage":{"inputTokens":4,"outputTokens":2,"totalTokens":6}}"#,
);

const TEXT: [(&str, &str); 6] = [
    START,
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"text":"Grüße"},"p":"abc"}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"text":", \"you\"\n🎉"}}"#,
    ),
    END,
    STOP,
    (
        "metadata",
        r#"{"metrics":{"latencyMs":9},"usage":{"inputTokens":10,"outputTokens":12,"totalTokens":2322,"cacheReadInputTokens":2000,"cacheWriteInputTokens":300,"cacheDetails":[{"ttl":"1h","inputTokens":200},{"ttl":"5m","inputTokens":100}]}}"#,
    ),
];

const TOOLS: [(&str, &str); 17] = [
    START,
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Two places, "}}}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"two calls."}}}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"EqQB"}}}"#,
    ),
    END,
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"AQID"}}}"#,
    ),
    ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":2,"delta":{"text":"I look."}}"#,
    ),
    ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
    (
        "contentBlockStart",
        r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"tooluse_a","name":"weather"}}}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{\"city\": \"Kö"}}}"#,
    ),
    (
        "contentBlockDelta",
        r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"ln\"}"}}}"#,
    ),
    ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
    (
        "contentBlockStart",
        r#"{"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"tooluse_b","name":"time"}}}"#,
    ),
    ("contentBlockStop", r#"{"contentBlockIndex":4}"#),
    ("messageStop", r#"{"stopReason":"tool_use"}"#),
    METADATA,
];

fn decode(body: &[u8]) -> (Vec<Chunk>, Result<(), Failure>) {
    crate::testing::decode(Kind::Bedrock, [body])
}

fn text(text: &str) -> Chunk {
    let delta = Delta::Text(text.to_owned());
    Chunk::Delta { choice: 0, delta }
}

#[test]
fn a_sample_answer_gives_its_events() {
    let (chunks, end) = decode(&sample(&TEXT).body);
    assert_eq!(end, Ok(()));
    let usage = Usage {
        cache_read: 2000,
        cache_write: 300,
        cache_write_1h: 200,
        ..Usage::of(2310, 12, UsageSource::Provider)
    };
    let start = Chunk::Start {
        id: String::new(),
        model: String::new(),
    };
    let finish = Chunk::Finish {
        choice: 0,
        reason: FinishReason::Stop,
    };
    assert_eq!(
        chunks,
        [
            start,
            text("Grüße"),
            text(", \"you\"\n🎉"),
            finish,
            reported(
                r#"{"inputTokens":10,"outputTokens":12,"totalTokens":2322,"cacheReadInputTokens":2000,"cacheWriteInputTokens":300,"cacheDetails":[{"ttl":"1h","inputTokens":200},{"ttl":"5m","inputTokens":100}]}"#
            ),
            Chunk::Usage(usage),
        ]
    );
}

#[test]
fn thoughts_keep_their_state_and_calls_are_put_together() {
    let (chunks, end) = decode(&sample(&TOOLS).body);
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
    let state = |kind: &str, bytes: &'static [u8]| Opaque {
        provider: PROVIDER.to_owned(),
        kind: kind.to_owned(),
        bytes: bytes.into(),
    };
    let thought = Part::Reasoning {
        text: "Two places, two calls.".to_owned(),
        opaque: vec![state(SIGNATURE, b"EqQB"), state(REDACTED, &[1, 2, 3])],
    };
    assert_eq!(
        parts(&response),
        [
            thought,
            Part::Text("I look.".to_owned()),
            call("tooluse_a", "weather", r#"{"city": "Köln"}"#),
            call("tooluse_b", "time", "{}"),
        ]
    );
    assert_eq!(response.choices[0].finish_reason, FinishReason::ToolCalls);
    let usage = Usage::of(4, 2, UsageSource::Provider);
    assert_eq!(response.usage, Some(usage));
}

/// A search that the provider made, and what it found: as in an answer that is not streamed, to go back so.
#[test]
fn what_its_own_tools_did_is_kept_and_goes_back() {
    let events = [
        START,
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"t","name":"nova_grounding","type":"server_tool_use"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{\"query\":"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"\"sky\"}"}}}"#,
        ),
        END,
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":1,"start":{"toolResult":{"toolUseId":"t","status":"success"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"toolResult":[{"text":"blue"},{"json":{"n":1}}]}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        STOP,
        METADATA,
    ];
    let (chunks, end) = decode(&sample(&events).body);
    assert_eq!(end, Ok(()));
    let answer = assembled(chunks);
    let state = |json: &'static str| Opaque {
        provider: PROVIDER.to_owned(),
        kind: BLOCK.to_owned(),
        bytes: json.into(),
    };
    let call = r#"{"toolUse":{"input":{"query":"sky"},"name":"nova_grounding","toolUseId":"t","type":"server_tool_use"}}"#;
    let found = r#"{"toolResult":{"content":[{"text":"blue"},{"json":{"n":1}}],"status":"success","toolUseId":"t"}}"#;
    let thought = Part::Reasoning {
        text: String::new(),
        opaque: vec![state(call), state(found)],
    };
    assert_eq!(parts(&answer), [thought]);

    let request = Request {
        messages: vec![answer.choices[0].message.clone()],
        ..Request::default()
    };
    let sent = Codec::new(Kind::Bedrock).encode(&request, &Target::of("m"), false);
    let sent = String::from_utf8(sent.unwrap().body.to_vec()).unwrap();
    assert!(sent.contains(&format!("[{call},{found}]")), "{sent}");
    check_cuts(&sample(&events));
}

#[test]
fn an_answer_cut_at_any_byte_is_truncated_until_its_reason_to_stop_is_there() {
    check_cuts(&sample(&TEXT));
    check_cuts(&sample(&TOOLS));
}

#[test]
fn ends_are_judged() {
    let nonsense = ("contentBlockDelta", "{");
    let call = (
        "contentBlockDelta",
        r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{}"}}}"#,
    );
    let malformed = ("messageStop", r#"{"stopReason":"malformed_tool_use"}"#);
    for (events, expect) in [
        (&[START, HELLO, END, STOP, METADATA][..], None),
        (&[START, HELLO, STOP], None),
        (&[START, STOP, METADATA], None),
        (&[START, ("yetToCome", r#"{"x":1}"#), HELLO, STOP], None),
        (&[START, nonsense, HELLO, STOP], None),
        (&[], Some(Class::Truncated)),
        (&[START, HELLO, END], Some(Class::Truncated)),
        (&[START, HELLO, METADATA], Some(Class::Truncated)),
        (&[START, nonsense, STOP], Some(Class::Server)),
        // What is lost with a call's beginning cannot be made up.
        (&[START, call, STOP], Some(Class::Server)),
        (&[START, HELLO, malformed], Some(Class::Server)),
    ] {
        let (_, end) = decode(&sample(events).body);
        assert_eq!(end.err().map(|it| it.class), expect, "{events:?}");
    }
}

#[test]
fn exceptions_within_a_stream_have_their_class() {
    let message = r#"{"message":"x"}"#;
    for (last, expect) in [
        (exception("internalServerException", message), Class::Server),
        (
            exception("modelStreamErrorException", message),
            Class::Server,
        ),
        (
            exception("serviceUnavailableException", message),
            Class::Overloaded,
        ),
        (exception("throttlingException", message), Class::KeyLimited),
        (
            exception("validationException", message),
            Class::CallerError,
        ),
        (exception("yetToComeException", message), Class::Server),
        (error("InternalFailure", "x"), Class::Server),
    ] {
        let body = [sample(&[START, HELLO]).body, last].concat();
        let (chunks, end) = decode(&body);
        assert_eq!(chunks.len(), 2);
        let failure = end.unwrap_err();
        assert_eq!((failure.class, &*failure.detail), (expect, "x"));
    }
}

#[test]
fn an_error_told_as_a_plain_body_is_an_error() {
    let (_, end) = decode(br#"{"message":"x"}"#);
    assert_eq!(end.unwrap_err().class, Class::Server);
}

#[test]
fn every_reason_to_stop_has_its_meaning() {
    for (reason, expect) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("guardrail_intervened", FinishReason::ContentFilter),
        ("content_filtered", FinishReason::ContentFilter),
        ("refusal", FinishReason::Refusal),
        ("yet_to_come", FinishReason::Other),
    ] {
        let stop = STOP.1.replace("end_turn", reason);
        let body = sample(&[START, HELLO, ("messageStop", &stop)]).body;
        let (chunks, end) = decode(&body);
        assert_eq!(end, Ok(()));
        assert_eq!(assembled(chunks).choices[0].finish_reason, expect);
    }
}

#[test]
fn a_checksum_that_is_wrong_ends_the_stream() {
    let mut body = sample(&[START, HELLO, STOP]).body;
    let middle = body.len() / 2;
    body[middle] ^= 1;
    let (_, end) = decode(&body);
    assert_eq!(end.unwrap_err().class, Class::Server);
}

proptest! {
    #[test]
    fn damage_never_makes_a_success_of_a_part(
        tools in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        size in 1_usize..300,
    ) {
        let mut body = if tools { sample(&TOOLS) } else { sample(&TEXT) }.body;
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        check_damaged(Kind::Bedrock, &body, size);
    }

    /// Frames that are whole, with payloads that are not what they should be.
    #[test]
    fn nothing_makes_it_panic(
        events in prop::collection::vec((0..TOOLS.len(), any::<prop::sample::Index>(), any::<char>()), 0..12),
        body in prop::collection::vec(any::<u8>(), 0..100),
        size in 1_usize..50,
    ) {
        let mut stream = Vec::new();
        for (which, at, with) in events {
            let (name, payload) = TOOLS[which];
            let at = payload.floor_char_boundary(at.index(payload.len()));
            let changed = format!("{}{with}{}", &payload[..at], &payload[at..]);
            stream.extend(event(name, &changed));
        }
        stream.extend(&body);
        check_damaged(Kind::Bedrock, &stream, size);
        let _: Result<_, Failure> = Codec::new(Kind::Bedrock).decode(&body);
    }
}

#[test]
fn the_class_of_processing_is_told_with_usage() {
    for (name, tier) in [
        ("default", Some(Tier::Standard)),
        ("flex", Some(Tier::Flex)),
        ("priority", Some(Tier::Priority)),
        ("reserved", None),
    ] {
        let served = format!(
            r#""usage":{{"inputTokens":4,"outputTokens":2,"totalTokens":6}},"serviceTier":{{"type":"{name}"}}"#
        );
        let usage = Usage {
            tier,
            ..Usage::of(4, 2, UsageSource::Provider)
        };
        let metadata = format!("{{{served}}}");
        let sample = sample(&[START, HELLO, END, STOP, ("metadata", &metadata)]);
        let (chunks, end) = crate::testing::decode(Kind::Bedrock, [&sample.body[..]]);
        assert_eq!(end, Ok(()));
        assert_eq!(chunks.last(), Some(&Chunk::Usage(usage)));
        let content = r#"{"message":{"role":"assistant","content":[{"text":"hi"}]}}"#;
        let whole = format!(r#"{{"output":{content},"stopReason":"end_turn",{served}}}"#);
        let whole = Codec::new(Kind::Bedrock).decode(whole.as_bytes()).unwrap();
        assert_eq!(whole.usage, Some(usage));
    }
}

#[test]
fn fields_of_the_models_own_answer_are_told() {
    let stop = r#"{"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"END","more":[1]}}"#;
    let sample = sample(&[START, HELLO, END, ("messageStop", stop), METADATA]);
    check_cuts(&sample);
    let (chunks, _) = crate::testing::decode(Kind::Bedrock, [&sample.body[..]]);
    let streamed = assembled(chunks);
    let whole = r#"{"output":{"message":{"content":[{"text":"hello"}]}},"stopReason":"stop_sequence",
        "additionalModelResponseFields":{"stop_sequence":"END","more":[1]}}"#;
    let whole = Codec::new(Kind::Bedrock).decode(whole.as_bytes()).unwrap();
    for answer in [&streamed, &whole] {
        assert_eq!(answer.choices[0].stop_sequence.as_deref(), Some("END"));
        assert_eq!(
            answer.details["additionalModelResponseFields"].get(),
            r#"{"stop_sequence":"END","more":[1]}"#
        );
    }
}

#[test]
fn what_guardrails_did_is_told() {
    let trace = r#"{"guardrail":{"actionReason":"No action."}}"#;
    let usage = r#""usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}"#;
    let metadata = format!(r#"{{{usage},"trace":{trace}}}"#);
    let stop = ("messageStop", r#"{"stopReason":"end_turn"}"#);
    let sample = sample(&[START, HELLO, END, stop, ("metadata", &metadata)]);
    check_cuts(&sample);
    let (chunks, _) = crate::testing::decode(Kind::Bedrock, [&sample.body[..]]);
    let whole = format!(
        r#"{{"output":{{"message":{{"content":[{{"text":"hello"}}]}}}},"stopReason":"end_turn",{usage},"trace":{trace}}}"#
    );
    let whole = Codec::new(Kind::Bedrock).decode(whole.as_bytes()).unwrap();
    for answer in [&assembled(chunks), &whole] {
        assert_eq!(answer.details["trace"].get(), trace);
    }
}
