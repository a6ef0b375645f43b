use std::collections::HashSet;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::call_id;
use crate::chat::{
    Assembler, Document, DocumentSource, FinishReason, Message, Opaque, Part, Request, Role,
    Source, ToolCall, Usage, UsageSource,
};
use crate::codec::{Codec, Kind, Target};
use crate::failure::Class;
use crate::{Error, openai};

const SAMPLE: &[u8] = include_bytes!("../../../samples/mistral.sse");

fn codec() -> Codec {
    Codec::new(Kind::Mistral)
}

/// What is sent for what a caller of the compatible edge says.
fn sent(said: Value, stream: bool) -> Result<Value, Error> {
    send(&request(said), stream)
}

fn request(mut said: Value) -> Request {
    said["model"] = json!("m");
    if said.get("messages").is_none() {
        said["messages"] = json!([{"role": "user", "content": "hi"}]);
    }
    openai::parse_request(&serde_json::to_vec(&said).unwrap())
        .unwrap()
        .request
}

fn send(request: &Request, stream: bool) -> Result<Value, Error> {
    let sent = codec().encode(request, &Target::of("mistral-large-latest"), stream)?;
    assert_eq!(&*sent.path, "/chat/completions");
    Ok(serde_json::from_slice(&sent.body).unwrap())
}

#[test]
fn ids_take_the_form_that_is_asked_for_and_stay_apart() {
    assert_eq!(call_id("D681PevKs"), "D681PevKs");
    let mut seen = HashSet::new();
    for id in [
        "",
        "call_1",
        "call_2",
        "D681PevK_",
        "D681PevK",
        "é",
        "0123456789",
    ] {
        let short = call_id(id).into_owned();
        assert_eq!(short.len(), 9, "{id}");
        assert!(
            short.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{short}"
        );
        assert_eq!(call_id(id), short);
        assert!(seen.insert(short), "{id}");
    }
}

#[test]
fn settings_take_their_names_here_and_nothing_else_is_sent() {
    let said = json!({
        "max_completion_tokens": 100, "temperature": 0.25, "top_p": 0.5, "stop": ["a"], "seed": 7, "n": 2,
        "frequency_penalty": -0.5, "presence_penalty": 1.0, "logprobs": true, "top_logprobs": 3,
        "tools": [
            {"type": "function", "function": {"name": "w", "parameters": {"type": "object"}, "strict": true}},
            {"type": "function", "function": {"name": "x"}},
        ],
        "tool_choice": "required", "parallel_tool_calls": false, "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        "safe_prompt": true, "metadata": {"team": "red"},
    });
    assert_eq!(
        sent(said, true).unwrap(),
        json!({
            "model": "mistral-large-latest", "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 100, "temperature": 0.25, "top_p": 0.5, "stop": ["a"], "random_seed": 7, "n": 2,
            "frequency_penalty": -0.5, "presence_penalty": 1.0, "logprobs": true, "top_logprobs": 3,
            "tools": [
                {"type": "function", "function": {"name": "w", "parameters": {"type": "object"}, "strict": true}},
                {"type": "function", "function": {"name": "x", "parameters": {"type": "object", "properties": {}}}},
            ],
            "tool_choice": "any", "parallel_tool_calls": false, "reasoning_effort": "high",
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
            "safe_prompt": true, "stream": true,
        })
    );
    let choice = json!({"type": "function", "function": {"name": "w"}});
    let sent = sent(json!({"tool_choice": choice}), false).unwrap();
    assert_eq!(sent["tool_choice"], choice);
}

#[test]
fn a_conversation_takes_the_forms_of_this_provider() {
    let mut request = request(json!({"messages": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "BAU=", "format": "wav"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,Bg=="}},
        ]},
        {"role": "assistant", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "w", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]}));
    request.messages[1].parts.push(Part::Document(Document {
        source: DocumentSource::File(Source::Url("https://example.com/b.pdf".to_owned())),
        title: None,
        citations: false,
    }));
    let id = call_id("call_1");
    assert_eq!(
        send(&request, false).unwrap()["messages"],
        json!([
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": "BAU="},
                {"type": "document_url", "document_url": "data:application/pdf;base64,Bg==", "document_name": "a.pdf"},
                {"type": "document_url", "document_url": "https://example.com/b.pdf"},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": id, "type": "function", "function": {"name": "w", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": id, "content": "rain"},
            {"role": "assistant", "content": "no", "prefix": true},
        ])
    );
}

#[test]
fn only_a_last_message_of_the_assistants_is_a_prefix() {
    let said = json!({"messages": [
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "w", "arguments": "{}"}},
        ]},
    ]});
    let sent = sent(said, false).unwrap();
    for message in sent["messages"].as_array().unwrap() {
        assert_eq!(message.get("prefix"), None);
    }
}

