//! How many tokens a text or a request has.
//!
//! For reservations, which want to be high rather than low, and for the bill of a stream whose
//! provider did not report usage. An estimate needs no dictionary; exact counts are there for models whose dictionary
//! is public.

mod exact;
mod text;

pub use exact::{Encoding, Tokeniser};

use std::sync::Arc;

use crate::chat::{
    Audio, Document, DocumentSource, Image, Message, Opaque, Part, Request, ResponseFormat, Source,
    Tool,
};
use crate::embeddings::{self, Input};

/// What the frame of a conversation costs: the marks around it and the start of the answer.
const PER_REQUEST: u64 = 8;
/// What the frame of a message costs: its role and the marks around it. `OpenAI` documents 3, plus 1
/// for a name.
const PER_MESSAGE: u64 = 5;
/// What the frame of a tool, a tool call or a schema costs.
const PER_TOOL: u64 = 12;
/// A picture at low detail. `OpenAI` documents 85 for most models.
const PER_SMALL_IMAGE: u64 = 100;
/// A picture at any other detail, whatever its size: the most that `OpenAI`'s tiles (85 + 8 × 170)
/// and Anthropic's formula (about 1 568) come to.
const PER_IMAGE: u64 = 1_600;
/// A document by address, whose length nobody knows before the provider has fetched it.
const PER_UNSEEN_DOCUMENT: u64 = 10_000;
/// What a provider tells the model of a tool that it runs itself.
const PER_PROVIDER_TOOL: u64 = 500;
/// Sound that a provider keeps, whose length nobody else knows: a minute of it at 20 tokens a second.
const PER_UNHEARD_SOUND: u64 = 1_200;
/// Bytes of a document file per token: a page of about 20 KB costs its text and its picture.
const DOCUMENT_BYTES_PER_TOKEN: u64 = 10;
/// Bytes of a provider's state per token: encrypted, then written as base64.
const STATE_BYTES_PER_TOKEN: u64 = 4;
/// Bytes of uncompressed sound per token: 32 KB a second at 32 tokens a second.
const RAW_AUDIO_BYTES_PER_TOKEN: u64 = 1_000;
/// Bytes of compressed sound per token: 4 KB a second at 32 tokens a second.
const AUDIO_BYTES_PER_TOKEN: u64 = 125;

/// Estimates the tokens of a text in one pass over its bytes, about 200 MB/s.
///
/// Compared with `o200k`, the encoder of `OpenAI`'s current models, in windows of 2 000 characters
/// (estimate divided by true count; over all the text, then the lowest window):
///
/// | text | all | lowest | | text | all | lowest |
/// |---|---|---|---|---|---|---|
/// | English prose, messages, manuals | 1.18–1.26 | 1.09 | | German | 1.25 | 1.16 |
/// | Rust, Python, Perl, C, shell | 1.2–1.4 | 1.03 | | French, Spanish, Italian | 1.1–1.2 | 1.04 |
/// | JSON | 1.2–1.4 | 1.2 | | Finnish, Hungarian, Czech, Polish | 1.1–1.2 | 1.01 |
/// | HTML, logs, URLs, UUIDs | 1.06–1.35 | 1.04 | | Russian, Ukrainian | 1.4–1.5 | 1.2 |
/// | random base64, hex, letters and digits | 1.02–1.05 | 1.00 | | Chinese | 1.1–1.3 | 1.01 |
/// | random letters | 1.1–2.0 | 1.07 | | Japanese, Korean | 1.3–1.4 | 1.18 |
/// | emoji | 1.1–2.5 | 1.09 | | Arabic, Hebrew, Hindi, Thai, … | 1.1–1.4 | 1.08 |
/// | one character repeated | 1.0–13 | 1.00 | | random symbols of any kind | 1.03–1.4 | 1.02 |
///
/// It is too low in one case found: text made of characters that hardly occur in writing, such as a
/// random pick of all Chinese characters (0.5) or of all Korean syllables (0.4). Other encoders
/// differ: `cl100k`, of models before 2024, needs as many tokens for English and code, about a
/// quarter more for Chinese and Slavic languages, and up to 3.5 times as many for Indian ones,
/// Georgian and Armenian.
#[must_use]
pub fn count_text(text: &str) -> u64 {
    text::count(text)
}

/// Estimates the prompt tokens of a request: `count_text` of everything readable in it, plus a
/// fixed price for each frame and picture, and one by size for sound and documents.
#[must_use]
pub fn estimate_request(request: &Request) -> u64 {
    Counter::Estimate.request(request)
}

/// How tokens of text are counted.
#[derive(Debug, Clone, Default)]
pub enum Counter {
    /// By [`count_text`].
    #[default]
    Estimate,
    /// By the model's own tokeniser.
    Exact(Arc<Tokeniser>),
}

impl Counter {
    /// Counts the tokens of a text.
    #[must_use]
    pub fn text(&self, text: &str) -> u64 {
        match self {
            Self::Estimate => count_text(text),
            Self::Exact(tokeniser) => tokeniser.count(text),
        }
    }

