//! The conversation as it is sent.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::media::{self, Media, Resolution};
use super::signature::{self, Place, STAND_IN};
use crate::Error;
use crate::chat::{Audio, Document, DocumentSource, Image, Message, Opaque, Part, Role, ToolCall};
use crate::unsupported::{NO_SOUND_BACK, Turns, Unsupported};

/// One turn, or the instruction that stands before them all.
#[derive(Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<WirePart<'a>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct WirePart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought: Option<bool>,
    #[serde(flatten)]
    media: Option<Media<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_resolution: Option<Resolution>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<FunctionResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
    /// What is sent back as it came.
    #[serde(flatten)]
    kept: Map<String, Value>,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    id: &'a str,
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
struct FunctionResponse<'a> {
    id: &'a str,
    name: &'a str,
    response: Outcome<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Media<'a>>,
}

/// The keys by which the provider tells a result from a failure.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Output(Said<'a>),
    Error(Said<'a>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Text(&'a str),
    Texts(Vec<&'a str>),
}

/// The conversation, and the instruction taken out of it.
pub(super) struct Contents<'a> {
    pub(super) instruction: Option<Content<'a>>,
    pub(super) turns: Vec<Content<'a>>,
}

/// Writes a conversation.
pub(super) struct Writer<'a, 'u> {
    /// Whether tool calls must carry a signature, come what may.
    signatures: bool,
    unsupported: &'u mut Unsupported,
    /// The names of the tools called so far, by the id of the call.
    names: HashMap<&'a str, &'a str>,
    instruction: Vec<WirePart<'a>>,
    turns: Vec<(Role, Content<'a>)>,
}

impl<'a, 'u> Writer<'a, 'u> {
    pub(super) fn new(signatures: bool, unsupported: &'u mut Unsupported) -> Self {
        Self {
            signatures,
            unsupported,
            names: HashMap::new(),
            instruction: Vec::new(),
            turns: Vec::new(),
        }
    }

