//! The conversation in formats made of blocks, which Anthropic's messages and Bedrock's Converse are: instructions
//! stand apart, two speakers take turns, results of tools are the user's, and thoughts go back signed or not at all.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::Error;
use crate::chat::{
    self, Audio, CachePlace, CachePoint, Citation, Document, Image, Json, Opaque, Part, Request,
    Role, ToolCall,
};
use crate::unsupported::{NO_SOUND_BACK, Turns, Unsupported};

/// How many places of a prompt may be cached.
const MOST_CACHE_POINTS: usize = 4;

/// How a format writes what may be part of a message. Each is told where it stands, to refuse what it has no words for.
pub(crate) trait Format {
    /// A piece of a message.
    type Block<'a>;
    /// Whose state goes back in it.
    const PROVIDER: &'static str;
    /// What the state of a citation is called, which is its JSON.
    const CITATION: &'static str;

    /// A text and its sources, as they came.
    fn text<'a>(text: &'a str, citations: Vec<&'a RawValue>) -> Self::Block<'a>;
    fn image<'a>(image: &'a Image, at: &Place<'_>) -> Result<Self::Block<'a>, Error>;
    fn audio<'a>(data: &[u8], format: &'a str, at: &Place<'_>) -> Result<Self::Block<'a>, Error>;
    fn document<'a>(document: &'a Document, at: &Place<'_>) -> Result<Self::Block<'a>, Error>;
    /// `input` is a JSON object.
    fn call<'a>(
        call: &'a ToolCall,
        input: &'a RawValue,
        at: &Place<'_>,
    ) -> Result<Self::Block<'a>, Error>;
    fn result<'a>(
        call_id: &'a str,
        content: Vec<Self::Block<'a>>,
        is_error: bool,
        at: &Place<'_>,
    ) -> Result<Self::Block<'a>, Error>;
    /// A state of a thought with its text, which is taken by the first that has a place for it; none where it is not
    /// as it came.
    fn thought<'a>(state: &'a Opaque, text: &mut &'a str) -> Option<Self::Block<'a>>;
    /// Asks for the prompt to be cached up to here; the part before it has written the blocks from `since` on.
    fn cache(blocks: &mut Vec<Self::Block<'_>>, since: usize, mark: CacheMark);
}

/// One turn.
#[derive(Serialize)]
pub(crate) struct Message<B> {
    role: &'static str,
    content: Vec<B>,
}

/// A conversation as it is sent: instructions apart.
pub(crate) struct Conversation<B> {
    pub(crate) system: Vec<B>,
    pub(crate) messages: Vec<Message<B>>,
}

/// Where a part stands; turned into words only for an error.
#[derive(Debug)]
pub(crate) struct Place<'u> {
    pub(crate) message: usize,
    pub(crate) part: usize,
    /// The place within a tool's result, from 1; 0 outside of one.
    pub(crate) within: usize,
    unsupported: &'u mut Unsupported,
}

impl Place<'_> {
    fn field(&self, rest: &str) -> String {
        format!("messages[{}].parts[{}]{rest}", self.message, self.part)
    }

    /// The error for what no provider would take.
    fn invalid(&self, rest: &str, problem: &'static str) -> Error {
        Error::invalid(self.field(rest), problem)
    }

    /// The error for what cannot be left out: what is said is never left out, whatever the target allows.
    pub(crate) fn refuse(&self, rest: &str, problem: &'static str) -> Error {
        self.unsupported.refuse(self.field(rest), problem)
    }
}

/// Asks for the prompt up to here to be cached.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CacheMark {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

/// The places to be cached: the last ones, where there are more than the provider takes, as they cover
/// the longest prompts.
#[derive(Debug)]
pub(crate) struct Cached<'a> {
    points: &'a [CachePoint],
    /// What the format calls the kind of cache.
    name: &'static str,
}

impl<'a> Cached<'a> {
    pub(crate) fn of(request: &'a Request, name: &'static str) -> Self {
        let points = &request.cache_points;
        let points = &points[points.len().saturating_sub(MOST_CACHE_POINTS)..];
        Self { points, name }
    }

    /// What to say after that place.
    pub(crate) fn after(&self, place: CachePlace) -> Option<CacheMark> {
        let point = self.points.iter().find(|point| point.after == place)?;
        // There are two times to live: the usual five minutes, and an hour.
        let hour = point.time_to_live > Some(Duration::from_secs(300));
        Some(CacheMark {
            r#type: self.name,
            ttl: hour.then_some("1h"),
        })
    }
}

