//! Anthropic messages.

use super::{Call, Completion, Event, Finish, Piece, Refusals, Refused, Role, TOOL, Wire};
use crate::provider::behaviour::Refusal;
use crate::provider::reply::Usage;

/// The content block that is open, and how many there were.
#[derive(Debug, Default)]
pub(in crate::provider::reply) struct Anthropic {
    open: Option<Block>,
    blocks: u32,
    signature: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Thinking,
    Text,
    Call,
}

/// What a search of the provider's own found.
const FOUND: &str = r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_fake","caller":{"type":"direct"},"content":[{"type":"web_search_result","url":"https://sky.example","title":"Sky","encrypted_content":"c2VjcmV0","page_age":null}]}"#;

const REFUSALS: Refusals = [
    (
        Refusal::Rate,
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 50 requests per minute.",
    ),
    (
        Refusal::Quota,
        402,
        "billing_error",
        "Your credit balance is too low to access the API.",
    ),
    (
        Refusal::Ramp,
        429,
        "rate_limit_error",
        "This request would exceed your organization's acceleration limit.",
    ),
    (Refusal::Overload, 529, "overloaded_error", "Overloaded"),
    (
        Refusal::Context,
        400,
        "invalid_request_error",
        "prompt is too long: 200001 tokens > 200000 maximum",
    ),
    (
        Refusal::Filter,
        400,
        "invalid_request_error",
        "Output blocked by content filtering policy",
    ),
    (
        Refusal::Key,
        401,
        "authentication_error",
        "invalid x-api-key",
    ),
];

