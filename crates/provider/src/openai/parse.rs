//! Parsing the body of a caller's `POST /v1/chat/completions`.
//!
//! Two steps: serde reads the shape (`body`), then this file gives it its meaning. Every error names
//! the field by its path. Nothing is dropped unseen: top-level fields unknown here are carried in
//! `provider_options`, unknown fields further in are refused.

mod body;
mod cache;
mod message;
pub(super) mod object;

use serde_json::value::RawValue;

use self::body::{Body, WireFunction, WireTool};
use super::wire::Text;
use crate::Error;
use crate::chat::{
    AudioOutput, CachePlace, CachePoint, Effort, Function, Json, JsonSchema, MAX_JSON_DEPTH,
    Modality, PromptCache, ProviderTool, Reasoning, Request, ResponseFormat, Tool, ToolChoice,
};

/// A caller's request in this format.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// What is asked for.
    pub request: Request,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether a stream is to end with a usage chunk.
    pub include_usage: bool,
}

/// Parses a request body.
///
/// # Errors
/// `Error::Invalid` with the path of the first field at fault.
pub fn parse_request(body: &[u8]) -> Result<ChatRequest, Error> {
    let body: Body<'_> = object::read(body)?;
    let stream = body.stream.unwrap_or(false);
    let include_usage = body
        .stream_options
        .as_ref()
        .and_then(|options| options.include_usage)
        .unwrap_or(false);
    if !stream && body.stream_options.is_some() {
        return Err(Error::invalid(
            "stream_options",
            "only allowed when stream is true",
        ));
    }
    let request = request(body)?;
    if let Some((field, problem)) = request.out_of_range().into_iter().next() {
        return Err(Error::invalid(name_here(&field), problem));
    }
    Ok(ChatRequest {
        request,
        stream,
        include_usage,
    })
}

/// The name that a field of the canonical request has in this format.
fn name_here(field: &str) -> &str {
    match field {
        "max_output_tokens" => "max_completion_tokens",
        "choice_count" => "n",
        other => other,
    }
}

fn request(body: Body<'_>) -> Result<Request, Error> {
    let messages = body
        .messages
        .ok_or_else(|| Error::invalid("messages", "this field is required"))?;
    if messages.0.is_empty() {
        return Err(Error::invalid(
            "messages",
            "at least one message is required",
        ));
    }
    let provider_options = body.rest;
    for (name, value) in &provider_options {
        check_option(name, value)?;
    }
    let mut cache_points = Vec::new();
    let tools = tools(body.tools.unwrap_or_default().0, &mut cache_points)?;
    Ok(Request {
        model: object::model(body.model)?,
        messages: message::messages(messages.0, &mut cache_points)?,
        max_output_tokens: limit(body.max_completion_tokens, body.max_tokens)?,
        temperature: body.temperature,
        top_p: body.top_p,
        top_k: body.top_k,
        stop: body.stop.map_or_else(|| Ok(Vec::new()), stop)?,
        seed: body.seed,
        choices: at_least_one("n", body.n)?,
        frequency_penalty: body.frequency_penalty,
        presence_penalty: body.presence_penalty,
        logit_bias: body.logit_bias.unwrap_or_default(),
        logprobs: body.logprobs,
        top_logprobs: body.top_logprobs,
        tools,
        tool_choice: body.tool_choice.map(tool_choice).transpose()?,
        parallel_tool_calls: body.parallel_tool_calls,
        response_format: body.response_format.map(response_format).transpose()?,
        reasoning: body
            .reasoning_effort
            .map(|name| reasoning(name.as_str()))
            .transpose()?,
        metadata: body.metadata.unwrap_or_default(),
        provider_options,
        user: body.user.map(Text::into_string),
        service_tier: body.service_tier.map(Text::into_string),
        modalities: modalities(body.modalities.unwrap_or_default().0)?,
        audio: body.audio.map(|audio| AudioOutput {
            voice: audio.voice.into_string(),
            format: audio.format.map(Text::into_string),
        }),
        cache_points: cache::bounded(cache_points)?,
        prompt_cache: PromptCache {
            key: body.prompt_cache_key.map(Text::into_string),
            retention: body.prompt_cache_retention.map(Text::into_string),
        },
    })
}

