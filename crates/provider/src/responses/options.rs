//! Where provider options go: most stand in the body as they are, some join what the gateway writes there.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::chat::Request;
use crate::unsupported::Unsupported;
use crate::{Error, options};

/// Fields the gateway itself writes or rules out; a provider option must not replace one. Among them is all that would
/// have the provider keep the conversation, or go on with one that it kept.
const RESERVED: [&str; 30] = [
    "model",
    "input",
    "instructions",
    "previous_response_id",
    "conversation",
    "background",
    "background_options",
    "max_output_tokens",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "modalities",
    "metadata",
    "user",
    "stream",
];

/// Provider options by where they go.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    /// What else the answer is to hold.
    pub(super) include: Vec<&'a str>,
    /// Fields of `text`, beside its format.
    pub(super) text: BTreeMap<&'a str, &'a Value>,
    /// Fields of `reasoning`, beside the effort.
    pub(super) reasoning: BTreeMap<&'a str, &'a Value>,
    /// What chat completions would be told of searches, which are a tool here.
    pub(super) search: Option<&'a Map<String, Value>>,
    /// Fields of the body.
    pub(super) rest: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Options<'a> {
    /// Reads the options of a request.
    ///
    /// # Errors
    /// `Error::Invalid` naming the one that is not what it must be, or that would replace a field of the gateway's, and
    /// `Error::Unsupported` for one that only chat completions have.
    pub(super) fn read(request: &'a Request, unsupported: &mut Unsupported) -> Result<Self, Error> {
        options::check(&request.provider_options, &RESERVED)?;
        let mut read = Self::default();
        for (name, value) in &request.provider_options {
            match name.as_str() {
                "include" => read.include = names(value)?,
                "text" => read.text.extend(fields(value, "text", "format")?),
                "reasoning" => read.reasoning = fields(value, "reasoning", "effort")?,
                // As chat completions have it.
                "verbosity" => {
                    read.text.insert("verbosity", value);
                }
                // It is what the gateway says anyway.
                name if options::stores_nothing(name, value) => {}
                "store" => return Err(options::written(name)),
                "web_search_options" => read.search = Some(object(value, name)?),
                "prediction" => {
                    let problem = "its Responses take no predictions";
                    unsupported.field("provider_options.prediction", problem)?;
                }
                name => {
                    read.rest.insert(name, value);
                }
            }
        }
        Ok(read)
    }
}

fn invalid(path: &str, problem: &str) -> Error {
    Error::invalid(format!("provider_options.{path}"), problem)
}

fn names(value: &Value) -> Result<Vec<&str>, Error> {
    let names = value.as_array().and_then(|names| {
        let names = names.iter().map(Value::as_str);
        names.collect::<Option<Vec<_>>>()
    });
    names.ok_or_else(|| invalid("include", "must be a list of names"))
}

fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>, Error> {
    value
        .as_object()
        .ok_or_else(|| invalid(name, "must be an object"))
}

/// The fields of an object, of which the gateway writes one itself.
fn fields<'a>(
    value: &'a Value,
    name: &str,
    own: &str,
) -> Result<BTreeMap<&'a str, &'a Value>, Error> {
    let fields = object(value, name)?;
    if fields.contains_key(own) {
        return Err(options::written(&format!("{name}.{own}")));
    }
    Ok(fields.iter().map(|(key, it)| (key.as_str(), it)).collect())
}

#[cfg(test)]
mod tests;
