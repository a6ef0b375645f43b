//! A JSON document carried as text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A well-formed JSON value kept as the text it arrived in.
///
/// Tool and response schemas travel in this form for two reasons: they are often the largest part
/// of a request and need no tree built for them, and the order of an object's keys must survive,
/// since structured output follows the order of the schema's properties.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Checks that `text` is one JSON value and keeps it.
    ///
    /// # Errors
    /// The parser's error when `text` is not exactly one JSON value.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// Renders any serialisable value.
    ///
    /// # Errors
    /// The serialiser's error, such as a map whose keys are not strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The JSON text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// How deeply arrays and objects nest: 0 for a scalar, 1 for `{}`.
    ///
    /// Parsers of other languages recurse, so a document that is deeper than any honest schema is
    /// stopped here and not handed on.
    #[must_use]
    pub fn depth(&self) -> usize {
        let (mut depth, mut deepest) = (0_usize, 0_usize);
        let mut in_string = false;
        let mut escaped = false;
        for byte in self.get().bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        deepest
    }
}

/// Keeps a part of a document that was read.
impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Self {
        Self(raw.to_owned())
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.get())
    }
}

/// Equality of the text, not of the meaning: `{"a": 1}` and `{"a":1}` differ.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn depth_counts_nesting_and_ignores_brackets_inside_strings() {
        for (text, depth) in [
            ("1", 0),
            ("{}", 1),
            (r#"{"a":[{"b":1}],"c":[]}"#, 3),
            (r#"{"a":"[[[[\"[["}"#, 1),
            (r#"["\\",["x"]]"#, 2),
        ] {
            assert_eq!(
                Json::parse(text.to_owned()).unwrap().depth(),
                depth,
                "{text}"
            );
        }
    }

    #[test]
    fn text_and_key_order_survive() {
        let text = r#"{"z":1,"a":{"y":2,"b":3}}"#;
        let json = Json::parse(text.to_owned()).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
    }
}
