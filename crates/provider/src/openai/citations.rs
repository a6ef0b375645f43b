//! Sources of a text: as providers tell them in this format, and on their way through a caller who speaks it.
//!
//! The format knows sources with an address only, as `annotations` of a message, with places counted in characters of
//! all that it says. What else is known of a source, and the state that its provider wants back with the text, stands
//! beside them in `citations`, a list of the gateway's own, which clients send back as it came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{List, Text};
use crate::chat::{Citation, MOST_CITATIONS, Opaque, Part, Ruler};

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    url_citation: Option<ReadUrl<'a>>,
}

#[derive(Deserialize)]
struct ReadUrl<'a> {
    start_index: Option<u32>,
    end_index: Option<u32>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    url: Option<Text<'a>>,
    /// What routers quote from the source.
    content: Option<Text<'a>>,
}

/// The sources that a provider annotates a text with. What cannot be read is left out: it only decorates an answer.
pub(super) fn annotated(annotations: &RawValue, ruler: &Ruler) -> Vec<Citation> {
    let list = list(annotations).unwrap_or_default().0.into_iter();
    let read = |raw: &RawValue| {
        let source = serde_json::from_str::<Read<'_>>(raw.get())
            .ok()?
            .url_citation?;
        let characters = source.start_index.unwrap_or(0)..source.end_index.unwrap_or(0);
        Some(Citation {
            passage: ruler.passage(&characters),
            url: Text::filled(source.url),
            title: Text::filled(source.title),
            quoted_text: Text::filled(source.content),
            ..Citation::default()
        })
    };
    list.filter_map(read).collect()
}

/// A source that a server has read, by its address alone or with more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Searched<'a> {
    Address(String),
    Result {
        #[serde(borrow)]
        url: Text<'a>,
        title: Option<Text<'a>>,
        snippet: Option<Text<'a>>,
    },
}

/// The sources of an answer as a whole, in the order that its text counts them in, if it does. Where results of a search
/// are told beside addresses they say the same, and more.
pub(super) fn searched(addresses: Option<&RawValue>, results: Option<&RawValue>) -> Vec<Citation> {
    let read = |raw: &RawValue| {
        let source = match serde_json::from_str(raw.get()).ok()? {
            Searched::Address(url) => Citation {
                url: Some(url),
                ..Citation::default()
            },
            Searched::Result {
                url,
                title,
                snippet,
            } => Citation {
                url: Some(url.into_string()),
                title: Text::filled(title),
                quoted_text: Text::filled(snippet),
                ..Citation::default()
            },
        };
        Some(source).filter(|it| it.url.as_ref().is_some_and(|url| !url.is_empty()))
    };
    let of = |raw: Option<&RawValue>| -> Vec<Citation> {
        let list = raw.and_then(list).unwrap_or_default().0.into_iter();
        list.filter_map(read).collect()
    };
    match of(results) {
        none if none.is_empty() => of(addresses),
        results => results,
    }
}

/// A list of anything; none where it is no list.
pub(super) fn list(raw: &RawValue) -> Option<List<&RawValue, MOST_CITATIONS>> {
    serde_json::from_str::<Option<_>>(raw.get()).ok().flatten()
}

/// What a caller is told of sources.
#[derive(Serialize, Default)]
pub(super) struct Sources<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    citations: Vec<Extra<'a>>,
}

#[derive(Serialize)]
struct Annotation<'a> {
    r#type: &'static str,
    url_citation: UrlCitation<'a>,
}

#[derive(Serialize)]
struct UrlCitation<'a> {
    start_index: u32,
    end_index: u32,
    title: &'a str,
    url: &'a str,
}

#[derive(Serialize)]
struct Extra<'a> {
    start_index: u32,
    end_index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cited_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
    #[serde(flatten)]
    state: Option<State<'a>>,
}

#[derive(Serialize)]
struct Location {
    unit: &'static str,
    start: u32,
    end: u32,
}

/// State as in `reasoning_details`.
#[derive(Serialize)]
struct State<'a> {
    format: &'a str,
    id: &'a str,
    data: String,
}

impl<'a> Sources<'a> {
    /// Those of a whole answer. Only then is its text measured.
    pub(super) fn of(parts: &'a [Part]) -> Self {
        let mut sources = Self::default();
        if !parts.iter().any(|part| matches!(part, Part::Cited { .. })) {
            return sources;
        }
        let mut ruler = Ruler::default();
        for part in parts {
            if let Part::Text(text) | Part::Cited { text, .. } = part {
                ruler.close();
                ruler.text(text);
            }
            if let Part::Cited { citations, .. } = part {
                for citation in citations {
                    sources.add(citation, &ruler);
                }
            }
        }
        sources
    }

    /// Adds a source of the latest part that was measured.
    pub(super) fn add(&mut self, citation: &'a Citation, ruler: &Ruler) {
        let characters = ruler.characters(&citation.passage);
        let (start_index, end_index) = (characters.start, characters.end);
        if let Some(url) = citation.url.as_deref() {
            self.annotations.push(Annotation {
                r#type: "url_citation",
                url_citation: UrlCitation {
                    start_index,
                    end_index,
                    title: citation.title.as_deref().unwrap_or_default(),
                    url,
                },
            });
        }
        let more = citation.quoted_text.is_some()
            || citation.source_id.is_some()
            || citation.document.is_some()
            || citation.location.is_some()
            || citation.opaque.is_some();
        if citation.url.is_some() && !more {
            return;
        }
        self.citations.push(Extra {
            start_index,
            end_index,
            url: citation.url.as_deref(),
            title: citation.title.as_deref(),
            cited_text: citation.quoted_text.as_deref(),
            source_id: citation.source_id.as_deref(),
            document_index: citation.document,
            location: citation.location.as_ref().map(|it| Location {
                unit: it.unit.as_str(),
                start: it.range.start,
                end: it.range.end,
            }),
            state: citation.opaque.as_ref().map(|it| State {
                format: &it.provider,
                id: &it.kind,
                data: STANDARD.encode(&it.bytes),
            }),
        });
    }
}

#[derive(Deserialize)]
struct Returned<'a> {
    start_index: u32,
    end_index: u32,
    #[serde(borrow)]
    format: Text<'a>,
    id: Text<'a>,
    data: Text<'a>,
}

/// A text of which the caller sent the sources back. Those without state mean nothing to any provider, and elements of
/// another shape are ignored: callers echo what servers sent, with whatever each server adds.
///
/// # Errors
/// What is wrong, in words, with an element that was changed.
pub(super) fn returned(text: String, raw: &RawValue) -> Result<Part, &'static str> {
    let mut ruler = Ruler::default();
    ruler.text(&text);
    let mut citations = Vec::new();
    for raw in list(raw).unwrap_or_default().0 {
        let Ok(read) = serde_json::from_str::<Returned<'_>>(raw.get()) else {
            continue;
        };
        let bytes = STANDARD.decode(read.data.as_str());
        citations.push(Citation {
            passage: ruler.passage(&(read.start_index..read.end_index)),
            opaque: Some(Opaque {
                provider: read.format.into_string(),
                kind: read.id.into_string(),
                bytes: bytes.map_err(|_| "must be sent back as it came")?.into(),
            }),
            ..Citation::default()
        });
    }
    if citations.is_empty() {
        return Ok(Part::Text(text));
    }
    Ok(Part::Cited { text, citations })
}

#[cfg(test)]
mod tests;
