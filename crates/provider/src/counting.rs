//! Asking a provider how many tokens a request has, where it offers that without answering it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::Request;
use crate::codec::{Api, Codec, HttpRequest, Kind, Target};
use crate::failure::{Class, Failure};
use crate::usage::count;
use crate::{Error, path, responses};

/// What of a request counts, as each format names it.
const OF_ANTHROPIC: [&str; 6] = [
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
];
const OF_GEMINI: [&str; 4] = ["contents", "systemInstruction", "tools", "toolConfig"];
const OF_BEDROCK: [&str; 4] = [
    "messages",
    "system",
    "toolConfig",
    "additionalModelRequestFields",
];

type Fields<'a> = BTreeMap<&'a str, &'a RawValue>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Gemini<'a> {
    generate_content_request: GeminiRequest<'a>,
}

#[derive(Serialize)]
struct GeminiRequest<'a> {
    model: String,
    #[serde(flatten)]
    fields: Fields<'a>,
}

#[derive(Serialize)]
struct Bedrock<'a> {
    input: Converse<'a>,
}

#[derive(Serialize)]
struct Converse<'a> {
    converse: Fields<'a>,
}

/// The question for a request; none where the kind does not count whole requests: OpenAI's way and its imitators' is
/// asked over its Responses only, Cohere counts texts.
///
/// # Errors
/// As from `Codec::encode`.
pub(crate) fn encode(
    codec: &Codec,
    request: &Request,
    target: &Target<'_>,
) -> Result<Option<HttpRequest>, Error> {
    let kind = codec.kind();
    let responds = codec.api() == Api::Responses;
    if !responds && !matches!(kind, Kind::Anthropic | Kind::Gemini | Kind::Bedrock) {
        return Ok(None);
    }
    let sent = codec.encode(request, target, false)?;
    let fields: Fields<'_> = serde_json::from_slice(&sent.body).map_err(Error::Encode)?;
    let only = |names: &[&str]| -> Fields<'_> {
        let counts = fields.iter().filter(|(name, _)| names.contains(name));
        counts.map(|(name, value)| (*name, *value)).collect()
    };
    let json = "application/json";
    let mut question = match kind {
        Kind::Anthropic => HttpRequest::post("/messages/count_tokens", json, &only(&OF_ANTHROPIC))?,
        Kind::Gemini if codec.is_vertex() => {
            let model = sent.path.trim_end_matches(":generateContent");
            HttpRequest::post(format!("{model}:countTokens"), json, &only(&OF_GEMINI))?
        }
        Kind::Gemini => {
            let model = sent.path.trim_end_matches(":generateContent");
            let body = Gemini {
                generate_content_request: GeminiRequest {
                    model: model.trim_start_matches('/').to_owned(),
                    fields: only(&OF_GEMINI),
                },
            };
            HttpRequest::post(format!("{model}:countTokens"), json, &body)?
        }
        Kind::Bedrock => {
            let path = format!("/model/{}/count-tokens", path::encode(target.model, ""));
            let converse = only(&OF_BEDROCK);
            let input = Converse { converse };
            HttpRequest::post(path, json, &Bedrock { input })?
        }
        Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi if responds => {
            let path = responses::action("responses/input_tokens", kind, target);
            HttpRequest::post(path, json, &only(&responses::COUNTED))?
        }
        Kind::OpenAi
        | Kind::OpenAiCompatible
        | Kind::AzureOpenAi
        | Kind::Mistral
        | Kind::Cohere => return Ok(None),
    };
    // Those of a request, since the same features may have to be asked for.
    let mut headers = sent.headers.clone();
    headers.extend(std::mem::take(&mut question.headers));
    Ok(Some(HttpRequest {
        headers,
        ..question
    }))
}

#[derive(Deserialize)]
struct Count {
    #[serde(alias = "totalTokens", alias = "inputTokens")]
    input_tokens: f64,
}

/// Reads the body of a 200.
///
/// # Errors
/// It tells no count that can be believed.
pub(crate) fn decode(body: &[u8]) -> Result<u64, Failure> {
    let told = serde_json::from_slice::<Count>(body).ok();
    told.and_then(|told| count(told.input_tokens))
        .ok_or_else(|| Failure::new(Class::Server, "the answer tells no count of tokens"))
}

#[cfg(test)]
mod tests {
    use crate::chat::{Message, Request, Role};
    use crate::codec::{Codec, Kind, Target};
    use crate::failure::Class;

    #[test]
    fn what_counts_is_asked_and_nothing_else() {
        let request = Request {
            messages: vec![
                Message::text(Role::System, "Be brief."),
                Message::text(Role::User, "hi"),
            ],
            max_output_tokens: Some(9),
            temperature: Some(0.5),
            ..Request::default()
        };
        for (kind, path, body) in [
            (
                Kind::Anthropic,
                "/messages/count_tokens",
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"model":"m","system":[{"type":"text","text":"Be brief."}]}"#,
            ),
            (
                Kind::Gemini,
                "/models/m:countTokens",
                r#"{"generateContentRequest":{"model":"models/m","contents":[{"role":"user","parts":[{"text":"hi"}]}],"systemInstruction":{"parts":[{"text":"Be brief."}]}}}"#,
            ),
            (
                Kind::Bedrock,
                "/model/m/count-tokens",
                r#"{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"hi"}]}],"system":[{"text":"Be brief."}]}}}"#,
            ),
        ] {
            let asked = Codec::new(kind).count_tokens(&request, &Target::of("m"));
            let asked = asked.unwrap().unwrap();
            assert_eq!(asked.path, path);
            assert_eq!(asked.body, body);
            let version = asked.headers.get("anthropic-version");
            assert_eq!(version.is_some(), kind == Kind::Anthropic);
        }
        for kind in [Kind::OpenAi, Kind::AzureOpenAi, Kind::Mistral, Kind::Cohere] {
            let asked = Codec::new(kind).count_tokens(&request, &Target::of("m"));
            assert!(asked.unwrap().is_none());
        }
    }

    #[test]
    fn every_count_is_read() {
        let read = |body: &str| Codec::new(Kind::Gemini).decode_count(body.as_bytes());
        for body in [
            r#"{"input_tokens":14}"#,
            r#"{"totalTokens":14,"promptTokensDetails":[]}"#,
            r#"{"inputTokens":14}"#,
        ] {
            assert_eq!(read(body), Ok(14), "{body}");
        }
        let nonsense = [-1.0, 1.5, 9e9].map(|count| format!(r#"{{"input_tokens":{count}}}"#));
        for body in ["", "{}"].map(str::to_owned).into_iter().chain(nonsense) {
            assert_eq!(read(&body).unwrap_err().class, Class::Server, "{body}");
        }
    }
}
