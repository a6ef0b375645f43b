//! Which wire format a request is in, seen from where it was sent.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `POST …/chat/completions`, `…/embeddings`
    OpenAi,
    /// `POST …/responses`
    Responses,
    /// `POST …/messages`
    Anthropic,
    /// `POST …/models/MODEL:generateContent`, `…:streamGenerateContent`, `…:batchEmbedContents`, and at Vertex AI
    /// `…:embedContent`, `…:predict`
    Gemini,
    /// `POST …/chat`, `…/embed`
    Cohere,
    /// `POST …/model/MODEL/converse`, `…/converse-stream`, `…/invoke` for embeddings
    Bedrock,
}

impl Format {
    /// The header in which its servers name a request. Gemini's do not.
    pub(super) fn request_id(self) -> Option<&'static str> {
        match self {
            Self::OpenAi | Self::Responses => Some("x-request-id"),
            Self::Anthropic => Some("request-id"),
            Self::Cohere => Some("x-debug-trace-id"),
            Self::Bedrock => Some("x-amzn-requestid"),
            Self::Gemini => None,
        }
    }
}

/// What the address of a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) format: Format,
    /// The model, where the address names it.
    pub(super) model: Option<String>,
    /// Whether a stream is asked for, where the address says it.
    pub(super) stream: Option<bool>,
    /// Whether vectors are asked for.
    pub(super) embeds: bool,
}

impl Route {
    /// Reads a path, whatever stands before the part that the format is known by.
    pub(super) fn of(path: &str) -> Option<Self> {
        let plain = |format, embeds| Self {
            format,
            model: None,
            stream: None,
            embeds,
        };
        let plain = match path.rsplit('/').next().unwrap_or_default() {
            "completions" if path.ends_with("/chat/completions") => plain(Format::OpenAi, false),
            "embeddings" => plain(Format::OpenAi, true),
            "responses" => plain(Format::Responses, false),
            "messages" => plain(Format::Anthropic, false),
            "chat" => plain(Format::Cohere, false),
            "embed" => plain(Format::Cohere, true),
            _ => return Self::of_model(path),
        };
        Some(plain)
    }

    /// Reads a path that names the model.
    fn of_model(path: &str) -> Option<Self> {
        let (front, action) = path.rsplit_once(['/', ':'])?;
        let (format, stream) = match action {
            "generateContent" => (Format::Gemini, Some(false)),
            "streamGenerateContent" => (Format::Gemini, Some(true)),
            "batchEmbedContents" | "embedContent" | "predict" => (Format::Gemini, None),
            "converse" => (Format::Bedrock, Some(false)),
            "converse-stream" => (Format::Bedrock, Some(true)),
            "invoke" => (Format::Bedrock, None),
            _ => return None,
        };
        let (_, model) = front.rsplit_once('/')?;
        Some(Self {
            format,
            model: Some(decoded(model)),
            stream,
            embeds: stream.is_none(),
        })
    }

    /// The error for a request that the format's own servers would not take, if it is one.
    pub(super) fn refuses(
        &self,
        headers: &HeaderMap,
        query: &str,
        max_tokens: Option<u32>,
    ) -> Option<&'static str> {
        match self.format {
            Format::Anthropic if !headers.contains_key("anthropic-version") => {
                Some("anthropic-version: header is required")
            }
            Format::Anthropic if max_tokens.is_none() => Some("max_tokens: Field required"),
            // Without it the real one sends one JSON array, which no stream is made of.
            Format::Gemini
                if self.stream == Some(true) && !query.split('&').any(|pair| pair == "alt=sse") =>
            {
                Some("ask for server-sent events: alt=sse")
            }
            Format::OpenAi
            | Format::Responses
            | Format::Anthropic
            | Format::Gemini
            | Format::Cohere
            | Format::Bedrock => None,
        }
    }
}

/// The credential of a request, from whichever header holds it; of a signature, the name of its key.
pub(super) fn credential(headers: &HeaderMap) -> &str {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let keys = ["x-api-key", "api-key", "x-goog-api-key"];
    if let Some(key) = keys.into_iter().find_map(text) {
        return key;
    }
    let value = text(AUTHORIZATION.as_str()).unwrap_or_default();
    if let Some((_, signed)) = value.split_once("Credential=") {
        return signed.split('/').next().unwrap_or_default();
    }
    let bearer = value
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
    if bearer { &value[7..] } else { value }
}

/// Undoes the encoding of a path's segment.
fn decoded(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = segment
            .get(at + 1..at + 3)
            .filter(|_| byte == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_says_which_format_it_is() {
        let check = |path: &str, format, model: Option<&str>, stream| {
            let route = Route::of(path).unwrap();
            assert_eq!(route.format, format, "{path}");
            assert_eq!(route.model.as_deref(), model, "{path}");
            assert_eq!(route.stream, stream, "{path}");
            let embeds = ["embed", "embeddings", "invoke", "predict"];
            assert_eq!(
                route.embeds,
                embeds.iter().any(|it| path.ends_with(it)),
                "{path}"
            );
        };
        check("/v1/chat/completions", Format::OpenAi, None, None);
        check(
            "/openai/deployments/ok/chat/completions",
            Format::OpenAi,
            None,
            None,
        );
        check("/openai/v1/responses", Format::Responses, None, None);
        check("/v1/messages", Format::Anthropic, None, None);
        check("/v2/chat", Format::Cohere, None, None);
        check("/v2/embed", Format::Cohere, None, None);
        check("/v1/embeddings", Format::OpenAi, None, None);
        check("/model/ok/invoke", Format::Bedrock, Some("ok"), None);
        check("/models/ok:predict", Format::Gemini, Some("ok"), None);
        check(
            "/v1beta/models/ok-3:streamGenerateContent",
            Format::Gemini,
            Some("ok-3"),
            Some(true),
        );
        check(
            "/model/arn%3Aaws%2Fok/converse",
            Format::Bedrock,
            Some("arn:aws/ok"),
            Some(false),
        );
        for path in [
            "/",
            "/v1/models",
            "/converse",
            "/v1/messages/count_tokens",
            "/v1/responses/input_tokens",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    #[test]
    fn the_credential_is_found_wherever_the_format_puts_it() {
        for (name, value, expect) in [
            ("authorization", "Bearer a", "a"),
            ("authorization", "bearer a", "a"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKID/20260101/x, b",
                "AKID",
            ),
            ("x-api-key", "a", "a"),
            ("api-key", "a", "a"),
            ("x-goog-api-key", "a", "a"),
            ("other", "a", ""),
        ] {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(credential(&headers), expect, "{name}: {value}");
        }
    }
}
