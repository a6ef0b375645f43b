//! What is fuzzed, and the rules that no input may break.

mod vectors;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use tollgate_provider::chat::{Aside, Assembler, Chunk, Delta, Message, Part, Request, Role};
use tollgate_provider::{Api, Class, Codec, Error, Failure, Kind, Target as To, openai, sse};

use crate::frames::framed;
use crate::inquiry;
use crate::mutate::Random;

/// A decoder.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// A streamed answer, over an interface of a kind.
    Stream(Kind, Api),
    /// A whole answer, over an interface of a kind.
    Whole(Kind, Api),
    /// An error body.
    Refusal(Kind),
    /// A streamed answer of Bedrock's whose frames are whole: its events are written as server-sent ones, since
    /// damage to a frame is found out by its checksum before anything in it is read.
    Framed,
    /// A list of models.
    Models(Kind),
    /// A count of tokens.
    Count(Kind),
    /// Headers of an answer that tell of limits, and how long to wait.
    Headers,
    /// The frames of server-sent events.
    Events,
    /// A request of a caller of the compatible edge.
    Request,
    /// An answer of vectors.
    Vectors(Kind),
    /// A request for vectors at the compatible edge.
    VectorRequest,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(kind, api) => write!(f, "stream of {}{}", kind.as_str(), over(*api)),
            Self::Whole(kind, api) => write!(f, "answer of {}{}", kind.as_str(), over(*api)),
            Self::Refusal(kind) => write!(f, "error of {}", kind.as_str()),
            Self::Models(kind) => write!(f, "models of {}", kind.as_str()),
            Self::Count(kind) => write!(f, "count of {}", kind.as_str()),
            Self::Headers => f.write_str("headers"),
            Self::Framed => f.write_str("stream of bedrock in whole frames"),
            Self::Events => f.write_str("server-sent events"),
            Self::Request => f.write_str("request"),
            Self::Vectors(kind) => write!(f, "vectors of {}", kind.as_str()),
            Self::VectorRequest => f.write_str("request for vectors"),
        }
    }
}

fn over(api: Api) -> &'static str {
    match api {
        Api::ChatCompletions => "",
        Api::Responses => " over Responses",
    }
}

/// Every codec for conversations.
fn codecs() -> impl Iterator<Item = Codec> {
    let apis = [Api::ChatCompletions, Api::Responses];
    let of_kind = move |kind| {
        apis.into_iter()
            .filter_map(move |api| Codec::new(kind).over(api))
    };
    Kind::ALL.into_iter().flat_map(of_kind)
}

/// The codec of a kind over an interface that it has.
fn codec(kind: Kind, api: Api) -> Result<Codec, String> {
    let codec = Codec::new(kind).over(api);
    codec.ok_or_else(|| "there is no such interface".to_owned())
}

/// Every target. Streams are where state is, so each counts twice.
pub(crate) fn all() -> Vec<Target> {
    let of_kind = |kind| [Target::Refusal(kind), Target::Vectors(kind)];
    let of_codec = |codec: Codec| {
        let (kind, api) = (codec.kind(), codec.api());
        [
            Target::Stream(kind, api),
            Target::Stream(kind, api),
            Target::Whole(kind, api),
        ]
    };
    let mut all: Vec<_> = Kind::ALL.into_iter().flat_map(of_kind).collect();
    all.extend(codecs().flat_map(of_codec));
    let asked = [Kind::Anthropic, Kind::Gemini, Kind::Bedrock];
    all.extend(asked.map(Target::Count));
    // One reads the lists of all kinds.
    all.push(Target::Models(Kind::Gemini));
    all.extend([
        Target::Headers,
        Target::VectorRequest,
        Target::Framed,
        Target::Framed,
        Target::Events,
        Target::Request,
    ]);
    all
}

