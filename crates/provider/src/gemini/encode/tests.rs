use std::time::SystemTime;

use serde_json::{Value, json};

use super::model_path;
use crate::chat::{Effort, Message, Reasoning, Request, Role};
use crate::codec::{Codec, HttpRequest, Kind, Outgoing, Target};
use crate::{Error, openai};

const MODEL: &str = "gemini-2.5-flash";

fn encode(request: &Request, model: &str, stream: bool) -> Result<HttpRequest, Error> {
    Codec::new(Kind::Gemini).encode(request, &Target::of(model), stream)
}

fn body(request: &Request, model: &str) -> Value {
    serde_json::from_slice(&encode(request, model, false).unwrap().body).unwrap()
}

fn request(messages: Vec<Message>) -> Request {
    Request {
        model: "m".to_owned(),
        messages,
        ..Request::default()
    }
}

/// What a caller of the compatible edge says, as the canonical request.
fn said(mut body: Value) -> Request {
    body["model"] = json!("m");
    if body.get("messages").is_none() {
        body["messages"] = json!([{"role": "user", "content": "hi"}]);
    }
    openai::parse_request(&serde_json::to_vec(&body).unwrap())
        .unwrap()
        .request
}

/// The body for a request of one short message and these further fields, without that message.
fn fields(body_said: Value) -> Value {
    let mut body = body(&said(body_said), MODEL);
    assert_eq!(
        body.as_object_mut().unwrap().remove("contents"),
        Some(json!([{"role": "user", "parts": [{"text": "hi"}]}]))
    );
    body
}

#[test]
fn the_request_says_where_and_what() {
    let request = request(vec![Message::text(Role::User, "hi")]);
    for (stream, path, accept) in [
        (
            false,
            "/models/gemini-2.5-flash:generateContent",
            "application/json",
        ),
        (
            true,
            "/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            "text/event-stream",
        ),
    ] {
        let sent = encode(&request, MODEL, stream).unwrap();
        assert_eq!((sent.method.as_str(), &*sent.path), ("POST", path));
        assert_eq!(sent.headers["content-type"], "application/json");
        assert_eq!(sent.headers["accept"], accept);
        assert_eq!(
            sent.body,
            r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{}}"#
        );
    }
}

#[test]
fn a_model_is_a_safe_path() {
    for (model, expect) in [
        ("gemini-2.5-pro", "/models/gemini-2.5-pro"),
        ("tunedModels/mine-1", "/tunedModels/mine-1"),
        ("a b?c#d%é", "/models/a%20b%3Fc%23d%25%C3%A9"),
    ] {
        assert_eq!(model_path(model), expect);
    }
}

#[test]
fn the_credential_says_by_its_form_where_it_belongs() {
    let codec = Codec::new(Kind::Gemini);
    for (credential, name, value) in [
        ("AIza-secret", "x-goog-api-key", "AIza-secret"),
        ("ya29.secret", "authorization", "Bearer ya29.secret"),
    ] {
        let mut headers = http::HeaderMap::new();
        let mut outgoing = Outgoing {
            method: &http::Method::POST,
            host: "h",
            path: "/",
            query: "",
            headers: &mut headers,
            body: b"",
        };
        codec
            .authorize(&mut outgoing, credential, SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[name], value);
        assert!(!format!("{headers:?}").contains("secret"));
    }
}

#[test]
fn settings_take_their_names_here() {
    for (fields_said, expect) in [
        (
            json!({
                "max_completion_tokens": 100, "temperature": 0.25, "top_p": 0.5, "stop": ["a", "b"],
                "seed": -7, "n": 2, "frequency_penalty": -0.5, "presence_penalty": 1.0,
                "logprobs": true, "top_logprobs": 3, "service_tier": "flex",
            }),
            json!({"serviceTier": "flex", "generationConfig": {
                "maxOutputTokens": 100, "temperature": 0.25, "topP": 0.5, "stopSequences": ["a", "b"],
                "seed": -7, "candidateCount": 2, "frequencyPenalty": -0.5, "presencePenalty": 1.0,
                "responseLogprobs": true, "logprobs": 3,
            }}),
        ),
        (
            json!({"response_format": {"type": "text"}}),
            json!({"generationConfig": {"responseMimeType": "text/plain"}}),
        ),
        (
            json!({"response_format": {"type": "json_object"}}),
            json!({"generationConfig": {"responseMimeType": "application/json"}}),
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {
                "name": "s", "schema": {"type": "object", "additionalProperties": false}, "strict": true,
            }}}),
            json!({"generationConfig": {
                "responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object", "additionalProperties": false},
            }}),
        ),
        (
            json!({
                "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
                "cachedContent": "cachedContents/1",
                "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"},
            }),
            json!({
                "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
                "cachedContent": "cachedContents/1",
                "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"},
            }),
        ),
    ] {
        assert_eq!(fields(fields_said), expect);
    }
}

