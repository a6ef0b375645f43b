//! What each kind is sent, and what it is not. What each feature looks like at every kind, byte for byte, is in the
//! node's `golden`.

use super::*;
use crate::Error;
use crate::chat::Source;
use crate::codec::{Codec, Kind, Target};

mod answers;

/// A model of each kind that has embeddings.
pub(super) const MODELS: [(Kind, &str); 8] = [
    (Kind::OpenAi, "text-embedding-3-small"),
    (Kind::OpenAiCompatible, "bge-m3"),
    (Kind::AzureOpenAi, "my-embedder"),
    (Kind::Gemini, "gemini-embedding-001"),
    (Kind::Mistral, "mistral-embed"),
    (Kind::Cohere, "embed-v4.0"),
    (Kind::Bedrock, "cohere.embed-v4:0"),
    (Kind::Bedrock, "amazon.titan-embed-text-v2:0"),
];

pub(super) fn asking(texts: &[&str]) -> Request {
    let texts = texts.iter().map(|it| Input::Text((*it).to_owned()));
    Request {
        inputs: texts.collect(),
        input_type: Some(InputType::Query),
        ..Request::default()
    }
}

pub(super) fn pixel() -> Input {
    Input::Image(Image {
        source: Source::Bytes {
            mime: "image/png".to_owned(),
            data: vec![0].into(),
        },
        detail: None,
    })
}

/// The field that a request is refused for.
#[track_caller]
fn refused(kind: Kind, model: &str, request: &Request) -> String {
    let sent = Codec::new(kind).encode_embeddings(request, &Target::of(model));
    let error = sent.expect_err("it is not sent");
    assert!(error.to_string().contains(kind.as_str()), "{error}");
    error.field().expect("a field").to_owned()
}

#[test]
fn what_no_provider_takes_is_named() {
    let named = |request: &Request| {
        request
            .out_of_range()
            .into_iter()
            .map(|(field, _)| field)
            .collect::<Vec<_>>()
    };
    assert!(named(&asking(&["a"])).is_empty());
    assert_eq!(named(&asking(&[])), ["inputs"]);
    assert_eq!(named(&asking(&["a"; 2049])), ["inputs"]);
    let mut request = asking(&["a", ""]);
    request.inputs.push(Input::Tokens(Vec::new()));
    request.dimensions = Some(0);
    assert_eq!(named(&request), ["dimensions", "inputs[1]", "inputs[2]"]);
}

#[test]
fn more_inputs_than_a_kind_takes_are_refused() {
    for (kind, model, most) in [
        (Kind::OpenAi, "m", 2048),
        (Kind::Gemini, "m", 100),
        (Kind::Cohere, "m", 96),
        (Kind::Bedrock, "cohere.embed-english-v3", 96),
        (Kind::Bedrock, "amazon.titan-embed-text-v2:0", 1),
    ] {
        let sent = |count| {
            Codec::new(kind).encode_embeddings(&asking(&vec!["a"; count]), &Target::of(model))
        };
        assert!(sent(most).is_ok(), "{model}");
        if most < MOST_INPUTS {
            let error = sent(most + 1).unwrap_err();
            assert_eq!(error.field(), Some("inputs"), "{model}: {error}");
        }
    }
}

#[test]
fn kinds_and_models_without_embeddings_are_refused_by_name() {
    assert_eq!(refused(Kind::Anthropic, "claude", &asking(&["a"])), "model");
    assert_eq!(
        refused(Kind::Bedrock, "amazon.nova-lite-v1:0", &asking(&["a"])),
        "model"
    );
}

