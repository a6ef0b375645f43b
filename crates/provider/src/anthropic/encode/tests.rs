use std::time::Duration;

use serde_json::{Value, json};

use crate::chat::{
    CachePlace, CachePoint, Effort, Function, Json, Message, Reasoning, Request, ResponseFormat,
    Role, Tool,
};
use crate::codec::{Codec, HttpRequest, Kind, Target};
use crate::{Error, openai};

fn encode(request: &Request, stream: bool) -> Result<HttpRequest, Error> {
    Codec::new(Kind::Anthropic).encode(request, &Target::of("claude"), stream)
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&encode(request, false).unwrap().body).unwrap()
}

fn request() -> Request {
    Request {
        messages: vec![Message::text(Role::User, "hi")],
        max_output_tokens: Some(100),
        ..Request::default()
    }
}

/// Requests as callers of the compatible edge write them, and what is sent of them beside the model.
#[test]
fn what_callers_of_the_compatible_edge_say_is_translated() {
    let hi = json!([{"role": "user", "content": "hi"}]);
    let sent_hi = json!([{"role": "user", "content": [{"type": "text", "text": "hi"}]}]);
    for (asked, sent) in [
        (
            json!({"messages": hi, "max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "top_k": 7,
                "stop": ["a", "b"], "user": "u", "service_tier": "auto", "metadata": {"team": "x"}}),
            json!({"messages": sent_hi, "max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "top_k": 7,
                "stop_sequences": ["a", "b"], "metadata": {"user_id": "u"}, "service_tier": "auto"}),
        ),
        (
            json!({"messages": hi, "max_tokens": 9, "tool_choice": "required", "parallel_tool_calls": false,
            "tools": [
                {"type": "function", "function": {"name": "w", "description": "weather", "strict": true,
                    "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}},
                {"type": "function", "function": {"name": "t"}},
            ]}),
            json!({"messages": sent_hi, "max_tokens": 9,
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "tools": [
                {"name": "w", "description": "weather", "strict": true,
                    "input_schema": {"type": "object", "properties": {"b": {}, "a": {}}}},
                {"name": "t", "input_schema": {"type": "object"}},
            ]}),
        ),
        (
            json!({"messages": hi, "max_tokens": 9, "reasoning_effort": "high",
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}}),
            json!({"messages": sent_hi, "max_tokens": 9, "thinking": {"type": "adaptive"},
                "output_config": {"effort": "high",
                    "format": {"type": "json_schema", "schema": {"type": "object"}}}}),
        ),
        // What is no field here goes into the body as it is.
        (
            json!({"messages": hi, "max_tokens": 9, "inference_geo": "eu"}),
            json!({"messages": sent_hi, "max_tokens": 9, "inference_geo": "eu"}),
        ),
        // The values that mean nothing elsewhere than where they come from mean nothing here.
        (
            json!({"messages": hi, "max_tokens": 9, "n": 1, "frequency_penalty": 0, "presence_penalty": 0,
                "logprobs": false, "response_format": {"type": "text"}}),
            json!({"messages": sent_hi, "max_tokens": 9}),
        ),
    ] {
        let mut asked = asked;
        asked["model"] = "alias".into();
        let parsed = openai::parse_request(asked.to_string().as_bytes()).unwrap();
        let mut sent = sent;
        sent["model"] = "claude".into();
        assert_eq!(body(&parsed.request), sent);
    }
}

/// Caches at the provider are found by the bytes of a prompt, so they must not change.
#[test]
fn the_body_is_the_same_to_the_byte() {
    let schema = r#"{"type":"object","properties":{"b":{},"a":{}}}"#;
    let tool = Tool::Function(Function {
        name: "w".to_owned(),
        description: None,
        parameters: Some(Json::parse(schema.to_owned()).unwrap()),
        strict: None,
    });
    let mut request = request();
    request
        .messages
        .insert(0, Message::text(Role::System, "be brief"));
    request.tools = vec![tool];
    request.provider_options.insert("z".to_owned(), json!(1));
    request.provider_options.insert("a".to_owned(), json!(2));
    let sent = encode(&request, true).unwrap();
    let expect = concat!(
        r#"{"model":"claude","max_tokens":100,"system":[{"type":"text","text":"be brief"}],"#,
        r#""messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"#,
        r#""tools":[{"name":"w","input_schema":{"type":"object","properties":{"b":{},"a":{}}}}],"#,
        r#""stream":true,"a":2,"z":1}"#,
    );
    assert_eq!(std::str::from_utf8(&sent.body).unwrap(), expect);
}

#[test]
fn the_request_says_where_and_what() {
    let mut request = request();
    let beta = json!(["context-1m-2025-08-07", "mcp-client-2025-04-04"]);
    request
        .provider_options
        .insert("anthropic_beta".to_owned(), beta);
    let sent = encode(&request, true).unwrap();
    assert_eq!((sent.method.as_str(), &*sent.path), ("POST", "/messages"));
    assert_eq!(sent.headers["content-type"], "application/json");
    assert_eq!(sent.headers["accept"], "text/event-stream");
    assert_eq!(sent.headers["anthropic-version"], "2023-06-01");
    assert_eq!(
        sent.headers["anthropic-beta"],
        "context-1m-2025-08-07,mcp-client-2025-04-04"
    );
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(body.get("anthropic_beta"), None);
    for wrong in [json!("x"), json!([]), json!(["a\nb"]), json!([1])] {
        request
            .provider_options
            .insert("anthropic_beta".to_owned(), wrong);
        let error = encode(&request, true).unwrap_err();
        assert_eq!(error.field(), Some("provider_options.anthropic_beta"));
    }
}

#[test]
fn thinking_is_asked_for_by_effort_or_budget() {
    let wanted = |effort, budget_tokens, include_text| Reasoning {
        effort,
        budget_tokens,
        include_text,
    };
    for (wanted, thinking, effort) in [
        (
            wanted(Some(Effort::Max), None, Some(true)),
            json!({"type": "adaptive", "display": "summarized"}),
            json!({"effort": "max"}),
        ),
        (
            wanted(None, Some(2048), Some(false)),
            json!({"type": "enabled", "budget_tokens": 2048, "display": "omitted"}),
            Value::Null,
        ),
        (
            wanted(Some(Effort::Low), Some(2048), None),
            json!({"type": "enabled", "budget_tokens": 2048}),
            json!({"effort": "low"}),
        ),
        (
            wanted(Some(Effort::None), None, None),
            json!({"type": "disabled"}),
            Value::Null,
        ),
        (
            wanted(None, Some(0), None),
            json!({"type": "disabled"}),
            Value::Null,
        ),
        (wanted(None, None, Some(true)), Value::Null, Value::Null),
    ] {
        let request = Request {
            reasoning: Some(wanted),
            ..request()
        };
        let body = body(&request);
        assert_eq!(body["thinking"], thinking, "{wanted:?}");
        assert_eq!(body["output_config"], effort, "{wanted:?}");
    }
}

#[test]
fn cache_points_become_cache_controls_the_last_four_of_them() {
    let mut request = request();
    request.messages = vec![
        Message::text(Role::System, "s"),
        Message::text(Role::User, "a"),
        Message::text(Role::Assistant, "b"),
        Message::text(Role::User, "c"),
    ];
    request.tools = vec![Tool::Function(Function {
        name: "w".to_owned(),
        description: None,
        parameters: None,
        strict: None,
    })];
    let after = |after, seconds: Option<u64>| CachePoint {
        after,
        time_to_live: seconds.map(Duration::from_secs),
    };
    let part = |message| CachePlace::Part { message, part: 0 };
    request.cache_points = vec![
        after(CachePlace::Tool(0), Some(3600)),
        after(part(0), None),
        after(part(1), Some(60)),
        after(part(3), Some(301)),
    ];
    let hour = json!({"type": "ephemeral", "ttl": "1h"});
    let usual = json!({"type": "ephemeral"});
    let sent = body(&request);
    assert_eq!(sent["tools"][0]["cache_control"], hour);
    assert_eq!(sent["system"][0]["cache_control"], usual);
    let at = |sent: &Value, message: usize| {
        sent["messages"][message]["content"][0]
            .get("cache_control")
            .cloned()
    };
    assert_eq!(at(&sent, 0), Some(usual));
    assert_eq!(at(&sent, 1), None);
    assert_eq!(at(&sent, 2), Some(hour));
    request.cache_points.insert(3, after(part(2), None));
    let sent = body(&request);
    assert_eq!(sent["tools"][0].get("cache_control"), None);
    assert!(at(&sent, 1).is_some());
}

/// What is refused, and what is left of it where the policy says to leave it out.
#[test]
fn what_has_no_words_there_is_refused_by_name_or_left_out_and_told() {
    type Change = fn(&mut Request);
    let changes: [(&str, Change); 12] = [
        ("choice_count", |it| it.choices = Some(2)),
        ("seed", |it| it.seed = Some(1)),
        ("frequency_penalty", |it| it.frequency_penalty = Some(0.5)),
        ("presence_penalty", |it| it.presence_penalty = Some(0.5)),
        ("logit_bias", |it| {
            it.logit_bias.insert("1".to_owned(), 1.0);
        }),
        ("log_probs", |it| it.logprobs = Some(true)),
        ("temperature", |it| it.temperature = Some(1.5)),
        ("service_tier", |it| {
            it.service_tier = Some("flex".to_owned())
        }),
        ("reasoning.effort", |it| {
            it.reasoning = Some(Reasoning {
                effort: Some(Effort::Minimal),
                ..Reasoning::default()
            });
        }),
        ("reasoning.max_tokens", |it| {
            it.reasoning = Some(Reasoning {
                budget_tokens: Some(100),
                ..Reasoning::default()
            });
        }),
        ("response_format.json_object", |it| {
            it.response_format = Some(ResponseFormat::JsonObject);
        }),
        ("messages[0].name", |it| {
            it.messages[0].name = Some("ann".to_owned())
        }),
    ];
    let dropping = Target {
        drop_unsupported: true,
        ..Target::of("claude")
    };
    for (field, change) in changes {
        let mut request = request();
        change(&mut request);
        let error = encode(&request, false).unwrap_err();
        assert_eq!(error.field(), Some(field));
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let sent = Codec::new(Kind::Anthropic).encode(&request, &dropping, false);
        let warnings = sent.unwrap().warnings;
        let told: Vec<_> = warnings.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(told, [field]);
    }
}

#[test]
fn what_is_needed_must_be_there() {
    let mut unlimited = request();
    unlimited.max_output_tokens = None;
    let error = encode(&unlimited, false).unwrap_err();
    assert_eq!(error.field(), Some("max_output_tokens"));
}

#[test]
fn provider_options_replace_no_field_of_the_gateway() {
    let full = json!({"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "max_tokens": 1, "temperature": 1, "top_p": 1, "stop": "s", "user": "u", "reasoning_effort": "low",
        "tools": [{"type": "function", "function": {"name": "t"}}], "tool_choice": "auto", "top_k": 1,
        "service_tier": "auto"});
    let full = openai::parse_request(full.to_string().as_bytes())
        .unwrap()
        .request;
    let written = serde_json::from_slice::<Value>(&encode(&full, true).unwrap().body).unwrap();
    let written = written.as_object().unwrap();
    assert_eq!(written.len(), 15);
    for key in written.keys() {
        let mut request = request();
        request.provider_options.insert(key.clone(), json!("evil"));
        let error = encode(&request, true).unwrap_err();
        let expect = format!("provider_options.{key}");
        assert_eq!(error.field(), Some(expect.as_str()));
    }
}

#[test]
fn a_tools_name_with_its_result_is_no_speakers() {
    let parsed = crate::openai::parse_request(
        json!({"model": "m", "max_tokens": 9, "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "name": "look", "content": "blue"},
        ]})
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    for kind in Kind::ALL {
        let encoded = Codec::new(kind).encode(&parsed.request, &Target::of("m"), false);
        assert!(encoded.is_ok(), "{kind:?}: {encoded:?}");
    }
}

#[test]
fn instructions_that_come_late_are_not_moved_in_silence() {
    let sent = |kind, rest: &[Value]| {
        let mut messages = vec![
            json!({"role": "system", "content": "first"}),
            json!({"role": "user", "content": "hi"}),
            json!({"role": "assistant", "content": "yes"}),
        ];
        messages.extend_from_slice(rest);
        let asked = json!({"model": "m", "max_tokens": 9, "messages": messages});
        let parsed = openai::parse_request(asked.to_string().as_bytes()).unwrap();
        let sent = Codec::new(kind)
            .encode(&parsed.request, &Target::of("m"), false)
            .unwrap();
        let told: Vec<_> = sent.warnings.iter().map(|it| it.field.clone()).collect();
        (serde_json::from_slice::<Value>(&sent.body).unwrap(), told)
    };
    let late = json!({"role": "developer", "content": "late"});
    let (body, told) = sent(
        Kind::Anthropic,
        &[late.clone(), json!({"role": "user", "content": "on"})],
    );
    assert_eq!(body["system"].as_array().unwrap().len(), 2);
    assert_eq!(told, ["messages[3].role"]);
    // Behind the last answer there must be something to answer.
    let (body, told) = sent(Kind::Anthropic, std::slice::from_ref(&late));
    assert_eq!(body["system"].as_array().unwrap().len(), 1);
    assert_eq!(body["messages"][2]["role"], "user");
    assert_eq!(told, ["messages[3].role"]);
    let (body, told) = sent(Kind::Gemini, &[late]);
    assert_eq!(body["contents"][2]["role"], "user");
    assert_eq!(told, ["messages[3].role"]);
    let (_, told) = sent(Kind::Bedrock, &[json!({"role": "user", "content": "on"})]);
    assert!(told.is_empty());
}
