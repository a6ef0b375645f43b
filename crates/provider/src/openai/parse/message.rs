//! The messages of a request body.

use super::body::{Spoken, WireMessage};
use super::cache;
use crate::Error;
use crate::chat::{
    Audio, CachePlace, CachePoint, Document, DocumentSource, Image, Message, Part, Role, Source,
    StoredFile, ToolCall,
};
use crate::openai::wire::{CacheControl, Content, ContentPart, File, Text, WholeCall};
use crate::openai::{citations, data_url, extra_content, reasoning_details};

/// The messages; where they ask for the prompt to be cached is added to `points`.
pub(super) fn messages(
    list: Vec<WireMessage<'_>>,
    points: &mut Vec<CachePoint>,
) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::with_capacity(list.len());
    for (index, mut wire) in list.into_iter().enumerate() {
        let place = Place { message: index };
        let hints = hints(&mut wire);
        let message = place.message(wire)?;
        place.cache(&message, hints, points)?;
        messages.push(message);
    }
    Ok(messages)
}

/// A hint, and the part of the content that it stands at; none for the whole message.
type Hint<'a> = (Option<usize>, CacheControl<'a>);

fn hints<'a>(wire: &mut WireMessage<'a>) -> Vec<Hint<'a>> {
    let mut hints = Vec::new();
    if let Some(Content::Parts(parts)) = &mut wire.content {
        for (index, part) in parts.0.iter_mut().enumerate() {
            hints.extend(part.cache_control.take().map(|it| (Some(index), it)));
        }
    }
    hints.extend(wire.cache_control.take().map(|it| (None, it)));
    hints
}

/// Which message is read; its path is written only for an error.
#[derive(Clone, Copy)]
struct Place {
    message: usize,
}

impl Place {
    fn wrong(self, field: impl AsRef<str>, problem: &str) -> Error {
        Error::invalid(
            format!("messages[{}].{}", self.message, field.as_ref()),
            problem,
        )
    }

    fn message(self, mut wire: WireMessage<'_>) -> Result<Message, Error> {
        let role = match wire.role.as_str() {
            "developer" => Role::Developer,
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            _ => {
                let known = "expected developer, system, user, assistant or tool";
                return Err(self.wrong("role", known));
            }
        };
        self.check_fields(role, &wire)?;
        let name = wire.name.take().map(Text::into_string);
        let parts = match role {
            Role::Assistant => self.assistant(wire)?,
            Role::Tool => vec![self.tool_result(wire)?],
            Role::Developer | Role::System | Role::User => self.prompt(role, wire)?,
        };
        Ok(Message { role, parts, name })
    }

    /// Adds the hints of a message, each with its place among the parts that were made of it: thoughts come first, and
    /// the result of a tool is one part.
    fn cache(
        self,
        message: &Message,
        hints: Vec<Hint<'_>>,
        points: &mut Vec<CachePoint>,
    ) -> Result<(), Error> {
        let is_thought = |part: &&Part| matches!(part, Part::Reasoning { .. });
        let thoughts = message.parts.iter().take_while(is_thought).count();
        let last = message.parts.len().saturating_sub(1);
        for (index, control) in hints {
            let part = index.map_or(last, |index| (thoughts + index).min(last));
            let after = CachePlace::Part {
                message: self.message,
                part,
            };
            let place = index.map_or_else(String::new, |index| format!(".content[{index}]"));
            let path = || format!("messages[{}]{place}", self.message);
            let point = cache::point(after, &control, path)?;
            if points.last().is_none_or(|before| before.after < after) {
                points.push(point);
            }
        }
        Ok(())
    }

