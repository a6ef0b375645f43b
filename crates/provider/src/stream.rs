//! What every streamed answer has in common, whatever the format says in its events: it can fail for
//! good, it ends once, usage is the last word, and some servers tell an error as a plain body under a
//! status of success.

use crate::chat::{Chunk, Json, Usage};
use crate::failure::{Class, Failure};
use crate::sse;

/// How much of a body is kept that does not look like a stream.
const MOST_HEAD: usize = 8 * 1024;

/// How the events of a body are told from each other.
pub(crate) trait Frames: Default {
    /// One event, as it stands in the body.
    type Event<'a>;
    /// Why no more events can be told from each other.
    type Error: std::fmt::Display;

    /// Takes the next bytes and hands every event they complete to `sink`.
    ///
    /// # Errors
    /// The bytes are no such frames; there will be no more events.
    fn push(&mut self, bytes: &[u8], sink: impl FnMut(Self::Event<'_>)) -> Result<(), Self::Error>;

    /// Hands over what still waits for its end, when the body is over, if that can be.
    ///
    /// # Errors
    /// As from `push`.
    fn finish(&mut self, sink: impl FnMut(Self::Event<'_>)) -> Result<(), Self::Error>;
}

impl Frames for sse::Decoder {
    type Event<'a> = sse::Event<'a>;
    type Error = sse::TooLong;

    fn push(&mut self, bytes: &[u8], sink: impl FnMut(sse::Event<'_>)) -> Result<(), sse::TooLong> {
        self.push(bytes, sink)
    }

    fn finish(&mut self, sink: impl FnMut(sse::Event<'_>)) -> Result<(), sse::TooLong> {
        self.finish(sink)
    }
}

/// What a format reads out of the events of one answer.
pub(crate) trait Answer<F: Frames = sse::Decoder> {
    /// Takes one event and appends what it brings to `out`; says whether more may come.
    ///
    /// # Errors
    /// The failure that ends the stream.
    fn take(&mut self, event: F::Event<'_>, out: &mut Vec<Chunk>) -> Result<Next, Failure>;

    /// The body is over and nothing said that the answer was: it is whole nevertheless, or not.
    ///
    /// # Errors
    /// `Class::Truncated` where something is missing.
    fn end(&mut self) -> Result<(), Failure>;

    /// The error that a body without any event tells, if it tells one.
    fn error_of(body: &[u8]) -> Option<Failure>;

    /// The latest usage told.
    fn usage(&self) -> Option<Usage>;

    /// The latest report of usage, as it was sent.
    fn usage_report(&self) -> Option<Json>;

    /// How many events could not be read and were skipped.
    fn malformed(&self) -> u64;
}

/// The failure of a stream that ended before its answer did, in words for that; so many of its events could not be read.
pub(crate) fn truncated(ended: &str, malformed: u64) -> Failure {
    let detail = format!("{ended}, {malformed} events unreadable");
    Failure::new(Class::Truncated, detail)
}

/// Fails where there may have been an answer, of which nothing could be read.
///
/// # Errors
/// There was no content, and events that could not be read.
pub(crate) fn readable(any_content: bool, malformed: u64) -> Result<(), Failure> {
    if any_content || malformed == 0 {
        return Ok(());
    }
    let detail = format!("no content, and {malformed} events unreadable");
    Err(Failure::new(Class::Server, detail))
}

/// What follows an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// More may come.
    More,
    /// Nothing: everything was there.
    Nothing,
}

/// Decodes the body of one streamed answer.
#[derive(Debug)]
pub(crate) struct Decoder<A, F = sse::Decoder> {
    frames: F,
    reading: Reading<A>,
    /// The beginning of the body, until the first event.
    head: Vec<u8>,
}

/// What becomes of events.
#[derive(Debug)]
struct Reading<A> {
    phase: Phase,
    answer: A,
    any_event: bool,
    /// Whether the pieces of one text are made one.
    joins: bool,
}

#[derive(Debug)]
enum Phase {
    /// More may come.
    Open,
    /// The provider said that nothing more comes, and everything was there.
    Done,
    /// The stream has failed, for good.
    Failed(Failure),
}

impl<F: Frames, A: Answer<F>> Decoder<A, F> {
    pub(crate) fn new(answer: A) -> Self {
        Self {
            frames: F::default(),
            reading: Reading {
                phase: Phase::Open,
                answer,
                any_event: false,
                joins: false,
            },
            head: Vec::new(),
        }
    }

    /// As `codec::StreamDecoder::joining`.
    pub(crate) fn joining(mut self) -> Self {
        self.reading.joins = true;
        self
    }

    /// As `codec::StreamDecoder::push`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.check()?;
        if self.is_done() {
            return Ok(());
        }
        let Self {
            frames, reading, ..
        } = self;
        let taken = frames.push(bytes, |event| reading.take::<F>(event, out));
        self.framed(taken.err());
        if self.reading.any_event {
            self.head = Vec::new();
        } else {
            let room = MOST_HEAD - self.head.len();
            self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.check()
    }

    /// As `codec::StreamDecoder::finish`.
    pub(crate) fn finish(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.check()?;
        if self.is_done() {
            return Ok(());
        }
        let Self {
            frames, reading, ..
        } = self;
        let taken = frames.finish(|event| reading.take::<F>(event, out));
        self.framed(taken.err());
        if !self.reading.any_event
            && let Some(failure) = A::error_of(&self.head)
        {
            self.reading.phase = Phase::Failed(failure);
        }
        if matches!(self.reading.phase, Phase::Open) {
            self.reading.phase = match self.reading.answer.end() {
                Ok(()) => Phase::done(&self.reading.answer, out),
                Err(failure) => Phase::Failed(failure),
            };
        }
        self.check()
    }

    /// Notes that there will be no more events. What came before it counts: an end, or a failure.
    fn framed(&mut self, broken: Option<F::Error>) {
        if let (Some(broken), Phase::Open) = (broken, &self.reading.phase) {
            self.reading.phase = Phase::Failed(Failure::new(Class::Server, broken.to_string()));
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.reading.phase, Phase::Done)
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.reading.answer.usage()
    }

    pub(crate) fn malformed(&self) -> u64 {
        self.reading.answer.malformed()
    }

    fn check(&self) -> Result<(), Failure> {
        match &self.reading.phase {
            Phase::Open | Phase::Done => Ok(()),
            Phase::Failed(failure) => Err(failure.clone()),
        }
    }
}

/// Makes the pieces from `from` on one with what they go on with.
fn join(out: &mut Vec<Chunk>, from: usize) {
    let mut at = from.max(1);
    while at < out.len() {
        let (before, after) = out.split_at_mut(at);
        let joined = match (before.last_mut(), after.first()) {
            (Some(piece), Some(next)) => piece.join(next),
            _ => false,
        };
        if joined {
            out.remove(at);
        } else {
            at += 1;
        }
    }
}

impl<A> Reading<A> {
    /// Takes one event. Whatever comes after the end or a failure is ignored.
    fn take<F: Frames>(&mut self, event: F::Event<'_>, out: &mut Vec<Chunk>)
    where
        A: Answer<F>,
    {
        self.any_event = true;
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let before = out.len();
        match self.answer.take(event, out) {
            Ok(Next::More) => {}
            Ok(Next::Nothing) => self.phase = Phase::done(&self.answer, out),
            Err(failure) => self.phase = Phase::Failed(failure),
        }
        if self.joins {
            join(out, before);
        }
    }
}

impl Phase {
    fn done<F: Frames, A: Answer<F>>(answer: &A, out: &mut Vec<Chunk>) -> Self {
        out.extend(answer.usage_report().map(Chunk::UsageReport));
        out.extend(answer.usage().map(Chunk::Usage));
        Self::Done
    }
}
