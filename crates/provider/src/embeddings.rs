//! Embeddings: what texts and pictures mean, as vectors.
//!
//! `Request` and `Response` are free of any provider's spelling, as `chat` is. The wire formats are in `openai`, `gemini`,
//! `cohere` and `bedrock`, each in its module `embeddings`; `Codec` finds the one of a kind.
//!
//! Vectors of different models cannot be compared. Nothing here can tell, so it is for the policy to name only
//! deployments of one model where one may stand in for another.

mod quantised;
mod vector;

use std::collections::BTreeMap;

use crate::chat::{Image, Json, Usage, Warning};

pub(crate) use quantised::{of_integers, packed_bits};
pub(crate) use vector::{Numbers, Told, all_there, unreadable};

/// The most inputs of one request, whichever provider it goes to.
pub const MOST_INPUTS: usize = 2048;

/// A request for embeddings. `None` means "the provider's default".
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The model the caller named. The upstream model is the codec's target, not this.
    pub model: String,
    /// What is to be embedded; each gives one vector.
    pub inputs: Vec<Input>,
    /// How long the vectors are to be, in numbers, where the model can be told.
    pub dimensions: Option<u32>,
    /// What the vectors are for. A wish to models that make the same vector for every use: they are not told.
    pub input_type: Option<InputType>,
    /// How the numbers of the vectors are to be written.
    pub encoding: Encoding,
    /// What becomes of an input that is too long for the model.
    pub truncation: Option<Truncation>,
    /// The caller's labels, for routing and accounting in the gateway.
    pub metadata: BTreeMap<String, String>,
    /// Fields passed to the provider as they are, as in `chat::Request`.
    pub provider_options: serde_json::Map<String, serde_json::Value>,
    /// The caller's own name for its end user.
    pub user: Option<String>,
}

/// Something to be embedded.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Text.
    Text(String),
    /// Text as tokens, in the target model's own numbering.
    Tokens(Vec<u32>),
    /// A picture.
    Image(Image),
}

/// What vectors are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputType {
    /// To search with.
    Query,
    /// To be found.
    Document,
    /// To sort into classes.
    Classification,
    /// To find groups in.
    Clustering,
    /// To tell how alike texts are.
    Similarity,
    /// To find answers with: a question.
    QuestionAnswering,
    /// To find evidence with: a claim.
    FactVerification,
    /// To find code with.
    CodeQuery,
}

impl InputType {
    /// Every use.
    pub const ALL: [Self; 8] = [
        Self::Query,
        Self::Document,
        Self::Classification,
        Self::Clustering,
        Self::Similarity,
        Self::QuestionAnswering,
        Self::FactVerification,
        Self::CodeQuery,
    ];

    /// The lower-case name that callers use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Document => "document",
            Self::Classification => "classification",
            Self::Clustering => "clustering",
            Self::Similarity => "similarity",
            Self::QuestionAnswering => "question_answering",
            Self::FactVerification => "fact_verification",
            Self::CodeQuery => "code_query",
        }
    }
}

/// How the numbers of vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// As floating-point numbers of 32 bits.
    #[default]
    Float,
    /// As whole numbers from -128 to 127, a byte each, in two's complement.
    Int8,
    /// As whole numbers from 0 to 255, a byte each.
    Uint8,
    /// As bits, eight in a byte, the first in its highest place.
    Binary,
}

impl Encoding {
    /// The lower-case name that callers use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Binary => "binary",
        }
    }
}

/// What becomes of an input that is too long for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truncation {
    /// The request is refused.
    Refuse,
    /// Its beginning is left out.
    Start,
    /// Its end is left out.
    End,
}

/// The vectors, one for each input, in the order of the inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The model that made them, by the provider's name; empty where it does not say.
    pub model: String,
    /// How their numbers are written.
    pub encoding: Encoding,
    /// The vectors, all of one length.
    pub vectors: Vec<Vector>,
    /// What the provider says it counted; none where it said nothing believable.
    pub usage: Option<Usage>,
    /// What the provider counted, in its own words; see `chat::Response::usage_report`.
    pub usage_report: Option<Json>,
    /// What of the request was left out. Codecs leave it empty: it is known from encoding.
    pub warnings: Vec<Warning>,
}

/// One vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Vector {
    /// Its numbers, each finite. For `Encoding::Float`.
    Floats(Vec<f32>),
    /// Its numbers as the encoding says. For every other.
    Bytes(Vec<u8>),
}

impl Request {
    /// What no provider takes, each by the name of its field and with what it must be. Every edge asks this.
    #[must_use]
    pub fn out_of_range(&self) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        if !(1..=MOST_INPUTS).contains(&self.inputs.len()) {
            found.push(("inputs".to_owned(), "must hold 1 to 2048 inputs"));
        }
        if self.dimensions == Some(0) {
            found.push(("dimensions".to_owned(), "must be at least 1"));
        }
        let empty = self
            .inputs
            .iter()
            .enumerate()
            .filter(|(_, input)| match input {
                Input::Text(text) => text.is_empty(),
                Input::Tokens(tokens) => tokens.is_empty(),
                Input::Image(_) => false,
            });
        found.extend(empty.map(|(index, _)| (format!("inputs[{index}]"), "must not be empty")));
        found
    }
}

#[cfg(test)]
mod tests;
