//! Blocks of tools that the provider runs itself, as a stream brings them: put together, so that they can go back.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answer::broken;
use super::stream::MOST_HELD;
use crate::failure::Failure;
use crate::wire::List;

/// The most pieces of what a tool found.
const MOST_FOUND: usize = 4096;

/// Such a block so far.
#[derive(Debug)]
pub(super) struct Foreign {
    /// How it began: an object of one field, which is its type.
    start: String,
    /// What was added to the input of a call.
    input: String,
    /// What was added to the content of a result.
    content: Vec<Value>,
    /// Bytes of it all.
    size: usize,
}

impl Foreign {
    /// A block that begins so.
    pub(super) fn begin(start: &str) -> Self {
        Self {
            start: start.to_owned(),
            input: String::new(),
            content: Vec::new(),
            size: start.len(),
        }
    }

    /// More of the input.
    pub(super) fn argue(&mut self, fragment: &str) -> Result<(), Failure> {
        self.grow(fragment.len())?;
        self.input.push_str(fragment);
        Ok(())
    }

    /// More of what was found: a list of pieces.
    pub(super) fn found(&mut self, more: &RawValue) -> Result<(), Failure> {
        self.grow(more.get().len())?;
        let more: List<Value, MOST_FOUND> = serde_json::from_str(more.get())
            .map_err(|_| broken("what a tool found cannot be read"))?;
        self.content.extend(more.0);
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        self.size += bytes;
        if self.size > MOST_HELD {
            return Err(broken("a block of the answer is too long"));
        }
        Ok(())
    }

    /// The block as an answer that is not streamed has it; nothing where it is of a type that is not known.
    pub(super) fn whole(self) -> Option<String> {
        let mut block: Map<String, Value> = serde_json::from_str(&self.start).ok()?;
        if let Some(Value::Object(call)) = block.get_mut("toolUse") {
            let input = serde_json::from_str(&self.input);
            call.insert(
                "input".to_owned(),
                input.unwrap_or_else(|_| Value::Object(Map::new())),
            );
        } else if let Some(Value::Object(result)) = block.get_mut("toolResult") {
            result.insert("content".to_owned(), Value::Array(self.content));
        } else {
            return None;
        }
        Some(Value::Object(block).to_string())
    }
}
