//! Sources of a text, as annotations of it tell them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::{Citation, Extent, MOST_CITATIONS, Ruler};
use crate::wire::{List, Text};

/// An annotation of any type, which shows in what it holds: a web page, or a file of the provider's.
#[derive(Deserialize)]
struct Read<'a> {
    start_index: Option<u32>,
    end_index: Option<u32>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    title: Option<Text<'a>>,
    file_id: Option<Text<'a>>,
    filename: Option<Text<'a>>,
}

/// The sources that a text is annotated with, which begins at that byte of the part that it ended up in. Places are
/// counted in characters of the text. What cannot be read is left out: it only decorates an answer.
pub(super) fn read(
    annotations: &RawValue,
    text: &str,
    start: u32,
    extent: &Extent,
) -> Vec<Citation> {
    type Annotations<'a> = Option<List<&'a RawValue, MOST_CITATIONS>>;
    let list = serde_json::from_str::<Annotations<'_>>(annotations.get());
    let list = list.ok().flatten().unwrap_or_default().0;
    if list.is_empty() {
        return Vec::new();
    }
    let mut ruler = Ruler::default();
    ruler.text(text);
    let read = |raw: &RawValue| {
        let read: Read<'_> = serde_json::from_str(raw.get()).ok()?;
        let characters = read.start_index.unwrap_or(0)..read.end_index.unwrap_or(0);
        let bytes = ruler.passage(&characters);
        let passage = start.saturating_add(bytes.start)..start.saturating_add(bytes.end);
        let citation = Citation {
            passage: extent.fit(&passage),
            url: Text::filled(read.url),
            title: Text::filled(read.title).or_else(|| Text::filled(read.filename)),
            source_id: Text::filled(read.file_id),
            ..Citation::default()
        };
        (citation.url.is_some() || citation.source_id.is_some()).then_some(citation)
    };
    list.into_iter().filter_map(read).collect()
}
