//! Bedrock's Converse.

use super::{Call, Completion, Event, Finish, Piece, Refusals, Refused, Role, TOOL, Wire};
use crate::provider::behaviour::Refusal;
use crate::provider::reply::Usage;

/// The content block that is open, and how many there were.
#[derive(Debug, Default)]
pub(in crate::provider::reply) struct Bedrock {
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

const REFUSALS: Refusals = [
    (
        Refusal::Rate,
        429,
        "ThrottlingException",
        "Too many requests, please wait before trying again.",
    ),
    (
        Refusal::Quota,
        400,
        "ServiceQuotaExceededException",
        "Your request exceeds the service quota for your account.",
    ),
    (
        Refusal::Ramp,
        429,
        "ThrottlingException",
        "Too many tokens, please wait before trying again.",
    ),
    (
        Refusal::Overload,
        503,
        "ServiceUnavailableException",
        "Bedrock is unable to process your request.",
    ),
    (
        Refusal::Context,
        400,
        "ValidationException",
        "Input is too long for requested model.",
    ),
    (
        Refusal::Filter,
        400,
        "ValidationException",
        "Your request was blocked by a content filter.",
    ),
    (
        Refusal::Key,
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
];

impl Wire for Bedrock {
    fn unary(&self, completion: &Completion<'_>, thinking: &str, text: &str) -> String {
        let mut blocks = Vec::new();
        if !thinking.is_empty() {
            let signature = completion.signature();
            blocks.push(format!(
                r#"{{"reasoningContent":{{"reasoningText":{{"text":"{thinking}","signature":"{signature}"}}}}}}"#
            ));
        }
        if !text.is_empty() {
            blocks.push(format!(r#"{{"text":"{text}"}}"#));
        }
        blocks.extend(completion.calls.iter().map(|call| {
            format!(
                r#"{{"toolUse":{{"toolUseId":"{}","name":"{TOOL}","input":{}}}}}"#,
                call.id, call.arguments
            )
        }));
        let usage = match completion.usage {
            Some(told) => format!(r#","usage":{{{}}}"#, usage(told)),
            None => String::new(),
        };
        format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{}]}}}},"stopReason":"{}"{usage},"metrics":{{"latencyMs":1}}}}"#,
            blocks.join(","),
            reason(completion.finish)
        )
    }

    fn start(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        self.signature = completion.signature();
        let data = r#"{"role":"assistant"}"#.to_owned();
        vec![Event::plain("messageStart", data)]
    }

    fn piece(&mut self, _completion: &Completion<'_>, piece: Piece<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        match piece {
            Piece::Thinking(text) => {
                self.open(Block::Thinking, &mut events);
                let delta = format!(r#"{{"reasoningContent":{{"text":"{text}"}}}}"#);
                events.push(self.delta(&delta));
            }
            Piece::Search => {}
            Piece::Text(text) => {
                self.open(Block::Text, &mut events);
                events.push(self.delta(&format!(r#"{{"text":"{text}"}}"#)));
            }
            Piece::Call(call) => self.call(call, &mut events),
        }
        events
    }

    fn end(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.close(&mut events);
        let stop = format!(r#"{{"stopReason":"{}"}}"#, reason(completion.finish));
        events.push(Event::plain("messageStop", stop));
        if let Some(told) = completion.usage {
            let data = format!(
                r#"{{"usage":{{{}}},"metrics":{{"latencyMs":1}}}}"#,
                usage(told)
            );
            events.push(Event::of(Role::Usage, "metadata", data));
        }
        events
    }

    fn broken(&self) -> Event {
        let data = r#"{"message":"The model is overloaded."}"#.to_owned();
        Event::of(Role::Error, "serviceUnavailableException", data)
    }

    fn error(&self, status: u16, message: &str, _code: &str) -> Refused {
        let kind = match status {
            403 => "AccessDeniedException",
            404 => "ResourceNotFoundException",
            408 => "ModelTimeoutException",
            424 => "ModelErrorException",
            429 => "ThrottlingException",
            400..=499 => "ValidationException",
            503 => "ServiceUnavailableException",
            _ => "InternalServerException",
        };
        refused(status, kind, message)
    }

    fn refuse(&self, why: Refusal) -> Refused {
        let (status, kind, message) = super::row(&REFUSALS, why);
        refused(status, kind, message)
    }
}

impl Bedrock {
    /// Begins a block, unless it is the one that is open. Only calls have an event for it.
    fn open(&mut self, block: Block, events: &mut Vec<Event>) {
        if self.open != Some(block) || block == Block::Call {
            self.close(events);
            self.open = Some(block);
            self.blocks += 1;
        }
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        let Some(block) = self.open.take() else {
            return;
        };
        if block == Block::Thinking {
            let signature = &self.signature;
            let delta = format!(r#"{{"reasoningContent":{{"signature":"{signature}"}}}}"#);
            events.push(self.delta(&delta));
        }
        let data = format!(r#"{{"contentBlockIndex":{}}}"#, self.index());
        events.push(Event::plain("contentBlockStop", data));
    }

    fn index(&self) -> u32 {
        self.blocks.saturating_sub(1)
    }

    fn delta(&self, delta: &str) -> Event {
        let data = format!(
            r#"{{"contentBlockIndex":{},"delta":{delta}}}"#,
            self.index()
        );
        Event::plain("contentBlockDelta", data)
    }

    fn call(&mut self, call: &Call, events: &mut Vec<Event>) {
        self.open(Block::Call, events);
        let start = format!(
            r#"{{"contentBlockIndex":{},"start":{{"toolUse":{{"toolUseId":"{}","name":"{TOOL}"}}}}}}"#,
            self.index(),
            call.id
        );
        events.push(Event::plain("contentBlockStart", start));
        let (first, second) = call.arguments.split_at(call.arguments.len() / 2);
        for piece in [first, second] {
            let piece = serde_json::Value::from(piece);
            events.push(self.delta(&format!(r#"{{"toolUse":{{"input":{piece}}}}}"#)));
        }
    }
}

fn refused(status: u16, kind: &'static str, message: &str) -> Refused {
    Refused {
        status,
        retry_after: None,
        header: Some(("x-amzn-errortype", kind)),
        body: serde_json::json!({ "message": message }).to_string(),
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Calls => "tool_use",
        Finish::Filtered => "guardrail_intervened",
    }
}

/// What was read from the cache is not part of `inputTokens`.
fn usage(usage: Usage) -> String {
    let fresh = usage.prompt - usage.cached;
    let (cached, output) = (usage.cached, usage.completion);
    let total = usage.prompt + output;
    format!(
        r#""inputTokens":{fresh},"outputTokens":{output},"totalTokens":{total},"cacheReadInputTokens":{cached},"cacheWriteInputTokens":0"#
    )
}
