//! The conversation as it is sent: a list of items.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::wire::{ReasoningItem, Typed};
use super::{ITEM, PHASE};
use crate::Error;
use crate::chat::{self, Document, DocumentSource, Image, Opaque, Part, Role, Source, StoredFile};
use crate::codec::Kind;
use crate::openai::{data_url, details, short_id};
use crate::turns::{self, Content, Place, titled, url};
use crate::unsupported::Unsupported;

/// Items that are written here, from what the request itself says, or that would have the provider look up what others
/// left there.
const NEVER_KEPT: [&str; 3] = ["message", "function_call", "item_reference"];

/// The longest id of a call that the interface takes.
const LONGEST_ID: usize = 64;

/// An item of the input.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Item<'a> {
    Message(Message<'a>),
    Call(Call<'a>),
    /// Sent back as it came.
    Kept(&'a RawValue),
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: Content<'a, ContentPart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Call<'a> {
    FunctionCall {
        call_id: Cow<'a, str>,
        name: &'a str,
        arguments: &'a str,
    },
    FunctionCallOutput {
        call_id: Cow<'a, str>,
        output: Content<'a, ContentPart<'a>>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum ContentPart<'a> {
    #[serde(rename = "input_text")]
    Text { text: Cow<'a, str> },
    #[serde(rename = "input_image")]
    Image {
        #[serde(skip_serializing_if = "Option::is_none")]
        image_url: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_id: Option<&'a str>,
        detail: &'a str,
    },
    #[serde(rename = "input_file")]
    File {
        #[serde(skip_serializing_if = "Option::is_none")]
        filename: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_data: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_url: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_id: Option<&'a str>,
    },
}

impl<'a> turns::ContentPart<'a> for ContentPart<'a> {
    fn of_text(text: Cow<'a, str>) -> Self {
        Self::Text { text }
    }

    fn text(&mut self) -> Option<&mut Cow<'a, str>> {
        match self {
            Self::Text { text } => Some(text),
            Self::Image { .. } | Self::File { .. } => None,
        }
    }
}

/// Writes the conversation. What an assistant's message holds becomes an item each, in the same order, since thoughts
/// must stand before what came of them.
pub(super) fn items<'a>(
    messages: &'a [chat::Message],
    unsupported: &mut Unsupported,
) -> Result<Vec<Item<'a>>, Error> {
    let kind = unsupported.kind();
    const PROBLEM: &str =
        "its Responses have no names for those who speak; write the name into the text";
    unsupported.speakers(messages, PROBLEM)?;
    let mut items = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let place = Place::of_message(kind, index);
        match message.role {
            Role::Developer | Role::System | Role::User => {
                items.push(Item::Message(prompt(message, kind, place)?));
            }
            Role::Assistant => assistant(message, kind, place, &mut items)?,
            Role::Tool => {
                let results = place.results(message, media)?.into_iter();
                items.extend(results.map(|(id, output)| {
                    let call_id = short_id(id, LONGEST_ID);
                    Item::Call(Call::FunctionCallOutput { call_id, output })
                }));
            }
        }
    }
    Ok(items)
}

/// A message of the developer, the system or the user.
fn prompt(message: &chat::Message, kind: Kind, place: Place) -> Result<Message<'_>, Error> {
    let user = message.role == Role::User;
    let mut parts = Vec::with_capacity(message.parts.len());
    for (place, part) in place.each(message) {
        parts.push(match part {
            Part::Text(text) => ContentPart::Text {
                text: Cow::Borrowed(text),
            },
            Part::Image(image) if user => picture(image),
            Part::Document(file) if user => document(file),
            Part::Audio(_) if user => return Err(place.refuse("it takes no sound")),
            Part::Cited { .. }
            | Part::Image(_)
            | Part::Audio(_)
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
    let role = match message.role {
        // As in chat completions, few imitators know the newer role.
        Role::Developer if kind == Kind::OpenAiCompatible => Role::System,
        Role::Developer | Role::System | Role::User | Role::Assistant | Role::Tool => message.role,
    };
    Ok(Message {
        role: role.as_str(),
        content: Content::of(parts),
        phase: None,
    })
}

fn picture(image: &Image) -> ContentPart<'_> {
    let (image_url, file_id) = match url(&image.source) {
        Ok(url) => (Some(url), None),
        Err(StoredFile { id, .. }) => (None, Some(id.as_str())),
    };
    ContentPart::Image {
        image_url,
        file_id,
        // The field is required there.
        detail: image.detail.as_deref().unwrap_or("auto"),
    }
}

fn document(document: &Document) -> ContentPart<'_> {
    let source = match &document.source {
        DocumentSource::Text { text, .. } => {
            return ContentPart::Text {
                text: titled(document, text),
            };
        }
        DocumentSource::File(source) => source,
    };
    let title = document.title.as_deref();
    let (filename, file_data, file_url, file_id) = match source {
        Source::Url(url) => (title, None, Some(url.as_str()), None),
        Source::Stored(StoredFile { id, .. }) => (None, None, None, Some(id.as_str())),
        Source::Bytes { mime, data } => {
            // The name is needed to tell what is in it.
            let name = title.unwrap_or("document");
            (Some(name), Some(data_url::write(mime, data)), None, None)
        }
    };
    ContentPart::File {
        filename,
        file_data,
        file_url,
        file_id,
    }
}

