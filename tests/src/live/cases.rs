//! What is asked for, and what the answers must be like.

use anyhow::Context;
use serde_json::{Value, json};
use tollgate_proto::completion::v1::{
    CacheHint, CompleteRequest, CompleteResponse, EmbedInput, EmbedRequest, FinishReason,
    FunctionTool, Image, InputType, JsonSchemaFormat, Message, Part, ReasoningEffort,
    ReasoningRequest, ResponseFormat, Role as Speaker, Tool, ToolCall, ToolChoice, ToolChoiceMode,
    ToolResult, UsageSource, embed_input, embedding, image, part, response_format, tool,
    tool_choice,
};
use tonic::Code;

use super::caller::Caller;
use super::providers::{Provider, Role};
use crate::gateway::user;

/// The most tokens of most answers.
const MOST_OUTPUT: u32 = 300;
/// The most of an answer that is thought out first.
const MOST_THOUGHT_OUT: u32 = 3000;
/// The smallest budget of thoughts that every provider takes.
const THOUGHTS: u32 = 1024;
/// Lines of a prompt that is long enough for every provider's cache: some want 4,096 tokens.
const LINES: u32 = 450;

/// A picture of one red point.
const PNG: [u8; 69] = [
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00, 0x00, 0x90, 0x77, 0x53,
    0xde, 0x00, 0x00, 0x00, 0x0c, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0xf8, 0xcf, 0xc0, 0x00,
    0x00, 0x03, 0x01, 0x01, 0x00, 0xc9, 0xfe, 0x92, 0xef, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e,
    0x44, 0xae, 0x42, 0x60, 0x82,
];
const SCHEMA: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}"#;

/// One thing asked for.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// How many requests it takes.
    pub(super) calls: u32,
    /// Who is asked.
    pub(super) role: Role,
    /// About the most tokens of one request, pictures included, and of its answer.
    pub(super) most_input: u32,
    pub(super) most_output: u32,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Text,
    Stream,
    Edge,
    Cut,
    Picture,
    Schema,
    Tools,
    ToolsStream,
    Thoughts,
    Cached,
    Embeddings,
    NoModel,
}

pub(super) const CASES: [Case; 12] = [
    case("text", 1, What::Text),
    case("text, streamed", 1, What::Stream),
    case("text, over HTTP", 1, What::Edge),
    case("an answer cut short", 1, What::Cut),
    case("a picture", 1, What::Picture),
    case("JSON by schema", 1, What::Schema),
    case("a tool and its result", 2, What::Tools),
    case("a tool, streamed", 1, What::ToolsStream),
    Case {
        role: Role::Thinking,
        most_input: MOST_THOUGHT_OUT,
        most_output: MOST_THOUGHT_OUT,
        ..case("a thought, a tool, its result", 2, What::Thoughts)
    },
    Case {
        most_input: 8000,
        ..case("a long prompt, asked twice", 2, What::Cached)
    },
    Case {
        role: Role::Embedding,
        most_input: 20,
        most_output: 0,
        ..case("embeddings", 1, What::Embeddings)
    },
    Case {
        role: Role::Missing,
        ..case("no such model", 1, What::NoModel)
    },
];

const fn case(name: &'static str, calls: u32, what: What) -> Case {
    Case {
        name,
        calls,
        role: Role::Chat,
        most_input: 600,
        most_output: MOST_OUTPUT,
        what,
    }
}

/// In what an answer is not as it should be.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn unless(&mut self, fine: bool, told: impl FnOnce() -> String) {
        if !fine {
            self.0.push(told());
        }
    }

    fn answer(&mut self, answer: &CompleteResponse, expected: FinishReason) {
        let choice = answer.choices.first();
        let reason = choice.map(|choice| choice.finish_reason());
        self.unless(reason == Some(expected), || {
            format!("finish reason {reason:?}, not {expected:?}")
        });
        let usage = answer.usage.clone().unwrap_or_default();
        self.unless(usage.source() == UsageSource::Provider, || {
            "the provider told no usage".to_owned()
        });
        self.unless(usage.input_tokens > 0 && usage.output_tokens > 0, || {
            format!(
                "usage of {} and {} tokens",
                usage.input_tokens, usage.output_tokens
            )
        });
    }

    fn calls(&mut self, name: &str, arguments: &str) {
        self.unless(name == "lookup", || "a call of another tool".to_owned());
        let arguments = serde_json::from_str::<Value>(arguments);
        self.unless(arguments.is_ok_and(|it| it["n"] == 0), || {
            "other arguments".to_owned()
        });
    }

    fn says_something(&mut self, text: &str) {
        self.unless(!text.trim().is_empty(), || "no text".to_owned());
    }
}

impl Case {
    /// Whether what is judged is the provider's cache.
    pub(super) fn is_cached(&self) -> bool {
        self.what == What::Cached
    }

