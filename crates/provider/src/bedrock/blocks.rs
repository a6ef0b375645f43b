//! Messages as they are sent.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::encode::Cached;
use super::{BLOCK, PROVIDER, REDACTED, SIGNATURE};
use crate::Error;
use crate::chat::{
    self, CachePlace, Document, DocumentSource, Image, Opaque, Part, Request, Role, Source,
    ToolCall,
};
use crate::unsupported::Unsupported;

/// The types of block that are written here.
const KNOWN: [&str; 8] = [
    "text",
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

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

/// A piece of a message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(&'a str),
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
    CachePoint(CachePoint),
    /// Sent back as it came.
    #[serde(untagged)]
    Kept(Box<RawValue>),
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
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum WireSource<'a> {
    /// In base64.
    Bytes(String),
    Text(&'a str),
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

/// Asks for the prompt up to here to be cached.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct CachePoint {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl CachePoint {
    pub(super) fn new(ttl: Option<&'static str>) -> Self {
        Self {
            r#type: "default",
            ttl,
        }
    }
}

/// A conversation as it is sent: instructions apart.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) messages: Vec<Message<'a>>,
}

/// Writes the conversation. Instructions come first, wherever they stood, as not every model has another
/// place for them; messages of one speaker that follow each other become one, since speakers must take
/// turns.
pub(super) fn conversation<'a>(
    request: &'a Request,
    cached: &Cached<'_>,
    unsupported: &mut Unsupported,
) -> Result<Conversation<'a>, Error> {
    let mut system = Vec::new();
    let mut messages: Vec<Message<'a>> = Vec::new();
    for (index, message) in request.messages.iter().enumerate() {
        if message.name.is_some() {
            let field = format!("messages[{index}].name");
            unsupported.field(field, "it does not tell speakers apart by name")?;
        }
        let role = match message.role {
            Role::Developer | Role::System => None,
            Role::User | Role::Tool => Some("user"),
            Role::Assistant => Some("assistant"),
        };
        let Some(role) = role else {
            write(message, index, cached, unsupported, &mut system)?;
            continue;
        };
        if messages.last().is_none_or(|last| last.role != role) {
            let content = Vec::new();
            messages.push(Message { role, content });
        }
        if let Some(last) = messages.last_mut() {
            write(message, index, cached, unsupported, &mut last.content)?;
        }
    }
    // A message of nothing that can be sent is none.
    messages.retain(|message| !message.content.is_empty());
    Ok(Conversation { system, messages })
}

/// Appends what a message holds.
fn write<'a>(
    message: &'a chat::Message,
    index: usize,
    cached: &Cached<'_>,
    unsupported: &mut Unsupported,
    out: &mut Vec<Block<'a>>,
) -> Result<(), Error> {
    for (part, it) in message.parts.iter().enumerate() {
        let mut writer = Writer {
            message: index,
            part,
            unsupported,
        };
        writer.part(message.role, it, out)?;
        let place = CachePlace::Part {
            message: index,
            part,
        };
        // There must be something to cache.
        if let (Some(point), false) = (cached.after(place), out.is_empty()) {
            out.push(Block::CachePoint(point));
        }
    }
    Ok(())
}

/// Writes one part, and knows where it stands.
#[derive(Debug)]
struct Writer<'u> {
    message: usize,
    part: usize,
    unsupported: &'u mut Unsupported,
}

