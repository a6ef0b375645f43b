//! `OpenAI` chat completions.

use super::{
    Call, Completion, Event, Finish, Piece, Refusals, Refused, Role, TOOL, Wire, add, sound,
};
use crate::provider::behaviour::Refusal;
use crate::provider::reply::Usage;

#[derive(Debug, Default)]
pub(in crate::provider::reply) struct OpenAi {
    /// Whether a thought told as a part of the content still lacks its signature.
    unsigned: bool,
}

/// Until when sound is kept, in Unix seconds.
const EXPIRES_AT: u64 = 4_000_000_000;

const REFUSALS: Refusals = [
    (Refusal::Rate, 429, "requests", "rate_limit_exceeded"),
    (
        Refusal::Quota,
        429,
        "insufficient_quota",
        "credit_balance_exhausted",
    ),
    (Refusal::Ramp, 429, "rate_limit_error", "slow_down"),
    (
        Refusal::Overload,
        503,
        "service_unavailable_error",
        "server_is_overloaded",
    ),
    (
        Refusal::Context,
        400,
        "invalid_request_error",
        "context_length_exceeded",
    ),
    (
        Refusal::Filter,
        400,
        "invalid_request_error",
        "content_policy_violation",
    ),
    (
        Refusal::Key,
        401,
        "invalid_request_error",
        "invalid_api_key",
    ),
];

