//! What Azure's filter thinks of an answer, under the names that Azure has for it.

use serde_json::value::RawValue;

use crate::chat::{Aside, Chunk};

/// Of the prompt: a list, as several prompts may be filtered apart.
pub(super) const OF_PROMPT: &str = "prompt_filter_results";
/// Of a choice.
pub(super) const OF_CHOICE: &str = "content_filter_results";

/// What was told last of one choice of a stream, whose every event tells it again.
#[derive(Debug, Default)]
pub(super) struct Verdict(String);

impl Verdict {
    /// Tells what is new.
    pub(super) fn tell(&mut self, choice: u32, raw: Option<&RawValue>, out: &mut Vec<Chunk>) {
        let new = raw.filter(|raw| raw.get() != self.0);
        if let Some(aside) = Aside::detail(Some(choice), OF_CHOICE, new) {
            self.0.clear();
            self.0.push_str(new.map_or("", RawValue::get));
            out.push(Chunk::Aside(aside));
        }
    }
}