/// Refuses the fields whose effect the answer could not carry back, and what nests too deeply.
fn check_option(name: &str, value: &serde_json::Value) -> Result<(), Error> {
    let advice = match name {
        "functions" | "function_call" => "deprecated; use tools and tool_choice",
        _ => return object::check_depth(name, value),
    };
    Err(Error::invalid(name, advice))
}

/// Recursion is bounded: the parser that built the value stops at 128 levels.
fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => 0,
    }
}

fn limit(new: Option<u32>, old: Option<u32>) -> Result<Option<u32>, Error> {
    match (new, old) {
        (Some(new), Some(old)) if new != old => Err(Error::invalid(
            "max_tokens",
            "differs from max_completion_tokens; set only max_completion_tokens",
        )),
        (Some(_), _) => at_least_one("max_completion_tokens", new),
        (None, _) => at_least_one("max_tokens", old),
    }
}

fn at_least_one(name: &'static str, number: Option<u32>) -> Result<Option<u32>, Error> {
    if number == Some(0) {
        return Err(Error::invalid(name, "must be at least 1"));
    }
    Ok(number)
}

fn stop(raw: &RawValue) -> Result<Vec<String>, Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Stop {
        One(String),
        Many(Vec<String>),
    }
    match serde_json::from_str(raw.get()) {
        Ok(Stop::One(text)) => Ok(vec![text]),
        Ok(Stop::Many(texts)) => Ok(texts),
        Err(_) => Err(Error::invalid(
            "stop",
            "expected a string or an array of strings",
        )),
    }
}

fn modalities(names: Vec<Text<'_>>) -> Result<Vec<Modality>, Error> {
    let read = |(index, name): (usize, Text<'_>)| {
        let field = || format!("modalities[{index}]");
        Modality::parse(name.as_str())
            .ok_or_else(|| Error::invalid(field(), "expected \"text\" or \"audio\""))
    };
    names.into_iter().enumerate().map(read).collect()
}

fn tools(tools: Vec<WireTool<'_>>, points: &mut Vec<CachePoint>) -> Result<Vec<Tool>, Error> {
    let mut out = Vec::with_capacity(tools.len());
    for (index, mut wire) in tools.into_iter().enumerate() {
        let function = wire.function.as_mut();
        let nested = function.and_then(|function| function.cache_control.take());
        let path = || format!("tools[{index}]");
        if let Some(control) = wire.cache_control.take().or(nested) {
            points.push(cache::point(CachePlace::Tool(index), &control, path)?);
        }
        out.push(tool(wire, &path())?);
    }
    Ok(out)
}

fn tool(tool: WireTool<'_>, path: &str) -> Result<Tool, Error> {
    let required =
        |field: &str| Error::invalid(format!("{path}.{field}"), "this field is required");
    let kind = tool.kind.ok_or_else(|| required("type"))?;
    match kind.as_str() {
        "function" => {}
        "custom" => {
            let problem = "only functions can be called, and tools that a provider runs itself";
            return Err(Error::invalid(format!("{path}.type"), problem));
        }
        _ => return provider_tool(kind.into_string(), tool.function, tool.rest, path),
    }
    if let Some(unknown) = tool.rest.keys().next() {
        let problem = format!("unknown field `{unknown}`");
        return Err(Error::invalid(format!("{path}.{unknown}"), problem));
    }
    let function = tool.function.ok_or_else(|| required("function"))?;
    if let Some(parameters) = &function.parameters {
        check_depth(parameters, || format!("{path}.function.parameters"))?;
    }
    Ok(Tool::Function(Function {
        name: function.name.into_string(),
        description: function.description.map(Text::into_string),
        parameters: function.parameters,
        strict: function.strict,
    }))
}

