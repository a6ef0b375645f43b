//! The JSON that comes in, from providers and from callers, as borrowed as it can be.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::chat::Json;

/// Text borrowed from the input where it holds no escapes. (`Option<Cow<str>>` in a derive would
/// always copy.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn into_string(self) -> String {
        self.0.into_owned()
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A list that is refused beyond `MOST` elements while it is read: a few bytes of JSON make a large
/// value, and what is held must be bounded by more than the size of the body.
#[derive(Debug)]
pub(super) struct List<T, const MOST: usize>(pub(super) Vec<T>);

impl<T, const MOST: usize> Default for List<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

struct ListVisitor<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for ListVisitor<T, MOST> {
    type Value = List<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MOST} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            if list.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            list.push(element);
        }
        Ok(List(list))
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for List<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// The most parts one message may have.
pub(super) const MOST_PARTS: usize = 4096;
/// The most calls one message may have.
pub(super) const MOST_CALLS: usize = 1024;
/// The most choices one answer may have.
pub(super) const MOST_CHOICES: usize = 256;

/// Message content: one string, or a list of parts.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Text(Text<'a>),
    Parts(List<ContentPart<'a>, MOST_PARTS>),
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of content parts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content::Text(Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content::Text(Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        ListVisitor(PhantomData).visit_seq(seq).map(Content::Parts)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// A content part of any type. One flat struct and not a tagged enum, because serde buffers tagged
/// enums, which copies the content and loses the path of an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentPart<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) text: Option<Text<'a>>,
    pub(super) refusal: Option<Text<'a>>,
    pub(super) image_url: Option<ImageUrl<'a>>,
    pub(super) input_audio: Option<InputAudio<'a>>,
    pub(super) file: Option<File<'a>>,
    /// Sent back by clients that echo an answer; it says nothing to a model.
    #[serde(default, rename = "annotations")]
    _annotations: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageUrl<'a> {
    #[serde(borrow)]
    pub(super) url: Text<'a>,
    pub(super) detail: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputAudio<'a> {
    #[serde(borrow)]
    pub(super) data: Text<'a>,
    pub(super) format: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File<'a> {
    #[serde(borrow)]
    pub(super) file_data: Option<Text<'a>>,
    pub(super) file_id: Option<Text<'a>>,
    pub(super) filename: Option<Text<'a>>,
}

/// A tool call in a message. `index` and anything else unknown is ignored: callers echo what
/// servers sent, with whatever each server adds.
#[derive(Debug, Deserialize)]
pub(super) struct WholeCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) function: Option<CalledFunction<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CalledFunction<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    pub(super) arguments: Option<Text<'a>>,
}

/// A whole answer, as a provider sends it.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) model: Option<Text<'a>>,
    pub(super) choices: Option<List<AnswerChoice<'a>, MOST_CHOICES>>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AnswerChoice<'a> {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(borrow)]
    pub(super) message: Option<AnswerMessage<'a>>,
    pub(super) finish_reason: Option<Text<'a>>,
    pub(super) logprobs: Option<Json>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AnswerMessage<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    pub(super) refusal: Option<Text<'a>>,
    pub(super) reasoning_content: Option<Text<'a>>,
    pub(super) reasoning: Option<Text<'a>>,
    pub(super) tool_calls: Option<List<WholeCall<'a>, MOST_CALLS>>,
}

/// One event of a streamed answer.
#[derive(Debug, Deserialize)]
pub(super) struct AnswerChunk<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) model: Option<Text<'a>>,
    pub(super) object: Option<Text<'a>>,
    /// To be read as [`ChunkChoices`].
    pub(super) choices: Option<&'a RawValue>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
}

/// What one event brings for each choice.
pub(super) type ChunkChoices<'a> = List<ChunkChoice<'a>, MOST_CHOICES>;

#[derive(Debug, Deserialize)]
pub(super) struct ChunkChoice<'a> {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(borrow)]
    pub(super) delta: Option<ChunkDelta<'a>>,
    pub(super) finish_reason: Option<Text<'a>>,
    pub(super) logprobs: Option<Json>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChunkDelta<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Text<'a>>,
    pub(super) refusal: Option<Text<'a>>,
    pub(super) reasoning_content: Option<Text<'a>>,
    pub(super) reasoning: Option<Text<'a>>,
    pub(super) tool_calls: Option<List<CallFragment<'a>, MOST_CALLS>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CallFragment<'a> {
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) function: Option<CalledFunction<'a>>,
}

/// An error object in any of the shapes seen: every field may be missing or of another type.
#[derive(Debug, Default)]
pub(super) struct ErrorObject {
    pub(super) message: String,
    pub(super) kind: String,
    pub(super) code: String,
    pub(super) param: String,
}

impl ErrorObject {
    /// Reads `{"error": {…}}`, `{"error": "…"}`, a bare `{message, type, code}`, or any of these as
    /// the first element of an array. Gives an empty object for anything else.
    pub(super) fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else {
            return Self::default();
        };
        Self::from_value(&value)
    }

    pub(super) fn from_value(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        let outer = value
            .as_array()
            .and_then(|list| list.first())
            .unwrap_or(value);
        let inner = match outer.get("error") {
            Some(error @ (Value::Object(_) | Value::String(_))) => error,
            _ => outer,
        };
        if let Value::String(message) = inner {
            return Self {
                message: message.clone(),
                ..Self::default()
            };
        }
        let field = |name: &str| match inner.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let mut message = field("message");
        if message.is_empty() {
            message = field("detail");
        }
        Self {
            message,
            kind: field("type"),
            code: field("code"),
            param: field("param"),
        }
    }

    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.message.is_empty() && self.kind.is_empty() && self.code.is_empty()
    }
}
