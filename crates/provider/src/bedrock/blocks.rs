//! The pieces of messages as they are sent.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{BLOCK, CITATION, PROVIDER, REDACTED, SIGNATURE};
use crate::blocks::{CacheMark, Format, Place};
use crate::chat::{Document, DocumentSource, Image, Opaque, Source, StoredFile, ToolCall};
use crate::{Error, path};

/// The types of block that are written here.
const KNOWN: [&str; 9] = [
    "text",
    "citationsContent",
    "image",
    "audio",
    "document",
    "toolUse",
    "toolResult",
    "reasoningContent",
    "cachePoint",
];
/// The pictures the provider reads, by media type, and what it calls them.
const IMAGES: [(&str, &str); 4] = [
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
];
/// The documents the provider reads, by media type, and what it calls them.
const DOCUMENTS: [(&str, &str); 9] = [
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("application/vnd.ms-excel", "xls"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xlsx",
    ),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
];
/// The sounds the provider listens to.
const SOUNDS: [&str; 15] = [
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg",
    "mpga", "pcm", "webm",
];
/// The longest name of a document.
const LONGEST_NAME: usize = 200;
/// The longest id of a call.
const LONGEST_ID: usize = 64;

/// A piece of a message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(&'a str),
    CitationsContent(CitedText<'a>),
    Image(Media<'a>),
    Audio(Media<'a>),
    Document(WireDocument<'a>),
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: Cow<'a, str>,
        name: &'a str,
        input: &'a RawValue,
    },
    #[serde(rename_all = "camelCase")]
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
    },
    ReasoningContent(Thought<'a>),
    CachePoint(CacheMark),
    /// Sent back as it came.
    #[serde(untagged)]
    Kept(Box<RawValue>),
}

#[derive(Serialize)]
pub(super) struct CitedText<'a> {
    content: [Words<'a>; 1],
    citations: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Words<'a> {
    text: &'a str,
}

/// Asks for passages to be cited.
#[derive(Serialize)]
struct Citing {
    enabled: bool,
}

#[derive(Serialize)]
pub(super) struct Media<'a> {
    format: &'a str,
    source: WireSource<'a>,
}

#[derive(Serialize)]
pub(super) struct WireDocument<'a> {
    format: &'static str,
    name: String,
    source: WireSource<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citations: Option<Citing>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum WireSource<'a> {
    /// In base64.
    Bytes(String),
    Text(&'a str),
    S3Location {
        uri: &'a str,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Thought<'a> {
    ReasoningText {
        text: &'a str,
        signature: &'a str,
    },
    /// In base64.
    RedactedContent(String),
}

/// Bedrock's format.
pub(super) struct Converse;

impl Format for Converse {
    type Block<'a> = Block<'a>;
    const PROVIDER: &'static str = PROVIDER;
    const CITATION: &'static str = CITATION;

    fn text<'a>(text: &'a str, citations: Vec<&'a RawValue>) -> Block<'a> {
        if citations.is_empty() {
            return Block::Text(text);
        }
        let content = [Words { text }];
        Block::CitationsContent(CitedText { content, citations })
    }

    fn image<'a>(image: &'a Image, at: &Place<'_>) -> Result<Block<'a>, Error> {
        let (mime, source) = match &image.source {
            Source::Bytes { mime, data } => (mime.as_str(), WireSource::bytes(data)),
            Source::Stored(file) => {
                let source = WireSource::stored(file, ".image.file_id", at)?;
                (file.mime.as_deref().unwrap_or_default(), source)
            }
            Source::Url(_) => {
                let problem = "it fetches nothing from an address; send the picture as data";
                return Err(at.refuse(".image.url", problem));
            }
        };
        let Some(format) = named(&IMAGES, mime) else {
            let problem = "it reads pictures of type png, jpeg, gif and webp";
            return Err(at.refuse(".image.media_type", problem));
        };
        Ok(Block::Image(Media { format, source }))
    }

    fn audio<'a>(data: &[u8], format: &'a str, at: &Place<'_>) -> Result<Block<'a>, Error> {
        if !SOUNDS.contains(&format) {
            let problem = "it listens to no sound of that format; send mp3 or wav";
            return Err(at.refuse(".audio.media_type", problem));
        }
        let source = WireSource::bytes(data);
        Ok(Block::Audio(Media { format, source }))
    }

    fn document<'a>(document: &'a Document, at: &Place<'_>) -> Result<Block<'a>, Error> {
        let (format, source) = match &document.source {
            DocumentSource::Text { text, mime } => {
                let format = named(&DOCUMENTS, mime).unwrap_or("txt");
                (format, WireSource::Text(text))
            }
            DocumentSource::File(Source::Bytes { mime, data }) => {
                (document_format(mime, at)?, WireSource::bytes(data))
            }
            DocumentSource::File(Source::Stored(file)) => {
                let source = WireSource::stored(file, ".document.file_id", at)?;
                let mime = file.mime.as_deref().unwrap_or_default();
                (document_format(mime, at)?, source)
            }
            DocumentSource::File(Source::Url(_)) => {
                let problem = "it fetches nothing from an address; send the document as data";
                return Err(at.refuse(".document.url", problem));
            }
        };
        // A name is needed, and no two may be the same.
        let name = document.title.as_deref().map(name);
        let name = name.filter(|name| !name.is_empty());
        let (message, part, within) = (at.message + 1, at.part + 1, at.within);
        Ok(Block::Document(WireDocument {
            format,
            name: name.unwrap_or_else(|| format!("document {message} {part} {within}")),
            source,
            citations: document.citations.then_some(Citing { enabled: true }),
        }))
    }

    fn call<'a>(
        call: &'a ToolCall,
        input: &'a RawValue,
        at: &Place<'_>,
    ) -> Result<Block<'a>, Error> {
        Ok(Block::ToolUse {
            tool_use_id: id(&call.id, at)?,
            name: &call.name,
            input,
        })
    }

    fn result<'a>(
        call_id: &'a str,
        content: Vec<Block<'a>>,
        is_error: bool,
        at: &Place<'_>,
    ) -> Result<Block<'a>, Error> {
        Ok(Block::ToolResult {
            tool_use_id: id(call_id, at)?,
            content,
            status: is_error.then_some("error"),
        })
    }

    fn thought<'a>(state: &'a Opaque, text: &mut &'a str) -> Option<Block<'a>> {
        let words = || std::str::from_utf8(&state.bytes).ok();
        Some(match state.kind.as_str() {
            SIGNATURE => Block::ReasoningContent(Thought::ReasoningText {
                text: std::mem::take(text),
                signature: words()?,
            }),
            REDACTED => {
                let blob = STANDARD.encode(&state.bytes);
                Block::ReasoningContent(Thought::RedactedContent(blob))
            }
            BLOCK => Block::Kept(kept(words()?)?),
            _ => return None,
        })
    }

    fn cache(blocks: &mut Vec<Block<'_>>, _: usize, mark: CacheMark) {
        // There must be something to cache.
        if !blocks.is_empty() {
            blocks.push(Block::CachePoint(mark));
        }
    }
}

