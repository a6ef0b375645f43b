//! Sources of a text.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::{Citation, MOST_CITATIONS, Ruler};
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
    let list = if raw.get().starts_with('[') {
        serde_json::from_str::<List<&RawValue, MOST_CITATIONS>>(raw.get()).unwrap_or_default()
    } else {
        List(vec![raw])
    };
    let citations = list.0.into_iter();
    let read = citations.filter_map(|raw| serde_json::from_str::<Read<'_>>(raw.get()).ok());
    read.flat_map(|citation| sources(citation, ruler)).collect()
}

fn sources(read: Read<'_>, ruler: &Ruler) -> Vec<Citation> {
    if read.r#type.is_some_and(|it| it.as_str() != OF_TEXT) {
        return Vec::new();
    }
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
