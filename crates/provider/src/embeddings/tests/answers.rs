//! What each kind answers.

use http::HeaderMap;

use super::{MODELS, asking, pixel};
use crate::chat::{Billed, Json, Usage, UsageSource};
use crate::codec::{Codec, Kind};
use crate::embeddings::{Encoding, Request, Response, Vector};
use crate::failure::{Class, Failure};

fn decode(kind: Kind, request: &Request, body: &str) -> Result<Response, Failure> {
    Codec::new(kind).decode_embeddings(&HeaderMap::new(), body.as_bytes(), request)
}

/// An answer of each kind, of one vector for each text; each is of (0.5, -2).
fn sample(kind: Kind, model: &str) -> (Request, &'static str) {
    let two = asking(&["a", "b"]);
    match kind {
        Kind::OpenAi | Kind::AzureOpenAi => (
            two,
            r#"{"object":"list","data":[{"object":"embedding","index":1,"embedding":"AAAAPwAAAMA="},{"object":"embedding","index":0,"embedding":"AAAAPwAAAMA="}],"model":"text-embedding-3-small","usage":{"prompt_tokens":4,"total_tokens":4}}"#,
        ),
        Kind::OpenAiCompatible => (
            two,
            r#"{"data":[{"embedding":[0.5,-2]},{"embedding":[5e-1,-2.0]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#,
        ),
        Kind::Mistral => (
            two,
            r#"{"id":"1","object":"list","data":[{"object":"embedding","embedding":[0.5,-2],"index":0},{"object":"embedding","embedding":[0.5,-2],"index":1}],"model":"mistral-embed","usage":{"prompt_audio_seconds":null,"prompt_tokens":4,"total_tokens":4,"completion_tokens":0}}"#,
        ),
        Kind::Gemini => (
            two,
            r#"{"embeddings":[{"values":[0.5,-2]},{"values":[0.5,-2]}],"usageMetadata":{"promptTokenCount":4}}"#,
        ),
        Kind::Cohere => (
            two,
            r#"{"id":"1","embeddings":{"float":[[0.5,-2],[0.5,-2]]},"texts":["a","b"],"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":4}},"response_type":"embeddings_by_type"}"#,
        ),
        Kind::Bedrock if model.contains("titan") => (
            asking(&["a"]),
            r#"{"embedding":[0.5,-2],"embeddingsByType":{"float":[0.5,-2]},"inputTextTokenCount":4}"#,
        ),
        Kind::Bedrock => (
            two,
            r#"{"id":"1","embeddings":{"float":[[0.5,-2],[0.5,-2]]},"response_type":"embeddings_by_type","texts":["a","b"]}"#,
        ),
        Kind::Anthropic => unreachable!("it has no embeddings"),
    }
}

