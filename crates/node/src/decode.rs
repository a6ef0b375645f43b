//! Turns a gRPC request into the canonical conversation, once, at the edge. Every field that breaks a rule is
//! named with its path, all of them at once.

mod cache;
mod embeddings;
mod message;
mod tools;

use std::collections::HashMap;

use prost_types::Struct;
use prost_types::value::Kind;
use tollgate_proto::completion::v1 as wire;
use tollgate_provider::chat::{
    AudioOutput, Effort, Json, JsonSchema, MAX_JSON_DEPTH, Modality, PromptCache, Reasoning,
    Request, ResponseFormat, ToolChoice,
};

use crate::asked::Asked;
use crate::count::Counting;
use crate::error::{Error, Violation};

pub(crate) use embeddings::embeddings;

/// Bounds on parts of a request; each is far beyond honest use and keeps what follows proportional.
const MOST_MESSAGES: usize = 10_000;
const MOST_LABELS: usize = 16;
const LONGEST_LABEL_KEY: usize = 64;
const LONGEST_LABEL_VALUE: usize = 512;

/// Collects what is wrong.
#[derive(Debug, Default)]
struct Faults(Vec<Violation>);

impl Faults {
    fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Violation {
            field: field.into(),
            problem: problem.into(),
        });
    }

    fn unless(&mut self, fine: bool, field: &str, problem: &str) {
        if !fine {
            self.add(field, problem);
        }
    }

    /// What was decoded, if nothing is wrong.
    fn none<T>(self, decoded: T) -> Result<T, Error> {
        if self.0.is_empty() {
            Ok(decoded)
        } else {
            Err(Error::Invalid(self.0))
        }
    }
}

/// Decodes a request.
///
/// # Errors
/// [`Error::Invalid`] with every field at fault.
pub(crate) fn request(wire: wire::CompleteRequest) -> Result<Request, Error> {
    let mut faults = Faults::default();
    faults.unless(!wire.model.is_empty(), "model", "must name a model");
    check_labels(&wire.metadata, &mut faults);
    let prompt_cache = wire.prompt_cache.clone().unwrap_or_default();
    let cache_points = cache::points(&wire, &mut faults);
    let request = Request {
        model: wire.model,
        messages: messages(wire.messages, &mut faults),
        max_output_tokens: wire.max_output_tokens,
        temperature: wire.temperature,
        top_p: wire.top_p,
        top_k: wire.top_k,
        stop: wire.stop,
        seed: wire.seed,
        choices: wire.choice_count,
        frequency_penalty: wire.frequency_penalty,
        presence_penalty: wire.presence_penalty,
        logit_bias: wire.logit_bias.into_iter().collect(),
        logprobs: wire.log_probs.as_ref().map(|_| true),
        top_logprobs: wire
            .log_probs
            .filter(|wanted| wanted.top > 0)
            .map(|wanted| wanted.top),
        tools: tools::tools(wire.tools, &mut faults),
        tool_choice: wire
            .tool_choice
            .and_then(|choice| tool_choice(choice, &mut faults)),
        parallel_tool_calls: wire.parallel_tool_calls,
        response_format: wire
            .response_format
            .and_then(|format| response_format(format, &mut faults)),
        reasoning: wire
            .reasoning
            .and_then(|wanted| reasoning(wanted, &mut faults)),
        metadata: wire.metadata.into_iter().collect(),
        provider_options: options(wire.provider_options, &mut faults),
        user: (!wire.end_user.is_empty()).then_some(wire.end_user),
        service_tier: (!wire.service_tier.is_empty()).then_some(wire.service_tier),
        modalities: modalities(&wire.output_modalities, &mut faults),
        audio: wire
            .audio_output
            .and_then(|wanted| audio_output(wanted, &mut faults)),
        cache_points,
        prompt_cache: PromptCache {
            key: filled(prompt_cache.key),
            retention: filled(prompt_cache.retention),
        },
    };
    for (field, problem) in request.out_of_range() {
        let field = if field == "top_logprobs" {
            "log_probs.top"
        } else {
            &field
        };
        faults.add(field, problem);
    }
    faults.none(request)
}

