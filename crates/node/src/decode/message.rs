//! Messages and their parts.

use tollgate_proto::completion::v1 as wire;
use tollgate_provider::chat::{
    Audio, Citation, Document, DocumentSource, Image, Message, Opaque, Part, Role, Source,
    StoredFile, ToolCall,
};

use super::{Faults, filled};

/// Most parts of one message.
const MOST_PARTS: usize = 10_000;

pub(super) fn message(wire: wire::Message, path: &str, faults: &mut Faults) -> Option<Message> {
    let role = match wire::Role::try_from(wire.role) {
        Ok(wire::Role::System) => Role::System,
        Ok(wire::Role::Developer) => Role::Developer,
        Ok(wire::Role::User) => Role::User,
        Ok(wire::Role::Assistant) => Role::Assistant,
        Ok(wire::Role::Tool) => Role::Tool,
        Ok(wire::Role::Unspecified) | Err(_) => {
            faults.add(
                format!("{path}.role"),
                "must be system, developer, user, assistant or tool",
            );
            return None;
        }
    };
    let parts = parts(wire.parts, role, path, faults);
    Some(Message {
        role,
        parts,
        name: filled(wire.name),
    })
}

fn parts(wire: Vec<wire::Part>, role: Role, path: &str, faults: &mut Faults) -> Vec<Part> {
    if wire.is_empty() {
        faults.add(format!("{path}.parts"), "must hold at least one part");
    }
    if wire.len() > MOST_PARTS {
        faults.add(format!("{path}.parts"), "must hold at most 10000 parts");
        return Vec::new();
    }
    let decode = |(index, one): (usize, wire::Part)| {
        let path = format!("{path}.parts[{index}]");
        let decoded = part(one, &path, faults)?;
        if let Some(problem) = misplaced(&decoded, role) {
            faults.add(format!("{path}.{}", decoded.kind()), problem);
            return None;
        }
        Some(decoded)
    };
    wire.into_iter().enumerate().filter_map(decode).collect()
}

/// What is wrong with a part in a message of that role.
fn misplaced(part: &Part, role: Role) -> Option<&'static str> {
    match (part, role) {
        (
            Part::Cited { .. } | Part::ToolCall(_) | Part::Reasoning { .. } | Part::Refusal(_),
            Role::Assistant,
        )
        | (Part::ToolResult { .. }, Role::Tool) => None,
        (Part::Cited { .. }, _) => Some("may have citations in messages of role assistant only"),
        (Part::ToolCall(_) | Part::Reasoning { .. } | Part::Refusal(_), _) => {
            Some("is only allowed in messages of role assistant")
        }
        (Part::ToolResult { .. }, _) => Some("is only allowed in messages of role tool"),
        (Part::Audio(audio), role) if audio.data.is_empty() && role != Role::Assistant => {
            Some("may be sound that a provider keeps in messages of role assistant only")
        }
        (_, Role::Tool) => Some("is not allowed in messages of role tool, which hold tool results"),
        _ => None,
    }
}

fn part(wire: wire::Part, path: &str, faults: &mut Faults) -> Option<Part> {
    use wire::part::Part as Kind;
    // Cache hints are read apart, by their place.
    match wire.part {
        Some(Kind::Text(text)) => Some(cited(text, wire.citations)),
        Some(Kind::Image(wire)) => image(wire, path, faults).map(Part::Image),
        Some(Kind::Audio(audio)) => audio_part(audio, path, faults),
        Some(Kind::Document(document)) => document_part(document, path, faults),
        Some(Kind::ToolCall(call)) => tool_call(call, path, faults),
        Some(Kind::ToolResult(result)) => tool_result(result, path, faults),
        Some(Kind::Reasoning(reasoning)) => Some(Part::Reasoning {
            text: reasoning.text,
            opaque: reasoning.provider_state.into_iter().map(opaque).collect(),
        }),
        Some(Kind::Refusal(text)) => Some(Part::Refusal(text)),
        None => {
            faults.add(path, "must be one kind of part");
            None
        }
    }
}

/// A text of an earlier answer with its sources. Those without state of a provider's tell no provider anything, and
/// leaving them out changes no answer.
fn cited(text: String, sources: Vec<wire::Citation>) -> Part {
    let sources = sources.into_iter().filter_map(|source| {
        Some(Citation {
            passage: source.start..source.end,
            opaque: Some(opaque(source.provider_state?)),
            ..Citation::default()
        })
    });
    let citations: Vec<_> = sources.collect();
    if citations.is_empty() {
        Part::Text(text)
    } else {
        Part::Cited { text, citations }
    }
}

pub(super) fn image(wire: wire::Image, path: &str, faults: &mut Faults) -> Option<Image> {
    use wire::image::Source as From;
    let source = match wire.source {
        Some(From::Url(url)) => {
            Source::Url(web_address(url, &format!("{path}.image.url"), faults)?)
        }
        Some(From::Data(data)) => bytes(data, wire.media_type, &format!("{path}.image"), faults)?,
        Some(From::FileId(id)) => {
            let path = format!("{path}.image");
            stored(id, wire.media_type, wire.provider, &path, faults)?
        }
        None => {
            faults.add(format!("{path}.image"), "must have a url, data or file_id");
            return None;
        }
    };
    let detail = match wire::ImageDetail::try_from(wire.detail) {
        Ok(wire::ImageDetail::Unspecified) => None,
        Ok(wire::ImageDetail::Low) => Some("low".to_owned()),
        Ok(wire::ImageDetail::High) => Some("high".to_owned()),
        Ok(wire::ImageDetail::Auto) => Some("auto".to_owned()),
        Err(_) => {
            faults.add(format!("{path}.image.detail"), "must be low, high or auto");
            return None;
        }
    };
    Some(Image { source, detail })
}

