//! Reading the object that a body is, with the fields that are not known.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::depth;
use crate::Error;
use crate::chat::MAX_JSON_DEPTH;
use crate::openai::wire::Text;

/// The most fields a body may have.
const MOST_FIELDS: usize = 128;

/// A body that is read field by field. By hand because serde's `flatten`, which would find the fields that are not
/// known, buffers the whole body.
pub(in crate::openai) trait Fields<'de>: Default {
    /// Reads the value of one field.
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads an object.
pub(in crate::openai) fn fields<'de, B: Fields<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<B, D::Error> {
    deserializer.deserialize_map(FieldsVisitor(PhantomData))
}

/// Keeps the value of a field that is not known, unless it is `null`.
pub(in crate::openai) fn keep<'de, A: MapAccess<'de>>(
    key: &str,
    map: &mut A,
    rest: &mut Map<String, Value>,
) -> Result<(), A::Error> {
    if let Some(value) = map.next_value::<Option<Value>>()? {
        rest.insert(key.to_owned(), value);
    }
    Ok(())
}

struct FieldsVisitor<B>(PhantomData<B>);

impl<'de, B: Fields<'de>> Visitor<'de> for FieldsVisitor<B> {
    type Value = B;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<B, A::Error> {
        let mut body = B::default();
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            // Two readers of a document with a key twice may disagree on what it says.
            if seen.contains(&key) {
                return Err(A::Error::custom(format_args!(
                    "duplicate field `{}`",
                    key.as_str()
                )));
            }
            if seen.len() == MOST_FIELDS {
                return Err(A::Error::custom("too many fields"));
            }
            body.take(key.as_str(), &mut map)?;
            seen.push(key);
        }
        Ok(body)
    }
}

/// Reads the shape. The way with paths is slower, so it is only taken for a body known to be wrong.
///
/// # Errors
/// `Error::Invalid` with the path of the first field at fault.
pub(in crate::openai) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    let plain = match serde_json::from_slice(body) {
        Ok(body) => return Ok(body),
        Err(error) => error,
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        // The document itself is fine, so what fails is what follows it.
        Ok(_) => Err(Error::invalid("body", plain.to_string())),
        Err(error) => {
            let path = error.path().to_string();
            let error = error.into_inner();
            // Where the text itself is no JSON, the path is wherever the reader happened to be.
            let whole = path == "." || path.ends_with('?') || error.is_eof();
            let path = if whole { "body".to_owned() } else { path };
            Err(Error::invalid(path, error.to_string()))
        }
    }
}

/// The model that a body names.
///
/// # Errors
/// It names none.
pub(in crate::openai) fn model(model: Option<Text<'_>>) -> Result<String, Error> {
    let named = model.filter(|model| !model.as_str().is_empty());
    let named = named.ok_or_else(|| Error::invalid("model", "this field is required"))?;
    Ok(named.into_string())
}

/// Refuses a field that is not known where it nests too deeply.
///
/// # Errors
/// `Error::Invalid` naming it.
pub(in crate::openai) fn check_depth(name: &str, value: &Value) -> Result<(), Error> {
    if depth(value) > MAX_JSON_DEPTH {
        return Err(Error::invalid(name, "nests too deeply"));
    }
    Ok(())
}
