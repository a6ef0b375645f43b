//! Embeddings at Bedrock: `InvokeModel`, whose body is of the format of the model's maker.
//!
//! Which that is, the model's name tells: Amazon's Titan models for text, one text at a time, and Cohere's.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::errors;
use crate::chat::{Json, Usage, UsageSource};
use crate::codec::{HttpRequest, Target};
use crate::cohere::embeddings::{self as cohere, Form};
use crate::embeddings::{
    Encoding, Input, Numbers, Request, Response, Told, Truncation, all_there, packed_bits,
    unreadable,
};
use crate::failure::Failure;
use crate::unsupported::Unsupported;
use crate::usage::count;
use crate::{Error, options, path};

/// Fields the gateway itself writes; a provider option must not replace one.
const RESERVED: [&str; 3] = ["inputText", "dimensions", "embeddingTypes"];

/// The header that tells the count where the body does not.
const INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Titan<'a> {
    input_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding_types: Option<[&'static str; 1]>,
    #[serde(flatten)]
    options: &'a Map<String, Value>,
}

/// Encodes a request; `given` are the options of the kind.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    given: &Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<HttpRequest, Error> {
    let model = target.model;
    let path = format!("/model/{}/invoke", path::encode(model, ""));
    if model.contains("cohere.embed-") {
        let third = model.contains("-v3");
        let form = if third {
            Form::BedrockThird
        } else {
            Form::BedrockFourth
        };
        return cohere::post(path, request, (model, form), given, unsupported);
    }
    if !model.contains("titan-embed-text-") {
        let problem = "of its models that make vectors, only those named amazon.titan-embed-text-… and cohere.embed-… are spoken to";
        return Err(unsupported.refuse("model", problem));
    }
    let body = titan(request, given, unsupported)?;
    HttpRequest::post(path, "application/json", &body)
}

fn titan<'a>(
    request: &'a Request,
    given: &'a Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<Titan<'a>, Error> {
    unsupported.fields([
        (
            matches!(request.encoding, Encoding::Int8 | Encoding::Uint8),
            "encoding",
            "it writes vectors as float or binary",
        ),
        (
            matches!(
                request.truncation,
                Some(Truncation::Start | Truncation::End)
            ),
            "truncation",
            "it refuses inputs that are too long; cut them before",
        ),
        (
            request.user.is_some(),
            "user",
            "it is not told who the end user is",
        ),
    ])?;
    options::check(given, &RESERVED)?;
    let [input] = request.inputs.as_slice() else {
        return Err(unsupported.refuse("inputs", "it takes one text at a time"));
    };
    let Input::Text(input_text) = input else {
        return Err(unsupported.refuse("inputs[0]", "it takes texts only"));
    };
    Ok(Titan {
        input_text,
        dimensions: request.dimensions,
        embedding_types: (request.encoding == Encoding::Binary).then_some(["binary"]),
        options: given,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TitanAnswer {
    embedding: Option<Numbers>,
    embeddings_by_type: Option<ByType>,
    input_text_token_count: Option<f64>,
}

#[derive(Deserialize)]
struct ByType {
    binary: Option<Numbers>,
}

/// Decodes the body of a 200, in either format.
pub(crate) fn decode(
    headers: &HeaderMap,
    body: &[u8],
    request: &Request,
) -> Result<Response, Failure> {
    let answer: TitanAnswer = serde_json::from_slice(body)
        .map_err(|error| errors::of_body(body).unwrap_or_else(|| unreadable(&error)))?;
    let told = told(answer.input_text_token_count, headers);
    let binary = answer.embeddings_by_type.and_then(|it| it.binary);
    let (encoding, vector) = match (binary, answer.embedding) {
        (Some(Numbers(bits)), _) if request.encoding == Encoding::Binary => {
            (Encoding::Binary, Numbers(packed_bits(&bits)?))
        }
        (_, Some(floats)) => (Encoding::Float, floats),
        _ => {
            let response = cohere::decode(body, request)?;
            return Ok(Response {
                usage: response.usage.or(told.usage),
                usage_report: response.usage_report.or(told.usage_report),
                ..response
            });
        }
    };
    all_there(request, encoding, vec![vector], told)
}

/// The count, which Titan's models tell among the rest of the answer, and others in a header. The report is what was said
/// there, by the name that it has there.
fn told(counted: Option<f64>, headers: &HeaderMap) -> Told {
    let header = headers
        .get(INPUT_TOKENS)
        .and_then(|it| it.to_str().ok()?.parse().ok());
    let told = match (counted, header) {
        (Some(tokens), _) => Some(("inputTextTokenCount", tokens)),
        (None, Some(tokens)) => Some((INPUT_TOKENS, tokens)),
        (None, None) => None,
    };
    let read = |(name, tokens): (&str, f64)| {
        let input = count(tokens)?;
        Some(Told {
            usage: Some(Usage::of(input, 0, UsageSource::Provider)),
            usage_report: Json::of(&BTreeMap::from([(name, input)])).ok(),
            ..Told::default()
        })
    };
    told.and_then(read).unwrap_or_default()
}
