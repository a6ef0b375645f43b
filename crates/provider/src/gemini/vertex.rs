//! Where Vertex AI differs from Google AI Studio. Conversations are the same at both.
//!
//! | | AI Studio | Vertex AI |
//! |---|---|---|
//! | known by | any address | a base URL that leads to a publisher's models, such as `…/locations/L/publishers/google` |
//! | credential | an API key, or an access token by how it begins | a bearer token, unless it is an API key by how it begins |
//! | list of models | `GET /models` | none |
//! | `countTokens` | takes the whole request inside of another | takes the fields of the request |
//! | embeddings | `batchEmbedContents`, settings beside the content | `embedContent`, or `batchEmbedContents` for several, settings in `embedContentConfig`; models that are not Gemini's by `predict` |

use serde::Serialize;
use serde_json::{Map, Value};

use super::embeddings::{Content, check, parts, task};
use super::encode::model_path;
use super::options;
use crate::Error;
use crate::codec::{HttpRequest, Target};
use crate::embeddings::{Input, Request, Truncation};
use crate::unsupported::Unsupported;

/// Fields the gateway writes itself, without what their spellings differ in.
const RESERVED: [&str; 8] = [
    "model",
    "content",
    "requests",
    "instances",
    "parameters",
    "tasktype",
    "outputdimensionality",
    "autotruncate",
];

/// Whether an address leads to Vertex AI.
pub(crate) fn is_at(base_url: &str) -> bool {
    base_url.contains("/publishers/")
}

#[derive(Serialize)]
struct One<'a> {
    content: Content<'a>,
    #[serde(rename = "embedContentConfig")]
    config: Config<'a>,
}

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<One<'a>>,
}

#[derive(Serialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_truncate: Option<bool>,
    #[serde(flatten)]
    options: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Predict<'a> {
    instances: Vec<Instance<'a>>,
    parameters: Config<'a>,
}

#[derive(Serialize)]
struct Instance<'a> {
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'static str>,
}

/// Encodes a request for embeddings; `given` are the options of the kind.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    given: &Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<HttpRequest, Error> {
    let start = "it leaves out the end of what is too long; set end";
    let is_start = request.truncation == Some(Truncation::Start);
    check(request, (is_start, start), unsupported)?;
    options::refuse(given, "provider_options", &RESERVED)?;
    let config = Config {
        task_type: request.input_type.map(task),
        output_dimensionality: request.dimensions,
        auto_truncate: match request.truncation {
            Some(Truncation::Refuse) => Some(false),
            Some(Truncation::End) => Some(true),
            Some(Truncation::Start) | None => None,
        },
        options: given,
    };
    let path = model_path(target.model);
    let post = |action: &str| format!("{path}:{action}");
    if !target.model.contains("gemini") {
        let body = predict(request, config, unsupported)?;
        return HttpRequest::post(post("predict"), "application/json", &body);
    }
    let one = |part| One {
        content: Content { parts: [part] },
        config,
    };
    let parts: Result<Vec<_>, _> = parts(&request.inputs, unsupported).collect();
    let mut requests: Vec<One<'_>> = parts?.into_iter().map(one).collect();
    match requests.pop() {
        Some(only) if requests.is_empty() => {
            HttpRequest::post(post("embedContent"), "application/json", &only)
        }
        last => {
            requests.extend(last);
            let body = Batch { requests };
            HttpRequest::post(post("batchEmbedContents"), "application/json", &body)
        }
    }
}

/// The way of older models, which embed texts only.
fn predict<'a>(
    request: &'a Request,
    config: Config<'a>,
    unsupported: &Unsupported,
) -> Result<Predict<'a>, Error> {
    let instance = |(index, input): (usize, &'a Input)| match input {
        Input::Text(content) => Ok(Instance {
            content,
            task_type: config.task_type,
        }),
        Input::Tokens(_) | Input::Image(_) => {
            Err(unsupported.refuse(format!("inputs[{index}]"), "this model takes texts only"))
        }
    };
    let instances = request.inputs.iter().enumerate().map(instance);
    Ok(Predict {
        instances: instances.collect::<Result<_, _>>()?,
        parameters: Config {
            task_type: None,
            ..config
        },
    })
}

#[cfg(test)]
mod tests;
