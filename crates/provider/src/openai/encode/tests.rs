use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::chat::{
    Document, DocumentSource, Message, Opaque, Part, Reasoning, Request, Role, Source, ToolCall,
};
use crate::codec::{Codec, HttpRequest, Kind, Outgoing, Target};
use crate::{Error, openai};

fn encode_for(kind: Kind, request: &Request, stream: bool) -> Result<HttpRequest, Error> {
    Codec::new(kind).encode(request, &Target::of("upstream"), stream)
}

fn body_for(kind: Kind, request: &Request, stream: bool) -> Value {
    serde_json::from_slice(&encode_for(kind, request, stream).unwrap().body).unwrap()
}

fn request(messages: Vec<Message>) -> Request {
    Request {
        model: "m".to_owned(),
        messages,
        ..Request::default()
    }
}

/// What a caller of the compatible edge says reaches an `OpenAI` upstream as it was said.
#[test]
fn what_is_parsed_is_encoded_unchanged() {
    for body in [
        json!({"model": "upstream", "messages": [{"role": "user", "content": "hi"}]}),
        json!({
            "model": "upstream",
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "system", "content": "really"},
                {"role": "user", "name": "ann", "content": [
                    {"type": "text", "text": "what is \u{1F980}?\n"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQID"}},
                    {"type": "input_audio", "input_audio": {"data": "BAU=", "format": "wav"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,Bg=="}},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{\"a\":1}"}},
                    {"id": "c2", "type": "function", "function": {"name": "w", "arguments": ""}},
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": "rain"},
                {"role": "tool", "tool_call_id": "c2", "content": [
                    {"type": "text", "text": "a"}, {"type": "text", "text": "b"},
                ]},
                {"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "refusal", "refusal": "y"}]},
            ],
            "max_completion_tokens": 100, "temperature": 0.25, "top_p": 0.5, "stop": ["a", "b"],
            "seed": 9_007_199_254_740_993_i64, "n": 2, "frequency_penalty": -0.5, "presence_penalty": 1.0,
            "logit_bias": {"7": 5.0}, "logprobs": true, "top_logprobs": 3,
            "tools": [{"type": "function", "function": {
                "name": "w", "description": "weather", "parameters": {"type": "object"}, "strict": true,
            }}, {"type": "function", "function": {"name": "x"}}],
            "tool_choice": {"type": "function", "function": {"name": "w"}},
            "parallel_tool_calls": true, "reasoning_effort": "minimal", "user": "u",
            "response_format": {"type": "json_schema", "json_schema": {
                "name": "s", "description": "d", "schema": {"type": "object"}, "strict": false,
            }},
            "service_tier": "flex", "store": true, "metadata": {"k": "v"},
            "prediction": {"type": "content", "content": "z"},
            "stream": true, "stream_options": {"include_usage": true},
        }),
        json!({"model": "upstream", "messages": [{"role": "assistant", "content": ""}],
            "tool_choice": "required", "response_format": {"type": "json_object"}}),
        json!({"model": "upstream", "messages": [{"role": "user", "content": ""}],
            "tool_choice": "none", "response_format": {"type": "text"}}),
    ] {
        let parsed = openai::parse_request(&serde_json::to_vec(&body).unwrap()).unwrap();
        assert_eq!(body_for(Kind::OpenAi, &parsed.request, parsed.stream), body);
    }
}

#[test]
fn the_request_says_where_and_what() {
    let sent = encode_for(
        Kind::OpenAi,
        &request(vec![Message::text(Role::User, "hi")]),
        true,
    )
    .unwrap();
    assert_eq!(
        (sent.method.as_str(), &*sent.path),
        ("POST", "/chat/completions")
    );
    assert_eq!(sent.headers["content-type"], "application/json");
    assert_eq!(sent.headers["accept"], "text/event-stream");
    assert!(!sent.headers.contains_key("authorization"));
}

#[test]
fn the_credential_goes_into_a_header_that_does_not_show_it() {
    let codec = Codec::new(Kind::OpenAi);
    let mut headers = http::HeaderMap::new();
    let mut authorize = |credential| {
        let mut request = Outgoing {
            method: &http::Method::POST,
            host: "api.openai.com",
            path: "/v1/chat/completions",
            query: "",
            headers: &mut headers,
            body: b"{}",
        };
        codec.authorize(&mut request, credential, SystemTime::UNIX_EPOCH)
    };
    authorize("sk-secret").unwrap();
    let error = authorize("sk-sec\nret").unwrap_err();
    assert_eq!(headers["authorization"], "Bearer sk-secret");
    assert!(!format!("{headers:?}").contains("secret"));
    assert!(!error.to_string().contains("sec\n"));
}

#[test]
fn usage_is_always_asked_for_in_streams() {
    let request = request(vec![Message::text(Role::User, "hi")]);
    for kind in [Kind::OpenAi, Kind::OpenAiCompatible] {
        let body = body_for(kind, &request, true);
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
        assert_eq!(body_for(kind, &request, false).get("stream"), None);
    }
}

#[test]
fn the_dialects_differ_as_the_table_says() {
    let reasoning = Part::Reasoning {
        text: "think".to_owned(),
        opaque: Vec::new(),
    };
    let call = Part::ToolCall(ToolCall {
        id: "c".to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        opaque: Vec::new(),
    });
    let assistant = |parts| Message {
        role: Role::Assistant,
        parts,
        name: None,
    };
    let mut request = request(vec![
        Message::text(Role::Developer, "d"),
        assistant(vec![reasoning.clone(), Part::Text("a".to_owned())]),
        assistant(vec![reasoning, call]),
    ]);
    request.max_output_tokens = Some(5);
    let openai = body_for(Kind::OpenAi, &request, false);
    let compatible = body_for(Kind::OpenAiCompatible, &request, false);
    assert_eq!(
        (&openai["max_completion_tokens"], &openai["max_tokens"]),
        (&json!(5), &Value::Null)
    );
    assert_eq!(
        (
            &compatible["max_completion_tokens"],
            &compatible["max_tokens"]
        ),
        (&Value::Null, &json!(5))
    );
    assert_eq!(openai["messages"][0]["role"], "developer");
    assert_eq!(compatible["messages"][0]["role"], "system");
    for message in [
        &openai["messages"][1],
        &openai["messages"][2],
        &compatible["messages"][1],
    ] {
        assert_eq!(message.get("reasoning_content"), None);
    }
    assert_eq!(compatible["messages"][2]["reasoning_content"], "think");
}

#[test]
fn one_tool_message_becomes_one_per_result_and_failures_say_so() {
    let result = |id: &str, parts: Vec<Part>, is_error| Part::ToolResult {
        tool_call_id: id.to_owned(),
        parts,
        is_error,
    };
    let text = |text: &str| Part::Text(text.to_owned());
    let message = Message {
        role: Role::Tool,
        parts: vec![
            result("a", vec![text("fine")], false),
            result("b", vec![text("no such file"), text("really")], true),
            result("c", vec![], true),
        ],
        name: None,
    };
    assert_eq!(
        body_for(Kind::OpenAi, &request(vec![message]), false)["messages"],
        json!([
            {"role": "tool", "tool_call_id": "a", "content": "fine"},
            {"role": "tool", "tool_call_id": "b", "content": [
                {"type": "text", "text": "Error: no such file"}, {"type": "text", "text": "really"},
            ]},
            {"role": "tool", "tool_call_id": "c", "content": "Error"},
        ])
    );
}

#[test]
fn labels_stay_in_the_gateway_unless_the_answer_is_stored() {
    let mut request = request(vec![Message::text(Role::User, "hi")]);
    request.metadata = BTreeMap::from([("team".to_owned(), "red".to_owned())]);
    assert_eq!(
        body_for(Kind::OpenAi, &request, false).get("metadata"),
        None
    );
    request
        .provider_options
        .insert("store".to_owned(), json!(true));
    assert_eq!(
        body_for(Kind::OpenAi, &request, false)["metadata"],
        json!({"team": "red"})
    );
}

#[test]
fn text_documents_become_text() {
    let document = Part::Document(Document {
        source: DocumentSource::Text {
            text: "body".to_owned(),
            mime: "text/plain".to_owned(),
        },
        title: Some("Title".to_owned()),
        citations: false,
    });
    let message = Message {
        role: Role::User,
        parts: vec![document],
        name: None,
    };
    let body = body_for(Kind::OpenAi, &request(vec![message]), false);
    assert_eq!(body["messages"][0]["content"], "Title\n\nbody");
}

/// Checks that the part is refused by name in a message of this role.
fn check_refused(role: Role, part: Part) {
    let message = Message {
        role,
        parts: vec![Part::Text("x".to_owned()), part],
        name: None,
    };
    let request = request(vec![Message::text(Role::User, "hi"), message]);
    // In a tool message the text before is refused already.
    let place = if role == Role::Tool { 0 } else { 1 };
    match encode_for(Kind::OpenAi, &request, false) {
        Err(Error::Unsupported { field, kind, .. }) => {
            assert_eq!(
                (field, kind),
                (format!("messages[1].parts[{place}]"), "openai")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_no_words_there_is_refused_by_name() {
    let url = || Source::Url("https://example.com".to_owned());
    let image = || {
        Part::Image(crate::chat::Image {
            source: url(),
            detail: None,
        })
    };
    let result = |parts| Part::ToolResult {
        tool_call_id: "a".to_owned(),
        parts,
        is_error: false,
    };
    let opaque = vec![Opaque {
        provider: "p".to_owned(),
        kind: "k".to_owned(),
        bytes: bytes::Bytes::new(),
    }];
    let unseen = Document {
        source: DocumentSource::File(url()),
        title: None,
        citations: false,
    };
    check_refused(Role::User, Part::Document(unseen));
    check_refused(Role::System, image());
    check_refused(Role::Assistant, image());
    check_refused(Role::User, Part::Refusal("r".to_owned()));
    check_refused(
        Role::User,
        Part::Reasoning {
            text: String::new(),
            opaque,
        },
    );
    check_refused(Role::User, result(vec![]));
    check_refused(Role::Assistant, result(vec![]));
    check_refused(Role::Tool, Part::Text("t".to_owned()));

    let image_result = Message {
        role: Role::Tool,
        parts: vec![result(vec![image()])],
        name: None,
    };
    let error = encode_for(Kind::OpenAi, &request(vec![image_result]), false).unwrap_err();
    assert_eq!(error.field(), Some("messages[0].parts[0]"));

    let mut budget = request(vec![Message::text(Role::User, "hi")]);
    budget.reasoning = Some(Reasoning {
        budget_tokens: Some(1),
        ..Reasoning::default()
    });
    let error = encode_for(Kind::OpenAi, &budget, false).unwrap_err();
    assert_eq!(error.field(), Some("reasoning.max_tokens"));
}

#[test]
fn what_cannot_be_sent_is_left_out_and_told_where_the_target_says_so() {
    let mut request = request(vec![Message::text(Role::User, "hi")]);
    request.top_k = Some(5);
    let error = encode_for(Kind::OpenAi, &request, false).unwrap_err();
    assert_eq!(error.field(), Some("top_k"));
    let target = Target {
        drop_unsupported: true,
        ..Target::of("upstream")
    };
    let sent = Codec::new(Kind::OpenAi)
        .encode(&request, &target, false)
        .unwrap();
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(body.get("top_k"), None);
    let told: Vec<_> = sent.warnings.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(told, ["top_k"]);
    let compatible = body_for(Kind::OpenAiCompatible, &request, false);
    assert_eq!(compatible["top_k"], 5);
}

#[test]
fn provider_options_replace_no_field_of_the_gateway() {
    let full = body_for(
        Kind::OpenAi,
        &openai::parse_request(
            br#"{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":1,"stream":true}"#,
        )
        .unwrap()
        .request,
        true,
    );
    let written = full.as_object().unwrap().keys().cloned();
    for key in written.chain(["max_tokens", "tools", "n", "functions"].map(str::to_owned)) {
        let mut request = request(vec![Message::text(Role::User, "hi")]);
        request.provider_options.insert(key.clone(), json!("evil"));
        let error = encode_for(Kind::OpenAi, &request, true).unwrap_err();
        assert_eq!(
            error.field(),
            Some(format!("provider_options.{key}").as_str())
        );
    }
}

#[test]
fn ids_that_others_made_are_no_longer_than_they_may_be() {
    let long = "get_the_weather_of_tomorrow_in_the_mountains_a1b2c3";
    for (id, kind, kept) in [
        ("call_1", Kind::OpenAi, true),
        (long, Kind::OpenAi, false),
        (long, Kind::AzureOpenAi, false),
        (long, Kind::OpenAiCompatible, true),
    ] {
        let asked = json!({"model": "m", "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [
                {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": id, "content": "sun"},
        ]});
        let parsed = openai::parse_request(asked.to_string().as_bytes()).unwrap();
        let sent = Codec::new(kind).encode(&parsed.request, &Target::of("m"), false);
        let body: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
        let sent = &body["messages"][1]["tool_calls"][0]["id"];
        assert_eq!(*sent, body["messages"][2]["tool_call_id"]);
        assert_eq!(sent == id, kept, "{kind:?}: {sent}");
        assert!(kept || sent.as_str().unwrap().len() <= 40);
    }
}