/// An id of a call may hold letters, digits and `_.:-`, 64 at most. Calls made by other providers may
/// have others, which are written as numbers: alike in the call and in its result.
fn id<'a>(id: &'a str, at: &Place<'_>) -> Result<Cow<'a, str>, Error> {
    let id = path::identifier(id, "_.:-");
    if id.len() > LONGEST_ID {
        let problem = "its ids of tool calls have at most 64 characters";
        return Err(at.refuse(".tool_call.id", problem));
    }
    Ok(id)
}

fn named(table: &[(&str, &'static str)], mime: &str) -> Option<&'static str> {
    let known = table.iter().find(|(known, _)| *known == mime);
    known.map(|(_, name)| *name)
}

fn document_format(mime: &str, at: &Place<'_>) -> Result<&'static str, Error> {
    named(&DOCUMENTS, mime).ok_or_else(|| {
        let problem =
            "it reads documents of type pdf, csv, Word, Excel, html, plain text and markdown";
        at.refuse(".document.media_type", problem)
    })
}

impl<'a> WireSource<'a> {
    fn bytes(data: &[u8]) -> Self {
        Self::Bytes(STANDARD.encode(data))
    }

    /// A file that lies in a bucket of S3, where the provider fetches it.
    fn stored(file: &'a StoredFile, field: &str, at: &Place<'_>) -> Result<Self, Error> {
        if !file.id.starts_with("s3://") {
            let problem = "it knows files by where they lie in S3, such as s3://bucket/key";
            return Err(at.refuse(field, problem));
        }
        Ok(Self::S3Location { uri: &file.id })
    }
}

/// A title as a name of a document may be: letters, digits, single spaces and a few marks.
fn name(title: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
    let mut name = String::with_capacity(title.len());
    for c in title.chars() {
        match c {
            c if plain(c) => name.push(c),
            _ if name.ends_with(' ') || name.is_empty() => {}
            _ => name.push(' '),
        }
    }
    name.truncate(LONGEST_NAME);
    name.trim_end().to_owned()
}

/// A block that was kept because its type means nothing here. One whose type does is no such block, and
/// must go the way on which it is looked at.
fn kept(data: &str) -> Option<Box<RawValue>> {
    let block: serde_json::Map<String, serde_json::Value> = serde_json::from_str(data).ok()?;
    let foreign = |(key, value): (&String, &serde_json::Value)| match key.as_str() {
        // A tool that the provider runs itself says so, and what comes of it is the model's.
        "toolUse" => value.get("type").is_some(),
        "toolResult" => true,
        key => !KNOWN.contains(&key),
    };
    if block.is_empty() || !block.iter().all(foreign) {
        return None;
    }
    RawValue::from_string(data.to_owned()).ok()
}

#[cfg(test)]
mod tests;