#[test]
fn a_sample_answer_of_each_kind_gives_its_vectors() {
    for (kind, model) in MODELS {
        let (request, body) = sample(kind, model);
        let response = decode(kind, &request, body).unwrap();
        let vector = Vector::Floats(vec![0.5, -2.0]);
        assert_eq!(
            response.vectors,
            vec![vector; request.inputs.len()],
            "{model}"
        );
        assert_eq!(response.encoding, Encoding::Float);
        // Bedrock counts Cohere's in a header.
        let counted = !model.starts_with("cohere.");
        let usage = counted.then(|| Usage::of(4, 0, UsageSource::Provider));
        assert_eq!(response.usage, usage, "{model}");
        let report = match kind {
            Kind::OpenAi | Kind::AzureOpenAi | Kind::OpenAiCompatible => {
                Some(r#"{"prompt_tokens":4,"total_tokens":4}"#)
            }
            Kind::Mistral => Some(
                r#"{"prompt_audio_seconds":null,"prompt_tokens":4,"total_tokens":4,"completion_tokens":0}"#,
            ),
            Kind::Gemini => Some(r#"{"promptTokenCount":4}"#),
            Kind::Cohere => {
                Some(r#"{"api_version":{"version":"2"},"billed_units":{"input_tokens":4}}"#)
            }
            Kind::Bedrock => counted.then_some(r#"{"inputTextTokenCount":4}"#),
            Kind::Anthropic => None,
        };
        let told = response.usage_report.as_ref().map(Json::get);
        assert_eq!(told, report, "{model}");
    }
}

#[test]
fn an_answer_cut_at_any_byte_is_none() {
    for (kind, model) in MODELS {
        let (request, body) = sample(kind, model);
        for cut in 0..body.len() {
            let failure = decode(kind, &request, &body[..cut]).unwrap_err();
            assert_eq!(failure.class, Class::Server, "{model} cut at {cut}");
        }
    }
}

#[test]
fn an_answer_to_another_request_is_none() {
    for (kind, model) in MODELS {
        let (mut request, body) = sample(kind, model);
        request.inputs.push(request.inputs[0].clone());
        let failure = decode(kind, &request, body).unwrap_err();
        assert_eq!(failure.class, Class::Server, "{model}");
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    let one = asking(&["a"]);
    for vector in [
        "[]",
        "[1e39]",
        "[null]",
        "{}",
        "7",
        r#""""#,
        r#""AAAA""#,
        r#""AACAfw==""#,
        r#""?""#,
    ] {
        let body = format!(r#"{{"data":[{{"index":0,"embedding":{vector}}}]}}"#);
        let failure = decode(Kind::OpenAi, &one, &body).unwrap_err();
        assert_eq!(failure.class, Class::Server, "{vector}");
    }
    let two = asking(&["a", "b"]);
    for indexes in [[0, 0], [1, 2]] {
        let item = |index| format!(r#"{{"index":{index},"embedding":[1]}}"#);
        let body = format!(r#"{{"data":[{},{}]}}"#, item(indexes[0]), item(indexes[1]));
        assert!(decode(Kind::OpenAi, &two, &body).is_err(), "{indexes:?}");
    }
    let unequal = r#"{"data":[{"embedding":[1]},{"embedding":[1,2]}]}"#;
    assert!(decode(Kind::OpenAi, &two, unequal).is_err());
}

#[test]
fn bytes_and_bits_are_packed_alike() {
    for (kind, encoding, body, bytes) in [
        (
            Kind::Mistral,
            Encoding::Int8,
            r#"{"data":[{"index":0,"embedding":[-128,127]}]}"#,
            [0x80, 0x7f],
        ),
        (
            Kind::Mistral,
            Encoding::Binary,
            r#"{"data":[{"index":0,"embedding":[255,2]}]}"#,
            [0xff, 2],
        ),
        (
            Kind::Cohere,
            Encoding::Uint8,
            r#"{"embeddings":{"uint8":[[255,0]]}}"#,
            [0xff, 0],
        ),
        (
            Kind::Cohere,
            Encoding::Int8,
            r#"{"embeddings":{"int8":[[-1,0]]}}"#,
            [0xff, 0],
        ),
        (
            Kind::Cohere,
            Encoding::Binary,
            r#"{"embeddings":{"ubinary":[[170,1]]}}"#,
            [0xaa, 1],
        ),
        (
            Kind::Bedrock,
            Encoding::Binary,
            r#"{"embedding":[1],"embeddingsByType":{"binary":[1,0,1,0,1,0,1,0,1]}}"#,
            [0xaa, 0x80],
        ),
    ] {
        let request = Request {
            encoding,
            ..asking(&["a"])
        };
        let response = decode(kind, &request, body).unwrap();
        assert_eq!(response.vectors, [Vector::Bytes(bytes.to_vec())], "{body}");
        assert_eq!(response.encoding, encoding);
    }
}

#[test]
fn numbers_of_another_encoding_are_refused() {
    for (kind, encoding, body) in [
        (
            Kind::Cohere,
            Encoding::Int8,
            r#"{"embeddings":{"int8":[[128]]}}"#,
        ),
        (Kind::Cohere, Encoding::Int8, r#"{"embeddings":[[1]]}"#),
        (
            Kind::Cohere,
            Encoding::Uint8,
            r#"{"embeddings":{"uint8":[[0.5]]}}"#,
        ),
        (
            Kind::Cohere,
            Encoding::Uint8,
            r#"{"embeddings":{"float":[[1]]}}"#,
        ),
        (
            Kind::Bedrock,
            Encoding::Binary,
            r#"{"embedding":[1],"embeddingsByType":{"binary":[2]}}"#,
        ),
    ] {
        let request = Request {
            encoding,
            ..asking(&["a"])
        };
        assert!(decode(kind, &request, body).is_err(), "{body}");
    }
}

#[test]
fn titan_may_answer_in_floats_where_no_bits_come() {
    let request = Request {
        encoding: Encoding::Binary,
        ..asking(&["a"])
    };
    let response = decode(Kind::Bedrock, &request, r#"{"embedding":[1]}"#).unwrap();
    assert_eq!(response.encoding, Encoding::Float);
}

#[test]
fn what_is_charged_for_is_told_apart_from_what_was_worked_through() {
    let usage = |meta: &str| {
        let body = format!(r#"{{"embeddings":{{"float":[[1]]}},"meta":{meta}}}"#);
        let usage = decode(Kind::Cohere, &asking(&["a"]), &body)
            .unwrap()
            .usage?;
        let billed = usage.billed.map(|Billed { input, .. }| input);
        Some((usage.input_total, billed, usage.input_image))
    };
    for (meta, expected) in [
        (r#"{"billed_units":{"input_tokens":4}}"#, Some((4, None, 0))),
        (
            r#"{"billed_units":{"input_tokens":4,"images":1,"image_tokens":258}}"#,
            Some((262, None, 258)),
        ),
        (
            r#"{"billed_units":{"input_tokens":262,"image_tokens":258,"text_tokens":4}}"#,
            Some((262, None, 258)),
        ),
        (
            r#"{"tokens":{"input_tokens":6},"billed_units":{"input_tokens":4,"image_tokens":258}}"#,
            Some((262, None, 258)),
        ),
        (
            r#"{"tokens":{"input_tokens":6},"billed_units":{"input_tokens":4}}"#,
            Some((6, Some(4), 0)),
        ),
        (
            r#"{"tokens":{"input_tokens":6},"billed_units":{"input_tokens":6}}"#,
            Some((6, None, 0)),
        ),
        (r#"{"tokens":{"input_tokens":6}}"#, Some((6, None, 0))),
        (r#"{"billed_units":{"input_tokens":-4}}"#, None),
        ("{}", None),
    ] {
        assert_eq!(usage(meta), expected, "{meta}");
    }
}

#[test]
fn pictures_are_told_apart_or_all_of_it_is_taken_for_pictures() {
    let usage = |request: &Request, report: &str| {
        let vectors = vec![r#"{"values":[1]}"#; request.inputs.len()].join(",");
        let body = format!(r#"{{"embeddings":[{vectors}],"usageMetadata":{report}}}"#);
        let usage = decode(Kind::Gemini, request, &body).unwrap().usage?;
        Some((usage.input_total, usage.input_image))
    };
    let text = asking(&["a"]);
    let mut both = asking(&["a"]);
    both.inputs.push(pixel());
    let total = r#"{"promptTokenCount":262}"#;
    let apart = r#"{"promptTokenCount":262,"promptTokensDetails":[{"modality":"TEXT","tokenCount":4},{"modality":"IMAGE","tokenCount":258}]}"#;
    let wrong =
        r#"{"promptTokenCount":7,"promptTokensDetails":[{"modality":"IMAGE","tokenCount":258}]}"#;
    assert_eq!(usage(&text, total), Some((262, 0)));
    assert_eq!(usage(&both, total), Some((262, 262)));
    assert_eq!(usage(&both, apart), Some((262, 258)));
    assert_eq!(usage(&both, wrong), None);
}

#[test]
fn bedrock_may_tell_the_count_in_a_header() {
    let (request, body) = sample(Kind::Bedrock, "cohere.embed-v4:0");
    let mut headers = HeaderMap::new();
    for (value, expected) in [("7", Some(7)), ("-7", None), ("many", None)] {
        headers.insert("x-amzn-bedrock-input-token-count", value.parse().unwrap());
        let codec = Codec::new(Kind::Bedrock);
        let response = codec.decode_embeddings(&headers, body.as_bytes(), &request);
        let usage = response.unwrap().usage;
        assert_eq!(usage.map(|usage| usage.input_total), expected, "{value}");
    }
}

#[test]
fn an_error_under_a_status_of_success_is_one() {
    for (kind, body, class) in [
        (
            Kind::OpenAi,
            r#"{"error":{"message":"m","type":"t","code":"rate_limit_exceeded"}}"#,
            Class::KeyLimited,
        ),
        (
            Kind::Gemini,
            r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
            Class::KeyLimited,
        ),
        (
            Kind::Cohere,
            r#"{"message":"too many tokens"}"#,
            Class::ContextTooLong,
        ),
        (
            Kind::Bedrock,
            r#"{"message":"too many tokens"}"#,
            Class::ContextTooLong,
        ),
    ] {
        let failure = decode(kind, &asking(&["a"]), body).unwrap_err();
        assert_eq!(failure.class, class, "{body}");
    }
}
