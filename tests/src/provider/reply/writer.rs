//! Renders completions, whole or as a stream, with their oddities.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most faults change one place of a reply and leave the others as they are"
)]

use std::time::Duration;

use bytes::Bytes;

use super::framing::Framing;
use super::strange::{self, Strange};
use super::wire::{self, Call, Completion, Event, Finish, Piece, Role, Wire};
use super::{Answer, Facts, JSON, Step, Usage, push_chunk};
use crate::provider::behaviour::{Behaviour, Cut, Fault};
use crate::provider::format::Format;
use crate::provider::ledger::Outcome;
use crate::provider::request::Wish;

/// Time for bytes on their way to reach the client before a reset overtakes them.
const BEFORE_DROP: Duration = Duration::from_millis(10);

/// What stands in the text of an answer for content that is too large to be rendered in one go.
const GIANT: &str = "<giant>";

/// Renders one completion.
pub(super) struct Writer<'a> {
    facts: &'a Facts<'a>,
    behaviour: &'a Behaviour,
    wire: Box<dyn Wire>,
    framing: Framing,
    completion: Completion<'a>,
    chunks: u32,
    /// Whether the content is JSON.
    json: bool,
    /// The chunks that the answer has already.
    said: u32,
    /// What is told, whether or not it is.
    usage: Usage,
}

