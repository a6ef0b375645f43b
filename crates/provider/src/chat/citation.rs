//! Sources of what an answer says.

use std::ops::Range;

use serde_json::value::RawValue;

use super::{Delta, Opaque, Part};
use crate::failure::{Class, Failure};

/// The most citations that one choice may have, beyond which an answer is no longer one.
pub(crate) const MOST_CITATIONS: usize = 4096;

/// The most bytes of the sources of one block.
const MOST_BYTES: usize = 1024 * 1024;

/// Where a passage of a text comes from, as the provider tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Citation {
    /// The passage, in bytes of the part's text. Empty where the provider names a source of the whole, or a place only.
    pub passage: Range<u32>,
    /// Address of the source.
    pub url: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What is quoted from it.
    pub quoted_text: Option<String>,
    /// The provider's name of the source, such as the id of a document, of a tool call or of a reference.
    pub source_id: Option<String>,
    /// Which of the conversation's documents it is, from 0, as the provider counts them.
    pub document: Option<u32>,
    /// Where in the source it stands.
    pub location: Option<Location>,
    /// The citation as the same provider needs it back on the next turn.
    pub opaque: Option<Opaque>,
}

/// A place in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// What is counted.
    pub unit: Unit,
    /// From the first to before the last, as the provider counts: pages from 1, all else from 0.
    pub range: Range<u32>,
}

/// What a place in a source is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Characters of its text.
    Characters,
    /// Pages.
    Pages,
    /// Pieces that it came in: content blocks, or chunks of the provider's own.
    Blocks,
}

impl Unit {
    /// The lower-case name, as the compatible edge writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Characters => "characters",
            Self::Pages => "pages",
            Self::Blocks => "blocks",
        }
    }
}

/// What a delta does to the part of text that came last, in the way in which `Assembler` makes parts.
enum Effect<'a> {
    Grows(&'a str),
    Ends,
    Stays,
}

fn effect(delta: &Delta) -> Effect<'_> {
    match delta {
        Delta::Text(text) => Effect::Grows(text),
        Delta::Refusal(_)
        | Delta::Reasoning(_)
        | Delta::ReasoningState(_)
        | Delta::Audio(_)
        | Delta::ToolCall { .. } => Effect::Ends,
        Delta::ToolArguments { .. }
        | Delta::ToolState { .. }
        | Delta::Citation(_)
        | Delta::Logprobs(_) => Effect::Stays,
    }
}

/// How long the latest part of text is, for formats that count as this crate does.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    bytes: u32,
    /// Whether text that comes now belongs to that part.
    open: bool,
}

impl Extent {
    /// Takes note of what was added.
    pub(crate) fn take(&mut self, delta: &Delta) {
        match effect(delta) {
            Effect::Grows(text) => {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                self.bytes = self.length().saturating_add(length);
                self.open = true;
            }
            Effect::Ends => self.open = false,
            Effect::Stays => {}
        }
    }

    /// Bytes of the latest part; none where what comes next begins another.
    pub(crate) fn length(&self) -> u32 {
        if self.open { self.bytes } else { 0 }
    }

    /// The passage from a byte of the latest part to its end so far.
    pub(crate) fn since(&self, start: u32) -> Range<u32> {
        self.fit(&(start..self.bytes))
    }

    /// Cuts a passage of the latest part to what there is.
    pub(crate) fn fit(&self, passage: &Range<u32>) -> Range<u32> {
        ordered(passage.start.min(self.bytes)..passage.end.min(self.bytes))
    }
}

/// A block of text under way in formats that tell sources of blocks: all of them are good for the whole of it, and how long
/// it is, its end tells.
#[derive(Debug)]
pub(crate) struct CitedBlock {
    /// Where in the latest part it began.
    start: u32,
    sources: Vec<Citation>,
    /// Bytes of their JSON.
    size: usize,
}

impl CitedBlock {
    /// One that begins now.
    pub(crate) fn begin(extent: &Extent) -> Self {
        Self {
            start: extent.length(),
            sources: Vec::new(),
            size: 0,
        }
    }