impl Writer<'_> {
    fn field(&self, rest: &str) -> String {
        format!("messages[{}].parts[{}]{rest}", self.message, self.part)
    }

    fn refuse(&self, rest: &str, problem: &'static str) -> Error {
        self.unsupported.refuse(self.field(rest), problem)
    }

    fn part<'a>(
        &mut self,
        role: Role,
        part: &'a Part,
        out: &mut Vec<Block<'a>>,
    ) -> Result<(), Error> {
        match (part, role) {
            (Part::Text(text), _) => out.extend(text_block(text)),
            (Part::Image(image), Role::User) => out.push(self.image(image)?),
            (Part::Audio { data, format }, Role::User) => out.push(self.audio(data, format)?),
            (Part::Document(document), Role::User) => out.push(self.document(document, 0)?),
            (Part::Refusal(text), Role::Assistant) => out.extend(text_block(text)),
            (Part::Reasoning { text, opaque }, Role::Assistant) => {
                self.thoughts(text, opaque, out)?;
            }
            (Part::ToolCall(call), Role::Assistant) => out.push(self.call(call)?),
            (
                Part::ToolResult {
                    tool_call_id,
                    parts,
                    is_error,
                },
                Role::Tool,
            ) => out.push(Block::ToolResult {
                tool_use_id: self.id(tool_call_id)?,
                content: self.result(parts)?,
                status: is_error.then_some("error"),
            }),
            (
                Part::Image(_)
                | Part::Audio { .. }
                | Part::Document(_)
                | Part::Refusal(_)
                | Part::Reasoning { .. }
                | Part::ToolCall(_)
                | Part::ToolResult { .. },
                _,
            ) => return Err(self.refuse("", "a message of that role may not hold such a part")),
        }
        Ok(())
    }

    fn image<'a>(&mut self, image: &'a Image) -> Result<Block<'a>, Error> {
        if image.detail.as_deref().is_some_and(|it| it != "auto") {
            let field = self.field(".image.detail");
            self.unsupported
                .field(field, "it looks at every picture in the same way")?;
        }
        let Source::Bytes { mime, data } = &image.source else {
            let problem = "it fetches nothing from an address; send the picture as data";
            return Err(self.refuse(".image.url", problem));
        };
        let Some(format) = named(&IMAGES, mime) else {
            let problem = "it reads pictures of type png, jpeg, gif and webp";
            return Err(self.refuse(".image.media_type", problem));
        };
        Ok(Block::Image(media(format, data)))
    }

    fn audio<'a>(&self, data: &[u8], format: &'a str) -> Result<Block<'a>, Error> {
        if !SOUNDS.contains(&format) {
            let problem = "it listens to no sound of that format; send mp3 or wav";
            return Err(self.refuse(".audio.media_type", problem));
        }
        Ok(Block::Audio(media(format, data)))
    }

    /// `within` is the document's place in a tool's result.
    fn document<'a>(&self, document: &'a Document, within: usize) -> Result<Block<'a>, Error> {
        let (format, source) = match &document.source {
            DocumentSource::Text { text, mime } => {
                let format = named(&DOCUMENTS, mime).unwrap_or("txt");
                (format, WireSource::Text(text))
            }
            DocumentSource::File(Source::Bytes { mime, data }) => {
                let Some(format) = named(&DOCUMENTS, mime) else {
                    let problem = "it reads documents of type pdf, csv, Word, Excel, html, plain text and markdown";
                    return Err(self.refuse(".document.media_type", problem));
                };
                (format, WireSource::Bytes(STANDARD.encode(data)))
            }
            DocumentSource::File(Source::Url(_)) => {
                let problem = "it fetches nothing from an address; send the document as data";
                return Err(self.refuse(".document.url", problem));
            }
        };
        // A name is needed, and no two may be the same.
        let name = document.title.as_deref().map(name);
        let name = name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| format!("document {} {} {within}", self.message + 1, self.part + 1));
        Ok(Block::Document(WireDocument {
            format,
            name,
            source,
        }))
    }

    fn result<'a>(&mut self, parts: &'a [Part]) -> Result<Vec<Block<'a>>, Error> {
        let mut out = Vec::with_capacity(parts.len());
        for (within, part) in parts.iter().enumerate() {
            match part {
                Part::Text(text) => out.extend(text_block(text)),
                Part::Image(image) => out.push(self.image(image)?),
                Part::Document(document) => out.push(self.document(document, within + 1)?),
                Part::Audio { .. }
                | Part::ToolCall(_)
                | Part::ToolResult { .. }
                | Part::Reasoning { .. }
                | Part::Refusal(_) => {
                    let problem = "a tool's result may hold text, images and documents";
                    return Err(self.refuse(".tool_result", problem));
                }
            }
        }
        Ok(out)
    }

    fn call<'a>(&self, call: &'a ToolCall) -> Result<Block<'a>, Error> {
        let arguments = match call.arguments.trim() {
            "" => "{}",
            arguments => arguments,
        };
        let input: Option<&RawValue> = serde_json::from_str(arguments)
            .ok()
            .filter(|_| arguments.starts_with('{'));
        let input = input.ok_or_else(|| {
            let field = self.field(".tool_call.arguments_json");
            Error::invalid(field, "must be a JSON object for a provider of this kind")
        })?;
        Ok(Block::ToolUse {
            tool_use_id: self.id(&call.id)?,
            name: &call.name,
            input,
        })
    }

    /// An id of a call may hold letters, digits and `_.:-`, 64 at most. Calls made by other providers may
    /// have others, which are written as numbers: alike in the call and in its result.
    fn id<'a>(&self, id: &'a str) -> Result<Cow<'a, str>, Error> {
        let id = crate::path::identifier(id, "_.:-");
        if id.len() > LONGEST_ID {
            let problem = "its ids of tool calls have at most 64 characters";
            return Err(self.refuse(".tool_call.id", problem));
        }
        Ok(id)
    }

    /// A thought is sent back with its signature or not at all: the thoughts of others mean nothing to the
    /// provider.
    fn thoughts<'a>(
        &self,
        text: &'a str,
        opaque: &'a [Opaque],
        out: &mut Vec<Block<'a>>,
    ) -> Result<(), Error> {
        let mut text = text;
        for state in opaque.iter().filter(|state| state.provider == PROVIDER) {
            let broken = || {
                let field = self.field(".reasoning.provider_state");
                Error::invalid(field, "must be sent back as it came")
            };
            let words = || std::str::from_utf8(&state.bytes).map_err(|_| broken());
            out.push(match state.kind.as_str() {
                SIGNATURE => Block::ReasoningContent(Thought::ReasoningText {
                    text: std::mem::take(&mut text),
                    signature: words()?,
                }),
                REDACTED => {
                    let blob = STANDARD.encode(&state.bytes);
                    Block::ReasoningContent(Thought::RedactedContent(blob))
                }
                BLOCK => Block::Kept(kept(words()?).ok_or_else(broken)?),
                _ => return Err(broken()),
            });
        }
        Ok(())
    }
}

fn named(table: &[(&str, &'static str)], mime: &str) -> Option<&'static str> {
    let known = table.iter().find(|(known, _)| *known == mime);
    known.map(|(_, name)| *name)
}

fn media<'a>(format: &'a str, data: &[u8]) -> Media<'a> {
    Media {
        format,
        source: WireSource::Bytes(STANDARD.encode(data)),
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
    let foreign = |(key, value): (&String, &serde_json::Value)| {
        // A tool that the provider runs itself says so.
        !KNOWN.contains(&key.as_str())
            || (key == "toolUse" || key == "toolResult") && value.get("type").is_some()
    };
    if block.is_empty() || !block.iter().all(foreign) {
        return None;
    }
    RawValue::from_string(data.to_owned()).ok()
}

/// Empty text is refused by the provider, and says nothing.
fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.is_empty()).then_some(Block::Text(text))
}

#[cfg(test)]
mod tests;
