//! Sources of a text.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::CITATION;
use crate::chat::{Citation, MOST_CITATIONS, Opaque, Ruler};
use crate::codec::Kind;
use crate::wire::{List, Text};

/// What the citations of the answer's text are called; others are of its thoughts.
const OF_TEXT: &str = "TEXT_CONTENT";

#[derive(Deserialize)]
struct Read<'a> {
    /// In characters.
    start: Option<u32>,
    end: Option<u32>,
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    sources: Option<List<Source<'a>, MOST_CITATIONS>>,
}

/// A document, or what a tool gave.
#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    document: Option<&'a RawValue>,
    tool_output: Option<&'a RawValue>,
}

/// The fields of a document that mean the same wherever they are given.
#[derive(Default, Deserialize)]
struct Known<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
    title: Option<Text<'a>>,
    snippet: Option<Text<'a>>,
    text: Option<Text<'a>>,
}

/// Reads a citation, or the citations of a whole answer, each once for every source. What cannot be read is left out: it
/// only decorates an answer.
pub(super) fn read(raw: &RawValue, ruler: &Ruler) -> Vec<Citation> {
    let of_text = each(raw).filter(|(_, read)| read.is_of_text());
    of_text.flat_map(|(_, it)| sources(it, ruler)).collect()
}

/// The citations among them that are of thoughts, or of a plan. They have no place in a conversation, so that they are
/// kept as they came.
pub(super) fn of_thoughts(raw: &RawValue) -> Vec<Opaque> {
    let of_thoughts = each(raw).filter(|(_, read)| !read.is_of_text());
    let keep = |(raw, _): (&RawValue, _)| Opaque {
        provider: Kind::Cohere.as_str().to_owned(),
        kind: CITATION.to_owned(),
        bytes: raw.get().to_owned().into(),
    };
    of_thoughts.map(keep).collect()
}

fn each(raw: &RawValue) -> impl Iterator<Item = (&RawValue, Read<'_>)> {
    let list = if raw.get().starts_with('[') {
        serde_json::from_str::<List<&RawValue, MOST_CITATIONS>>(raw.get()).unwrap_or_default()
    } else {
        List(vec![raw])
    };
    list.0.into_iter().filter_map(one)
}

fn one(raw: &RawValue) -> Option<(&RawValue, Read<'_>)> {
    Some((raw, serde_json::from_str(raw.get()).ok()?))
}

impl Read<'_> {
    fn is_of_text(&self) -> bool {
        self.r#type.as_ref().is_none_or(|it| it.as_str() == OF_TEXT)
    }
}

fn sources(read: Read<'_>, ruler: &Ruler) -> Vec<Citation> {
    let passage = ruler.passage(&(read.start.unwrap_or(0)..read.end.unwrap_or(0)));
    let sources = read.sources.unwrap_or_default().0.into_iter();
    let text = |text: Option<Text<'_>>| text.map(Text::into_string);
    let cite = |source: Source<'_>| {
        let given = source.document.or(source.tool_output);
        let given = given.and_then(|raw| serde_json::from_str::<Known<'_>>(raw.get()).ok());
        let given = given.unwrap_or_default();
        Citation {
            passage: passage.clone(),
            url: text(given.url),
            title: text(given.title),
            quoted_text: text(given.snippet.or(given.text)),
            source_id: text(source.id),
            ..Citation::default()
        }
    };
    sources.map(cite).collect()
}

#[cfg(test)]
mod tests;
