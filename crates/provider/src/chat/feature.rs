//! What a request asks of a model that not every model takes.

use super::{Message, Modality, Part, Request, ResponseFormat};

/// Something that not every model takes, whatever its provider's interface has words for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Pictures in the conversation.
    Images,
    /// Files in the conversation.
    Documents,
    /// Sound in the conversation, or as an answer.
    Audio,
    /// Tools, the caller's or the provider's.
    Tools,
    /// An answer that follows a schema.
    JsonSchema,
    /// How much to think.
    Reasoning,
}

impl Feature {
    /// What it is called in a refusal.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Documents => "documents",
            Self::Audio => "audio",
            Self::Tools => "tools",
            Self::JsonSchema => "a JSON schema",
            Self::Reasoning => "reasoning settings",
        }
    }
}

impl Request {
    /// The first field by which the request asks for that, if it does.
    #[must_use]
    pub fn field_of(&self, feature: Feature) -> Option<String> {
        let named = |asks: bool, field: &str| asks.then(|| field.to_owned());
        match feature {
            Feature::Images => self.part(|part| matches!(part, Part::Image(_))),
            Feature::Documents => self.part(|part| matches!(part, Part::Document(_))),
            Feature::Audio => {
                let heard = self.part(|part| matches!(part, Part::Audio(_)));
                let asked = self.modalities.contains(&Modality::Audio);
                heard.or_else(|| named(asked, "modalities"))
            }
            Feature::Tools => named(!self.tools.is_empty(), "tools"),
            Feature::JsonSchema => {
                let schema = matches!(self.response_format, Some(ResponseFormat::JsonSchema(_)));
                named(schema, "response_format")
            }
            Feature::Reasoning => named(self.reasoning.is_some(), "reasoning"),
        }
    }

    /// The first part of a message that is of a kind, or the result of a tool that holds one.
    fn part(&self, is: fn(&Part) -> bool) -> Option<String> {
        let within = |message: &Message| {
            message.parts.iter().position(|part| {
                if let Part::ToolResult { parts, .. } = part {
                    return parts.iter().any(is);
                }
                is(part)
            })
        };
        let mut messages = self.messages.iter().enumerate();
        messages.find_map(|(index, message)| {
            let at = within(message)?;
            Some(format!("messages[{index}].parts[{at}]"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Image, ProviderTool, Reasoning, Role, Source, Tool};

    fn request(parts: Vec<Part>) -> Request {
        let message = |parts| Message {
            role: Role::User,
            name: None,
            parts,
        };
        Request {
            messages: vec![message(vec![Part::Text("hello".into())]), message(parts)],
            ..Request::default()
        }
    }

    #[test]
    fn each_feature_is_named_by_the_field_that_asks_for_it() {
        let image = || {
            Part::Image(Image {
                source: Source::Url("https://example.test/a.png".into()),
                detail: None,
            })
        };
        let result = Part::ToolResult {
            tool_call_id: "c".into(),
            parts: vec![image()],
            is_error: false,
        };
        let plain = request(vec![]);
        let tool = Tool::Provider(ProviderTool {
            kind: "web_search".into(),
            settings: serde_json::Map::new(),
            provider: None,
        });
        for (request, feature, field) in [
            (
                request(vec![image()]),
                Feature::Images,
                "messages[1].parts[0]",
            ),
            (
                request(vec![result]),
                Feature::Images,
                "messages[1].parts[0]",
            ),
            (
                Request {
                    modalities: vec![Modality::Audio],
                    ..plain.clone()
                },
                Feature::Audio,
                "modalities",
            ),
            (
                Request {
                    tools: vec![tool],
                    ..plain.clone()
                },
                Feature::Tools,
                "tools",
            ),
            (
                Request {
                    reasoning: Some(Reasoning::default()),
                    ..plain.clone()
                },
                Feature::Reasoning,
                "reasoning",
            ),
        ] {
            assert_eq!(request.field_of(feature).as_deref(), Some(field));
            assert_eq!(request.field_of(Feature::Documents), None);
            assert_eq!(plain.field_of(feature), None);
        }
    }
}