/// The schema of a tool's arguments. It is required, so one without arguments says so.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Schema<'a> {
    Given(&'a Json),
    Nothing { r#type: &'static str },
}

impl<'a> Schema<'a> {
    pub(crate) fn of(tool: &'a chat::Function) -> Self {
        match &tool.parameters {
            Some(schema) => Self::Given(schema),
            None => Self::Nothing { r#type: "object" },
        }
    }
}

/// Writes the conversation. Instructions come first, and, where there is a place for them `within` the conversation,
/// those that came later stand there; messages of one speaker that follow each other become one, so that speakers take turns and the results of parallel
/// calls stand together.
pub(crate) fn conversation<'a, F: Format>(
    request: &'a Request,
    cached: &Cached<'_>,
    within: bool,
    unsupported: &mut Unsupported,
) -> Result<Conversation<F::Block<'a>>, Error> {
    unsupported.speakers(&request.messages, "it does not tell speakers apart by name")?;
    let mut system = Vec::new();
    let mut messages: Vec<Message<F::Block<'a>>> = Vec::new();
    let turns = Turns::of(&request.messages);
    for (index, message) in request.messages.iter().enumerate() {
        let heard = |it: &Message<_>| it.role != "assistant" && !it.content.is_empty();
        let stays = within
            && messages.last().is_some_and(heard)
            && instructs_answer(&request.messages[index..]);
        let role = if stays {
            Some("system")
        } else {
            match unsupported.role_of(turns, index, message.role) {
                Role::Developer | Role::System => None,
                Role::User | Role::Tool => Some("user"),
                Role::Assistant => Some("assistant"),
            }
        };
        let place = Place {
            message: index,
            part: 0,
            within: 0,
            unsupported,
        };
        let Some(role) = role else {
            write::<F>(message, cached, place, &mut system)?;
            continue;
        };
        if messages.last().is_none_or(|last| last.role != role) {
            let content = Vec::new();
            messages.push(Message { role, content });
        }
        if let Some(last) = messages.last_mut() {
            write::<F>(message, cached, place, &mut last.content)?;
        }
    }
    // A message of nothing that can be sent is none.
    messages.retain(|message| !message.content.is_empty());
    Ok(Conversation { system, messages })
}

/// Whether a message is an instruction for the answer that comes next: behind it stand others at most, then what the
/// model said, or nothing.
fn instructs_answer(rest: &[chat::Message]) -> bool {
    let said = |it: &chat::Message| {
        let is_thought = |part: &Part| matches!(part, Part::Reasoning { .. });
        it.role == Role::Assistant && !it.parts.iter().all(is_thought)
    };
    let instructs = |it: &chat::Message| matches!(it.role, Role::Developer | Role::System);
    let next = rest.iter().find(|it| !instructs(it));
    rest.first().is_some_and(instructs) && next.is_none_or(said)
}

/// Appends what a message holds.
fn write<'a, F: Format>(
    message: &'a chat::Message,
    cached: &Cached<'_>,
    mut at: Place<'_>,
    out: &mut Vec<F::Block<'a>>,
) -> Result<(), Error> {
    let since = out.len();
    for (part, it) in message.parts.iter().enumerate() {
        at.part = part;
        write_part::<F>(message.role, it, &mut at, out)?;
        let place = CachePlace::Part {
            message: at.message,
            part,
        };
        if let Some(mark) = cached.after(place) {
            F::cache(out, since, mark);
        }
    }
    Ok(())
}

fn write_part<'a, F: Format>(
    role: Role,
    part: &'a Part,
    at: &mut Place<'_>,
    out: &mut Vec<F::Block<'a>>,
) -> Result<(), Error> {
    match (part, role) {
        (Part::Text(text), _) | (Part::Refusal(text), Role::Assistant) => {
            out.extend(text_block::<F>(text));
        }
        (Part::Cited { text, citations }, Role::Assistant) => {
            cited_text::<F>(text, citations, at, out)?;
        }
        (Part::Image(image), Role::User) => out.push(image_block::<F>(image, at)?),
        (Part::Audio(Audio { data, format, .. }), Role::User) => {
            out.push(F::audio(data, format, at)?);
        }
        // What the model said elsewhere is known by its words only.
        (Part::Audio(spoken), Role::Assistant) => {
            if spoken.transcript.is_empty() {
                return Err(at.refuse(".audio", NO_SOUND_BACK));
            }
            out.extend(text_block::<F>(&spoken.transcript));
        }
        (Part::Document(document), Role::User) => out.push(F::document(document, at)?),
        (Part::Reasoning { text, opaque }, Role::Assistant) => {
            thoughts::<F>(text, opaque, at, out)?;
        }
        (Part::ToolCall(call), Role::Assistant) => {
            out.push(F::call(call, input(call, at)?, at)?);
        }
        (
            Part::ToolResult {
                tool_call_id,
                parts,
                is_error,
            },
            Role::Tool,
        ) => {
            let content = result::<F>(parts, at)?;
            out.push(F::result(tool_call_id, content, *is_error, at)?);
        }
        (
            Part::Cited { .. }
            | Part::Image(_)
            | Part::Audio(_)
            | Part::Document(_)
            | Part::Refusal(_)
            | Part::Reasoning { .. }
            | Part::ToolCall(_)
            | Part::ToolResult { .. },
            _,
        ) => return Err(at.refuse("", "a message of that role may not hold such a part")),
    }
    Ok(())
}

