//! Reading vectors: what the formats share.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use super::{Encoding, Request, Response, Vector, of_integers};
use crate::chat::{Json, Usage};
use crate::failure::{Class, Failure};

/// The numbers of a vector, each finite: a list of numbers, or the bytes of such numbers, lowest first, in base64.
#[derive(Debug, Default)]
pub(crate) struct Numbers(pub(crate) Vec<f32>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumbersVisitor)
    }
}

struct NumbersVisitor;

impl<'de> Visitor<'de> for NumbersVisitor {
    type Value = Numbers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of finite numbers, or their bytes in base64")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Numbers, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = seq.next_element::<f32>()? {
            if !number.is_finite() {
                return Err(A::Error::custom("a number is too large"));
            }
            numbers.push(number);
        }
        Ok(Numbers(numbers))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Numbers, E> {
        let bytes = STANDARD.decode(text);
        let bytes = bytes.map_err(|_| E::custom("a vector is no base64"))?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        let numbers: Vec<_> = numbers.iter().copied().map(f32::from_le_bytes).collect();
        if rest.is_empty() && numbers.iter().all(|it| it.is_finite()) {
            Ok(Numbers(numbers))
        } else {
            Err(E::custom("a vector's bytes are no finite numbers"))
        }
    }
}

/// What an answer tells beside its vectors.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The model, where the format names it.
    pub(crate) model: String,
    pub(crate) usage: Option<Usage>,
    pub(crate) usage_report: Option<Json>,
}

/// An answer of these vectors, in the order of the inputs.
///
/// # Errors
/// It is not the answer to the request: a vector is missing, empty, of another length than the others, or of numbers
/// that the encoding has not.
pub(crate) fn all_there(
    request: &Request,
    encoding: Encoding,
    vectors: Vec<Numbers>,
    told: Told,
) -> Result<Response, Failure> {
    let (asked, came) = (request.inputs.len(), vectors.len());
    if asked != came {
        let detail = format!("the answer has {came} vectors for {asked} inputs");
        return Err(Failure::new(Class::Server, detail));
    }
    let length = vectors.first().map_or(0, |first| first.0.len());
    if length == 0 || vectors.iter().any(|it| it.0.len() != length) {
        let detail = "the answer's vectors are empty, or not of one length";
        return Err(Failure::new(Class::Server, detail));
    }
    let vectors = vectors.into_iter().map(|Numbers(numbers)| match encoding {
        Encoding::Float => Ok(Vector::Floats(numbers)),
        Encoding::Int8 | Encoding::Uint8 | Encoding::Binary => {
            of_integers(encoding, &numbers).map(Vector::Bytes)
        }
    });
    Ok(Response {
        model: told.model,
        encoding,
        vectors: vectors.collect::<Result<_, _>>()?,
        usage: told.usage,
        usage_report: told.usage_report,
        warnings: Vec::new(),
    })
}

/// The failure of a body that is not the JSON of an answer.
pub(crate) fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::unreadable("the answer holds no embeddings", error)
}
