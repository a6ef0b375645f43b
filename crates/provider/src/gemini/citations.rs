//! Sources of a text: what searches found (grounding), and works that the text repeats (citation metadata).

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::chat::{Citation, Delta, Extent, Location, MOST_CITATIONS, Opaque, Unit};
use crate::codec::Kind;
use crate::wire::{List, Text};

/// State: what is told of the searches behind an answer, as JSON. The provider does not want it back, but wants the
/// suggestions in it shown.
const GROUNDING: &str = "grounding";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grounding<'a> {
    #[serde(borrow)]
    grounding_chunks: Option<List<Found<'a>, MOST_CITATIONS>>,
    grounding_supports: Option<List<Support<'a>, MOST_CITATIONS>>,
    /// The searches that were made, each of which is paid for.
    web_search_queries: Option<List<IgnoredAny, MOST_CITATIONS>>,
}

/// What was found, in one of these places.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    #[serde(borrow)]
    web: Option<Page<'a>>,
    retrieved_context: Option<Page<'a>>,
    maps: Option<Page<'a>>,
    image: Option<Page<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow, alias = "sourceUri")]
    uri: Option<Text<'a>>,
    title: Option<Text<'a>>,
    text: Option<Text<'a>>,
    document_name: Option<Text<'a>>,
    place_id: Option<Text<'a>>,
    page_number: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Support<'a> {
    #[serde(borrow)]
    segment: Option<Segment<'a>>,
    grounding_chunk_indices: Option<List<usize, MOST_CITATIONS>>,
}

/// A stretch of a part, in bytes.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Segment<'a> {
    #[serde(default)]
    part_index: usize,
    start_index: Option<u32>,
    end_index: Option<u32>,
    /// Of a repeated work.
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    title: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repeated<'a> {
    #[serde(borrow, alias = "citationSources")]
    citations: Option<List<Segment<'a>, MOST_CITATIONS>>,
}

/// The sources of one candidate. Events tell them again and again as they become more, some for text that is yet to
/// come, so they are held until its end.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Where the parts of the first event began, in bytes of the text.
    starts: Vec<u32>,
    started: bool,
    found: Vec<Citation>,
    told: Vec<Citation>,
    grounding: Option<String>,
    searches: u64,
}

impl Sources {
    /// A part of an event begins.
    pub(super) fn part(&mut self, extent: &Extent) {
        if !self.started {
            self.starts.push(extent.length());
        }
    }

    /// Takes what an event says of sources, after its parts. What cannot be read is left out: it only decorates an
    /// answer.
    pub(super) fn take(&mut self, grounding: Option<&RawValue>, repeated: Option<&RawValue>) {
        self.started = true;
        let read = grounding.and_then(|raw| serde_json::from_str::<Grounding<'_>>(raw.get()).ok());
        if let (Some(raw), Some(read)) = (grounding, read) {
            self.grounding = Some(raw.get().to_owned());
            let queries = read.web_search_queries.as_ref().map_or(0, |it| it.0.len());
            self.searches = self.searches.max(queries as u64);
            self.ground(read);
        }
        let read = repeated.and_then(|raw| serde_json::from_str::<Repeated<'_>>(raw.get()).ok());
        for work in read.and_then(|it| it.citations).unwrap_or_default().0 {
            let passage = self.place(&work);
            self.tell(Citation {
                passage,
                url: work.uri.map(Text::into_string),
                title: work.title.map(Text::into_string),
                ..Citation::default()
            });
        }
    }

    fn ground(&mut self, read: Grounding<'_>) {
        let found = read.grounding_chunks.unwrap_or_default().0;
        if !found.is_empty() {
            self.found = found.into_iter().map(citation).collect();
        }
        let supports = read.grounding_supports.unwrap_or_default().0;
        let mut used = vec![false; self.found.len()];
        for support in supports {
            let passage = self.place(&support.segment.unwrap_or_default());
            for index in support.grounding_chunk_indices.unwrap_or_default().0 {
                let Some(source) = self.found.get(index).cloned() else {
                    continue;
                };
                used[index] = true;
                let passage = passage.clone();
                self.tell(Citation { passage, ..source });
            }
        }
        // What was found and supports no passage is a source of the whole.
        let rest = self.found.iter().zip(used).filter(|(_, used)| !used);
        for source in rest.map(|(source, _)| source.clone()).collect::<Vec<_>>() {
            let known = |it: &Citation| it.url == source.url && it.title == source.title;
            if !self.told.iter().any(known) {
                self.tell(source);
            }
        }
    }

    fn place(&self, segment: &Segment<'_>) -> Range<u32> {
        let part = self.starts.get(segment.part_index).copied().unwrap_or(0);
        let place = |at: Option<u32>| part.saturating_add(at.unwrap_or(0));
        place(segment.start_index)..place(segment.end_index)
    }

    fn tell(&mut self, citation: Citation) {
        if self.told.len() < MOST_CITATIONS && !self.told.contains(&citation) {
            self.told.push(citation);
        }
    }

    /// How many searches were made for the candidate.
    pub(super) fn searches(&self) -> u64 {
        self.searches
    }

    /// What is to be told at the candidate's end.
    pub(super) fn finish(&mut self, extent: &Extent) -> impl Iterator<Item = Delta> + use<> {
        let mut told = std::mem::take(&mut self.told);
        for citation in &mut told {
            citation.passage = extent.fit(&citation.passage);
        }
        let grounding = self.grounding.take().map(|json| {
            Delta::ReasoningState(Opaque {
                provider: Kind::Gemini.as_str().to_owned(),
                kind: GROUNDING.to_owned(),
                bytes: Bytes::from(json),
            })
        });
        told.into_iter().map(Delta::Citation).chain(grounding)
    }
}

fn citation(found: Found<'_>) -> Citation {
    let place = found
        .web
        .or(found.retrieved_context)
        .or(found.maps)
        .or(found.image);
    let page = place.unwrap_or_default();
    let text = |text: Option<Text<'_>>| text.map(Text::into_string);
    Citation {
        url: text(page.uri),
        title: text(page.title),
        quoted_text: text(page.text),
        source_id: text(page.document_name.or(page.place_id)),
        location: page.page_number.map(|page| Location {
            unit: Unit::Pages,
            range: page..page.saturating_add(1),
        }),
        ..Citation::default()
    }
}

#[cfg(test)]
mod tests;
