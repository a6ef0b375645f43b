//! Embeddings: what of such a request counts, and its answer in the words of each format.

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::format::Format;
use super::reply::Usage;

/// How long a vector is where the request does not say.
const LENGTH: usize = 8;

/// The vector of a text: numbers of 1/128, so that every format tells them exactly. Others know it by this function.
pub fn expected_vector(text: &str, length: usize) -> Vec<f32> {
    let numbers = whole_numbers(text, length).into_iter();
    numbers.map(|number| f32::from(number) / 128.0).collect()
}

/// The same in whole numbers, none of them 0.
fn whole_numbers(text: &str, length: usize) -> Vec<i8> {
    let start: usize = text.bytes().map(usize::from).sum();
    let number = |at: usize| i8::try_from((start + 37 * at) % 127 + 1).unwrap_or(i8::MAX);
    let signed = |at: usize| {
        if at.is_multiple_of(2) {
            number(at)
        } else {
            -number(at)
        }
    };
    (0..length).map(signed).collect()
}

/// A request for embeddings, as far as it counts.
#[derive(Debug)]
pub(super) struct Vectors {
    /// Empty where the address names it.
    pub(super) model: String,
    /// What is embedded, as text: a picture is its address, tokens are their numbers.
    inputs: Vec<String>,
    /// By the rule of prompts, for each input; tokens are one each.
    pub(super) tokens: u64,
    length: usize,
    words: Words,
}

/// In which words the answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    OpenAi {
        numbers: Numbers,
    },
    /// Google AI Studio's, and Vertex AI's for several.
    Gemini,
    /// Vertex AI's for one alone.
    GeminiAlone,
    /// Vertex AI's for models of other families.
    Predicted,
    Cohere {
        numbers: Numbers,
    },
    /// Cohere's, without the count, which is in a header.
    CohereAtBedrock {
        numbers: Numbers,
    },
    Titan {
        bits: bool,
    },
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Float,
    Base64,
    Int8,
    Uint8,
    Bits,
}

impl Numbers {
    fn named(name: Option<&str>) -> anyhow::Result<Self> {
        Ok(match name {
            None | Some("float") => Self::Float,
            Some("base64") => Self::Base64,
            Some("int8") => Self::Int8,
            Some("uint8") => Self::Uint8,
            Some("ubinary") => Self::Bits,
            Some(other) => bail!("no numbers are written as {other}"),
        })
    }

    fn of(self, text: &str, length: usize) -> Value {
        let numbers = whole_numbers(text, length);
        match self {
            Self::Float => json!(expected_vector(text, length)),
            Self::Base64 => {
                let floats = expected_vector(text, length).into_iter();
                let bytes: Vec<u8> = floats.flat_map(f32::to_le_bytes).collect();
                json!(STANDARD.encode(bytes))
            }
            Self::Int8 => json!(numbers),
            Self::Uint8 => {
                let above: Vec<i16> = numbers.iter().map(|it| i16::from(*it) + 127).collect();
                json!(above)
            }
            Self::Bits => {
                let byte = |eight: &[i8]| {
                    let bits = eight.iter().enumerate();
                    bits.map(|(at, it)| u8::from(*it > 0) << (7 - at)).sum()
                };
                let bytes: Vec<u8> = numbers.chunks(8).map(byte).collect();
                json!(bytes)
            }
        }
    }
}

impl Vectors {
    /// Reads a request, and refuses what the format's own servers would not take.
    pub(super) fn parse(format: Format, body: &[u8]) -> anyhow::Result<Self> {
        let asked: Value = serde_json::from_slice(body).context("the body is no JSON")?;
        let text = |name: &str| asked[name].as_str().map(str::to_owned);
        let length = |name: &str| asked[name].as_u64().and_then(|it| usize::try_from(it).ok());
        let numbers = |name: &str| Numbers::named(asked[name].as_str());
        let (values, most, length, words) = match format {
            Format::OpenAi => {
                // Mistral's names stand beside OpenAI's.
                let mut written = numbers("encoding_format")?;
                if written == Numbers::Float {
                    written = numbers("output_dtype")?;
                }
                let length = length("dimensions").or(length("output_dimension"));
                let inputs = listed(&asked["input"]);
                (inputs, 2048, length, Words::OpenAi { numbers: written })
            }
            Format::Gemini => {
                let (inputs, length, words) = of_gemini(&asked)?;
                (inputs, 100, length, words)
            }
            Format::Bedrock if !asked["inputText"].is_null() => {
                let bits = asked["embeddingTypes"][0] == "binary";
                let inputs = vec![asked["inputText"].clone()];
                (inputs, 1, length("dimensions"), Words::Titan { bits })
            }
            Format::Cohere | Format::Bedrock => {
                ensure!(asked["input_type"].is_string(), "input_type: required");
                let all = ["texts", "images", "inputs"].map(|name| asked[name].as_array());
                let inputs = all.into_iter().flatten().flatten().cloned().collect();
                let numbers = Numbers::named(asked["embedding_types"][0].as_str())?;
                let words = if format == Format::Cohere {
                    Words::Cohere { numbers }
                } else {
                    Words::CohereAtBedrock { numbers }
                };
                (inputs, 96, length("output_dimension"), words)
            }
            Format::Anthropic | Format::Responses => bail!("there are no embeddings"),
        };
        ensure!((1..=most).contains(&values.len()), "1 to {most} inputs");
        let tokens = values.iter().map(|value| match value.as_array() {
            Some(tokens) => tokens.len() as u64,
            None => (shown(value).len() as u64).div_ceil(4) + 3,
        });
        Ok(Self {
            model: text("model").unwrap_or_default(),
            tokens: tokens.sum(),
            inputs: values.iter().map(shown).collect(),
            length: length.unwrap_or(LENGTH),
            words,
        })
    }

