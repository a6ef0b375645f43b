//! Folding a stream back into a whole answer.

use std::collections::BTreeMap;

use super::{
    Aside, Choice, Chunk, Delta, Details, FinishReason, Json, Message, Part, Response, Role,
    ToolCall, Usage, Warning,
};

/// Folds the chunks of a stream into the answer that a caller who did not stream would have got.
///
/// It holds the whole answer in memory: the owner bounds what it feeds in.
#[derive(Debug, Default)]
pub struct Assembler {
    id: String,
    model: String,
    choices: BTreeMap<u32, Draft>,
    usage: Option<Usage>,
    usage_report: Option<Json>,
    fingerprint: Option<String>,
    details: Details,
    warnings: Vec<Warning>,
}

/// A choice under construction.
#[derive(Debug, Default)]
struct Draft {
    parts: Vec<Part>,
    /// Where each tool call, by its stream index, stands in `parts`.
    calls: BTreeMap<u32, usize>,
    logprobs: Vec<Json>,
    finish: Option<FinishReason>,
    stop_sequence: Option<String>,
    details: Details,
}

impl Assembler {
    /// An assembler that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one chunk.
    pub fn push(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Warning(warning) => self.warnings.push(warning),
            Chunk::Start { id, model } => {
                self.id = id;
                self.model = model;
            }
            Chunk::Delta { choice, delta } => self.choices.entry(choice).or_default().add(delta),
            Chunk::Aside(aside) => self.aside(aside),
            Chunk::Finish { choice, reason } => {
                self.choices.entry(choice).or_default().finish = Some(reason);
            }
            Chunk::UsageReport(report) => self.usage_report = Some(report),
            Chunk::Usage(usage) => self.usage = Some(usage),
        }
    }

    fn aside(&mut self, aside: Aside) {
        match aside {
            Aside::Fingerprint(name) => self.fingerprint = Some(name),
            Aside::StopSequence { choice, text } => {
                self.choices.entry(choice).or_default().stop_sequence = Some(text);
            }
            Aside::Detail {
                choice,
                name,
                value,
            } => {
                let details = match choice {
                    Some(choice) => &mut self.choices.entry(choice).or_default().details,
                    None => &mut self.details,
                };
                details.insert(name, value);
            }
        }
    }

    /// The whole answer, or nothing when some choice has not finished: a partial answer is never
    /// passed off as a whole one.
    #[must_use]
    pub fn finish(self) -> Option<Response> {
        if self.choices.is_empty() {
            return None;
        }
        let choices = self
            .choices
            .into_iter()
            .map(|(index, draft)| draft.finish(index))
            .collect::<Option<Vec<_>>>()?;
        Some(Response {
            id: self.id,
            model: self.model,
            choices,
            usage: self.usage,
            usage_report: self.usage_report,
            fingerprint: self.fingerprint,
            details: self.details,
            warnings: self.warnings,
        })
    }
}

impl Draft {
    fn add(&mut self, delta: Delta) {
        match delta {
            Delta::Text(more) => match self.parts.last_mut() {
                Some(Part::Text(text) | Part::Cited { text, .. }) => text.push_str(&more),
                _ => self.parts.push(Part::Text(more)),
            },
            Delta::Refusal(more) => match self.parts.last_mut() {
                Some(Part::Refusal(text)) => text.push_str(&more),
                _ => self.parts.push(Part::Refusal(more)),
            },
            Delta::Reasoning(more) => match self.parts.last_mut() {
                // State closes what it belongs to.
                Some(Part::Reasoning { text, opaque }) if opaque.is_empty() => {
                    text.push_str(&more);
                }
                _ => self.parts.push(Part::Reasoning {
                    text: more,
                    opaque: Vec::new(),
                }),
            },
            Delta::ReasoningState(state) => match self.parts.last_mut() {
                Some(Part::Reasoning { opaque, .. }) => opaque.push(state),
                _ => self.parts.push(Part::Reasoning {
                    text: String::new(),
                    opaque: vec![state],
                }),
            },
            Delta::ToolCall { index, id, name } => {
                self.calls.insert(index, self.parts.len());
                self.parts.push(Part::ToolCall(ToolCall {
                    id,
                    name,
                    arguments: String::new(),
                    opaque: Vec::new(),
                }));
            }
            Delta::ToolArguments { index, fragment } => {
                if let Some(call) = self.call(index) {
                    call.arguments.push_str(&fragment);
                }
            }
            Delta::ToolState { index, state } => {
                if let Some(call) = self.call(index) {
                    call.opaque.push(state);
                }
            }
            Delta::Audio(more) => match self.parts.last_mut() {
                Some(Part::Audio(audio)) => audio.append(more),
                _ => self.parts.push(Part::Audio(more)),
            },
            Delta::Citation(citation) => Part::cite(&mut self.parts, citation),
            Delta::Logprobs(json) => self.logprobs.push(json),
        }
    }

