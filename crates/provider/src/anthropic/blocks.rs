//! Messages as they are sent.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::encode::Cached;
use super::{BLOCK, PROVIDER, REDACTED, SIGNATURE};
use crate::chat::{
    self, CachePlace, Document, DocumentSource, Image, Opaque, Part, Request, Role, Source,
    ToolCall,
};
use crate::unsupported::Unsupported;
use crate::wire::Text;
use crate::{Error, path};

/// The types of block that are written here.
const KNOWN: [&str; 7] = [
    "text",
    "image",
    "document",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "tool_result",
];
/// The pictures the provider reads.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

/// A piece of a message.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Block<'a> {
    Written {
        #[serde(flatten)]
        content: Content<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    /// Sent back as it came.
    Kept(Box<RawValue>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: WireSource<'a>,
    },
    Document {
        source: WireSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum WireSource<'a> {
    Base64 {
        media_type: &'a str,
        data: String,
    },
    Url {
        url: &'a str,
    },
    Text {
        media_type: &'static str,
        data: Cow<'a, str>,
    },
}

/// Asks for the prompt up to here to be cached.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl CacheControl {
    pub(super) fn new(ttl: Option<&'static str>) -> Self {
        Self {
            r#type: "ephemeral",
            ttl,
        }
    }
}

impl<'a> From<Content<'a>> for Block<'a> {
    fn from(content: Content<'a>) -> Self {
        Self::Written {
            content,
            cache_control: None,
        }
    }
}

impl Block<'_> {
    /// Whether the provider takes a cache point after this block: not after thoughts.
    fn cache(&mut self, control: CacheControl) -> bool {
        match self {
            Self::Kept(_)
            | Self::Written {
                content: Content::Thinking { .. } | Content::RedactedThinking { .. },
                ..
            } => false,
            Self::Written { cache_control, .. } => {
                *cache_control = Some(control);
                true
            }
        }
    }
}

/// A conversation as it is sent: instructions apart.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) messages: Vec<Message<'a>>,
}

/// Writes the conversation. Instructions come first, wherever they stood, as the format has no other
/// place for them; messages of one speaker that follow each other become one, so that the results of
/// parallel calls stand together.
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
    let before = out.len();
    for (part, it) in message.parts.iter().enumerate() {
        let mut writer = Writer {
            path: Path {
                message: index,
                part,
            },
            unsupported,
        };
        writer.part(message.role, it, out)?;
        let place = CachePlace::Part {
            message: index,
            part,
        };
        if let Some(control) = cached.after(place) {
            // Where a part left nothing behind, the prompt is cached up to what came before it.
            let mut blocks = out[before..].iter_mut().rev();
            blocks.any(|block| block.cache(control));
        }
    }
    Ok(())
}

/// Where a part stands; turned into words only for an error.
#[derive(Debug, Clone, Copy)]
struct Path {
    message: usize,
    part: usize,
}

impl Path {
    fn field(self, rest: &str) -> String {
        format!("messages[{}].parts[{}]{rest}", self.message, self.part)
    }
}

#[derive(Debug)]
struct Writer<'u> {
    path: Path,
    unsupported: &'u mut Unsupported,
}