    /// Asks, and tells in what the answers differ from what they should be.
    ///
    /// # Errors
    /// There was no answer.
    pub(super) async fn run(
        &self,
        caller: &Caller,
        provider: &Provider,
    ) -> anyhow::Result<Vec<String>> {
        let mut found = Differences::default();
        let model = &provider.model_name(self.role);
        match self.what {
            What::Text => {
                let answer = caller.whole(ask(model, "Say hello.")).await?;
                found.answer(&answer, FinishReason::Stop);
                found.says_something(&text(&answer));
            }
            What::Stream => {
                let streamed = caller.streamed(ask(model, "Say hello.")).await?;
                found.answer(&streamed.whole, FinishReason::Stop);
                found.says_something(&streamed.text);
            }
            What::Edge => edge(caller, model, &mut found).await?,
            What::Cut => {
                let mut request = ask(model, "Count to a thousand, in words.");
                request.max_output_tokens = Some(16);
                found.answer(&caller.whole(request).await?, FinishReason::Length);
            }
            What::Picture => {
                let answer = caller.whole(picture(model)).await?;
                found.answer(&answer, FinishReason::Stop);
                found.says_something(&text(&answer));
            }
            What::Schema => schema(caller, model, &mut found).await?,
            What::Tools => {
                tools(caller, with_tool(model), &mut found).await?;
            }
            What::ToolsStream => tools_streamed(caller, model, &mut found).await?,
            What::Thoughts => thoughts(caller, provider, model, &mut found).await?,
            What::Cached => cached(caller, model, &mut found).await?,
            What::Embeddings => embeddings(caller, model, &mut found).await?,
            What::NoModel => {
                let code = caller.whole(ask(model, "Say hello.")).await;
                let code = code.err().map(|it| it.code());
                // Some providers tell it from their own failures, others from the caller's.
                let fine = [Code::Unavailable, Code::InvalidArgument].map(Some);
                found.unless(fine.contains(&code), || format!("ended with {code:?}"));
            }
        }
        Ok(found.0)
    }
}

/// The same text as others ask for over gRPC, over the OpenAI edge.
async fn edge(caller: &Caller, model: &str, found: &mut Differences) -> anyhow::Result<()> {
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_completion_tokens": MOST_OUTPUT,
    });
    let (status, answer) = caller.by_http(&body).await?;
    found.unless(status.is_success(), || format!("status {status}"));
    let choice = &answer["choices"][0];
    found.says_something(choice["message"]["content"].as_str().unwrap_or_default());
    found.unless(choice["finish_reason"] == "stop", || {
        format!("finish reason {}", choice["finish_reason"])
    });
    let counts = ["prompt_tokens", "completion_tokens"].map(|it| answer["usage"][it].as_u64());
    found.unless(counts.iter().all(|it| *it > Some(0)), || {
        format!("usage of {counts:?} tokens")
    });
    Ok(())
}

fn picture(model: &str) -> CompleteRequest {
    let mut request = ask(model, "Which colour is this? One word.");
    request.messages[0].parts.push(of(part::Part::Image(Image {
        source: Some(image::Source::Data(PNG.to_vec().into())),
        media_type: "image/png".to_owned(),
        ..Image::default()
    })));
    request
}

/// The second time, the prompt is in the provider's cache.
async fn cached(caller: &Caller, model: &str, found: &mut Differences) -> anyhow::Result<()> {
    let line = |n| format!("On day {n} the tide came in at {n} past and brought shells. ");
    let mut request = ask(model, "Say hello.");
    let long = Part {
        cache_hint: Some(CacheHint::default()),
        ..of(part::Part::Text((0..LINES).map(line).collect()))
    };
    request.messages[0].parts.insert(0, long);
    let first = caller.whole(request.clone()).await?;
    found.answer(&first, FinishReason::Stop);
    let second = caller.whole(request).await?;
    found.answer(&second, FinishReason::Stop);
    let read = second.usage.map_or(0, |it| it.cache_read_tokens);
    found.unless(read > 0, || "nothing came from the cache".to_owned());
    Ok(())
}

async fn embeddings(caller: &Caller, model: &str, found: &mut Differences) -> anyhow::Result<()> {
    let input = EmbedInput {
        input: Some(embed_input::Input::Text("Say hello.".to_owned())),
    };
    let request = EmbedRequest {
        model: model.to_owned(),
        inputs: vec![input],
        input_type: InputType::Document.into(),
        ..EmbedRequest::default()
    };
    let answer = caller.embed(request).await?;
    let lengths = answer.embeddings.iter().map(|it| match &it.vector {
        Some(embedding::Vector::Floats(floats)) => floats.values.len(),
        Some(embedding::Vector::Packed(_)) | None => 0,
    });
    let lengths: Vec<_> = lengths.collect();
    let fine = matches!(lengths[..], [length] if length > 0);
    found.unless(fine, || format!("vectors of lengths {lengths:?}"));
    let used = answer.usage.map_or(0, |it| it.input_tokens);
    found.unless(used > 0, || "usage of 0 tokens".to_owned());
    Ok(())
}