impl<'a> Writer<'a> {
    pub(super) fn new(facts: &'a Facts<'a>, behaviour: &'a Behaviour) -> Self {
        let cap = facts.max_tokens.unwrap_or(u32::MAX);
        let said = if behaviour.goes_on { facts.said } else { 0 };
        let json = behaviour.obliging && facts.wish == Wish::Json;
        let wanted = if json {
            1
        } else {
            behaviour.chunks.saturating_sub(said)
        };
        let chunks = wanted.min(cap);
        let called = match facts.wish {
            Wish::Call if behaviour.obliging => behaviour.calls.max(1),
            _ => behaviour.calls,
        };
        let called = if chunks < wanted { 0 } else { called };
        let usage = usage(facts, behaviour, chunks, called);
        let finish = match (chunks < wanted, called) {
            _ if behaviour.fault == Fault::Filtered => Finish::Filtered,
            (true, _) => Finish::Length,
            (false, 0) => Finish::Stop,
            (false, _) => Finish::Calls,
        };
        let calls = match finish {
            Finish::Length | Finish::Filtered => 0,
            Finish::Stop | Finish::Calls => called,
        };
        let call = |index| Call {
            index,
            id: format!("call_{}_{index}", facts.seq),
            arguments: format!(r#"{{"n":{index}}}"#),
        };
        Self {
            facts,
            behaviour,
            wire: match behaviour.strange {
                true => Box::new(Strange(wire::of(facts.format))),
                false => wire::of(facts.format),
            },
            framing: Framing::of(facts.format, behaviour.fault == Fault::Crlf),
            completion: Completion {
                facts,
                model: serde_json::Value::from(facts.model).to_string(),
                finish,
                calls: (0..calls).map(call).collect(),
                usage: (behaviour.fault != Fault::NoUsage).then_some(usage),
                streams_usage: facts.include_usage || behaviour.unasked_usage,
                thinking_in_parts: behaviour.thinking_in_parts,
                spoken: behaviour.spoken,
                searched: behaviour.searched,
            },
            chunks,
            json,
            said,
            usage,
        }
    }

    pub(super) fn unary(&self) -> Answer {
        if let Some(vectors) = self.facts.vectors {
            let mut whole = vectors.body(self.facts.model, self.completion.usage);
            if self.behaviour.strange {
                whole = strange::document(whole);
            }
            let mut answer = self.unary_of(whole.into());
            let header = vectors.header(self.completion.usage);
            answer.header = header.map(|(name, value)| (name, value.into()));
            return answer;
        }
        let mut thinking = Vec::new();
        (0..self.behaviour.thinking).for_each(|index| push_chunk(&mut thinking, "think", index));
        let mut text = Vec::with_capacity(self.chunks as usize * 16);
        (0..self.chunks).for_each(|index| self.push_content(&mut text, index));
        if let Fault::GiantLine { .. } = self.behaviour.fault {
            text = GIANT.into();
        }
        let (thinking, text) = (
            String::from_utf8_lossy(&thinking),
            String::from_utf8_lossy(&text),
        );
        self.unary_of(self.wire.unary(&self.completion, &thinking, &text).into())
    }

    /// An answer in one piece, with what goes wrong.
    fn unary_of(&self, whole: Bytes) -> Answer {
        let half = Step::Bytes(whole.slice(..whole.len() / 2));
        let done = |steps| Answer::of(JSON, steps, Outcome::Completed);
        let mut answer = match &self.behaviour.fault {
            Fault::Cut { how, .. } => self.cut(JSON, vec![half], *how),
            Fault::TruncateAt { bytes } => {
                let cut = whole.slice(..whole.len().min(*bytes));
                self.cut(JSON, vec![Step::Bytes(cut)], Cut::Truncate)
            }
            Fault::ErrorInStream { .. } => {
                let body = Bytes::from(self.wire.error(503, "overloaded", "overloaded").body);
                Answer::of(JSON, vec![Step::Bytes(body)], Outcome::Refused)
            }
            Fault::BadJson => Answer::of(JSON, vec![half], Outcome::Refused),
            Fault::NoUsage => done(vec![Step::Bytes(whole)]),
            Fault::Trickle(pause) => done(trickle(vec![Step::Usage(whole, self.usage)], *pause)),
            Fault::GiantLine { mebibytes } if self.facts.vectors.is_none() => {
                let (head, tail) = around_mark(&whole);
                let mut steps = vec![Step::Bytes(head)];
                steps.extend(giant_content(*mebibytes));
                steps.push(Step::Usage(tail, self.usage));
                done(steps)
            }
            _ => done(vec![Step::Usage(whole, self.usage)]),
        };
        answer.delay = self.behaviour.gap * self.chunks;
        answer
    }

    fn push_content(&self, text: &mut Vec<u8>, index: u32) {
        if self.json {
            return text.extend_from_slice(br#"{\"n\":42}"#);
        }
        push_chunk(text, self.facts.nonce, self.said + index);
        if self.behaviour.fault == Fault::SplitUtf8 {
            text.pop();
            text.extend_from_slice("é🦀 ".as_bytes());
        }
    }

    pub(super) fn stream(mut self) -> Answer {
        let (whole, how) = match &self.behaviour.fault {
            Fault::Cut { after, how } => (*after, Some(*how)),
            Fault::ErrorInStream { after } => (*after, None),
            _ => (self.chunks, None),
        };
        let mut steps = Vec::new();
        let start = self.wire.start(&self.completion);
        self.push_plain(&mut steps, &start);
        self.push_thinking(&mut steps);
        if self.behaviour.searched {
            let events = self.wire.piece(&self.completion, Piece::Search);
            self.push_plain(&mut steps, &events);
        }
        for index in 0..whole.min(self.chunks) {
            self.push_chunk_steps(&mut steps, index);
        }
        let content_type = self.framing.content_type();
        if let Some(how) = how {
            return self.cut(content_type, steps, how);
        }
        if matches!(self.behaviour.fault, Fault::ErrorInStream { .. }) {
            let broken = self.wire.broken();
            self.push_plain(&mut steps, &[broken]);
            return Answer::of(content_type, steps, Outcome::Cut);
        }
        self.push_end(&mut steps);
        match self.behaviour.fault {
            Fault::Trickle(pause) => steps = trickle(steps, pause),
            Fault::TruncateAt { bytes } => {
                return self.cut(content_type, first_bytes(steps, bytes), Cut::Truncate);
            }
            _ => {}
        }
        Answer::of(content_type, steps, Outcome::Completed)
    }

    fn push_plain(&self, steps: &mut Vec<Step>, events: &[Event]) {
        steps.extend(
            events
                .iter()
                .map(|event| Step::Bytes(self.framing.frame(event))),
        );
    }

    fn push_thinking(&mut self, steps: &mut Vec<Step>) {
        for index in 0..self.behaviour.thinking {
            let mut text = Vec::new();
            push_chunk(&mut text, "think", index);
            let text = String::from_utf8_lossy(&text);
            let events = self.wire.piece(&self.completion, Piece::Thinking(&text));
            self.push_plain(steps, &events);
        }
    }

    fn push_chunk_steps(&mut self, steps: &mut Vec<Step>, index: u32) {
        if !self.behaviour.gap.is_zero() {
            steps.push(Step::Wait(self.behaviour.gap));
        }
        let mut content = Vec::new();
        self.push_content(&mut content, index);
        let content = String::from_utf8_lossy(&content);
        let mut events = self.wire.piece(&self.completion, Piece::Text(&content));
        let Some(event) = events.pop() else { return };
        self.push_plain(steps, &events);
        let framed = self.framing.frame(&event);
        match &self.behaviour.fault {
            Fault::SplitUtf8 => push_split_crab(steps, &framed),
            Fault::BadJson => self.push_plain(steps, &[broken_off(&event)]),
            Fault::Comments => {
                steps.extend(self.framing.comment().map(Step::Bytes));
                steps.push(Step::Chunk(framed));
            }
            _ => steps.push(Step::Chunk(framed)),
        }
        if index > 0 {
            return;
        }
        match &self.behaviour.fault {
            Fault::MalformedLine => self.push_plain(steps, &[broken_off(&event)]),
            Fault::GiantLine { mebibytes } => self.push_giant_event(steps, *mebibytes),
            _ => {}
        }
    }

    fn push_giant_event(&mut self, steps: &mut Vec<Step>, mebibytes: u32) {
        let binary = self.framing == Framing::Binary;
        // A binary message says its length first, so it cannot be made as it goes.
        let text = if binary {
            "x".repeat(mebibytes as usize * 1024 * 1024)
        } else {
            GIANT.to_owned()
        };
        let mut events = self.wire.piece(&self.completion, Piece::Text(&text));
        let Some(event) = events.pop() else { return };
        self.push_plain(steps, &events);
        let framed = self.framing.frame(&event);
        if binary {
            return steps.push(Step::Chunk(framed));
        }
        let (head, tail) = around_mark(&framed);
        steps.push(Step::Bytes(head));
        steps.extend(giant_content(mebibytes));
        steps.push(Step::Chunk(tail));
    }

    fn push_end(&mut self, steps: &mut Vec<Step>) {
        let calls = std::mem::take(&mut self.completion.calls);
        for call in &calls {
            let events = self.wire.piece(&self.completion, Piece::Call(call));
            self.push_plain(steps, &events);
        }
        self.completion.calls = calls;
        for event in self.wire.end(&self.completion) {
            let framed = self.framing.frame(&event);
            match (event.role, &self.behaviour.fault) {
                (Role::Sentinel, Fault::NoDone) => {}
                // At its end this format says again all that it said.
                (_, Fault::BadJson) if self.facts.format == Format::Responses => {
                    self.push_plain(steps, &[broken_off(&event)]);
                }
                (Role::Usage, Fault::NoUsage) => steps.push(Step::Bytes(framed)),
                (Role::Usage, Fault::DupUsage) => {
                    let usage = Step::Usage(framed, self.usage);
                    steps.extend([usage.clone(), usage]);
                }
                (Role::Usage, _) => steps.push(Step::Usage(framed, self.usage)),
                _ => steps.push(Step::Bytes(framed)),
            }
        }
    }

    /// A reply broken off after `steps`.
    fn cut(&self, content_type: &'static str, mut steps: Vec<Step>, how: Cut) -> Answer {
        match how {
            Cut::Hang => steps.push(Step::Hang),
            Cut::Reset => steps.extend([Step::Wait(BEFORE_DROP), Step::Drop { reset: true }]),
            Cut::Close => steps.extend([Step::Wait(BEFORE_DROP), Step::Drop { reset: false }]),
            Cut::Truncate => {}
        }
        Answer::of(content_type, steps, Outcome::Cut)
    }
}

fn usage(facts: &Facts<'_>, behaviour: &Behaviour, chunks: u32, calls: u32) -> Usage {
    let honest = Usage {
        prompt: i64::try_from(facts.prompt_tokens).unwrap_or(i64::MAX),
        completion: i64::from(chunks) + i64::from(behaviour.thinking) + i64::from(calls),
        reasoning: i64::from(behaviour.thinking),
        cached: i64::from(behaviour.cached),
    };
    if facts.vectors.is_some() {
        let nonsense = behaviour.fault == Fault::UsageNonsense;
        return Usage {
            prompt: if nonsense { -1 } else { honest.prompt },
            ..Usage::default()
        };
    }
    match behaviour.fault {
        Fault::UsageLies => Usage {
            prompt: 1,
            completion: honest.completion * 10,
            ..honest
        },
        Fault::UsageNonsense => Usage {
            completion: -1,
            ..honest
        },
        _ => honest,
    }
}

/// The same event with half of its document.
fn broken_off(event: &Event) -> Event {
    let half = event.data.len() / 2;
    let half = event.data.floor_char_boundary(half);
    Event {
        data: event.data[..half].to_owned(),
        ..event.clone()
    }
}

/// What stands before and after the mark of giant content.
fn around_mark(bytes: &Bytes) -> (Bytes, Bytes) {
    let at = memchr::memmem::find(bytes, GIANT.as_bytes()).unwrap_or(0);
    (bytes.slice(..at), bytes.slice(at + GIANT.len()..))
}

/// Cuts an event inside the crab, which is four bytes long.
fn push_split_crab(steps: &mut Vec<Step>, event: &Bytes) {
    let crab = memchr::memmem::find(event, "🦀".as_bytes()).unwrap_or(0);
    steps.push(Step::Bytes(event.slice(..crab + 2)));
    // The pause keeps the two halves out of one write.
    steps.push(Step::Wait(Duration::from_millis(2)));
    steps.push(Step::Chunk(event.slice(crab + 2..)));
}

fn giant_content(mebibytes: u32) -> impl Iterator<Item = Step> {
    const BLOCK: usize = 64 * 1024;
    let block = Bytes::from(vec![b'x'; BLOCK]);
    let blocks = mebibytes as usize * (1024 * 1024 / BLOCK);
    (0..blocks).map(move |_| Step::Bytes(block.clone()))
}

/// The steps until so many bytes are sent. A chunk or usage that is cut is none.
fn first_bytes(steps: Vec<Step>, mut left: usize) -> Vec<Step> {
    let mut kept = Vec::new();
    for step in steps {
        let Some(bytes) = step.bytes() else {
            kept.push(step);
            continue;
        };
        if bytes.len() > left {
            kept.push(Step::Bytes(bytes.slice(..left)));
            break;
        }
        left -= bytes.len();
        kept.push(step);
    }
    kept
}

/// The same bytes one by one; a chunk counts with its last byte.
fn trickle(steps: Vec<Step>, pause: Duration) -> Vec<Step> {
    let mut slow = Vec::new();
    for step in steps {
        let Some(bytes) = step.bytes().cloned() else {
            slow.push(step);
            continue;
        };
        let last = bytes.len().saturating_sub(1);
        for at in 0..last {
            slow.extend([Step::Bytes(bytes.slice(at..=at)), Step::Wait(pause)]);
        }
        let tail = bytes.slice(last..);
        slow.push(match step {
            Step::Chunk(_) => Step::Chunk(tail),
            Step::Usage(_, usage) => Step::Usage(tail, usage),
            _ => Step::Bytes(tail),
        });
        slow.push(Step::Wait(pause));
    }
    slow
}
