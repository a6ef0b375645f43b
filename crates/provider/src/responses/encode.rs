//! From `chat::Request` to the body of `POST /responses`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::input::{self, Item};
use super::options::Options;
use crate::Error;
use crate::chat::{ProviderTool, Request, ResponseFormat, Tool, ToolChoice};
use crate::codec::{HttpRequest, Kind, Target};
use crate::openai::{self, Parameters, Schema};
use crate::unsupported::Unsupported;

/// What of a body counts as input.
pub(crate) const COUNTED: [&str; 8] = [
    "model",
    "input",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "reasoning",
    "truncation",
];

/// Tools whose calls the caller would have to answer, in a way that it has no words for.
const ANSWERED: [&str; 6] = [
    "function",
    "custom",
    "computer",
    "computer_use_preview",
    "local_shell",
    "apply_patch",
];

/// Asks for thoughts in the form in which they can be sent back.
const ENCRYPTED: &str = "reasoning.encrypted_content";
/// Asks for the log probabilities of what is said.
const LOGPROBS: &str = "message.output_text.logprobs";

/// What the names of `OpenAI`'s models that do not think begin with. They refuse to be asked for encrypted thoughts.
const THOUGHTLESS: [&str; 3] = ["gpt-3.5", "gpt-4", "chatgpt-"];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<Item<'a>>,
    store: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "TextConfig::is_empty")]
    text: TextConfig<'a>,
    #[serde(skip_serializing_if = "Reasoning::is_empty")]
    reasoning: Reasoning<'a>,
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
    #[serde(flatten)]
    options: BTreeMap<&'a str, &'a Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireTool<'a> {
    Function(Function<'a>),
    /// One that the provider runs itself.
    Own {
        r#type: &'a str,
        #[serde(flatten)]
        settings: Cow<'a, Map<String, Value>>,
    },
}

#[derive(Serialize)]
struct Function<'a> {
    r#type: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Parameters<'a>,
    strict: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireChoice<'a> {
    Mode(&'static str),
    Function { r#type: &'static str, name: &'a str },
}

#[derive(Serialize)]
struct TextConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    #[serde(flatten)]
    options: BTreeMap<&'a str, &'a Value>,
}

impl TextConfig<'_> {
    fn is_empty(&self) -> bool {
        self.format.is_none() && self.options.is_empty()
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    Text,
    JsonObject,
    JsonSchema(Schema<'a>),
}

#[derive(Serialize)]
struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'static str>,
    #[serde(flatten)]
    options: BTreeMap<&'a str, &'a Value>,
}

impl Reasoning<'_> {
    fn is_empty(&self) -> bool {
        self.effort.is_none() && self.summary.is_none() && self.options.is_empty()
    }
}

/// Encodes a request for a kind of provider that has the interface.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    kind: Kind,
    stream: bool,
) -> Result<HttpRequest, Error> {
    let mut unsupported = Unsupported::new(kind, target);
    check(request, &mut unsupported)?;
    let options = Options::read(request, &mut unsupported)?;
    let mut tools = tools(request, &unsupported)?;
    tools.extend(options.search.map(search));
    let body = Body {
        model: target.model,
        input: input::items(&request.messages, &mut unsupported)?,
        store: false,
        include: include(request, target, kind, &options),
        max_output_tokens: request.max_output_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        top_logprobs: request.top_logprobs,
        tools,
        tool_choice: request.tool_choice.as_ref().map(tool_choice),
        parallel_tool_calls: request.parallel_tool_calls,
        text: TextConfig {
            format: format(request, &unsupported)?,
            options: options.text,
        },
        reasoning: reasoning(request, options.reasoning),
        user: request.user.as_deref(),
        service_tier: request.service_tier.as_deref(),
        prompt_cache_key: request.prompt_cache.key.as_deref(),
        prompt_cache_retention: request.prompt_cache.retention.as_deref(),
        stream: stream.then_some(true),
        options: options.rest,
    };
    let accept = if stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let mut encoded = HttpRequest::post(action("responses", kind, target), accept, &body)?;
    encoded.warnings = unsupported.into_warnings();
    Ok(encoded)
}

/// The path of an action such as `responses`.
pub(crate) fn action(name: &str, kind: Kind, target: &Target<'_>) -> Cow<'static, str> {
    Cow::Owned(if kind == Kind::AzureOpenAi {
        openai::azure_path(name, target.model, target.api_version)
    } else {
        format!("/{name}")
    })
}

fn include<'a>(
    request: &Request,
    target: &Target<'_>,
    kind: Kind,
    options: &Options<'a>,
) -> Vec<&'a str> {
    let mut include = Vec::new();
    if kind == Kind::OpenAiCompatible || thinks(target.base_model) {
        include.push(ENCRYPTED);
    }
    if request.logprobs == Some(true) {
        include.push(LOGPROBS);
    }
    let more = options.include.iter().copied();
    include.extend(more.filter(|name| ![ENCRYPTED, LOGPROBS].contains(name)));
    include
}