/// Runs an input, cut into slices by a number, and describes how the target behaved in another.
pub(crate) fn run(target: Target, input: &[u8], slices: u64) -> Result<u64, String> {
    let mut behaviour = DefaultHasher::new();
    std::mem::discriminant(&target).hash(&mut behaviour);
    match target {
        Target::Stream(kind, api) => {
            stream(&codec(kind, api)?, input, slices, &mut behaviour)?;
        }
        Target::Whole(kind, api) => whole(&codec(kind, api)?, input, &mut behaviour)?,
        Target::Refusal(kind) => refusal(kind, input, slices, &mut behaviour)?,
        Target::Models(kind) => inquiry::models(kind, input, &mut behaviour)?,
        Target::Count(kind) => inquiry::count(kind, input, &mut behaviour)?,
        Target::Headers => inquiry::headers(input, &mut behaviour)?,
        Target::Framed => {
            let codec = Codec::new(Kind::Bedrock);
            stream(&codec, &framed(input), slices, &mut behaviour)?;
        }
        Target::Events => events(input, slices, &mut behaviour)?,
        Target::Request => request(input, &mut behaviour)?,
        Target::Vectors(kind) => vectors::answer(kind, input, slices, &mut behaviour)?,
        Target::VectorRequest => vectors::request(input, &mut behaviour)?,
    }
    Ok(behaviour.finish())
}

pub(crate) fn rule(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

/// The input in slices, most of them small.
fn cut(input: &[u8], slices: u64) -> Vec<&[u8]> {
    let mut random = Random::new(slices);
    let mut rest = input;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let most = if random.below(4) == 0 { 2000 } else { 40 };
        let (slice, tail) = rest.split_at((1 + random.below(most)).min(rest.len()));
        out.push(slice);
        rest = tail;
    }
    out
}

/// A stream as one run gave it.
#[derive(Debug, PartialEq)]
struct Decoded {
    chunks: Vec<Chunk>,
    end: Result<(), Failure>,
    malformed: u64,
}

fn decode(codec: &Codec, slices: &[&[u8]]) -> Result<Decoded, String> {
    let mut decoder = codec.stream_decoder(1);
    let mut chunks = Vec::new();
    let mut end = Ok(());
    for slice in slices {
        end = decoder.push(slice, &mut chunks);
        if end.is_err() {
            break;
        }
    }
    if end.is_ok() {
        end = decoder.finish(&mut chunks);
    }
    if let Err(failure) = &end {
        let count = chunks.len();
        let later = decoder.push(b"data: {}\n\n", &mut chunks);
        let last = decoder.finish(&mut chunks);
        let stays = later.as_ref() == Err(failure) && last.as_ref() == Err(failure);
        rule(stays && chunks.len() == count, "a failed stream goes on")?;
    }
    Ok(Decoded {
        chunks,
        end,
        malformed: decoder.malformed(),
    })
}

fn stream(
    codec: &Codec,
    input: &[u8],
    slices: u64,
    behaviour: &mut DefaultHasher,
) -> Result<(), String> {
    let whole = decode(codec, &[input])?;
    let sliced = decode(codec, &cut(input, slices))?;
    rule(
        sliced.chunks == whole.chunks && sliced.end == whole.end,
        "how the bytes are cut changes the answer",
    )?;
    check_order(&whole)?;
    check_failure(whole.end.as_ref().err())?;
    let size: usize = whole.chunks.iter().map(size_of_chunk).sum();
    rule(
        size <= 64 * input.len() + 4096,
        "the answer is far larger than what it was made from",
    )?;

    // What the caller would see of it: runs of one kind of chunk count once, and no more than a few.
    let mut kinds: Vec<_> = whole
        .chunks
        .iter()
        .map(|c| (kind_of(c), choice_of(c)))
        .collect();
    kinds.dedup();
    kinds.truncate(8);
    kinds.hash(behaviour);
    whole.malformed.min(3).hash(behaviour);
    hash_end(whole.end.as_ref().err(), behaviour);
    Ok(())
}

/// What `chat::Chunk` promises of their order, and that only a whole answer is a success.
fn check_order(decoded: &Decoded) -> Result<(), String> {
    let Decoded { chunks, end, .. } = decoded;
    let starts = chunks.iter().filter(|c| matches!(c, Chunk::Start { .. }));
    rule(starts.count() <= 1, "an answer starts twice")?;
    check_usage(chunks, end.is_ok())?;
    let mut finished = Vec::new();
    for chunk in chunks {
        let Some(choice) = choice_of(chunk) else {
            continue;
        };
        rule(!finished.contains(&choice), "a finished choice goes on")?;
        if matches!(chunk, Chunk::Finish { .. }) {
            finished.push(choice);
        }
    }
    if end.is_err() {
        return Ok(());
    }
    let seen = chunks.iter().filter_map(choice_of);
    rule(
        !finished.is_empty() && seen.into_iter().all(|choice| finished.contains(&choice)),
        "a success with a choice that has not finished",
    )?;
    let mut assembler = Assembler::new();
    for chunk in chunks.iter().cloned() {
        assembler.push(chunk);
    }
    rule(assembler.finish().is_some(), "a success that is no answer")
}