/// A tool that a provider runs itself, with all that is said of it.
fn provider_tool(
    kind: String,
    function: Option<WireFunction<'_>>,
    mut settings: serde_json::Map<String, serde_json::Value>,
    path: &str,
) -> Result<Tool, Error> {
    for (name, value) in &settings {
        object::check_depth(&format!("{path}.{name}"), value)?;
    }
    // Some servers name theirs as functions.
    if let Some(function) = function {
        let mut named = serde_json::json!({ "name": function.name.as_str() });
        for (name, value) in [
            (
                "description",
                function.description.as_ref().map(|it| it.as_str().into()),
            ),
            (
                "parameters",
                function
                    .parameters
                    .as_ref()
                    .and_then(|it| serde_json::to_value(it).ok()),
            ),
            ("strict", function.strict.map(Into::into)),
        ] {
            if let Some(value) = value {
                named[name] = value;
            }
        }
        settings.insert("function".to_owned(), named);
    }
    Ok(Tool::Provider(ProviderTool {
        kind,
        settings,
        provider: None,
    }))
}

fn check_depth(json: &Json, path: impl FnOnce() -> String) -> Result<(), Error> {
    if json.depth() > MAX_JSON_DEPTH {
        return Err(Error::invalid(
            path(),
            format!("nests deeper than {MAX_JSON_DEPTH} levels"),
        ));
    }
    Ok(())
}

fn tool_choice(raw: &RawValue) -> Result<ToolChoice, Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Choice {
        Mode(String),
        Function { r#type: String, function: Named },
    }
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    match serde_json::from_str(raw.get()) {
        Ok(Choice::Mode(mode)) if mode == "auto" => Ok(ToolChoice::Auto),
        Ok(Choice::Mode(mode)) if mode == "none" => Ok(ToolChoice::None),
        Ok(Choice::Mode(mode)) if mode == "required" => Ok(ToolChoice::Required),
        Ok(Choice::Function { r#type, function }) if r#type == "function" => {
            Ok(ToolChoice::Tool(function.name))
        }
        _ => Err(Error::invalid(
            "tool_choice",
            r#"expected "auto", "none", "required" or {"type":"function","function":{"name":…}}"#,
        )),
    }
}

fn response_format(raw: &RawValue) -> Result<ResponseFormat, Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Format {
        r#type: String,
        json_schema: Option<Schema>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Schema {
        name: String,
        description: Option<String>,
        schema: Option<Json>,
        strict: Option<bool>,
    }
    let format: Format = serde_json::from_str(raw.get())
        .map_err(|error| Error::invalid("response_format", error.to_string()))?;
    match (format.r#type.as_str(), format.json_schema) {
        ("text", None) => Ok(ResponseFormat::Text),
        ("json_object", None) => Ok(ResponseFormat::JsonObject),
        (
            "json_schema",
            Some(Schema {
                name,
                description,
                schema,
                strict,
            }),
        ) => {
            if let Some(schema) = &schema {
                check_depth(schema, || "response_format.json_schema.schema".to_owned())?;
            }
            Ok(ResponseFormat::JsonSchema(JsonSchema {
                name,
                description,
                schema,
                strict,
            }))
        }
        ("json_schema", None) => Err(Error::invalid(
            "response_format.json_schema",
            "this field is required",
        )),
        _ => Err(Error::invalid(
            "response_format.type",
            "expected \"text\", \"json_object\" or \"json_schema\", the last with json_schema",
        )),
    }
}

fn reasoning(name: &str) -> Result<Reasoning, Error> {
    let effort = Effort::parse(name).ok_or_else(|| {
        let known = Effort::ALL.map(Effort::as_str).join(", ");
        Error::invalid("reasoning_effort", format!("expected one of {known}"))
    })?;
    Ok(Reasoning {
        effort: Some(effort),
        budget_tokens: None,
        include_text: None,
    })
}

#[cfg(test)]
mod tests;
