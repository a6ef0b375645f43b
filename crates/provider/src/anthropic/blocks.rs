//! The pieces of messages as they are sent.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{BLOCK, CITATION, PROVIDER, REDACTED, SIGNATURE};
use crate::blocks::{CacheMark, Format, Place};
use crate::chat::{Document, DocumentSource, Image, Opaque, Source, StoredFile, ToolCall};
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

/// A piece of a message.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Block<'a> {
    Written {
        #[serde(flatten)]
        content: Content<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheMark>,
    },
    /// Sent back as it came.
    Kept(Box<RawValue>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<&'a RawValue>,
    },
    Image {
        source: WireSource<'a>,
    },
    Document {
        source: WireSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<Citing>,
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

/// Asks for passages to be cited.
#[derive(Serialize)]
pub(super) struct Citing {
    enabled: bool,
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
    File {
        file_id: &'a str,
    },
    Text {
        media_type: &'static str,
        data: Cow<'a, str>,
    },
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
    fn cache(&mut self, mark: CacheMark) -> bool {
        match self {
            Self::Kept(_)
            | Self::Written {
                content: Content::Thinking { .. } | Content::RedactedThinking { .. },
                ..
            } => false,
            Self::Written { cache_control, .. } => {
                *cache_control = Some(mark);
                true
            }
        }
    }
}

/// Anthropic's format.
pub(super) struct Messages;

impl Format for Messages {
    type Block<'a> = Block<'a>;
    const PROVIDER: &'static str = PROVIDER;
    const CITATION: &'static str = CITATION;

    fn text<'a>(text: &'a str, citations: Vec<&'a RawValue>) -> Block<'a> {
        Content::Text { text, citations }.into()
    }

    fn image<'a>(image: &'a Image, at: &Place<'_>) -> Result<Block<'a>, Error> {
        let source = match &image.source {
            Source::Url(url) => WireSource::Url { url },
            Source::Stored(StoredFile { id, .. }) => WireSource::File { file_id: id },
            Source::Bytes { mime, data } if IMAGES.contains(&mime.as_str()) => base64(mime, data),
            Source::Bytes { .. } => {
                let problem = "it reads pictures of type jpeg, png, gif and webp";
                return Err(at.refuse(".image.media_type", problem));
            }
        };
        Ok(Content::Image { source }.into())
    }

    fn audio<'a>(_: &[u8], _: &'a str, at: &Place<'_>) -> Result<Block<'a>, Error> {
        Err(at.refuse(".audio", "it does not listen to sound"))
    }

    fn document<'a>(document: &'a Document, at: &Place<'_>) -> Result<Block<'a>, Error> {
        let text = |data| WireSource::Text {
            media_type: "text/plain",
            data,
        };
        let source = match &document.source {
            DocumentSource::Text { text: data, .. } => text(Cow::Borrowed(data.as_str())),
            DocumentSource::File(Source::Url(url)) => WireSource::Url { url },
            DocumentSource::File(Source::Stored(StoredFile { id, .. })) => {
                WireSource::File { file_id: id }
            }
            DocumentSource::File(Source::Bytes { mime, data }) if mime == "application/pdf" => {
                base64(mime, data)
            }
            DocumentSource::File(Source::Bytes { mime, data }) if mime.starts_with("text/") => {
                match std::str::from_utf8(data) {
                    Ok(data) => text(Cow::Borrowed(data)),
                    Err(_) => return Err(at.refuse(".document.data", "text must be UTF-8")),
                }
            }
            DocumentSource::File(Source::Bytes { .. }) => {
                let problem = "it reads documents of type application/pdf and text";
                return Err(at.refuse(".document.media_type", problem));
            }
        };
        let title = document.title.as_deref();
        let citations = document.citations.then_some(Citing { enabled: true });
        let content = Content::Document {
            source,
            title,
            citations,
        };
        Ok(content.into())
    }

    fn call<'a>(
        call: &'a ToolCall,
        input: &'a RawValue,
        _: &Place<'_>,
    ) -> Result<Block<'a>, Error> {
        let content = Content::ToolUse {
            id: id(&call.id),
            name: &call.name,
            input,
        };
        Ok(content.into())
    }

    fn result<'a>(
        call_id: &'a str,
        content: Vec<Block<'a>>,
        is_error: bool,
        _: &Place<'_>,
    ) -> Result<Block<'a>, Error> {
        let content = Content::ToolResult {
            tool_use_id: id(call_id),
            content,
            is_error,
        };
        Ok(content.into())
    }

    fn thought<'a>(state: &'a Opaque, text: &mut &'a str) -> Option<Block<'a>> {
        let data = std::str::from_utf8(&state.bytes).ok()?;
        Some(match state.kind.as_str() {
            SIGNATURE => Block::from(Content::Thinking {
                thinking: std::mem::take(text),
                signature: data,
            }),
            REDACTED => Block::from(Content::RedactedThinking { data }),
            BLOCK => Block::Kept(kept(data)?),
            _ => return None,
        })
    }

    fn cache(blocks: &mut Vec<Block<'_>>, since: usize, mark: CacheMark) {
        // Where a part left nothing behind, the prompt is cached up to what came before it.
        blocks[since..].iter_mut().rev().any(|it| it.cache(mark));
    }
}

fn base64<'a>(media_type: &'a str, data: &[u8]) -> WireSource<'a> {
    WireSource::Base64 {
        media_type,
        data: STANDARD.encode(data),
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

/// An id of a call may hold letters, digits, dashes and underscores. Those of calls made by other providers
/// are rewritten, alike in the call and in its result.
fn id(id: &str) -> Cow<'_, str> {
    path::identifier(id, "_-")
}

#[cfg(test)]
mod tests;
