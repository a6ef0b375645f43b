//! Pieces of one text that arrive together, made one.

use super::{Chunk, Delta};

impl Chunk {
    /// Takes `next` in, where it goes on with the very text that this piece ends with. False where it does not:
    /// `next` is unchanged then.
    ///
    /// What a caller puts together is the same either way. A text that is ahead of its reader, or of the network,
    /// costs one piece instead of many.
    pub fn join(&mut self, next: &Self) -> bool {
        match (self, next) {
            (
                Self::Delta { choice, delta },
                Self::Delta {
                    choice: same,
                    delta: more,
                },
            ) if choice == same => delta.join(more),
            _ => false,
        }
    }
}

impl Delta {
    fn join(&mut self, next: &Self) -> bool {
        match (self, next) {
            (Self::Text(text), Self::Text(more))
            | (Self::Refusal(text), Self::Refusal(more))
            | (Self::Reasoning(text), Self::Reasoning(more)) => text.push_str(more),
            (
                Self::ToolArguments { index, fragment },
                Self::ToolArguments {
                    index: same,
                    fragment: more,
                },
            ) if index == same => fragment.push_str(more),
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Json;

    fn of(choice: u32, delta: Delta) -> Chunk {
        Chunk::Delta { choice, delta }
    }

    fn text(choice: u32, text: &str) -> Chunk {
        of(choice, Delta::Text(text.to_owned()))
    }

    fn arguments(index: u32, fragment: &str) -> Chunk {
        let fragment = fragment.to_owned();
        of(0, Delta::ToolArguments { index, fragment })
    }

    fn joined(mut chunks: Vec<Chunk>) -> Vec<Chunk> {
        chunks.dedup_by(|next, before| before.join(next));
        chunks
    }

    #[test]
    fn pieces_of_one_text_become_one() {
        let reasoning = |text: &str| of(0, Delta::Reasoning(text.to_owned()));
        let refusal = |text: &str| of(0, Delta::Refusal(text.to_owned()));
        for (pieces, whole) in [
            (
                vec![text(0, "a"), text(0, "b"), text(0, "c")],
                text(0, "abc"),
            ),
            (vec![reasoning("a"), reasoning("b")], reasoning("ab")),
            (vec![refusal("a"), refusal("b")], refusal("ab")),
            (
                vec![arguments(1, "{"), arguments(1, "}")],
                arguments(1, "{}"),
            ),
        ] {
            assert_eq!(joined(pieces), [whole]);
        }
    }

    #[test]
    fn what_does_not_go_on_stays_apart() {
        let logprobs = of(0, Delta::Logprobs(Json::parse("[]".to_owned()).unwrap()));
        for pieces in [
            vec![text(0, "a"), text(1, "b"), text(0, "c")],
            vec![text(0, "a"), logprobs, text(0, "b")],
            vec![text(0, "a"), of(0, Delta::Reasoning("b".to_owned()))],
            vec![arguments(0, "{"), arguments(1, "}")],
        ] {
            assert_eq!(joined(pieces.clone()), pieces);
        }
    }
}
