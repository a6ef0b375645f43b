//! From `chat::Request` to the body of `generateContent`.

use std::collections::BTreeMap;

use http::header::HeaderName;
use serde::Serialize;
use serde_json::{Map, Value};

use super::contents::{Content, Writer};
use super::options;
use super::thinking::{self, ThinkingConfig};
use crate::chat::{
    AudioOutput, Json, JsonSchema, Modality, ProviderTool, Request, ResponseFormat, Tool,
    ToolChoice,
};
use crate::codec::{HttpRequest, Kind, Outgoing, Target};
use crate::unsupported::Unsupported;
use crate::{Error, path};

const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
/// The encoding of sound in answers: 16 bits, 24 kHz.
const RAW_SOUND: &str = "pcm16";
/// What every API key of Google's starts with.
const KEY: &str = "AIza";
/// What every `OAuth` access token of Google's starts with.
const ACCESS_TOKEN: &str = "ya29.";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(flatten)]
    options: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Tools<'a> {
    #[serde(rename_all = "camelCase")]
    Functions {
        function_declarations: Vec<Declaration<'a>>,
    },
    /// One that the provider runs itself, under the name of its type.
    Own(BTreeMap<&'a str, &'a Map<String, Value>>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a Json>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: Calling<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    response_modalities: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speech_config: Option<SpeechConfig<'a>>,
    #[serde(flatten)]
    options: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpeechConfig<'a> {
    voice_config: VoiceConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VoiceConfig<'a> {
    prebuilt_voice_config: Voice<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Voice<'a> {
    voice_name: &'a str,
}

/// Encodes a request.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    stream: bool,
) -> Result<HttpRequest, Error> {
    let mut unsupported = Unsupported::new(Kind::Gemini, target);
    check(request, &mut unsupported)?;
    let body = body(request, target.model, &mut unsupported)?;
    let model = model_path(target.model);
    let mut encoded = if stream {
        let path = format!("{model}:streamGenerateContent?alt=sse");
        HttpRequest::post(path, "text/event-stream", &body)?
    } else {
        let path = format!("{model}:generateContent");
        HttpRequest::post(path, "application/json", &body)?
    };
    encoded.warnings = unsupported.into_warnings();
    Ok(encoded)
}

/// An API key goes into a header of its own, an access token, as Vertex AI wants it, into the usual one. Tokens of other
/// issuers look like anything, so that at Vertex AI whatever is no API key is one.
pub(crate) fn authorize(
    request: &mut Outgoing<'_>,
    credential: &str,
    vertex: bool,
) -> Result<(), Error> {
    let is_token = credential.starts_with(ACCESS_TOKEN);
    if is_token || vertex && !credential.starts_with(KEY) {
        request.bearer(credential)
    } else {
        request.secret(API_KEY, credential)
    }
}

fn body<'a>(
    request: &'a Request,
    model: &str,
    unsupported: &mut Unsupported,
) -> Result<Body<'a>, Error> {
    let options = options::split(&request.provider_options)?;
    let generation_config = generation_config(request, model, options.config, unsupported)?;
    let signatures = !thinking::is_early(model);
    let contents = Writer::new(signatures, unsupported).write(&request.messages)?;
    Ok(Body {
        contents: contents.turns,
        system_instruction: contents.instruction,
        tools: tools(request),
        tool_config: tool_config(request),
        generation_config,
        service_tier: request.service_tier.as_deref(),
        options: options.body,
    })
}

fn generation_config<'a>(
    request: &'a Request,
    model: &str,
    options: Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<GenerationConfig<'a>, Error> {
    let seed = request.seed.map(i32::try_from);
    if matches!(seed, Some(Err(_))) {
        unsupported.field("seed", "it takes only seeds of 32 bits")?;
    }
    let reasoning = request.reasoning.unwrap_or_default();
    let (response_mime_type, response_json_schema) = match &request.response_format {
        None => (None, None),
        Some(ResponseFormat::Text) => (Some("text/plain"), None),
        Some(ResponseFormat::JsonObject) => (Some("application/json"), None),
        Some(ResponseFormat::JsonSchema(JsonSchema { schema, .. })) => {
            (Some("application/json"), schema.as_ref())
        }
    };
    Ok(GenerationConfig {
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        max_output_tokens: request.max_output_tokens,
        stop_sequences: &request.stop,
        candidate_count: request.choices,
        seed: seed.and_then(Result::ok),
        presence_penalty: request.presence_penalty,
        frequency_penalty: request.frequency_penalty,
        response_logprobs: request.logprobs,
        logprobs: request.top_logprobs,
        response_mime_type,
        response_json_schema,
        thinking_config: thinking::config(reasoning, model, unsupported)?,
        response_modalities: modalities(request),
        speech_config: speech_config(request, &options, unsupported)?,
        options,
    })
}

