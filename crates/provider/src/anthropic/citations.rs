//! Sources of a text.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::CITATION;
use super::answer::state;
use crate::chat::{Citation, Location, Unit};
use crate::wire::Text;

/// A citation of any type, which shows in what it holds.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    cited_text: Option<Text<'a>>,
    /// Of a web page.
    url: Option<Text<'a>>,
    title: Option<Text<'a>>,
    /// Of a result of the caller's own search.
    source: Option<Text<'a>>,
    document_index: Option<u32>,
    document_title: Option<Text<'a>>,
    file_id: Option<Text<'a>>,
    start_char_index: Option<u32>,
    end_char_index: Option<u32>,
    start_page_number: Option<u32>,
    end_page_number: Option<u32>,
    start_block_index: Option<u32>,
    end_block_index: Option<u32>,
}

/// Reads the citation of a passage; none where it is no such thing, as it only decorates an answer.
pub(super) fn read(raw: &RawValue, passage: Range<u32>) -> Option<Citation> {
    let read: Read<'_> = serde_json::from_str(raw.get()).ok()?;
    let places = [
        (Unit::Characters, read.start_char_index, read.end_char_index),
        (Unit::Pages, read.start_page_number, read.end_page_number),
        (Unit::Blocks, read.start_block_index, read.end_block_index),
    ];
    let location = places.into_iter().find_map(|(unit, start, end)| {
        let range = start?..end?;
        Some(Location { unit, range })
    });
    let text = |text: Option<Text<'_>>| text.map(Text::into_string);
    Some(Citation {
        passage,
        url: text(read.url),
        title: text(read.title.or(read.document_title)),
        quoted_text: text(read.cited_text),
        source_id: text(read.file_id.or(read.source)),
        document: read.document_index,
        location,
        opaque: Some(state(CITATION, raw.get().to_owned())),
    })
}

#[cfg(test)]
mod tests;