/// Empty text is refused by the providers, and says nothing.
fn text_block<F: Format>(text: &str) -> Option<F::Block<'_>> {
    (!text.is_empty()).then(|| F::text(text, Vec::new()))
}

/// A text with its sources goes back in the blocks it came in: each passage with its own. Sources that others told mean
/// nothing to the provider.
fn cited_text<'a, F: Format>(
    text: &'a str,
    citations: &'a [Citation],
    at: &Place<'_>,
    out: &mut Vec<F::Block<'a>>,
) -> Result<(), Error> {
    let altered = || at.invalid(".citations", "must be sent back as they came");
    let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    let mut told = Vec::new();
    for Citation {
        passage, opaque, ..
    } in citations
    {
        let own = |it: &&Opaque| it.provider == F::PROVIDER && it.kind == F::CITATION;
        // Of an empty text there is nothing to be sent.
        if let Some(state) = opaque.as_ref().filter(own).filter(|_| !passage.is_empty()) {
            let json = serde_json::from_slice::<&RawValue>(&state.bytes).ok();
            let json = json.filter(|json| json.get().starts_with('{'));
            let passage = place(passage.start)..place(passage.end);
            told.push((passage, json.ok_or_else(altered)?));
        }
    }
    let mut rest = 0;
    for sources in told.chunk_by(|(one, _), (next, _)| one == next) {
        let passage = sources[0].0.clone();
        out.extend(text_block::<F>(
            text.get(rest..passage.start).ok_or_else(altered)?,
        ));
        rest = passage.end;
        let passage = text.get(passage).ok_or_else(altered)?;
        let sources = sources.iter().map(|(_, json)| *json).collect();
        out.push(F::text(passage, sources));
    }
    out.extend(text_block::<F>(&text[rest..]));
    Ok(())
}

fn image_block<'a, F: Format>(image: &'a Image, at: &mut Place<'_>) -> Result<F::Block<'a>, Error> {
    if image.detail.as_deref().is_some_and(|it| it != "auto") {
        let field = at.field(".image.detail");
        at.unsupported
            .field(field, "it looks at every picture in the same way")?;
    }
    F::image(image, at)
}

fn result<'a, F: Format>(
    parts: &'a [Part],
    at: &mut Place<'_>,
) -> Result<Vec<F::Block<'a>>, Error> {
    let mut out = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        at.within = index + 1;
        match part {
            Part::Text(text) => out.extend(text_block::<F>(text)),
            Part::Image(image) => out.push(image_block::<F>(image, at)?),
            Part::Document(document) => out.push(F::document(document, at)?),
            Part::Audio(_)
            | Part::Cited { .. }
            | Part::ToolCall(_)
            | Part::ToolResult { .. }
            | Part::Reasoning { .. }
            | Part::Refusal(_) => {
                let problem = "a tool's result may hold text, images and documents";
                return Err(at.refuse(".tool_result", problem));
            }
        }
    }
    at.within = 0;
    Ok(out)
}

/// The arguments of a call, which the formats take as an object.
fn input<'a>(call: &'a ToolCall, at: &Place<'_>) -> Result<&'a RawValue, Error> {
    let arguments = match call.arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    let input: Option<&RawValue> = serde_json::from_str(arguments)
        .ok()
        .filter(|_| arguments.starts_with('{'));
    input.ok_or_else(|| {
        let problem = "must be a JSON object for a provider of this kind";
        at.invalid(".tool_call.arguments_json", problem)
    })
}

/// A thought is sent back with its state or not at all: the provider takes no other, and the thoughts of others mean
/// nothing to it.
fn thoughts<'a, F: Format>(
    mut text: &'a str,
    opaque: &'a [Opaque],
    at: &Place<'_>,
    out: &mut Vec<F::Block<'a>>,
) -> Result<(), Error> {
    for state in opaque.iter().filter(|it| it.provider == F::PROVIDER) {
        let thought = F::thought(state, &mut text).ok_or_else(|| {
            at.invalid(".reasoning.provider_state", "must be sent back as it came")
        })?;
        out.push(thought);
    }
    Ok(())
}
