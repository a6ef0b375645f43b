//! From `chat::Request` to the body of `POST /chat`.

use serde::Serialize;

use super::outgoing::{self, Message};
use crate::chat::{self, Effort, Json, Request, ResponseFormat, ToolChoice};
use crate::codec::{HttpRequest, Kind, Target};
use crate::unsupported::Unsupported;
use crate::{Error, options};

/// Fields the gateway itself writes or rules out; a provider option must not replace one.
const RESERVED: [&str; 17] = [
    "model",
    "messages",
    "tools",
    "strict_tools",
    "tool_choice",
    "response_format",
    "max_tokens",
    "stop_sequences",
    "temperature",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "p",
    "k",
    "logprobs",
    "thinking",
    "stream",
];

/// Most texts that end an answer.
const MOST_STOPS: usize = 5;

/// The most that `k` may be.
const MOST_K: u32 = 500;

/// A tool without parameters still needs a schema of them.
const NO_PARAMETERS: NoParameters = NoParameters {
    kind: "object",
    properties: Empty {},
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict_tools: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<WireFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    stream: bool,
    #[serde(flatten)]
    options: &'a serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Parameters<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Parameters<'a> {
    Given(&'a Json),
    None(NoParameters),
}

#[derive(Serialize)]
struct NoParameters {
    #[serde(rename = "type")]
    kind: &'static str,
    properties: Empty,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct WireFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<&'a Json>,
}

#[derive(Serialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_budget: Option<u32>,
}

/// Encodes a request for Cohere.
pub(crate) fn encode(
    request: &Request,
    target: &Target<'_>,
    stream: bool,
) -> Result<HttpRequest, Error> {
    let mut unsupported = Unsupported::new(Kind::Cohere, target);
    options::check(&request.provider_options, &RESERVED)?;
    check_fields(request, &mut unsupported)?;
    check_ranges(request, &mut unsupported)?;
    let functions = unsupported.functions(request)?;
    let body = Body {
        model: target.model,
        messages: outgoing::messages(&request.messages, &mut unsupported)?,
        tools: tools(request, &functions)?,
        strict_tools: strict_tools(&functions, &mut unsupported)?,
        tool_choice: request.tool_choice.as_ref().and_then(tool_choice),
        response_format: request.response_format.as_ref().map(response_format),
        max_tokens: request.max_output_tokens,
        stop_sequences: stops(request),
        temperature: request.temperature,
        seed: request.seed.filter(|seed| *seed >= 0),
        frequency_penalty: request.frequency_penalty.filter(is_penalty),
        presence_penalty: request.presence_penalty.filter(is_penalty),
        p: request.top_p.filter(is_mass),
        k: request.top_k.filter(|k| *k <= MOST_K),
        logprobs: request.logprobs,
        thinking: thinking(request, &mut unsupported)?,
        stream,
        options: &request.provider_options,
    };
    let accept = if stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let mut encoded = HttpRequest::post("/chat", accept, &body)?;
    encoded.warnings = unsupported.into_warnings();
    Ok(encoded)
}

/// The tools, or the one that must be called: with `REQUIRED`, a list of one leaves no other choice.
fn tools<'a>(
    request: &Request,
    functions: &[&'a chat::Function],
) -> Result<Vec<WireTool<'a>>, Error> {
    let mut functions = functions.iter().copied();
    let Some(ToolChoice::Tool(name)) = &request.tool_choice else {
        return Ok(functions.map(wire_tool).collect());
    };
    match functions.find(|tool| tool.name == *name) {
        Some(tool) => Ok(vec![wire_tool(tool)]),
        None => Err(Error::invalid(
            "tool_choice",
            "names a tool that is not in the list of tools",
        )),
    }
}

fn wire_tool(tool: &chat::Function) -> WireTool<'_> {
    WireTool {
        kind: "function",
        function: Function {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: match &tool.parameters {
                Some(schema) => Parameters::Given(schema),
                None => Parameters::None(NO_PARAMETERS),
            },
        },
    }
}

fn strict_tools(
    tools: &[&chat::Function],
    unsupported: &mut Unsupported,
) -> Result<Option<bool>, Error> {
    let strict = |tool: &&chat::Function| tool.strict.unwrap_or(false);
    let Some(first) = tools.first().map(strict) else {
        return Ok(None);
    };
    if let Some(index) = tools.iter().position(|tool| strict(tool) != first) {
        unsupported.field(
            format!("tools[{index}].strict"),
            "it is one switch for all tools there; set it for all or for none",
        )?;
        return Ok(None);
    }
    Ok(first.then_some(true))
}

