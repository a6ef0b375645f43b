//! Sources of a text.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::CITATION;
use super::answer::state;
use super::wire::{CitedText, MOST_BLOCKS};
use crate::chat::{Citation, Location, Unit};
use crate::wire::{List, Text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read<'a> {
    #[serde(borrow)]
    title: Option<Text<'a>>,
    source: Option<Text<'a>>,
    source_content: Option<List<CitedText<'a>, MOST_BLOCKS>>,
    location: Option<Place<'a>>,
}

/// One of these.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    #[serde(borrow)]
    web: Option<Web<'a>>,
    document_char: Option<Stretch>,
    document_page: Option<Stretch>,
    document_chunk: Option<Stretch>,
    search_result_location: Option<Stretch>,
}

#[derive(Deserialize)]
struct Web<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stretch {
    document_index: Option<u32>,
    start: Option<u32>,
    end: Option<u32>,
}

/// Reads the citation of a passage; none where it is no such thing, as it only decorates an answer.
pub(super) fn read(raw: &RawValue, passage: Range<u32>) -> Option<Citation> {
    let read: Read<'_> = serde_json::from_str(raw.get()).ok()?;
    let text = |text: Option<Text<'_>>| text.map(Text::into_string);
    let place = read.location.unwrap_or_default();
    let stretches = [
        (Unit::Characters, place.document_char),
        (Unit::Pages, place.document_page),
        (Unit::Blocks, place.document_chunk),
        (Unit::Blocks, place.search_result_location),
    ];
    let stretch = stretches
        .into_iter()
        .find_map(|(unit, stretch)| Some((unit, stretch?)));
    let document = stretch.as_ref().and_then(|(_, it)| it.document_index);
    let location = stretch.and_then(|(unit, it)| {
        let range = it.start?..it.end?;
        Some(Location { unit, range })
    });
    let quoted: String = read
        .source_content
        .unwrap_or_default()
        .0
        .into_iter()
        .filter_map(|piece| piece.text)
        .map(Text::into_string)
        .collect();
    Some(Citation {
        passage,
        url: place.web.and_then(|web| text(web.url)),
        title: text(read.title),
        quoted_text: (!quoted.is_empty()).then_some(quoted),
        source_id: text(read.source),
        document,
        location,
        opaque: Some(state(CITATION, raw.get().to_owned().into())),
    })
}

#[cfg(test)]
mod tests;
