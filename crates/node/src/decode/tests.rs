use std::time::Duration;

use prost_types::Value;
use tollgate_provider::chat::{CachePlace, CachePoint, Part, Role};

use super::*;

fn user(text: &str) -> wire::Message {
    with_part(wire::Role::User, wire::part::Part::Text(text.to_owned()))
}

fn with_part(role: wire::Role, part: wire::part::Part) -> wire::Message {
    let part = wire::Part {
        part: Some(part),
        ..Default::default()
    };
    wire::Message {
        role: role.into(),
        parts: vec![part],
        name: String::new(),
    }
}

fn minimal() -> wire::CompleteRequest {
    wire::CompleteRequest {
        model: "chat".to_owned(),
        messages: vec![user("hello")],
        ..Default::default()
    }
}

fn faults(wire: wire::CompleteRequest) -> Vec<String> {
    match request(wire) {
        Err(Error::Invalid(violations)) => violations.into_iter().map(|one| one.field).collect(),
        other => panic!("expected violations, got {other:?}"),
    }
}

fn structure(fields: Vec<(&str, Kind)>) -> Struct {
    let fields = fields
        .into_iter()
        .map(|(key, kind)| (key.to_owned(), Value { kind: Some(kind) }));
    Struct {
        fields: fields.collect(),
    }
}

#[test]
fn a_minimal_request() {
    let decoded = request(minimal()).unwrap();
    assert_eq!(decoded.model, "chat");
    assert_eq!(decoded.messages.len(), 1);
    assert_eq!(decoded.messages[0].role, Role::User);
    assert_eq!(
        decoded.messages[0].parts,
        vec![Part::Text("hello".to_owned())]
    );
    assert_eq!(decoded.max_output_tokens, None);
}

#[test]
fn every_fault_is_named_at_once() {
    let mut wire = minimal();
    wire.model = String::new();
    wire.temperature = Some(f64::NAN);
    wire.top_p = Some(1.5);
    wire.choice_count = Some(0);
    wire.stop = vec![String::new()];
    wire.logit_bias.insert("42".to_owned(), 1000.0);
    wire.metadata.insert(String::new(), "x".to_owned());
    wire.messages.push(wire::Message::default());
    wire.messages.push(wire::Message {
        role: wire::Role::User.into(),
        ..Default::default()
    });
    wire.tools.push(wire::Tool::default());
    wire.tool_choice = Some(wire::ToolChoice::default());
    wire.response_format = Some(wire::ResponseFormat::default());
    assert_eq!(
        faults(wire),
        [
            "model",
            "metadata[]",
            "messages[1].role",
            "messages[2].parts",
            "tools[0]",
            "tool_choice",
            "response_format",
            "temperature",
            "top_p",
            "choice_count",
            "stop",
            "logit_bias[42]",
        ]
    );
}

#[test]
fn no_messages() {
    let wire = wire::CompleteRequest {
        messages: Vec::new(),
        ..minimal()
    };
    assert_eq!(faults(wire), ["messages"]);
}

#[test]
fn parts_belong_to_roles() {
    use wire::part::Part as Kind;
    let call = || {
        Kind::ToolCall(wire::ToolCall {
            id: "1".into(),
            name: "f".into(),
            ..Default::default()
        })
    };
    let result = || {
        Kind::ToolResult(wire::ToolResult {
            tool_call_id: "1".into(),
            ..Default::default()
        })
    };
    for (role, part, expected) in [
        (
            wire::Role::User,
            call(),
            Some("messages[0].parts[0].tool_call"),
        ),
        (wire::Role::Assistant, call(), None),
        (
            wire::Role::Assistant,
            result(),
            Some("messages[0].parts[0].tool_result"),
        ),
        (wire::Role::Tool, result(), None),
        (
            wire::Role::Tool,
            Kind::Text("x".into()),
            Some("messages[0].parts[0].text"),
        ),
        (
            wire::Role::User,
            Kind::Refusal("x".into()),
            Some("messages[0].parts[0].refusal"),
        ),
    ] {
        let wire = wire::CompleteRequest {
            messages: vec![with_part(role, part)],
            ..minimal()
        };
        match expected {
            Some(path) => assert_eq!(faults(wire), [path]),
            None => assert!(request(wire).is_ok()),
        }
    }
}

#[test]
fn addresses_of_other_schemes_are_refused() {
    for (url, fine) in [
        ("https://example.com/a.png", true),
        ("http://example.com/a.png", true),
        ("file:///etc/passwd", false),
        ("gopher://x", false),
        ("", false),
    ] {
        let image = wire::Image {
            source: Some(wire::image::Source::Url(url.to_owned())),
            ..Default::default()
        };
        let message = with_part(wire::Role::User, wire::part::Part::Image(image));
        let wire = wire::CompleteRequest {
            messages: vec![message],
            ..minimal()
        };
        if fine {
            assert!(request(wire).is_ok(), "{url}");
        } else {
            assert_eq!(faults(wire), ["messages[0].parts[0].image.url"], "{url}");
        }
    }
}

#[test]
fn results_do_not_nest() {
    let inner = wire::Part {
        part: Some(wire::part::Part::ToolResult(wire::ToolResult::default())),
        ..Default::default()
    };
    let outer = wire::part::Part::ToolResult(wire::ToolResult {
        tool_call_id: "1".into(),
        parts: vec![inner],
        is_error: false,
    });
    let wire = wire::CompleteRequest {
        messages: vec![with_part(wire::Role::Tool, outer)],
        ..minimal()
    };
    assert_eq!(faults(wire), ["messages[0].parts[0].tool_result.parts[0]"]);
}

