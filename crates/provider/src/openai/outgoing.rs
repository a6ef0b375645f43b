//! Messages as they are sent to a provider.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::data_url;
use super::details;
use super::dialect::{Dialect, Forms};
use super::mistral;
use crate::Error;
use crate::chat::{self, Audio, Document, DocumentSource, Opaque, Part, Role, Source, StoredFile};
use crate::codec::Kind;
use crate::turns::{self, Call, Content, ImageUrl, Place, titled, url};

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: Option<Content<'a, ContentPart<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<SpokenBefore<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<bool>,
}

/// Sound of an earlier answer.
#[derive(Serialize)]
struct SpokenBefore<'a> {
    id: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentPart<'a> {
    Text { text: Cow<'a, str> },
    Refusal { refusal: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
    InputAudio { input_audio: InputAudio<'a> },
    File(File<'a>),
    DocumentUrl(DocumentUrl<'a>),
    Thinking(Thinking<'a>),
    Reference { reference_ids: Vec<&'a RawValue> },
}

impl<'a> turns::ContentPart<'a> for ContentPart<'a> {
    fn of_text(text: Cow<'a, str>) -> Self {
        Self::Text { text }
    }

    fn text(&mut self) -> Option<&mut Cow<'a, str>> {
        match self {
            Self::Text { text } => Some(text),
            Self::Refusal { .. }
            | Self::ImageUrl { .. }
            | Self::InputAudio { .. }
            | Self::File(_)
            | Self::DocumentUrl(_)
            | Self::Thinking(_)
            | Self::Reference { .. } => None,
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum InputAudio<'a> {
    Described { data: String, format: &'a str },
    Bare(String),
}

#[derive(Serialize)]
#[serde(untagged)]
enum File<'a> {
    Sent {
        file: SentFile<'a>,
    },
    Stored {
        file: FileId<'a>,
    },
    /// Mistral's way.
    Bare(FileId<'a>),
}

#[derive(Serialize)]
struct SentFile<'a> {
    file_data: String,
    filename: &'a str,
}

#[derive(Serialize)]
struct FileId<'a> {
    file_id: &'a str,
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

/// Writes the conversation. One tool message may become several: the format wants one per result.
pub(super) fn messages<'a>(
    messages: &'a [chat::Message],
    dialect: &Dialect,
) -> Result<Vec<Message<'a>>, Error> {
    let mut out = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let place = Place::of_message(dialect.kind, index);
        match message.role {
            Role::Developer | Role::System | Role::User => {
                out.push(prompt(message, dialect, place)?);
            }
            Role::Assistant => out.push(assistant(message, dialect, place)?),
            Role::Tool => {
                let refuse = |place: Place, _| -> Result<ContentPart<'_>, Error> {
                    Err(place.refuse("a tool's result may be text only"))
                };
                let results = place.results(message, refuse)?.into_iter();
                out.extend(results.map(|(id, content)| Message {
                    tool_call_id: Some(call_id(id, dialect)),
                    ..plain("tool", Some(content))
                }));
            }
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

fn plain<'a>(role: &'static str, content: Option<Content<'a, ContentPart<'a>>>) -> Message<'a> {
    Message {
        role,
        content,
        name: None,
        reasoning_content: None,
        reasoning_details: Vec::new(),
        audio: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
        prefix: None,
    }
}

/// The longest id of a call that OpenAI's own service takes.
const LONGEST_ID: usize = 40;

/// The id of a call as the server takes it: the same wherever it occurs.
fn call_id<'a>(id: &'a str, dialect: &Dialect) -> Cow<'a, str> {
    let own = matches!(dialect.kind, Kind::OpenAi | Kind::AzureOpenAi);
    match dialect.forms {
        Forms::OpenAi if own => short_id(id, LONGEST_ID),
        Forms::OpenAi => Cow::Borrowed(id),
        Forms::Mistral => mistral::call_id(id),
    }
}

/// The id of a call, or, where it is longer than a service takes, another: the same wherever it occurs, so that call and
/// result still find each other.
pub(crate) fn short_id(id: &str, longest: usize) -> Cow<'_, str> {
    if id.len() > longest {
        Cow::Owned(format!("call_{}", mistral::call_id(id)))
    } else {
        Cow::Borrowed(id)
    }
}

fn name<'a>(message: &'a chat::Message, dialect: &Dialect) -> Option<&'a str> {
    message
        .name
        .as_deref()
        .filter(|_| dialect.forms == Forms::OpenAi)
}

