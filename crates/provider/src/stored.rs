//! Files that providers keep.

use crate::Error;
use crate::chat::{Document, DocumentSource, Image, Message, Part, Source, StoredFile};
use crate::codec::{Kind, Target};

impl StoredFile {
    /// Whether that provider can know it.
    pub(crate) fn is_at(&self, kind: Kind, target: &Target<'_>) -> bool {
        let owner = self.owner.as_deref();
        owner.is_none_or(|owner| owner == kind.as_str() || owner == target.provider)
    }
}

/// Refuses a conversation with a file that another provider keeps. It cannot be left out: it is what is talked about.
///
/// # Errors
/// `Error::Unsupported` naming the part.
pub(crate) fn check(messages: &[Message], kind: Kind, target: &Target<'_>) -> Result<(), Error> {
    for (index, message) in messages.iter().enumerate() {
        for (at, part) in message.parts.iter().enumerate() {
            let parts = if let Part::ToolResult { parts, .. } = part {
                parts.as_slice()
            } else {
                std::slice::from_ref(part)
            };
            let mut files = parts.iter().filter_map(file);
            if files.any(|file| !file.is_at(kind, target)) {
                return Err(Error::Unsupported {
                    field: format!("messages[{index}].parts[{at}]"),
                    kind: kind.as_str(),
                    problem: "the file is kept by another provider",
                });
            }
        }
    }
    Ok(())
}

fn file(part: &Part) -> Option<&StoredFile> {
    let source = if let Part::Image(Image { source, .. }) = part {
        source
    } else if let Part::Document(Document {
        source: DocumentSource::File(source),
        ..
    }) = part
    {
        source
    } else {
        return None;
    };
    match source {
        Source::Stored(file) => Some(file),
        Source::Url(_) | Source::Bytes { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    /// A message with a file inside the result of a tool, kept by whom.
    fn with_file(owner: Option<&str>) -> Vec<Message> {
        let source = Source::Stored(StoredFile {
            id: "file-1".to_owned(),
            mime: None,
            owner: owner.map(str::to_owned),
        });
        let image = Part::Image(Image {
            source,
            detail: None,
        });
        vec![Message {
            role: Role::Tool,
            parts: vec![Part::ToolResult {
                tool_call_id: "1".to_owned(),
                parts: vec![Part::Text("see".to_owned()), image],
                is_error: false,
            }],
            name: None,
        }]
    }

    #[test]
    fn a_file_is_known_to_its_own_provider_only() {
        let target = Target {
            provider: "my-claude",
            ..Target::of("m")
        };
        for (owner, known) in [
            (None, true),
            (Some("my-claude"), true),
            (Some("anthropic"), true),
            (Some("openai"), false),
            (Some("other-claude"), false),
        ] {
            let checked = check(&with_file(owner), Kind::Anthropic, &target);
            assert_eq!(checked.is_ok(), known, "{owner:?}");
            if let Err(error) = checked {
                assert_eq!(error.field(), Some("messages[0].parts[0]"));
            }
        }
    }
}