#[test]
fn tools_and_their_choice() {
    let tool = |strict: bool| {
        json!({"type": "function", "function": {
            "name": "w", "description": "weather", "strict": strict,
            "parameters": {"type": "object", "properties": {"z": {}, "a": {}}},
        }})
    };
    for (choice, strict, expect) in [
        (Value::Null, false, Value::Null),
        (Value::Null, true, json!({"mode": "VALIDATED"})),
        (json!("auto"), false, json!({"mode": "AUTO"})),
        (json!("auto"), true, json!({"mode": "VALIDATED"})),
        (json!("none"), true, json!({"mode": "NONE"})),
        (json!("required"), true, json!({"mode": "ANY"})),
        (
            json!({"type": "function", "function": {"name": "w"}}),
            false,
            json!({"mode": "ANY", "allowedFunctionNames": ["w"]}),
        ),
    ] {
        let mut body_said = json!({
            "tools": [tool(strict), {"type": "function", "function": {"name": "x"}}],
            "parallel_tool_calls": true,
        });
        if !choice.is_null() {
            body_said["tool_choice"] = choice.clone();
        }
        let body = fields(body_said);
        assert_eq!(
            body["tools"],
            json!([{"functionDeclarations": [
                {"name": "w", "description": "weather",
                 "parametersJsonSchema": {"type": "object", "properties": {"z": {}, "a": {}}}},
                {"name": "x"},
            ]}])
        );
        assert_eq!(
            body["toolConfig"]["functionCallingConfig"], expect,
            "{choice} {strict}"
        );
    }
}

/// Checks what a model is told about thinking; nothing where the request is refused.
fn check_thinking(model: &str, effort: Option<Effort>, budget: Option<u32>, expect: Option<Value>) {
    let mut request = request(vec![Message::text(Role::User, "hi")]);
    request.reasoning = Some(Reasoning {
        effort,
        budget_tokens: budget,
        include_text: Some(true),
    });
    let sent = encode(&request, model, false);
    match expect {
        Some(mut expect) => {
            expect["includeThoughts"] = json!(true);
            let body: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
            assert_eq!(
                body["generationConfig"]["thinkingConfig"], expect,
                "{model} {effort:?}"
            );
        }
        None => assert_eq!(sent.unwrap_err().field(), Some("reasoning.effort")),
    }
}

#[test]
fn thinking_is_told_in_the_words_of_the_models_generation() {
    let budget = |tokens: u32| Some(json!({"thinkingBudget": tokens}));
    let level = |level: &str| Some(json!({"thinkingLevel": level}));
    for (effort, early, later) in [
        (Effort::None, budget(0), None),
        (Effort::Minimal, budget(1_024), level("MINIMAL")),
        (Effort::Low, budget(1_024), level("LOW")),
        (Effort::Medium, budget(8_192), level("MEDIUM")),
        (Effort::High, budget(24_576), level("HIGH")),
        (Effort::XHigh, None, level("XHIGH")),
        (Effort::Max, None, None),
    ] {
        check_thinking("gemini-2.5-pro", Some(effort), None, early);
        check_thinking("gemini-3-pro-preview", Some(effort), None, later.clone());
        check_thinking("gemini-flash-latest", Some(effort), None, later);
    }
    check_thinking("gemini-3-pro-preview", None, Some(77), budget(77));
    check_thinking("gemini-2.5-pro", None, None, Some(json!({})));
    check_thinking("gemini-2.5-pro", Some(Effort::Low), Some(77), None);
}

/// Checks that a request is refused naming this field, and, where it can be left out, that it is with
/// a warning when the target says so.
fn check_refused(request: &Request, field: &str, can_be_left_out: bool) {
    match encode(request, MODEL, false) {
        Err(Error::Unsupported { field: found, .. }) => assert_eq!(found, field),
        other => panic!("{field}: {other:?}"),
    }
    let target = Target {
        drop_unsupported: true,
        ..Target::of(MODEL)
    };
    let sent = Codec::new(Kind::Gemini).encode(request, &target, false);
    match (sent, can_be_left_out) {
        (Ok(sent), true) => assert_eq!(sent.warnings[0].field, field),
        (Err(error), false) => assert_eq!(error.field(), Some(field)),
        (other, _) => panic!("{field}: {other:?}"),
    }
}