impl Writer<'_> {
    fn part<'a>(
        &mut self,
        role: Role,
        part: &'a Part,
        out: &mut Vec<Block<'a>>,
    ) -> Result<(), Error> {
        match (part, role) {
            (Part::Text(text), _) => out.extend(text_block(text)),
            (Part::Image(image), Role::User) => out.push(self.image(image)?.into()),
            (Part::Document(document), Role::User) => out.push(self.document(document)?.into()),
            (Part::Refusal(text), Role::Assistant) => out.extend(text_block(text)),
            (Part::Reasoning { text, opaque }, Role::Assistant) => {
                self.thoughts(text, opaque, out)?;
            }
            (Part::ToolCall(call), Role::Assistant) => out.push(self.call(call)?.into()),
            (
                Part::ToolResult {
                    tool_call_id,
                    parts,
                    is_error,
                },
                Role::Tool,
            ) => out.push(Block::from(Content::ToolResult {
                tool_use_id: id(tool_call_id),
                content: self.result(parts)?,
                is_error: *is_error,
            })),
            (Part::Audio { .. }, _) => {
                return Err(self.refuse(".audio", "it does not listen to sound"));
            }
            (
                Part::Image(_)
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

    fn refuse(&self, rest: &str, problem: &'static str) -> Error {
        self.unsupported.refuse(self.path.field(rest), problem)
    }

    fn image<'a>(&mut self, image: &'a Image) -> Result<Content<'a>, Error> {
        if image.detail.as_deref().is_some_and(|it| it != "auto") {
            let field = self.path.field(".image.detail");
            self.unsupported
                .field(field, "it looks at every picture in the same way")?;
        }
        let source = match &image.source {
            Source::Url(url) => WireSource::Url { url },
            Source::Bytes { mime, data } if IMAGES.contains(&mime.as_str()) => WireSource::Base64 {
                media_type: mime,
                data: STANDARD.encode(data),
            },
            Source::Bytes { .. } => {
                let problem = "it reads pictures of type jpeg, png, gif and webp";
                return Err(self.refuse(".image.media_type", problem));
            }
        };
        Ok(Content::Image { source })
    }

    fn document<'a>(&mut self, document: &'a Document) -> Result<Content<'a>, Error> {
        let text = |data| WireSource::Text {
            media_type: "text/plain",
            data,
        };
        let source = match &document.source {
            DocumentSource::Text { text: data, .. } => text(Cow::Borrowed(data.as_str())),
            DocumentSource::File(Source::Url(url)) => WireSource::Url { url },
            DocumentSource::File(Source::Bytes { mime, data }) if mime == "application/pdf" => {
                WireSource::Base64 {
                    media_type: mime,
                    data: STANDARD.encode(data),
                }
            }
            DocumentSource::File(Source::Bytes { mime, data }) if mime.starts_with("text/") => {
                match std::str::from_utf8(data) {
                    Ok(data) => text(Cow::Borrowed(data)),
                    Err(_) => return Err(self.refuse(".document.data", "text must be UTF-8")),
                }
            }
            DocumentSource::File(Source::Bytes { .. }) => {
                let problem = "it reads documents of type application/pdf and text";
                return Err(self.refuse(".document.media_type", problem));
            }
        };
        Ok(Content::Document {
            source,
            title: document.title.as_deref(),
        })
    }

    fn result<'a>(&mut self, parts: &'a [Part]) -> Result<Vec<Block<'a>>, Error> {
        let mut out = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Text(text) => out.extend(text_block(text)),
                Part::Image(image) => out.push(self.image(image)?.into()),
                Part::Document(document) => out.push(self.document(document)?.into()),
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

    fn call<'a>(&self, call: &'a ToolCall) -> Result<Content<'a>, Error> {
        let arguments = match call.arguments.trim() {
            "" => "{}",
            arguments => arguments,
        };
        let input: Option<&RawValue> = serde_json::from_str(arguments)
            .ok()
            .filter(|_| arguments.starts_with('{'));
        let input = input.ok_or_else(|| {
            let field = self.path.field(".tool_call.arguments_json");
            Error::invalid(field, "must be a JSON object for a provider of this kind")
        })?;
        Ok(Content::ToolUse {
            id: id(&call.id),
            name: &call.name,
            input,
        })
    }

    /// A thought is sent back with its signature or not at all: the provider takes no other, and the
    /// thoughts of others mean nothing to it.
    fn thoughts<'a>(
        &self,
        text: &'a str,
        opaque: &'a [Opaque],
        out: &mut Vec<Block<'a>>,
    ) -> Result<(), Error> {
        let mut thinking = text;
        for state in opaque.iter().filter(|state| state.provider == PROVIDER) {
            let broken = || {
                let field = self.path.field(".reasoning.provider_state");
                Error::invalid(field, "must be sent back as it came")
            };
            let data = std::str::from_utf8(&state.bytes).map_err(|_| broken())?;
            out.push(match state.kind.as_str() {
                SIGNATURE => Block::from(Content::Thinking {
                    thinking: std::mem::take(&mut thinking),
                    signature: data,
                }),
                REDACTED => Block::from(Content::RedactedThinking { data }),
                BLOCK => Block::Kept(kept(data).ok_or_else(broken)?),
                _ => return Err(broken()),
            });
        }
        Ok(())
    }
}

/// A block that was kept because its type means nothing here. One whose type does is no such block, and
/// must go the way on which it is looked at.
fn kept(data: &str) -> Option<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Typed<'a> {
        #[serde(borrow)]
        r#type: Text<'a>,
    }
    let typed: Typed<'_> = serde_json::from_str(data).ok()?;
    if KNOWN.contains(&typed.r#type.as_str()) {
        return None;
    }
    RawValue::from_string(data.to_owned()).ok()
}

/// Empty text is refused by the provider, and says nothing.
fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.is_empty()).then(|| Content::Text { text }.into())
}

/// An id of a call may hold letters, digits, dashes and underscores. Those of calls made by other providers
/// are rewritten, alike in the call and in its result.
fn id(id: &str) -> Cow<'_, str> {
    path::identifier(id, "_-")
}

#[cfg(test)]
mod tests;