    /// The nonce of the last input.
    pub(super) fn last(&self) -> &str {
        self.inputs.last().map_or("", String::as_str)
    }

    /// The body of the answer.
    pub(super) fn body(&self, model: &str, usage: Option<Usage>) -> String {
        let prompt = usage.map(|usage| usage.prompt);
        let of = |numbers: Numbers| -> Vec<Value> {
            let inputs = self.inputs.iter();
            inputs.map(|it| numbers.of(it, self.length)).collect()
        };
        let by_type = |numbers| json!({ name(numbers): of(numbers) });
        let answer = match self.words {
            Words::OpenAi { numbers } => {
                let item = |(index, vector)| json!({ "object": "embedding", "index": index, "embedding": vector });
                let data: Vec<_> = of(numbers).into_iter().enumerate().map(item).collect();
                let mut answer =
                    json!({ "id": "embd-1", "object": "list", "data": data, "model": model });
                if let Some(prompt) = prompt {
                    answer["usage"] = json!({ "prompt_tokens": prompt, "total_tokens": prompt, "completion_tokens": 0 });
                }
                answer
            }
            Words::Gemini | Words::GeminiAlone | Words::Predicted => self.by_google(prompt),
            Words::Cohere { numbers } => {
                let meta = match prompt {
                    Some(prompt) => {
                        json!({ "api_version": { "version": "2" }, "billed_units": { "input_tokens": prompt } })
                    }
                    None => json!({ "api_version": { "version": "2" } }),
                };
                json!({
                    "id": "1", "embeddings": by_type(numbers), "meta": meta, "response_type": "embeddings_by_type",
                })
            }
            Words::CohereAtBedrock { numbers } => {
                json!({ "id": "1", "embeddings": by_type(numbers), "response_type": "embeddings_by_type" })
            }
            Words::Titan { bits } => {
                let vector = expected_vector(self.last(), self.length);
                let bits_of = || {
                    vector
                        .iter()
                        .map(|it| u8::from(*it > 0.0))
                        .collect::<Vec<_>>()
                };
                let by_type = match bits {
                    true => json!({ "binary": bits_of() }),
                    false => json!({ "float": vector }),
                };
                json!({ "embedding": vector, "embeddingsByType": by_type, "inputTextTokenCount": prompt })
            }
        };
        answer.to_string()
    }

    /// The answer in one of Google's three ways.
    fn by_google(&self, prompt: Option<i64>) -> Value {
        let vectors = self.inputs.iter();
        let vectors = vectors.map(|it| json!({ "values": expected_vector(it, self.length) }));
        if self.words == Words::Predicted {
            // All of the count with the first, so that only who adds them up gets it right.
            let counts = prompt.into_iter().chain(std::iter::repeat(0));
            let prediction = |(mut embeddings, count): (Value, i64)| {
                if prompt.is_some() {
                    embeddings["statistics"] = json!({ "token_count": count, "truncated": false });
                }
                json!({ "embeddings": embeddings })
            };
            let all: Vec<_> = vectors.zip(counts).map(prediction).collect();
            return json!({ "predictions": all });
        }
        let vectors: Vec<_> = vectors.collect();
        let mut answer = if self.words == Words::GeminiAlone {
            json!({ "embedding": vectors.last() })
        } else {
            json!({ "embeddings": vectors })
        };
        if let Some(prompt) = prompt {
            answer["usageMetadata"] = json!({ "promptTokenCount": prompt });
        }
        answer
    }