/// Usage, and what the provider says of it, is told once, last, and of a success only.
fn check_usage(chunks: &[Chunk], is_success: bool) -> Result<(), String> {
    let is_usage = |it: &Chunk| matches!(it, Chunk::Usage(_) | Chunk::UsageReport(_));
    let first = chunks.iter().position(is_usage).unwrap_or(chunks.len());
    let (before, told) = chunks.split_at(first);
    match told {
        [] => Ok(()),
        _ if !is_success || before.is_empty() => Err("usage of no success".to_owned()),
        [Chunk::Usage(_)] => Ok(()),
        [Chunk::UsageReport(report)] | [Chunk::UsageReport(report), Chunk::Usage(_)] => {
            let report = report.get();
            rule(
                report.starts_with('{') && report.len() <= 8 * 1024,
                "a report that no provider sends",
            )
        }
        _ => Err("usage is not the last word, or told twice".to_owned()),
    }
}

fn choice_of(chunk: &Chunk) -> Option<u32> {
    match chunk {
        Chunk::Delta { choice, .. } | Chunk::Finish { choice, .. } => Some(*choice),
        Chunk::Aside(Aside::StopSequence { choice, .. }) => Some(*choice),
        Chunk::Aside(Aside::Detail { choice, .. }) => *choice,
        Chunk::Aside(Aside::Fingerprint(_)) => None,
        Chunk::Warning(_) | Chunk::Start { .. } | Chunk::UsageReport(_) | Chunk::Usage(_) => None,
    }
}

fn kind_of(chunk: &Chunk) -> u8 {
    match chunk {
        Chunk::Warning(_) => 0,
        Chunk::Start { .. } => 1,
        Chunk::Usage(_) => 2,
        Chunk::UsageReport(_) => 29,
        Chunk::Aside(_) => 31,
        Chunk::Finish { reason, .. } => 3 + *reason as u8,
        Chunk::Delta { delta, .. } => match delta {
            Delta::Text(_) => 20,
            Delta::Refusal(_) => 21,
            Delta::Reasoning(_) => 22,
            Delta::ReasoningState(_) => 23,
            Delta::ToolCall { .. } => 24,
            Delta::ToolArguments { .. } => 25,
            Delta::ToolState { .. } => 26,
            Delta::Logprobs(_) => 27,
            Delta::Citation(_) => 28,
            Delta::Audio(_) => 30,
        },
    }
}

fn size_of_chunk(chunk: &Chunk) -> usize {
    match chunk {
        Chunk::Start { id, model } => id.len() + model.len(),
        Chunk::Delta { delta, .. } => match delta {
            Delta::Text(text) | Delta::Refusal(text) | Delta::Reasoning(text) => text.len(),
            Delta::ReasoningState(state) | Delta::ToolState { state, .. } => state.bytes.len(),
            Delta::ToolCall { id, name, .. } => id.len() + name.len(),
            Delta::ToolArguments { fragment, .. } => fragment.len(),
            Delta::Logprobs(json) => json.get().len(),
            Delta::Citation(source) => source.opaque.as_ref().map_or(0, |it| it.bytes.len()),
            Delta::Audio(audio) => audio.data.len() + audio.transcript.len(),
        },
        Chunk::UsageReport(report) => report.get().len(),
        Chunk::Aside(Aside::Detail { value, .. }) => value.get().len(),
        Chunk::Aside(Aside::Fingerprint(text) | Aside::StopSequence { text, .. }) => text.len(),
        Chunk::Warning(_) | Chunk::Finish { .. } | Chunk::Usage(_) => 0,
    }
}

pub(crate) fn check_failure(failure: Option<&Failure>) -> Result<(), String> {
    let Some(failure) = failure else {
        return Ok(());
    };
    rule(failure.detail.len() <= 300, "a failure talks too much")?;
    let named = [&failure.code, &failure.param].into_iter().flatten();
    let short = named.into_iter().all(|name| name.len() <= 64);
    rule(
        short && !failure.public_message().is_empty(),
        "a failure has no name",
    )
}

pub(crate) fn hash_end(failure: Option<&Failure>, behaviour: &mut DefaultHasher) {
    failure.map(|failure| failure.class).hash(behaviour);
    failure
        .map(|failure| failure.code.is_some())
        .hash(behaviour);
}

