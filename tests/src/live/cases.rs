//! What is asked for, and what the answers must be like.

use anyhow::Context;
use tollgate_proto::completion::v1::{
    CompleteRequest, CompleteResponse, FinishReason, FunctionTool, Image, JsonSchemaFormat,
    Message, Part, ResponseFormat, Role, Tool, ToolCall, ToolChoice, ToolChoiceMode, ToolResult,
    UsageSource, image, part, part_delta, response_format, tool, tool_choice,
};
use tonic::{Code, Request};

use super::Caller;
use crate::gateway::user;

/// The most tokens of one answer.
pub(super) const MOST_OUTPUT: u32 = 300;
/// About the most tokens of one request, pictures included.
pub(super) const MOST_INPUT: f64 = 600.0;

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
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// How many requests it takes.
    pub(super) calls: u32,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Text,
    Stream,
    Cut,
    Picture,
    Schema,
    Tools,
    Refused,
}

pub(super) const CASES: [Case; 7] = [
    case("text", 1, What::Text),
    case("text, streamed", 1, What::Stream),
    case("an answer cut short", 1, What::Cut),
    case("a picture", 1, What::Picture),
    case("JSON by schema", 1, What::Schema),
    case("a tool and its result", 2, What::Tools),
    case("no such setting", 1, What::Refused),
];

const fn case(name: &'static str, calls: u32, what: What) -> Case {
    Case { name, calls, what }
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

    fn says_something(&mut self, text: &str) {
        self.unless(!text.trim().is_empty(), || "no text".to_owned());
    }
}

impl Case {
    /// Asks, and tells in what the answers differ from what they should be.
    ///
    /// # Errors
    /// There was no answer.
    pub(super) async fn run(&self, caller: &Caller, model: &str) -> anyhow::Result<Vec<String>> {
        let mut found = Differences::default();
        match self.what {
            What::Text => {
                let answer = caller.whole(ask(model, "Say hello.")).await?;
                found.answer(&answer, FinishReason::Stop);
                found.says_something(&text(&answer));
            }
            What::Stream => stream(caller, model, &mut found).await?,
            What::Cut => {
                let mut request = ask(model, "Count to a thousand, in words.");
                request.max_output_tokens = Some(16);
                found.answer(&caller.whole(request).await?, FinishReason::Length);
            }
            What::Picture => {
                let mut request = ask(model, "Which colour is this? One word.");
                let picture = part::Part::Image(Image {
                    source: Some(image::Source::Data(PNG.to_vec().into())),
                    media_type: "image/png".to_owned(),
                    ..Image::default()
                });
                request.messages[0].parts.push(of(picture));
                let answer = caller.whole(request).await?;
                found.answer(&answer, FinishReason::Stop);
                found.says_something(&text(&answer));
            }
            What::Schema => schema(caller, model, &mut found).await?,
            What::Tools => tools(caller, model, &mut found).await?,
            What::Refused => {
                let mut request = ask(model, "Say hello.");
                request.temperature = Some(f64::from(MOST_OUTPUT));
                let code = caller.whole(request).await.err().map(|it| it.code());
                found.unless(code == Some(Code::InvalidArgument), || {
                    format!("ended with {code:?}")
                });
            }
        }
        Ok(found.0)
    }
}

async fn stream(caller: &Caller, model: &str, found: &mut Differences) -> anyhow::Result<()> {
    let request = caller.authorized(ask(model, "Say hello."));
    let mut stream = caller
        .client
        .clone()
        .stream_complete(request)
        .await?
        .into_inner();
    let (mut said, mut whole) = (String::new(), CompleteResponse::default());
    while let Some(piece) = stream.message().await? {
        whole.usage = piece.usage.or(whole.usage);
        for choice in piece.choices {
            for delta in &choice.parts {
                if let Some(part_delta::Delta::Text(text)) = &delta.delta {
                    said.push_str(text);
                }
            }
            if choice.finish_reason() != FinishReason::Unspecified {
                whole.choices.push(tollgate_proto::completion::v1::Choice {
                    finish_reason: choice.finish_reason,
                    ..Default::default()
                });
            }
        }
    }
    found.answer(&whole, FinishReason::Stop);
    found.says_something(&said);
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
    let read = serde_json::from_str::<serde_json::Value>(&text(&answer));
    let follows = read.is_ok_and(|it| it["n"].is_i64());
    found.unless(follows, || {
        "the answer does not follow the schema".to_owned()
    });
    Ok(())
}

/// A call that must be made, and the answer to its result, with all that came with the call.
async fn tools(caller: &Caller, model: &str, found: &mut Differences) -> anyhow::Result<()> {
    let mut request = ask(model, "Look number 7 up.");
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
    let answer = caller.whole(request.clone()).await?;
    found.answer(&answer, FinishReason::ToolCalls);
    let message = answer.choices.into_iter().next().and_then(|it| it.message);
    let message = message.unwrap_or_default();
    let calls: Vec<ToolCall> = message.parts.iter().filter_map(call).cloned().collect();
    let Some(first) = calls.first() else {
        found.unless(false, || "no call".to_owned());
        return Ok(());
    };
    let arguments = serde_json::from_str::<serde_json::Value>(&first.arguments_json);
    found.unless(first.name == "lookup", || {
        format!("a call of `{}`", first.name)
    });
    found.unless(arguments.is_ok_and(|it| it["n"] == 7), || {
        "other arguments".to_owned()
    });
    let result = |call: &ToolCall| {
        of(part::Part::ToolResult(ToolResult {
            tool_call_id: call.id.clone(),
            parts: vec![of(part::Part::Text("blue".to_owned()))],
            is_error: false,
        }))
    };
    let results = Message {
        role: Role::Tool.into(),
        parts: calls.iter().map(result).collect(),
        ..Message::default()
    };
    request.messages.extend([message, results]);
    request.tool_choice = None;
    let last = caller.whole(request).await.context("the result")?;
    found.answer(&last, FinishReason::Stop);
    found.says_something(&text(&last));
    Ok(())
}

fn call(part: &Part) -> Option<&ToolCall> {
    match &part.part {
        Some(part::Part::ToolCall(call)) => Some(call),
        _ => None,
    }
}

impl Caller {
    async fn whole(&self, request: CompleteRequest) -> Result<CompleteResponse, tonic::Status> {
        let request = self.authorized(request);
        Ok(self.client.clone().complete(request).await?.into_inner())
    }

    fn authorized(&self, message: CompleteRequest) -> Request<CompleteRequest> {
        let mut request = Request::new(message);
        let value = self.authorization.clone();
        request.metadata_mut().insert("authorization", value);
        request
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