async fn schema(caller: &Caller, model: &str, found: &mut Differences) -> anyhow::Result<()> {
    let format = response_format::Format::JsonSchema(JsonSchemaFormat {
        name: "number".to_owned(),
        schema_json: SCHEMA.to_owned(),
        strict: Some(true),
        ..JsonSchemaFormat::default()
    });
    let mut request = ask(model, "What is six times seven?");
    request.response_format = Some(ResponseFormat {
        format: Some(format),
    });
    let answer = caller.whole(request).await?;
    found.answer(&answer, FinishReason::Stop);
    let read = serde_json::from_str::<Value>(&text(&answer));
    let follows = read.is_ok_and(|it| it["n"].is_i64());
    found.unless(follows, || {
        "the answer does not follow the schema".to_owned()
    });
    Ok(())
}

/// Asks for a tool, which must be called.
fn with_tool(model: &str) -> CompleteRequest {
    let mut request = ask(model, "Look number 0 up with the tool.");
    let function = FunctionTool {
        name: "lookup".to_owned(),
        description: "Looks a number up.".to_owned(),
        parameters_json: SCHEMA.to_owned(),
        strict: None,
    };
    request.tools = vec![Tool {
        tool: Some(tool::Tool::Function(function)),
        ..Tool::default()
    }];
    let mode = tool_choice::Choice::Mode(ToolChoiceMode::Required.into());
    request.tool_choice = Some(ToolChoice { choice: Some(mode) });
    request
}

/// A call, and the answer to its result, with all that came with the call. Returns the message of the call.
async fn tools(
    caller: &Caller,
    mut request: CompleteRequest,
    found: &mut Differences,
) -> anyhow::Result<Message> {
    let answer = caller.whole(request.clone()).await?;
    found.answer(&answer, FinishReason::ToolCalls);
    let message = answer.choices.into_iter().next().and_then(|it| it.message);
    let message = message.unwrap_or_default();
    let calls: Vec<ToolCall> = message.parts.iter().filter_map(call).cloned().collect();
    let Some(first) = calls.first() else {
        found.unless(false, || "no call".to_owned());
        return Ok(message);
    };
    found.calls(&first.name, &first.arguments_json);
    let result = |call: &ToolCall| {
        of(part::Part::ToolResult(ToolResult {
            tool_call_id: call.id.clone(),
            parts: vec![of(part::Part::Text("blue".to_owned()))],
            is_error: false,
        }))
    };
    let results = Message {
        role: Speaker::Tool.into(),
        parts: calls.iter().map(result).collect(),
        ..Message::default()
    };
    request.messages.extend([message.clone(), results]);
    request.tool_choice = None;
    let last = caller.whole(request).await.context("the result")?;
    found.answer(&last, FinishReason::Stop);
    found.says_something(&text(&last));
    Ok(message)
}

async fn tools_streamed(
    caller: &Caller,
    model: &str,
    found: &mut Differences,
) -> anyhow::Result<()> {
    let streamed = caller.streamed(with_tool(model)).await?;
    found.answer(&streamed.whole, FinishReason::ToolCalls);
    match streamed.calls.values().next() {
        Some((name, arguments)) => found.calls(name, arguments),
        None => found.unless(false, || "no call".to_owned()),
    }
    Ok(())
}

/// What the model thought goes back with its call, and the result beside it.
async fn thoughts(
    caller: &Caller,
    provider: &Provider,
    model: &str,
    found: &mut Differences,
) -> anyhow::Result<()> {
    let mut request = with_tool(model);
    // Who thinks first cannot be made to call.
    request.tool_choice = None;
    request.max_output_tokens = Some(MOST_THOUGHT_OUT);
    request.reasoning = match provider.kind {
        // Its models think unasked.
        "mistral" => None,
        "anthropic" | "bedrock" | "cohere" => Some(ReasoningRequest {
            max_tokens: Some(THOUGHTS),
            ..ReasoningRequest::default()
        }),
        _ => Some(ReasoningRequest {
            effort: ReasoningEffort::Low.into(),
            ..ReasoningRequest::default()
        }),
    };
    let message = tools(caller, request, found).await?;
    let state = |it: &Part| match &it.part {
        Some(part::Part::Reasoning(it)) => !it.provider_state.is_empty(),
        Some(part::Part::ToolCall(it)) => !it.provider_state.is_empty(),
        _ => false,
    };
    let fine = !provider.keeps_thoughts || message.parts.iter().any(state);
    found.unless(fine, || "no state to send back".to_owned());
    Ok(())
}

fn call(part: &Part) -> Option<&ToolCall> {
    match &part.part {
        Some(part::Part::ToolCall(call)) => Some(call),
        _ => None,
    }
}

fn of(part: part::Part) -> Part {
    Part {
        part: Some(part),
        ..Part::default()
    }
}

fn ask(model: &str, text: &str) -> CompleteRequest {
    CompleteRequest {
        model: model.to_owned(),
        messages: vec![user(text.to_owned())],
        max_output_tokens: Some(MOST_OUTPUT),
        ..CompleteRequest::default()
    }
}

fn text(answer: &CompleteResponse) -> String {
    let message = answer.choices.first().and_then(|it| it.message.as_ref());
    let parts = message.map(|it| it.parts.as_slice()).unwrap_or_default();
    let texts = parts.iter().map(|it| match &it.part {
        Some(part::Part::Text(text)) => text.as_str(),
        _ => "",
    });
    texts.collect()
}