    /// Refuses fields that mean nothing for the role, before anything is lost with them.
    fn check_fields(self, role: Role, wire: &WireMessage<'_>) -> Result<(), Error> {
        let assistant = role == Role::Assistant;
        let misplaced = [
            ("refusal", wire.refusal.is_some() && !assistant),
            (
                "reasoning_content",
                wire.reasoning_content.is_some() && !assistant,
            ),
            ("reasoning", wire.reasoning.is_some() && !assistant),
            (
                "reasoning_details",
                wire.reasoning_details.is_some() && !assistant,
            ),
            ("citations", wire.citations.is_some() && !assistant),
            ("audio", wire.audio.is_some() && !assistant),
            ("tool_calls", wire.tool_calls.is_some() && !assistant),
            (
                "tool_call_id",
                wire.tool_call_id.is_some() && role != Role::Tool,
            ),
        ];
        if let Some((field, _)) = misplaced.into_iter().find(|(_, wrong)| *wrong) {
            let problem = format!("not allowed in a message of role {}", role.as_str());
            return Err(self.wrong(field, &problem));
        }
        if wire.function_call.is_some() {
            return Err(self.wrong("function_call", "deprecated; use tool_calls"));
        }
        Ok(())
    }

    fn prompt(self, role: Role, wire: WireMessage<'_>) -> Result<Vec<Part>, Error> {
        match wire.content {
            None => Err(self.wrong("content", "this field is required")),
            Some(Content::Text(text)) => Ok(vec![Part::Text(text.into_string())]),
            Some(Content::Parts(parts)) => parts
                .0
                .into_iter()
                .enumerate()
                .map(|(index, part)| self.part(role, index, part))
                .collect(),
        }
    }

    fn assistant(self, wire: WireMessage<'_>) -> Result<Vec<Part>, Error> {
        let mut parts = match wire.reasoning_details {
            Some(details) => reasoning_details::read(details)
                .map_err(|problem| self.wrong("reasoning_details", problem))?,
            None => Vec::new(),
        };
        let shown = wire.reasoning_content.or(wire.reasoning);
        // Thoughts with their state hold the text that is shown beside them.
        if let (Some(text), true) = (shown, parts.is_empty()) {
            parts.push(Part::Reasoning {
                text: text.into_string(),
                opaque: Vec::new(),
            });
        }
        match wire.content {
            Some(Content::Text(text)) => parts.push(match wire.citations {
                Some(sources) => citations::returned(text.into_string(), sources)
                    .map_err(|problem| self.wrong("citations", problem))?,
                None => Part::Text(text.into_string()),
            }),
            Some(Content::Parts(_)) if wire.citations.is_some() => {
                return Err(self.wrong("citations", "content must be the text they came with"));
            }
            Some(Content::Parts(list)) => {
                for (index, part) in list.0.into_iter().enumerate() {
                    parts.push(self.part(Role::Assistant, index, part)?);
                }
            }
            None => {}
        }
        if let Some(spoken) = wire.audio {
            parts.push(self.spoken(spoken)?);
        }
        if let Some(refusal) = wire.refusal {
            parts.push(Part::Refusal(refusal.into_string()));
        }
        for (index, call) in wire
            .tool_calls
            .unwrap_or_default()
            .0
            .into_iter()
            .enumerate()
        {
            parts.push(Part::ToolCall(self.tool_call(index, call)?));
        }
        Ok(parts)
    }

    /// Sound of an earlier answer. One that its maker does not know any more may still be told by its words.
    fn spoken(self, spoken: Spoken<'_>) -> Result<Part, Error> {
        let text = |text: Option<Text<'_>>| text.map(Text::into_string).unwrap_or_default();
        let (id, transcript) = (text(spoken.id), text(spoken.transcript));
        if id.is_empty() && transcript.is_empty() {
            return Err(self.wrong("audio.id", "this field is required"));
        }
        Ok(Part::Audio(Audio {
            id: (!id.is_empty()).then_some(id),
            transcript,
            ..Audio::default()
        }))
    }

    fn tool_call(self, index: usize, call: WholeCall<'_>) -> Result<ToolCall, Error> {
        let missing = |field: &str| {
            self.wrong(
                format!("tool_calls[{index}].{field}"),
                "this field is required",
            )
        };
        if call.kind.is_some_and(|kind| kind.as_str() != "function") {
            let field = format!("tool_calls[{index}].type");
            return Err(self.wrong(field, "only calls of type \"function\" are supported"));
        }
        let function = call.function.ok_or_else(|| missing("function"))?;
        Ok(ToolCall {
            id: call.id.ok_or_else(|| missing("id"))?.into_string(),
            name: function
                .name
                .ok_or_else(|| missing("function.name"))?
                .into_string(),
            arguments: function
                .arguments
                .map(Text::into_string)
                .unwrap_or_default(),
            opaque: call
                .extra_content
                .and_then(extra_content::read)
                .into_iter()
                .collect(),
        })
    }

