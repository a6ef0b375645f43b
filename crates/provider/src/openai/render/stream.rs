//! Streamed answers, piece by piece.

use super::{
    WireUsage, WireWarning, extra_content, finish_reason, service_tier, write_json, write_line,
};
use crate::chat::{Aside, Chunk, Delta, Json, Ruler};
use crate::openai::audio::Telling;
use crate::openai::citations::Sources;
use crate::openai::reasoning_details::Thoughts;

/// What the head of an event ends with.
const CHOICES: &[u8] = b",\"choices\":[";

/// Writes the chunks of one streamed answer as server-sent events.
///
/// What every event of a stream shares is rendered once, so that an event costs its delta.
#[derive(Debug)]
pub struct ChunkRenderer {
    /// `data: {…,"choices":[`
    head: Vec<u8>,
    /// How much of it is the same whatever the provider tells.
    same: usize,
    /// What is told beside the answer with the next event: `,"name":…` each.
    beside: Vec<u8>,
    include_usage: bool,
    usage_report: Option<Json>,
    begun: Vec<Begun>,
}

/// A choice that something was told of.
#[derive(Debug, Default)]
struct Begun {
    choice: u32,
    /// Whether its role was told.
    told: bool,
    /// What is told beside it with its next event.
    beside: Vec<u8>,
    thoughts: Thoughts,
    ruler: Ruler,
}

impl ChunkRenderer {
    /// A renderer for the answer of this id, model name as shown to the caller, and creation time
    /// in Unix seconds.
    #[must_use]
    pub fn new(id: &str, model: &str, created: u64, include_usage: bool) -> Self {
        let mut head = b"data: {\"id\":".to_vec();
        write_json(id, &mut head);
        head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        write_json(&created, &mut head);
        head.extend_from_slice(b",\"model\":");
        write_json(model, &mut head);
        let same = head.len();
        head.extend_from_slice(CHOICES);
        Self {
            head,
            same,
            beside: Vec::new(),
            include_usage,
            usage_report: None,
            begun: Vec::new(),
        }
    }

