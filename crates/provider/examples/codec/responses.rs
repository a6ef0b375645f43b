//! The bodies of `OpenAI`'s Responses.

use crate::bodies::named;

/// A streamed answer of so many words.
pub(crate) fn stream(words: u32) -> Vec<u8> {
    let word = |index: u32| format!(" word{index}");
    let begun = response("in_progress", "", "null");
    let mut out = named(
        "response.created",
        &format!(r#"{{"type":"response.created","sequence_number":0,"response":{begun}}}"#),
    );
    out.push_str(&named(
        "response.output_item.added",
        r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"msg_68e9b1c2d3f4","type":"message","status":"in_progress","content":[],"role":"assistant"}}"#,
    ));
    for index in 0..words {
        let data = format!(
            r#"{{"type":"response.output_text.delta","sequence_number":{},"item_id":"msg_68e9b1c2d3f4a5b6c7d8e9f0a1b2c3d4","output_index":0,"content_index":0,"delta":"{}","logprobs":[],"obfuscation":"q2Z8n"}}"#,
            index + 2,
            word(index)
        );
        out.push_str(&named("response.output_text.delta", &data));
    }
    let item = message(&(0..words).map(word).collect::<String>());
    out.push_str(&named(
        "response.output_item.done",
        &format!(
            r#"{{"type":"response.output_item.done","sequence_number":{},"output_index":0,"item":{item}}}"#,
            words + 2
        ),
    ));
    let whole = response("completed", &item, USAGE);
    out.push_str(&named(
        "response.completed",
        &format!(
            r#"{{"type":"response.completed","sequence_number":{},"response":{whole}}}"#,
            words + 3
        ),
    ));
    out.into_bytes()
}

/// A whole answer.
pub(crate) fn answer(text: &str) -> String {
    response("completed", &message(text), USAGE)
}

const USAGE: &str = r#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":1000,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":1009}"#;

fn message(text: &str) -> String {
    format!(
        r#"{{"id":"msg_68e9b1c2d3f4","type":"message","status":"completed","content":[{{"type":"output_text","annotations":[],"logprobs":[],"text":"{text}"}}],"role":"assistant"}}"#
    )
}

fn response(status: &str, output: &str, usage: &str) -> String {
    format!(
        r#"{{"id":"resp_68e9b1c2d3f4","object":"response","created_at":1760000000,"status":"{status}","error":null,"incomplete_details":null,"model":"gpt-5.4-2026-03-05","output":[{output}],"parallel_tool_calls":true,"service_tier":"default","store":false,"tool_choice":"auto","tools":[],"usage":{usage},"metadata":{{}}}}"#
    )
}