    fn call(&mut self, index: u32) -> Option<&mut ToolCall> {
        let at = self.calls.get(&index).copied()?;
        match self.parts.get_mut(at) {
            Some(Part::ToolCall(call)) => Some(call),
            _ => None,
        }
    }

    fn finish(self, index: u32) -> Option<Choice> {
        Some(Choice {
            index,
            message: Message {
                role: Role::Assistant,
                parts: self.parts,
                name: None,
            },
            finish_reason: self.finish?,
            logprobs: merge_logprobs(&self.logprobs),
            stop_sequence: self.stop_sequence,
            details: self.details,
        })
    }
}

/// Joins the `content` and `refusal` lists of every piece, the shape an unstreamed answer has.
fn merge_logprobs(pieces: &[Json]) -> Option<Json> {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Piece {
        content: Option<Vec<Json>>,
        refusal: Option<Vec<Json>>,
    }
    let mut whole = Piece {
        content: None,
        refusal: None,
    };
    for piece in pieces {
        let Ok(piece) = serde_json::from_str::<Piece>(piece.get()) else {
            continue;
        };
        for (into, from) in [
            (&mut whole.content, piece.content),
            (&mut whole.refusal, piece.refusal),
        ] {
            if let Some(from) = from {
                into.get_or_insert_default().extend(from);
            }
        }
    }
    if pieces.is_empty() {
        None
    } else {
        Json::of(&whole).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Assembler, Chunk, Delta, FinishReason, Json, Part};
    use crate::chat::Opaque;

    fn text(choice: u32, text: &str) -> Chunk {
        Chunk::Delta {
            choice,
            delta: Delta::Text(text.to_owned()),
        }
    }

    fn logprobs(json: &str) -> Chunk {
        Chunk::Delta {
            choice: 0,
            delta: Delta::Logprobs(Json::parse(json.to_owned()).unwrap()),
        }
    }

    fn finish(choice: u32) -> Chunk {
        Chunk::Finish {
            choice,
            reason: FinishReason::Stop,
        }
    }

    fn assemble(chunks: impl IntoIterator<Item = Chunk>) -> Option<super::Response> {
        let mut assembler = Assembler::new();
        chunks.into_iter().for_each(|chunk| assembler.push(chunk));
        assembler.finish()
    }

    #[test]
    fn choices_come_out_in_order_each_with_its_own_text() {
        let chunks = [
            text(1, "b"),
            text(0, "a"),
            text(1, "c"),
            finish(1),
            finish(0),
        ];
        let response = assemble(chunks).unwrap();
        let texts: Vec<_> = response
            .choices
            .iter()
            .map(|choice| (choice.index, choice.message.parts.clone()))
            .collect();
        let part = |text: &str| vec![Part::Text(text.to_owned())];
        assert_eq!(texts, [(0, part("a")), (1, part("bc"))]);
    }

    #[test]
    fn a_part_of_an_answer_is_no_answer() {
        assert_eq!(assemble([]), None);
        assert_eq!(assemble([text(0, "a")]), None);
        assert_eq!(assemble([text(0, "a"), finish(0), text(1, "b")]), None);
    }

    #[test]
    fn state_closes_the_thought_it_belongs_to() {
        let delta = |delta| Chunk::Delta { choice: 0, delta };
        let thought = |text: &str| delta(Delta::Reasoning(text.to_owned()));
        let opaque = |bytes: &'static str| Opaque {
            provider: "p".to_owned(),
            kind: "signature".to_owned(),
            bytes: bytes.into(),
        };
        let state = |bytes| delta(Delta::ReasoningState(opaque(bytes)));
        let call = delta(Delta::ToolCall {
            index: 0,
            id: "1".to_owned(),
            name: "f".to_owned(),
        });
        let call_state = delta(Delta::ToolState {
            index: 0,
            state: opaque("c"),
        });
        let stream = [
            thought("a"),
            thought("b"),
            state("s"),
            state("t"),
            thought("c"),
        ];
        let response = assemble(stream.into_iter().chain([call, call_state, finish(0)]));
        let parts = response.unwrap().choices.remove(0).message.parts;
        let reasoning = |text: &str, opaque| Part::Reasoning {
            text: text.to_owned(),
            opaque,
        };
        assert_eq!(
            parts[..2],
            [
                reasoning("ab", vec![opaque("s"), opaque("t")]),
                reasoning("c", vec![])
            ]
        );
        let Part::ToolCall(call) = &parts[2] else {
            panic!("{parts:?}");
        };
        assert_eq!(call.opaque, [opaque("c")]);
    }

    #[test]
    fn log_probabilities_are_joined() {
        let response = assemble([
            logprobs(r#"{"content":[1],"refusal":null}"#),
            logprobs(r#"{"content":[2,3]}"#),
            finish(0),
        ]);
        let joined = response.unwrap().choices.remove(0).logprobs.unwrap();
        assert_eq!(joined.get(), r#"{"content":[1,2,3],"refusal":null}"#);
    }
}
