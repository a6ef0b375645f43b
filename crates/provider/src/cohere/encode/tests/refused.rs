//! What is refused, and by which name.

use super::*;

/// Checks that a part is refused by name in a message of this role, whatever may be left out.
fn check_refused(role: Role, part: Part) {
    let request = request(vec![message(role, vec![part])]);
    for drop_unsupported in [false, true] {
        let target = Target {
            drop_unsupported,
            ..Target::of("m")
        };
        match Codec::new(Kind::Cohere).encode(&request, &target, false) {
            Err(Error::Unsupported { field, kind, .. }) => {
                assert_eq!((&*field, kind), ("messages[0].parts[0]", "cohere"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_said_is_never_left_out() {
    let url = || Source::Url("https://example.com".to_owned());
    let image = || {
        Part::Image(Image {
            source: url(),
            detail: None,
        })
    };
    let file = || {
        Part::Document(Document {
            source: DocumentSource::File(url()),
            title: None,
            citations: false,
        })
    };
    let audio = || {
        Part::Audio(Audio {
            data: Bytes::new(),
            format: "wav".to_owned(),
            ..Audio::default()
        })
    };
    let result = |parts| Part::ToolResult {
        tool_call_id: "a".to_owned(),
        parts,
        is_error: false,
    };
    check_refused(Role::User, file());
    check_refused(Role::User, audio());
    check_refused(Role::User, reasoning("r", vec![]));
    check_refused(Role::User, Part::Refusal("r".to_owned()));
    check_refused(Role::User, result(vec![]));
    check_refused(Role::System, image());
    check_refused(Role::Assistant, image());
    check_refused(Role::Assistant, result(vec![]));
    check_refused(Role::Tool, Part::Text("t".to_owned()));
    check_refused(Role::Tool, result(vec![image()]));
    check_refused(Role::Tool, result(vec![file()]));
}

/// A change to a request, the field it concerns, and the key that must not be in the body.
type Inexpressible = (fn(&mut Request), &'static str, &'static str);

const INEXPRESSIBLE: [Inexpressible; 17] = [
    (|r| r.choices = Some(2), "choice_count", "n"),
    (
        |r| r.logit_bias = [("7".to_owned(), 1.0)].into(),
        "logit_bias",
        "logit_bias",
    ),
    (|r| r.top_logprobs = Some(1), "top_logprobs", "top_logprobs"),
    (
        |r| r.parallel_tool_calls = Some(false),
        "parallel_tool_calls",
        "parallel_tool_calls",
    ),
    (|r| r.user = Some("u".to_owned()), "user", "user"),
    (
        |r| r.service_tier = Some("flex".to_owned()),
        "service_tier",
        "service_tier",
    ),
    (|r| r.top_p = Some(1.0), "top_p", "p"),
    (|r| r.top_p = Some(0.0), "top_p", "p"),
    (|r| r.top_k = Some(501), "top_k", "k"),
    (
        |r| r.frequency_penalty = Some(-0.5),
        "frequency_penalty",
        "frequency_penalty",
    ),
    (
        |r| r.presence_penalty = Some(1.5),
        "presence_penalty",
        "presence_penalty",
    ),
    (|r| r.seed = Some(-1), "seed", "seed"),
    (
        |r| {
            r.reasoning = Some(Reasoning {
                effort: Some(Effort::High),
                budget_tokens: None,
                ..Reasoning::default()
            });
        },
        "reasoning.effort",
        "thinking",
    ),
    (
        |r| r.tools = vec![tool("a", Some(true)), tool("b", None)],
        "tools[1].strict",
        "strict_tools",
    ),
    (
        |r| r.messages[0].name = Some("ann".to_owned()),
        "messages[0].name",
        "name",
    ),
    (
        |r| {
            r.response_format = Some(ResponseFormat::JsonSchema(JsonSchema {
                name: "s".to_owned(),
                description: Some("d".to_owned()),
                schema: None,
                strict: None,
            }));
        },
        "response_format.json_schema.description",
        "description",
    ),
    (
        |r| r.stop = vec!["x".to_owned(); 6],
        "stop",
        "no such key: the first five are sent",
    ),
];

#[test]
fn what_it_has_no_words_for_is_refused_by_name_or_left_out_with_a_warning() {
    for (change, field, key) in INEXPRESSIBLE {
        let mut request = hello();
        change(&mut request);
        match encode(&request, false) {
            Err(Error::Unsupported { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
        let target = Target {
            drop_unsupported: true,
            ..Target::of("m")
        };
        let sent = Codec::new(Kind::Cohere)
            .encode(&request, &target, false)
            .unwrap();
        let fields: Vec<_> = sent
            .warnings
            .iter()
            .map(|warning| &*warning.field)
            .collect();
        assert_eq!(fields, [field]);
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body.get(key), None, "{body}");
        assert_eq!(body["messages"][0].get(key), None, "{body}");
        assert_eq!(body["stop_sequences"].as_array().map_or(0, Vec::len) % 5, 0);
    }
    assert_eq!(encode(&hello(), false).unwrap().warnings, []);
}

#[test]
fn no_thinking_with_a_budget_is_a_contradiction() {
    let mut request = hello();
    request.reasoning = Some(Reasoning {
        effort: Some(Effort::None),
        budget_tokens: Some(1),
        ..Reasoning::default()
    });
    assert_eq!(
        encode(&request, false).unwrap_err().field(),
        Some("reasoning")
    );
}

#[test]
fn provider_options_replace_no_field_of_the_gateway() {
    for key in super::super::RESERVED {
        let mut request = hello();
        request
            .provider_options
            .insert(key.to_owned(), json!("evil"));
        assert_eq!(
            encode(&request, true).unwrap_err().field(),
            Some(&*format!("provider_options.{key}"))
        );
    }
    let mut full = hello();
    full.tools = vec![tool("a", Some(true))];
    full.tool_choice = Some(ToolChoice::Required);
    full.response_format = Some(ResponseFormat::Text);
    full.max_output_tokens = Some(1);
    full.stop = vec!["x".to_owned()];
    full.reasoning = Some(Reasoning {
        effort: None,
        budget_tokens: Some(1),
        ..Reasoning::default()
    });
    (full.temperature, full.top_p, full.top_k) = (Some(0.5), Some(0.5), Some(5));
    (full.frequency_penalty, full.presence_penalty) = (Some(0.5), Some(0.5));
    (full.seed, full.logprobs) = (Some(1), Some(true));
    let written = body(&full);
    let mut keys: Vec<_> = written
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut reserved = super::super::RESERVED.to_vec();
    keys.sort_unstable();
    reserved.sort_unstable();
    assert_eq!(keys, reserved);
}
