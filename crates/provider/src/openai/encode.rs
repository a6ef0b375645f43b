//! From `chat::Request` to the body of `POST /chat/completions`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::azure;
use super::dialect::{Dialect, Forms, LimitField};
use super::outgoing::{self, Message};
use crate::chat::{
    self, AudioOutput, Json, JsonSchema, ProviderTool, Request, ResponseFormat, Tool, ToolChoice,
};
use crate::codec::{HttpRequest, Kind, Target};
use crate::unsupported::Unsupported;
use crate::{Error, options};

/// Fields the gateway itself writes or rules out; a provider option must not replace one.
const RESERVED: [&str; 33] = [
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "random_seed",
    "n",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "metadata",
    "user",
    "service_tier",
    "stream",
    "stream_options",
    "functions",
    "function_call",
    "modalities",
    "audio",
    "prompt_cache_key",
    "prompt_cache_retention",
    "max_output_tokens",
];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    random_seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit_bias: Option<&'a BTreeMap<String, f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offered<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<WireFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    modalities: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<WireAudio<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_retention: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    options: &'a serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct WireAudio<'a> {
    voice: &'a str,
    format: &'a str,
}

/// A tool that the model may call.
#[derive(Serialize)]
#[serde(untagged)]
enum Offered<'a> {
    Function(WireTool<'a>),
    /// One that the server runs itself.
    Own {
        r#type: &'a str,
        #[serde(flatten)]
        settings: &'a serde_json::Map<String, serde_json::Value>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", content = "function", rename_all = "snake_case")]
enum WireTool<'a> {
    Function(Function<'a>),
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// The schema of a tool's arguments.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Parameters<'a> {
    Schema(&'a Json),
    None {
        #[serde(rename = "type")]
        kind: &'static str,
        properties: BTreeMap<&'static str, ()>,
    },
}

impl<'a> Parameters<'a> {
    /// Those of a tool: an object without properties where it takes none.
    pub(crate) fn of(tool: &'a chat::Function) -> Self {
        match &tool.parameters {
            Some(schema) => Self::Schema(schema),
            None => Self::None {
                kind: "object",
                properties: BTreeMap::new(),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireChoice<'a> {
    Mode(&'static str),
    Function(WireTool<'a>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat<'a> {
    Text,
    JsonObject,
    JsonSchema { json_schema: Schema<'a> },
}

/// The schema of an answer.
#[derive(Serialize)]
pub(crate) struct Schema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

impl<'a> Schema<'a> {
    pub(crate) fn of(schema: &'a JsonSchema) -> Self {
        Self {
            name: &schema.name,
            description: schema.description.as_deref(),
            schema: schema.schema.as_ref(),
            strict: schema.strict,
        }
    }
}

/// Encodes a request for `OpenAI` or a server that imitates it.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    dialect: &Dialect,
    stream: bool,
) -> Result<HttpRequest, Error> {
    let dialect = &dialect.for_model(target.base_model);
    let mut unsupported = Unsupported::new(dialect.kind, target);
    check(request, dialect, &mut unsupported)?;
    let body = Body {
        tools: tools(request, dialect, &mut unsupported)?,
        audio: audio(request, dialect, &unsupported)?,
        ..body(request, target, dialect, stream)?
    };
    let accept = if stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let path = if dialect.kind == Kind::AzureOpenAi {
        Cow::Owned(azure::path(
            "chat/completions",
            target.model,
            target.api_version,
        ))
    } else {
        Cow::Borrowed("/chat/completions")
    };
    let mut encoded = HttpRequest::post(path, accept, &body)?;
    encoded.warnings = unsupported.into_warnings();
    Ok(encoded)
}

fn body<'a>(
    request: &'a Request,
    target: &Target<'a>,
    dialect: &Dialect,
    stream: bool,
) -> Result<Body<'a>, Error> {
    let limit = |field| request.max_output_tokens.filter(|_| dialect.limit == field);
    let forms = dialect.forms;
    let seed = |of| request.seed.filter(|_| forms == of);
    let cache = &request.prompt_cache;
    Ok(Body {
        model: target.model,
        messages: outgoing::messages(&request.messages, dialect)?,
        max_tokens: limit(LimitField::MaxTokens),
        max_completion_tokens: limit(LimitField::MaxCompletionTokens),
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k.filter(|_| dialect.top_k),
        stop: &request.stop,
        seed: seed(Forms::OpenAi),
        random_seed: seed(Forms::Mistral),
        n: request.choices,
        frequency_penalty: request.frequency_penalty,
        presence_penalty: request.presence_penalty,
        logit_bias: Some(&request.logit_bias)
            .filter(|bias| !bias.is_empty() && forms == Forms::OpenAi),
        logprobs: request.logprobs,
        top_logprobs: request.top_logprobs,
        tools: Vec::new(),
        tool_choice: request
            .tool_choice
            .as_ref()
            .map(|choice| wire_choice(choice, forms)),
        parallel_tool_calls: request.parallel_tool_calls,
        response_format: request.response_format.as_ref().map(wire_format),
        reasoning_effort: request.reasoning.and_then(|r| r.effort).map(|e| e.as_str()),
        modalities: modalities(request)
            .filter(|_| forms == Forms::OpenAi)
            .collect(),
        audio: None,
        metadata: stored_metadata(request),
        user: request.user.as_deref().filter(|_| forms == Forms::OpenAi),
        service_tier: request.service_tier.as_deref(),
        prompt_cache_key: cache.key.as_deref().filter(|_| forms == Forms::OpenAi),
        prompt_cache_retention: cache
            .retention
            .as_deref()
            .filter(|_| forms == Forms::OpenAi),
        stream: stream.then_some(true),
        stream_options: (stream && forms == Forms::OpenAi).then_some(StreamOptions {
            include_usage: true,
        }),
        options: &request.provider_options,
    })
}

/// Labels are for the gateway. The provider gets them only with `store`, the one case in which
/// `OpenAI` has a use for them and accepts them.
fn stored_metadata(request: &Request) -> Option<&BTreeMap<String, String>> {
    let stored = request.provider_options.get("store") == Some(&serde_json::Value::Bool(true));
    (stored && !request.metadata.is_empty()).then_some(&request.metadata)
}

fn modalities(request: &Request) -> impl Iterator<Item = &'static str> {
    request.modalities.iter().map(|modality| modality.as_str())
}

fn audio<'a>(
    request: &'a Request,
    dialect: &Dialect,
    unsupported: &Unsupported,
) -> Result<Option<WireAudio<'a>>, Error> {
    let wanted = request.audio.as_ref();
    let Some(AudioOutput { voice, format }) = wanted.filter(|_| dialect.forms == Forms::OpenAi)
    else {
        return Ok(None);
    };
    let problem = "it must be told the format of sound; set one, such as wav";
    let format = format
        .as_deref()
        .ok_or_else(|| unsupported.refuse("audio_output.format", problem))?;
    Ok(Some(WireAudio { voice, format }))
}

/// What is offered to the model. `OpenAI` itself, at Azure too, runs no tools in chat completions, Mistral in
/// conversations of another kind only; what others run they name in their own ways.
fn tools<'a>(
    request: &'a Request,
    dialect: &Dialect,
    unsupported: &mut Unsupported,
) -> Result<Vec<Offered<'a>>, Error> {
    let mut out = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools_for(dialect.kind) {
        match tool {
            Tool::Function(function) => {
                out.push(Offered::Function(wire_tool(function, dialect.forms)));
            }
            Tool::Provider(ProviderTool { kind, settings, .. }) if dialect.own_tools => {
                out.push(Offered::Own {
                    r#type: kind,
                    settings,
                });
            }
            Tool::Provider(_) => {
                let problem = "it runs no tools in chat completions; leave it out, or set what it \
                    has instead in provider_options";
                unsupported.field(format!("tools[{index}]"), problem)?;
            }
        }
    }
    Ok(out)
}

fn wire_tool(tool: &chat::Function, forms: Forms) -> WireTool<'_> {
    let told = tool.parameters.is_some() || forms == Forms::Mistral;
    let parameters = told.then(|| Parameters::of(tool));
    WireTool::Function(Function {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters,
        strict: tool.strict,
    })
}

fn wire_choice(choice: &ToolChoice, forms: Forms) -> WireChoice<'_> {
    match choice {
        ToolChoice::Required if forms == Forms::Mistral => WireChoice::Mode("any"),
        ToolChoice::Auto => WireChoice::Mode("auto"),
        ToolChoice::None => WireChoice::Mode("none"),
        ToolChoice::Required => WireChoice::Mode("required"),
        ToolChoice::Tool(name) => WireChoice::Function(WireTool::Function(Function {
            name,
            description: None,
            parameters: None,
            strict: None,
        })),
    }
}

