//! `OpenAI`'s Responses.

use super::openai::OpenAi;
use super::{Call, Completion, Event, Finish, Piece, Refused, Role, TOOL, Wire};
use crate::provider::behaviour::Refusal;
use crate::provider::reply::Usage;

/// The items of an answer, as it is being told.
#[derive(Debug, Default)]
pub(in crate::provider::reply) struct Responses {
    /// Those that are over.
    items: Vec<String>,
    open: Option<Open>,
    /// How many events there were.
    events: u32,
}

/// The item that is being told, with what was told of it. Texts are the insides of JSON strings.
#[derive(Debug)]
enum Open {
    Thought(String),
    Message(String),
}

impl Wire for Responses {
    fn unary(&self, completion: &Completion<'_>, thinking: &str, text: &str) -> String {
        let mut items = Vec::new();
        if !thinking.is_empty() {
            items.push(thought(completion, items.len(), Some(thinking)));
        }
        if completion.searched {
            items.push(search(completion, items.len(), "completed"));
        }
        if !text.is_empty() {
            items.push(message(completion, items.len(), Some(text)));
        }
        for it in &completion.calls {
            items.push(call(completion, items.len(), it, Some(&it.arguments)));
        }
        whole(completion, &items)
    }

    fn start(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        let begun = envelope(completion, "in_progress", "null", &[], None);
        ["response.created", "response.in_progress"]
            .map(|name| self.event(name, &format!(r#""response":{begun}"#)))
            .into()
    }

    fn piece(&mut self, completion: &Completion<'_>, piece: Piece<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        match piece {
            Piece::Thinking(text) => self.think(completion, text, &mut events),
            Piece::Search => {
                self.close(completion, &mut events);
                let begun = search(completion, self.items.len(), "in_progress");
                events.push(self.item("response.output_item.added", &begun));
                let id = id("ws", completion, self.items.len());
                events.push(self.of_item("response.web_search_call.searching", &id, ""));
                self.over(
                    search(completion, self.items.len(), "completed"),
                    &mut events,
                );
            }
            Piece::Text(text) => self.say(completion, text, &mut events),
            Piece::Call(it) => self.call(completion, it, &mut events),
        }
        events
    }

    fn end(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.close(completion, &mut events);
        let name = match completion.finish {
            Finish::Stop | Finish::Calls => "response.completed",
            Finish::Length | Finish::Filtered => "response.incomplete",
        };
        let whole = whole(completion, &self.items);
        let last = self.event(name, &format!(r#""response":{whole}"#));
        events.push(Event {
            role: Role::Usage,
            ..last
        });
        events
    }

    fn broken(&self) -> Event {
        let data = format!(
            r#"{{"type":"error","sequence_number":{},"code":"server_is_overloaded","message":"overloaded","param":null}}"#,
            self.events
        );
        Event::of(Role::Error, "error", data)
    }

    fn error(&self, status: u16, message: &str, code: &str) -> Refused {
        OpenAi::default().error(status, message, code)
    }

    fn refuse(&self, why: Refusal) -> Refused {
        OpenAi::default().refuse(why)
    }
}

impl Responses {
    fn event(&mut self, name: &'static str, fields: &str) -> Event {
        let number = self.events;
        self.events += 1;
        let data = format!(r#"{{"type":"{name}","sequence_number":{number},{fields}}}"#);
        Event::plain(name, data)
    }

    /// An event of the item that is being told.
    fn of_item(&mut self, name: &'static str, id: &str, fields: &str) -> Event {
        let index = self.items.len();
        let fields = format!(r#""item_id":"{id}","output_index":{index}{fields}"#);
        self.event(name, &fields)
    }

    /// The event that holds an item, as it begins or as it is over.
    fn item(&mut self, name: &'static str, item: &str) -> Event {
        let index = self.items.len();
        self.event(name, &format!(r#""output_index":{index},"item":{item}"#))
    }

    fn think(&mut self, completion: &Completion<'_>, text: &str, events: &mut Vec<Event>) {
        let id = id("rs", completion, self.items.len());
        if !matches!(self.open, Some(Open::Thought(_))) {
            self.close(completion, events);
            let item = thought(completion, self.items.len(), None);
            events.push(self.item("response.output_item.added", &item));
            let part = r#","summary_index":0,"part":{"type":"summary_text","text":""}"#;
            events.push(self.of_item("response.reasoning_summary_part.added", &id, part));
            self.open = Some(Open::Thought(String::new()));
        }
        if let Some(Open::Thought(told)) = &mut self.open {
            told.push_str(text);
        }
        let delta = format!(r#","summary_index":0,"delta":"{text}""#);
        events.push(self.of_item("response.reasoning_summary_text.delta", &id, &delta));
    }

    fn say(&mut self, completion: &Completion<'_>, text: &str, events: &mut Vec<Event>) {
        if !matches!(self.open, Some(Open::Message(_))) {
            self.close(completion, events);
            let item = message(completion, self.items.len(), None);
            events.push(self.item("response.output_item.added", &item));
            let id = id("msg", completion, self.items.len());
            let part = format!(r#","content_index":0,"part":{}"#, said(""));
            events.push(self.of_item("response.content_part.added", &id, &part));
            self.open = Some(Open::Message(String::new()));
        }
        if let Some(Open::Message(told)) = &mut self.open {
            told.push_str(text);
        }
        let id = id("msg", completion, self.items.len());
        let delta = format!(r#","content_index":0,"delta":"{text}","logprobs":[]"#);
        events.push(self.of_item("response.output_text.delta", &id, &delta));
    }

    fn call(&mut self, completion: &Completion<'_>, it: &Call, events: &mut Vec<Event>) {
        self.close(completion, events);
        let id = id("fc", completion, self.items.len());
        let begun = call(completion, self.items.len(), it, None);
        events.push(self.item("response.output_item.added", &begun));
        let (first, second) = it.arguments.split_at(it.arguments.len() / 2);
        for piece in [first, second] {
            let delta = format!(r#","delta":{}"#, serde_json::Value::from(piece));
            events.push(self.of_item("response.function_call_arguments.delta", &id, &delta));
        }
        let arguments = serde_json::Value::from(&*it.arguments);
        let all = format!(r#","arguments":{arguments}"#);
        events.push(self.of_item("response.function_call_arguments.done", &id, &all));
        let over = call(completion, self.items.len(), it, Some(&it.arguments));
        self.over(over, events);
    }

    /// Ends the item that is being told, if one is.
    fn close(&mut self, completion: &Completion<'_>, events: &mut Vec<Event>) {
        let at = self.items.len();
        match self.open.take() {
            Some(Open::Thought(text)) => {
                let id = id("rs", completion, at);
                let all = format!(r#","summary_index":0,"text":"{text}""#);
                events.push(self.of_item("response.reasoning_summary_text.done", &id, &all));
                let part = format!(
                    r#","summary_index":0,"part":{{"type":"summary_text","text":"{text}"}}"#
                );
                events.push(self.of_item("response.reasoning_summary_part.done", &id, &part));
                self.over(thought(completion, at, Some(&text)), events);
            }
            Some(Open::Message(text)) => {
                let id = id("msg", completion, at);
                let all = format!(r#","content_index":0,"text":"{text}","logprobs":[]"#);
                events.push(self.of_item("response.output_text.done", &id, &all));
                let part = format!(r#","content_index":0,"part":{}"#, said(&text));
                events.push(self.of_item("response.content_part.done", &id, &part));
                self.over(message(completion, at, Some(&text)), events);
            }
            None => {}
        }
    }

    fn over(&mut self, item: String, events: &mut Vec<Event>) {
        events.push(self.item("response.output_item.done", &item));
        self.items.push(item);
    }
}

fn id(kind: &str, completion: &Completion<'_>, index: usize) -> String {
    format!("{kind}_{}_{index}", completion.facts.seq)
}

fn said(text: &str) -> String {
    format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":"{text}"}}"#)
}

/// An item that begins, or is over.
fn status(over: bool) -> &'static str {
    if over { "completed" } else { "in_progress" }
}

fn thought(completion: &Completion<'_>, index: usize, text: Option<&str>) -> String {
    let id = id("rs", completion, index);
    let Some(text) = text else {
        return format!(r#"{{"id":"{id}","type":"reasoning","summary":[]}}"#);
    };
    format!(
        r#"{{"id":"{id}","type":"reasoning","summary":[{{"type":"summary_text","text":"{text}"}}],"encrypted_content":"{}"}}"#,
        completion.signature()
    )
}

/// A search that the provider makes itself.
fn search(completion: &Completion<'_>, index: usize, status: &str) -> String {
    format!(
        r#"{{"id":"{}","type":"web_search_call","status":"{status}","action":{{"type":"search","query":"sky"}}}}"#,
        id("ws", completion, index)
    )
}

fn message(completion: &Completion<'_>, index: usize, text: Option<&str>) -> String {
    format!(
        r#"{{"id":"{}","type":"message","status":"{}","role":"assistant","content":[{}]}}"#,
        id("msg", completion, index),
        status(text.is_some()),
        text.map(said).unwrap_or_default()
    )
}

fn call(completion: &Completion<'_>, index: usize, call: &Call, arguments: Option<&str>) -> String {
    format!(
        r#"{{"id":"{}","type":"function_call","status":"{}","call_id":"{}","name":"{TOOL}","arguments":{}}}"#,
        id("fc", completion, index),
        status(arguments.is_some()),
        call.id,
        serde_json::Value::from(arguments.unwrap_or_default())
    )
}

fn whole(completion: &Completion<'_>, items: &[String]) -> String {
    let (status, details) = match completion.finish {
        Finish::Stop | Finish::Calls => ("completed", "null"),
        Finish::Length => ("incomplete", r#"{"reason":"max_output_tokens"}"#),
        Finish::Filtered => ("incomplete", r#"{"reason":"content_filter"}"#),
    };
    envelope(completion, status, details, items, completion.usage)
}

fn envelope(
    completion: &Completion<'_>,
    status: &str,
    details: &str,
    items: &[String],
    usage: Option<Usage>,
) -> String {
    let facts = completion.facts;
    format!(
        r#"{{"id":"resp_{}","object":"response","created_at":{},"status":"{status}","error":null,"incomplete_details":{details},"model":{},"output":[{}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"metadata":{{}},"usage":{}}}"#,
        facts.seq,
        facts.created_s,
        completion.model,
        items.join(","),
        usage.map_or("null".to_owned(), counted)
    )
}

fn counted(usage: Usage) -> String {
    let Usage {
        prompt,
        completion,
        reasoning,
        cached,
    } = usage;
    let total = prompt + completion;
    format!(
        r#"{{"input_tokens":{prompt},"input_tokens_details":{{"cached_tokens":{cached},"cache_write_tokens":0}},"output_tokens":{completion},"output_tokens_details":{{"reasoning_tokens":{reasoning}}},"total_tokens":{total}}}"#
    )
}
