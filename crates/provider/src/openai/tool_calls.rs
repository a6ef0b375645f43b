//! Putting the fragments of streamed tool calls in order.

use super::extra_content;
use super::wire::{CallFragment, CalledFunction, MOST_CALLS};
use crate::chat::{Chunk, Delta, Opaque};

/// The most argument bytes held back for a call whose name has not arrived.
const MOST_HELD: usize = 64 * 1024;
/// The most states held back of it: a call has one.
const MOST_KEPT: usize = 16;

/// Why a fragment could not be taken.
pub(crate) type Broken = &'static str;

/// The calls of one choice, in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    /// The provider's index, by which later fragments name the call.
    wire_index: u32,
    id: String,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The name has not arrived; what came before it waits here: arguments, and the provider's state.
    Unnamed { held: String, kept: Vec<Opaque> },
    /// The call was announced.
    Announced,
}

impl Calls {
    /// Takes one fragment of the call it belongs to and appends what follows from it to `out`.
    ///
    /// # Errors
    /// A reason when the fragments cannot make up calls.
    pub(crate) fn add(
        &mut self,
        choice: u32,
        fragment: CallFragment<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Broken> {
        let at = self.find_or_open(&fragment)?;
        let Some(call) = self.calls.get_mut(at) else {
            return Ok(());
        };
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        if let (true, Some(id)) = (call.id.is_empty(), fragment.id) {
            call.id = id.into_string();
        }
        if let Some(function) = fragment.function {
            call.take(choice, index, function, out)?;
        }
        match (
            &mut call.state,
            fragment.extra_content.and_then(extra_content::read),
        ) {
            (State::Announced, Some(state)) => push_state(choice, index, state, out),
            (State::Unnamed { kept, .. }, Some(_)) if kept.len() == MOST_KEPT => {
                return Err("a tool call sends state but no name");
            }
            (State::Unnamed { kept, .. }, Some(state)) => kept.push(state),
            (_, None) => {}
        }
        Ok(())
    }

    /// Fails if a call began whose name never came.
    pub(crate) fn finish(&self) -> Result<(), Broken> {
        let unnamed = |call: &Call| matches!(call.state, State::Unnamed { .. });
        if self.calls.iter().any(unnamed) {
            return Err("a tool call has no name");
        }
        Ok(())
    }

    /// Where the fragment's call stands. A fragment without index continues the latest call,
    /// unless it brings an id of its own.
    fn find_or_open(&mut self, fragment: &CallFragment<'_>) -> Result<usize, Broken> {
        let known = match (fragment.index, &fragment.id) {
            (Some(index), _) => self.calls.iter().rposition(|call| call.wire_index == index),
            (None, None) => self.calls.len().checked_sub(1),
            (None, Some(id)) => self.calls.iter().rposition(|call| call.id == id.as_str()),
        };
        if let Some(at) = known {
            return Ok(at);
        }
        if self.calls.len() >= MOST_CALLS {
            return Err("the answer asks for too many tool calls");
        }
        let next = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        self.calls.push(Call {
            wire_index: fragment.index.unwrap_or(next),
            id: String::new(),
            state: State::Unnamed {
                held: String::new(),
                kept: Vec::new(),
            },
        });
        Ok(self.calls.len() - 1)
    }
}

impl Call {
    /// Takes what a fragment says of the function.
    fn take(
        &mut self,
        choice: u32,
        index: u32,
        function: CalledFunction<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Broken> {
        let name = function.name.filter(|name| !name.as_str().is_empty());
        if let (State::Unnamed { held, kept }, Some(name)) = (&mut self.state, name) {
            let (held, kept) = (std::mem::take(held), std::mem::take(kept));
            self.state = State::Announced;
            if self.id.is_empty() {
                self.id = format!("call_{choice}_{index}");
            }
            let delta = Delta::ToolCall {
                index,
                id: self.id.clone(),
                name: name.into_string(),
            };
            out.push(Chunk::Delta { choice, delta });
            push_arguments(choice, index, held, out);
            for state in kept {
                push_state(choice, index, state, out);
            }
        }
        let Some(arguments) = function.arguments else {
            return Ok(());
        };
        match &mut self.state {
            State::Announced => push_arguments(choice, index, arguments.into_string(), out),
            State::Unnamed { held, .. } if held.len() + arguments.as_str().len() <= MOST_HELD => {
                held.push_str(arguments.as_str());
            }
            State::Unnamed { .. } => return Err("a tool call sends arguments but no name"),
        }
        Ok(())
    }
}

fn push_arguments(choice: u32, index: u32, fragment: String, out: &mut Vec<Chunk>) {
    if !fragment.is_empty() {
        out.push(Chunk::Delta {
            choice,
            delta: Delta::ToolArguments { index, fragment },
        });
    }
}

fn push_state(choice: u32, index: u32, state: Opaque, out: &mut Vec<Chunk>) {
    let delta = Delta::ToolState { index, state };
    out.push(Chunk::Delta { choice, delta });
}

#[cfg(test)]
mod tests;
