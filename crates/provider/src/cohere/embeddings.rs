//! Cohere's `POST /embed`. Bedrock serves the same format, but for the words of `Form`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::errors;
use crate::chat::{Billed, Source, Usage, UsageSource};
use crate::codec::{HttpRequest, Target};
use crate::embeddings::{
    Encoding, Input, InputType, Numbers, Request, Response, Told, Truncation, all_there, unreadable,
};
use crate::failure::{Class, Failure};
use crate::openai::data_url;
use crate::unsupported::Unsupported;
use crate::usage::{count, part, report};
use crate::{Error, options};

/// Fields the gateway itself writes; a provider option must not replace one.
const RESERVED: [&str; 8] = [
    "model",
    "texts",
    "images",
    "inputs",
    "input_type",
    "output_dimension",
    "embedding_types",
    "truncate",
];

/// The most inputs of one request.
const MOST_INPUTS: usize = 96;

/// In which words the format is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Cohere's own.
    Cohere,
    /// Bedrock's, where the address names the model: its third generation.
    BedrockThird,
    /// Bedrock's from the fourth generation on, with other words for truncation and pictures.
    BedrockFourth,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    input_type: &'static str,
    #[serde(flatten)]
    inputs: Inputs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
    embedding_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    truncate: Option<&'static str>,
    #[serde(flatten)]
    options: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Inputs<'a> {
    Texts(Vec<&'a str>),
    Images(Vec<String>),
    #[serde(rename = "inputs")]
    Mixed(Vec<Mixed<'a>>),
}

#[derive(Serialize)]
struct Mixed<'a> {
    content: [Content<'a>; 1],
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
#[serde(untagged)]
enum ImageUrl {
    Object { url: String },
    Bare(String),
}

/// Encodes a request for Cohere itself; `given` are the options of the kind.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    given: &Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<HttpRequest, Error> {
    post(
        "/embed",
        request,
        (target.model, Form::Cohere),
        given,
        unsupported,
    )
}

/// Encodes a request for a path.
pub(crate) fn post(
    path: impl Into<Cow<'static, str>>,
    request: &Request,
    (model, form): (&str, Form),
    given: &Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<HttpRequest, Error> {
    unsupported.fields([(
        request.user.is_some(),
        "user",
        "it takes no name of an end user",
    )])?;
    options::check(given, &RESERVED)?;
    if request.inputs.len() > MOST_INPUTS {
        return Err(unsupported.refuse("inputs", "it takes at most 96 inputs at once"));
    }
    let inputs = inputs(&request.inputs, form, unsupported)?;
    let body = Body {
        model: (form == Form::Cohere).then_some(model),
        input_type: input_type(request, &inputs, model, unsupported)?,
        inputs,
        output_dimension: request.dimensions,
        embedding_types: [name(request.encoding)],
        truncate: request.truncation.map(|it| truncate(it, form)),
        options: given,
    };
    HttpRequest::post(path, "application/json", &body)
}

/// What the vectors are for, which must be told. Pictures alone are a use of their own to the third generation.
fn input_type(
    request: &Request,
    inputs: &Inputs<'_>,
    model: &str,
    unsupported: &Unsupported,
) -> Result<&'static str, Error> {
    if matches!(inputs, Inputs::Images(_)) && model.contains("-v3") {
        return Ok("image");
    }
    match request.input_type {
        Some(InputType::Query) => Ok("search_query"),
        Some(InputType::Document) => Ok("search_document"),
        Some(InputType::Classification) => Ok("classification"),
        Some(InputType::Clustering) => Ok("clustering"),
        Some(
            InputType::Similarity
            | InputType::QuestionAnswering
            | InputType::FactVerification
            | InputType::CodeQuery,
        ) => Err(unsupported.refuse(
            "input_type",
            "it knows query, document, classification and clustering",
        )),
        None => Err(unsupported.refuse(
            "input_type",
            "it must be told what the vectors are for: query, document, classification or clustering",
        )),
    }
}

fn truncate(truncation: Truncation, form: Form) -> &'static str {
    match (truncation, form) {
        (Truncation::Refuse, _) => "NONE",
        (Truncation::Start, Form::BedrockFourth) => "LEFT",
        (Truncation::End, Form::BedrockFourth) => "RIGHT",
        (Truncation::Start, Form::Cohere | Form::BedrockThird) => "START",
        (Truncation::End, Form::Cohere | Form::BedrockThird) => "END",
    }
}

/// The format's name of an encoding. Its own `binary` is of signed bytes, which hold the same bits otherwise.
fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Float => "float",
        Encoding::Int8 => "int8",
        Encoding::Uint8 => "uint8",
        Encoding::Binary => "ubinary",
    }
}

