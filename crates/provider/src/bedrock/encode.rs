//! From `chat::Request` to the body of `POST /model/{model}/converse`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::blocks::{Block, Converse};
use crate::anthropic::{self, Thinking};
use crate::blocks::{self, CacheMark, Cached, Conversation, Schema};
use crate::chat::{
    self, CachePlace, Effort, JsonSchema, Part, ProviderTool, Request, ResponseFormat, ToolChoice,
};
use crate::codec::{HttpRequest, Kind, Target};
use crate::unsupported::Unsupported;
use crate::{Error, options, path};

/// Where fields go that only one maker's models know.
const ADDITIONAL: &str = "additionalModelRequestFields";

/// Fields the gateway itself writes; a provider option must not replace one.
const RESERVED: [&str; 8] = [
    "modelId",
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "outputConfig",
    "serviceTier",
    "stream",
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<blocks::Message<Block<'a>>>,
    inference_config: InferenceConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    output_config: OutputConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier<'a>>,
    #[serde(flatten)]
    options: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Tool<'a> {
    ToolSpec(ToolSpec<'a>),
    CachePoint(CacheMark),
    /// One that the provider runs itself, under the name of its type.
    #[serde(untagged)]
    Own(BTreeMap<&'a str, &'a Map<String, Value>>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum InputSchema<'a> {
    Json(Schema<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Choice<'a> {
    Auto {},
    Any {},
    Tool { name: &'a str },
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_format: Option<TextFormat<'a>>,
}

impl OutputConfig<'_> {
    fn is_empty(&self) -> bool {
        self.effort.is_none() && self.text_format.is_none()
    }
}

#[derive(Serialize)]
struct TextFormat<'a> {
    r#type: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Structure<'a> {
    /// The schema is written as a text that holds JSON.
    JsonSchema {
        schema: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct ServiceTier<'a> {
    r#type: &'a str,
}

/// Encodes a request for Converse, or ConverseStream.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    stream: bool,
) -> Result<HttpRequest, Error> {
    let mut unsupported = Unsupported::new(Kind::Bedrock, target);
    check(request, &mut unsupported)?;
    let cached = Cached::of(request, "default");
    let Conversation { system, messages } =
        blocks::conversation::<Converse>(request, &cached, false, &mut unsupported)?;
    let (thinking, effort) = thinking(request, target, &mut unsupported)?;
    let body = Body {
        system,
        messages,
        inference_config: InferenceConfig {
            max_tokens: request.max_output_tokens,
            temperature: unsupported.up_to_one("temperature", request.temperature)?,
            top_p: request.top_p,
            stop_sequences: &request.stop,
        },
        tool_config: tool_config(request, &cached, &mut unsupported)?,
        output_config: OutputConfig {
            effort,
            text_format: text_format(request, &mut unsupported)?,
        },
        service_tier: service_tier(request, &mut unsupported)?,
        options: options(request, thinking)?,
    };
    let (operation, accept) = if stream {
        ("converse-stream", "application/vnd.amazon.eventstream")
    } else {
        ("converse", "application/json")
    };
    let path = format!("/model/{}/{operation}", path::encode(target.model, ""));
    let mut encoded = HttpRequest::post(path, accept, &body)?;
    encoded.warnings = unsupported.into_warnings();
    Ok(encoded)
}

/// Refuses what the body has no field for, messages apart.
fn check(request: &Request, unsupported: &mut Unsupported) -> Result<(), Error> {
    const ONLY_SOME: &str = "only some models have such a setting; set it in \
        provider_options.additionalModelRequestFields";
    unsupported.sound(request)?;
    unsupported.fields([
        (
            request.choice_count() > 1,
            "choice_count",
            "it gives one answer; ask again for more",
        ),
        (request.top_k.is_some(), "top_k", ONLY_SOME),
        (request.seed.is_some(), "seed", ONLY_SOME),
        (
            request.frequency_penalty.is_some_and(|it| it != 0.0),
            "frequency_penalty",
            ONLY_SOME,
        ),
        (
            request.presence_penalty.is_some_and(|it| it != 0.0),
            "presence_penalty",
            ONLY_SOME,
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
        (
            request.parallel_tool_calls == Some(false),
            "parallel_tool_calls",
            "it leaves that to the model",
        ),
        (
            request.user.is_some(),
            "user",
            "it is not told who the end user is; set provider_options.requestMetadata",
        ),
    ])
}

fn service_tier<'a>(
    request: &'a Request,
    unsupported: &mut Unsupported,
) -> Result<Option<ServiceTier<'a>>, Error> {
    let Some(tier) = request.service_tier.as_deref() else {
        return Ok(None);
    };
    if matches!(tier, "priority" | "default" | "flex" | "reserved") {
        return Ok(Some(ServiceTier { r#type: tier }));
    }
    unsupported.field(
        "service_tier",
        "it knows priority, default, flex and reserved",
    )?;
    Ok(None)
}

/// What is asked for in words of the format, and of Anthropic's models where one is meant: the format
/// itself knows an effort only.
fn thinking(
    request: &Request,
    target: &Target<'_>,
    unsupported: &mut Unsupported,
) -> Result<(Option<Thinking>, Option<&'static str>), Error> {
    if target.base_model.contains("claude") {
        return anthropic::thinking(request, target.base_model, unsupported);
    }
    let wanted = request.reasoning.unwrap_or_default();
    let problem = "only some models have such a setting; set reasoning.effort, or what the \
        model knows in provider_options.additionalModelRequestFields";
    let none = wanted.effort == Some(Effort::None);
    let budget = wanted.budget_tokens.is_some();
    unsupported.fields([
        (none, "reasoning.effort", problem),
        (budget, "reasoning.max_tokens", problem),
    ])?;
    let effort = wanted.effort.filter(|effort| *effort != Effort::None);
    Ok((None, effort.map(Effort::as_str)))
}

fn text_format<'a>(
    request: &'a Request,
    unsupported: &mut Unsupported,
) -> Result<Option<TextFormat<'a>>, Error> {
    match &request.response_format {
        None | Some(ResponseFormat::Text) => Ok(None),
        Some(ResponseFormat::JsonObject) => {
            let problem = "it knows JSON by schema only; give a json_schema";
            unsupported.field("response_format.json_object", problem)?;
            Ok(None)
        }
        Some(ResponseFormat::JsonSchema(JsonSchema {
            name,
            description,
            schema,
            ..
        })) => {
            let schema = schema.as_ref().ok_or_else(|| {
                unsupported.refuse("response_format.json_schema.schema", "it needs the schema")
            })?;
            Ok(Some(TextFormat {
                r#type: "json_schema",
                structure: Structure::JsonSchema {
                    schema: schema.get(),
                    name,
                    description: description.as_deref(),
                },
            }))
        }
    }
}

fn tool_config<'a>(
    request: &'a Request,
    cached: &Cached<'_>,
    unsupported: &mut Unsupported,
) -> Result<Option<ToolConfig<'a>>, Error> {
    let tool_choice = match &request.tool_choice {
        None => None,
        Some(ToolChoice::Auto) => Some(Choice::Auto {}),
        Some(ToolChoice::Required) => Some(Choice::Any {}),
        Some(ToolChoice::Tool(name)) => Some(Choice::Tool { name }),
        Some(ToolChoice::None) => {
            let problem = "it cannot forbid tools that it is given; leave the tools out";
            unsupported.field("tool_choice", problem)?;
            None
        }
    };
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools_for(Kind::Bedrock) {
        tools.push(match tool {
            chat::Tool::Function(function) => Tool::ToolSpec(tool_spec(function)),
            chat::Tool::Provider(ProviderTool { kind, settings, .. }) => {
                Tool::Own(BTreeMap::from([(kind.as_str(), settings)]))
            }
        });
        let point = cached.after(CachePlace::Tool(index));
        tools.extend(point.map(Tool::CachePoint));
    }
    if tools.is_empty() {
        tools = once_called(request);
        if !tools.is_empty() {
            let problem = "it wants to know the tools of earlier calls, and was told their names";
            unsupported.note("tools", problem);
        }
    }
    Ok((!tools.is_empty()).then_some(ToolConfig { tools, tool_choice }))
}