/// A message of the developer, the system or the user.
fn prompt<'a>(
    message: &'a chat::Message,
    dialect: &Dialect,
    place: Place,
) -> Result<Message<'a>, Error> {
    let user = message.role == Role::User;
    let mut parts = Vec::with_capacity(message.parts.len());
    for (place, part) in place.each(message) {
        parts.push(match part {
            Part::Text(text) => borrowed(text),
            Part::Image(image) if user => ContentPart::ImageUrl {
                image_url: ImageUrl::of(image, place)?,
            },
            Part::Audio(Audio { data, format, .. }) if user => {
                let data = data_url::encode_base64(data);
                ContentPart::InputAudio {
                    input_audio: match dialect.forms {
                        Forms::Mistral => InputAudio::Bare(data),
                        Forms::OpenAi => InputAudio::Described { data, format },
                    },
                }
            }
            Part::Document(file) if user => document(file, dialect, place)?,
            Part::Cited { .. }
            | Part::Image(_)
            | Part::Audio(_)
            | Part::Document(_)
            | Part::ToolCall(_)
            | Part::Reasoning { .. }
            | Part::Refusal(_)
            | Part::ToolResult { .. } => {
                let media = "only user messages may hold images, audio and documents";
                return Err(place.misplaced(message.role, part, media));
            }
        });
    }
    let role = match message.role {
        Role::Developer => dialect.developer,
        Role::System | Role::User | Role::Assistant | Role::Tool => message.role,
    };
    Ok(Message {
        name: name(message, dialect),
        ..plain(role.as_str(), Some(Content::of(parts)))
    })
}

fn borrowed(text: &str) -> ContentPart<'_> {
    ContentPart::Text {
        text: Cow::Borrowed(text),
    }
}

fn document<'a>(
    document: &'a Document,
    dialect: &Dialect,
    place: Place,
) -> Result<ContentPart<'a>, Error> {
    match &document.source {
        DocumentSource::File(source) if dialect.forms == Forms::Mistral => Ok(match url(source) {
            Ok(document_url) => ContentPart::DocumentUrl(DocumentUrl {
                document_url,
                document_name: document.title.as_deref(),
            }),
            Err(StoredFile { id, .. }) => ContentPart::File(File::Bare(FileId { file_id: id })),
        }),
        DocumentSource::File(Source::Stored(StoredFile { id, .. })) => {
            let file = FileId { file_id: id };
            Ok(ContentPart::File(File::Stored { file }))
        }
        DocumentSource::File(Source::Bytes { mime, data }) => Ok(ContentPart::File(File::Sent {
            file: SentFile {
                file_data: data_url::write(mime, data),
                // The field is required there, while a title is optional here.
                filename: document.title.as_deref().unwrap_or("document"),
            },
        })),
        DocumentSource::File(Source::Url(_)) => {
            Err(place.refuse("documents must be sent as bytes or text, not by address"))
        }
        DocumentSource::Text { text, .. } => Ok(ContentPart::Text {
            text: titled(document, text),
        }),
    }
}

fn assistant<'a>(
    message: &'a chat::Message,
    dialect: &Dialect,
    place: Place,
) -> Result<Message<'a>, Error> {
    let mistral = dialect.forms == Forms::Mistral;
    let mut parts = Vec::with_capacity(message.parts.len());
    let mut calls = Vec::new();
    let mut reasoning = Cow::Borrowed("");
    let mut details = Vec::new();
    let mut audio = None;
    for (place, part) in place.each(message) {
        match part {
            Part::Cited { text, citations } if mistral => {
                for (before, reference_ids) in mistral::referenced(text, citations) {
                    if !before.is_empty() {
                        parts.push(borrowed(before));
                    }
                    if !reference_ids.is_empty() {
                        parts.push(ContentPart::Reference { reference_ids });
                    }
                }
            }
            Part::Text(text) | Part::Cited { text, .. } => parts.push(borrowed(text)),
            Part::Refusal(text) if mistral => parts.push(borrowed(text)),
            Part::Refusal(refusal) => parts.push(ContentPart::Refusal { refusal }),
            Part::ToolCall(call) => {
                let written = Call::of(call, call_id(&call.id, dialect));
                calls.push(if dialect.returns_call_state {
                    written.with_state(call)
                } else {
                    written
                });
            }
            Part::Reasoning { text, opaque } if mistral => parts.extend(thinking(text, opaque)),
            Part::Reasoning { text, opaque } => {
                if dialect.returns_reasoning {
                    details.extend(details::returned(opaque, place)?);
                }
                reasoning += text.as_str();
            }
            Part::Audio(Audio { id: Some(id), .. }) if !mistral && audio.is_none() => {
                audio = Some(SpokenBefore { id });
            }
            Part::Audio(spoken) => parts.push(borrowed(place.transcript(spoken)?)),
            Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } => {
                return Err(place.misplaced(Role::Assistant, part, ""));
            }
        }
    }
    // What the details say need not be said again.
    let returned = dialect.returns_reasoning
        && !calls.is_empty()
        && !reasoning.is_empty()
        && details.is_empty();
    let silent = parts.is_empty() && (!calls.is_empty() || audio.is_some());
    Ok(Message {
        name: name(message, dialect),
        reasoning_content: returned.then_some(reasoning),
        reasoning_details: details,
        audio,
        tool_calls: calls,
        ..plain("assistant", (!silent).then(|| Content::of(parts)))
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
