//! Messages as they are sent to Cohere.

use std::borrow::Cow;

use serde::Serialize;

use super::TOOL_PLAN;
use crate::Error;
use crate::chat::{self, Document, DocumentSource, Image, Opaque, Part, Role, Source};
use crate::codec::Kind;
use crate::openai::data_url;
use crate::unsupported::Unsupported;

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_plan: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Blocks(Vec<Block<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: Cow<'a, str> },
    Thinking { thinking: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
    Document { document: WireDocument<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
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

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CalledFunction<'a>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Where a part stands; turned into words only for an error.
#[derive(Clone, Copy)]
struct Place<'u> {
    unsupported: &'u Unsupported,
    message: usize,
    part: usize,
}

impl Place<'_> {
    /// What is said is never left out, whatever the target allows.
    fn refuse(self, problem: &'static str) -> Error {
        let field = format!("messages[{}].parts[{}]", self.message, self.part);
        self.unsupported.refuse(field, problem)
    }
}

/// Writes the conversation. One tool message may become several: the format wants one per result.
pub(super) fn messages<'a>(
    messages: &'a [chat::Message],
    unsupported: &mut Unsupported,
) -> Result<Vec<Message<'a>>, Error> {
    let mut out = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        if message.name.is_some() && message.role != Role::Tool {
            unsupported.field(
                format!("messages[{index}].name"),
                "it has no names of participants",
            )?;
        }
        let place = Place {
            unsupported,
            message: index,
            part: 0,
        };
        match message.role {
            Role::Developer | Role::System => out.push(prompt("system", message, place)?),
            Role::User => out.push(prompt("user", message, place)?),
            Role::Assistant => out.push(assistant(message, place)?),
            Role::Tool => tool_results(message, place, &mut out)?,
        }
    }
    Ok(out)
}

fn plain<'a>(role: &'static str, content: Option<Content<'a>>) -> Message<'a> {
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
    place: Place<'_>,
) -> Result<Message<'a>, Error> {
    let user = message.role == Role::User;
    let mut blocks = Vec::with_capacity(message.parts.len());
    for (index, part) in message.parts.iter().enumerate() {
        let place = Place {
            part: index,
            ..place
        };
        blocks.push(match part {
            Part::Text(text) => borrowed(text),
            Part::Image(image) if user => image_block(image),
            Part::Document(document) if user => Block::Text {
                text: document_as_text(document, place)?,
            },
            Part::Image(_) | Part::Document(_) => {
                return Err(place.refuse("only user messages may hold images and documents"));
            }
            Part::Audio { .. } => return Err(place.refuse("it takes no sound")),
            Part::ToolCall(_) | Part::Reasoning { .. } | Part::Refusal(_) => {
                return Err(place.refuse("only assistant messages may hold such a part"));
            }
            Part::ToolResult { .. } => {
                return Err(place.refuse("tool results belong in a message of role tool"));
            }
        });
    }
    Ok(plain(role, Some(content(blocks))))
}

fn borrowed(text: &str) -> Block<'_> {
    Block::Text {
        text: Cow::Borrowed(text),
    }
}

/// A lone text is sent as a plain string, the shortest form.
fn content(mut blocks: Vec<Block<'_>>) -> Content<'_> {
    match blocks.as_mut_slice() {
        [] => Content::Text(Cow::Borrowed("")),
        [Block::Text { text }] => Content::Text(std::mem::take(text)),
        _ => Content::Blocks(blocks),
    }
}

fn image_block(image: &Image) -> Block<'_> {
    let url = match &image.source {
        Source::Url(url) => Cow::Borrowed(url.as_str()),
        Source::Bytes { mime, data } => Cow::Owned(data_url::write(mime, data)),
    };
    Block::ImageUrl {
        image_url: ImageUrl {
            url,
            detail: image.detail.as_deref(),
        },
    }
}

fn document_as_text<'a>(document: &'a Document, place: Place<'_>) -> Result<Cow<'a, str>, Error> {
    let text = document_text(document, place)?;
    Ok(match &document.title {
        Some(title) => Cow::Owned(format!("{title}\n\n{text}")),
        None => Cow::Borrowed(text),
    })
}

fn document_text<'a>(document: &'a Document, place: Place<'_>) -> Result<&'a str, Error> {
    match &document.source {
        DocumentSource::Text { text, .. } => Ok(text),
        DocumentSource::File(_) => {
            Err(place.refuse("it reads no files; send the document as text"))
        }
    }
}

fn assistant<'a>(message: &'a chat::Message, place: Place<'_>) -> Result<Message<'a>, Error> {
    let mut blocks = Vec::with_capacity(message.parts.len());
    let mut out = plain("assistant", None);
    for (index, part) in message.parts.iter().enumerate() {
        let place = Place {
            part: index,
            ..place
        };
        match part {
            Part::Text(text) | Part::Refusal(text) => blocks.push(borrowed(text)),
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
            Part::ToolCall(call) => out.tool_calls.push(Call {
                id: &call.id,
                kind: "function",
                function: CalledFunction {
                    name: &call.name,
                    arguments: &call.arguments,
                },
            }),
            Part::Image(_) | Part::Audio { .. } | Part::Document(_) | Part::ToolResult { .. } => {
                return Err(place.refuse("assistant messages may not hold such a part"));
            }
        }
    }
    if !blocks.is_empty() || out.tool_calls.is_empty() {
        out.content = Some(content(blocks));
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

fn tool_results<'a>(
    message: &'a chat::Message,
    place: Place<'_>,
    out: &mut Vec<Message<'a>>,
) -> Result<(), Error> {
    for (index, part) in message.parts.iter().enumerate() {
        let place = Place {
            part: index,
            ..place
        };
        let Part::ToolResult {
            tool_call_id,
            parts,
            is_error,
        } = part
        else {
            return Err(place.refuse("tool messages may hold tool results only"));
        };
        out.push(Message {
            tool_call_id: Some(tool_call_id),
            ..plain("tool", Some(result_content(parts, *is_error, place)?))
        });
    }
    Ok(())
}

/// The format has no flag for a failed tool, so the text says it.
fn result_content<'a>(
    parts: &'a [Part],
    is_error: bool,
    place: Place<'_>,
) -> Result<Content<'a>, Error> {
    let mut out = Vec::with_capacity(parts.len() + 1);
    for part in parts {
        out.push(match part {
            Part::Text(text) if is_error && out.is_empty() => Block::Text {
                text: Cow::Owned(format!("Error: {text}")),
            },
            Part::Text(text) => borrowed(text),
            Part::Document(document) => Block::Document {
                document: WireDocument {
                    data: DocumentData {
                        title: document.title.as_deref(),
                        text: document_text(document, place)?,
                    },
                },
            },
            Part::Image(_)
            | Part::Audio { .. }
            | Part::ToolCall(_)
            | Part::ToolResult { .. }
            | Part::Reasoning { .. }
            | Part::Refusal(_) => {
                return Err(place.refuse("a tool's result may be text and text documents only"));
            }
        });
    }
    if is_error && !matches!(out.first(), Some(Block::Text { .. })) {
        out.insert(0, borrowed("Error"));
    }
    Ok(content(out))
}
