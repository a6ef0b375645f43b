//! Thoughts as routers tell them, such as `OpenRouter`: `reasoning_details`, a list of objects beside the readable text.
//! Each is a text (`reasoning.text`), a summary (`reasoning.summary`), or what nobody can read (`reasoning.encrypted`),
//! with what the model behind the router needs to know it again (`id`, `format`, `signature`).
//!
//! The router wants all of them back, unchanged and in their order. A stream brings the first two in fragments. Which of
//! these belong together their `index` does not say for sure, since some streams give all the same one: a fragment goes on
//! with the element before it, unless something in it says that it is another's.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::wire::{List, Text};
use crate::Error;
use crate::chat::{Delta, Opaque};
use crate::codec::Kind;
use crate::failure::{Class, Failure};
use crate::turns::Place;

/// The most elements of one list.
const MOST: usize = 1024;
/// The most bytes held back of an element until it is whole.
const MOST_HELD: usize = 4 * 1024 * 1024;
/// What stands between the texts of two elements.
const BETWEEN: &str = "\n\n";
/// What the state is called: an element, as JSON.
const DETAIL: &str = "reasoning_detail";

/// What one choice of a stream, or a whole message, tells of thoughts.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// The element that the last fragment belongs to.
    open: Option<Map<String, Value>>,
    /// Its bytes, about.
    held: usize,
    /// Whether the text is told beside the details, so that theirs is the same.
    beside: bool,
    /// Whether any text of theirs was told.
    told: bool,
}

impl Details {
    /// What comes of a list, in order: of its fragments, and of the text that is told beside them.
    ///
    /// # Errors
    /// An element is longer than any honest one.
    pub(super) fn take(
        &mut self,
        raw: &RawValue,
        text: Option<Text<'_>>,
    ) -> Result<Vec<Delta>, Failure> {
        let mut out = Vec::new();
        let mut beside = Text::filled(text);
        self.beside |= beside.is_some();
        for raw in list(raw) {
            // What is no object says nothing.
            let Ok(fragment) = serde_json::from_str::<Map<String, Value>>(raw.get()) else {
                continue;
            };
            let goes_on = self.open.as_ref().is_some_and(|it| belongs(it, &fragment));
            if !goes_on {
                out.extend(self.finish());
            }
            let told = beside.take().or_else(|| self.text(&fragment, goes_on));
            out.extend(told.map(Delta::Reasoning));
            self.add(fragment, raw.get().len())?;
            if self.open.as_ref().is_some_and(is_whole) {
                out.extend(self.finish());
            }
        }
        out.extend(beside.map(Delta::Reasoning));
        Ok(out)
    }

    /// The element that was still open, when no more will come.
    pub(super) fn finish(&mut self) -> Option<Delta> {
        self.held = 0;
        let whole = Value::Object(self.open.take()?).to_string();
        Some(Delta::ReasoningState(keep(whole)))
    }

    /// The text of a fragment, unless it is told beside it.
    fn text(&mut self, fragment: &Map<String, Value>, goes_on: bool) -> Option<String> {
        let text = ["text", "summary"].into_iter().find_map(|key| {
            let text = fragment.get(key).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
        });
        let text = text.filter(|_| !self.beside)?;
        let before = std::mem::replace(&mut self.told, true);
        Some(if before && !goes_on {
            format!("{BETWEEN}{text}")
        } else {
            text.to_owned()
        })
    }

    /// Adds a fragment to the open element, or begins one with it.
    fn add(&mut self, fragment: Map<String, Value>, length: usize) -> Result<(), Failure> {
        self.held += length;
        if self.held > MOST_HELD {
            return Err(Failure::new(
                Class::Server,
                "a thought of the answer is too long",
            ));
        }
        let Some(open) = &mut self.open else {
            self.open = Some(fragment);
            return Ok(());
        };
        for (key, more) in fragment {
            match (open.get_mut(&key), more) {
                (Some(Value::String(text)), Value::String(more)) if is_text(&key) => {
                    text.push_str(&more);
                }
                (Some(Value::Null) | None, more) => {
                    open.insert(key, more);
                }
                // Said again.
                (Some(_), _) => {}
            }
        }
        Ok(())
    }
}

/// What a whole message tells of thoughts: the text, unless it is told beside them, and each as state.
pub(super) fn whole(raw: &RawValue, beside: bool) -> (String, Vec<Opaque>) {
    let mut details = Details {
        beside,
        ..Details::default()
    };
    let mut text = String::new();
    let mut state = Vec::new();
    for raw in list(raw) {
        if let Ok(element) = serde_json::from_str::<Map<String, Value>>(raw.get()) {
            text.push_str(&details.text(&element, false).unwrap_or_default());
            state.push(keep(raw.get().to_owned()));
        }
    }
    (text, state)
}

/// The elements that go back, as they came. Nobody else made them, and a router that did not make these passes them over.
///
/// # Errors
/// One was changed on the way.
pub(super) fn returned(state: &[Opaque], place: Place) -> Result<Vec<&RawValue>, Error> {
    let own = state.iter().filter(|it| is_detail(it));
    let altered = || place.invalid(".reasoning.provider_state", "must be sent back as it came");
    own.map(|it| element(it).ok_or_else(altered)).collect()
}

fn element(state: &Opaque) -> Option<&RawValue> {
    let raw = serde_json::from_slice::<&RawValue>(&state.bytes).ok()?;
    raw.get().starts_with('{').then_some(raw)
}

/// Whether a state is an element.
pub(crate) fn is_detail(state: &Opaque) -> bool {
    state.provider == Kind::OpenAiCompatible.as_str() && state.kind == DETAIL
}

/// Wraps an element. Only servers that imitate the format have them.
fn keep(element: String) -> Opaque {
    Opaque {
        provider: Kind::OpenAiCompatible.as_str().to_owned(),
        kind: DETAIL.to_owned(),
        bytes: Bytes::from(element),
    }
}

fn list(raw: &RawValue) -> Vec<&RawValue> {
    let list = serde_json::from_str::<List<&RawValue, MOST>>(raw.get());
    list.unwrap_or_default().0
}

fn is_text(key: &str) -> bool {
    matches!(key, "text" | "summary")
}

/// Whether a fragment goes on with an element.
fn belongs(element: &Map<String, Value>, fragment: &Map<String, Value>) -> bool {
    let of = |map: &Map<String, Value>, key| map.get(key).filter(|it| !it.is_null()).cloned();
    let agree = |key| match (of(element, key), of(fragment, key)) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    };
    of(element, "type") == of(fragment, "type") && agree("index") && agree("id")
}

/// Whether nothing can be added to an element: what cannot be read comes in one, and a signature is the last of a text.
fn is_whole(element: &Map<String, Value>) -> bool {
    let kind = element.get("type").and_then(Value::as_str);
    let kind = kind.and_then(|it| it.strip_prefix("reasoning."));
    let signature = element.get("signature").and_then(Value::as_str);
    !kind.is_some_and(is_text) || signature.is_some_and(|it| !it.is_empty())
}

#[cfg(test)]
mod tests;