    /// The count, where it is told in a header.
    pub(super) fn header(&self, usage: Option<Usage>) -> Option<(&'static str, String)> {
        let told = matches!(self.words, Words::CohereAtBedrock { .. });
        let prompt = usage.filter(|_| told)?.prompt;
        Some(("x-amzn-bedrock-input-token-count", prompt.to_string()))
    }
}

fn name(numbers: Numbers) -> &'static str {
    match numbers {
        Numbers::Float => "float",
        Numbers::Base64 => "base64",
        Numbers::Int8 => "int8",
        Numbers::Uint8 => "uint8",
        Numbers::Bits => "ubinary",
    }
}

/// What is to be embedded, how long the vectors are to be, and in which of Google's ways that is asked for.
fn of_gemini(asked: &Value) -> anyhow::Result<(Vec<Value>, Option<usize>, Words)> {
    let part = |it: &Value| it["content"]["parts"][0].clone();
    let (inputs, settings, words) = if let Some(instances) = asked["instances"].as_array() {
        let texts = instances.iter().map(|it| it["content"].clone());
        (texts.collect(), &asked["parameters"], Words::Predicted)
    } else if let Some(requests) = asked["requests"].as_array() {
        let inputs: Vec<_> = requests.iter().map(part).collect();
        (inputs, &asked["requests"][0], Words::Gemini)
    } else {
        ensure!(asked["content"].is_object(), "requests: required");
        (vec![part(asked)], asked, Words::GeminiAlone)
    };
    let length = [settings, &settings["embedContentConfig"]];
    let mut length = length
        .into_iter()
        .filter_map(|it| it["outputDimensionality"].as_u64());
    let length = length.next().and_then(|it| usize::try_from(it).ok());
    Ok((inputs, length, words))
}

/// OpenAI's inputs: a text, texts, tokens or lists of tokens.
fn listed(input: &Value) -> Vec<Value> {
    match input.as_array() {
        Some(list) if !list.iter().any(Value::is_number) => list.clone(),
        _ => vec![input.clone()],
    }
}

/// An input as text.
fn shown(input: &Value) -> String {
    let text = [&input["text"], &input["content"][0]["text"], input];
    let text = text.into_iter().find_map(Value::as_str);
    text.map_or_else(|| input.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_tells_the_same_vector() {
        let vector = json!(expected_vector("hi", 8));
        let usage = Some(Usage {
            prompt: 4,
            ..Usage::default()
        });
        for (format, body, path) in [
            (
                Format::OpenAi,
                r#"{"model":"ok","input":"hi"}"#,
                "/data/0/embedding",
            ),
            (
                Format::OpenAi,
                r#"{"model":"ok","input":["x","hi"]}"#,
                "/data/1/embedding",
            ),
            (
                Format::Gemini,
                r#"{"requests":[{"content":{"parts":[{"text":"hi"}]}}]}"#,
                "/embeddings/0/values",
            ),
            (
                Format::Gemini,
                r#"{"content":{"parts":[{"text":"hi"}]},"embedContentConfig":{}}"#,
                "/embedding/values",
            ),
            (
                Format::Gemini,
                r#"{"instances":[{"content":"hi"}],"parameters":{}}"#,
                "/predictions/0/embeddings/values",
            ),
            (
                Format::Cohere,
                r#"{"texts":["hi"],"input_type":"search_query"}"#,
                "/embeddings/float/0",
            ),
            (
                Format::Bedrock,
                r#"{"texts":["hi"],"input_type":"search_query"}"#,
                "/embeddings/float/0",
            ),
            (Format::Bedrock, r#"{"inputText":"hi"}"#, "/embedding"),
        ] {
            let asked = Vectors::parse(format, body.as_bytes()).unwrap();
            let answer: Value = serde_json::from_str(&asked.body("ok", usage)).unwrap();
            assert_eq!(answer.pointer(path), Some(&vector), "{answer}");
        }
        for body in [
            r#"{"texts":["hi"]}"#,
            r#"{"texts":[],"input_type":"image"}"#,
        ] {
            assert!(Vectors::parse(Format::Cohere, body.as_bytes()).is_err());
        }
    }

    #[test]
    fn what_counts_is_counted_as_in_prompts() {
        let tokens = |body: &str| {
            Vectors::parse(Format::OpenAi, body.as_bytes())
                .unwrap()
                .tokens
        };
        assert_eq!(tokens(r#"{"input":["hello","hi"]}"#), (2 + 3) + (1 + 3));
        assert_eq!(tokens(r#"{"input":[1,2,3]}"#), 3);
        assert_eq!(tokens(r#"{"input":[[1,2,3],[4]]}"#), 4);
    }
}