/// Decodes a request to count.
///
/// # Errors
/// [`Error::Invalid`] with every field at fault, by its path in the conversation.
pub(crate) fn counting(wire: wire::CountTokensRequest) -> Result<Counting, Error> {
    let Some(conversation) = wire.request else {
        return Err(Error::field("request", "must hold a conversation"));
    };
    Ok(Counting {
        request: request(conversation)?,
        local: wire.local,
    })
}

/// Reads a conversation of which somebody wonders what would become of it.
///
/// # Errors
/// [`Error::Invalid`] with every field at fault, by its path in the conversation.
pub(crate) fn explaining(wire: wire::ExplainRequest) -> Result<Asked, Error> {
    let Some(conversation) = wire.request else {
        return Err(Error::field("request", "must hold a conversation"));
    };
    Ok(Asked::Completion {
        request: Box::new(request(conversation)?),
        stream: wire.stream,
    })
}

fn check_labels(labels: &HashMap<String, String>, faults: &mut Faults) {
    faults.unless(
        labels.len() <= MOST_LABELS,
        "metadata",
        "must hold at most 16 labels",
    );
    for (key, value) in labels {
        let fine = (1..=LONGEST_LABEL_KEY).contains(&key.chars().count())
            && value.chars().count() <= LONGEST_LABEL_VALUE;
        if !fine {
            let shown: String = key.chars().take(LONGEST_LABEL_KEY).collect();
            faults.add(
                format!("metadata[{shown}]"),
                "must have a key of 1 to 64 characters and a value of at most 512",
            );
        }
    }
}

fn modalities(wire: &[i32], faults: &mut Faults) -> Vec<Modality> {
    let decode = |(index, modality): (usize, &i32)| {
        match wire::OutputModality::try_from(*modality) {
            Ok(wire::OutputModality::Text) => return Some(Modality::Text),
            Ok(wire::OutputModality::Audio) => return Some(Modality::Audio),
            Ok(wire::OutputModality::Unspecified) | Err(_) => {}
        }
        let field = format!("output_modalities[{index}]");
        faults.add(field, "must be a known kind of output");
        None
    };
    wire.iter().enumerate().filter_map(decode).collect()
}

fn audio_output(wire: wire::AudioOutput, faults: &mut Faults) -> Option<AudioOutput> {
    if wire.voice.is_empty() {
        faults.add("audio_output.voice", "must be the name of a voice");
        return None;
    }
    Some(AudioOutput {
        voice: wire.voice,
        format: filled(wire.format),
    })
}

fn messages(
    wire: Vec<wire::Message>,
    faults: &mut Faults,
) -> Vec<tollgate_provider::chat::Message> {
    faults.unless(
        !wire.is_empty(),
        "messages",
        "must hold at least one message",
    );
    if wire.len() > MOST_MESSAGES {
        faults.add("messages", "must hold at most 10000 messages");
        return Vec::new();
    }
    let decode =
        |(index, message)| message::message(message, &format!("messages[{index}]"), faults);
    wire.into_iter().enumerate().filter_map(decode).collect()
}

fn tool_choice(wire: wire::ToolChoice, faults: &mut Faults) -> Option<ToolChoice> {
    use wire::ToolChoiceMode as Mode;
    match wire.choice {
        Some(wire::tool_choice::Choice::Mode(mode)) => match Mode::try_from(mode) {
            Ok(Mode::Auto) => return Some(ToolChoice::Auto),
            Ok(Mode::None) => return Some(ToolChoice::None),
            Ok(Mode::Required) => return Some(ToolChoice::Required),
            Ok(Mode::Unspecified) | Err(_) => {
                faults.add("tool_choice.mode", "must be a known mode")
            }
        },
        Some(wire::tool_choice::Choice::Function(name)) if is_name(&name) => {
            return Some(ToolChoice::Tool(name));
        }
        Some(wire::tool_choice::Choice::Function(_)) => {
            faults.add("tool_choice.function", "must name a function");
        }
        None => faults.add("tool_choice", "must be a mode or name a function"),
    }
    None
}