/// What a tool's result may hold beside text.
fn media(place: Place, part: &Part) -> Result<ContentPart<'_>, Error> {
    match part {
        Part::Image(image) => Ok(picture(image)),
        Part::Document(file) => Ok(document(file)),
        Part::Text(_)
        | Part::Cited { .. }
        | Part::Audio(_)
        | Part::ToolCall(_)
        | Part::ToolResult { .. }
        | Part::Reasoning { .. }
        | Part::Refusal(_) => {
            Err(place.refuse("a tool's result may hold text, images and documents"))
        }
    }
}

fn assistant<'a>(
    message: &'a chat::Message,
    kind: Kind,
    place: Place,
    items: &mut Vec<Item<'a>>,
) -> Result<(), Error> {
    let mut phase = None;
    for (place, part) in place.each(message) {
        match part {
            Part::Text(text) | Part::Cited { text, .. } | Part::Refusal(text) => {
                items.push(said(text, phase));
            }
            Part::ToolCall(call) => items.push(Item::Call(Call::FunctionCall {
                call_id: short_id(&call.id, LONGEST_ID),
                name: &call.name,
                arguments: &call.arguments,
            })),
            // Thoughts of others mean nothing to it, and those that it did not encrypt it takes from nobody.
            Part::Reasoning { opaque, .. } => {
                let own = |it: &&Opaque| it.provider == kind.as_str() && !details::is_detail(it);
                for state in opaque.iter().filter(own) {
                    match state.kind.as_str() {
                        PHASE => phase = Some(read_phase(state, place)?),
                        _ => items.push(Item::Kept(kept(state, place)?)),
                    }
                }
            }
            Part::Audio(spoken) => {
                let text = place.transcript(spoken)?;
                items.push(said(text, phase));
            }
            Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } => {
                return Err(place.misplaced(Role::Assistant, part, ""));
            }
        }
    }
    Ok(())
}

/// What the model said.
fn said<'a>(text: &'a str, phase: Option<&'a str>) -> Item<'a> {
    Item::Message(Message {
        role: Role::Assistant.as_str(),
        content: Content::Text(Cow::Borrowed(text)),
        phase,
    })
}

fn altered(place: Place) -> Error {
    place.invalid(".reasoning.provider_state", "must be sent back as it came")
}

fn read_phase(state: &Opaque, place: Place) -> Result<&str, Error> {
    let phase = std::str::from_utf8(&state.bytes).ok();
    phase.ok_or_else(|| altered(place))
}

fn kept(state: &Opaque, place: Place) -> Result<&RawValue, Error> {
    let read = || {
        let raw: &RawValue = serde_json::from_slice(&state.bytes).ok()?;
        let typed: Typed<'_> = serde_json::from_str(raw.get()).ok()?;
        let is_kept = match typed.r#type.as_str() {
            "reasoning" => serde_json::from_str::<ReasoningItem<'_>>(raw.get())
                .is_ok_and(|item| item.is_whole()),
            kind => !NEVER_KEPT.contains(&kind),
        };
        (state.kind == ITEM && is_kept).then_some(raw)
    };
    read().ok_or_else(|| altered(place))
}

#[cfg(test)]
mod tests;
