//! What a provider tells of an answer beside the answer.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{Chunk, Json};
use crate::usage;

/// What is told of an answer, or of one of its choices, by the provider's own names for it, such as `container`.
pub type Details = BTreeMap<&'static str, Json>;

/// Something that a stream tells beside the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Aside {
    /// As `Response::fingerprint`.
    Fingerprint(String),
    /// As `Choice::stop_sequence`.
    StopSequence {
        /// The choice's index.
        choice: u32,
        /// The text.
        text: String,
    },
    /// As `Response::details` and `Choice::details`; what was told under the same name before is no longer true.
    Detail {
        /// The choice's index; none where it is of the answer as a whole.
        choice: Option<u32>,
        /// The provider's name for it.
        name: &'static str,
        /// What it says.
        value: Json,
    },
}

impl Aside {
    /// A detail as it was sent; none where it says nothing.
    pub(crate) fn detail(
        choice: Option<u32>,
        name: &'static str,
        raw: Option<&RawValue>,
    ) -> Option<Self> {
        Some(Self::Detail {
            choice,
            name,
            value: said(raw?)?,
        })
    }
}

/// A detail of a choice that any event of a stream may tell again: what was told last.
#[derive(Debug, Default)]
pub(crate) struct Retold(String);

impl Retold {
    /// Tells what is new.
    pub(crate) fn tell(
        &mut self,
        (choice, name): (u32, &'static str),
        raw: Option<&RawValue>,
        out: &mut Vec<Chunk>,
    ) {
        let new = raw.filter(|raw| raw.get() != self.0);
        if let Some(aside) = Aside::detail(Some(choice), name, new) {
            self.0.clear();
            self.0.push_str(new.map_or("", RawValue::get));
            out.push(Chunk::Aside(aside));
        }
    }
}

/// The details of a whole answer, or of a choice of one.
pub(crate) fn details<const N: usize>(told: [(&'static str, Option<&RawValue>); N]) -> Details {
    let told = told.into_iter();
    told.filter_map(|(name, raw)| Some((name, said(raw?)?)))
        .collect()
}

/// What says something, and is not larger than anything honest.
fn said(raw: &RawValue) -> Option<Json> {
    let empty = matches!(raw.get(), "null" | "{}" | "[]");
    let json = (!empty && raw.get().len() <= usage::LONGEST_REPORT).then(|| Json::from(raw));
    json.and_then(usage::bounded)
}