impl Wire for Anthropic {
    fn unary(&self, completion: &Completion<'_>, thinking: &str, text: &str) -> String {
        let mut blocks = Vec::new();
        if !thinking.is_empty() {
            let signature = completion.signature();
            blocks.push(format!(
                r#"{{"type":"thinking","thinking":"{thinking}","signature":"{signature}"}}"#
            ));
        }
        if completion.searched {
            blocks.push(search(r#"{"query":"sky"}"#));
            blocks.push(FOUND.to_owned());
        }
        if !text.is_empty() {
            blocks.push(format!(r#"{{"type":"text","text":"{text}"}}"#));
        }
        blocks.extend(completion.calls.iter().map(|call| {
            format!(
                r#"{{"type":"tool_use","id":"{}","name":"{TOOL}","input":{}}}"#,
                call.id, call.arguments
            )
        }));
        let usage = match completion.usage {
            Some(usage) => {
                let output = output(completion, usage);
                format!(r#","usage":{{{},{output}}}"#, input(usage))
            }
            None => String::new(),
        };
        format!(
            r#"{{"id":"msg_{}","type":"message","role":"assistant","model":{},"content":[{}],"stop_reason":"{}","stop_sequence":null{usage}}}"#,
            completion.facts.seq,
            completion.model,
            blocks.join(","),
            reason(completion.finish)
        )
    }

    fn start(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        self.signature = completion.signature();
        let usage = match completion.usage {
            Some(usage) => format!(r#","usage":{{{},"output_tokens":1}}"#, input(usage)),
            None => String::new(),
        };
        let start = format!(
            r#"{{"type":"message_start","message":{{"id":"msg_{}","type":"message","role":"assistant","model":{},"content":[],"stop_reason":null,"stop_sequence":null{usage}}}}}"#,
            completion.facts.seq, completion.model
        );
        vec![
            Event::plain("message_start", start),
            Event::plain("ping", r#"{"type":"ping"}"#.to_owned()),
        ]
    }

    fn piece(&mut self, _completion: &Completion<'_>, piece: Piece<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        match piece {
            Piece::Thinking(text) => {
                let block = r#"{"type":"thinking","thinking":"","signature":""}"#;
                self.open(Block::Thinking, block, &mut events);
                let delta = format!(r#"{{"type":"thinking_delta","thinking":"{text}"}}"#);
                events.push(self.delta(&delta));
            }
            Piece::Search => self.search(&mut events),
            Piece::Text(text) => {
                self.open(Block::Text, r#"{"type":"text","text":""}"#, &mut events);
                let delta = format!(r#"{{"type":"text_delta","text":"{text}"}}"#);
                events.push(self.delta(&delta));
            }
            Piece::Call(call) => self.call(call, &mut events),
        }
        events
    }

    fn end(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.close(&mut events);
        let usage = match completion.usage {
            Some(usage) => format!(r#","usage":{{{}}}"#, output(completion, usage)),
            None => String::new(),
        };
        let delta = format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":"{}","stop_sequence":null}}{usage}}}"#,
            reason(completion.finish)
        );
        events.push(Event::of(Role::Usage, "message_delta", delta));
        let stop = r#"{"type":"message_stop"}"#.to_owned();
        events.push(Event::of(Role::Sentinel, "message_stop", stop));
        events
    }

    fn broken(&self) -> Event {
        Event::of(
            Role::Error,
            "error",
            error("overloaded_error", "Overloaded"),
        )
    }

    fn error(&self, status: u16, message: &str, _code: &str) -> Refused {
        let kind = match status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        Refused {
            status,
            retry_after: None,
            header: None,
            body: error(kind, message),
        }
    }

    fn refuse(&self, why: Refusal) -> Refused {
        let (status, kind, message) = super::row(&REFUSALS, why);
        Refused {
            status,
            retry_after: (why == Refusal::Rate).then_some(2),
            header: None,
            body: error(kind, message),
        }
    }
}

impl Anthropic {
    /// Begins a block, unless it is the one that is open.
    fn open(&mut self, block: Block, content: &str, events: &mut Vec<Event>) {
        if self.open == Some(block) && block != Block::Call {
            return;
        }
        self.close(events);
        let index = self.blocks;
        self.blocks += 1;
        self.open = Some(block);
        let start = format!(
            r#"{{"type":"content_block_start","index":{index},"content_block":{content}}}"#
        );
        events.push(Event::plain("content_block_start", start));
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        let Some(block) = self.open.take() else {
            return;
        };
        if block == Block::Thinking {
            let signature = &self.signature;
            let delta = format!(r#"{{"type":"signature_delta","signature":"{signature}"}}"#);
            events.push(self.delta(&delta));
        }
        let stop = format!(
            r#"{{"type":"content_block_stop","index":{}}}"#,
            self.blocks.saturating_sub(1)
        );
        events.push(Event::plain("content_block_stop", stop));
    }

    fn delta(&self, delta: &str) -> Event {
        let index = self.blocks.saturating_sub(1);
        let data = format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#);
        Event::plain("content_block_delta", data)
    }

    /// A search, whose query comes in pieces, and what it found.
    fn search(&mut self, events: &mut Vec<Event>) {
        self.open(Block::Call, &search("{}"), events);
        for piece in ["", r#"{"query":"#, r#""sky"}"#] {
            let piece = serde_json::Value::from(piece);
            let delta = format!(r#"{{"type":"input_json_delta","partial_json":{piece}}}"#);
            events.push(self.delta(&delta));
        }
        self.open(Block::Call, FOUND, events);
    }

    fn call(&mut self, call: &Call, events: &mut Vec<Event>) {
        let block = format!(
            r#"{{"type":"tool_use","id":"{}","name":"{TOOL}","input":{{}}}}"#,
            call.id
        );
        self.open(Block::Call, &block, events);
        let (first, second) = call.arguments.split_at(call.arguments.len() / 2);
        for piece in ["", first, second] {
            let piece = serde_json::Value::from(piece);
            let delta = format!(r#"{{"type":"input_json_delta","partial_json":{piece}}}"#);
            events.push(self.delta(&delta));
        }
    }
}

/// A search that the provider makes itself.
fn search(input: &str) -> String {
    format!(
        r#"{{"type":"server_tool_use","id":"srvtoolu_fake","name":"web_search","input":{input},"caller":{{"type":"direct"}}}}"#
    )
}

fn error(kind: &str, message: &str) -> String {
    let error = serde_json::json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": "req_fake",
    });
    error.to_string()
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Calls => "tool_use",
        Finish::Filtered => "refusal",
    }
}

/// What was read from the cache is not part of `input_tokens`.
fn input(usage: Usage) -> String {
    let fresh = usage.prompt - usage.cached;
    let cached = usage.cached;
    format!(
        r#""input_tokens":{fresh},"cache_creation_input_tokens":0,"cache_read_input_tokens":{cached}"#
    )
}

fn output(completion: &Completion<'_>, usage: Usage) -> String {
    let searched = if completion.searched {
        r#","server_tool_use":{"web_search_requests":1,"web_fetch_requests":0}"#
    } else {
        ""
    };
    format!(r#""output_tokens":{}{searched}"#, usage.completion)
}