fn audio_part(wire: wire::Audio, path: &str, faults: &mut Faults) -> Option<Part> {
    let path = format!("{path}.audio");
    let kept = !wire.id.is_empty() || !wire.transcript.is_empty();
    if wire.data.is_empty() && !kept {
        faults.add(
            path,
            "must have data, or the id of sound that a provider keeps",
        );
        return None;
    }
    let format = match wire.media_type.as_str() {
        "" if kept => "",
        "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
        "audio/mpeg" | "audio/mp3" => "mp3",
        other => match other.strip_prefix("audio/") {
            Some(format) if !format.is_empty() => format,
            _ => {
                faults.add(
                    format!("{path}.media_type"),
                    "must be a type such as audio/wav",
                );
                return None;
            }
        },
    };
    let format = format.to_owned();
    Some(Part::Audio(Audio {
        data: wire.data,
        format,
        id: filled(wire.id),
        expires_at: wire
            .expires_at
            .and_then(|at| u64::try_from(at.seconds).ok()),
        transcript: wire.transcript,
    }))
}

fn document_part(wire: wire::Document, path: &str, faults: &mut Faults) -> Option<Part> {
    use wire::document::Source as From;
    let path = format!("{path}.document");
    let source = match wire.source {
        Some(From::Url(url)) => DocumentSource::File(Source::Url(web_address(
            url,
            &format!("{path}.url"),
            faults,
        )?)),
        Some(From::Data(data)) => {
            DocumentSource::File(bytes(data, wire.media_type, &path, faults)?)
        }
        Some(From::Text(text)) => DocumentSource::Text {
            text,
            mime: filled(wire.media_type).unwrap_or_else(|| "text/plain".to_owned()),
        },
        Some(From::FileId(id)) => {
            DocumentSource::File(stored(id, wire.media_type, wire.provider, &path, faults)?)
        }
        None => {
            faults.add(path, "must have a url, data, text or file_id");
            return None;
        }
    };
    Some(Part::Document(Document {
        source,
        title: filled(wire.title),
        citations: wire.citations,
    }))
}

fn tool_call(wire: wire::ToolCall, path: &str, faults: &mut Faults) -> Option<Part> {
    for (field, value) in [("id", &wire.id), ("name", &wire.name)] {
        if value.is_empty() {
            faults.add(format!("{path}.tool_call.{field}"), "must not be empty");
            return None;
        }
    }
    Some(Part::ToolCall(ToolCall {
        id: wire.id,
        name: wire.name,
        arguments: wire.arguments_json,
        opaque: wire.provider_state.into_iter().map(opaque).collect(),
    }))
}

fn tool_result(wire: wire::ToolResult, path: &str, faults: &mut Faults) -> Option<Part> {
    let path = format!("{path}.tool_result");
    if wire.tool_call_id.is_empty() {
        faults.add(
            format!("{path}.tool_call_id"),
            "must be the id of the call that this answers",
        );
        return None;
    }
    let mut parts = Vec::with_capacity(wire.parts.len());
    for (index, one) in wire.parts.into_iter().enumerate() {
        let path = format!("{path}.parts[{index}]");
        let allowed = matches!(
            one.part,
            Some(
                wire::part::Part::Text(_)
                    | wire::part::Part::Image(_)
                    | wire::part::Part::Document(_)
            )
        );
        if !allowed {
            // Checked before it is decoded, so that results within results do not nest.
            faults.add(path, "must be a text, an image or a document");
            continue;
        }
        parts.extend(part(one, &path, faults));
    }
    Some(Part::ToolResult {
        tool_call_id: wire.tool_call_id,
        parts,
        is_error: wire.is_error,
    })
}

fn opaque(wire: wire::ProviderState) -> Opaque {
    Opaque {
        provider: wire.provider,
        kind: wire.kind,
        bytes: wire.data,
    }
}

/// The provider fetches the address, never this gateway; other schemes could mean files of its own.
fn web_address(url: String, path: &str, faults: &mut Faults) -> Option<String> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Some(url);
    }
    faults.add(
        path,
        "must begin with https:// or http://; send content as data",
    );
    None
}

fn bytes(
    data: bytes::Bytes,
    media_type: String,
    path: &str,
    faults: &mut Faults,
) -> Option<Source> {
    if data.is_empty() {
        faults.add(format!("{path}.data"), "must not be empty");
        return None;
    }
    if !media_type.contains('/') {
        faults.add(
            format!("{path}.media_type"),
            "must be a media type such as image/png",
        );
        return None;
    }
    Some(Source::Bytes {
        mime: media_type,
        data,
    })
}

/// A file that a provider keeps.
fn stored(
    id: String,
    media_type: String,
    provider: String,
    path: &str,
    faults: &mut Faults,
) -> Option<Source> {
    if id.is_empty() {
        faults.add(format!("{path}.file_id"), "must not be empty");
        return None;
    }
    Some(Source::Stored(StoredFile {
        id,
        mime: filled(media_type),
        owner: filled(provider),
    }))
}
