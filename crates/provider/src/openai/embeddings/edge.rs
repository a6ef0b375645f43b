//! The same format towards a caller, for the gateway's OpenAI-compatible edge.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::Error;
use crate::chat::{Json, Usage};
use crate::embeddings::{
    Encoding, Input, InputType, MOST_INPUTS, Request, Response, Truncation, Vector,
};
use crate::openai::parse::object::{self, Fields};
use crate::openai::render::{WireWarning, write_json};
use crate::wire::Text;

/// The most tokens that one input may have: far more than any model takes.
const MOST_TOKENS: usize = 1 << 20;

/// A caller's request in this format.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingRequest {
    /// What is asked for.
    pub request: Request,
    /// Whether the vectors are to be written in base64: the bytes of their numbers, lowest first.
    pub base64: bool,
}

/// Parses a request body. Beside `OpenAI`'s fields it knows `input_type`, `truncation` (`none`, `start` or `end`) and
/// `metadata`; fields that are not known are carried in `provider_options`.
///
/// # Errors
/// `Error::Invalid` with the path of the first field at fault.
pub fn parse_embedding_request(body: &[u8]) -> Result<EmbeddingRequest, Error> {
    let body: Body<'_> = object::read(body)?;
    for (name, value) in &body.rest {
        object::check_depth(name, value)?;
    }
    let Some(Inputs(inputs)) = body.input else {
        return Err(Error::invalid("input", "this field is required"));
    };
    let base64 = match body.encoding_format.as_ref().map(Text::as_str) {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            let problem = "expected \"float\" or \"base64\"";
            return Err(Error::invalid("encoding_format", problem));
        }
    };
    let input_type = body.input_type.map(|name| input_type(name.as_str()));
    let truncation = body.truncation.map(|name| truncation(name.as_str()));
    let request = Request {
        model: object::model(body.model)?,
        inputs,
        dimensions: body.dimensions,
        input_type: input_type.transpose()?,
        encoding: Encoding::Float,
        truncation: truncation.transpose()?,
        metadata: body.metadata.unwrap_or_default(),
        provider_options: body.rest,
        user: body.user.map(Text::into_string),
    };
    if let Some((field, problem)) = request.out_of_range().into_iter().next() {
        return Err(Error::invalid(
            field.replacen("inputs", "input", 1),
            problem,
        ));
    }
    Ok(EmbeddingRequest { request, base64 })
}

/// A use by its name, or by the longer name that Cohere and others have for it.
fn input_type(name: &str) -> Result<InputType, Error> {
    let short = name.strip_prefix("search_").unwrap_or(name);
    let found = InputType::ALL.into_iter().find(|it| it.as_str() == short);
    found.ok_or_else(|| {
        let known = InputType::ALL.map(InputType::as_str).join(", ");
        Error::invalid("input_type", format!("expected one of {known}"))
    })
}

fn truncation(name: &str) -> Result<Truncation, Error> {
    match name {
        "none" => Ok(Truncation::Refuse),
        "start" => Ok(Truncation::Start),
        "end" => Ok(Truncation::End),
        _ => {
            let problem = "expected \"none\", \"start\" or \"end\"";
            Err(Error::invalid("truncation", problem))
        }
    }
}

#[derive(Debug, Default)]
struct Body<'a> {
    model: Option<Text<'a>>,
    input: Option<Inputs>,
    dimensions: Option<u32>,
    encoding_format: Option<Text<'a>>,
    user: Option<Text<'a>>,
    input_type: Option<Text<'a>>,
    truncation: Option<Text<'a>>,
    metadata: Option<BTreeMap<String, String>>,
    rest: Map<String, Value>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object::fields(deserializer)
    }
}

impl<'de> Fields<'de> for Body<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "model" => self.model = map.next_value()?,
            "input" => self.input = map.next_value()?,
            "dimensions" => self.dimensions = map.next_value()?,
            "encoding_format" => self.encoding_format = map.next_value()?,
            "user" => self.user = map.next_value()?,
            "input_type" => self.input_type = map.next_value()?,
            "truncation" => self.truncation = map.next_value()?,
            "metadata" => self.metadata = map.next_value()?,
            other => object::keep(other, map, &mut self.rest)?,
        }
        Ok(())
    }
}