fn whole(codec: &Codec, input: &[u8], behaviour: &mut DefaultHasher) -> Result<(), String> {
    let decoded = codec.decode(input);
    check_failure(decoded.as_ref().err())?;
    hash_end(decoded.as_ref().err(), behaviour);
    let Ok(response) = decoded else {
        return Ok(());
    };
    rule(!response.choices.is_empty(), "an answer without choices")?;
    response.usage.is_some().hash(behaviour);
    for choice in response.choices {
        choice.finish_reason.hash(behaviour);
        let kinds = choice.message.parts.iter().map(Part::kind);
        kinds.take(6).collect::<Vec<_>>().hash(behaviour);
        go_back(&choice.message)?;
    }
    Ok(())
}

/// An answer is the next request's history, whichever provider that goes to.
fn go_back(message: &Message) -> Result<(), String> {
    let request = Request {
        model: "m".to_owned(),
        messages: vec![Message::text(Role::User, "hi"), message.clone()],
        ..Request::default()
    };
    encode_everywhere(&request)
}

fn encode_everywhere(request: &Request) -> Result<(), String> {
    for codec in codecs() {
        let Ok(sent) = codec.encode(request, &To::of("m"), true) else {
            continue;
        };
        // Numbers may be larger than any that a computer has: what a model writes goes back as it came.
        let body = serde_json::from_slice::<serde::de::IgnoredAny>(&sent.body);
        rule(body.is_ok(), "a request is not JSON")?;
        let again = codec.encode(request, &To::of("m"), true);
        let same = again.is_ok_and(|again| again.body == sent.body);
        rule(same, "the same request is other bytes")?;
    }
    Ok(())
}

fn refusal(
    kind: Kind,
    input: &[u8],
    number: u64,
    behaviour: &mut DefaultHasher,
) -> Result<(), String> {
    let status = 300 + u16::try_from(number % 300).unwrap_or(0);
    let status = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
    let mut headers = HeaderMap::new();
    // Some formats say what is wrong in a header, and all of them how long to wait.
    let line = input.split(|byte| *byte == b'\n').next().unwrap_or(input);
    if let Ok(value) = http::HeaderValue::from_bytes(&line[..line.len().min(200)]) {
        headers.insert("retry-after", value.clone());
        headers.insert("x-amzn-errortype", value);
    }
    let failure = Codec::new(kind).classify(status, &headers, input, SystemTime::UNIX_EPOCH);
    check_failure(Some(&failure))?;
    rule(failure.class != Class::Truncated, "an error is no stream")?;
    hash_end(Some(&failure), behaviour);
    Ok(())
}

fn events(input: &[u8], slices: u64, behaviour: &mut DefaultHasher) -> Result<(), String> {
    let read = |slices: &[&[u8]]| {
        let mut decoder = sse::Decoder::new();
        let mut events = Vec::new();
        let mut sink = |event: sse::Event<'_>| {
            events.push((event.name.to_vec(), event.data.to_vec()));
        };
        let ended = slices
            .iter()
            .try_for_each(|slice| decoder.push(slice, &mut sink))
            .and_then(|()| decoder.finish(&mut sink));
        (events, ended)
    };
    let whole = read(&[input]);
    rule(
        read(&cut(input, slices)) == whole,
        "how the bytes are cut changes the events",
    )?;
    whole.0.len().min(40).hash(behaviour);
    whole.1.is_ok().hash(behaviour);
    Ok(())
}

/// What is said of a request that is wrong.
fn check_error(error: &Error, behaviour: &mut DefaultHasher) -> Result<(), String> {
    let told = error.to_string();
    rule(told.len() <= 1000, "an error talks too much")?;
    // Which field it is about, without the numbers in it.
    let field = error.field().unwrap_or_default();
    let letters: String = field.chars().filter(|c| !c.is_ascii_digit()).collect();
    letters.chars().take(60).collect::<String>().hash(behaviour);
    Ok(())
}

fn request(input: &[u8], behaviour: &mut DefaultHasher) -> Result<(), String> {
    match openai::parse_request(input) {
        Ok(parsed) => {
            parsed.stream.hash(behaviour);
            parsed.request.messages.len().min(8).hash(behaviour);
            parsed.request.tools.len().min(8).hash(behaviour);
            encode_everywhere(&parsed.request)
        }
        Err(error) => check_error(&error, behaviour),
    }
}
