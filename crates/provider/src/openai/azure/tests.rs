use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::chat::{Aside, Chunk, FinishReason, Message, Request, Role, Usage, UsageSource};
use crate::codec::{Codec, Kind, Outgoing, Target};
use crate::failure::{Class, Failure};
use crate::openai::{ChunkRenderer, render_response};
use crate::testing;

const SAMPLE: &[u8] = include_bytes!("../../../samples/azure.sse");

fn codec() -> Codec {
    Codec::new(Kind::AzureOpenAi)
}

#[test]
fn each_interface_has_its_address() {
    let request = Request {
        messages: vec![
            Message::text(Role::Developer, "be brief"),
            Message::text(Role::User, "hi"),
        ],
        max_output_tokens: Some(5),
        ..Request::default()
    };
    for (api_version, path) in [
        (None, "/openai/v1/chat/completions"),
        (
            Some("preview"),
            "/openai/v1/chat/completions?api-version=preview",
        ),
        (
            Some("2024-10-21"),
            "/openai/deployments/gpt%204o%2Feu/chat/completions?api-version=2024-10-21",
        ),
    ] {
        let target = Target {
            api_version,
            ..Target::of("gpt 4o/eu")
        };
        let sent = codec().encode(&request, &target, true).unwrap();
        assert_eq!(&*sent.path, path);
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body["model"], "gpt 4o/eu");
        assert_eq!(body["max_completion_tokens"], 5);
        assert_eq!(body["messages"][0]["role"], "system");
        assert_eq!(body["stream_options"]["include_usage"], true);
    }
}

#[test]
fn the_credential_says_by_its_form_where_it_belongs() {
    for (credential, name, value) in [
        ("0a1bsecret", "api-key", "0a1bsecret"),
        ("eyJ.secret", "authorization", "Bearer eyJ.secret"),
    ] {
        let mut headers = HeaderMap::new();
        let mut outgoing = Outgoing {
            method: &Method::POST,
            host: "h",
            path: "/",
            query: "",
            headers: &mut headers,
            body: b"",
        };
        codec()
            .authorize(&mut outgoing, credential, SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(
            (headers.len(), &headers[name]),
            (1, &HeaderValue::from_static(value))
        );
        assert!(!format!("{headers:?}").contains("secret"));
    }
}

/// What a filter says about the prompt comes before the answer begins, and about the answer in
/// between; neither is a part of it.
#[test]
fn annotations_of_the_filter_do_not_disturb_a_stream() {
    let mut decoder = codec().stream_decoder(1);
    let mut chunks = Vec::new();
    decoder.push(SAMPLE, &mut chunks).unwrap();
    decoder.finish(&mut chunks).unwrap();
    assert_eq!(decoder.malformed(), 0);
    chunks.retain(|it| !matches!(it, Chunk::Aside(_)));
    assert_eq!(
        chunks[0],
        Chunk::Start {
            id: "chatcmpl-Az1".to_owned(),
            model: "gpt-4o-2024-11-20".to_owned(),
        }
    );
    assert_eq!(chunks.len(), 6, "{chunks:?}");
    assert_eq!(
        chunks[5],
        Chunk::Usage(Usage::of(11, 3, UsageSource::Provider))
    );
}

#[test]
fn an_error_may_follow_the_annotations() {
    let first = SAMPLE.split(|byte| *byte == b'\n').next().unwrap();
    let mut decoder = codec().stream_decoder(1);
    let mut chunks = Vec::new();
    decoder
        .push(&[first, b"\n\n"].concat(), &mut chunks)
        .unwrap();
    let error = br#"data: {"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400}}"#;
    let failure = decoder
        .push(&[&error[..], b"\n\n"].concat(), &mut chunks)
        .unwrap_err();
    assert_eq!(failure.class, Class::ContentFilter);
    let is_aside = |it: &Chunk| matches!(it, Chunk::Aside(_));
    assert!(chunks.iter().all(is_aside), "{chunks:?}");
}

#[test]
fn an_answer_that_the_filter_withheld_is_one() {
    let body = br#"{"id":"1","model":"m","choices":[{"index":0,"finish_reason":"content_filter",
        "content_filter_results":{"hate":{"filtered":true,"severity":"high"}}}],
        "usage":{"prompt_tokens":4,"completion_tokens":0,"total_tokens":4}}"#;
    let response = codec().decode(body).unwrap();
    assert_eq!(
        response.choices[0].finish_reason,
        FinishReason::ContentFilter
    );
    assert_eq!(response.choices[0].message.parts, []);
}