#[test]
fn inputs_are_refused_by_those_who_do_not_take_them() {
    for (kind, model) in MODELS {
        let mut request = asking(&[]);
        request.input_type = None;
        request.inputs = vec![Input::Tokens(vec![1, 2])];
        if matches!(
            kind,
            Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi
        ) {
            let sent = Codec::new(kind)
                .encode_embeddings(&request, &Target::of(model))
                .unwrap();
            let body = String::from_utf8(sent.body.to_vec()).unwrap();
            assert!(body.contains(r#""input":[[1,2]]"#), "{body}");
            request.inputs.push(Input::Text("a".to_owned()));
            assert_eq!(refused(kind, model, &request), "inputs[1]");
            request.inputs.rotate_left(1);
            assert_eq!(refused(kind, model, &request), "inputs[1]");
        } else {
            assert_eq!(refused(kind, model, &request), "inputs[0]", "{model}");
        }
    }
}

#[test]
fn cohere_is_sent_pictures_alone_or_among_texts() {
    let mut request = asking(&["a"]);
    request.inputs.push(pixel());
    let sent = |kind, model, request: &Request| {
        let sent = Codec::new(kind).encode_embeddings(request, &Target::of(model));
        String::from_utf8(sent.unwrap().body.to_vec()).unwrap()
    };
    assert_eq!(
        sent(Kind::Cohere, "embed-v4.0", &request),
        r#"{"model":"embed-v4.0","input_type":"search_query","inputs":[{"content":[{"type":"text","text":"a"}]},{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}],"embedding_types":["float"]}"#
    );
    assert_eq!(
        sent(Kind::Bedrock, "cohere.embed-v4:0", &request),
        r#"{"input_type":"search_query","inputs":[{"content":[{"type":"text","text":"a"}]},{"content":[{"type":"image_url","image_url":"data:image/png;base64,AA=="}]}],"embedding_types":["float"]}"#
    );
    request.inputs = vec![pixel()];
    request.input_type = None;
    assert_eq!(
        sent(Kind::Cohere, "embed-english-v3.0", &request),
        r#"{"model":"embed-english-v3.0","input_type":"image","images":["data:image/png;base64,AA=="],"embedding_types":["float"]}"#
    );
    assert_eq!(refused(Kind::Cohere, "embed-v4.0", &request), "input_type");
    request.inputs = vec![Input::Image(Image {
        source: Source::Url("https://x.example/y.png".to_owned()),
        detail: None,
    })];
    assert_eq!(refused(Kind::Cohere, "embed-v4.0", &request), "inputs[0]");
}

#[test]
fn how_closely_to_look_is_not_said_and_that_is_told() {
    let mut request = asking(&["a"]);
    request.inputs.push(Input::Image(Image {
        source: Source::Url("https://x.example/y.png".to_owned()),
        detail: Some("low".to_owned()),
    }));
    assert_eq!(
        refused(Kind::Gemini, "m", &request),
        "inputs[1].image.detail"
    );
    let target = Target {
        drop_unsupported: true,
        ..Target::of("m")
    };
    let sent = Codec::new(Kind::Gemini)
        .encode_embeddings(&request, &target)
        .unwrap();
    assert_eq!(sent.warnings[0].field, "inputs[1].image.detail");
}

#[test]
fn bedrock_has_words_of_its_own_for_what_is_left_out() {
    let mut request = asking(&["a"]);
    for (truncation, third, fourth) in [
        (Truncation::Refuse, "NONE", "NONE"),
        (Truncation::Start, "START", "LEFT"),
        (Truncation::End, "END", "RIGHT"),
    ] {
        request.truncation = Some(truncation);
        for (model, word) in [
            ("cohere.embed-english-v3", third),
            ("eu.cohere.embed-v4:0", fourth),
        ] {
            let sent = Codec::new(Kind::Bedrock).encode_embeddings(&request, &Target::of(model));
            let body: serde_json::Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
            assert_eq!(body["truncate"], word, "{model}");
        }
    }
}

#[test]
fn azure_is_addressed_by_either_interface() {
    for (version, path) in [
        (None, "/openai/v1/embeddings"),
        (Some("preview"), "/openai/v1/embeddings?api-version=preview"),
        (
            Some("2024-10-21"),
            "/openai/deployments/a%20b/embeddings?api-version=2024-10-21",
        ),
    ] {
        let target = Target {
            api_version: version,
            ..Target::of("a b")
        };
        let sent = Codec::new(Kind::AzureOpenAi).encode_embeddings(&asking(&["x"]), &target);
        assert_eq!(sent.unwrap().path, path);
    }
}

#[test]
fn options_replace_no_field_of_the_gateway() {
    for (kind, model, option) in [
        (Kind::OpenAi, "m", "encoding_format"),
        (Kind::Mistral, "m", "output_dimension"),
        (Kind::Gemini, "m", "taskType"),
        (Kind::Gemini, "m", "output_dimensionality"),
        (Kind::Cohere, "m", "embedding_types"),
        (Kind::Bedrock, "cohere.embed-v4:0", "truncate"),
        (Kind::Bedrock, "amazon.titan-embed-text-v2:0", "dimensions"),
    ] {
        let mut request = asking(&["a"]);
        let own = serde_json::json!({ option: 1 });
        request
            .provider_options
            .insert(kind.as_str().to_owned(), own);
        let error = Codec::new(kind).encode_embeddings(&request, &Target::of(model));
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert_eq!(error.field(), Some(&*format!("provider_options.{option}")));
    }
}