fn response_format(wire: wire::ResponseFormat, faults: &mut Faults) -> Option<ResponseFormat> {
    use wire::response_format::Format;
    match wire.format {
        Some(Format::Text(_)) => Some(ResponseFormat::Text),
        Some(Format::JsonObject(_)) => Some(ResponseFormat::JsonObject),
        Some(Format::JsonSchema(wire)) => {
            let path = "response_format.json_schema";
            if !is_name(&wire.name) {
                faults.add(
                    format!("{path}.name"),
                    "must be 1 to 64 letters, digits, dashes and underscores",
                );
                return None;
            }
            Some(ResponseFormat::JsonSchema(JsonSchema {
                name: wire.name,
                description: (!wire.description.is_empty()).then_some(wire.description),
                schema: self::schema(wire.schema_json, &format!("{path}.schema_json"), faults),
                strict: wire.strict,
            }))
        }
        None => {
            faults.add(
                "response_format",
                "must be text, json_object or json_schema",
            );
            None
        }
    }
}

fn reasoning(wire: wire::ReasoningRequest, faults: &mut Faults) -> Option<Reasoning> {
    use wire::ReasoningEffort as Wanted;
    let effort = match Wanted::try_from(wire.effort) {
        Ok(Wanted::Unspecified) => None,
        Ok(Wanted::None) => Some(Effort::None),
        Ok(Wanted::Minimal) => Some(Effort::Minimal),
        Ok(Wanted::Low) => Some(Effort::Low),
        Ok(Wanted::Medium) => Some(Effort::Medium),
        Ok(Wanted::High) => Some(Effort::High),
        Ok(Wanted::Xhigh) => Some(Effort::XHigh),
        Ok(Wanted::Max) => Some(Effort::Max),
        Err(_) => {
            faults.add("reasoning.effort", "must be a known effort");
            return None;
        }
    };
    let wanted = Reasoning {
        effort,
        budget_tokens: wire.max_tokens,
        include_text: wire.include_text,
    };
    (wanted != Reasoning::default()).then_some(wanted)
}

fn options(
    wire: Option<Struct>,
    faults: &mut Faults,
) -> serde_json::Map<String, serde_json::Value> {
    let Some(wire) = wire else {
        return serde_json::Map::new();
    };
    match object(wire, MAX_JSON_DEPTH) {
        Some(serde_json::Value::Object(options)) => options,
        _ => {
            faults.add(
                "provider_options",
                "must not nest deeper than 64, nor hold numbers that JSON has not",
            );
            serde_json::Map::new()
        }
    }
}

/// A JSON Schema as the caller wrote it, to the order of its keys; none where there is no text.
fn schema(text: String, path: &str, faults: &mut Faults) -> Option<Json> {
    if text.is_empty() {
        return None;
    }
    match Json::parse(text) {
        Ok(json) if json.get().starts_with('{') && json.depth() <= MAX_JSON_DEPTH => Some(json),
        Ok(_) => {
            faults.add(path, "must be a JSON object that nests no deeper than 64");
            None
        }
        Err(error) => {
            faults.add(path, format!("must be JSON: {error}"));
            None
        }
    }
}

/// A protobuf struct as JSON; none where it nests deeper than `depth` or holds a number that JSON has not.
fn object(wire: Struct, depth: usize) -> Option<serde_json::Value> {
    let depth = depth.checked_sub(1)?;
    let fields: Option<serde_json::Map<_, _>> = wire
        .fields
        .into_iter()
        .map(|(key, value)| Some((key, json_value(value.kind, depth)?)))
        .collect();
    fields.map(serde_json::Value::Object)
}

fn json_value(kind: Option<Kind>, depth: usize) -> Option<serde_json::Value> {
    match kind {
        None | Some(Kind::NullValue(_)) => Some(serde_json::Value::Null),
        Some(Kind::BoolValue(value)) => Some(value.into()),
        Some(Kind::StringValue(value)) => Some(value.into()),
        Some(Kind::NumberValue(value)) => number(value),
        Some(Kind::StructValue(value)) => object(value, depth),
        Some(Kind::ListValue(list)) => {
            let depth = depth.checked_sub(1)?;
            let values: Option<Vec<_>> = list
                .values
                .into_iter()
                .map(|value| json_value(value.kind, depth))
                .collect();
            values.map(serde_json::Value::Array)
        }
    }
}

/// Whole numbers are written without a fraction: many servers take `5` for an integer and refuse `5.0`.
fn number(value: f64) -> Option<serde_json::Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within the exact range"
        )]
        let whole = value as i64;
        return Some(whole.into());
    }
    serde_json::Number::from_f64(value).map(serde_json::Value::Number)
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests;
