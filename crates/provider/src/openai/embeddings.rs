//! `POST /embeddings`, towards a provider: `OpenAI`'s, Azure's, Mistral's and that of their imitators.
//!
//! | | `openai`, `azure_openai` | `openai_compatible` | `mistral` |
//! |---|---|---|---|
//! | inputs | texts, or tokens | same | texts |
//! | numbers | asked for in base64, which is a quarter of the size | as the server likes, both are read | a list |
//! | other encodings | no | no | `output_dtype` |
//! | length | `dimensions` | `dimensions` | `output_dimension` |
//! | what they are for | has no use for it | refused: some models want it in the text | has no use for it |

mod edge;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{azure, errors};
use crate::chat::{Usage, UsageSource};
use crate::codec::{HttpRequest, Kind, Target};
use crate::embeddings::{
    Encoding, Input, Numbers, Request, Response, Told, Truncation, all_there, unreadable,
};
use crate::failure::{Class, Failure};
use crate::unsupported::Unsupported;
use crate::usage::{count, report};
use crate::wire::Text;
use crate::{Error, options};

pub use edge::{EmbeddingRequest, parse_embedding_request, render_embeddings};

/// Fields the gateway itself writes or rules out; a provider option must not replace one.
const RESERVED: [&str; 6] = [
    "model",
    "input",
    "dimensions",
    "encoding_format",
    "output_dtype",
    "user",
];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Inputs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dtype: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(flatten)]
    options: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Inputs<'a> {
    Texts(Vec<&'a str>),
    Tokens(Vec<&'a [u32]>),
}

/// Encodes a request; `options` are those of the kind.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    options: &Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<HttpRequest, Error> {
    let kind = unsupported.kind();
    let mistral = kind == Kind::Mistral;
    check(request, unsupported)?;
    options::check(options, &RESERVED)?;
    if mistral {
        options::check(options, &["output_dimension"])?;
    }
    let body = Body {
        model: target.model,
        input: inputs(&request.inputs, unsupported)?,
        dimensions: request.dimensions.filter(|_| !mistral),
        output_dimension: request.dimensions.filter(|_| mistral),
        output_dtype: dtype(encoding(kind, request)),
        encoding_format: matches!(kind, Kind::OpenAi | Kind::AzureOpenAi).then_some("base64"),
        user: request.user.as_deref().filter(|_| !mistral),
        options,
    };
    let path = if kind == Kind::AzureOpenAi {
        Cow::Owned(azure::path("embeddings", target.model, target.api_version))
    } else {
        Cow::Borrowed("/embeddings")
    };
    HttpRequest::post(path, "application/json", &body)
}

/// The encoding that a kind is asked for.
fn encoding(kind: Kind, request: &Request) -> Encoding {
    if kind == Kind::Mistral {
        request.encoding
    } else {
        Encoding::Float
    }
}

fn dtype(encoding: Encoding) -> Option<&'static str> {
    match encoding {
        Encoding::Float => None,
        Encoding::Int8 => Some("int8"),
        Encoding::Uint8 => Some("uint8"),
        Encoding::Binary => Some("ubinary"),
    }
}

fn check(request: &Request, unsupported: &mut Unsupported) -> Result<(), Error> {
    let kind = unsupported.kind();
    let (mistral, imitator) = (kind == Kind::Mistral, kind == Kind::OpenAiCompatible);
    let cuts = matches!(
        request.truncation,
        Some(Truncation::Start | Truncation::End)
    );
    unsupported.fields([
        (
            request.encoding != Encoding::Float && !mistral,
            "encoding",
            "it writes vectors as floats only",
        ),
        (
            request.input_type.is_some() && imitator,
            "input_type",
            "it has no field for it; write what the model wants to be told into the text, or set provider_options",
        ),
        (
            request.truncation.is_some() && imitator,
            "truncation",
            "it has no field for it; set provider_options",
        ),
        (
            cuts && !imitator,
            "truncation",
            "it refuses inputs that are too long; cut them before",
        ),
        (
            request.user.is_some() && mistral,
            "user",
            "it is not told who the end user is",
        ),
    ])
}

fn inputs<'a>(inputs: &'a [Input], unsupported: &Unsupported) -> Result<Inputs<'a>, Error> {
    let mistral = unsupported.kind() == Kind::Mistral;
    let (mut texts, mut tokens) = (Vec::new(), Vec::new());
    for (index, input) in inputs.iter().enumerate() {
        let refuse = |problem| Err(unsupported.refuse(format!("inputs[{index}]"), problem));
        match input {
            Input::Text(text) if tokens.is_empty() => texts.push(text.as_str()),
            Input::Tokens(_) if mistral => return refuse("it takes texts, not tokens"),
            Input::Tokens(list) if texts.is_empty() => tokens.push(list.as_slice()),
            Input::Text(_) | Input::Tokens(_) => {
                return refuse("it takes texts or tokens in one request, not both");
            }
            Input::Image(_) => return refuse("it embeds no pictures"),
        }
    }
    Ok(if tokens.is_empty() {
        Inputs::Texts(texts)
    } else {
        Inputs::Tokens(tokens)
    })
}

#[derive(Deserialize)]
struct Answer<'a> {
    data: Option<Vec<Item>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    usage: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Numbers,
}

#[derive(Deserialize)]
struct Report {
    prompt_tokens: Option<f64>,
}

/// Decodes the body of a 200.
pub(crate) fn decode(kind: Kind, body: &[u8], request: &Request) -> Result<Response, Failure> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if let Some(raw) = answer.error {
        return Err(errors::told(raw.get().as_bytes()));
    }
    let mut items = answer.data.unwrap_or_default();
    // Some servers leave the numbers out; then the order counts.
    if items.iter().any(|item| item.index.is_some()) {
        items.sort_by_key(|item| item.index);
        if items
            .iter()
            .map(|item| item.index)
            .ne((0..items.len()).map(Some))
        {
            let detail = "the answer numbers its vectors in another way than from 0 on";
            return Err(Failure::new(Class::Server, detail));
        }
    }
    let vectors = items.into_iter().map(|item| item.embedding).collect();
    let told = Told {
        model: answer.model.map(Text::into_string).unwrap_or_default(),
        usage: answer.usage.and_then(usage),
        usage_report: answer.usage.and_then(report),
    };
    all_there(request, encoding(kind, request), vectors, told)
}

fn usage(raw: &RawValue) -> Option<Usage> {
    let report: Report = serde_json::from_str(raw.get()).ok()?;
    let input = count(report.prompt_tokens?)?;
    Some(Usage::of(input, 0, UsageSource::Provider))
}