/// A text, a list of tokens, or a list of either.
#[derive(Debug)]
struct Inputs(Vec<Input>);

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputsVisitor)
    }
}

/// What stands in such a list.
enum Item {
    Input(Input),
    Token(u32),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a token or a list of tokens")
    }

    fn visit_str<E>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Input(Input::Text(text.to_owned())))
    }

    fn visit_u64<E: serde::de::Error>(self, token: u64) -> Result<Item, E> {
        let token = u32::try_from(token).map_err(|_| E::custom("a token is too large"))?;
        Ok(Item::Token(token))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item, A::Error> {
        let mut tokens = Vec::new();
        while let Some(token) = seq.next_element::<u32>()? {
            if tokens.len() == MOST_TOKENS {
                return Err(A::Error::custom("too many tokens"));
            }
            tokens.push(token);
        }
        Ok(Item::Input(Input::Tokens(tokens)))
    }
}

struct InputsVisitor;

impl<'de> Visitor<'de> for InputsVisitor {
    type Value = Inputs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of tokens, or a list of either")
    }

    fn visit_str<E>(self, text: &str) -> Result<Inputs, E> {
        Ok(Inputs(vec![Input::Text(text.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Inputs, A::Error> {
        let (mut inputs, mut tokens) = (Vec::new(), Vec::new());
        while let Some(item) = seq.next_element()? {
            match item {
                Item::Input(input) => inputs.push(input),
                Item::Token(token) => tokens.push(token),
            }
            if !tokens.is_empty() && !inputs.is_empty() {
                return Err(A::Error::custom(
                    "a list of tokens may hold nothing else; one input of tokens is a list in the list",
                ));
            }
            if inputs.len() > MOST_INPUTS || tokens.len() > MOST_TOKENS {
                return Err(A::Error::custom("too many inputs"));
            }
        }
        if !tokens.is_empty() {
            inputs.push(Input::Tokens(tokens));
        }
        Ok(Inputs(inputs))
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Embedding<'a>>,
    model: &'a str,
    usage: Report<'a>,
    /// What was left out, which `OpenAI` never does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WireWarning<'a>>,
}

#[derive(Serialize)]
struct Embedding<'a> {
    object: &'static str,
    index: usize,
    embedding: Shown<'a>,
}

#[derive(Serialize)]
struct Report<'a> {
    prompt_tokens: u64,
    total_tokens: u64,
    /// Not part of the format.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_report: Option<&'a Json>,
}

/// A vector as it is written.
enum Shown<'a> {
    List(&'a Vector),
    Base64(&'a Vector),
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::List(Vector::Floats(numbers)) => numbers.serialize(serializer),
            Self::List(Vector::Bytes(bytes)) => bytes.serialize(serializer),
            Self::Base64(Vector::Floats(numbers)) => {
                let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
                serializer.serialize_str(&STANDARD.encode(bytes))
            }
            Self::Base64(Vector::Bytes(bytes)) => serializer.serialize_str(&STANDARD.encode(bytes)),
        }
    }
}

/// Writes the body of an answer; `model` is the one the caller named.
#[must_use]
pub fn render_embeddings(response: &Response, model: &str, usage: &Usage, base64: bool) -> Vec<u8> {
    let embedding = |(index, vector)| Embedding {
        object: "embedding",
        index,
        embedding: if base64 {
            Shown::Base64(vector)
        } else {
            Shown::List(vector)
        },
    };
    let answer = Answer {
        object: "list",
        data: response.vectors.iter().enumerate().map(embedding).collect(),
        model,
        usage: Report {
            prompt_tokens: usage.input_total,
            total_tokens: usage.total(),
            provider_report: response.usage_report.as_ref(),
        },
        warnings: response.warnings.iter().map(WireWarning::from).collect(),
    };
    let mut out = Vec::with_capacity(1024);
    write_json(&answer, &mut out);
    out
}

#[cfg(test)]
mod tests;
