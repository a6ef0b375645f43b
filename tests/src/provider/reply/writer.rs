//! Renders completions, whole or as a stream, with their oddities.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most faults change one place of a reply and leave the others as they are"
)]

use std::time::Duration;

use bytes::Bytes;

use super::{Answer, Facts, JSON, SSE, Step, Usage, error_body, push, push_chunk};
use crate::provider::behaviour::{Behaviour, Cut, Fault};
use crate::provider::ledger::Outcome;

/// Time for bytes on their way to reach the client before a reset overtakes them.
const BEFORE_DROP: Duration = Duration::from_millis(10);

/// Renders one completion.
pub(super) struct Writer<'a> {
    facts: &'a Facts<'a>,
    behaviour: &'a Behaviour,
    /// The model's name as a JSON string, quotes included.
    model: String,
    chunks: u32,
    finish_reason: &'static str,
    usage: Usage,
}

impl<'a> Writer<'a> {
    pub(super) fn new(facts: &'a Facts<'a>, behaviour: &'a Behaviour) -> Self {
        let cap = facts.max_tokens.unwrap_or(u32::MAX);
        let chunks = behaviour.chunks.min(cap);
        let lies = behaviour.fault == Fault::UsageLies;
        let usage = Usage {
            prompt: if lies { 1 } else { facts.prompt_tokens },
            completion: u64::from(chunks) * if lies { 10 } else { 1 },
        };
        Self {
            facts,
            behaviour,
            model: serde_json::Value::from(facts.model).to_string(),
            chunks,
            finish_reason: if chunks < behaviour.chunks {
                "length"
            } else {
                "stop"
            },
            usage,
        }
    }

    pub(super) fn unary(&self) -> Answer {
        let (head, tail) = self.unary_frame();
        let mut text = Vec::with_capacity(self.chunks as usize * 16);
        (0..self.chunks).for_each(|index| self.push_content(&mut text, index));
        let whole = Bytes::from([&head[..], &text, &tail].concat());
        let half = Step::Bytes(whole.slice(..whole.len() / 2));
        let done = |steps| Answer::of(JSON, steps, Outcome::Completed);
        let mut answer = match &self.behaviour.fault {
            Fault::Cut { how, .. } => self.cut(JSON, vec![half], *how),
            Fault::ErrorInStream { .. } => {
                let body = error_body("overloaded", "server_error", "overloaded");
                Answer::of(JSON, vec![Step::Bytes(body)], Outcome::Refused)
            }
            Fault::BadJson => Answer::of(JSON, vec![half], Outcome::Refused),
            Fault::NoUsage => done(vec![Step::Bytes(whole)]),
            Fault::Trickle(pause) => done(trickle(vec![Step::Usage(whole, self.usage)], *pause)),
            Fault::GiantLine { mebibytes } => {
                let mut steps = vec![Step::Bytes(head.into())];
                steps.extend(giant_content(*mebibytes));
                steps.push(Step::Usage(tail.into(), self.usage));
                done(steps)
            }
            _ => done(vec![Step::Usage(whole, self.usage)]),
        };
        answer.delay = self.behaviour.gap * self.chunks;
        answer
    }

    /// What precedes and what follows the content.
    fn unary_frame(&self) -> (Vec<u8>, Vec<u8>) {
        let Facts { seq, created_s, .. } = self.facts;
        let mut head = Vec::with_capacity(512);
        push(
            &mut head,
            format_args!(
                r#"{{"id":"chatcmpl-{seq}","object":"chat.completion","created":{created_s},"model":{},"choices":[{{"index":0,"message":{{"role":"assistant","content":""#,
                self.model
            ),
        );
        let mut tail = Vec::with_capacity(256);
        push(
            &mut tail,
            format_args!(
                r#"","refusal":null}},"logprobs":null,"finish_reason":"{}"}}]"#,
                self.finish_reason
            ),
        );
        if self.behaviour.fault != Fault::NoUsage {
            self.push_usage(&mut tail);
        }
        tail.push(b'}');
        (head, tail)
    }

    fn push_content(&self, text: &mut Vec<u8>, index: u32) {
        push_chunk(text, self.facts.nonce, index);
        if self.behaviour.fault == Fault::SplitUtf8 {
            text.pop();
            text.extend_from_slice("é🦀 ".as_bytes());
        }
    }

    fn push_usage(&self, out: &mut Vec<u8>) {
        let Usage { prompt, completion } = self.usage;
        let total = prompt + completion;
        push(
            out,
            format_args!(
                r#","usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#
            ),
        );
    }

