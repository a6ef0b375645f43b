//! Gemini's `generateContent`.

use super::{Completion, Event, Finish, Piece, Refusals, Refused, Role, TOOL, Wire, sound};
use crate::provider::behaviour::Refusal;

/// How much was told so far, which every document of a stream says.
#[derive(Debug, Default)]
pub(in crate::provider::reply) struct Gemini {
    candidates: i64,
    thoughts: i64,
}

/// Code that the provider ran, and what came of it.
const RAN: [&str; 2] = [
    r#"{"executableCode":{"language":"PYTHON","code":"print(1)"}}"#,
    r#"{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1\n"}}"#,
];

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
        if completion.searched {
            parts.extend(RAN.map(str::to_owned));
        }
        if !text.is_empty() {
            parts.push(said(completion, text));
        }
        parts.extend(completion.calls.iter().map(|it| call(completion, it)));
        let usage = whole_usage(completion);
        answer(completion, &parts.join(","), &usage, true)
    }

    fn start(&mut self, _completion: &Completion<'_>) -> Vec<Event> {
        Vec::new()
    }

    fn piece(&mut self, completion: &Completion<'_>, piece: Piece<'_>) -> Vec<Event> {
        match piece {
            Piece::Thinking(_) => self.thoughts += 1,
            Piece::Search => {}
            Piece::Text(_) | Piece::Call(_) => self.candidates += 1,
        }
        let part = match piece {
            Piece::Thinking(text) => format!(r#"{{"text":"{text}","thought":true}}"#),
            Piece::Search => RAN.join(","),
            Piece::Text(text) => said(completion, text),
            Piece::Call(which) => call(completion, which),
        };
        let usage = usage(completion, self.candidates, self.thoughts);
        vec![Event::plain("", answer(completion, &part, &usage, false))]
    }

    fn end(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        let usage = whole_usage(completion);
        let last = answer(completion, r#"{"text":""}"#, &usage, true);
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

fn said(completion: &Completion<'_>, text: &str) -> String {
    if completion.spoken {
        let sound = sound(text);
        return format!(
            r#"{{"inlineData":{{"mimeType":"audio/L16;codec=pcm;rate=24000","data":"{sound}"}}}}"#
        );
    }
    format!(r#"{{"text":"{text}"}}"#)
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

/// Of the calls of one answer, the first carries the signature.
fn call(completion: &Completion<'_>, call: &super::Call) -> String {
    let signature = match call.index {
        0 => format!(r#","thoughtSignature":"{}""#, completion.signature()),
        _ => String::new(),
    };
    format!(
        r#"{{"functionCall":{{"id":"{}","name":"{TOOL}","args":{}}}{signature}}}"#,
        call.id, call.arguments
    )
}

/// One document of the format: a whole answer, or a part of one. Calls of tools end with `STOP` like any other answer.
fn answer(completion: &Completion<'_>, parts: &str, usage: &str, last: bool) -> String {
    let finish = match (last, completion.finish) {
        (false, _) => "",
        (true, Finish::Stop | Finish::Calls) => r#","finishReason":"STOP""#,
        (true, Finish::Length) => r#","finishReason":"MAX_TOKENS""#,
        (true, Finish::Filtered) => r#","finishReason":"SAFETY""#,
    };
    format!(
        r#"{{"candidates":[{{"content":{{"role":"model","parts":[{parts}]}},"index":0{finish}}}],{usage}"modelVersion":{},"responseId":"fake-{}"}}"#,
        completion.model, completion.facts.seq
    )
}

/// The usage of the whole answer. Thoughts are not part of the candidates' tokens.
fn whole_usage(completion: &Completion<'_>) -> String {
    let told = completion.usage.unwrap_or_default();
    let thoughts = told.reasoning;
    usage(completion, told.completion - thoughts, thoughts)
}

fn usage(completion: &Completion<'_>, candidates: i64, thoughts: i64) -> String {
    let Some(usage) = completion.usage else {
        return String::new();
    };
    let total = usage.prompt + candidates + thoughts;
    format!(
        r#""usageMetadata":{{"promptTokenCount":{},"cachedContentTokenCount":{},"candidatesTokenCount":{candidates},"thoughtsTokenCount":{thoughts},"totalTokenCount":{total}}},"#,
        usage.prompt, usage.cached
    )
}