impl Wire for OpenAi {
    fn unary(&self, completion: &Completion<'_>, thinking: &str, text: &str) -> String {
        let facts = completion.facts;
        let mut out = format!(
            r#"{{"id":"chatcmpl-{}","object":"chat.completion","created":{},"model":{},"choices":[{{"index":0,"message":{{"role":"assistant","refusal":null,"content":"#,
            facts.seq, facts.created_s, completion.model
        );
        if completion.thinking_in_parts && !thinking.is_empty() {
            let thought = thought(thinking, Some(&completion.signature()));
            let text = format!(r#"{{"type":"text","text":"{text}"}}"#);
            add(&mut out, format_args!("[{thought},{text}]"));
        } else if completion.spoken {
            let spoken = spoken(completion, text);
            add(&mut out, format_args!(r#"null,"audio":{spoken}"#));
        } else {
            add(&mut out, format_args!(r#""{text}""#));
        }
        if !completion.thinking_in_parts && !thinking.is_empty() {
            add(
                &mut out,
                format_args!(r#","reasoning_content":"{thinking}""#),
            );
        }
        if !completion.calls.is_empty() {
            let calls = super::joined(completion.calls.iter().map(whole_call));
            add(&mut out, format_args!(r#","tool_calls":[{calls}]"#));
        }
        add(
            &mut out,
            format_args!(
                r#"}},"logprobs":null,"finish_reason":"{}"}}]"#,
                reason(completion.finish)
            ),
        );
        push_usage(&mut out, completion);
        out.push('}');
        out
    }

    fn start(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        vec![delta(
            completion,
            r#"{"role":"assistant","content":""}"#,
            None,
        )]
    }

    fn piece(&mut self, completion: &Completion<'_>, piece: Piece<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        match piece {
            Piece::Thinking(text) => {
                let content = if completion.thinking_in_parts {
                    self.unsigned = true;
                    format!(r#"{{"content":[{}]}}"#, thought(text, None))
                } else {
                    format!(r#"{{"reasoning_content":"{text}"}}"#)
                };
                events.push(delta(completion, &content, None));
            }
            Piece::Search => {}
            Piece::Text(text) if completion.spoken => {
                let (id, sound) = (audio_id(completion), sound(text));
                for told in [
                    format!(r#""transcript":"{text}""#),
                    format!(r#""data":"{sound}""#),
                ] {
                    let content = format!(r#"{{"audio":{{"id":"{id}",{told}}}}}"#);
                    events.push(delta(completion, &content, None));
                }
            }
            Piece::Text(text) => {
                self.sign(completion, &mut events);
                let content = format!(r#"{{"content":"{text}"}}"#);
                events.push(delta(completion, &content, None));
            }
            Piece::Call(call) => {
                self.sign(completion, &mut events);
                events.extend(call_events(completion, call));
            }
        }
        events
    }

    fn end(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.sign(completion, &mut events);
        if completion.spoken {
            let until = format!(r#"{{"audio":{{"expires_at":{EXPIRES_AT}}}}}"#);
            events.push(delta(completion, &until, None));
        }
        events.push(delta(completion, "{}", Some(reason(completion.finish))));
        if completion.streams_usage && completion.usage.is_some() {
            let mut usage = head(completion);
            usage.push_str(r#""choices":[]"#);
            push_usage(&mut usage, completion);
            usage.push('}');
            events.push(Event::of(Role::Usage, "", usage));
        }
        events.push(Event::of(Role::Sentinel, "", "[DONE]".to_owned()));
        events
    }

    fn broken(&self) -> Event {
        let body = error("overloaded", "server_error", "overloaded");
        Event::of(Role::Error, "", body)
    }

    fn error(&self, status: u16, message: &str, code: &str) -> Refused {
        let kind = if status < 500 {
            "invalid_request_error"
        } else {
            "server_error"
        };
        Refused {
            status,
            retry_after: None,
            header: None,
            body: error(message, kind, code),
        }
    }

    fn refuse(&self, why: Refusal) -> Refused {
        let (status, kind, code) = super::row(&REFUSALS, why);
        Refused {
            status,
            retry_after: (why == Refusal::Rate).then_some(2),
            header: None,
            body: error("the fake provider was told to refuse", kind, code),
        }
    }
}

impl OpenAi {
    /// Ends a thought with its signature, where there is one that lacks it.
    fn sign(&mut self, completion: &Completion<'_>, events: &mut Vec<Event>) {
        if std::mem::take(&mut self.unsigned) {
            let end = thought("", Some(&completion.signature()));
            let content = format!(r#"{{"content":[{end}]}}"#);
            events.push(delta(completion, &content, None));
        }
    }
}

/// A thought as a part of the content.
fn thought(text: &str, signature: Option<&str>) -> String {
    let texts = match text {
        "" => String::new(),
        text => format!(r#"{{"type":"text","text":"{text}"}}"#),
    };
    let signed = signature.map(|it| format!(r#","signature":"{it}""#));
    format!(
        r#"{{"type":"thinking","thinking":[{texts}]{},"closed":{}}}"#,
        signed.unwrap_or_default(),
        signature.is_some()
    )
}

fn error(message: &str, kind: &str, code: &str) -> String {
    let error = serde_json::json!({
        "error": { "message": message, "type": kind, "param": null, "code": code }
    });
    error.to_string()
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Calls => "tool_calls",
        Finish::Filtered => "content_filter",
    }
}

fn head(completion: &Completion<'_>) -> String {
    let facts = completion.facts;
    format!(
        r#"{{"id":"chatcmpl-{}","object":"chat.completion.chunk","created":{},"model":{},"#,
        facts.seq, facts.created_s, completion.model
    )
}

fn delta(completion: &Completion<'_>, delta: &str, reason: Option<&str>) -> Event {
    let mut chunk = head(completion);
    add(
        &mut chunk,
        format_args!(r#""choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":"#),
    );
    match reason {
        Some(reason) => add(&mut chunk, format_args!(r#""{reason}"}}]}}"#)),
        None => chunk.push_str("null}]}"),
    }
    Event::plain("", chunk)
}

fn whole_call(call: &Call) -> String {
    let arguments = serde_json::Value::from(call.arguments.as_str());
    format!(
        r#"{{"id":"{}","type":"function","function":{{"name":"{TOOL}","arguments":{arguments}}}}}"#,
        call.id
    )
}

fn call_events(completion: &Completion<'_>, call: &Call) -> Vec<Event> {
    let index = call.index;
    let (first, second) = call.arguments.split_at(call.arguments.len() / 2);
    let begins = format!(
        r#"{{"tool_calls":[{{"index":{index},"id":"{}","type":"function","function":{{"name":"{TOOL}","arguments":""}}}}]}}"#,
        call.id
    );
    let goes_on = [first, second].map(|piece| {
        let piece = serde_json::Value::from(piece);
        format!(r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":{piece}}}}}]}}"#)
    });
    let deltas = std::iter::once(begins).chain(goes_on);
    deltas.map(|text| delta(completion, &text, None)).collect()
}

/// The name of the sound of an answer.
fn audio_id(completion: &Completion<'_>) -> String {
    format!("audio_{}", completion.facts.seq)
}

fn spoken(completion: &Completion<'_>, text: &str) -> String {
    format!(
        r#"{{"id":"{}","data":"{}","expires_at":{EXPIRES_AT},"transcript":"{text}"}}"#,
        audio_id(completion),
        sound(text)
    )
}

fn push_usage(out: &mut String, told: &Completion<'_>) {
    let Some(usage) = told.usage else { return };
    let Usage {
        prompt,
        completion,
        reasoning,
        cached,
    } = usage;
    let total = prompt + completion;
    add(
        out,
        format_args!(
            r#","usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}"#
        ),
    );
    if cached > 0 {
        add(
            out,
            format_args!(r#","prompt_tokens_details":{{"cached_tokens":{cached}}}"#),
        );
    }
    if told.spoken {
        let sound = completion - reasoning;
        add(
            out,
            format_args!(
                r#","completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":{sound}}}"#
            ),
        );
    } else if reasoning > 0 {
        add(
            out,
            format_args!(r#","completion_tokens_details":{{"reasoning_tokens":{reasoning}}}"#),
        );
    }
    out.push('}');
}
