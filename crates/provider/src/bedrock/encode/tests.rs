use std::time::Duration;

use serde_json::{Value, json};

use crate::chat::{
    CachePlace, CachePoint, Effort, Function, Json, JsonSchema, Message, Reasoning, Request,
    ResponseFormat, Role, Tool, ToolChoice,
};
use crate::codec::{Codec, HttpRequest, Kind, Target};
use crate::{Error, openai};

const CLAUDE: &str = "us.anthropic.claude-opus-4-6-v1:0";

fn encode(request: &Request, stream: bool) -> Result<HttpRequest, Error> {
    Codec::new(Kind::Bedrock).encode(request, &Target::of(CLAUDE), stream)
}

fn body_for(model: &str, request: &Request) -> Value {
    let sent = Codec::new(Kind::Bedrock).encode(request, &Target::of(model), false);
    serde_json::from_slice(&sent.unwrap().body).unwrap()
}

fn request() -> Request {
    Request {
        messages: vec![Message::text(Role::User, "hi")],
        max_output_tokens: Some(100),
        ..Request::default()
    }
}

/// Requests as callers of the compatible edge write them, and what is sent of them.
#[test]
fn what_callers_of_the_compatible_edge_say_is_translated() {
    let hi = json!([{"role": "user", "content": "hi"}]);
    let sent_hi = json!([{"role": "user", "content": [{"text": "hi"}]}]);
    for (asked, sent) in [
        (
            json!({"messages": hi, "max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "stop": ["a", "b"],
                "service_tier": "flex", "metadata": {"team": "x"}}),
            json!({"messages": sent_hi, "serviceTier": {"type": "flex"},
                "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["a", "b"]}}),
        ),
        (
            json!({"messages": hi, "max_tokens": 9, "tool_choice": "required",
            "tools": [
                {"type": "function", "function": {"name": "w", "description": "weather", "strict": true,
                    "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}},
                {"type": "function", "function": {"name": "t"}},
            ]}),
            json!({"messages": sent_hi, "inferenceConfig": {"maxTokens": 9},
            "toolConfig": {"toolChoice": {"any": {}}, "tools": [
                {"toolSpec": {"name": "w", "description": "weather", "strict": true,
                    "inputSchema": {"json": {"type": "object", "properties": {"b": {}, "a": {}}}}}},
                {"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}},
            ]}}),
        ),
        (
            json!({"messages": hi, "max_tokens": 9, "reasoning_effort": "high",
                "response_format": {"type": "json_schema",
                    "json_schema": {"name": "n", "description": "d", "schema": {"type": "object"}}}}),
            json!({"messages": sent_hi, "inferenceConfig": {"maxTokens": 9},
                "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
                "outputConfig": {"effort": "high", "textFormat": {"type": "json_schema", "structure": {
                    "jsonSchema": {"name": "n", "description": "d", "schema": "{\"type\":\"object\"}"}}}}}),
        ),
        // What is no field here goes into the body as it is.
        (
            json!({"messages": hi, "max_tokens": 9, "performanceConfig": {"latency": "optimized"}}),
            json!({"messages": sent_hi, "inferenceConfig": {"maxTokens": 9},
                "performanceConfig": {"latency": "optimized"}}),
        ),
    ] {
        let mut asked = asked;
        asked["model"] = "alias".into();
        let parsed = openai::parse_request(asked.to_string().as_bytes()).unwrap();
        assert_eq!(body_for(CLAUDE, &parsed.request), sent);
    }
}

/// Caches at the provider are found by the bytes of a prompt, so they must not change.
#[test]
fn the_body_is_the_same_to_the_byte() {
    let schema = r#"{"type":"object","properties":{"b":{},"a":{}}}"#;
    let mut request = request();
    request
        .messages
        .insert(0, Message::text(Role::System, "be brief"));
    request.tools = vec![Tool::Function(Function {
        name: "w".to_owned(),
        description: None,
        parameters: Some(Json::parse(schema.to_owned()).unwrap()),
        strict: None,
    })];
    request.tool_choice = Some(ToolChoice::Tool("w".to_owned()));
    let sent = encode(&request, true).unwrap();
    let expect = concat!(
        r#"{"system":[{"text":"be brief"}],"messages":[{"role":"user","content":[{"text":"hi"}]}],"#,
        r#""inferenceConfig":{"maxTokens":100},"toolConfig":{"tools":[{"toolSpec":{"name":"w","#,
        r#""inputSchema":{"json":{"type":"object","properties":{"b":{},"a":{}}}}}}],"#,
        r#""toolChoice":{"tool":{"name":"w"}}}}"#,
    );
    assert_eq!(std::str::from_utf8(&sent.body).unwrap(), expect);
}

#[test]
fn the_request_says_where_and_what() {
    let model = "us.anthropic.claude-opus-4-6-v1%3A0";
    let whole = encode(&request(), false).unwrap();
    assert_eq!(whole.path, format!("/model/{model}/converse"));
    assert_eq!(whole.headers["accept"], "application/json");
    let stream = encode(&request(), true).unwrap();
    assert_eq!(stream.path, format!("/model/{model}/converse-stream"));
    assert_eq!(
        stream.headers["accept"],
        "application/vnd.amazon.eventstream"
    );
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x";
    let codec = Codec::new(Kind::Bedrock);
    let sent = codec.encode(&request(), &Target::of(arn), false).unwrap();
    let encoded = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fx";
    assert_eq!(sent.path, format!("/model/{encoded}/converse"));
}

fn wanted(
    effort: Option<Effort>,
    budget_tokens: Option<u32>,
    include_text: Option<bool>,
) -> Request {
    Request {
        reasoning: Some(Reasoning {
            effort,
            budget_tokens,
            include_text,
        }),
        ..request()
    }
}

#[test]
fn thinking_is_asked_for_in_the_words_of_the_model() {
    for (request, thinking, output) in [
        (
            wanted(Some(Effort::Max), None, Some(true)),
            json!({"type": "adaptive", "display": "summarized"}),
            json!({"effort": "max"}),
        ),
        (
            wanted(None, Some(2048), None),
            json!({"type": "enabled", "budget_tokens": 2048}),
            Value::Null,
        ),
        (
            wanted(Some(Effort::None), None, Some(true)),
            json!({"type": "disabled"}),
            Value::Null,
        ),
        (wanted(None, None, Some(true)), Value::Null, Value::Null),
    ] {
        let body = body_for(CLAUDE, &request);
        assert_eq!(body["additionalModelRequestFields"]["thinking"], thinking);
        assert_eq!(body["outputConfig"], output);
    }
    // A profile's name says nothing; what it stands for is known by `base_model`.
    let profile = Target {
        base_model: "claude-haiku-4-5",
        ..Target::of("arn:aws:bedrock:us-east-1:1:application-inference-profile/x")
    };
    let request = Request {
        max_output_tokens: Some(4_000),
        ..wanted(Some(Effort::Low), None, None)
    };
    let encoded = Codec::new(Kind::Bedrock).encode(&request, &profile, false);
    let body: Value = serde_json::from_slice(&encoded.unwrap().body).unwrap();
    assert_eq!(
        body["additionalModelRequestFields"]["thinking"],
        json!({"type": "enabled", "budget_tokens": 1024})
    );
    let other = body_for(
        "openai.gpt-oss-120b-1:0",
        &wanted(Some(Effort::Low), None, None),
    );
    assert_eq!(other["outputConfig"], json!({"effort": "low"}));
    assert_eq!(other.get("additionalModelRequestFields"), None);
    for (request, field) in [
        (wanted(Some(Effort::None), None, None), "reasoning.effort"),
        (wanted(None, Some(2048), None), "reasoning.max_tokens"),
    ] {
        let target = Target::of("amazon.nova-pro-v1:0");
        let error = Codec::new(Kind::Bedrock).encode(&request, &target, false);
        assert_eq!(error.unwrap_err().field(), Some(field));
    }
}

#[test]
fn what_only_the_model_knows_stands_beside_how_to_think() {
    let mut request = wanted(None, Some(2048), None);
    let fields = json!({"top_k": 5});
    let options = &mut request.provider_options;
    options.insert("additionalModelRequestFields".to_owned(), fields);
    assert_eq!(
        body_for(CLAUDE, &request)["additionalModelRequestFields"],
        json!({"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 2048}})
    );
    for (fields, field) in [
        (json!(1), "provider_options.additionalModelRequestFields"),
        (
            json!({"thinking": 1}),
            "provider_options.additionalModelRequestFields.thinking",
        ),
    ] {
        let options = &mut request.provider_options;
        options.insert("additionalModelRequestFields".to_owned(), fields);
        let error = encode(&request, false).unwrap_err();
        assert_eq!(error.field(), Some(field));
    }
}

#[test]
fn cache_points_stand_after_what_they_cache() {
    let mut request = request();
    request.messages.insert(0, Message::text(Role::System, "s"));
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
    ];
    let body = body_for(CLAUDE, &request);
    let usual = json!({"cachePoint": {"type": "default"}});
    let hour = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    assert_eq!(body["toolConfig"]["tools"][1], hour);
    assert_eq!(body["system"], json!([{"text": "s"}, usual]));
    assert_eq!(
        body["messages"][0]["content"],
        json!([{"text": "hi"}, usual])
    );
}

/// What is refused, and what is left of it where the policy says to leave it out.
#[test]
fn what_has_no_words_there_is_refused_by_name_or_left_out_and_told() {
    type Change = fn(&mut Request);
    let changes: [(&str, Change); 14] = [
        ("choice_count", |it| it.choices = Some(2)),
        ("top_k", |it| it.top_k = Some(2)),
        ("seed", |it| it.seed = Some(1)),
        ("frequency_penalty", |it| it.frequency_penalty = Some(0.5)),
        ("presence_penalty", |it| it.presence_penalty = Some(0.5)),
        ("logit_bias", |it| {
            it.logit_bias.insert("1".to_owned(), 1.0);
        }),
        ("log_probs", |it| it.top_logprobs = Some(1)),
        ("parallel_tool_calls", |it| {
            it.parallel_tool_calls = Some(false)
        }),
        ("user", |it| it.user = Some("ann".to_owned())),
        ("tool_choice", |it| it.tool_choice = Some(ToolChoice::None)),
        ("temperature", |it| it.temperature = Some(1.5)),
        ("service_tier", |it| {
            it.service_tier = Some("auto".to_owned())
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
        ..Target::of(CLAUDE)
    };
    for (field, change) in changes {
        let mut request = request();
        change(&mut request);
        let error = encode(&request, false).unwrap_err();
        assert_eq!(error.field(), Some(field));
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let sent = Codec::new(Kind::Bedrock).encode(&request, &dropping, false);
        let warnings = sent.unwrap().warnings;
        let told: Vec<_> = warnings.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(told, [field]);
    }
}

#[test]
fn provider_options_replace_no_field_of_the_gateway() {
    for key in [
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "outputConfig",
        "modelId",
    ] {
        let mut request = request();
        request
            .provider_options
            .insert(key.to_owned(), json!("evil"));
        let error = encode(&request, true).unwrap_err();
        let expect = format!("provider_options.{key}");
        assert_eq!(error.field(), Some(expect.as_str()));
    }
    let mut request = request();
    request.response_format = Some(ResponseFormat::JsonSchema(JsonSchema {
        name: "n".to_owned(),
        description: None,
        schema: None,
        strict: None,
    }));
    let error = encode(&request, true).unwrap_err();
    assert_eq!(error.field(), Some("response_format.json_schema.schema"));
}

#[test]
fn calls_are_not_told_without_their_tools() {
    let asked = json!({"model": "m", "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "blue"},
        {"role": "tool", "tool_call_id": "b", "content": "red"},
    ]});
    let parsed = openai::parse_request(asked.to_string().as_bytes()).unwrap();
    let encoded = encode(&parsed.request, false).unwrap();
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(
        body["toolConfig"],
        json!({"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}]})
    );
    assert_eq!(encoded.warnings[0].field, "tools");
}
