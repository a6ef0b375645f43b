//! The part of a completion request that the fake provider looks at, in whichever format.

use std::borrow::Cow;

use anyhow::Context;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A request as received: the fields of all formats, since none means something else in another.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest<'a> {
    /// Missing where the address names the model.
    #[serde(borrow, default)]
    pub(super) model: Cow<'a, str>,
    #[serde(borrow, alias = "contents", alias = "input")]
    messages: Vec<Message<'a>>,
    /// Instructions that are no message: a text, a list of parts, or an object with such a list.
    #[serde(borrow, default, alias = "systemInstruction")]
    system: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default, alias = "max_output_tokens")]
    max_completion_tokens: Option<u32>,
    #[serde(default, rename = "generationConfig", alias = "inferenceConfig")]
    config: Option<Config>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(borrow, default, alias = "parts")]
    content: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default, rename = "maxOutputTokens", alias = "maxTokens")]
    max_tokens: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

/// What a request wants beside words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Words,
    /// It has tools, and no result of one yet.
    Call,
    /// It has a schema that the answer is to follow.
    Json,
}

impl Wish {
    /// Looks for the words of any format.
    pub(super) fn of(body: &[u8]) -> Self {
        let has = |words: &[&str]| {
            let mut words = words.iter();
            words.any(|it| memchr::memmem::find(body, it.as_bytes()).is_some())
        };
        let results = [
            r#""role":"tool""#,
            r#""tool_result""#,
            r#""toolResult""#,
            r#""functionResponse""#,
            r#""function_call_output""#,
        ];
        if has(&[r#""tools":["#]) {
            return if has(&results) {
                Self::Words
            } else {
                Self::Call
            };
        }
        match has(&["json_schema", "responseJsonSchema"]) {
            true => Self::Json,
            false => Self::Words,
        }
    }
}

/// What is needed of the messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    /// `Σ over messages (⌈bytes of text / 4⌉ + 3)`: no tokenizer, but a rule a test can compute.
    pub(super) tokens: u64,
    /// What follows `nonce=` in the last user message, as far as it is `[A-Za-z0-9_-]`.
    pub(super) nonce: String,
    /// Words of the last message, where it is the assistant's.
    pub(super) said: u32,
}

impl<'a> ChatRequest<'a> {
    pub(super) fn parse(body: &'a [u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(body).context("the body is no completion request")
    }

    pub(super) fn max_tokens(&self) -> Option<u32> {
        let config = self.config.as_ref().and_then(|config| config.max_tokens);
        self.max_completion_tokens.or(self.max_tokens).or(config)
    }

    pub(super) fn include_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .is_some_and(|o| o.include_usage)
    }

    pub(super) fn prompt(&self) -> anyhow::Result<Prompt> {
        let mut prompt = Prompt::default();
        let mut count = |text: &str| prompt.tokens += (text.len() as u64).div_ceil(4) + 3;
        if let Some(system) = self.system {
            count(&text_of(system.get())?);
        }
        for message in &self.messages {
            let text = text_of(message.content.map_or("null", RawValue::get))?;
            count(&text);
            if message.role == "user" {
                prompt.nonce = find_nonce(&text).to_owned();
            }
            prompt.said = match &*message.role {
                "assistant" | "model" => u32::try_from(text.split_whitespace().count())?,
                _ => 0,
            };
        }
        Ok(prompt)
    }
}

/// The text of a content: a string, a list of parts, or an object with such a list.
fn text_of(raw: &str) -> anyhow::Result<Cow<'_, str>> {
    match raw.as_bytes().first() {
        Some(b'"') => text_of_string(raw),
        Some(b'[') => {
            let parts: Vec<Part<'_>> =
                serde_json::from_str(raw).context("the content is no list of parts")?;
            let texts = parts.into_iter().filter_map(|part| part.text);
            Ok(Cow::Owned(texts.collect()))
        }
        Some(b'{') => {
            let around: Message<'_> =
                serde_json::from_str(raw).context("the content is no object with parts")?;
            around
                .content
                .map_or(Ok(Cow::Borrowed("")), |inner| text_of(inner.get()))
        }
        _ => Ok(Cow::Borrowed("")),
    }
}

fn text_of_string(raw: &str) -> anyhow::Result<Cow<'_, str>> {
    /// Makes serde borrow where it can, which `Cow<str>` alone never does.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let text: Text<'_> = serde_json::from_str(raw).context("`content` is no string")?;
    Ok(text.0)
}

pub(super) fn find_nonce(text: &str) -> &str {
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
        let said = 0;
        assert_eq!(
            prompt,
            Prompt {
                tokens,
                nonce,
                said
            }
        );
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

    #[test]
    fn every_format_says_it_in_its_own_way() {
        let parsed = |body: &'static str| {
            let request = ChatRequest::parse(body.as_bytes()).unwrap();
            let prompt = request.prompt().unwrap();
            (prompt.tokens, prompt.nonce, request.max_tokens())
        };
        let expect = (5 + 6, "a".to_owned(), Some(7));
        for body in [
            r#"{"model":"ok","system":"be brief","max_tokens":7,
                "messages":[{"role":"user","content":[{"type":"text","text":"nonce=a x"}]}]}"#,
            r#"{"systemInstruction":{"parts":[{"text":"be brief"}]},"generationConfig":{"maxOutputTokens":7},
                "contents":[{"role":"user","parts":[{"text":"nonce=a x"}]}]}"#,
            r#"{"system":[{"text":"be brief"}],"inferenceConfig":{"maxTokens":7},
                "messages":[{"role":"user","content":[{"text":"nonce=a x"}]}]}"#,
            r#"{"model":"ok","max_output_tokens":7,
                "input":[{"role":"developer","content":"be brief"},{"role":"user","content":[{"type":"input_text","text":"nonce=a x"}]}]}"#,
            r#"{"model":"ok","max_tokens":7,
                "messages":[{"role":"system","content":"be brief"},{"role":"user","content":"nonce=a x"}]}"#,
        ] {
            assert_eq!(parsed(body), expect, "{body}");
        }
    }
}
