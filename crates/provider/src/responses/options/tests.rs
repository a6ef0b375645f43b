use serde_json::{Value, json};

use crate::Error;
use crate::chat::{Message, Request, ResponseFormat, Role};
use crate::codec::{Api, Codec, HttpRequest, Kind, Target};

fn with_options(options: Value) -> Request {
    let Value::Object(provider_options) = options else {
        panic!("options are an object");
    };
    Request {
        messages: vec![Message::text(Role::User, "hi")],
        provider_options,
        ..Request::default()
    }
}

fn encode(request: &Request) -> Result<HttpRequest, Error> {
    let codec = Codec::new(Kind::OpenAi).over(Api::Responses).unwrap();
    codec.encode(request, &Target::of("gpt-5.4"), false)
}

#[test]
fn options_join_what_the_gateway_writes() {
    let asked = Request {
        response_format: Some(ResponseFormat::Text),
        ..with_options(json!({
            "openai": {
                "include": ["web_search_call.action.sources", "reasoning.encrypted_content"],
                "text": {"verbosity": "high"},
                "truncation": "auto",
            },
            "anthropic": {"container": "x"},
        }))
    };
    let sent: Value = serde_json::from_slice(&encode(&asked).unwrap().body).unwrap();
    assert_eq!(
        sent["include"],
        json!([
            "reasoning.encrypted_content",
            "web_search_call.action.sources"
        ])
    );
    assert_eq!(
        sent["text"],
        json!({"format": {"type": "text"}, "verbosity": "high"})
    );
    assert_eq!(sent["truncation"], "auto");
    assert_eq!(sent.get("container"), None);
}

#[test]
fn options_replace_no_field_of_the_gateways() {
    for (options, field) in [
        (json!({"store": true}), "store"),
        (
            json!({"previous_response_id": "resp_1"}),
            "previous_response_id",
        ),
        (json!({"conversation": "conv_1"}), "conversation"),
        (json!({"background": true}), "background"),
        (json!({"input": "x"}), "input"),
        (json!({"instructions": "x"}), "instructions"),
        (json!({"reasoning": {"effort": "low"}}), "reasoning.effort"),
        (json!({"reasoning": 1}), "reasoning"),
        (json!({"text": {"format": {}}}), "text.format"),
        (json!({"include": "x"}), "include"),
        (json!({"include": [1]}), "include"),
        (json!({"tools": []}), "tools"),
        (json!({"prompt_cache_key": "k"}), "prompt_cache_key"),
    ] {
        let error = encode(&with_options(options)).unwrap_err();
        let field = format!("provider_options.{field}");
        assert_eq!(error.field(), Some(&*field));
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
}

#[test]
fn what_only_chat_completions_have_is_a_tool_here_or_refused() {
    let search = json!({
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"country": "DE", "city": "Köln"}},
    });
    let place = json!({"type": "approximate", "country": "DE", "city": "Köln"});
    for options in [
        json!({"web_search_options": search}),
        json!({"openai": {"web_search_options": search}}),
    ] {
        let sent = encode(&with_options(options)).unwrap();
        let sent: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(
            sent["tools"],
            json!([{"type": "web_search", "search_context_size": "low", "user_location": place}])
        );
        assert_eq!(sent.get("web_search_options"), None);
    }
    let bare = encode(&with_options(json!({"web_search_options": {}}))).unwrap();
    let bare: Value = serde_json::from_slice(&bare.body).unwrap();
    assert_eq!(bare["tools"], json!([{"type": "web_search"}]));
    let error = encode(&with_options(json!({"web_search_options": true}))).unwrap_err();
    assert_eq!(error.field(), Some("provider_options.web_search_options"));

    let predicted = with_options(json!({"prediction": {"type": "content", "content": "x"}}));
    let error = encode(&predicted).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert_eq!(error.field(), Some("provider_options.prediction"));
    let codec = Codec::new(Kind::OpenAi).over(Api::Responses).unwrap();
    let target = Target {
        drop_unsupported: true,
        ..Target::of("gpt-5.4")
    };
    let sent = codec.encode(&predicted, &target, false).unwrap();
    assert_eq!(sent.warnings[0].field, "provider_options.prediction");
    let sent: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(sent.get("prediction"), None);
}