/// The tools that the conversation tells calls of: none may be told without its tool, be it wanted no more.
fn once_called(request: &Request) -> Vec<Tool<'_>> {
    let parts = request.messages.iter().flat_map(|it| &it.parts);
    let names: BTreeSet<_> = parts
        .filter_map(|part| {
            let Part::ToolCall(call) = part else {
                return None;
            };
            Some(call.name.as_str())
        })
        .collect();
    let spec = |name| {
        Tool::ToolSpec(ToolSpec {
            name,
            description: None,
            input_schema: InputSchema::Json(Schema::Nothing { r#type: "object" }),
            strict: None,
        })
    };
    names.into_iter().map(spec).collect()
}

fn tool_spec(tool: &chat::Function) -> ToolSpec<'_> {
    ToolSpec {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: InputSchema::Json(Schema::of(tool)),
        strict: tool.strict,
    }
}

/// What goes into the body as it is, with how to think beside what else only the model knows.
fn options(request: &Request, thinking: Option<Thinking>) -> Result<Map<String, Value>, Error> {
    options::check(&request.provider_options, &RESERVED)?;
    let mut options = request.provider_options.clone();
    let Some(thinking) = thinking else {
        return Ok(options);
    };
    let place = options.entry(ADDITIONAL).or_insert_with(|| json!({}));
    let path = || format!("provider_options.{ADDITIONAL}");
    let Some(fields) = place.as_object_mut() else {
        return Err(Error::invalid(path(), "must be an object"));
    };
    let thinking = serde_json::to_value(thinking).map_err(Error::Encode)?;
    if fields.insert("thinking".to_owned(), thinking).is_some() {
        let path = format!("{}.thinking", path());
        return Err(Error::invalid(path, "cannot be set along with reasoning"));
    }
    Ok(options)
}

#[cfg(test)]
mod tests;
