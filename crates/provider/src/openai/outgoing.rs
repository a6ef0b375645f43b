//! Messages as they are sent to a provider.

use std::borrow::Cow;

use serde::Serialize;

use super::data_url;
use super::dialect::{Dialect, Forms};
use super::mistral;
use crate::Error;
use crate::chat::{self, Document, DocumentSource, Image, Opaque, Part, Role, Source};

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<ContentPart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentPart<'a> {
    Text { text: Cow<'a, str> },
    Refusal { refusal: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
    InputAudio { input_audio: InputAudio<'a> },
    File { file: File<'a> },
    DocumentUrl(DocumentUrl<'a>),
    Thinking(Thinking<'a>),
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum InputAudio<'a> {
    Described { data: String, format: &'a str },
    Bare(String),
}

#[derive(Serialize)]
struct File<'a> {
    file_data: String,
    filename: &'a str,
}

#[derive(Serialize)]
struct DocumentUrl<'a> {
    document_url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document_name: Option<&'a str>,
}

#[derive(Serialize)]
struct Thinking<'a> {
    thinking: [Thought<'a>; 1],
    signature: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Thought<'a> {
    Text { text: &'a str },
}

#[derive(Serialize)]
struct Call<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CalledFunction<'a>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Where a part stands, and for whom it is written; turned into words only for an error.
#[derive(Clone, Copy)]
struct Place<'d> {
    dialect: &'d Dialect,
    message: usize,
    part: usize,
}

impl Place<'_> {
    fn is_mistral(&self) -> bool {
        self.dialect.forms == Forms::Mistral
    }

    fn call_id<'a>(&self, id: &'a str) -> Cow<'a, str> {
        match self.dialect.forms {
            Forms::OpenAi => Cow::Borrowed(id),
            Forms::Mistral => mistral::call_id(id),
        }
    }

    fn name<'a>(&self, message: &'a chat::Message) -> Option<&'a str> {
        message.name.as_deref().filter(|_| !self.is_mistral())
    }

    fn refuse(&self, problem: &'static str) -> Error {
        Error::Unsupported {
            field: format!("messages[{}].parts[{}]", self.message, self.part),
            kind: self.dialect.kind.as_str(),
            problem,
        }
    }
}

/// Writes the conversation. One tool message may become several: the format wants one per result.
pub(super) fn messages<'a>(
    messages: &'a [chat::Message],
    dialect: &Dialect,
) -> Result<Vec<Message<'a>>, Error> {
    let mut out = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let place = Place {
            dialect,
            message: index,
            part: 0,
        };
        match message.role {
            Role::Developer => out.push(prompt(message, dialect.developer.as_str(), place)?),
            Role::System | Role::User => out.push(prompt(message, message.role.as_str(), place)?),
            Role::Assistant => out.push(assistant(message, place)?),
            Role::Tool => tool_results(message, place, &mut out)?,
        }
    }
    if dialect.forms == Forms::Mistral
        && let Some(last) = out.last_mut()
        && last.role == Role::Assistant.as_str()
        && last.tool_calls.is_empty()
    {
        last.prefix = Some(true);
    }
    Ok(out)
}

/// A message of the developer, the system or the user.
fn prompt<'a>(
    message: &'a chat::Message,
    role: &'static str,
    place: Place<'_>,
) -> Result<Message<'a>, Error> {
    let mut parts = Vec::with_capacity(message.parts.len());
    for (index, part) in message.parts.iter().enumerate() {
        let place = Place {
            part: index,
            ..place
        };
        parts.push(match part {
            Part::Text(text) => ContentPart::Text {
                text: Cow::Borrowed(text),
            },
            Part::Image(image) if message.role == Role::User => ContentPart::ImageUrl {
                image_url: image_url(image),
            },
            Part::Audio { data, format } if message.role == Role::User => {
                let data = data_url::encode_base64(data);
                ContentPart::InputAudio {
                    input_audio: if place.is_mistral() {
                        InputAudio::Bare(data)
                    } else {
                        InputAudio::Described { data, format }
                    },
                }
            }
            Part::Document(file) if message.role == Role::User => document(file, place)?,
            Part::Image(_) | Part::Audio { .. } | Part::Document(_) => {
                return Err(place.refuse("only user messages may hold images, audio and documents"));
            }
            Part::ToolCall(_) | Part::Reasoning { .. } | Part::Refusal(_) => {
                return Err(place.refuse("only assistant messages may hold such a part"));
            }
            Part::ToolResult { .. } => {
                return Err(place.refuse("tool results belong in a message of role tool"));
            }
        });
    }
    Ok(Message {
        role,
        content: Some(content(parts)),
        name: place.name(message),
        reasoning_content: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
        prefix: None,
    })
}

