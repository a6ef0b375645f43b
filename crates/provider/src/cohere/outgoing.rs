//! Messages as they are sent to Cohere.

use std::borrow::Cow;

use serde::Serialize;

use super::TOOL_PLAN;
use crate::Error;
use crate::chat::{self, Document, DocumentSource, Opaque, Part, Role};
use crate::codec::Kind;
use crate::turns::{Call, Content, ContentPart, ImageUrl, Place, titled};
use crate::unsupported::Unsupported;

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a, Block<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_plan: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: Cow<'a, str> },
    Thinking { thinking: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
    Document { document: WireDocument<'a> },
}

impl<'a> ContentPart<'a> for Block<'a> {
    fn of_text(text: Cow<'a, str>) -> Self {
        Self::Text { text }
    }

    fn text(&mut self) -> Option<&mut Cow<'a, str>> {
        match self {
            Self::Text { text } => Some(text),
            Self::Thinking { .. } | Self::ImageUrl { .. } | Self::Document { .. } => None,
        }
    }
}

#[derive(Serialize)]
struct WireDocument<'a> {
    data: DocumentData<'a>,
}

#[derive(Serialize)]
struct DocumentData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    text: &'a str,
}

/// Writes the conversation. One tool message may become several: the format wants one per result.
pub(super) fn messages<'a>(
    messages: &'a [chat::Message],
    unsupported: &mut Unsupported,
) -> Result<Vec<Message<'a>>, Error> {
    unsupported.speakers(messages, "it has no names of participants")?;
    let mut out = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let place = Place::of_message(Kind::Cohere, index);
        match message.role {
            Role::Developer | Role::System => out.push(prompt("system", message, place)?),
            Role::User => out.push(prompt("user", message, place)?),
            Role::Assistant => out.push(assistant(message, place)?),
            Role::Tool => {
                let results = place.results(message, result_part)?.into_iter();
                out.extend(results.map(|(id, content)| Message {
                    tool_call_id: Some(id),
                    ..plain("tool", Some(content))
                }));
            }
        }
    }
    Ok(out)
}

fn plain<'a>(role: &'static str, content: Option<Content<'a, Block<'a>>>) -> Message<'a> {
    Message {
        role,
        content,
        tool_plan: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

/// A message of the developer, the system or the user.
fn prompt<'a>(
    role: &'static str,
    message: &'a chat::Message,
    place: Place,
) -> Result<Message<'a>, Error> {
    let user = message.role == Role::User;
    let mut blocks = Vec::with_capacity(message.parts.len());
    for (place, part) in place.each(message) {
        blocks.push(match part {
            Part::Text(text) => borrowed(text),
            Part::Image(image) if user => Block::ImageUrl {
                image_url: ImageUrl::of(image, place)?,
            },
            Part::Document(document) if user => Block::Text {
                text: titled(document, document_text(document, place)?),
            },
            Part::Audio(_) => return Err(place.refuse("it takes no sound")),
            Part::Cited { .. }
            | Part::Image(_)
            | Part::Document(_)
            | Part::ToolCall(_)
            | Part::Reasoning { .. }
            | Part::Refusal(_)
            | Part::ToolResult { .. } => {
                let media = "only user messages may hold images and documents";
                return Err(place.misplaced(message.role, part, media));
            }
        });
    }
    Ok(plain(role, Some(Content::of(blocks))))
}

fn borrowed(text: &str) -> Block<'_> {
    Block::Text {
        text: Cow::Borrowed(text),
    }
}

fn document_text(document: &Document, place: Place) -> Result<&str, Error> {
    match &document.source {
        DocumentSource::Text { text, .. } => Ok(text),
        DocumentSource::File(_) => {
            Err(place.refuse("it reads no files; send the document as text"))
        }
    }
}

fn assistant<'a>(message: &'a chat::Message, place: Place) -> Result<Message<'a>, Error> {
    let mut blocks = Vec::with_capacity(message.parts.len());
    let mut out = plain("assistant", None);
    for (place, part) in place.each(message) {
        match part {
            Part::Text(text) | Part::Cited { text, .. } | Part::Refusal(text) => {
                blocks.push(borrowed(text));
            }
            Part::Audio(audio) => blocks.push(borrowed(place.transcript(audio)?)),
            Part::Reasoning { text, opaque } => {
                let (thinking, plan) = split_plan(text, opaque);
                if !thinking.is_empty() {
                    let thinking = Cow::Borrowed(thinking);
                    blocks.push(Block::Thinking { thinking });
                }
                if !plan.is_empty() {
                    out.tool_plan
                        .get_or_insert_with(Cow::default)
                        .to_mut()
                        .push_str(plan);
                }
            }
            Part::ToolCall(call) => {
                out.tool_calls
                    .push(Call::of(call, Cow::Borrowed(call.id.as_str())));
            }
            Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } => {
                return Err(place.misplaced(Role::Assistant, part, ""));
            }
        }
    }
    if !blocks.is_empty() || out.tool_calls.is_empty() {
        out.content = Some(Content::of(blocks));
    }
    Ok(out)
}

/// What of a reasoning's text was thinking, and what the plan of tool calls.
fn split_plan<'a>(text: &'a str, opaque: &[Opaque]) -> (&'a str, &'a str) {
    let length = opaque
        .iter()
        .filter(|state| state.provider == Kind::Cohere.as_str() && state.kind == TOOL_PLAN)
        .filter_map(|state| {
            std::str::from_utf8(&state.bytes)
                .ok()?
                .parse::<usize>()
                .ok()
        })
        .next_back();
    length
        .and_then(|length| text.split_at_checked(text.len().checked_sub(length)?))
        .unwrap_or((text, ""))
}

/// A piece of a tool's result that is not text.
fn result_part(place: Place, part: &Part) -> Result<Block<'_>, Error> {
    let Part::Document(document) = part else {
        return Err(place.refuse("a tool's result may be text and text documents only"));
    };
    let data = DocumentData {
        title: document.title.as_deref(),
        text: document_text(document, place)?,
    };
    Ok(Block::Document {
        document: WireDocument { data },
    })
}
