//! The JSON that comes in.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::usage::Report;
use crate::chat::MOST_CITATIONS;
use crate::wire::{List, Text};

/// The most blocks one answer may have.
pub(super) const MOST_BLOCKS: usize = 4096;

/// A whole answer, or as much of it as a stream begins with.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) r#type: Option<Text<'a>>,
    pub(super) id: Option<Text<'a>>,
    pub(super) model: Option<Text<'a>>,
    pub(super) content: Option<List<&'a RawValue, MOST_BLOCKS>>,
    pub(super) stop_reason: Option<Text<'a>>,
    pub(super) stop_details: Option<StopDetails<'a>>,
    pub(super) stop_sequence: Option<Text<'a>>,
    pub(super) container: Option<&'a RawValue>,
    pub(super) usage: Option<&'a RawValue>,
}

/// What the place is called where code ran that the model wrote: a later request can go on in it.
pub(super) const CONTAINER: &str = "container";

/// Why the model stopped, where it declined to answer.
#[derive(Debug, Deserialize)]
pub(super) struct StopDetails<'a> {
    #[serde(borrow)]
    pub(super) explanation: Option<Text<'a>>,
}

/// A block of any type. One flat struct and not a tagged enum, because serde buffers tagged enums.
#[derive(Debug, Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow)]
    pub(super) r#type: Text<'a>,
    pub(super) text: Option<Text<'a>>,
    pub(super) citations: Option<List<&'a RawValue, MOST_CITATIONS>>,
    pub(super) thinking: Option<Text<'a>>,
    pub(super) signature: Option<Text<'a>>,
    pub(super) data: Option<Text<'a>>,
    pub(super) id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) input: Option<&'a RawValue>,
}

/// An event of a stream, of any type.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) r#type: Text<'a>,
    pub(super) index: Option<u32>,
    pub(super) message: Option<Message<'a>>,
    pub(super) content_block: Option<&'a RawValue>,
    pub(super) delta: Option<Delta<'a>>,
    pub(super) usage: Option<&'a RawValue>,
}

/// What an event adds, of any type.
#[derive(Debug, Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) citation: Option<&'a RawValue>,
    pub(super) thinking: Option<Text<'a>>,
    pub(super) signature: Option<Text<'a>>,
    pub(super) partial_json: Option<Text<'a>>,
    pub(super) stop_reason: Option<Text<'a>>,
    pub(super) stop_details: Option<StopDetails<'a>>,
    pub(super) stop_sequence: Option<Text<'a>>,
    pub(super) container: Option<&'a RawValue>,
}

/// Reads a report of usage; one that cannot be read is none.
pub(super) fn report(raw: &RawValue) -> Option<Report> {
    serde_json::from_str(raw.get()).ok()
}
