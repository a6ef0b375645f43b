//! What callers pass through to this provider alone.

use serde_json::{Map, Value};

use crate::Error;

/// Fields of the body that the gateway writes or rules out.
const RESERVED: [&str; 9] = [
    "contents",
    "systeminstruction",
    "tools",
    "toolconfig",
    "model",
    "servicetier",
    "continuationtoken",
    "stream",
    "alt",
];

/// Fields of `generationConfig` that the gateway writes.
const RESERVED_IN_CONFIG: [&str; 17] = [
    "temperature",
    "topp",
    "topk",
    "maxoutputtokens",
    "stopsequences",
    "candidatecount",
    "seed",
    "responsemimetype",
    "responseschema",
    "responsejsonschema",
    "responseformat",
    "presencepenalty",
    "frequencypenalty",
    "responselogprobs",
    "logprobs",
    "thinkingconfig",
    "responsemodalities",
];

/// Fields of `generationConfig` that ask for an answer which is neither text nor sound.
const NOT_TOLD: [&str; 3] = [
    "imageconfig",
    "audiotranscriptionconfig",
    "translationconfig",
];

/// The options, sorted by where they go.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// Into the body.
    pub(super) body: Map<String, Value>,
    /// Into its `generationConfig`.
    pub(super) config: Map<String, Value>,
}

/// Sorts the options.
///
/// # Errors
/// `Error::Invalid` for one that would replace a field of the gateway's, or ask for an answer that
/// cannot be handed on.
pub(super) fn split(options: &Map<String, Value>) -> Result<Options, Error> {
    let mut sorted = Options::default();
    for (key, value) in options {
        let path = format!("provider_options.{key}");
        let name = plain(key);
        if RESERVED.contains(&name.as_str()) {
            return Err(taken(path));
        }
        if name != "generationconfig" {
            sorted.body.insert(key.clone(), value.clone());
            continue;
        }
        let Value::Object(inner) = value else {
            return Err(Error::invalid(path, "must be an object"));
        };
        for (key, value) in inner {
            check_config(&path, key)?;
            sorted.config.insert(key.clone(), value.clone());
        }
    }
    Ok(sorted)
}

/// Refuses options that would replace one of these fields, named in lower case and without underscores. They stand at
/// `at` in the request.
///
/// # Errors
/// `Error::Invalid` naming it.
pub(super) fn refuse(
    options: &Map<String, Value>,
    at: &str,
    reserved: &[&str],
) -> Result<(), Error> {
    let mut keys = options.keys();
    match keys.find(|key| reserved.contains(&plain(key).as_str())) {
        Some(key) => Err(taken(format!("{at}.{key}"))),
        None => Ok(()),
    }
}

fn check_config(path: &str, key: &str) -> Result<(), Error> {
    let name = plain(key);
    let path = format!("{path}.{key}");
    if RESERVED_IN_CONFIG.contains(&name.as_str()) {
        return Err(taken(path));
    }
    if NOT_TOLD.contains(&name.as_str()) {
        let problem = "only text and sound can be answered through the gateway; leave it out";
        return Err(Error::invalid(path, problem));
    }
    Ok(())
}

fn taken(path: String) -> Error {
    Error::invalid(
        path,
        "the gateway writes this field itself; use the request's own field for it",
    )
}

/// A field's name without what its two spellings differ in: Google reads `topK` and `top_k` alike.
fn plain(key: &str) -> String {
    key.chars()
        .filter(|c| *c != '_')
        .map(|c| c.to_ascii_lowercase())
        .collect()
}