    /// Counts the prompt tokens of a request: everything readable in it, and what [`estimate_request`] adds for the
    /// rest, which stays an estimate.
    #[must_use]
    pub fn request(&self, request: &Request) -> u64 {
        let messages: u64 = request.messages.iter().map(|it| self.message(it)).sum();
        let tools: u64 = request.tools.iter().map(|it| self.tool(it)).sum();
        let format = match &request.response_format {
            Some(ResponseFormat::JsonSchema(schema)) => {
                let text = schema
                    .schema
                    .as_ref()
                    .map_or(0, |json| self.text(json.get()));
                PER_TOOL
                    + self.text(&schema.name)
                    + self.maybe(schema.description.as_deref())
                    + text
            }
            Some(ResponseFormat::JsonObject | ResponseFormat::Text) | None => 0,
        };
        PER_REQUEST + messages + tools + format
    }

    /// Counts the tokens of what is to be embedded. There is no frame around it.
    #[must_use]
    pub fn embeddings(&self, request: &embeddings::Request) -> u64 {
        let input = |input: &Input| match input {
            Input::Text(text) => self.text(text),
            Input::Tokens(tokens) => tokens.len() as u64,
            Input::Image(image) => of_image(image),
        };
        request.inputs.iter().map(input).sum()
    }

    fn maybe(&self, text: Option<&str>) -> u64 {
        text.map_or(0, |text| self.text(text))
    }

    fn message(&self, message: &Message) -> u64 {
        let name = message
            .name
            .as_deref()
            .map_or(0, |name| 1 + self.text(name));
        PER_MESSAGE + name + message.parts.iter().map(|it| self.part(it)).sum::<u64>()
    }

    fn tool(&self, tool: &Tool) -> u64 {
        let (description, parameters) = match tool {
            Tool::Function(function) => {
                let parameters = function.parameters.as_ref();
                let parameters = parameters.map_or(0, |json| self.text(json.get()));
                (self.maybe(function.description.as_deref()), parameters)
            }
            // What the provider tells the model of it, and what it finds, is the provider's to know.
            Tool::Provider(tool) => {
                let settings = serde_json::to_string(&tool.settings);
                (PER_PROVIDER_TOOL, self.text(&settings.unwrap_or_default()))
            }
        };
        PER_TOOL + self.text(tool.name()) + description + parameters
    }

    fn part(&self, part: &Part) -> u64 {
        match part {
            Part::Text(text) | Part::Cited { text, .. } | Part::Refusal(text) => self.text(text),
            Part::Reasoning { text, opaque } => self.text(text) + state(opaque),
            Part::Image(image) => of_image(image),
            Part::Audio(audio) => self.text(&audio.transcript) + of_sound(audio),
            Part::Document(Document { source, title, .. }) => {
                self.maybe(title.as_deref()) + self.document(source)
            }
            Part::ToolCall(call) => {
                let state = state(&call.opaque);
                PER_TOOL + self.text(&call.name) + self.text(&call.arguments) + state
            }
            // One level of recursion: results hold no results, and if they did, so many of them.
            Part::ToolResult { parts, .. } => {
                PER_MESSAGE + parts.iter().map(|it| self.part(it)).sum::<u64>()
            }
        }
    }

    fn document(&self, source: &DocumentSource) -> u64 {
        match source {
            DocumentSource::File(Source::Url(_) | Source::Stored(_)) => PER_UNSEEN_DOCUMENT,
            DocumentSource::File(Source::Bytes { data, .. }) => {
                PER_IMAGE + (data.len() as u64).div_ceil(DOCUMENT_BYTES_PER_TOKEN)
            }
            DocumentSource::Text { text, .. } => self.text(text),
        }
    }
}

/// Estimates the tokens of sound by its size; of sound that the provider keeps, without knowing it.
#[must_use]
pub fn of_sound(audio: &Audio) -> u64 {
    let raw =
        matches!(audio.format.as_str(), "wav" | "pcm16" | "pcm") || audio.format.starts_with("L16");
    let per = if raw {
        RAW_AUDIO_BYTES_PER_TOKEN
    } else {
        AUDIO_BYTES_PER_TOKEN
    };
    match &audio.id {
        Some(_) if audio.data.is_empty() => PER_UNHEARD_SOUND,
        _ => (audio.data.len() as u64).div_ceil(per),
    }
}

fn of_image(image: &Image) -> u64 {
    match image.detail.as_deref() {
        Some("low") => PER_SMALL_IMAGE,
        _ => PER_IMAGE,
    }
}

/// State holds thoughts that were hidden, and the provider counts them when they come back.
fn state(opaque: &[Opaque]) -> u64 {
    let bytes: usize = opaque.iter().map(|state| state.bytes.len()).sum();
    (bytes as u64).div_ceil(STATE_BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests;
