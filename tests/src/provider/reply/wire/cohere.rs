//! Cohere's chat API, version 2.

use super::{Call, Completion, Event, Finish, Piece, Refusals, Refused, Role, TOOL, Wire};
use crate::provider::behaviour::Refusal;
use crate::provider::reply::Usage;

/// The content block that is open, and how many there were.
#[derive(Debug, Default)]
pub(in crate::provider::reply) struct Cohere {
    open: Option<&'static str>,
    blocks: u32,
}

const REFUSALS: Refusals = [
    (
        Refusal::Rate,
        429,
        "",
        "You are using a Trial key, which is limited to 20 API calls / minute. You can continue to use the Trial key for free or upgrade to a Production key with higher rate limits.",
    ),
    (
        Refusal::Quota,
        429,
        "",
        "You are using a Trial key, which is limited to 1000 API calls / month. You can continue to use the Trial key for free or upgrade to a Production key with higher rate limits.",
    ),
    (Refusal::Ramp, 429, "", "Please wait and try again later."),
    (
        Refusal::Overload,
        503,
        "",
        "The service is temporarily unavailable.",
    ),
    (
        Refusal::Context,
        400,
        "",
        "too many tokens: total number of tokens in the prompt cannot exceed 128000 - received 128001.",
    ),
    (
        Refusal::Filter,
        498,
        "",
        "blocked input: please check the request for deny-listed tokens.",
    ),
    (Refusal::Key, 401, "", "invalid api token"),
];

impl Wire for Cohere {
    fn unary(&self, completion: &Completion<'_>, thinking: &str, text: &str) -> String {
        let mut content = Vec::new();
        if !thinking.is_empty() {
            content.push(format!(r#"{{"type":"thinking","thinking":"{thinking}"}}"#));
        }
        if !text.is_empty() {
            content.push(format!(r#"{{"type":"text","text":"{text}"}}"#));
        }
        let mut message = format!(r#"{{"role":"assistant","content":[{}]"#, content.join(","));
        if !completion.calls.is_empty() {
            let calls = super::joined(completion.calls.iter().map(|call| {
                let arguments = serde_json::Value::from(call.arguments.as_str());
                format!(
                    r#"{{"id":"{}","type":"function","function":{{"name":"{TOOL}","arguments":{arguments}}}}}"#,
                    call.id
                )
            }));
            super::add(&mut message, format_args!(r#","tool_calls":[{calls}]"#));
        }
        format!(
            r#"{{"id":"fake-{}","message":{message}}},"finish_reason":"{}"{}}}"#,
            completion.facts.seq,
            reason(completion.finish),
            usage(completion.usage)
        )
    }

    fn start(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        let data = format!(
            r#"{{"id":"fake-{}","type":"message-start","delta":{{"message":{{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}}}}"#,
            completion.facts.seq
        );
        vec![Event::plain("message-start", data)]
    }

    fn piece(&mut self, _completion: &Completion<'_>, piece: Piece<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        match piece {
            Piece::Thinking(text) => self.content("thinking", text, &mut events),
            Piece::Search => {}
            Piece::Text(text) => self.content("text", text, &mut events),
            Piece::Call(call) => self.call(call, &mut events),
        }
        events
    }

    fn end(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.close(&mut events);
        let data = format!(
            r#"{{"id":"fake-{}","type":"message-end","delta":{{"finish_reason":"{}"{}}}}}"#,
            completion.facts.seq,
            reason(completion.finish),
            usage(completion.usage)
        );
        events.push(Event::of(Role::Usage, "message-end", data));
        events
    }

    fn broken(&self) -> Event {
        let data =
            r#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"the model broke"}}"#;
        Event::of(Role::Error, "message-end", data.to_owned())
    }

    fn error(&self, status: u16, message: &str, _code: &str) -> Refused {
        Refused {
            status,
            retry_after: None,
            header: None,
            body: error(message),
        }
    }

    fn refuse(&self, why: Refusal) -> Refused {
        let (status, _, message) = super::row(&REFUSALS, why);
        self.error(status, message, "")
    }
}

impl Cohere {
    fn content(&mut self, kind: &'static str, text: &str, events: &mut Vec<Event>) {
        if self.open != Some(kind) {
            self.close(events);
            self.open = Some(kind);
            self.blocks += 1;
            let data = format!(
                r#"{{"type":"content-start","index":{},"delta":{{"message":{{"content":{{"type":"{kind}","{kind}":""}}}}}}}}"#,
                self.blocks - 1
            );
            events.push(Event::plain("content-start", data));
        }
        let data = format!(
            r#"{{"type":"content-delta","index":{},"delta":{{"message":{{"content":{{"{kind}":"{text}"}}}}}}}}"#,
            self.blocks.saturating_sub(1)
        );
        events.push(Event::plain("content-delta", data));
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        if self.open.take().is_some() {
            let index = self.blocks.saturating_sub(1);
            let data = format!(r#"{{"type":"content-end","index":{index}}}"#);
            events.push(Event::plain("content-end", data));
        }
    }

    fn call(&mut self, call: &Call, events: &mut Vec<Event>) {
        self.close(events);
        let index = call.index;
        let start = format!(
            r#"{{"type":"tool-call-start","index":{index},"delta":{{"message":{{"tool_calls":{{"id":"{}","type":"function","function":{{"name":"{TOOL}","arguments":""}}}}}}}}}}"#,
            call.id
        );
        events.push(Event::plain("tool-call-start", start));
        let (first, second) = call.arguments.split_at(call.arguments.len() / 2);
        for piece in [first, second] {
            let piece = serde_json::Value::from(piece);
            let data = format!(
                r#"{{"type":"tool-call-delta","index":{index},"delta":{{"message":{{"tool_calls":{{"function":{{"arguments":{piece}}}}}}}}}}}"#
            );
            events.push(Event::plain("tool-call-delta", data));
        }
        let end = format!(r#"{{"type":"tool-call-end","index":{index}}}"#);
        events.push(Event::plain("tool-call-end", end));
    }
}

fn error(message: &str) -> String {
    serde_json::json!({ "id": "fake", "message": message }).to_string()
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        // It has no word for a filter.
        Finish::Stop | Finish::Filtered => "COMPLETE",
        Finish::Length => "MAX_TOKENS",
        Finish::Calls => "TOOL_CALL",
    }
}

/// The preamble of three tokens is not billed.
fn usage(usage: Option<Usage>) -> String {
    let Some(usage) = usage else {
        return String::new();
    };
    let billed = (usage.prompt - 3).max(0);
    format!(
        r#","usage":{{"billed_units":{{"input_tokens":{billed},"output_tokens":{completion}}},"tokens":{{"input_tokens":{prompt},"output_tokens":{completion}}},"cached_tokens":{cached}}}"#,
        completion = usage.completion,
        prompt = usage.prompt,
        cached = usage.cached
    )
}