fn inputs<'a>(
    inputs: &'a [Input],
    form: Form,
    unsupported: &Unsupported,
) -> Result<Inputs<'a>, Error> {
    let (mut texts, mut images, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
    for (index, input) in inputs.iter().enumerate() {
        let refuse = |problem| Err(unsupported.refuse(format!("inputs[{index}]"), problem));
        match input {
            Input::Text(text) => texts.push((index, text.as_str())),
            Input::Tokens(_) => return refuse("it takes texts, not tokens"),
            Input::Image(image) => match &image.source {
                Source::Bytes { mime, data } => images.push((index, data_url::write(mime, data))),
                Source::Url(_) | Source::Stored(_) => {
                    return refuse("it fetches nothing from an address; send the picture as data");
                }
            },
        }
    }
    if images.is_empty() {
        return Ok(Inputs::Texts(texts.into_iter().map(|(_, it)| it).collect()));
    }
    if texts.is_empty() {
        return Ok(Inputs::Images(
            images.into_iter().map(|(_, it)| it).collect(),
        ));
    }
    mixed.extend(
        texts
            .into_iter()
            .map(|(index, text)| (index, Content::Text { text })),
    );
    let image_url = |url| match form {
        Form::Cohere => ImageUrl::Object { url },
        Form::BedrockThird | Form::BedrockFourth => ImageUrl::Bare(url),
    };
    mixed.extend(images.into_iter().map(|(index, url)| {
        let image_url = image_url(url);
        (index, Content::ImageUrl { image_url })
    }));
    mixed.sort_by_key(|(index, _)| *index);
    let mixed = mixed.into_iter();
    Ok(Inputs::Mixed(
        mixed.map(|(_, it)| Mixed { content: [it] }).collect(),
    ))
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    embeddings: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ByType {
    float: Option<Vec<Numbers>>,
    int8: Option<Vec<Numbers>>,
    uint8: Option<Vec<Numbers>>,
    ubinary: Option<Vec<Numbers>>,
}

#[derive(Deserialize)]
struct Meta {
    tokens: Option<Tokens>,
    billed_units: Option<Tokens>,
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: Option<f64>,
    image_tokens: Option<f64>,
    text_tokens: Option<f64>,
}

/// Decodes the body of a 200.
pub(crate) fn decode(body: &[u8], request: &Request) -> Result<Response, Failure> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let vectors = match answer.embeddings.map(RawValue::get) {
        // A single type that was not asked for by name comes bare.
        Some(raw) if raw.starts_with('[') && request.encoding == Encoding::Float => {
            serde_json::from_str(raw).map_err(|error| unreadable(&error))?
        }
        Some(raw) => {
            let by_type: ByType = serde_json::from_str(raw).map_err(|error| unreadable(&error))?;
            match request.encoding {
                Encoding::Float => by_type.float,
                Encoding::Int8 => by_type.int8,
                Encoding::Uint8 => by_type.uint8,
                Encoding::Binary => by_type.ubinary,
            }
            .unwrap_or_default()
        }
        None => {
            return Err(match errors::message(body) {
                Some(text) => errors::of_text(&text, None),
                None => Failure::new(Class::Server, "the answer has no embeddings"),
            });
        }
    };
    // The format does not say which model it was.
    let told = Told {
        usage: answer.meta.and_then(usage),
        usage_report: answer.meta.and_then(report),
        ..Told::default()
    };
    all_there(request, request.encoding, vectors, told)
}

/// Reads the count. Mostly only what is charged for is told, of pictures beside that of texts.
fn usage(raw: &RawValue) -> Option<Usage> {
    let meta: Meta = serde_json::from_str(raw.get()).ok()?;
    let charged = match meta.billed_units {
        Some(units) => Some(charged(&units)?),
        None => None,
    };
    let worked = meta.tokens.and_then(|tokens| tokens.input_tokens);
    let (input, input_image) = match (worked, charged) {
        // Pictures have a price of their own, which what is charged for is told with.
        (_, Some((charged, image))) if image > 0 => (charged, image),
        (Some(tokens), _) => (count(tokens)?, 0),
        (None, charged) => charged?,
    };
    let billed = charged.map(|(charged, _)| charged);
    let billed = billed.filter(|it| *it != input);
    Some(Usage {
        billed: billed.map(|input| Billed { input, output: 0 }),
        input_image,
        ..Usage::of(input, 0, UsageSource::Provider)
    })
}

/// All tokens that are charged for, and those of pictures among them.
fn charged(units: &Tokens) -> Option<(u64, u64)> {
    let (input, image) = (part(units.input_tokens)?, part(units.image_tokens)?);
    let all = match units.text_tokens {
        // Then the input tokens are those of both.
        Some(text) => input.max(count(text)? + image),
        None => input + image,
    };
    Some((all, image))
}