#[test]
fn structs_become_json() {
    let mut wire = minimal();
    wire.provider_options = Some(structure(vec![
        ("whole", Kind::NumberValue(5.0)),
        ("part", Kind::NumberValue(0.5)),
        ("text", Kind::StringValue("x".to_owned())),
        ("nothing", Kind::NullValue(0)),
        (
            "object",
            Kind::StructValue(structure(vec![("yes", Kind::BoolValue(true))])),
        ),
    ]));
    let decoded = request(wire).unwrap();
    let expected = serde_json::json!({
        "whole": 5, "part": 0.5, "text": "x", "nothing": null, "object": {"yes": true},
    });
    assert_eq!(
        serde_json::Value::Object(decoded.provider_options),
        expected
    );
}

#[test]
fn deep_structs_and_impossible_numbers_are_refused() {
    let mut deep = structure(vec![]);
    for _ in 0..MAX_JSON_DEPTH {
        deep = structure(vec![("a", Kind::StructValue(deep))]);
    }
    let wire = wire::CompleteRequest {
        provider_options: Some(deep),
        ..minimal()
    };
    assert_eq!(faults(wire), ["provider_options"]);
    let nan = structure(vec![("a", Kind::NumberValue(f64::INFINITY))]);
    let wire = wire::CompleteRequest {
        provider_options: Some(nan),
        ..minimal()
    };
    assert_eq!(faults(wire), ["provider_options"]);
}

#[test]
fn schemas_keep_the_order_of_their_keys_and_must_be_objects() {
    let with = |parameters_json: &str| {
        let function = wire::FunctionTool {
            name: "look_up".to_owned(),
            parameters_json: parameters_json.to_owned(),
            ..Default::default()
        };
        let tool = wire::Tool {
            cache_hint: None,
            tool: Some(wire::tool::Tool::Function(function)),
        };
        wire::CompleteRequest {
            tools: vec![tool],
            ..minimal()
        }
    };
    let text = r#"{"type":"object","properties":{"b":{},"a":{"default":1.0}}}"#;
    let parameters = |text: &str| {
        let tools = request(with(text)).unwrap().tools;
        tools[0].function().unwrap().parameters.clone()
    };
    assert_eq!(parameters(text).unwrap().get(), text);
    assert!(parameters("").is_none());
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    for bad in ["[]", "{", "null", deep.as_str()] {
        assert_eq!(
            faults(with(bad)),
            ["tools[0].function.parameters_json"],
            "{bad}"
        );
    }
}

#[test]
fn cache_hints_are_read_by_their_place() {
    let hint = |seconds| {
        Some(wire::CacheHint {
            time_to_live: Some(prost_types::Duration { seconds, nanos: 0 }),
        })
    };
    let mut wire = minimal();
    wire.messages[0].parts[0].cache_hint = hint(3600);
    let points = request(wire.clone()).unwrap().cache_points;
    let place = CachePlace::Part {
        message: 0,
        part: 0,
    };
    let hour = Duration::from_secs(3600);
    let expected = CachePoint {
        after: place,
        time_to_live: Some(hour),
    };
    assert_eq!(points, [expected]);
    wire.messages[0].parts[0].cache_hint = hint(0);
    let field = "messages[0].parts[0].cache_hint.time_to_live";
    let Err(Error::Invalid(violations)) = request(wire) else {
        panic!("a hint without a length of time was taken");
    };
    assert_eq!(violations[0].field, field);
}

#[test]
fn every_field_of_reasoning_counts() {
    let mut wire = minimal();
    wire.reasoning = Some(wire::ReasoningRequest {
        include_text: Some(false),
        ..Default::default()
    });
    let reasoning = request(wire).unwrap().reasoning.unwrap();
    assert_eq!(reasoning.include_text, Some(false));
}

/// Tools that a provider runs, files that it keeps, and answers in sound: what no provider could make anything of.
#[test]
fn what_belongs_to_a_provider_must_say_what_it_is() {
    use wire::part::Part as Kind;
    let tool = |tool: wire::ProviderTool| wire::Tool {
        tool: Some(wire::tool::Tool::Provider(tool)),
        ..Default::default()
    };
    let of = |kind: &str, settings: &str, provider: &str| {
        tool(wire::ProviderTool {
            r#type: kind.to_owned(),
            settings_json: settings.to_owned(),
            provider: provider.to_owned(),
        })
    };
    let document = Kind::Document(wire::Document {
        source: Some(wire::document::Source::FileId(String::new())),
        ..Default::default()
    });
    let image = Kind::Image(wire::Image {
        source: Some(wire::image::Source::FileId(String::new())),
        ..Default::default()
    });
    let earlier = Kind::Audio(wire::Audio {
        id: "audio-1".to_owned(),
        ..Default::default()
    });
    let request = wire::CompleteRequest {
        messages: vec![
            with_part(wire::Role::User, document),
            with_part(wire::Role::User, image),
            with_part(wire::Role::User, earlier),
            with_part(wire::Role::Assistant, Kind::Audio(wire::Audio::default())),
        ],
        tools: vec![
            of("", "{}", ""),
            of("a", "[]", ""),
            of("a", r#"{"type":"b"}"#, ""),
            of("a", "", "nobody"),
            of("a", "", "anthropic"),
        ],
        output_modalities: vec![wire::OutputModality::Audio.into(), 0],
        audio_output: Some(wire::AudioOutput::default()),
        ..minimal()
    };
    let mut faults = faults(request);
    faults.sort();
    assert_eq!(
        faults,
        [
            "audio_output.voice",
            "messages[0].parts[0].document.file_id",
            "messages[1].parts[0].image.file_id",
            "messages[2].parts[0].audio",
            "messages[3].parts[0].audio",
            "output_modalities[1]",
            "tools[0].provider.type",
            "tools[1].provider.settings_json",
            "tools[2].provider.settings_json",
            "tools[3].provider.provider",
        ]
    );
}