    /// Notes a source, as it was sent and as it was read, if it could be.
    ///
    /// # Errors
    /// There are more than of any honest text.
    pub(crate) fn cite(&mut self, raw: &RawValue, read: Option<Citation>) -> Result<(), Failure> {
        self.size += raw.get().len();
        if self.size > MOST_BYTES || self.sources.len() == MOST_CITATIONS {
            let detail = "a text of the answer has too many sources";
            return Err(Failure::new(Class::Server, detail));
        }
        self.sources.extend(read);
        Ok(())
    }

    /// The sources, now that it has ended.
    pub(crate) fn end(self, extent: &Extent) -> impl Iterator<Item = Delta> {
        let passage = extent.since(self.start);
        self.sources.into_iter().map(move |source| {
            Delta::Citation(Citation {
                passage: passage.clone(),
                ..source
            })
        })
    }
}

/// Measures the text of one choice as it grows, to tell places in it in the units of another format.
///
/// Some formats count bytes of a part, some characters of all that is said. Text of one width of characters takes up no
/// more room than where it begins.
#[derive(Debug, Default)]
pub(crate) struct Ruler {
    /// Where characters of another width than before begin.
    runs: Vec<Run>,
    end: Mark,
    /// Where the latest part begins.
    part: Mark,
    /// Whether text that comes now belongs to that part.
    open: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    bytes: u32,
    characters: u32,
}

#[derive(Debug)]
struct Run {
    at: Mark,
    width: u32,
}

impl Ruler {
    /// A ruler of a whole answer.
    pub(crate) fn of(parts: &[Part]) -> Self {
        let mut ruler = Self::default();
        for part in parts {
            if let Part::Text(text) | Part::Cited { text, .. } = part {
                ruler.close();
                ruler.text(text);
            }
        }
        ruler
    }

    /// Takes note of what was added.
    pub(crate) fn take(&mut self, delta: &Delta) {
        match effect(delta) {
            Effect::Grows(text) => self.text(text),
            Effect::Ends => self.close(),
            Effect::Stays => {}
        }
    }

    /// Adds text, to the latest part if that is still open.
    pub(crate) fn text(&mut self, text: &str) {
        if !self.open {
            self.open = true;
            self.part = self.end;
        }
        if text.is_ascii() {
            return self.run(1, text.len());
        }
        for character in text.chars() {
            self.run(u32::try_from(character.len_utf8()).unwrap_or(1), 1);
        }
    }

    /// The latest part is over.
    pub(crate) fn close(&mut self) {
        self.open = false;
    }

    fn run(&mut self, width: u32, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count > 0 && self.runs.last().is_none_or(|run| run.width != width) {
            let at = self.end;
            self.runs.push(Run { at, width });
        }
        let Mark { bytes, characters } = &mut self.end;
        *bytes = bytes.saturating_add(width.saturating_mul(count));
        *characters = characters.saturating_add(count);
    }

    /// The bytes of the latest part that are these characters of the whole text, cut to what there is.
    pub(crate) fn passage(&self, characters: &Range<u32>) -> Range<u32> {
        let byte = |at: u32| {
            let at = at.clamp(self.part.characters, self.end.characters);
            let run = self.before(|mark| mark.characters <= at);
            let bytes = run.map_or(at, |run| {
                run.at.bytes + (at - run.at.characters) * run.width
            });
            bytes - self.part.bytes
        };
        ordered(byte(characters.start)..byte(characters.end))
    }

    /// The characters of the whole text that are these bytes of the latest part, cut to what there is.
    pub(crate) fn characters(&self, passage: &Range<u32>) -> Range<u32> {
        let character = |at: u32| {
            let at = at.saturating_add(self.part.bytes).min(self.end.bytes);
            let run = self.before(|mark| mark.bytes <= at);
            run.map_or(at, |run| {
                run.at.characters + (at - run.at.bytes) / run.width
            })
        };
        ordered(character(passage.start)..character(passage.end))
    }

    /// Bytes of the latest part; none where what comes next begins another.
    pub(crate) fn length(&self) -> u32 {
        if self.open {
            self.end.bytes - self.part.bytes
        } else {
            0
        }
    }

    fn before(&self, is: impl Fn(&Mark) -> bool) -> Option<&Run> {
        let at = self.runs.partition_point(|run| is(&run.at));
        self.runs.get(at.checked_sub(1)?)
    }
}

fn ordered(range: Range<u32>) -> Range<u32> {
    range.start..range.end.max(range.start)
}

#[cfg(test)]
mod tests;
