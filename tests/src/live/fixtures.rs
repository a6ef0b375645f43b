//! The shapes of all answers that the codecs are tested with, by kind of provider and interface.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::recorder::Answer;
use super::shape::Shape;

/// What an answer is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Interface {
    Chat,
    ChatStream,
    Responses,
    ResponsesStream,
    Embeddings,
    Error,
}

use Interface::{Chat, ChatStream, Embeddings, Error, Responses, ResponsesStream};

/// Kinds that speak OpenAI's format, with what was seen of it.
const OPENAI: &str = "openai azure_openai openai_compatible";

/// Kinds of provider, and the samples in `crates/provider/samples` of what they answer over an interface.
const SAMPLES: [(&str, Interface, &str); 24] = [
    (OPENAI, ChatStream, "text.sse tools.sse"),
    (
        OPENAI,
        Responses,
        "responses/answer.json responses/failed.json",
    ),
    (
        OPENAI,
        ResponsesStream,
        "responses/text.sse responses/tools.sse",
    ),
    (OPENAI, Embeddings, "embeddings/openai.json"),
    (OPENAI, Error, "error.json"),
    ("openai_compatible", Chat, "answer.json"),
    ("openai_compatible", ChatStream, "two_choices.sse"),
    (
        "openai_compatible",
        Embeddings,
        "embeddings/compatible.json",
    ),
    ("azure_openai", ChatStream, "azure.sse"),
    (
        "anthropic",
        ChatStream,
        "anthropic_text.sse anthropic_tools.sse",
    ),
    ("anthropic", Error, "errors/anthropic.json"),
    (
        "gemini",
        ChatStream,
        "gemini_text.sse gemini_tools.sse gemini_two_candidates.sse",
    ),
    ("gemini", Embeddings, "embeddings/gemini.json"),
    ("gemini", Error, "errors/gemini.json"),
    ("mistral", ChatStream, "mistral.sse"),
    ("mistral", Embeddings, "embeddings/mistral.json"),
    ("mistral", Error, "errors/mistral.json"),
    ("cohere", Chat, "cohere/answer.json"),
    (
        "cohere",
        ChatStream,
        "cohere/text.sse cohere/thinking.sse cohere/tools.sse",
    ),
    ("cohere", Embeddings, "embeddings/cohere.json"),
    ("cohere", Error, "cohere/error.json"),
    ("bedrock", ChatStream, "bedrock_text.sse bedrock_tools.sse"),
    (
        "bedrock",
        Embeddings,
        "embeddings/bedrock_cohere.json embeddings/bedrock_titan.json",
    ),
    ("bedrock", Error, "errors/bedrock.json"),
];

/// Shapes by interface.
#[derive(Debug, Default)]
pub(super) struct Shapes(BTreeMap<Interface, Shape>);

impl Interface {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Chat => "chat",
            ChatStream => "chat, streamed",
            Responses => "responses",
            ResponsesStream => "responses, streamed",
            Embeddings => "embeddings",
            Error => "errors",
        }
    }

    /// What an answer is one of, by where it came from.
    fn of(answer: &Answer) -> Self {
        let last = answer.path.rsplit(['/', ':']).next().unwrap_or_default();
        let streamed = answer.media_type.contains("event");
        match last {
            _ if !answer.status.is_success() => Error,
            "embeddings" | "embed" | "batchEmbedContents" | "embedContent" | "predict"
            | "invoke" => Embeddings,
            "responses" if streamed => ResponsesStream,
            "responses" => Responses,
            _ if streamed => ChatStream,
            _ => Chat,
        }
    }
}

impl Shapes {
    /// Those of a kind's fixtures.
    ///
    /// # Errors
    /// A fixture cannot be read.
    pub(super) fn of_fixtures(kind: &str) -> anyhow::Result<Self> {
        let mut shapes = Self::default();
        for (kinds, interface, files) in SAMPLES {
            let ours = kinds.split(' ').any(|it| it == kind);
            for file in files.split(' ').filter(|_| ours) {
                let shape = shapes.0.entry(interface).or_default();
                let path = crates().join("provider/samples").join(file);
                let problem = || format!("read {}", path.display());
                let body = std::fs::read(&path).with_context(problem)?;
                match file.ends_with(".sse") {
                    true => shape.read_events(&body),
                    false => shape.read(&body),
                }
                .with_context(problem)?;
            }
        }
        for file in std::fs::read_dir(crates().join("node/golden/answers"))? {
            let path = file?.path();
            if path.extension().is_some_and(|it| it == "json") {
                let golden = serde_json::from_slice(&std::fs::read(&path)?)
                    .with_context(|| format!("read {}", path.display()))?;
                shapes.add_golden(kind, &golden);
            }
        }
        Ok(shapes)
    }