fn tool_choice(choice: &ToolChoice) -> Option<&'static str> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some("NONE"),
        ToolChoice::Required | ToolChoice::Tool(_) => Some("REQUIRED"),
    }
}

/// The schema's name is a label and has no use there.
fn response_format(format: &ResponseFormat) -> WireFormat<'_> {
    let (kind, json_schema) = match format {
        ResponseFormat::Text => ("text", None),
        ResponseFormat::JsonObject => ("json_object", None),
        ResponseFormat::JsonSchema(schema) => ("json_object", schema.schema.as_ref()),
    };
    WireFormat { kind, json_schema }
}

fn thinking(request: &Request, unsupported: &mut Unsupported) -> Result<Option<Thinking>, Error> {
    let reasoning = request.reasoning.unwrap_or_default();
    let token_budget = reasoning.budget_tokens;
    let kind = match reasoning.effort {
        Some(Effort::None) if token_budget.is_some() => {
            return Err(Error::invalid(
                "reasoning",
                "asks for no thinking and for a budget of it at once",
            ));
        }
        Some(Effort::None) => Some("disabled"),
        Some(Effort::Medium) => Some("enabled"),
        None => token_budget.map(|_| "enabled"),
        Some(Effort::Minimal | Effort::Low | Effort::High | Effort::XHigh | Effort::Max) => {
            unsupported.field(
                "reasoning.effort",
                "it knows budgets, not efforts; set reasoning.max_tokens, or an effort of none or medium",
            )?;
            token_budget.map(|_| "enabled")
        }
    };
    Ok(kind.map(|kind| Thinking { kind, token_budget }))
}

/// The range of a penalty.
fn is_penalty(value: &f64) -> bool {
    (0.0..=1.0).contains(value)
}

/// The range of a nucleus' mass.
fn is_mass(value: &f64) -> bool {
    (0.01..=0.99).contains(value)
}

fn stops(request: &Request) -> &[String] {
    let most = request.stop.len().min(MOST_STOPS);
    &request.stop[..most]
}

/// Judges what the body has no field for, as far as one field of the request says it.
fn check_fields(request: &Request, unsupported: &mut Unsupported) -> Result<(), Error> {
    let described = matches!(
        &request.response_format,
        Some(ResponseFormat::JsonSchema(schema)) if schema.description.is_some()
    );
    let cites = "it cites documents of the request as a whole; set provider_options.documents";
    unsupported.cited_documents(&request.messages, cites)?;
    unsupported.sound(request)?;
    unsupported.fields([
        (
            request.choice_count() > 1,
            "choice_count",
            "it gives one answer to a request",
        ),
        (
            !request.logit_bias.is_empty(),
            "logit_bias",
            "it has no bias of tokens",
        ),
        (
            request.top_logprobs.is_some_and(|top| top > 0),
            "top_logprobs",
            "it reports the chosen tokens only",
        ),
        (
            request.parallel_tool_calls == Some(false),
            "parallel_tool_calls",
            "it cannot be kept from asking for several calls at once",
        ),
        (
            request.user.is_some(),
            "user",
            "it takes no name of an end user",
        ),
        (
            request.service_tier.is_some(),
            "service_tier",
            "it has no classes of processing; set provider_options.priority",
        ),
        (
            described,
            "response_format.json_schema.description",
            "write it into the schema's own description",
        ),
    ])
}

/// Judges what its documentation has a narrower range for.
fn check_ranges(request: &Request, unsupported: &mut Unsupported) -> Result<(), Error> {
    unsupported.fields([
        (
            request.stop.len() > MOST_STOPS,
            "stop",
            "only 5 texts may end an answer there",
        ),
        (
            request.top_p.is_some_and(|p| !is_mass(&p)),
            "top_p",
            "must be from 0.01 to 0.99 there; leave it out for the default",
        ),
        (
            request.top_k.is_some_and(|k| k > MOST_K),
            "top_k",
            "must be at most 500 there",
        ),
        (
            request.frequency_penalty.is_some_and(|x| !is_penalty(&x)),
            "frequency_penalty",
            "must be from 0 to 1 there",
        ),
        (
            request.presence_penalty.is_some_and(|x| !is_penalty(&x)),
            "presence_penalty",
            "must be from 0 to 1 there",
        ),
        (
            request.seed.is_some_and(|seed| seed < 0),
            "seed",
            "must not be negative there",
        ),
    ])
}

#[cfg(test)]
mod tests;