    pub(super) fn write(mut self, messages: &'a [Message]) -> Result<Contents<'a>, Error> {
        const PROBLEM: &str = "it has no names for those who speak; write the name into the text";
        self.unsupported.speakers(messages, PROBLEM)?;
        let turns = Turns::of(messages);
        for (index, message) in messages.iter().enumerate() {
            let at = format!("messages[{index}]");
            let role = self.unsupported.role_of(turns, index, message.role);
            let parts = self.parts(message, &at)?;
            self.add(role, parts);
        }
        if self.turns.is_empty() {
            return Err(self.unsupported.refuse(
                "messages",
                "it wants something to answer; add a message of role user",
            ));
        }
        Ok(Contents {
            instruction: (!self.instruction.is_empty()).then_some(Content {
                role: None,
                parts: self.instruction,
            }),
            turns: self.turns.into_iter().map(|(_, content)| content).collect(),
        })
    }

    /// Adds the parts of a message, to the turn before where that is of the same role. A message that says
    /// nothing is none there.
    fn add(&mut self, role: Role, mut parts: Vec<WirePart<'a>>) {
        let name = match role {
            Role::System | Role::Developer => return self.instruction.append(&mut parts),
            Role::User | Role::Tool => "user",
            Role::Assistant => "model",
        };
        match self.turns.last_mut() {
            Some((last, content)) if *last == role => content.parts.append(&mut parts),
            _ if parts.is_empty() => {}
            _ => {
                let content = Content {
                    role: Some(name),
                    parts,
                };
                self.turns.push((role, content));
            }
        }
    }

    fn parts(&mut self, message: &'a Message, at: &str) -> Result<Vec<WirePart<'a>>, Error> {
        let mut out = Vec::with_capacity(message.parts.len());
        for (index, part) in message.parts.iter().enumerate() {
            let at = format!("{at}.parts[{index}]");
            match (message.role, part) {
                (Role::Tool, Part::ToolResult { .. }) => out.push(self.tool_result(part, &at)?),
                (Role::Tool, _) => {
                    return Err(self.refuse(at, "tool messages may hold tool results only"));
                }
                (Role::Assistant, _) => self.assistant(part, &at, &mut out)?,
                (_, Part::Text(text)) => out.push(text_part(text)),
                (Role::User, _) => self.media(part, &at, &mut out)?,
                (Role::System | Role::Developer, _) => {
                    return Err(self.refuse(at, "instructions may hold text only"));
                }
            }
        }
        if message.role == Role::Assistant && self.signatures {
            stand_in(&mut out);
        }
        Ok(out)
    }

    /// A part of the user's that is not text.
    fn media(
        &mut self,
        part: &'a Part,
        at: &str,
        out: &mut Vec<WirePart<'a>>,
    ) -> Result<(), Error> {
        match part {
            Part::Image(image) => out.push(self.image(image, at)?),
            Part::Audio(Audio { data, format, .. }) => {
                out.push(media_part(media::of_audio(format, data)));
            }
            Part::Document(document) => document_parts(document, out),
            Part::Text(_)
            | Part::Cited { .. }
            | Part::ToolCall(_)
            | Part::ToolResult { .. }
            | Part::Reasoning { .. }
            | Part::Refusal(_) => {
                return Err(self.refuse(
                    at,
                    "user messages may hold text, images, audio and documents only",
                ));
            }
        }
        Ok(())
    }

    fn image(&mut self, image: &'a Image, at: &str) -> Result<WirePart<'a>, Error> {
        let media_resolution = match media::resolution(image) {
            Ok(resolution) => resolution,
            Err(problem) => {
                let field = format!("{at}.image.detail");
                self.unsupported.field(field, problem)?;
                None
            }
        };
        Ok(WirePart {
            media: Some(media::of_source(&image.source)),
            media_resolution,
            ..WirePart::default()
        })
    }

    fn assistant(
        &mut self,
        part: &'a Part,
        at: &str,
        out: &mut Vec<WirePart<'a>>,
    ) -> Result<(), Error> {
        match part {
            Part::Text(text) | Part::Cited { text, .. } | Part::Refusal(text) => {
                out.push(text_part(text));
            }
            Part::ToolCall(call) => out.push(self.tool_call(call, at)?),
            Part::Reasoning { text, opaque } => reasoning(text, opaque, out),
            // What the model said is known by its words, or as it sounds.
            Part::Audio(spoken) if !spoken.transcript.is_empty() => {
                out.push(text_part(&spoken.transcript));
            }
            Part::Audio(Audio { data, format, .. }) if !data.is_empty() && !format.is_empty() => {
                out.push(media_part(media::of_audio(format, data)));
            }
            Part::Audio(_) => return Err(self.refuse(format!("{at}.audio"), NO_SOUND_BACK)),
            Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } => {
                return Err(self.refuse(at, "assistant messages may not hold such a part"));
            }
        }
        Ok(())
    }

    fn tool_call(&mut self, call: &'a ToolCall, at: &str) -> Result<WirePart<'a>, Error> {
        self.names.insert(&call.id, &call.name);
        let arguments = match call.arguments.trim() {
            "" => "{}",
            some => some,
        };
        let args = serde_json::from_str::<&RawValue>(arguments)
            .ok()
            .filter(|args| args.get().starts_with('{'));
        let Some(args) = args else {
            let field = format!("{at}.tool_call.arguments");
            return Err(self.refuse(field, "it takes arguments only as one JSON object"));
        };
        Ok(WirePart {
            function_call: Some(FunctionCall {
                id: &call.id,
                name: &call.name,
                args,
            }),
            thought_signature: call.opaque.iter().find_map(signature::call_signature),
            ..WirePart::default()
        })
    }

    fn tool_result(&mut self, part: &'a Part, at: &str) -> Result<WirePart<'a>, Error> {
        let Part::ToolResult {
            tool_call_id,
            parts,
            is_error,
        } = part
        else {
            return Err(self.refuse(at, "tool messages may hold tool results only"));
        };
        let at = format!("{at}.tool_result");
        let Some(name) = self.names.get(tool_call_id.as_str()).copied() else {
            return Err(self.refuse(
                format!("{at}.tool_call_id"),
                "it needs the tool's name, and no call of that id came before",
            ));
        };
        let (said, files) = self.result(parts, &at)?;
        let response = if *is_error {
            Outcome::Error(said)
        } else {
            Outcome::Output(said)
        };
        Ok(WirePart {
            function_response: Some(FunctionResponse {
                id: tool_call_id,
                name,
                response,
                parts: files,
            }),
            ..WirePart::default()
        })
    }

    /// What a tool said, and the files it gave.
    fn result(&mut self, parts: &'a [Part], at: &str) -> Result<(Said<'a>, Vec<Media<'a>>), Error> {
        let mut texts = Vec::new();
        let mut files = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let at = format!("{at}.parts[{index}]");
            match part {
                Part::Text(text) => texts.push(text.as_str()),
                Part::Image(image) => {
                    if image.detail.as_deref().is_some_and(|it| it != "auto") {
                        self.unsupported.field(
                            format!("{at}.image.detail"),
                            "it has no detail for pictures that a tool gives",
                        )?;
                    }
                    files.push(media::of_source(&image.source));
                }
                Part::Document(Document {
                    source: DocumentSource::File(source),
                    title: None,
                    citations: _,
                }) => files.push(media::of_source(source)),
                Part::Cited { .. }
                | Part::Document(_)
                | Part::Audio(_)
                | Part::ToolCall(_)
                | Part::ToolResult { .. }
                | Part::Reasoning { .. }
                | Part::Refusal(_) => {
                    return Err(self.refuse(
                        at,
                        "a tool's result may hold text, images and files without a title only",
                    ));
                }
            }
        }
        let said = match texts.as_slice() {
            [] => Said::Text(""),
            [text] => Said::Text(text),
            _ => Said::Texts(texts),
        };
        Ok((said, files))
    }

    fn refuse(&self, field: impl Into<String>, problem: &'static str) -> Error {
        self.unsupported.refuse(field, problem)
    }
}

fn text_part(text: &str) -> WirePart<'_> {
    WirePart {
        text: Some(Cow::Borrowed(text)),
        ..WirePart::default()
    }
}

fn media_part(media: Media<'_>) -> WirePart<'_> {
    WirePart {
        media: Some(media),
        ..WirePart::default()
    }
}

/// A file has no title there, so the title is said before it.
fn document_parts<'a>(document: &'a Document, out: &mut Vec<WirePart<'a>>) {
    if let Some(title) = &document.title {
        out.push(text_part(title));
    }
    out.push(match &document.source {
        DocumentSource::File(source) => media_part(media::of_source(source)),
        DocumentSource::Text { text, .. } => text_part(text),
    });
}

/// Puts signatures back where they stood. Thoughts without one are left out: they say nothing that
/// the provider would read.
fn reasoning<'a>(text: &'a str, opaque: &'a [Opaque], out: &mut Vec<WirePart<'a>>) {
    for state in opaque {
        if let Some(kept) = signature::part(state) {
            out.push(WirePart {
                kept,
                ..WirePart::default()
            });
        }
        let Some((place, signature)) = signature::unwrap(state) else {
            continue;
        };
        match (place, out.last_mut()) {
            (Place::Text, Some(before))
                if before.text.is_some() && before.thought_signature.is_none() =>
            {
                before.thought_signature = Some(signature);
            }
            (Place::Thought, _) => out.push(WirePart {
                thought: Some(true),
                thought_signature: Some(signature),
                ..text_part(text)
            }),
            (Place::Text | Place::Alone | Place::Call, _) => out.push(WirePart {
                thought_signature: Some(signature),
                ..text_part("")
            }),
        }
    }
}

/// Of the calls of one turn, the first carries the signature for them all.
fn stand_in(parts: &mut [WirePart<'_>]) {
    let mut calls = parts
        .iter_mut()
        .filter(|part| part.function_call.is_some())
        .peekable();
    if let Some(first) = calls.peek_mut()
        && first.thought_signature.is_none()
    {
        first.thought_signature = Some(STAND_IN);
    }
}

#[cfg(test)]
mod tests;
