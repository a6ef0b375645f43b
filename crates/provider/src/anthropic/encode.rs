//! From `chat::Request` to the body of `POST /messages`.

use http::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};

use super::blocks::{Block, Messages};
use super::thinking::{Thinking, instructed_within, thinking};
use crate::blocks::{self, CacheMark, Cached, Conversation, Schema};
use crate::chat::{CachePlace, Json, ProviderTool, Request, ResponseFormat, Tool, ToolChoice};
use crate::codec::{HttpRequest, Kind, Target};
use crate::unsupported::Unsupported;
use crate::{Error, options};

/// The version of the wire format spoken here.
pub(crate) const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
/// A provider option that is a header here: the names of features under test.
const BETA: &str = "anthropic_beta";

/// Fields the gateway itself writes; a provider option must not replace one.
const RESERVED: [&str; 15] = [
    "model",
    "messages",
    "max_tokens",
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "service_tier",
    "metadata",
    "stream",
];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<blocks::Message<Block<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    output_config: OutputConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(flatten)]
    options: Map<String, Value>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    #[serde(flatten)]
    tool: Offered<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheMark>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Offered<'a> {
    Function {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: Schema<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
    /// One that the provider runs itself.
    Own {
        r#type: &'a str,
        #[serde(flatten)]
        settings: &'a Map<String, Value>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireChoice<'a> {
    Auto {
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_parallel_tool_use: Option<bool>,
    },
    Any {
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_parallel_tool_use: Option<bool>,
    },
    Tool {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_parallel_tool_use: Option<bool>,
    },
    None,
}

#[derive(Serialize, Default)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

impl OutputConfig<'_> {
    fn is_empty(&self) -> bool {
        self.effort.is_none() && self.format.is_none()
    }
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    schema: &'a Json,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

/// Encodes a request for Anthropic's messages.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    stream: bool,
) -> Result<HttpRequest, Error> {
    let mut unsupported = Unsupported::new(Kind::Anthropic, target);
    check(request, &mut unsupported)?;
    let (options, beta) = options(request)?;
    let cached = Cached::of(request, "ephemeral");
    let within = instructed_within(target.base_model);
    let Conversation { system, messages } =
        blocks::conversation::<Messages>(request, &cached, within, &mut unsupported)?;
    let (thinking, effort) = thinking(request, target.base_model, &mut unsupported)?;
    let body = Body {
        model: target.model,
        max_tokens: request
            .max_output_tokens
            .ok_or_else(|| unsupported.refuse("max_output_tokens", "it needs a limit; set one"))?,
        system,
        messages,
        temperature: unsupported.up_to_one("temperature", request.temperature)?,
        top_p: request.top_p,
        top_k: request.top_k,
        stop_sequences: &request.stop,
        tools: tools(request, &cached),
        tool_choice: tool_choice(request),
        thinking,
        output_config: OutputConfig {
            effort,
            format: format(request, &mut unsupported)?,
        },
        service_tier: service_tier(request, &mut unsupported)?,
        metadata: request.user.as_deref().map(|user_id| Metadata { user_id }),
        stream,
        options,
    };
    let accept = if stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let mut encoded = HttpRequest::post("/messages", accept, &body)?;
    let headers = &mut encoded.headers;
    headers.insert(HeaderName::from_static("anthropic-version"), VERSION);
    if let Some(beta) = beta {
        headers.insert(HeaderName::from_static("anthropic-beta"), beta);
    }
    encoded.warnings = unsupported.into_warnings();
    Ok(encoded)
}

/// Refuses what the body has no field for, messages apart.
fn check(request: &Request, unsupported: &mut Unsupported) -> Result<(), Error> {
    unsupported.sound(request)?;
    unsupported.fields([
        (
            request.choice_count() > 1,
            "choice_count",
            "it gives one answer; ask again for more",
        ),
        (request.seed.is_some(), "seed", "it has no such setting"),
        (
            request.frequency_penalty.is_some_and(|it| it != 0.0),
            "frequency_penalty",
            "it has no such setting",
        ),
        (
            request.presence_penalty.is_some_and(|it| it != 0.0),
            "presence_penalty",
            "it has no such setting",
        ),
        (
            !request.logit_bias.is_empty(),
            "logit_bias",
            "it has no such setting",
        ),
        (
            request.logprobs == Some(true) || request.top_logprobs.is_some(),
            "log_probs",
            "it does not tell them",
        ),
    ])
}

fn service_tier<'a>(
    request: &'a Request,
    unsupported: &mut Unsupported,
) -> Result<Option<&'a str>, Error> {
    match request.service_tier.as_deref() {
        Some(tier) if !matches!(tier, "auto" | "standard_only") => {
            unsupported.field("service_tier", "it knows auto and standard_only")?;
            Ok(None)
        }
        tier => Ok(tier),
    }
}