fn classify(status: u16, headers: &HeaderMap, body: &str) -> Failure {
    codec().classify(
        StatusCode::from_u16(status).unwrap(),
        headers,
        body.as_bytes(),
        SystemTime::UNIX_EPOCH,
    )
}

#[test]
fn failures_are_told_apart() {
    for (status, body, expect) in [
        (
            400,
            r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,
                "innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#,
            Class::ContentFilter,
        ),
        (
            429,
            r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current pricing tier. Please retry after 6 seconds."}}"#,
            Class::KeyLimited,
        ),
        (
            429,
            r#"{"error":{"code":"429","message":"The system is currently experiencing high demand and cannot process your request."}}"#,
            Class::Overloaded,
        ),
        (
            429,
            r#"{"error":{"code":"429","message":"The token budget is exceeded by request parameters."}}"#,
            Class::CallerError,
        ),
        (
            404,
            r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
            Class::Server,
        ),
        (
            401,
            r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}"#,
            Class::KeyDead,
        ),
        (
            401,
            r#"{ "statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, audience is incorrect, or have expired." }"#,
            Class::KeyDead,
        ),
    ] {
        assert_eq!(
            classify(status, &HeaderMap::new(), body).class,
            expect,
            "{body}"
        );
    }
}

#[test]
fn a_wait_below_zero_is_none() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("-1"));
    headers.insert("retry-after-ms", HeaderValue::from_static("-1"));
    assert_eq!(classify(429, &headers, "").retry_after, None);
}

#[test]
fn what_the_filter_thinks_is_told_as_azure_spells_it() {
    let (chunks, end) = testing::decode(Kind::AzureOpenAi, [SAMPLE]);
    assert_eq!(end, Ok(()));
    let told = chunks
        .iter()
        .filter(|it| matches!(it, Chunk::Aside(Aside::Detail { .. })));
    // Of the prompt, and of the answer: what every event says again is told once.
    assert_eq!(told.count(), 2);
    let mut renderer = ChunkRenderer::new("x", "m", 7, false);
    let mut out = Vec::new();
    chunks.iter().for_each(|it| renderer.chunk(it, &mut out));
    let events = String::from_utf8(out).unwrap();
    let events: Vec<Value> = events
        .lines()
        .filter_map(|it| it.strip_prefix("data: "))
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert!(events.iter().all(|it| it["choices"][0]["index"] == 0));
    let safe = json!({"hate": {"filtered": false, "severity": "safe"}, "violence": {"filtered": false, "severity": "safe"}});
    assert_eq!(
        events[0]["prompt_filter_results"][0]["content_filter_results"],
        safe
    );
    let of_choice: Vec<_> = events
        .iter()
        .filter_map(|it| it["choices"][0].get("content_filter_results"))
        .collect();
    assert_eq!(of_choice, [&safe]);

    let choice = json!({"index": 0, "message": {"role": "assistant", "content": "Good day"},
        "finish_reason": "stop", "content_filter_results": safe});
    let prompt = json!([{"prompt_index": 0, "content_filter_results": {}}]);
    let whole =
        json!({"id": "x", "model": "m", "choices": [choice], "prompt_filter_results": prompt});
    let whole = codec().decode(whole.to_string().as_bytes()).unwrap();
    let told: Value = serde_json::from_slice(&render_response(&whole, 7)).unwrap();
    assert_eq!(told["prompt_filter_results"], prompt);
    assert_eq!(told["choices"][0]["content_filter_results"], safe);
    let of_stream = testing::assembled(chunks);
    assert_eq!(of_stream.choices[0].details, whole.choices[0].details);
    assert_eq!(of_stream.fingerprint.as_deref(), Some("fp_b705f0c291"));
}
