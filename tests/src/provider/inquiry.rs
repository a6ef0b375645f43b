//! What is asked of a provider beside completions: its models, and how many tokens a request has.

use anyhow::Context;
use http::HeaderMap;
use serde_json::{Value, json};

use super::behaviour::EXAMPLES;
use super::request::ChatRequest;

/// Models in one part of a list, where the format has parts.
const PAGE: usize = 20;

/// The models, in the words of the format that the headers tell, from where the query says.
pub(super) fn models(headers: &HeaderMap, query: &str) -> Value {
    let (_, from) = query.rsplit_once(['=']).unwrap_or_default();
    if headers.contains_key("anthropic-version") {
        let at = EXAMPLES.iter().position(|it| *it == from);
        let rest = &EXAMPLES[at.map_or(0, |it| it + 1)..];
        let part = &rest[..rest.len().min(PAGE)];
        let model = |id: &&str| json!({ "type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z" });
        let data: Vec<_> = part.iter().map(model).collect();
        return json!({
            "data": data, "has_more": rest.len() > PAGE, "first_id": part.first(), "last_id": part.last(),
        });
    }
    if headers.contains_key("x-goog-api-key") {
        let at = from.strip_prefix("page").and_then(|it| it.parse().ok());
        let at: usize = at.unwrap_or_default();
        let part = EXAMPLES.iter().skip(at * PAGE).take(PAGE);
        let model = |id: &&str| json!({ "name": format!("models/{id}"), "version": "1" });
        let models: Vec<_> = part.map(model).collect();
        return match EXAMPLES.len() > (at + 1) * PAGE {
            true => json!({ "models": models, "nextPageToken": format!("page{}", at + 1) }),
            false => json!({ "models": models }),
        };
    }
    let model =
        |id: &&str| json!({ "id": id, "object": "model", "created": 0, "owned_by": "fake" });
    let data: Vec<_> = EXAMPLES.iter().map(model).collect();
    json!({ "object": "list", "data": data })
}

/// Whether a path asks for a count.
pub(super) fn is_count(path: &str) -> bool {
    [
        "/messages/count_tokens",
        "/responses/input_tokens",
        ":countTokens",
        "/count-tokens",
    ]
    .into_iter()
    .any(|end| path.ends_with(end))
}

/// The count of a request's tokens: those that a completion would be charged for its prompt.
pub(super) fn count(path: &str, body: &[u8]) -> anyhow::Result<Value> {
    let asked: Value = serde_json::from_slice(body).context("the body is no JSON")?;
    let (inner, name) = if path.ends_with(":countTokens") {
        (&asked["generateContentRequest"], "totalTokens")
    } else if path.ends_with("/count-tokens") {
        (&asked["input"]["converse"], "inputTokens")
    } else {
        (&asked, "input_tokens")
    };
    let inner = inner.to_string();
    let tokens = ChatRequest::parse(inner.as_bytes())?.prompt()?.tokens;
    let mut told = json!({ name: tokens });
    if path.ends_with("/responses/input_tokens") {
        told["object"] = json!("response.input_tokens");
    }
    Ok(told)
}