fn modalities(request: &Request) -> Vec<&'static str> {
    let name = |modality: &Modality| match modality {
        Modality::Text => "TEXT",
        Modality::Audio => "AUDIO",
    };
    request.modalities.iter().map(name).collect()
}

/// How the answer is to be spoken. The provider has one encoding of sound; more than one voice is set in the options.
fn speech_config<'a>(
    request: &'a Request,
    options: &Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<Option<SpeechConfig<'a>>, Error> {
    let Some(AudioOutput { voice, format }) = &request.audio else {
        return Ok(None);
    };
    let at = "provider_options.generationConfig";
    options::refuse(options, at, &["speechconfig"])?;
    if format.as_deref().is_some_and(|it| it != RAW_SOUND) {
        unsupported.field("audio_output.format", "it answers in pcm16 only")?;
    }
    Ok(Some(SpeechConfig {
        voice_config: VoiceConfig {
            prebuilt_voice_config: Voice { voice_name: voice },
        },
    }))
}

/// The functions of the caller's in one declaration, then what the provider runs.
fn tools(request: &Request) -> Vec<Tools<'_>> {
    let mut function_declarations = Vec::new();
    let mut own = Vec::new();
    for (_, tool) in request.tools_for(Kind::Gemini) {
        match tool {
            Tool::Function(function) => function_declarations.push(Declaration {
                name: &function.name,
                description: function.description.as_deref(),
                parameters_json_schema: function.parameters.as_ref(),
            }),
            Tool::Provider(ProviderTool { kind, settings, .. }) => {
                own.push(Tools::Own(BTreeMap::from([(kind.as_str(), settings)])));
            }
        }
    }
    let functions = (!function_declarations.is_empty()).then_some(Tools::Functions {
        function_declarations,
    });
    functions.into_iter().chain(own).collect()
}

/// Strictness is a matter of the mode there, for all tools alike: a call that must happen is held to
/// the schema anyway, one that may happen only in the mode `VALIDATED`.
fn tool_config(request: &Request) -> Option<ToolConfig<'_>> {
    let mut functions = request.tools.iter().filter_map(Tool::function);
    let strict = functions.any(|tool| tool.strict == Some(true));
    let (mode, name) = match &request.tool_choice {
        None | Some(ToolChoice::Auto) if strict => ("VALIDATED", None),
        None => return None,
        Some(ToolChoice::Auto) => ("AUTO", None),
        Some(ToolChoice::None) => ("NONE", None),
        Some(ToolChoice::Required) => ("ANY", None),
        Some(ToolChoice::Tool(name)) => ("ANY", Some([name.as_str()])),
    };
    Some(ToolConfig {
        function_calling_config: Calling {
            mode,
            allowed_function_names: name,
        },
    })
}

/// Refuses what the body has no field for, messages apart. The name of a schema is missing here: it
/// is a label that no model reads.
fn check(request: &Request, unsupported: &mut Unsupported) -> Result<(), Error> {
    let described = matches!(
        &request.response_format,
        Some(ResponseFormat::JsonSchema(schema)) if schema.description.is_some()
    );
    let cites = "it tells sources of its own searches only";
    unsupported.cited_documents(&request.messages, cites)?;
    unsupported.fields([
        (
            !request.logit_bias.is_empty(),
            "logit_bias",
            "it has no such setting",
        ),
        (
            request.user.is_some(),
            "user",
            "it is not told who the end user is",
        ),
        (
            request.parallel_tool_calls == Some(false),
            "parallel_tool_calls",
            "it cannot be kept from asking for several calls at once",
        ),
        (
            described,
            "response_format.json_schema.description",
            "it reads only the schema; write the description into that",
        ),
    ])
}

/// The path of a model: under `models`, or where the name says, such as `tunedModels/mine`.
pub(super) fn model_path(model: &str) -> String {
    let folder = if model.contains('/') { "" } else { "models/" };
    format!("/{folder}{}", path::encode(model, "/@"))
}

#[cfg(test)]
mod tests;
