//! The conversation in formats made of turns, which OpenAI's chat completions and Cohere's chat are: every message
//! has its own role, content is a text or a list of parts, and each result of a tool is a message.

use std::borrow::Cow;

use serde::Serialize;

use crate::Error;
use crate::chat::{self, Audio, Document, Image, Part, Role, Source, StoredFile};
use crate::codec::Kind;
use crate::openai::data_url;
use crate::openai::extra_content::{self, ExtraContent};
use crate::unsupported::NO_SOUND_BACK;

/// A piece of content.
pub(crate) trait ContentPart<'a>: Sized {
    fn of_text(text: Cow<'a, str>) -> Self;
    /// The text, where the piece is nothing else.
    fn text(&mut self) -> Option<&mut Cow<'a, str>>;
}

/// What is said in a message.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Content<'a, P> {
    Text(Cow<'a, str>),
    Parts(Vec<P>),
}

impl<'a, P: ContentPart<'a>> Content<'a, P> {
    /// A lone text is sent as a plain string, the form that every server understands.
    pub(crate) fn of(mut parts: Vec<P>) -> Self {
        match parts.as_mut_slice() {
            [] => Self::Text(Cow::Borrowed("")),
            [lone] => match lone.text() {
                Some(text) => Self::Text(std::mem::take(text)),
                None => Self::Parts(parts),
            },
            _ => Self::Parts(parts),
        }
    }
}

/// A picture, by its address or in one.
#[derive(Serialize)]
pub(crate) struct ImageUrl<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl<'a> ImageUrl<'a> {
    pub(crate) fn of(image: &'a Image, place: Place) -> Result<Self, Error> {
        let url = url(&image.source)
            .map_err(|_| place.refuse("it keeps no pictures; send the picture as data"))?;
        Ok(Self {
            url,
            detail: image.detail.as_deref(),
        })
    }
}

/// An address, or the content in the form of one.
///
/// # Errors
/// The file, where it is one that the provider keeps.
pub(crate) fn url(source: &Source) -> Result<Cow<'_, str>, &StoredFile> {
    match source {
        Source::Url(url) => Ok(Cow::Borrowed(url)),
        Source::Bytes { mime, data } => Ok(Cow::Owned(data_url::write(mime, data))),
        Source::Stored(file) => Err(file),
    }
}

/// A document's text with its title, which has no place of its own in a text.
pub(crate) fn titled<'a>(document: &Document, text: &'a str) -> Cow<'a, str> {
    match &document.title {
        Some(title) => Cow::Owned(format!("{title}\n\n{text}")),
        None => Cow::Borrowed(text),
    }
}

/// A call that the model asked for.
#[derive(Serialize)]
pub(crate) struct Call<'a> {
    id: Cow<'a, str>,
    r#type: &'static str,
    function: CalledFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> Call<'a> {
    pub(crate) fn of(call: &'a chat::ToolCall, id: Cow<'a, str>) -> Self {
        Self {
            id,
            r#type: "function",
            function: CalledFunction {
                name: &call.name,
                arguments: &call.arguments,
            },
            extra_content: None,
        }
    }

    /// With the state that Google's endpoint of this format wants back.
    pub(crate) fn with_state(self, call: &'a chat::ToolCall) -> Self {
        Self {
            extra_content: extra_content::of(&call.opaque),
            ..self
        }
    }
}

/// Where a part stands, and for whom it is written; turned into words only for an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    kind: Kind,
    message: usize,
    part: usize,
}

impl Place {
    pub(crate) fn of_message(kind: Kind, message: usize) -> Self {
        Self {
            kind,
            message,
            part: 0,
        }
    }

    /// The parts of a message, each with where it stands.
    pub(crate) fn each(
        self,
        message: &chat::Message,
    ) -> impl Iterator<Item = (Self, &Part)> + use<'_> {
        let parts = message.parts.iter().enumerate();
        parts.map(move |(part, it)| (Self { part, ..self }, it))
    }

    /// What is said is never left out, whatever the target allows.
    pub(crate) fn refuse(self, problem: &'static str) -> Error {
        Error::Unsupported {
            field: format!("messages[{}].parts[{}]", self.message, self.part),
            kind: self.kind.as_str(),
            problem,
        }
    }

    /// The error for what no provider would take.
    pub(crate) fn invalid(self, rest: &str, problem: &'static str) -> Error {
        let (message, part) = (self.message, self.part);
        Error::invalid(format!("messages[{message}].parts[{part}]{rest}"), problem)
    }

    /// What was said in sound by the model, which nobody but its maker knows as sound.
    ///
    /// # Errors
    /// That was not told.
    pub(crate) fn transcript(self, audio: &Audio) -> Result<&str, Error> {
        if audio.transcript.is_empty() {
            return Err(self.refuse(NO_SOUND_BACK));
        }
        Ok(&audio.transcript)
    }

    /// The error for a part that a message of that role may not hold; `media` says what a user's message may.
    pub(crate) fn misplaced(self, role: Role, part: &Part, media: &'static str) -> Error {
        self.refuse(match (part, role) {
            (_, Role::Assistant) => "assistant messages may not hold such a part",
            (_, Role::Tool) => "tool messages may hold tool results only",
            (
                Part::Cited { .. } | Part::ToolCall(_) | Part::Reasoning { .. } | Part::Refusal(_),
                _,
            ) => "only assistant messages may hold such a part",
            (Part::ToolResult { .. }, _) => "tool results belong in a message of role tool",
            (Part::Text(_) | Part::Image(_) | Part::Audio(_) | Part::Document(_), _) => media,
        })
    }

    /// The results in a message of role tool: to which call each belongs, and what it says. `other` writes what is
    /// not text.
    ///
    /// # Errors
    /// A part is no result, or one of `other`'s.
    pub(crate) fn results<'a, P: ContentPart<'a>>(
        self,
        message: &'a chat::Message,
        other: impl Fn(Self, &'a Part) -> Result<P, Error>,
    ) -> Result<Vec<(&'a str, Content<'a, P>)>, Error> {
        let mut results = Vec::with_capacity(message.parts.len());
        for (place, part) in self.each(message) {
            let Part::ToolResult {
                tool_call_id,
                parts,
                is_error,
            } = part
            else {
                return Err(place.misplaced(Role::Tool, part, ""));
            };
            let mut out = Vec::with_capacity(parts.len() + 1);
            for part in parts {
                out.push(match part {
                    Part::Text(text) => P::of_text(Cow::Borrowed(text)),
                    Part::Cited { .. }
                    | Part::Image(_)
                    | Part::Audio(_)
                    | Part::Document(_)
                    | Part::ToolCall(_)
                    | Part::ToolResult { .. }
                    | Part::Reasoning { .. }
                    | Part::Refusal(_) => other(place, part)?,
                });
            }
            if *is_error {
                mark_failed(&mut out);
            }
            results.push((tool_call_id.as_str(), Content::of(out)));
        }
        Ok(results)
    }
}

/// The formats have no flag for a failed tool, so the text says it.
fn mark_failed<'a, P: ContentPart<'a>>(parts: &mut Vec<P>) {
    match parts.first_mut().and_then(P::text) {
        Some(text) => *text = Cow::Owned(format!("Error: {text}")),
        None => parts.insert(0, P::of_text(Cow::Borrowed("Error"))),
    }
}