/// Whether a model of `OpenAI`'s may think before it answers: all do that are not known for not doing so.
fn thinks(model: &str) -> bool {
    let model = model.strip_prefix("ft:").unwrap_or(model);
    let known = THOUGHTLESS.iter().any(|begin| model.starts_with(begin));
    !known && !model.contains("-chat")
}

/// Functions are strict there unless it is said that they are not, so it is always said.
fn tools<'a>(request: &'a Request, unsupported: &Unsupported) -> Result<Vec<WireTool<'a>>, Error> {
    let tool = |(index, tool): (usize, &'a Tool)| match tool {
        Tool::Function(tool) => Ok(WireTool::Function(Function {
            r#type: "function",
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: Parameters::of(tool),
            strict: tool.strict.unwrap_or(false),
        })),
        Tool::Provider(ProviderTool { kind, .. }) if ANSWERED.contains(&kind.as_str()) => {
            let problem = "it does not run this tool itself; use a function";
            Err(unsupported.refuse(format!("tools[{index}]"), problem))
        }
        Tool::Provider(ProviderTool { kind, settings, .. }) => Ok(WireTool::Own {
            r#type: kind,
            settings: Cow::Borrowed(settings),
        }),
    };
    request.tools_for(unsupported.kind()).map(tool).collect()
}

/// The tool that searches, as chat completions are told to. The place of the user stands one object deeper there.
fn search(options: &Map<String, Value>) -> WireTool<'_> {
    let mut settings = options.clone();
    if let Some(Value::Object(place)) = settings.get_mut("user_location")
        && let Some(Value::Object(within)) = place.remove("approximate")
    {
        place.extend(within);
    }
    WireTool::Own {
        r#type: "web_search",
        settings: Cow::Owned(settings),
    }
}

fn tool_choice(choice: &ToolChoice) -> WireChoice<'_> {
    match choice {
        ToolChoice::Auto => WireChoice::Mode("auto"),
        ToolChoice::None => WireChoice::Mode("none"),
        ToolChoice::Required => WireChoice::Mode("required"),
        ToolChoice::Tool(name) => WireChoice::Function {
            r#type: "function",
            name,
        },
    }
}

fn format<'a>(
    request: &'a Request,
    unsupported: &Unsupported,
) -> Result<Option<Format<'a>>, Error> {
    Ok(match &request.response_format {
        None => None,
        Some(ResponseFormat::Text) => Some(Format::Text),
        Some(ResponseFormat::JsonObject) => Some(Format::JsonObject),
        Some(ResponseFormat::JsonSchema(schema)) if schema.schema.is_none() => {
            let field = "response_format.json_schema.schema";
            return Err(unsupported.refuse(field, "it needs the schema"));
        }
        Some(ResponseFormat::JsonSchema(schema)) => Some(Format::JsonSchema(Schema::of(schema))),
    })
}

fn reasoning<'a>(request: &Request, options: BTreeMap<&'a str, &'a Value>) -> Reasoning<'a> {
    let wanted = request.reasoning.unwrap_or_default();
    let shown = wanted.include_text == Some(true) && !options.contains_key("summary");
    Reasoning {
        effort: wanted.effort.map(|it| it.as_str()),
        summary: shown.then_some("auto"),
        options,
    }
}

/// Refuses what the body has no field for, messages apart.
fn check(request: &Request, unsupported: &mut Unsupported) -> Result<(), Error> {
    const NO_SETTING: &str = "its Responses have no such setting";
    let budget = request.reasoning.and_then(|it| it.budget_tokens);
    unsupported.sound(request)?;
    unsupported.fields([
        (
            budget.is_some(),
            "reasoning.max_tokens",
            "it knows efforts, not budgets; set reasoning.effort",
        ),
        (
            request.top_k.is_some(),
            "top_k",
            "it has no such setting; set top_p",
        ),
        (!request.stop.is_empty(), "stop", NO_SETTING),
        (request.seed.is_some(), "seed", NO_SETTING),
        (
            request.choice_count() > 1,
            "choice_count",
            "its Responses give one answer; ask again for more",
        ),
        (
            request.frequency_penalty.is_some_and(|it| it != 0.0),
            "frequency_penalty",
            NO_SETTING,
        ),
        (
            request.presence_penalty.is_some_and(|it| it != 0.0),
            "presence_penalty",
            NO_SETTING,
        ),
        (!request.logit_bias.is_empty(), "logit_bias", NO_SETTING),
    ])?;
    let problem = "it tells sources of its own searches only";
    unsupported.cited_documents(&request.messages, problem)
}

#[cfg(test)]
mod tests;