/// A lone text is sent as a plain string, the form that every server understands.
fn content(mut parts: Vec<ContentPart<'_>>) -> Content<'_> {
    match parts.as_mut_slice() {
        [] => Content::Text(Cow::Borrowed("")),
        [ContentPart::Text { text }] => Content::Text(std::mem::take(text)),
        _ => Content::Parts(parts),
    }
}

fn image_url(image: &Image) -> ImageUrl<'_> {
    ImageUrl {
        url: url(&image.source),
        detail: image.detail.as_deref(),
    }
}

fn url(source: &Source) -> Cow<'_, str> {
    match source {
        Source::Url(url) => Cow::Borrowed(url),
        Source::Bytes { mime, data } => Cow::Owned(data_url::write(mime, data)),
    }
}

fn document<'a>(document: &'a Document, place: Place<'_>) -> Result<ContentPart<'a>, Error> {
    match &document.source {
        DocumentSource::File(source) if place.is_mistral() => {
            Ok(ContentPart::DocumentUrl(DocumentUrl {
                document_url: url(source),
                document_name: document.title.as_deref(),
            }))
        }
        DocumentSource::File(Source::Bytes { mime, data }) => Ok(ContentPart::File {
            file: File {
                file_data: data_url::write(mime, data),
                // The field is required there, while a title is optional here.
                filename: document.title.as_deref().unwrap_or("document"),
            },
        }),
        DocumentSource::File(Source::Url(_)) => {
            Err(place.refuse("documents must be sent as bytes or text, not by address"))
        }
        DocumentSource::Text { text, .. } => Ok(ContentPart::Text {
            text: match &document.title {
                Some(title) => Cow::Owned(format!("{title}\n\n{text}")),
                None => Cow::Borrowed(text),
            },
        }),
    }
}

fn assistant<'a>(message: &'a chat::Message, place: Place<'_>) -> Result<Message<'a>, Error> {
    let mut parts = Vec::with_capacity(message.parts.len());
    let mut calls = Vec::new();
    let mut reasoning = Cow::Borrowed("");
    for (index, part) in message.parts.iter().enumerate() {
        let place = Place {
            part: index,
            ..place
        };
        match part {
            Part::Text(text) => parts.push(ContentPart::Text {
                text: Cow::Borrowed(text),
            }),
            Part::Refusal(text) if place.is_mistral() => parts.push(ContentPart::Text {
                text: Cow::Borrowed(text),
            }),
            Part::Refusal(refusal) => parts.push(ContentPart::Refusal { refusal }),
            Part::ToolCall(call) => calls.push(Call {
                id: place.call_id(&call.id),
                kind: "function",
                function: CalledFunction {
                    name: &call.name,
                    arguments: &call.arguments,
                },
            }),
            Part::Reasoning { text, opaque } if place.is_mistral() => {
                parts.extend(thinking(text, opaque));
            }
            Part::Reasoning { text, .. } if reasoning.is_empty() => reasoning = Cow::Borrowed(text),
            Part::Reasoning { text, .. } => reasoning.to_mut().push_str(text),
            Part::Image(_) | Part::Audio { .. } | Part::Document(_) | Part::ToolResult { .. } => {
                return Err(place.refuse("assistant messages may not hold such a part"));
            }
        }
    }
    let returned = place.dialect.returns_reasoning && !calls.is_empty() && !reasoning.is_empty();
    Ok(Message {
        role: "assistant",
        content: if parts.is_empty() && !calls.is_empty() {
            None
        } else {
            Some(content(parts))
        },
        name: place.name(message),
        reasoning_content: returned.then_some(reasoning),
        tool_calls: calls,
        tool_call_id: None,
        prefix: None,
    })
}

/// Thoughts that the provider signed go back to it with the signature. It does not ask for others.
fn thinking<'a>(text: &'a str, opaque: &'a [Opaque]) -> Option<ContentPart<'a>> {
    let signature = opaque.iter().find_map(mistral::signature)?;
    Some(ContentPart::Thinking(Thinking {
        thinking: [Thought::Text { text }],
        signature,
    }))
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
            role: "tool",
            content: Some(result_content(parts, *is_error, place)?),
            name: None,
            reasoning_content: None,
            tool_calls: Vec::new(),
            tool_call_id: Some(place.call_id(tool_call_id)),
            prefix: None,
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
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        let Part::Text(text) = part else {
            return Err(place.refuse("a tool's result may be text only"));
        };
        let text = match (is_error, out.is_empty()) {
            (true, true) => Cow::Owned(format!("Error: {text}")),
            _ => Cow::Borrowed(text.as_str()),
        };
        out.push(ContentPart::Text { text });
    }
    if is_error && out.is_empty() {
        return Ok(Content::Text(Cow::Borrowed("Error")));
    }
    Ok(content(out))
}
