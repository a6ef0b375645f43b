use super::{ChatRequest, parse_request};
use crate::Error;
use crate::chat::{
    CachePlace, Effort, Function, Message, ProviderTool, Reasoning, ResponseFormat, Role, Tool,
    ToolChoice,
};

pub(super) fn parse(body: &str) -> ChatRequest {
    parse_request(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// A body with one user message and these further fields.
fn with(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{comma}{fields}}}"#)
}

/// A body with these messages.
pub(super) fn saying(messages: &str) -> String {
    format!(r#"{{"model":"m","messages":[{messages}]}}"#)
}

#[test]
fn sampling_fields_are_read() {
    let parsed = parse(&with(
        r#""max_completion_tokens":9,"temperature":0.5,"top_p":1,"stop":["a","b"],"seed":-3,"n":2,
        "frequency_penalty":1.5,"presence_penalty":-1,"logit_bias":{"50256":-100},"logprobs":true,
        "top_logprobs":4,"parallel_tool_calls":false,"reasoning_effort":"high","user":"u",
        "metadata":{"team":"x"},"stream":true,"stream_options":{"include_usage":true}"#,
    ));
    let request = parsed.request;
    assert!(parsed.stream && parsed.include_usage);
    assert_eq!(request.model, "m");
    assert_eq!(request.messages, [Message::text(Role::User, "hi")]);
    assert_eq!(request.max_output_tokens, Some(9));
    assert_eq!((request.temperature, request.top_p), (Some(0.5), Some(1.0)));
    assert_eq!(request.stop, ["a", "b"]);
    assert_eq!(
        (request.seed, request.choices, request.choice_count()),
        (Some(-3), Some(2), 2)
    );
    assert_eq!(
        (request.frequency_penalty, request.presence_penalty),
        (Some(1.5), Some(-1.0))
    );
    assert_eq!(request.logit_bias["50256"], -100.0);
    assert_eq!(
        (request.logprobs, request.top_logprobs),
        (Some(true), Some(4))
    );
    assert_eq!(request.parallel_tool_calls, Some(false));
    assert_eq!(
        request.reasoning,
        Some(Reasoning {
            effort: Some(Effort::High),
            ..Reasoning::default()
        })
    );
    assert_eq!(request.user.as_deref(), Some("u"));
    assert_eq!(request.metadata["team"], "x");
    assert!(request.provider_options.is_empty());
}

#[test]
fn null_means_absent_and_both_spellings_of_the_limit_work() {
    let plain = parse(&with(""));
    let nulls = parse(&with(
        r#""max_tokens":null,"temperature":null,"stop":null,"n":null,"tools":null,"tool_choice":null,
        "response_format":null,"stream":null,"stream_options":null,"user":null,"whatever":null"#,
    ));
    assert_eq!(plain, nulls);
    assert!(!plain.stream && !plain.include_usage);
    assert_eq!(
        parse(&with(r#""max_tokens":7"#)).request.max_output_tokens,
        Some(7)
    );
    let same = parse(&with(r#""max_tokens":7,"max_completion_tokens":7"#));
    assert_eq!(same.request.max_output_tokens, Some(7));
    assert_eq!(parse(&with(r#""stop":"x""#)).request.stop, ["x"]);
}

#[test]
fn fields_unknown_here_are_carried() {
    let request = parse(&with(r#""verbosity":"low","min_p":0.5"#)).request;
    let options = serde_json::Value::Object(request.provider_options);
    assert_eq!(
        options,
        serde_json::json!({"verbosity": "low", "min_p": 0.5})
    );
}

fn function(tool: &Tool) -> &Function {
    tool.function().unwrap()
}

/// Anthropic's and the like stand there as they are, others name theirs as functions.
#[test]
fn tools_that_a_provider_runs_are_read_with_all_that_is_said_of_them() {
    let request = parse(&with(
        r#""tools":[{"type":"web_search_20250305","name":"web_search","max_uses":3,
        "cache_control":{"type":"ephemeral"}},
        {"type":"builtin_function","function":{"name":"$web_search","parameters":{"z":1}}}]"#,
    ))
    .request;
    let settings = [
        serde_json::json!({"name": "web_search", "max_uses": 3}),
        serde_json::json!({"function": {"name": "$web_search", "parameters": {"z": 1}}}),
    ];
    let kinds = ["web_search_20250305", "builtin_function"];
    for ((tool, kind), settings) in request.tools.iter().zip(kinds).zip(settings) {
        let serde_json::Value::Object(settings) = settings else {
            panic!("settings are an object");
        };
        let expect = ProviderTool {
            kind: kind.to_owned(),
            settings,
            provider: None,
        };
        assert_eq!(tool, &Tool::Provider(expect));
    }
    assert_eq!(request.cache_points.len(), 1);
    assert_eq!(request.cache_points[0].after, CachePlace::Tool(0));
}

#[test]
fn tools_and_formats_are_read() {
    let request = parse(&with(
        r#""tools":[{"type":"function","function":{"name":"f","description":"d",
        "parameters":{"z":1,"a":2},"strict":true}},{"type":"function","function":{"name":"g"}}],
        "tool_choice":{"type":"function","function":{"name":"f"}},
        "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"z":1,"a":2}}}"#,
    ))
    .request;
    assert_eq!(request.tools.len(), 2);
    assert_eq!(
        function(&request.tools[0])
            .parameters
            .as_ref()
            .unwrap()
            .get(),
        r#"{"z":1,"a":2}"#
    );
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("f".to_owned())));
    let Some(ResponseFormat::JsonSchema(schema)) = request.response_format else {
        panic!()
    };
    assert_eq!(schema.schema.unwrap().get(), r#"{"z":1,"a":2}"#);
    for (name, choice) in [
        ("auto", ToolChoice::Auto),
        ("none", ToolChoice::None),
        ("required", ToolChoice::Required),
    ] {
        let body = with(&format!(r#""tool_choice":"{name}""#));
        assert_eq!(parse(&body).request.tool_choice, Some(choice));
    }
    let format = |text| parse(&with(text)).request.response_format;
    assert_eq!(
        format(r#""response_format":{"type":"text"}"#),
        Some(ResponseFormat::Text)
    );
    assert_eq!(
        format(r#""response_format":{"type":"json_object"}"#),
        Some(ResponseFormat::JsonObject)
    );
}

/// Checks that the body is refused for the field at this path, with these words in the error.
pub(super) fn check_refused(body: &str, path: &str, words: &str) {
    match parse_request(body.as_bytes()) {
        Err(Error::Invalid {
            path: found,
            problem,
        }) => {
            assert_eq!(found, path, "{problem}: {body}");
            assert!(
                problem.contains(words),
                "{problem:?} lacks {words:?}: {body}"
            );
        }
        other => panic!("{other:?}: {body}"),
    }
}

#[test]
fn numbers_that_no_provider_takes_are_refused() {
    for (field, path, problem) in [
        (r#""temperature":9"#, "temperature", "from 0 to 2"),
        (r#""n":1000"#, "n", "from 1 to 128"),
        (r#""max_tokens":0"#, "max_tokens", "at least 1"),
        (
            r#""logit_bias":{"7":101}"#,
            "logit_bias[7]",
            "from -100 to 100",
        ),
    ] {
        check_refused(&with(field), path, problem);
    }
}

#[test]
fn errors_name_the_field_of_the_shape() {
    check_refused("", "body", "EOF");
    check_refused("{", "body", "EOF");
    check_refused(r#"{"model":"m","messages":[{"role":"#, "body", "EOF");
    check_refused("[1]", "body", "expected a JSON object");
    check_refused(&(with("") + "x"), "body", "trailing characters");
    check_refused(
        &with(r#""temperature":"hot""#),
        "temperature",
        "expected f64",
    );
    check_refused(&with(r#""max_tokens":-1"#), "max_tokens", "expected u32");
    check_refused(&with(r#""n":1.5"#), "n", "expected u32");
    check_refused(&with(r#""seed":1e400000"#), "seed", "number out of range");
    check_refused(
        &with(r#""metadata":{"a":1}"#),
        "metadata.a",
        "expected a string",
    );
    check_refused(
        &with(r#""top_p":1,"top_p":0"#),
        "body",
        "duplicate field `top_p`",
    );
    check_refused(&with(r#""x":1,"x":0"#), "body", "duplicate field `x`");
    check_refused(
        &with(r#""stream_options":{"usage":true}"#),
        "stream_options.usage",
        "unknown field",
    );
    check_refused(
        &saying(r#"{"role":"user","content":5}"#),
        "messages[0].content",
        "a string or an array",
    );
    check_refused(
        &saying(r#"{"role":"user","content":"a","cache":1}"#),
        "messages[0].cache",
        "unknown field",
    );
    check_refused(
        &saying(
            r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":7}]}"#,
        ),
        "messages[0].content[1].text",
        "expected a string",
    );
    check_refused(
        &with(r#""tools":[{"type":"function","function":{"description":"d"}}]"#),
        "tools[0].function",
        "missing field `name`",
    );
}

#[test]
fn errors_name_the_field_of_sound_and_of_tools_of_all_kinds() {
    check_refused(&with(r#""audio":{"format":"wav"}"#), "audio", "voice");
    check_refused(
        &with(r#""modalities":["text","smell"]"#),
        "modalities[1]",
        "audio",
    );
    check_refused(&with(r#""tools":[{}]"#), "tools[0].type", "required");
    check_refused(
        &with(r#""tools":[{"type":"function","function":{"name":"f"},"name":"f"}]"#),
        "tools[0].name",
        "unknown field",
    );
}

#[test]
fn errors_name_the_field_of_the_meaning() {
    check_refused(
        r#"{"messages":[{"role":"user","content":"a"}]}"#,
        "model",
        "required",
    );
    check_refused(
        r#"{"model":"","messages":[{"role":"user","content":"a"}]}"#,
        "model",
        "required",
    );
    check_refused(r#"{"model":"m"}"#, "messages", "required");
    check_refused(r#"{"model":"m","messages":[]}"#, "messages", "at least one");
    check_refused(&with(r#""n":0"#), "n", "at least 1");
    check_refused(&with(r#""max_tokens":0"#), "max_tokens", "at least 1");
    check_refused(
        &with(r#""max_tokens":1,"max_completion_tokens":2"#),
        "max_tokens",
        "differs",
    );
    check_refused(&with(r#""stop":5"#), "stop", "string or an array");
    check_refused(
        &with(r#""reasoning_effort":"huge""#),
        "reasoning_effort",
        "none, minimal, low",
    );
    check_refused(&with(r#""functions":[]"#), "functions", "use tools");
    check_refused(
        &with(r#""stream_options":{}"#),
        "stream_options",
        "stream is true",
    );
    check_refused(&with(r#""tool_choice":"any""#), "tool_choice", "expected");
    check_refused(
        &with(r#""tools":[{"type":"custom"}]"#),
        "tools[0].type",
        "function",
    );
    check_refused(
        &with(r#""tools":[{"type":"function"}]"#),
        "tools[0].function",
        "required",
    );
    check_refused(
        &with(r#""response_format":{"type":"xml"}"#),
        "response_format.type",
        "json_schema",
    );
    check_refused(
        &with(r#""response_format":{"type":"json_schema"}"#),
        "response_format.json_schema",
        "required",
    );
}

#[test]
fn deep_documents_are_refused_wherever_they_stand() {
    let nest = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    parse(&with(&format!(r#""x":{}"#, nest(64))));
    check_refused(&with(&format!(r#""x":{}"#, nest(65))), "x", "too deeply");
    let tool = |levels| {
        with(&format!(
            r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{}}}}}]"#,
            nest(levels)
        ))
    };
    parse(&tool(64));
    check_refused(&tool(65), "tools[0].function.parameters", "deeper than 64");
    // Far beyond what a recursive parser could take.
    let bomb = "[".repeat(200_000);
    assert!(parse_request(bomb.as_bytes()).is_err());
    assert!(parse_request(with(&format!(r#""x":{bomb}"#)).as_bytes()).is_err());
    check_refused(
        &tool(200_000),
        "tools[0].function.parameters",
        "deeper than 64",
    );
}

#[test]
fn errors_stay_short_however_long_the_request() {
    let long = "é".repeat(100_000);
    for body in [
        with(&format!(r#""temperature":"{long}""#)),
        with(&format!(r#""metadata":{{"{long}":1}}"#)),
        with(&format!(r#""{long}":1,"{long}":1"#)),
        saying(&format!(r#"{{"role":"{long}","content":"a"}}"#)),
    ] {
        let error = parse_request(body.as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 700, "{}", error.to_string().len());
    }
}

#[test]
fn no_list_grows_without_bound() {
    let many = |element: &str, count: usize| vec![element; count].join(",");
    let message = r#"{"role":"user","content":"a"}"#;
    parse(&saying(&many(message, 16_384)));
    check_refused(&saying(&many(message, 16_385)), "messages", "at most 16384");
    let parts = many(r#"{"type":"text","text":""}"#, 4097);
    let body = saying(&format!(r#"{{"role":"user","content":[{parts}]}}"#));
    check_refused(&body, "messages[0].content", "at most 4096");
    let tools = many(r#"{"type":"function","function":{"name":"f"}}"#, 1025);
    check_refused(
        &with(&format!(r#""tools":[{tools}]"#)),
        "tools",
        "at most 1024",
    );
    let fields: Vec<String> = (0..127).map(|n| format!(r#""f{n}":1"#)).collect();
    parse(&with(&fields[1..].join(",")));
    check_refused(&with(&fields.join(",")), "body", "too many fields");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        drop(parse_request(&bytes));
    }

    /// Every document cut short is refused, and says so without a panic.
    #[test]
    fn a_cut_body_is_refused(at in 0_usize..120) {
        let body = with(r#""tools":[{"type":"function","function":{"name":"f"}}],"stop":["a"]"#);
        proptest::prop_assert!(parse_request(&body.as_bytes()[..at.min(body.len() - 1)]).is_err());
    }
}

#[test]
fn a_schema_in_the_wrong_place_is_not_passed_over() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],
        "response_format":{"type":"json_object","schema":{"type":"object"}}}"#;
    let error = parse_request(body.as_bytes()).unwrap_err();
    assert_eq!(error.field(), Some("response_format"));
    assert!(error.to_string().contains("schema"), "{error}");
}