#[test]
fn a_streamed_answer_in_parts_is_put_together() {
    let mut decoder = codec().stream_decoder(1);
    let mut chunks = Vec::new();
    decoder.push(SAMPLE, &mut chunks).unwrap();
    decoder.finish(&mut chunks).unwrap();
    assert_eq!(decoder.malformed(), 0);
    let mut assembler = Assembler::new();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    let mut response = assembler.finish().unwrap();
    assert_eq!(
        response.usage,
        Some(Usage::of(96, 43, UsageSource::Provider))
    );
    let choice = response.choices.remove(0);
    assert_eq!(choice.finish_reason, FinishReason::ToolCalls);
    let call = |id: &str, name: &str, arguments: &str| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            opaque: vec![],
        })
    };
    assert_eq!(
        choice.message.parts,
        [
            thought(
                "They want the weather in Köln.",
                vec![state("mistral", "c2lnbmVk")]
            ),
            Part::Text("Let me look.".to_owned()),
            call("D681PevKs", "weather", r#"{"city": "Köln"}"#),
            call("a1B2c3D4e", "time", "{}"),
        ]
    );
}

fn thought(text: &str, opaque: Vec<Opaque>) -> Part {
    Part::Reasoning {
        text: text.to_owned(),
        opaque,
    }
}

fn state(provider: &str, signature: &'static str) -> Opaque {
    Opaque {
        provider: provider.to_owned(),
        kind: "signature".to_owned(),
        bytes: signature.into(),
    }
}

#[test]
fn a_signed_thought_goes_back_as_it_came_and_another_does_not() {
    let content = json!([
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "c2ln"},
        {"type": "text", "text": "yes"},
    ]);
    let answer = json!({"id": "1", "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "model_length"},
    ]});
    let response = codec()
        .decode(&serde_json::to_vec(&answer).unwrap())
        .unwrap();
    assert_eq!(response.choices[0].finish_reason, FinishReason::Length);
    let mut message = response.choices[0].message.clone();
    message.parts.push(thought("unsigned", vec![]));
    message
        .parts
        .push(thought("foreign", vec![state("anthropic", "x")]));
    let request = Request {
        messages: vec![message, Message::text(Role::User, "go on")],
        ..Request::default()
    };
    assert_eq!(
        send(&request, false).unwrap()["messages"][0]["content"],
        content
    );
}

#[test]
fn what_it_does_not_know_is_refused_by_name_or_left_out() {
    for (said, field) in [
        (json!({"logit_bias": {"7": 5}}), "logit_bias"),
        (json!({"user": "u"}), "user"),
        (
            json!({"messages": [{"role": "user", "name": "ann", "content": "hi"}]}),
            "messages[0].name",
        ),
    ] {
        let request = request(said);
        assert_eq!(send(&request, false).unwrap_err().field(), Some(field));
        let target = Target {
            drop_unsupported: true,
            ..Target::of("m")
        };
        let sent = codec().encode(&request, &target, false).unwrap();
        assert_eq!(sent.warnings[0].field, field);
        assert_eq!(
            sent.body,
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#
        );
    }
    let mut request = request(json!({}));
    request
        .provider_options
        .insert("random_seed".to_owned(), json!(1));
    let error = send(&request, false).unwrap_err();
    assert_eq!(error.field(), Some("provider_options.random_seed"));
}

#[test]
fn failures_are_told_apart() {
    for (status, body, expect, public) in [
        (
            429,
            r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}"#,
            Class::Overloaded,
            "the provider is overloaded; retry later",
        ),
        (
            429,
            r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}"#,
            Class::KeyLimited,
            "the provider's rate limit is reached; retry later",
        ),
        (
            400,
            r#"{"object":"error","message":"Invalid model: nope","type":"invalid_model","param":null,"code":"1500"}"#,
            Class::Server,
            "the provider failed",
        ),
        (
            400,
            r#"{"object":"error","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","param":null,"code":"3051"}"#,
            Class::ContextTooLong,
            "the conversation is longer than the model's context window; shorten it or choose a model with a larger window",
        ),
        (
            422,
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","messages",0,"name"],"msg":"Extra inputs are not permitted","input":"a secret"}]},"type":"invalid_request_error","param":null,"code":null}"#,
            Class::CallerError,
            "the provider rejected the request as invalid: field body.messages.0.name (invalid_request_error)",
        ),
        (
            422,
            r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{"x":"a secret"}}]}"#,
            Class::CallerError,
            "the provider rejected the request as invalid: field body.messages",
        ),
        (
            401,
            r#"{"detail":"Unauthorized"}"#,
            Class::KeyDead,
            "the gateway's credential for the provider is not usable",
        ),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let now = SystemTime::UNIX_EPOCH;
        let failure = codec().classify(status, &HeaderMap::new(), body.as_bytes(), now);
        assert_eq!(
            (failure.class, &*failure.public_message()),
            (expect, public),
            "{body}"
        );
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
}
