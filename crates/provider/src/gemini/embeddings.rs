//! Gemini's `batchEmbedContents`, as Google AI Studio offers it; the answers of Vertex AI as well, whose requests are in
//! `vertex`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::encode::model_path;
use super::media::{self, Media};
use super::usage::{ByModality, of};
use super::{errors, options};
use crate::Error;
use crate::chat::{Usage, UsageSource};
use crate::codec::{HttpRequest, Target};
use crate::embeddings::{
    Encoding, Input, InputType, Numbers, Request, Response, Told, all_there, unreadable,
};
use crate::failure::Failure;
use crate::unsupported::Unsupported;
use crate::usage::{believable, count, report};

/// Fields the gateway writes itself, without what their spellings differ in.
const RESERVED: [&str; 5] = [
    "model",
    "content",
    "requests",
    "tasktype",
    "outputdimensionality",
];

/// The most inputs of one request.
const MOST_INPUTS: usize = 100;

#[derive(Serialize)]
struct Body<'a> {
    requests: Vec<One<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u32>,
    #[serde(flatten)]
    options: &'a Map<String, Value>,
}

#[derive(Serialize)]
pub(super) struct Content<'a> {
    pub(super) parts: [Part<'a>; 1],
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Part<'a> {
    Text { text: &'a str },
    Media(Media<'a>),
}

/// Refuses what neither interface of Google's has words for, and a truncation that is one of these, for that reason.
pub(super) fn check(
    request: &Request,
    (is_unknown, truncation): (bool, &'static str),
    unsupported: &mut Unsupported,
) -> Result<(), Error> {
    unsupported.fields([
        (
            request.encoding != Encoding::Float,
            "encoding",
            "it writes vectors as floats only",
        ),
        (is_unknown, "truncation", truncation),
        (
            request.user.is_some(),
            "user",
            "it is not told who the end user is",
        ),
    ])?;
    if request.inputs.len() > MOST_INPUTS {
        return Err(unsupported.refuse("inputs", "it takes at most 100 inputs at once"));
    }
    Ok(())
}

/// Encodes a request; `given` are the options of the kind, which go into the request for each input.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    given: &Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<HttpRequest, Error> {
    let late = "it cannot be told what to do with inputs that are too long";
    check(request, (request.truncation.is_some(), late), unsupported)?;
    options::refuse(given, "provider_options", &RESERVED)?;
    let path = model_path(target.model);
    let parts: Result<Vec<_>, _> = parts(&request.inputs, unsupported).collect();
    let one = |part| One {
        model: path.trim_start_matches('/'),
        content: Content { parts: [part] },
        task_type: request.input_type.map(task),
        output_dimensionality: request.dimensions,
        options: given,
    };
    let body = Body {
        requests: parts?.into_iter().map(one).collect(),
    };
    HttpRequest::post(
        format!("{path}:batchEmbedContents"),
        "application/json",
        &body,
    )
}

pub(super) fn parts<'a>(
    inputs: &'a [Input],
    unsupported: &Unsupported,
) -> impl Iterator<Item = Result<Part<'a>, Error>> {
    inputs.iter().enumerate().map(|(index, input)| match input {
        Input::Text(text) => Ok(Part::Text { text }),
        Input::Image(image) => Ok(Part::Media(media::of_source(&image.source))),
        Input::Tokens(_) => {
            let field = format!("inputs[{index}]");
            Err(unsupported.refuse(field, "it takes texts, not tokens"))
        }
    })
}

pub(super) fn task(input_type: InputType) -> &'static str {
    match input_type {
        InputType::Query => "RETRIEVAL_QUERY",
        InputType::Document => "RETRIEVAL_DOCUMENT",
        InputType::Classification => "CLASSIFICATION",
        InputType::Clustering => "CLUSTERING",
        InputType::Similarity => "SEMANTIC_SIMILARITY",
        InputType::QuestionAnswering => "QUESTION_ANSWERING",
        InputType::FactVerification => "FACT_VERIFICATION",
        InputType::CodeQuery => "CODE_RETRIEVAL_QUERY",
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    /// Where one is asked for by itself.
    embedding: Option<Embedding>,
    embeddings: Option<Vec<Embedding>>,
    predictions: Option<Vec<Prediction>>,
    #[serde(borrow)]
    usage_metadata: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Prediction {
    embeddings: Embedding,
}

#[derive(Deserialize)]
struct Embedding {
    values: Numbers,
    /// What Vertex AI counts in each input.
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    token_count: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    prompt_token_count: Option<f64>,
    prompt_tokens_details: Option<Vec<ByModality>>,
}

/// Decodes the body of a 200.
pub(crate) fn decode(body: &[u8], request: &Request) -> Result<Response, Failure> {
    let answer: Answer<'_> = serde_json::from_slice(body)
        .map_err(|error| errors::told(body).unwrap_or_else(|| unreadable(&error)))?;
    if answer.error.is_some() {
        return Err(errors::of_body(body));
    }
    let predicted = answer.predictions.unwrap_or_default().into_iter();
    let listed = answer.embeddings.unwrap_or_default().into_iter();
    let told = answer.embedding.into_iter().chain(listed);
    let vectors: Vec<_> = told.chain(predicted.map(|it| it.embeddings)).collect();
    let counted = counted(&vectors, request);
    let vectors = vectors.into_iter().map(|it| it.values).collect();
    // The format does not say which model it was.
    let told = Told {
        usage: answer
            .usage_metadata
            .and_then(|raw| usage(raw, request))
            .or(counted),
        usage_report: answer.usage_metadata.and_then(report),
        ..Told::default()
    };
    all_there(request, Encoding::Float, vectors, told)
}

/// What was counted in each input, together; none where any of it was not told.
fn counted(vectors: &[Embedding], request: &Request) -> Option<Usage> {
    let of = |it: &Embedding| count(it.statistics.as_ref()?.token_count?);
    let counts: Option<Vec<_>> = vectors.iter().map(of).collect();
    let input = counts.filter(|it| !it.is_empty())?.into_iter().sum();
    believable(of_inputs(input, request))
}

/// Input of which is not told whether it was pictures.
fn of_inputs(input: u64, request: &Request) -> Usage {
    let is_image = |input: &Input| matches!(input, Input::Image(_));
    Usage {
        input_image: if request.inputs.iter().any(is_image) {
            input
        } else {
            0
        },
        ..Usage::of(input, 0, UsageSource::Provider)
    }
}

/// Reads the count. Where texts and pictures are not told apart all of it is taken for pictures, which cost more.
fn usage(raw: &RawValue, request: &Request) -> Option<Usage> {
    let report: Report = serde_json::from_str(raw.get()).ok()?;
    let input = count(report.prompt_token_count?)?;
    let unknown = of_inputs(input, request);
    believable(Usage {
        input_image: match report.prompt_tokens_details {
            Some(details) => of("IMAGE", &details)?,
            None => unknown.input_image,
        },
        ..unknown
    })
}
