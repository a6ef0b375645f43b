//! Answers with something in them that no provider has said yet.

use serde_json::{Value, json};

use super::wire::{Completion, Event, Piece, Refused, Wire};
use crate::provider::behaviour::Refusal;

/// A format whose documents all have one more field, and whose `created` is a text.
pub(super) struct Strange(pub(super) Box<dyn Wire>);

/// A document with that field. What is no object stays as it is.
pub(super) fn document(text: String) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(&text) else {
        return text;
    };
    fields.insert("strange".to_owned(), json!(1));
    if let Some(created) = fields.get_mut("created") {
        *created = json!("just now");
    }
    Value::Object(fields).to_string()
}

fn event(event: Event) -> Event {
    Event {
        data: document(event.data),
        ..event
    }
}

fn events(events: Vec<Event>) -> Vec<Event> {
    events.into_iter().map(event).collect()
}

fn refused(refused: Refused) -> Refused {
    Refused {
        body: document(refused.body),
        ..refused
    }
}

impl Wire for Strange {
    fn unary(&self, completion: &Completion<'_>, thinking: &str, text: &str) -> String {
        document(self.0.unary(completion, thinking, text))
    }

    fn start(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        events(self.0.start(completion))
    }

    fn piece(&mut self, completion: &Completion<'_>, piece: Piece<'_>) -> Vec<Event> {
        events(self.0.piece(completion, piece))
    }

    fn end(&mut self, completion: &Completion<'_>) -> Vec<Event> {
        events(self.0.end(completion))
    }

    fn broken(&self) -> Event {
        event(self.0.broken())
    }

    fn error(&self, status: u16, message: &str, code: &str) -> Refused {
        refused(self.0.error(status, message, code))
    }

    fn refuse(&self, why: Refusal) -> Refused {
        refused(self.0.refuse(why))
    }
}