    pub(super) fn stream(&self) -> Answer {
        let mut steps = vec![Step::Bytes(
            self.delta(r#"{"role":"assistant","content":""}"#, None),
        )];
        let (whole, how) = match &self.behaviour.fault {
            Fault::Cut { after, how } => (*after, Some(*how)),
            Fault::ErrorInStream { after } => (*after, None),
            _ => (self.chunks, None),
        };
        for index in 0..whole.min(self.chunks) {
            self.push_chunk_steps(&mut steps, index);
        }
        if let Some(how) = how {
            return self.cut(SSE, steps, how);
        }
        if matches!(self.behaviour.fault, Fault::ErrorInStream { .. }) {
            let error = error_body("overloaded", "server_error", "overloaded");
            steps.push(Step::Bytes(self.event(&error)));
            return Answer::of(SSE, steps, Outcome::Cut);
        }
        self.push_end(&mut steps);
        if let Fault::Trickle(pause) = self.behaviour.fault {
            steps = trickle(steps, pause);
        }
        Answer::of(SSE, steps, Outcome::Completed)
    }

    fn push_chunk_steps(&self, steps: &mut Vec<Step>, index: u32) {
        if !self.behaviour.gap.is_zero() {
            steps.push(Step::Wait(self.behaviour.gap));
        }
        let mut content = br#"{"content":""#.to_vec();
        self.push_content(&mut content, index);
        content.extend_from_slice(br#""}"#);
        let event = self.delta(&String::from_utf8_lossy(&content), None);
        match &self.behaviour.fault {
            Fault::SplitUtf8 => push_split_crab(steps, &event),
            Fault::BadJson => steps.push(Step::Bytes(self.event(br#"{"id":"chatcmpl-"#))),
            Fault::Comments => {
                steps.push(Step::Bytes(Bytes::from_static(b": still here\n\n")));
                steps.push(Step::Chunk(event));
            }
            _ => steps.push(Step::Chunk(event)),
        }
        if index > 0 {
            return;
        }
        match &self.behaviour.fault {
            Fault::MalformedLine => {
                steps.push(Step::Bytes(
                    self.event(br#"{"id":"chatcmpl-0","choices":[{"delta"#),
                ));
            }
            Fault::GiantLine { mebibytes } => self.push_giant_event(steps, *mebibytes),
            _ => {}
        }
    }

    fn push_giant_event(&self, steps: &mut Vec<Step>, mebibytes: u32) {
        const MARK: &str = "<giant>";
        let event = self.delta(&format!(r#"{{"content":"{MARK}"}}"#), None);
        let at = memchr::memmem::find(&event, MARK.as_bytes()).unwrap_or(0);
        steps.push(Step::Bytes(event.slice(..at)));
        steps.extend(giant_content(mebibytes));
        steps.push(Step::Chunk(event.slice(at + MARK.len()..)));
    }

    fn push_end(&self, steps: &mut Vec<Step>) {
        steps.push(Step::Bytes(self.delta("{}", Some(self.finish_reason))));
        let fault = &self.behaviour.fault;
        if self.facts.include_usage && *fault != Fault::NoUsage {
            let mut usage = self.chunk_head();
            usage.extend_from_slice(br#""choices":[]"#);
            self.push_usage(&mut usage);
            usage.push(b'}');
            let usage = Step::Usage(self.event(&usage), self.usage);
            if *fault == Fault::DupUsage {
                steps.push(usage.clone());
            }
            steps.push(usage);
        }
        if *fault != Fault::NoDone {
            steps.push(Step::Bytes(self.event(b"[DONE]")));
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

    fn chunk_head(&self) -> Vec<u8> {
        let Facts { seq, created_s, .. } = self.facts;
        let mut head = Vec::with_capacity(256);
        push(
            &mut head,
            format_args!(
                r#"{{"id":"chatcmpl-{seq}","object":"chat.completion.chunk","created":{created_s},"model":{},"#,
                self.model
            ),
        );
        head
    }

    fn delta(&self, delta: &str, finish_reason: Option<&str>) -> Bytes {
        let mut chunk = self.chunk_head();
        push(
            &mut chunk,
            format_args!(
                r#""choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":"#
            ),
        );
        match finish_reason {
            Some(reason) => push(&mut chunk, format_args!(r#""{reason}"}}]}}"#)),
            None => chunk.extend_from_slice(b"null}]}"),
        }
        self.event(&chunk)
    }

    fn event(&self, data: &[u8]) -> Bytes {
        let crlf = self.behaviour.fault == Fault::Crlf;
        let end: &[u8] = if crlf { b"\r\n\r\n" } else { b"\n\n" };
        [b"data: ", data, end].concat().into()
    }
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

/// The same bytes one by one; a chunk counts with its last byte.
fn trickle(steps: Vec<Step>, pause: Duration) -> Vec<Step> {
    let mut slow = Vec::new();
    for step in steps {
        let bytes = match &step {
            Step::Bytes(bytes) | Step::Chunk(bytes) | Step::Usage(bytes, _) => bytes.clone(),
            Step::Wait(_) | Step::Hang | Step::Drop { .. } => {
                slow.push(step);
                continue;
            }
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
