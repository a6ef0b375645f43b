//! The part of a chat completion request that the fake provider looks at.

use std::borrow::Cow;

use anyhow::Context;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A request as received.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest<'a> {
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

/// What is needed of the messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    /// `Σ over messages (⌈bytes of text / 4⌉ + 3)`: no tokenizer, but a rule a test can compute.
    pub(super) tokens: u64,
    /// What follows `nonce=` in the last user message, as far as it is `[A-Za-z0-9_-]`.
    pub(super) nonce: String,
}

impl<'a> ChatRequest<'a> {
    pub(super) fn parse(body: &'a [u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(body).context("the body is no chat completion request")
    }

    pub(super) fn max_tokens(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    pub(super) fn include_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .is_some_and(|o| o.include_usage)
    }

    pub(super) fn prompt(&self) -> anyhow::Result<Prompt> {
        let mut prompt = Prompt::default();
        for message in &self.messages {
            let text = message.text()?;
            prompt.tokens += (text.len() as u64).div_ceil(4) + 3;
            if message.role == "user" {
                prompt.nonce = find_nonce(&text).to_owned();
            }
        }
        Ok(prompt)
    }
}

impl<'a> Message<'a> {
    fn text(&self) -> anyhow::Result<Cow<'a, str>> {
        let raw = self.content.map_or("null", RawValue::get);
        match raw.as_bytes().first() {
            Some(b'"') => text_of_string(raw),
            Some(b'[') => {
                let parts: Vec<Part<'_>> =
                    serde_json::from_str(raw).context("`content` is no list of parts")?;
                let texts = parts.into_iter().filter_map(|part| part.text);
                Ok(Cow::Owned(texts.collect()))
            }
            _ => Ok(Cow::Borrowed("")),
        }
    }
}

fn text_of_string(raw: &str) -> anyhow::Result<Cow<'_, str>> {
    /// Makes serde borrow where it can, which `Cow<str>` alone never does.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let text: Text<'_> = serde_json::from_str(raw).context("`content` is no string")?;
    Ok(text.0)
}

fn find_nonce(text: &str) -> &str {
    let Some(start) = text.find("nonce=").map(|at| at + "nonce=".len()) else {
        return "";
    };
    let tail = &text[start..];
    let end = tail
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .unwrap_or(tail.len());
    &tail[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(messages: &str, tokens: u64, nonce: &str) {
        let body = format!(r#"{{"model":"ok","messages":{messages}}}"#);
        let prompt = ChatRequest::parse(body.as_bytes())
            .unwrap()
            .prompt()
            .unwrap();
        let nonce = nonce.to_owned();
        assert_eq!(prompt, Prompt { tokens, nonce });
    }

    #[test]
    fn prompts_are_counted_and_their_nonce_found() {
        check("[]", 0, "");
        check(r#"[{"role":"user","content":"hello"}]"#, 5, "");
        check(
            r#"[{"role":"user","content":"say \"nonce=a-1_Z.\""}]"#,
            8,
            "a-1_Z",
        );
        let history = r#"[{"role":"user","content":"nonce=old"},
            {"role":"assistant","content":null,"tool_calls":[]},
            {"role":"user","content":[{"type":"text","text":"nonce="},{"type":"image_url"},{"type":"text","text":"new"}]}]"#;
        check(history, 6 + 3 + 6, "new");
    }
}