    /// Appends the events for one chunk to `out`: none for `Chunk::Start`, none for usage that was
    /// not asked for.
    pub fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        match chunk {
            Chunk::Start { .. } => {}
            Chunk::Warning(warning) => {
                out.extend_from_slice(&self.head);
                out.extend_from_slice(b"],\"warnings\":[");
                write_json(&WireWarning::from(warning), out);
                out.extend_from_slice(b"]}\n\n");
            }
            Chunk::Delta { choice, delta } => self.delta(*choice, delta, out),
            Chunk::Finish { choice, reason } => {
                self.begin(*choice, out);
                self.open(*choice, out);
                out.push(b'}');
                let mut quoted = Vec::with_capacity(16);
                write_json(finish_reason(*reason), &mut quoted);
                self.close(*choice, &quoted, out);
            }
            Chunk::Aside(aside) => self.aside(aside),
            Chunk::UsageReport(report) => self.usage_report = Some(report.clone()),
            Chunk::Usage(usage) if self.include_usage => {
                out.extend_from_slice(&self.head);
                out.extend_from_slice(b"],\"usage\":");
                write_line(&WireUsage::of(usage, self.usage_report.as_ref()), out);
                if let Some(tier) = service_tier(usage) {
                    write_field(b",\"service_tier\":", tier, out);
                }
                out.extend_from_slice(b"}\n\n");
            }
            Chunk::Usage(_) => {}
        }
    }

    /// What is told beside the answer goes with what is told of it next: clients look for a choice in every event.
    fn aside(&mut self, aside: &Aside) {
        match aside {
            Aside::Fingerprint(name) => {
                self.head.truncate(self.same);
                write_field(b",\"system_fingerprint\":", name, &mut self.head);
                self.head.extend_from_slice(CHOICES);
            }
            Aside::StopSequence { choice, text } => {
                write_field(
                    b",\"stop_sequence\":",
                    text,
                    &mut self.begun(*choice).beside,
                );
            }
            Aside::Detail {
                choice,
                name,
                value,
            } => {
                let beside = match choice {
                    Some(choice) => &mut self.begun(*choice).beside,
                    None => &mut self.beside,
                };
                beside.push(b',');
                write_json(name, beside);
                beside.push(b':');
                write_line(value, beside);
            }
        }
    }

    /// Appends an event that names the limit which ended the answer before its own end.
    pub fn stopped_by(&self, limit: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.push(b']');
        write_field(b",\"stopped_by\":", limit, out);
        out.extend_from_slice(b"}\n\n");
    }

    /// Appends the sentinel that ends a whole answer. A stream that failed must not get it.
    pub fn done(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn delta(&mut self, choice: u32, delta: &Delta, out: &mut Vec<u8>) {
        self.begin(choice, out);
        self.begun(choice).ruler.take(delta);
        if let Delta::ToolState { state, .. } = delta
            && extra_content::of(std::slice::from_ref(state)).is_none()
        {
            return;
        }
        self.open(choice, out);
        match delta {
            Delta::Logprobs(logprobs) => {
                out.extend_from_slice(b"},\"logprobs\":");
                write_line(logprobs, out);
                return self.close(choice, b"null", out);
            }
            Delta::Reasoning(text) => {
                self.begun(choice).thoughts.think(text);
                write_delta(delta, out);
            }
            Delta::ReasoningState(state) => {
                out.extend_from_slice(b"\"reasoning_details\":");
                self.begun(choice)
                    .thoughts
                    .tell(state, |details| write_json(details, out));
            }
            Delta::Citation(citation) => {
                let mut sources = Sources::default();
                sources.add(citation, &self.begun(choice).ruler);
                // The delta is an object like this one, and open.
                out.pop();
                write_json(&sources, out);
                return self.close(choice, b"null", out);
            }
            Delta::Text(_)
            | Delta::Refusal(_)
            | Delta::ToolCall { .. }
            | Delta::ToolArguments { .. }
            | Delta::Audio(_)
            | Delta::ToolState { .. } => write_delta(delta, out),
        }
        out.push(b'}');
        self.close(choice, b"null", out);
    }

    /// Tells a choice's role before anything else of it.
    fn begin(&mut self, choice: u32, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun(choice).told, true) {
            return;
        }
        self.open(choice, out);
        out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\"}");
        self.close(choice, b"null", out);
    }

    /// What was told of a choice.
    fn begun(&mut self, choice: u32) -> &mut Begun {
        let at = self.begun.iter().position(|it| it.choice == choice);
        let at = at.unwrap_or_else(|| {
            self.begun.push(Begun {
                choice,
                ..Begun::default()
            });
            self.begun.len() - 1
        });
        &mut self.begun[at]
    }

    fn open(&self, choice: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":");
        write_json(&choice, out);
        out.extend_from_slice(b",\"delta\":{");
    }

    fn close(&mut self, choice: u32, finish_reason: &[u8], out: &mut Vec<u8>) {
        out.append(&mut self.begun(choice).beside);
        out.extend_from_slice(b",\"finish_reason\":");
        out.extend_from_slice(finish_reason);
        out.extend_from_slice(b"}]");
        out.append(&mut self.beside);
        let end: &[u8] = if self.include_usage {
            b",\"usage\":null}\n\n"
        } else {
            b"}\n\n"
        };
        out.extend_from_slice(end);
    }
}

fn write_delta(delta: &Delta, out: &mut Vec<u8>) {
    match delta {
        Delta::Text(text) => write_field(b"\"content\":", text, out),
        Delta::Refusal(text) => write_field(b"\"refusal\":", text, out),
        Delta::Reasoning(text) => write_field(b"\"reasoning_content\":", text, out),
        Delta::ToolCall { index, id, name } => {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            write_json(index, out);
            write_field(b",\"id\":", id, out);
            write_field(b",\"type\":\"function\",\"function\":{\"name\":", name, out);
            out.extend_from_slice(b",\"arguments\":\"\"}}]");
        }
        Delta::ToolArguments { index, fragment } => {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            write_json(index, out);
            write_field(b",\"function\":{\"arguments\":", fragment, out);
            out.extend_from_slice(b"}}]");
        }
        Delta::ToolState { index, state } => {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            write_json(index, out);
            out.extend_from_slice(b",\"extra_content\":");
            write_json(&extra_content::of(std::slice::from_ref(state)), out);
            out.extend_from_slice(b"}]");
        }
        Delta::Audio(more) => {
            out.extend_from_slice(b"\"audio\":");
            write_json(&Telling::more(more), out);
        }
        // State of thoughts and sources are told with what was told before, log-probabilities beside the delta.
        Delta::ReasoningState(_) | Delta::Citation(_) | Delta::Logprobs(_) => {}
    }
}

fn write_field(name: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    write_json(text, out);
}
