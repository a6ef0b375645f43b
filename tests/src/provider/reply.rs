//! Replies, rendered whole before their first byte is sent: a script of bytes and pauses.

mod framing;
mod gzip;
mod strange;
pub(super) mod wire;
mod writer;

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;

use super::behaviour::{Behaviour, Fault};
use super::format::Format;
use super::ledger::Outcome;
use super::request::Wish;
use super::vectors::Vectors;
use wire::Refused;
use writer::Writer;

/// What to send for one request.
#[derive(Debug)]
pub(super) enum Reply {
    /// A response with this status and body.
    Answer(Answer),
    /// Nothing, until the client gives up.
    Hang,
    /// A TCP reset, or an orderly close.
    Drop { reset: bool },
}

/// A response to be played.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) retry_after: Option<u32>,
    pub(super) location: Option<&'static str>,
    /// Name and value of one more header.
    pub(super) header: Option<(&'static str, Cow<'static, str>)>,
    /// Pause before the head.
    pub(super) delay: Duration,
    pub(super) steps: Vec<Step>,
    /// How the request has ended once every step is played.
    pub(super) ending: Outcome,
}

/// One step of a body.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Bytes that are no content.
    Bytes(Bytes),
    /// Bytes that complete a content chunk.
    Chunk(Bytes),
    /// Bytes that report the usage.
    Usage(Bytes, Usage),
    /// A pause since the step before.
    Wait(Duration),
    /// Silence until the client gives up.
    Hang,
    /// TCP reset (or close) inside the body.
    Drop { reset: bool },
}

impl Step {
    /// The bytes that it sends, where it sends any.
    fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) | Self::Chunk(bytes) | Self::Usage(bytes, _) => Some(bytes),
            Self::Wait(_) | Self::Hang | Self::Drop { .. } => None,
        }
    }
}

/// Token counts as reported to the client; signed, since nonsense is reported too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: i64,
    /// Thinking included.
    pub(super) completion: i64,
    /// Thinking, part of `completion`.
    pub(super) reasoning: i64,
    /// Read from a cache, part of `prompt`.
    pub(super) cached: i64,
}

/// The facts of a request that its reply depends on.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) format: Format,
    pub(super) seq: u64,
    pub(super) created_s: u64,
    pub(super) model: &'a str,
    pub(super) nonce: &'a str,
    pub(super) prompt_tokens: u64,
    /// Words of the answer that the request has already.
    pub(super) said: u32,
    pub(super) max_tokens: Option<u32>,
    pub(super) stream: bool,
    /// Whether the request asks for usage in a stream.
    pub(super) include_usage: bool,
    pub(super) wish: Wish,
    /// What is to be embedded, if that is asked for.
    pub(super) vectors: Option<&'a Vectors>,
}

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const PAGE: &str = "<!doctype html><html><body><h1>Sign in to the network</h1></body></html>";

/// Appends the text of content chunk `index`: `NONCE:INDEX `, where an absent nonce is `word`.
pub(crate) fn push_chunk(text: &mut Vec<u8>, nonce: &str, index: u32) {
    let nonce = if nonce.is_empty() { "word" } else { nonce };
    push(text, format_args!("{nonce}:{index} "));
}

/// The whole text a client should have received for `chunks` chunks.
pub fn expected_content(nonce: &str, chunks: u32) -> String {
    let mut text = Vec::with_capacity(chunks as usize * (nonce.len() + 4));
    (0..chunks).for_each(|index| push_chunk(&mut text, nonce, index));
    String::from_utf8_lossy(&text).into_owned()
}

impl Answer {
    fn of(content_type: &'static str, steps: Vec<Step>, ending: Outcome) -> Self {
        Self {
            status: 200,
            content_type,
            retry_after: None,
            location: None,
            header: None,
            delay: Duration::ZERO,
            steps,
            ending,
        }
    }

    /// An error in the words of a format.
    fn refused(refused: Refused) -> Self {
        let body = Step::Bytes(refused.body.into());
        Self {
            status: refused.status,
            retry_after: refused.retry_after,
            header: refused.header.map(|(name, value)| (name, value.into())),
            ..Self::of(JSON, vec![body], Outcome::Refused)
        }
    }

    /// An error of a format with this status; `code` is for formats that have codes.
    pub(super) fn error(format: Format, status: u16, message: &str, code: &str) -> Self {
        Self::refused(wire::of(format).error(status, message, code))
    }
}

/// Renders the reply that `behaviour` gives to a request.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fault is one of a completion, which the writer knows"
)]
pub(super) fn render(facts: &Facts<'_>, behaviour: &Behaviour) -> Reply {
    let mut answer = match &behaviour.fault {
        Fault::Hang => return Reply::Hang,
        Fault::Reset => return Reply::Drop { reset: true },
        Fault::Close => return Reply::Drop { reset: false },
        Fault::Status { code, retry_after } => Answer {
            retry_after: *retry_after,
            ..Answer::error(
                facts.format,
                *code,
                "the fake provider was told to fail",
                "fake_fault",
            )
        },
        Fault::Refuse(why) => Answer::refused(wire::of(facts.format).refuse(*why)),
        Fault::Html => {
            let page = Step::Bytes(Bytes::from_static(PAGE.as_bytes()));
            Answer::of("text/html; charset=utf-8", vec![page], Outcome::Refused)
        }
        Fault::GzipBomb { mebibytes } => {
            let kind = if facts.stream { SSE } else { JSON };
            let bomb = Step::Bytes(gzip::bomb(*mebibytes));
            Answer {
                header: Some(("content-encoding", "gzip".into())),
                ..Answer::of(kind, vec![bomb], Outcome::Refused)
            }
        }
        Fault::Redirect => Answer {
            status: 307,
            location: Some("/_redirected"),
            ..Answer::of(JSON, Vec::new(), Outcome::Refused)
        },
        _ if facts.stream => Writer::new(facts, behaviour).stream(),
        _ => Writer::new(facts, behaviour).unary(),
    };
    if behaviour.fault == Fault::WrongType {
        answer.content_type = "text/plain";
    }
    if let Fault::Coding(coding) = behaviour.fault {
        answer.header = Some(("content-encoding", coding.into()));
    }
    answer.delay += behaviour.first;
    Reply::Answer(answer)
}

/// Writing to memory cannot fail.
fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(text);
}