    fn tool_result(self, wire: WireMessage<'_>) -> Result<Part, Error> {
        let Some(id) = wire.tool_call_id else {
            return Err(self.wrong("tool_call_id", "required in a message of role tool"));
        };
        let parts = match wire.content {
            None => return Err(self.wrong("content", "this field is required")),
            Some(Content::Text(text)) => vec![Part::Text(text.into_string())],
            Some(Content::Parts(list)) => list
                .0
                .into_iter()
                .enumerate()
                .map(|(index, part)| self.part(Role::Tool, index, part))
                .collect::<Result<_, _>>()?,
        };
        Ok(Part::ToolResult {
            tool_call_id: id.into_string(),
            parts,
            is_error: false,
        })
    }

    fn part(self, role: Role, index: usize, part: ContentPart<'_>) -> Result<Part, Error> {
        let path = |field: &str| format!("content[{index}].{field}");
        let missing = |field: &str| self.wrong(path(field), "this field is required");
        match (part.kind.as_str(), role) {
            ("text", _) => Ok(Part::Text(
                part.text.ok_or_else(|| missing("text"))?.into_string(),
            )),
            ("refusal", Role::Assistant) => {
                let refusal = part.refusal.ok_or_else(|| missing("refusal"))?;
                Ok(Part::Refusal(refusal.into_string()))
            }
            ("image_url", Role::User) => {
                let image = part.image_url.ok_or_else(|| missing("image_url"))?;
                let source = data_url::read(image.url.as_str())
                    .map_err(|problem| self.wrong(path("image_url.url"), problem))?;
                Ok(Part::Image(Image {
                    source,
                    detail: image.detail.map(Text::into_string),
                }))
            }
            ("input_audio", Role::User) => {
                let audio = part.input_audio.ok_or_else(|| missing("input_audio"))?;
                let data = data_url::base64(audio.data.as_str())
                    .map_err(|problem| self.wrong(path("input_audio.data"), problem))?;
                Ok(Part::Audio(Audio {
                    data,
                    format: audio.format.into_string(),
                    ..Audio::default()
                }))
            }
            ("file", Role::User) => {
                let file = part.file.ok_or_else(|| missing("file"))?;
                self.file(index, file)
            }
            _ => {
                let problem = format!(
                    "not a type of content that a {} message may hold",
                    role.as_str()
                );
                Err(self.wrong(path("type"), &problem))
            }
        }
    }

    fn file(self, index: usize, file: File<'_>) -> Result<Part, Error> {
        let path = |field: &str| format!("content[{index}].file.{field}");
        if let Some(id) = file.file_id {
            if file.file_data.is_some() {
                let problem = "either the file or its id; leave one out";
                return Err(self.wrong(path("file_data"), problem));
            }
            let stored_file = StoredFile {
                id: id.into_string(),
                mime: file.format.map(Text::into_string),
                owner: file.provider.map(Text::into_string),
            };
            return Ok(stored(stored_file, file.filename));
        }
        let data = file
            .file_data
            .ok_or_else(|| self.wrong(path("file_data"), "this field is required"))?;
        let source = data_url::read(data.as_str())
            .map_err(|problem| self.wrong(path("file_data"), problem))?;
        if matches!(source, Source::Url(_)) {
            return Err(self.wrong(path("file_data"), "expected a base64 data URL"));
        }
        Ok(Part::Document(Document {
            source: DocumentSource::File(source),
            title: file.filename.map(Text::into_string),
            citations: false,
        }))
    }
}

/// A file that a provider keeps: a picture where its type says so, else a document.
fn stored(file: StoredFile, title: Option<Text<'_>>) -> Part {
    let is_image = file
        .mime
        .as_deref()
        .is_some_and(|it| it.starts_with("image/"));
    let source = Source::Stored(file);
    if is_image {
        return Part::Image(Image {
            source,
            detail: None,
        });
    }
    Part::Document(Document {
        source: DocumentSource::File(source),
        title: title.map(Text::into_string),
        citations: false,
    })
}

#[cfg(test)]
mod tests;