fn format<'a>(
    request: &'a Request,
    unsupported: &mut Unsupported,
) -> Result<Option<Format<'a>>, Error> {
    match &request.response_format {
        None | Some(ResponseFormat::Text) => Ok(None),
        Some(ResponseFormat::JsonObject) => {
            let problem = "it knows JSON by schema only; give a json_schema";
            unsupported.field("response_format.json_object", problem)?;
            Ok(None)
        }
        Some(ResponseFormat::JsonSchema(wanted)) => {
            if wanted.description.is_some() {
                let problem = "it has no place for it; put it into the schema";
                unsupported.field("response_format.json_schema.description", problem)?;
            }
            let schema = wanted.schema.as_ref().ok_or_else(|| {
                unsupported.refuse("response_format.json_schema.schema", "it needs the schema")
            })?;
            Ok(Some(Format {
                r#type: "json_schema",
                schema,
            }))
        }
    }
}

fn tools<'a>(request: &'a Request, cached: &Cached<'_>) -> Vec<WireTool<'a>> {
    let tool = |(index, tool): (usize, &'a Tool)| WireTool {
        tool: match tool {
            Tool::Function(tool) => Offered::Function {
                name: &tool.name,
                description: tool.description.as_deref(),
                input_schema: Schema::of(tool),
                strict: tool.strict,
            },
            Tool::Provider(ProviderTool { kind, settings, .. }) => Offered::Own {
                r#type: kind,
                settings,
            },
        },
        cache_control: cached.after(CachePlace::Tool(index)),
    };
    request.tools_for(Kind::Anthropic).map(tool).collect()
}

fn tool_choice(request: &Request) -> Option<WireChoice<'_>> {
    let disable_parallel_tool_use = match request.parallel_tool_calls {
        Some(false) => Some(true),
        Some(true) | None => None,
    };
    Some(match &request.tool_choice {
        Some(ToolChoice::Auto) => WireChoice::Auto {
            disable_parallel_tool_use,
        },
        Some(ToolChoice::Required) => WireChoice::Any {
            disable_parallel_tool_use,
        },
        Some(ToolChoice::Tool(name)) => WireChoice::Tool {
            name,
            disable_parallel_tool_use,
        },
        Some(ToolChoice::None) => WireChoice::None,
        // The setting has no place of its own.
        None if disable_parallel_tool_use.is_some() && !request.tools.is_empty() => {
            WireChoice::Auto {
                disable_parallel_tool_use,
            }
        }
        None => return None,
    })
}

/// What goes into the body as it is, and what of it is a header.
fn options(request: &Request) -> Result<(Map<String, Value>, Option<HeaderValue>), Error> {
    options::check(&request.provider_options, &RESERVED)?;
    let mut options = request.provider_options.clone();
    let beta = options.remove(BETA).map(|value| beta(&value)).transpose()?;
    Ok((options, beta))
}

fn beta(value: &Value) -> Result<HeaderValue, Error> {
    let problem = || {
        let path = format!("provider_options.{BETA}");
        Error::invalid(
            path,
            "must be a list of names such as context-1m-2025-08-07",
        )
    };
    let is_name = |name: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !name.is_empty() && name.bytes().all(plain)
    };
    let names = value.as_array().ok_or_else(problem)?;
    let names: Option<Vec<&str>> = names
        .iter()
        .map(|name| name.as_str().filter(is_name))
        .collect();
    let list = names
        .filter(|names| !names.is_empty())
        .ok_or_else(problem)?;
    HeaderValue::try_from(list.join(",")).map_err(|_| problem())
}

#[cfg(test)]
mod tests;
