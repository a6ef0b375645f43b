//! Where provider options go: most stand in the body as they are, some join what the gateway writes there.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::chat::Request;
use crate::{Error, options};

/// Fields the gateway itself writes or rules out; a provider option must not replace one. Among them is all that would
/// have the provider keep the conversation, or go on with one that it kept.
const RESERVED: [&str; 31] = [
    "model",
    "input",
    "instructions",
    "previous_response_id",
    "conversation",
    "store",
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
    /// Fields of the body.
    pub(super) rest: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Options<'a> {
    /// Reads the options of a request.
    ///
    /// # Errors
    /// `Error::Invalid` naming the one that is not what it must be, or that would replace a field of the gateway's.
    pub(super) fn read(request: &'a Request) -> Result<Self, Error> {
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

/// The fields of an object, of which the gateway writes one itself.
fn fields<'a>(
    value: &'a Value,
    name: &str,
    own: &str,
) -> Result<BTreeMap<&'a str, &'a Value>, Error> {
    let fields = value
        .as_object()
        .ok_or_else(|| invalid(name, "must be an object"))?;
    if fields.contains_key(own) {
        let problem = "the gateway writes this field itself; use the request's own field for it";
        return Err(invalid(&format!("{name}.{own}"), problem));
    }
    Ok(fields.iter().map(|(key, it)| (key.as_str(), it)).collect())
}

#[cfg(test)]
mod tests;
