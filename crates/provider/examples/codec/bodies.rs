//! The bodies that are decoded and encoded, each in the shape that the provider's own have.

use tollgate_provider::chat::Request;
use tollgate_provider::openai::parse_request;
use tollgate_provider::{Api, Codec, Error, Kind};

use crate::frames::framed;
use crate::responses;

/// A streamed answer of so many words.
pub(crate) fn stream(codec: &Codec, words: u32) -> Vec<u8> {
    match codec.api() {
        Api::ChatCompletions => stream_of(codec.kind(), words),
        Api::Responses => responses::stream(words),
    }
}

fn stream_of(kind: Kind, words: u32) -> Vec<u8> {
    let (start, end) = match kind {
        Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi | Kind::Mistral => (
            openai(r#"{"role":"assistant","content":"","refusal":null}"#, "null"),
            format!(
                "{}data: {}\n\ndata: [DONE]\n\n",
                openai("{}", r#""stop""#),
                r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1000,"total_tokens":1009}}"#
            ),
        ),
        Kind::Anthropic => (
            [
                named("message_start", r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}"#),
                named("content_block_start", r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#),
            ]
            .concat(),
            [
                named("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
                named("message_delta", r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1000}}"#),
                named("message_stop", r#"{"type":"message_stop"}"#),
            ]
            .concat(),
        ),
        Kind::Gemini => (String::new(), gemini("", r#","finishReason":"STOP""#)),
        Kind::Cohere => (
            [
                plain(r#"{"id":"1","type":"message-start","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#),
                plain(r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}"#),
            ]
            .concat(),
            [
                plain(r#"{"type":"content-end","index":0}"#),
                plain(r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":9,"output_tokens":1000},"tokens":{"input_tokens":9,"output_tokens":1000}}}}"#),
            ]
            .concat(),
        ),
        Kind::Bedrock => (
            named("messageStart", r#"{"p":"abcdefgh","role":"assistant"}"#),
            [
                named("contentBlockStop", r#"{"contentBlockIndex":0,"p":"abcdefgh"}"#),
                named("messageStop", r#"{"p":"abcdefgh","stopReason":"end_turn"}"#),
                named("metadata", r#"{"metrics":{"latencyMs":500},"p":"abcdefgh","usage":{"inputTokens":9,"outputTokens":1000,"totalTokens":1009}}"#),
            ]
            .concat(),
        ),
    };
    let chunks: String = (0..words).map(|index| chunk(kind, index)).collect();
    let text = [start, chunks, end].concat();
    match kind {
        Kind::Bedrock => framed(text.as_bytes()),
        Kind::OpenAi
        | Kind::OpenAiCompatible
        | Kind::Anthropic
        | Kind::AzureOpenAi
        | Kind::Gemini
        | Kind::Mistral
        | Kind::Cohere => text.into_bytes(),
    }
}

fn chunk(kind: Kind, index: u32) -> String {
    let word = format!(" word{index}");
    match kind {
        Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi | Kind::Mistral => {
            openai(&format!(r#"{{"content":"{word}"}}"#), "null")
        }
        Kind::Anthropic => named(
            "content_block_delta",
            &format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{word}"}}}}"#
            ),
        ),
        Kind::Gemini => gemini(&word, ""),
        Kind::Cohere => plain(&format!(
            r#"{{"type":"content-delta","index":0,"delta":{{"message":{{"content":{{"text":"{word}"}}}}}}}}"#
        )),
        Kind::Bedrock => named(
            "contentBlockDelta",
            &format!(
                r#"{{"contentBlockIndex":0,"delta":{{"text":"{word}"}},"p":"abcdefghijklm"}}"#
            ),
        ),
    }
}

fn plain(data: &str) -> String {
    format!("data: {data}\n\n")
}

pub(crate) fn named(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn openai(delta: &str, reason: &str) -> String {
    plain(&format!(
        r#"{{"id":"chatcmpl-CqGrcZ1Yw0fXPzdkQ3mYg3K6nH7aB","object":"chat.completion.chunk","created":1760000000,"model":"gpt-5.4-2026-03-05","service_tier":"default","system_fingerprint":"fp_50906f2aac","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}],"usage":null,"obfuscation":"q2Z8n"}}"#
    ))
}

fn gemini(text: &str, reason: &str) -> String {
    plain(&format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}}{reason},"index":0}}],"usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":1000,"totalTokenCount":1009,"promptTokensDetails":[{{"modality":"TEXT","tokenCount":9}}]}},"modelVersion":"gemini-3-pro","responseId":"abc"}}"#
    ))
}

/// A text of about so many bytes, with what JSON must write differently now and then.
fn text(bytes: usize) -> String {
    const LINE: &str =
        "The quick brown fox, so they say, jumps over the lazy dog in Köln.\\n\\\"Why?\\\" ";
    LINE.repeat(bytes / LINE.len() + 1)
}

/// A whole answer of about so many bytes.
pub(crate) fn answer(codec: &Codec, bytes: usize) -> Vec<u8> {
    let text = text(bytes);
    let body = match codec.kind() {
        _ if codec.api() == Api::Responses => responses::answer(&text),
        Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi | Kind::Mistral => format!(
            r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1760000000,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9,"completion_tokens":20000,"total_tokens":20009}}}}"#
        ),
        Kind::Anthropic => format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":9,"output_tokens":20000}}}}"#
        ),
        Kind::Gemini => format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},"finishReason":"STOP","index":0}}],"usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":20000,"totalTokenCount":20009}}}}"#
        ),
        Kind::Cohere => format!(
            r#"{{"id":"1","finish_reason":"COMPLETE","message":{{"role":"assistant","content":[{{"type":"text","text":"{text}"}}]}},"usage":{{"tokens":{{"input_tokens":9,"output_tokens":20000}}}}}}"#
        ),
        Kind::Bedrock => format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"{text}"}}]}}}},"stopReason":"end_turn","usage":{{"inputTokens":9,"outputTokens":20000,"totalTokens":20009}}}}"#
        ),
    };
    body.into_bytes()
}

/// A request of about so many bytes: a long conversation with calls of tools.
///
/// # Errors
/// It is no request.
pub(crate) fn request(bytes: usize) -> Result<Request, Error> {
    const TURN: usize = 2000;
    let words = text(TURN);
    let turn = |index: usize| {
        format!(
            r#"{{"role":"user","content":"{words}"}},{{"role":"assistant","content":"I look.","tool_calls":[{{"id":"call_{index}","type":"function","function":{{"name":"lookup","arguments":"{{\"n\":{index}}}"}}}}]}},{{"role":"tool","tool_call_id":"call_{index}","content":"found"}}"#
        )
    };
    let turns: Vec<_> = (0..bytes / TURN).map(turn).collect();
    let body = format!(
        r#"{{"model":"m","max_tokens":1000,"messages":[{{"role":"system","content":"Be brief."}},{}],"tools":[{{"type":"function","function":{{"name":"lookup","description":"Looks up.","parameters":{{"type":"object","properties":{{"n":{{"type":"integer"}}}}}}}}}}]}}"#,
        turns.join(",")
    );
    Ok(parse_request(body.as_bytes())?.request)
}
