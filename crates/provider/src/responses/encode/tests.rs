use serde_json::{Value, json};

use crate::chat::{
    Audio, AudioOutput, Effort, JsonSchema, Message, Modality, Part, ProviderTool, Reasoning,
    Request, ResponseFormat, Role, Tool, ToolCall,
};
use crate::codec::{Api, Codec, HttpRequest, Kind, Target};
use crate::{Error, openai};

fn codec(kind: Kind) -> Codec {
    Codec::new(kind).over(Api::Responses).unwrap()
}

fn encode(request: &Request, stream: bool) -> Result<HttpRequest, Error> {
    codec(Kind::OpenAi).encode(request, &Target::of("gpt-5.4"), stream)
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&encode(request, false).unwrap().body).unwrap()
}

fn request() -> Request {
    of(vec![Message::text(Role::User, "hi")])
}

fn of(messages: Vec<Message>) -> Request {
    Request {
        messages,
        ..Request::default()
    }
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

fn with_options(options: Value) -> Request {
    let Value::Object(provider_options) = options else {
        panic!("options are an object");
    };
    Request {
        provider_options,
        ..request()
    }
}

#[test]
fn only_some_kinds_have_it() {
    for kind in Kind::ALL {
        let has = matches!(
            kind,
            Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi
        );
        assert_eq!(Codec::new(kind).over(Api::Responses).is_some(), has);
        assert!(Codec::new(kind).over(Api::ChatCompletions).is_some());
    }
}

/// Requests as callers of the compatible edge write them, and what is sent of them beside what always is.
#[test]
fn what_callers_of_the_compatible_edge_say_is_translated() {
    let hi = json!([{"role": "user", "content": "hi"}]);
    for (asked, sent) in [
        (
            json!({"messages": hi, "max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "user": "u",
                "service_tier": "flex", "metadata": {"team": "x"}, "prompt_cache_key": "k", "verbosity": "low"}),
            json!({"input": hi, "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.25, "user": "u",
                "service_tier": "flex", "prompt_cache_key": "k", "text": {"verbosity": "low"}}),
        ),
        (
            json!({"messages": hi, "tool_choice": {"type": "function", "function": {"name": "w"}},
            "parallel_tool_calls": false,
            "tools": [
                {"type": "function", "function": {"name": "w", "description": "weather", "strict": true,
                    "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}},
                {"type": "function", "function": {"name": "t"}},
            ]}),
            json!({"input": hi, "tool_choice": {"type": "function", "name": "w"}, "parallel_tool_calls": false,
            "tools": [
                {"type": "function", "name": "w", "description": "weather", "strict": true,
                    "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}},
                // There, functions are strict unless it is said that they are not.
                {"type": "function", "name": "t", "strict": false,
                    "parameters": {"type": "object", "properties": {}}},
            ]}),
        ),
        (
            json!({"messages": hi, "reasoning_effort": "high", "tool_choice": "required",
                "response_format": {"type": "json_schema",
                    "json_schema": {"name": "n", "description": "d", "strict": true, "schema": {"type": "object"}}}}),
            json!({"input": hi, "reasoning": {"effort": "high"}, "tool_choice": "required",
                "text": {"format": {"type": "json_schema", "name": "n", "description": "d", "strict": true,
                    "schema": {"type": "object"}}}}),
        ),
        (
            json!({"messages": hi, "response_format": {"type": "json_object"}, "n": 1, "logprobs": true,
                "top_logprobs": 2, "frequency_penalty": 0}),
            json!({"input": hi, "text": {"format": {"type": "json_object"}}, "top_logprobs": 2,
                "include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}),
        ),
    ] {
        let mut asked = asked;
        asked["model"] = json!("m");
        let parsed = openai::parse_request(asked.to_string().as_bytes()).unwrap();
        let mut expect =
            json!({"model": "gpt-5.4", "store": false, "include": ["reasoning.encrypted_content"]});
        for (name, value) in sent.as_object().unwrap() {
            expect[name] = value.clone();
        }
        assert_eq!(body(&parsed.request), expect);
    }
}

#[test]
fn a_stream_is_asked_for_in_the_body_and_the_headers() {
    for (stream, accept) in [(false, "application/json"), (true, "text/event-stream")] {
        let sent = encode(&request(), stream).unwrap();
        assert_eq!(sent.headers["accept"], accept);
        assert_eq!(sent.path, "/responses");
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body.get("stream"), stream.then_some(&json!(true)));
        assert_eq!(body["store"], false);
    }
}

#[test]
fn azure_has_it_at_its_v1_interface() {
    for (api_version, path) in [
        (None, "/openai/v1/responses"),
        (Some("preview"), "/openai/v1/responses?api-version=preview"),
    ] {
        let target = Target {
            api_version,
            ..Target::of("mine")
        };
        let azure = codec(Kind::AzureOpenAi);
        let sent = azure.encode(&request(), &target, false).unwrap();
        assert_eq!(sent.path, path);
        let counted = azure.count_tokens(&request(), &target).unwrap().unwrap();
        let path = path.replace("responses", "responses/input_tokens");
        assert_eq!(counted.path, path);
    }
}

/// They refuse to be asked for thoughts in a form in which they could be sent back.
#[test]
fn models_that_do_not_think_are_not_asked_for_thoughts() {
    let asked = |kind, model, base_model| {
        let target = Target {
            base_model,
            ..Target::of(model)
        };
        let sent = codec(kind).encode(&request(), &target, false).unwrap();
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        body.get("include").is_some()
    };
    for model in ["gpt-5.4", "o3-pro", "gpt-5-codex", "mine"] {
        assert!(asked(Kind::OpenAi, model, model), "{model}");
    }
    for model in [
        "gpt-4o",
        "gpt-4.1-mini",
        "gpt-3.5-turbo",
        "gpt-5-chat-latest",
        "chatgpt-4o-latest",
        "ft:gpt-4o-mini:acme::1",
    ] {
        assert!(!asked(Kind::OpenAi, model, model), "{model}");
        assert!(!asked(Kind::AzureOpenAi, "mine", model), "{model}");
    }
    assert!(asked(Kind::AzureOpenAi, "gpt-4-in-name-only", "gpt-5"));
    assert!(asked(Kind::OpenAiCompatible, "gpt-4-all", "gpt-4-all"));
}

#[test]
fn thoughts_are_shown_where_they_are_asked_for() {
    let asked = |include_text, options: Value| {
        let request = Request {
            reasoning: Some(Reasoning {
                effort: Some(Effort::Low),
                include_text,
                ..Reasoning::default()
            }),
            ..with_options(options)
        };
        body(&request)["reasoning"].clone()
    };
    let none = json!({});
    assert_eq!(asked(None, none.clone()), json!({"effort": "low"}));
    assert_eq!(asked(Some(false), none.clone()), json!({"effort": "low"}));
    assert_eq!(
        asked(Some(true), none),
        json!({"effort": "low", "summary": "auto"})
    );
    let detailed = json!({"reasoning": {"summary": "detailed", "context": "all_turns"}});
    assert_eq!(
        asked(Some(true), detailed),
        json!({"effort": "low", "summary": "detailed", "context": "all_turns"})
    );
}

#[test]
fn what_it_has_no_words_for_is_refused_by_name_or_left_out() {
    type Change = fn(&mut Request);
    let cases: [(&str, Change); 10] = [
        ("stop", |it| it.stop = vec!["x".to_owned()]),
        ("seed", |it| it.seed = Some(1)),
        ("choice_count", |it| it.choices = Some(2)),
        ("top_k", |it| it.top_k = Some(1)),
        ("frequency_penalty", |it| it.frequency_penalty = Some(1.0)),
        ("presence_penalty", |it| it.presence_penalty = Some(1.0)),
        ("logit_bias", |it| {
            it.logit_bias.insert("1".to_owned(), 1.0);
        }),
        ("output_modalities", |it| {
            it.modalities = vec![Modality::Audio]
        }),
        ("audio_output", |it| {
            it.audio = Some(AudioOutput {
                voice: "alloy".to_owned(),
                format: None,
            });
        }),
        ("messages[0].name", |it| {
            it.messages[0].name = Some("ann".to_owned());
        }),
    ];
    let plain = body(&request());
    for (field, change) in cases {
        let mut asked = request();
        change(&mut asked);
        let error = encode(&asked, false).unwrap_err();
        assert_eq!(error.field(), Some(field));
        let target = Target {
            drop_unsupported: true,
            ..Target::of("gpt-5.4")
        };
        let sent = codec(Kind::OpenAi).encode(&asked, &target, false).unwrap();
        let left: Vec<_> = sent.warnings.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(left, [field]);
        let sent: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(sent, plain, "{field}");
    }
}

fn call(id: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "look".to_owned(),
        arguments: r#"{"n": 1}"#.to_owned(),
        opaque: Vec::new(),
    })
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult {
        tool_call_id: id.to_owned(),
        parts,
        is_error,
    }
}

fn own_tool(kind: &str) -> Tool {
    Tool::Provider(ProviderTool {
        kind: kind.to_owned(),
        settings: serde_json::Map::from_iter([("x".to_owned(), json!([1]))]),
        provider: Some("openai".to_owned()),
    })
}

#[test]
fn tools_of_the_providers_own_stand_among_the_others() {
    let asked = Request {
        tools: vec![own_tool("web_search")],
        ..request()
    };
    let own = json!([{"type": "web_search", "x": [1]}]);
    assert_eq!(body(&asked)["tools"], own);
    let azure = codec(Kind::AzureOpenAi).encode(&asked, &Target::of("mine"), false);
    let azure: Value = serde_json::from_slice(&azure.unwrap().body).unwrap();
    assert_eq!(azure.get("tools"), None, "it is for another kind");
}

#[test]
fn what_cannot_be_left_out_is_refused_come_what_may() {
    let sound = Part::Audio(Audio {
        data: vec![1].into(),
        format: "wav".to_owned(),
        ..Audio::default()
    });
    let target = Target {
        drop_unsupported: true,
        ..Target::of("gpt-5.4")
    };
    let user = |parts| vec![message(Role::User, parts)];
    for messages in [
        user(vec![sound.clone()]),
        user(vec![call("a")]),
        vec![message(Role::Assistant, vec![sound.clone()])],
        vec![message(Role::Tool, vec![Part::Text("x".to_owned())])],
        vec![message(Role::Tool, vec![result("a", vec![sound], false)])],
    ] {
        let error = codec(Kind::OpenAi).encode(&of(messages), &target, false);
        assert_eq!(error.unwrap_err().field(), Some("messages[0].parts[0]"));
    }
    let custom = Request {
        tools: vec![own_tool("custom")],
        ..request()
    };
    let error = codec(Kind::OpenAi).encode(&custom, &target, false);
    assert_eq!(error.unwrap_err().field(), Some("tools[0]"));
    let schemaless = Request {
        response_format: Some(ResponseFormat::JsonSchema(JsonSchema {
            name: "n".to_owned(),
            description: None,
            schema: None,
            strict: None,
        })),
        ..request()
    };
    let error = encode(&schemaless, false).unwrap_err();
    let field = "response_format.json_schema.schema";
    assert_eq!(error.field(), Some(field));
}

#[test]
fn what_counts_is_asked_and_nothing_else() {
    let asked = Request {
        max_output_tokens: Some(9),
        temperature: Some(0.5),
        ..with_options(json!({"truncation": "auto", "safety_identifier": "k"}))
    };
    let target = Target::of("gpt-5.4");
    let question = codec(Kind::OpenAi).count_tokens(&asked, &target).unwrap();
    let question = question.unwrap();
    assert_eq!(question.path, "/responses/input_tokens");
    assert_eq!(
        question.body,
        r#"{"input":[{"role":"user","content":"hi"}],"model":"gpt-5.4","truncation":"auto"}"#
    );
    let told = r#"{"object":"response.input_tokens","input_tokens":11}"#;
    let told = codec(Kind::OpenAi).decode_count(told.as_bytes());
    assert_eq!(told, Ok(11));
}