#[test]
fn what_has_no_words_there_is_refused_by_name() {
    for (body_said, field) in [
        (json!({"logit_bias": {"7": 5}}), "logit_bias"),
        (json!({"user": "u"}), "user"),
        (json!({"seed": 2_147_483_648_i64}), "seed"),
        (json!({"parallel_tool_calls": false}), "parallel_tool_calls"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "description": "d"}}}),
            "response_format.json_schema.description",
        ),
        (
            json!({"messages": [{"role": "user", "name": "ann", "content": "hi"}]}),
            "messages[0].name",
        ),
    ] {
        check_refused(&said(body_said), field, true);
    }
    let silent = json!({"messages": [{"role": "system", "content": "hi"}]});
    check_refused(&said(silent), "messages", false);
}

fn keys(value: &Value) -> Vec<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// The other spelling of a field that this provider reads.
fn snake(key: &str) -> String {
    let mut out = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Checks that this option is refused naming this field.
fn check_reserved(key: &str, value: Value, field: &str) {
    let mut request = request(vec![Message::text(Role::User, "hi")]);
    request.provider_options.insert(key.to_owned(), value);
    let error = encode(&request, MODEL, true).unwrap_err();
    assert_eq!(
        error.field(),
        Some(format!("provider_options.{field}").as_str())
    );
}

#[test]
fn provider_options_replace_no_field_of_the_gateway() {
    let mut full = said(json!({
        "max_tokens": 1, "temperature": 1, "top_p": 1, "stop": "a", "n": 1, "seed": 1,
        "frequency_penalty": 1, "presence_penalty": 1, "logprobs": true, "top_logprobs": 1,
        "service_tier": "flex", "tool_choice": "auto",
        "tools": [{"type": "function", "function": {"name": "x"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
        "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}],
    }));
    full.top_k = Some(1);
    full.reasoning = Some(Reasoning {
        effort: Some(Effort::Low),
        ..Reasoning::default()
    });
    let written = body(&full, MODEL);
    for key in keys(&written)
        .iter()
        .filter(|key| *key != "generationConfig")
    {
        check_reserved(key, json!("evil"), key);
        check_reserved(&snake(key), json!("evil"), &snake(key));
    }
    let ruled_out = ["responseSchema", "responseModalities", "imageConfig"];
    let written = keys(&written["generationConfig"]);
    assert_eq!(written.len(), 14);
    for key in written.into_iter().chain(ruled_out.map(str::to_owned)) {
        for key in [snake(&key), key] {
            for config in ["generationConfig", "generation_config"] {
                check_reserved(config, json!({&key: "evil"}), &format!("{config}.{key}"));
            }
        }
    }
    check_reserved("generationConfig", json!(7), "generationConfig");
}

#[test]
fn the_same_request_is_the_same_bytes() {
    let body =
        br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"labels":{"b":"1","a":"2"},
        "tools":[{"type":"function","function":{"name":"w","parameters":{"z":1,"a":2.50}}}],
        "generationConfig":{"b":1,"a":2}}"#;
    let request = openai::parse_request(body).unwrap().request;
    let once = encode(&request, MODEL, true).unwrap().body;
    assert_eq!(
        once,
        concat!(
            r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"#,
            r#""tools":[{"functionDeclarations":[{"name":"w","parametersJsonSchema":{"z":1,"a":2.50}}]}],"#,
            r#""generationConfig":{"a":2,"b":1},"labels":{"a":"2","b":"1"}}"#
        )
    );
    assert_eq!(once, encode(&request, MODEL, true).unwrap().body);
}

#[test]
fn an_answer_is_spoken_by_one_voice_or_as_the_options_say() {
    let spoken = json!({"modalities": ["audio"], "audio": {"voice": "Kore"}});
    let config = |mut asked: Value, options: Value| {
        asked["model"] = json!("m");
        asked["messages"] = json!([{"role": "user", "content": "hi"}]);
        asked["generationConfig"] = options;
        let request = openai::parse_request(&serde_json::to_vec(&asked).unwrap());
        encode(&request.unwrap().request, MODEL, false)
    };
    let sent = config(spoken.clone(), json!({})).unwrap();
    let sent: Value = serde_json::from_slice(&sent.body).unwrap();
    let voice = json!({"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}});
    assert_eq!(sent["generationConfig"]["speechConfig"], voice);
    assert_eq!(
        sent["generationConfig"]["responseModalities"],
        json!(["AUDIO"])
    );

    let several = json!({"speechConfig": {"multiSpeakerVoiceConfig": {}}});
    assert!(config(json!({"modalities": ["audio"]}), several.clone()).is_ok());
    let error = config(spoken, several).unwrap_err();
    let field = "provider_options.generationConfig.speechConfig";
    assert_eq!(error.field(), Some(field));
}
