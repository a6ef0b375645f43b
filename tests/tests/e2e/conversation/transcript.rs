//! What a conversation says, whichever format it is written in: one line for each thing said, ids of calls by the order
//! in which they occur. Thoughts are not among them: each provider reads its own only.

use serde_json::Value;
use tollgate_proto::completion::v1::{Message, image, part};
use tollgate_tests::provider::Format;

/// Lines, and the ids of calls met so far.
#[derive(Default)]
struct Transcript {
    lines: Vec<String>,
    calls: Vec<String>,
}

impl Transcript {
    fn add(&mut self, role: &str, said: impl std::fmt::Display) {
        let role = match role {
            "model" => "assistant",
            "developer" => "system",
            role => role,
        };
        self.lines.push(format!("{role}: {said}"));
    }

    fn call(&mut self, id: &str, name: &str, arguments: &str) {
        let number = self.calls.len();
        self.calls.push(id.to_owned());
        // Some formats write arguments as JSON, which knows no difference in spaces.
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        self.add(
            "assistant",
            format_args!("call #{number} {name} {arguments}"),
        );
    }

    fn result(&mut self, id: &str, said: &str) {
        match self.calls.iter().position(|it| it == id) {
            Some(number) => self.add("tool", format_args!("result #{number} {said}")),
            None => self.add("tool", format_args!("result of no call: {said}")),
        }
    }

    /// A content that is a text or a list of parts, each taken by `part` unless it is a text.
    fn content(&mut self, role: &str, content: &Value, part: fn(&mut Self, &str, &Value)) {
        if let Some(text) = content.as_str() {
            self.add(role, format_args!("text {text}"));
        }
        for one in content.as_array().into_iter().flatten() {
            match one["text"].as_str() {
                // A thought of Gemini's is a text that says so.
                Some(_) if one["thought"] == true => {}
                Some(text) => self.add(role, format_args!("text {text}")),
                None => part(self, role, one),
            }
        }
    }
}

/// As the contract has it.
pub fn of_messages(messages: &[Message]) -> Vec<String> {
    let mut out = Transcript::default();
    for message in messages {
        let role = message.role().as_str_name().trim_start_matches("ROLE_");
        let role = role.to_lowercase();
        for part in message.parts.iter().filter_map(|it| it.part.as_ref()) {
            of_part(&role, part, &mut out);
        }
    }
    out.lines
}

fn of_part(role: &str, part: &part::Part, out: &mut Transcript) {
    match part {
        part::Part::Text(text) => out.add(role, format_args!("text {text}")),
        part::Part::Image(image) => {
            let length = match &image.source {
                Some(image::Source::Data(data)) => data.len(),
                Some(image::Source::Url(_) | image::Source::FileId(_)) | None => 0,
            };
            out.add(role, format_args!("image of {length} bytes"));
        }
        part::Part::ToolCall(call) => out.call(&call.id, &call.name, &call.arguments_json),
        part::Part::ToolResult(result) => {
            let said = match result.parts.first().and_then(|it| it.part.as_ref()) {
                Some(part::Part::Text(said)) => said,
                _ => "nothing",
            };
            out.result(&result.tool_call_id, said);
        }
        part::Part::Reasoning(_) => {}
        part::Part::Audio(_) | part::Part::Document(_) | part::Part::Refusal(_) => {
            out.add(role, "what is no part of this conversation");
        }
    }
}

/// As the body of a request has it.
pub fn of_request(format: Format, body: &Value) -> Vec<String> {
    let mut out = Transcript::default();
    match format {
        Format::OpenAi | Format::Cohere => turns(body, &mut out),
        Format::Responses => items(body, &mut out),
        Format::Anthropic | Format::Bedrock => blocks(body, &mut out),
        Format::Gemini => contents(body, &mut out),
    }
    out.lines
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// How many bytes a text of base64 stands for.
fn decoded(base64: &str) -> usize {
    base64.len() / 4 * 3 - base64.bytes().rev().take_while(|it| *it == b'=').count()
}

/// Messages with a role each.
fn turns(body: &Value, out: &mut Transcript) {
    for message in list(&body["messages"]) {
        let role = text(&message["role"]);
        if role == "tool" {
            out.result(text(&message["tool_call_id"]), text(&message["content"]));
            continue;
        }
        out.content(role, &message["content"], |out, role, part| {
            if let Some((_, data)) = text(&part["image_url"]["url"]).split_once("base64,") {
                out.add(role, format_args!("image of {} bytes", decoded(data)));
            }
        });
        for call in list(&message["tool_calls"]) {
            let function = &call["function"];
            out.call(
                text(&call["id"]),
                text(&function["name"]),
                text(&function["arguments"]),
            );
        }
    }
}

/// Items, of which messages are some.
fn items(body: &Value, out: &mut Transcript) {
    for item in list(&body["input"]) {
        match text(&item["type"]) {
            "function_call" => out.call(
                text(&item["call_id"]),
                text(&item["name"]),
                text(&item["arguments"]),
            ),
            "function_call_output" => out.result(text(&item["call_id"]), text(&item["output"])),
            _ => out.content(text(&item["role"]), &item["content"], |out, role, part| {
                if let Some((_, data)) = text(&part["image_url"]).split_once("base64,") {
                    out.add(role, format_args!("image of {} bytes", decoded(data)));
                }
            }),
        }
    }
}

/// Messages of two speakers, made of blocks: Anthropic's say their type, Bedrock's are named for it.
fn blocks(body: &Value, out: &mut Transcript) {
    out.content("system", &body["system"], |_, _, _| {});
    for message in list(&body["messages"]) {
        out.content(text(&message["role"]), &message["content"], block);
    }
}

fn block(out: &mut Transcript, role: &str, block: &Value) {
    let inner = |name: &str, own: &str| {
        let typed = (text(&block["type"]) == name).then_some(block);
        block.get(own).or(typed)
    };
    let either = |at: &'_ Value, one: &str, other: &str| {
        at.get(one).or(at.get(other)).cloned().unwrap_or_default()
    };
    if let Some(image) = inner("image", "image") {
        let data = either(&image["source"], "data", "bytes");
        out.add(
            role,
            format_args!("image of {} bytes", decoded(text(&data))),
        );
    }
    if let Some(call) = inner("tool_use", "toolUse") {
        let id = either(call, "id", "toolUseId");
        out.call(text(&id), text(&call["name"]), &call["input"].to_string());
    }
    if let Some(result) = inner("tool_result", "toolResult") {
        let id = either(result, "tool_use_id", "toolUseId");
        out.result(text(&id), text(&result["content"][0]["text"]));
    }
}

/// Gemini's contents.
fn contents(body: &Value, out: &mut Transcript) {
    out.content("system", &body["systemInstruction"]["parts"], |_, _, _| {});
    for content in list(&body["contents"]) {
        out.content(
            text(&content["role"]),
            &content["parts"],
            |out, role, part| {
                if let Some(data) = part["inlineData"]["data"].as_str() {
                    out.add(role, format_args!("image of {} bytes", decoded(data)));
                }
                if let Some(call) = part.get("functionCall") {
                    out.call(
                        text(&call["id"]),
                        text(&call["name"]),
                        &call["args"].to_string(),
                    );
                }
                if let Some(result) = part.get("functionResponse") {
                    out.result(text(&result["id"]), text(&result["response"]["output"]));
                }
            },
        );
    }
}
