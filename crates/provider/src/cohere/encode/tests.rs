use bytes::Bytes;
use serde_json::{Value, json};

use crate::chat::{
    Audio, Document, DocumentSource, Effort, Function, Image, JsonSchema, Message, Opaque, Part,
    Reasoning, Request, ResponseFormat, Role, Source, Tool, ToolCall, ToolChoice,
};
use crate::codec::{Codec, HttpRequest, Kind, Target};
use crate::{Error, openai};

mod refused;

fn encode(request: &Request, stream: bool) -> Result<HttpRequest, Error> {
    Codec::new(Kind::Cohere).encode(request, &Target::of("command-a"), stream)
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&encode(request, false).unwrap().body).unwrap()
}

fn request(messages: Vec<Message>) -> Request {
    Request {
        model: "m".to_owned(),
        messages,
        ..Request::default()
    }
}

fn hello() -> Request {
    request(vec![Message::text(Role::User, "hi")])
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

/// What a caller of the compatible edge says, and how it reaches Cohere.
fn check(said: &Value, expect: &Value) {
    let parsed = openai::parse_request(&serde_json::to_vec(said).unwrap()).unwrap();
    assert_eq!(body(&parsed.request), *expect, "{said}");
}

#[test]
fn a_conversation_of_the_compatible_edge_is_translated() {
    let image = "data:image/png;base64,AQID";
    check(
        &json!({"model": "m", "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": [
                {"type": "text", "text": "what is \u{1F980}?\n"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": image}},
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
            {"role": "assistant", "content": ""},
        ]}),
        &json!({"model": "command-a", "stream": false, "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": [
                {"type": "text", "text": "what is \u{1F980}?\n"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": image}},
            ]},
            {"role": "assistant", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{\"a\":1}"}},
                {"id": "c2", "type": "function", "function": {"name": "w", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "tool", "tool_call_id": "c2", "content": [
                {"type": "text", "text": "a"}, {"type": "text", "text": "b"},
            ]},
            {"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]},
            {"role": "assistant", "content": ""},
        ]}),
    );
}

#[test]
fn settings_have_their_names_there() {
    check(
        &json!({"model": "m", "messages": [{"role": "user", "content": "hi"}],
            "max_completion_tokens": 100, "temperature": 0.25, "top_p": 0.5, "stop": ["a", "b"],
            "seed": 9_007_199_254_740_993_i64, "n": 1, "frequency_penalty": 0.5, "presence_penalty": 1.0,
            "logprobs": true, "reasoning_effort": "medium", "parallel_tool_calls": true,
            "safety_mode": "STRICT", "documents": ["x"],
        }),
        &json!({"model": "command-a", "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 100, "temperature": 0.25, "p": 0.5, "stop_sequences": ["a", "b"],
            "seed": 9_007_199_254_740_993_i64, "frequency_penalty": 0.5, "presence_penalty": 1.0,
            "logprobs": true, "thinking": {"type": "enabled"},
            "safety_mode": "STRICT", "documents": ["x"], "stream": false,
        }),
    );
    let mut chosen = hello();
    chosen.top_k = Some(40);
    assert_eq!(body(&chosen)["k"], 40);
}

#[test]
fn the_request_says_where_and_what() {
    let sent = encode(&hello(), true).unwrap();
    assert_eq!((sent.method.as_str(), &*sent.path), ("POST", "/chat"));
    assert_eq!(sent.headers["content-type"], "application/json");
    assert_eq!(sent.headers["accept"], "text/event-stream");
    assert_eq!(
        sent.body,
        r#"{"model":"command-a","messages":[{"role":"user","content":"hi"}],"stream":true}"#
    );
    assert_eq!(
        encode(&hello(), false).unwrap().headers["accept"],
        "application/json"
    );
}

/// A provider's cache of prompts finds what is the same byte by byte.
#[test]
fn the_same_request_is_the_same_bytes() {
    let mut request = hello();
    request.tools = vec![tool("b", None), tool("a", None)];
    let options = [("safety_mode", json!("OFF")), ("priority", json!(1))];
    let options = options.map(|(key, value)| (key.to_owned(), value));
    request.provider_options = options.clone().into_iter().collect();
    let first = encode(&request, true).unwrap().body;
    request.provider_options = options.into_iter().rev().collect();
    assert_eq!(encode(&request, true).unwrap().body, first);
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert!(
        text.find(r#""name":"b""#) < text.find(r#""name":"a""#),
        "{text}"
    );
}

fn offered(name: &str, strict: Option<bool>) -> Function {
    Function {
        name: name.to_owned(),
        description: None,
        parameters: None,
        strict,
    }
}

fn tool(name: &str, strict: Option<bool>) -> Tool {
    offered(name, strict).into()
}

#[test]
fn tools_and_the_choice_among_them() {
    let function = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}});
    let with = |tools: Vec<Tool>, tool_choice| {
        body(&Request {
            tools,
            tool_choice,
            ..hello()
        })
    };
    let two = || vec![tool("a", None), tool("b", Some(false))];
    for (choice, names, word) in [
        (None, &["a", "b"][..], None),
        (Some(ToolChoice::Auto), &["a", "b"], None),
        (Some(ToolChoice::None), &["a", "b"], Some("NONE")),
        (Some(ToolChoice::Required), &["a", "b"], Some("REQUIRED")),
        (
            Some(ToolChoice::Tool("b".to_owned())),
            &["b"],
            Some("REQUIRED"),
        ),
    ] {
        let sent = with(two(), choice);
        let expect: Vec<Value> = names.iter().map(|name| function(name)).collect();
        assert_eq!(sent["tools"], json!(expect));
        assert_eq!(sent.get("tool_choice"), word.map(Value::from).as_ref());
        assert_eq!(sent.get("strict_tools"), None);
    }
    let strict = with(vec![tool("a", Some(true)), tool("b", Some(true))], None);
    assert_eq!(strict["strict_tools"], true);

    let schema = crate::chat::Json::parse(r#"{"type":"object","z":1,"a":2}"#.to_owned()).unwrap();
    let described = Function {
        description: Some("d".to_owned()),
        parameters: Some(schema),
        ..offered("a", None)
    };
    let request = Request {
        tools: vec![described.into()],
        ..hello()
    };
    let text = String::from_utf8(encode(&request, false).unwrap().body.to_vec()).unwrap();
    let expect = r#"{"name":"a","description":"d","parameters":{"type":"object","z":1,"a":2}}"#;
    assert!(text.contains(expect), "{text}");

    let unknown = Request {
        tools: two(),
        tool_choice: Some(ToolChoice::Tool("c".to_owned())),
        ..hello()
    };
    let error = encode(&unknown, false).unwrap_err();
    assert_eq!(error.field(), Some("tool_choice"));
}

#[test]
fn the_shape_of_the_answer() {
    let schema = |description: Option<&str>| {
        ResponseFormat::JsonSchema(JsonSchema {
            name: "s".to_owned(),
            description: description.map(str::to_owned),
            schema: Some(crate::chat::Json::parse(r#"{"type":"object"}"#.to_owned()).unwrap()),
            strict: Some(true),
        })
    };
    let format = |format| {
        body(&Request {
            response_format: Some(format),
            ..hello()
        })["response_format"]
            .clone()
    };
    assert_eq!(format(ResponseFormat::Text), json!({"type": "text"}));
    assert_eq!(
        format(ResponseFormat::JsonObject),
        json!({"type": "json_object"})
    );
    assert_eq!(
        format(schema(None)),
        json!({"type": "json_object", "json_schema": {"type": "object"}})
    );
}

#[test]
fn how_much_to_think() {
    let thinking = |effort, budget_tokens| {
        let reasoning = Some(Reasoning {
            effort,
            budget_tokens,
            ..Reasoning::default()
        });
        body(&Request {
            reasoning,
            ..hello()
        })
        .get("thinking")
        .cloned()
    };
    let enabled = Some(json!({"type": "enabled"}));
    let budget = Some(json!({"type": "enabled", "token_budget": 9}));
    assert_eq!(thinking(None, None), None);
    assert_eq!(thinking(Some(Effort::Medium), None), enabled);
    assert_eq!(thinking(Some(Effort::Medium), Some(9)), budget);
    assert_eq!(thinking(None, Some(9)), budget);
    let disabled = Some(json!({"type": "disabled"}));
    assert_eq!(thinking(Some(Effort::None), None), disabled);
}

fn state(kind: &str, bytes: &str) -> Opaque {
    Opaque {
        provider: "cohere".to_owned(),
        kind: kind.to_owned(),
        bytes: Bytes::copy_from_slice(bytes.as_bytes()),
    }
}

fn reasoning(text: &str, opaque: Vec<Opaque>) -> Part {
    Part::Reasoning {
        text: text.to_owned(),
        opaque,
    }
}

#[test]
fn thinking_and_plans_go_back_as_what_they_were() {
    let call = || {
        Part::ToolCall(ToolCall {
            id: "c".to_owned(),
            name: "w".to_owned(),
            arguments: "{}".to_owned(),
            opaque: vec![],
        })
    };
    let wire_call =
        json!([{"id": "c", "type": "function", "function": {"name": "w", "arguments": "{}"}}]);
    let assistant =
        |parts| body(&request(vec![message(Role::Assistant, parts)]))["messages"][0].clone();
    let thinking = json!([{"type": "thinking", "thinking": "hm"}]);
    for (part, content, plan) in [
        (reasoning("hm", vec![]), Some(thinking.clone()), None),
        (
            reasoning("Go.", vec![state("tool_plan", "3")]),
            None,
            Some("Go."),
        ),
        (
            reasoning("hmGo.", vec![state("tool_plan", "3")]),
            Some(thinking),
            Some("Go."),
        ),
        // What does not fit the text was not told by this codec: thinking it stays.
        (
            reasoning("é", vec![state("tool_plan", "1")]),
            Some(json!([{"type": "thinking", "thinking": "é"}])),
            None,
        ),
        (
            reasoning("a", vec![state("tool_plan", "7"), state("other", "1")]),
            Some(json!([{"type": "thinking", "thinking": "a"}])),
            None,
        ),
    ] {
        let sent = assistant(vec![part, call()]);
        assert_eq!(sent.get("content"), content.as_ref());
        assert_eq!(sent.get("tool_plan"), plan.map(Value::from).as_ref());
        assert_eq!(sent["tool_calls"], wire_call);
    }
}

#[test]
fn documents_and_failed_tools() {
    let document = |title: Option<&str>| {
        Part::Document(Document {
            source: DocumentSource::Text {
                text: "body".to_owned(),
                mime: "text/plain".to_owned(),
            },
            title: title.map(str::to_owned),
            citations: false,
        })
    };
    let user = body(&request(vec![message(
        Role::User,
        vec![document(Some("T"))],
    )]));
    assert_eq!(user["messages"][0]["content"], "T\n\nbody");

    let result = |parts, is_error| {
        let result = Part::ToolResult {
            tool_call_id: "c".to_owned(),
            parts,
            is_error,
        };
        body(&request(vec![message(Role::Tool, vec![result])]))["messages"][0]["content"].clone()
    };
    let text = || Part::Text("no".to_owned());
    let block = json!({"type": "document", "document": {"data": {"title": "T", "text": "body"}}});
    assert_eq!(result(vec![text()], false), "no");
    assert_eq!(result(vec![], false), "");
    assert_eq!(result(vec![document(Some("T"))], false), json!([block]));
    assert_eq!(result(vec![text()], true), "Error: no");
    assert_eq!(result(vec![], true), "Error");
    assert_eq!(
        result(vec![document(Some("T"))], true),
        json!([{"type": "text", "text": "Error"}, block])
    );
}
