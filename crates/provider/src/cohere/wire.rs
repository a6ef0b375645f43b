//! The JSON that Cohere sends.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::wire::{List, Text};

/// The most content blocks of one answer.
const MOST_BLOCKS: usize = 4096;
/// The most calls, and the most pieces with log probabilities, of one answer.
const MOST_CALLS: usize = 1024;
const MOST_PIECES: usize = 1 << 20;

/// A whole answer, or what stands in its place when something went wrong.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) finish_reason: Option<Text<'a>>,
    /// The answer; of an error, its text.
    pub(super) message: Option<&'a RawValue>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) logprobs: Option<List<Logprob<'a>, MOST_PIECES>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) content: Option<List<Block<'a>, MOST_BLOCKS>>,
    pub(super) tool_plan: Option<Text<'a>>,
    pub(super) tool_calls: Option<List<Call<'a>, MOST_CALLS>>,
    pub(super) citations: Option<&'a RawValue>,
}

/// A content block, whole or in pieces; which kind it is shows in what it holds.
#[derive(Debug, Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) thinking: Option<Text<'a>>,
}

/// A tool call, whole or in pieces.
#[derive(Debug, Deserialize)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) function: Option<Function<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    pub(super) arguments: Option<Text<'a>>,
}

/// Log probabilities of one piece of text, one number for each of its tokens.
#[derive(Debug, Deserialize)]
pub(super) struct Logprob<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) logprobs: Option<Vec<f64>>,
}

/// One event of a streamed answer, of any type.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) id: Option<Text<'a>>,
    pub(super) index: Option<u32>,
    pub(super) delta: Option<Delta<'a>>,
    pub(super) logprobs: Option<Logprob<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) message: Option<DeltaMessage<'a>>,
    pub(super) finish_reason: Option<Text<'a>>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) error: Option<Text<'a>>,
}

/// What is new of the message. The first event has empty lists where the others have an object.
#[derive(Debug, Deserialize)]
pub(super) struct DeltaMessage<'a> {
    #[serde(borrow)]
    pub(super) content: Option<One<Block<'a>>>,
    pub(super) tool_plan: Option<Text<'a>>,
    pub(super) tool_calls: Option<One<Call<'a>>>,
    /// One, or none in a list.
    pub(super) citations: Option<&'a RawValue>,
}

/// An object, or the first one of a list.
#[derive(Debug)]
pub(super) struct One<T>(pub(super) Option<T>);

struct OneVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneVisitor<T> {
    type Value = One<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|value| One(Some(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let first = list.next_element()?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(One(first))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor(PhantomData))
    }
}
