//! `OpenAI`'s Responses.
//!
//! The models are those of chat completions. What differs is that an answer is a list of items, of which thoughts are
//! some: they come encrypted, and go back as they came and where they stood, so that a model which calls tools goes on
//! with what it had in mind. Nothing is kept at the provider: every request holds the whole conversation, and forbids
//! to store the answer.

mod answer;
mod citations;
mod encode;
mod input;
mod options;
mod output;
mod stream;
mod usage;
mod wire;

pub(crate) use answer::decode;
pub(crate) use encode::{COUNTED, action, encode};
pub(crate) use stream::{StreamDecoder, stream_decoder};

use crate::chat::{Part, Request};
use crate::codec::Kind;
use crate::failure::Failure;

/// The code of a refusal of thoughts that the account cannot decrypt.
const UNREADABLE: &str = "invalid_encrypted_content";

/// The request without the model's thoughts and searches so far, where it was refused because these are another
/// account's. None where it was refused for anything else, or holds none.
pub(crate) fn without_unreadable(
    request: &Request,
    kind: Kind,
    refused: &Failure,
) -> Option<Request> {
    if refused.code.as_deref() != Some(UNREADABLE) {
        return None;
    }
    let mut without = request.clone();
    let mut any = false;
    let parts = without.messages.iter_mut().flat_map(|it| &mut it.parts);
    for part in parts {
        if let Part::Reasoning { opaque, .. } = part {
            let before = opaque.len();
            opaque.retain(|it| it.provider != kind.as_str() || it.kind == PHASE);
            any |= opaque.len() < before;
        }
    }
    any.then_some(without)
}

/// State: an item of an answer, as JSON.
const ITEM: &str = "item";
/// State: what the message that follows is, such as commentary before calls.
const PHASE: &str = "phase";
