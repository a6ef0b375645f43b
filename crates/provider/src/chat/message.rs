//! Messages and the parts they are made of.

use bytes::{Bytes, BytesMut};

use super::Citation;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions of the application's developer, ranked above the user.
    Developer,
    /// Instructions in the older name; providers treat it as `Developer`.
    System,
    /// The person or program asking.
    User,
    /// The model.
    Assistant,
    /// The outcome of tool calls; its parts are `Part::ToolResult`.
    Tool,
}

impl Role {
    /// The lower-case name used by policies, logs and most providers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Developer => "developer",
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// A participant's name, to tell several of one role apart.
    pub name: Option<String>,
}

impl Message {
    /// A message of one text part and no name.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            parts: vec![Part::Text(text.into())],
            name: None,
        }
    }
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Plain text.
    Text(String),
    /// Text whose sources are told; only in assistant messages.
    Cited {
        /// The text.
        text: String,
        /// Its sources, in the order in which the provider told them.
        citations: Vec<Citation>,
    },
    /// A picture.
    Image(Image),
    /// Sound: heard by the model, or spoken by it.
    Audio(Audio),
    /// A file with text in it.
    Document(Document),
    /// A call the model asks for; only in assistant messages.
    ToolCall(ToolCall),
    /// The outcome of a call; only in tool messages.
    ToolResult {
        /// The `id` of the call this answers.
        tool_call_id: String,
        /// What the tool returned.
        parts: Vec<Part>,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// The model's thinking; only in assistant messages.
    Reasoning {
        /// The readable part, empty where the provider hides it.
        text: String,
        /// State the same provider needs back unchanged on the next turn.
        opaque: Vec<Opaque>,
    },
    /// The model's refusal to answer; only in assistant messages.
    Refusal(String),
}

impl Part {
    /// What it says in so many words to whoever reads the conversation; none of another kind.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Cited { text, .. } => Some(text),
            Self::Image(_)
            | Self::Audio(_)
            | Self::Document(_)
            | Self::ToolCall(_)
            | Self::ToolResult { .. }
            | Self::Reasoning { .. }
            | Self::Refusal(_) => None,
        }
    }

    /// Adds a source to the latest of these parts that is text. A source of nothing that was said has no place.
    pub(crate) fn cite(parts: &mut [Self], citation: Citation) {
        for part in parts.iter_mut().rev() {
            if let Self::Cited { citations, .. } = part {
                return citations.push(citation);
            }
            if let Self::Text(text) = part {
                *part = Self::Cited {
                    text: std::mem::take(text),
                    citations: vec![citation],
                };
                return;
            }
        }
    }

    /// The kind's name as used in messages to callers, such as `tool_result`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Cited { .. } => "text",
            Self::Image(_) => "image",
            Self::Audio(_) => "audio",
            Self::Document(_) => "document",
            Self::ToolCall(_) => "tool_call",
            Self::ToolResult { .. } => "tool_result",
            Self::Reasoning { .. } => "reasoning",
            Self::Refusal(_) => "refusal",
        }
    }
}

/// Sound, whole or as a stream brings it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audio {
    /// The encoded sound. Empty where only `id` or `transcript` tells of it.
    pub data: Bytes,
    /// The encoding by the provider's name for it, such as `wav` or `mp3`. Empty in an answer where it is the one that
    /// was asked for.
    pub format: String,
    /// The provider's name of sound that it made, by which it knows it on later turns.
    pub id: Option<String>,
    /// Until when it does, in Unix seconds.
    pub expires_at: Option<u64>,
    /// What is said in it, where the provider tells.
    pub transcript: String,
}

impl Audio {
    /// Adds what a stream brought later.
    pub(crate) fn append(&mut self, more: Self) {
        let mut data = BytesMut::from(std::mem::take(&mut self.data));
        data.extend_from_slice(&more.data);
        self.data = data.freeze();
        if !more.format.is_empty() {
            self.format = more.format;
        }
        self.id = more.id.or(self.id.take());
        self.expires_at = more.expires_at.or(self.expires_at);
        self.transcript.push_str(&more.transcript);
    }
}

/// Where a picture or a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An address the provider fetches. The gateway itself never fetches it.
    Url(String),
    /// The content itself.
    Bytes {
        /// The media type, such as `image/png`.
        mime: String,
        /// The encoded content, not base64.
        data: Bytes,
    },
    /// A file that a provider keeps.
    Stored(StoredFile),
}

/// A file that a provider keeps, and no other provider knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The provider's name of it, such as `file-abc`.
    pub id: String,
    /// Its media type, for formats that want to be told.
    pub mime: Option<String>,
    /// The provider by its name in the policy, or its kind. None: whoever is asked.
    pub owner: Option<String>,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Where the picture comes from.
    pub source: Source,
    /// The resolution asked for: `low`, `high` or `auto`.
    pub detail: Option<String>,
}

/// A file with text in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Where the file comes from.
    pub source: DocumentSource,
    /// A title or file name.
    pub title: Option<String>,
    /// Whether the answer is to tell which passages it relies on.
    pub citations: bool,
}

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentSource {
    /// A file by address or content.
    File(Source),
    /// Text that needs no extraction.
    Text {
        /// The text.
        text: String,
        /// The media type, such as `text/plain`.
        mime: String,
    },
}

/// A call of a tool, as the model wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The id that the result must carry.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: meant to be a JSON object, but not checked, since a
    /// model may write anything.
    pub arguments: String,
    /// State the same provider needs back unchanged with this call.
    pub opaque: Vec<Opaque>,
}

/// A provider's private state, carried through the conversation unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// The provider kind that issued it; another provider's codec leaves it out.
    pub provider: String,
    /// What it is in that provider's words, such as `signature`.
    pub kind: String,
    /// The state itself.
    pub bytes: Bytes,
}
