//! Gemini's `generateContent`.

use super::{Completion, Event, Finish, Piece, Refusals, Refused, Role, SIGNATURE, TOOL, Wire};
use crate::provider::behaviour::Refusal;

#[derive(Debug)]
pub(in crate::provider::reply) struct Gemini;

const REFUSALS: Refusals = [
    (
        Refusal::Rate,
        429,
        r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2s"}"#,
        "You exceeded your current quota, please check your plan and billing details. Please retry in 2s.",
    ),
    (
        Refusal::Quota,
        429,
        r#"{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}"#,
        "You exceeded your current quota. * Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0",
    ),
    (
        Refusal::Ramp,
        429,
        "",
        "Resource exhausted. Please try again later.",
    ),
    (
        Refusal::Overload,
        503,
        "",
        "The model is overloaded. Please try again later.",
    ),
    (
        Refusal::Context,
        400,
        "",
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    ),
    (Refusal::Filter, 200, "", "PROHIBITED_CONTENT"),
    (
        Refusal::Key,
        400,
        r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}"#,
        "API key not valid. Please pass a valid API key.",
    ),
];

impl Wire for Gemini {
    fn unary(&self, completion: &Completion<'_>, thinking: &str, text: &str) -> String {
        let mut parts = Vec::new();
        if !thinking.is_empty() {
            parts.push(format!(r#"{{"text":"{thinking}","thought":true}}"#));
        }
        if !text.is_empty() {
            parts.push(format!(r#"{{"text":"{text}"}}"#));
        }
        parts.extend(completion.calls.iter().map(call));
        answer(completion, &parts.join(","), true)
    }

    fn start(&mut self, _completion: &Completion<'_>) -> Vec<Event> {
        Vec::new()
    }

    fn piece(&mut self, completion: &Completion<'_>, piece: Piece<'_>) -> Vec<Event> {
        let part = match piece {
            Piece::Thinking(text) => format!(r#"{{"text":"{text}","thought":true}}"#),
            Piece::Text(text) => format!(r#"{{"text":"{text}"}}"#),
            Piece::Call(which) => call(which),
        };
        vec![Event::plain("", answer(completion, &part, false))]
    }

    fn end(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        let last = answer(completion, r#"{"text":""}"#, true);
        vec![Event::of(Role::Usage, "", last)]
    }

    fn broken(&self) -> Event {
        let body = error(503, "The model is overloaded.", "");
        Event::of(Role::Error, "", body)
    }

    fn error(&self, status: u16, message: &str, _code: &str) -> Refused {
        Refused {
            status,
            retry_after: None,
            header: None,
            body: error(status, message, ""),
        }
    }

    fn refuse(&self, why: Refusal) -> Refused {
        let (status, details, message) = super::row(&REFUSALS, why);
        let body = match status {
            // A prompt that is blocked is a success without candidates.
            200 => format!(
                r#"{{"promptFeedback":{{"blockReason":"{message}"}},"usageMetadata":{{"promptTokenCount":5,"totalTokenCount":5}},"modelVersion":"fake","responseId":"fake"}}"#
            ),
            _ => error(status, message, details),
        };
        Refused {
            status,
            retry_after: None,
            header: None,
            body,
        }
    }
}

fn error(status: u16, message: &str, details: &str) -> String {
    let name = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    let message = serde_json::Value::from(message);
    format!(
        r#"{{"error":{{"code":{status},"message":{message},"status":"{name}","details":[{details}]}}}}"#
    )
}

fn call(call: &super::Call) -> String {
    format!(
        r#"{{"functionCall":{{"id":"{}","name":"{TOOL}","args":{}}},"thoughtSignature":"{SIGNATURE}"}}"#,
        call.id, call.arguments
    )
}

/// One document of the format: a whole answer, or a part of one. Calls of tools end with `STOP` like any other answer.
fn answer(completion: &Completion<'_>, parts: &str, last: bool) -> String {
    let finish = match (last, completion.finish) {
        (false, _) => "",
        (true, Finish::Stop | Finish::Calls) => r#","finishReason":"STOP""#,
        (true, Finish::Length) => r#","finishReason":"MAX_TOKENS""#,
    };
    format!(
        r#"{{"candidates":[{{"content":{{"role":"model","parts":[{parts}]}},"index":0{finish}}}],{}"modelVersion":{},"responseId":"fake-{}"}}"#,
        usage(completion, last),
        completion.model,
        completion.facts.seq
    )
}

/// Every document tells the usage so far. Thoughts are not part of the candidates' tokens.
fn usage(completion: &Completion<'_>, last: bool) -> String {
    let Some(usage) = completion.usage else {
        return String::new();
    };
    let (candidates, thoughts) = if last {
        (usage.completion - usage.reasoning, usage.reasoning)
    } else {
        (0, 0)
    };
    let total = usage.prompt + candidates + thoughts;
    format!(
        r#""usageMetadata":{{"promptTokenCount":{},"cachedContentTokenCount":{},"candidatesTokenCount":{candidates},"thoughtsTokenCount":{thoughts},"totalTokenCount":{total}}},"#,
        usage.prompt, usage.cached
    )
}