    /// Those of a provider's answers, and what of them could not be read.
    pub(super) fn of_answers(answers: &[Answer]) -> (Self, Vec<String>) {
        let (mut shapes, mut unread) = (Self::default(), Vec::new());
        for answer in answers {
            let interface = Interface::of(answer);
            let shape = shapes.0.entry(interface).or_default();
            let read = match answer.media_type.as_str() {
                it if it.contains("text/event-stream") => shape.read_events(&answer.body),
                it if it.contains("amazon.eventstream") => shape.read_binary_events(&answer.body),
                _ => shape.read(&answer.body),
            };
            if let Err(error) = read {
                unread.push(format!("{}: {error:#}", interface.as_str()));
            }
        }
        (shapes, unread)
    }

    /// The shape over each interface that was met.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Interface, &Shape)> {
        self.0.iter().map(|(interface, shape)| (*interface, shape))
    }

    pub(super) fn get(&self, interface: Interface) -> Option<&Shape> {
        self.0.get(&interface)
    }

    /// Adds the answers of a golden file: by kind of provider, the `whole` and the events of its `stream`.
    fn add_golden(&mut self, kind: &str, golden: &Value) {
        let speaks_openai = OPENAI.split(' ').any(|it| it == kind);
        let chat = if speaks_openai { "openai" } else { kind };
        let mut columns = vec![(chat, Chat, ChatStream)];
        if speaks_openai {
            columns.push(("openai, Responses", Responses, ResponsesStream));
        }
        for (column, whole, stream) in columns {
            let Some(answer) = golden.get(column) else {
                continue;
            };
            self.0.entry(whole).or_default().add(&answer["whole"]);
            let shape = self.0.entry(stream).or_default();
            for event in answer["stream"].as_array().into_iter().flatten() {
                match event.as_object() {
                    // An object of one field: the event's name and its payload.
                    Some(event) if kind == "bedrock" => event
                        .iter()
                        .for_each(|(name, payload)| shape.add_event(name, payload)),
                    _ => shape.add_event("", event),
                }
            }
        }
    }
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(path: &str, status: u16, media_type: &str) -> Interface {
        Interface::of(&Answer {
            path: path.to_owned(),
            status: status.try_into().unwrap(),
            media_type: media_type.to_owned(),
            body: Vec::new(),
        })
    }

    #[test]
    fn answers_are_told_apart_by_where_they_come_from() {
        let (json, sse) = ("application/json", "text/event-stream; charset=utf-8");
        let binary = "application/vnd.amazon.eventstream";
        for (path, status, media_type, expect) in [
            ("/v1/chat/completions", 200, json, Chat),
            ("/v1/chat/completions", 200, sse, ChatStream),
            ("/v1/chat/completions", 404, json, Error),
            ("/v1/responses", 200, json, Responses),
            ("/v1/responses", 200, sse, ResponsesStream),
            ("/v1beta/models/m:generateContent", 200, json, Chat),
            ("/v1beta/models/m:batchEmbedContents", 200, json, Embeddings),
            ("/model/m/converse-stream", 200, binary, ChatStream),
            ("/model/m/invoke", 200, json, Embeddings),
        ] {
            assert_eq!(answer(path, status, media_type), expect, "{path}");
        }
    }

    #[test]
    fn every_kind_has_fixtures_of_all_its_interfaces() {
        for (kind, interfaces) in [
            (
                "openai",
                &[
                    Chat,
                    ChatStream,
                    Responses,
                    ResponsesStream,
                    Embeddings,
                    Error,
                ][..],
            ),
            ("anthropic", &[Chat, ChatStream, Error]),
            ("gemini", &[Chat, ChatStream, Embeddings, Error]),
            ("mistral", &[Chat, ChatStream, Embeddings, Error]),
            ("cohere", &[Chat, ChatStream, Embeddings, Error]),
            ("bedrock", &[Chat, ChatStream, Embeddings, Error]),
        ] {
            let shapes = Shapes::of_fixtures(kind).unwrap();
            let met: Vec<_> = shapes.iter().map(|(interface, _)| interface).collect();
            assert_eq!(met, interfaces, "{kind}");
        }
    }
}
