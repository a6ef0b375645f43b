//! The rules of embeddings.

use std::hash::{DefaultHasher, Hash};

use http::{HeaderMap, HeaderValue};
use tollgate_provider::chat::{Usage, UsageSource};
use tollgate_provider::embeddings::{Encoding, Input, InputType, Request, Response, Vector};
use tollgate_provider::{Codec, Kind, Target as To, openai};

use super::{check_error, check_failure, hash_end, rule};

/// Decodes an answer to one of a few requests, which a number picks.
pub(super) fn answer(
    kind: Kind,
    input: &[u8],
    number: u64,
    behaviour: &mut DefaultHasher,
) -> Result<(), String> {
    let pick = |of: usize, shift: u32| usize::try_from((number >> shift) % of as u64).unwrap_or(0);
    let inputs = [2, 2, 1, 3][pick(4, 0)];
    let encodings = [
        Encoding::Float,
        Encoding::Float,
        Encoding::Int8,
        Encoding::Uint8,
        Encoding::Binary,
    ];
    let request = Request {
        inputs: vec![Input::Text("x".to_owned()); inputs],
        encoding: encodings[pick(5, 8)],
        ..Request::default()
    };
    let mut headers = HeaderMap::new();
    let line = input.split(|byte| *byte == b'\n').next().unwrap_or(input);
    if let Ok(value) = HeaderValue::from_bytes(&line[..line.len().min(20)]) {
        headers.insert("x-amzn-bedrock-input-token-count", value);
    }
    let decoded = Codec::new(kind).decode_embeddings(&headers, input, &request);
    check_failure(decoded.as_ref().err())?;
    hash_end(decoded.as_ref().err(), behaviour);
    if let Ok(response) = decoded {
        check(&request, &response)?;
        let size = response.vectors.iter().map(length).sum::<usize>();
        rule(
            size <= 4 * input.len(),
            "vectors are larger than what they were made from",
        )?;
        (response.encoding, response.usage.is_some()).hash(behaviour);
    }
    Ok(())
}

fn length(vector: &Vector) -> usize {
    match vector {
        Vector::Floats(numbers) => numbers.len(),
        Vector::Bytes(bytes) => bytes.len(),
    }
}

/// What `embeddings::Response` promises.
fn check(request: &Request, response: &Response) -> Result<(), String> {
    let vectors = &response.vectors;
    rule(
        vectors.len() == request.inputs.len(),
        "not one vector for each input",
    )?;
    let first = vectors.first().map_or(0, length);
    rule(
        first > 0 && vectors.iter().all(|it| length(it) == first),
        "vectors of different lengths",
    )?;
    let fits = vectors.iter().all(|vector| match vector {
        Vector::Floats(numbers) => {
            response.encoding == Encoding::Float && numbers.iter().all(|it| it.is_finite())
        }
        Vector::Bytes(_) => response.encoding == request.encoding,
    });
    rule(fits, "numbers that the encoding has not")?;
    let usage = Usage::of(1, 0, UsageSource::Estimated);
    let shown = openai::render_embeddings(response, "m", &usage, false);
    let shown: serde_json::Value =
        serde_json::from_slice(&shown).map_err(|error| format!("an answer is no JSON: {error}"))?;
    let Vector::Floats(numbers) = &vectors[0] else {
        return Ok(());
    };
    let again: Vec<f32> = serde_json::from_value(shown["data"][0]["embedding"].clone())
        .map_err(|error| error.to_string())?;
    rule(again == *numbers, "numbers change on their way out")
}

/// Parses a request, and sends it wherever it can go.
pub(super) fn request(input: &[u8], behaviour: &mut DefaultHasher) -> Result<(), String> {
    let mut request = match openai::parse_embedding_request(input) {
        Ok(parsed) => {
            parsed.base64.hash(behaviour);
            parsed.request
        }
        Err(error) => return check_error(&error, behaviour),
    };
    request.inputs.len().min(8).hash(behaviour);
    rule(
        request.out_of_range().is_empty(),
        "what no provider takes came through",
    )?;
    request.input_type.get_or_insert(InputType::Query);
    for kind in Kind::ALL {
        let codec = Codec::new(kind);
        for model in ["m", "cohere.embed-v4", "titan-embed-text-v2"] {
            let Ok(sent) = codec.encode_embeddings(&request, &To::of(model)) else {
                continue;
            };
            let body = serde_json::from_slice::<serde_json::Value>(&sent.body);
            rule(body.is_ok(), "a request is not JSON")?;
            let again = codec.encode_embeddings(&request, &To::of(model));
            let same = again.is_ok_and(|again| again.body == sent.body);
            rule(same, "the same request is other bytes")?;
        }
    }
    Ok(())
}