fn wire_format(format: &ResponseFormat) -> WireFormat<'_> {
    match format {
        ResponseFormat::Text => WireFormat::Text,
        ResponseFormat::JsonObject => WireFormat::JsonObject,
        ResponseFormat::JsonSchema(schema) => WireFormat::JsonSchema {
            json_schema: Schema::of(schema),
        },
    }
}

/// Refuses what the body has no field for, messages apart.
fn check(request: &Request, dialect: &Dialect, unsupported: &mut Unsupported) -> Result<(), Error> {
    let reasoning = request.reasoning.unwrap_or_default();
    unsupported.fields([
        (
            reasoning.budget_tokens.is_some(),
            "reasoning.max_tokens",
            "it knows efforts, not budgets; set reasoning.effort",
        ),
        (
            request.top_k.is_some() && !dialect.top_k,
            "top_k",
            "it has no such setting; set top_p",
        ),
    ])?;
    unsupported.cited_documents(&request.messages, "it tells no sources of what it says")?;
    if dialect.forms == Forms::Mistral {
        check_mistral(request, unsupported)?;
    }
    options::check(&request.provider_options, &RESERVED)
}

/// Refuses what Mistral, unlike the others, has no field for.
fn check_mistral(request: &Request, unsupported: &mut Unsupported) -> Result<(), Error> {
    unsupported.sound(request)?;
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
    ])?;
    let problem = "it has no names for those who speak; write the name into the text";
    unsupported.speakers(&request.messages, problem)
}

#[cfg(test)]
mod tests;
