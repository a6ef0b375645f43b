//! Wire formats: each says the same completion in its own words.
//!
//! A format only renders. When what is sent, and what goes wrong, is the writer's business and the same for all.

pub(super) mod anthropic;
pub(super) mod bedrock;
pub(super) mod cohere;
pub(super) mod gemini;
pub(super) mod openai;
pub(super) mod responses;

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Facts, Usage};
use crate::provider::behaviour::Refusal;
use crate::provider::format::Format;

/// What a completion consists of. Texts are the insides of JSON strings.
#[derive(Debug)]
pub(in crate::provider) struct Completion<'a> {
    pub(super) facts: &'a Facts<'a>,
    /// The model's name as a JSON string, quotes included.
    pub(super) model: String,
    pub(super) finish: Finish,
    pub(super) calls: Vec<Call>,
    /// What is reported; `None` to report nothing.
    pub(super) usage: Option<Usage>,
    /// Whether a stream reports it, in a format where that has to be asked for.
    pub(super) streams_usage: bool,
    /// Whether thinking is told as a part of the content, where the format has both ways.
    pub(super) thinking_in_parts: bool,
    /// Whether the content is spoken, where the format has sound.
    pub(super) spoken: bool,
    /// Whether a tool of the provider's own comes before the content, where the format tells of one.
    pub(super) searched: bool,
}

impl Completion<'_> {
    /// What stands for a provider's private state, in formats that have some: another in each answer. It is base64.
    pub(super) fn signature(&self) -> String {
        format!("c2lnbmF0dXJl{:08x}", self.facts.seq)
    }
}

/// Why the completion ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
    Calls,
    Filtered,
}

/// A call of the tool `lookup`.
#[derive(Debug)]
pub(super) struct Call {
    /// Its place among the calls.
    pub(super) index: u32,
    pub(super) id: String,
    /// A JSON object.
    pub(super) arguments: String,
}

/// The name of the tool that is called.
pub(super) const TOOL: &str = "lookup";

/// A part of a streamed answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'a> {
    Thinking(&'a str),
    /// What a tool of the provider's own did.
    Search,
    Text(&'a str),
    Call(&'a Call),
}

/// One event of a stream.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// The event's name; empty where the format gives none.
    pub(super) name: &'static str,
    /// A JSON document, or a sentinel.
    pub(super) data: String,
    /// Whether it reports the usage, or says that it is an error.
    pub(super) role: Role,
}

/// What an event is, as far as the writer must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    Usage,
    /// What may be missing from a complete stream.
    Sentinel,
    Error,
}

/// An error in the words of a format.
#[derive(Debug)]
pub(in crate::provider) struct Refused {
    pub(in crate::provider) status: u16,
    pub(in crate::provider) retry_after: Option<u32>,
    /// Name and value of the header that some formats put the kind of error into.
    pub(in crate::provider) header: Option<(&'static str, &'static str)>,
    pub(in crate::provider) body: String,
}

/// A format, in the middle of one answer.
pub(super) trait Wire {
    /// A whole answer.
    fn unary(&self, completion: &Completion<'_>, thinking: &str, text: &str) -> String;

    /// The events before anything of the answer.
    fn start(&mut self, completion: &Completion<'_>) -> Vec<Event>;

    /// The events that carry a piece; the last of them completes it.
    fn piece(&mut self, completion: &Completion<'_>, piece: Piece<'_>) -> Vec<Event>;

    /// The events after everything of the answer.
    fn end(&mut self, completion: &Completion<'_>) -> Vec<Event>;

    /// The event that ends an answer which broke.
    fn broken(&self) -> Event;

    /// An error of this status; `code` is for formats that have codes.
    fn error(&self, status: u16, message: &str, code: &str) -> Refused;

    /// The error for a reason.
    fn refuse(&self, why: Refusal) -> Refused;
}

/// The renderer of a format.
pub(super) fn of(format: Format) -> Box<dyn Wire> {
    match format {
        Format::OpenAi => Box::new(openai::OpenAi::default()),
        Format::Responses => Box::new(responses::Responses::default()),
        Format::Anthropic => Box::new(anthropic::Anthropic::default()),
        Format::Gemini => Box::new(gemini::Gemini::default()),
        Format::Cohere => Box::new(cohere::Cohere::default()),
        Format::Bedrock => Box::new(bedrock::Bedrock::default()),
    }
}

/// A list of errors with what each is answered with: reason, status, what tells them apart, message.
pub(super) type Refusals = [(Refusal, u16, &'static str, &'static str); 7];

/// The row of a reason.
pub(super) fn row(table: &Refusals, why: Refusal) -> (u16, &'static str, &'static str) {
    let found = table.iter().find(|(known, ..)| *known == why);
    // Every table has every reason: `Refusal::ALL` is as long as it.
    found.map_or((500, "", ""), |(_, status, kind, message)| {
        (*status, kind, message)
    })
}

impl Event {
    pub(super) fn plain(name: &'static str, data: String) -> Self {
        Self {
            name,
            data,
            role: Role::Plain,
        }
    }

    pub(super) fn of(role: Role, name: &'static str, data: String) -> Self {
        Self { name, data, role }
    }
}

/// Sound of a text: whoever hears it can tell whether it is all there.
pub(super) fn sound(text: &str) -> String {
    STANDARD.encode(text)
}

/// The elements with commas between them.
pub(super) fn joined(elements: impl IntoIterator<Item = String>) -> String {
    elements.into_iter().collect::<Vec<_>>().join(",")
}

/// Adds to a document that is being written. Writing to memory cannot fail.
pub(super) fn add(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(text);
}
