//! What of an answer its caller has already.

use tollgate_provider::chat::{Chunk, Delta};

/// Leaves out of an answer what its caller has already.
#[derive(Debug)]
pub(in crate::dispatch) struct Echo {
    seen: String,
    /// How much of it has come again.
    at: usize,
    how: How,
    /// Whether all that comes is new.
    passed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// All of it has to come again.
    All,
    /// What comes is the rest, perhaps after all that came before from `from` on. The provider was sent the first `sent`
    /// bytes.
    Rest { from: usize, sent: usize },
}

/// The answer is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) struct Differs;

impl Echo {
    /// That of an answer which is given anew.
    pub(super) fn of_all(seen: &str) -> Self {
        Self::new(seen, How::All, 0)
    }

    /// That of an answer whose beginning the provider was given, but for the white space at its end. It says that first,
    /// as it may, or, with `repeats`, the whole beginning.
    pub(super) fn of_rest(seen: &str, repeats: bool) -> Self {
        let sent = seen.trim_end().len();
        let from = if repeats { 0 } else { sent };
        Self::new(seen, How::Rest { from, sent }, from)
    }

    fn new(seen: &str, how: How, at: usize) -> Self {
        Self {
            passed: at == seen.len(),
            seen: seen.to_owned(),
            at,
            how,
        }
    }

    /// Leaves out of what came what the caller has. Whether what comes from now on is new.
    ///
    /// # Errors
    /// It is not what the caller has.
    pub(in crate::dispatch) fn leave_out(
        &mut self,
        chunks: &mut Vec<Chunk>,
    ) -> Result<bool, Differs> {
        if self.passed {
            return Ok(true);
        }
        for chunk in std::mem::take(chunks) {
            match chunk {
                Chunk::Delta {
                    choice,
                    delta: Delta::Text(text),
                } if !self.passed => {
                    let text = self.new_of(&text)?;
                    chunks.extend(told(choice, text));
                }
                Chunk::Delta { choice, .. } | Chunk::Finish { choice, .. } if !self.passed => {
                    let text = self.give_up("")?;
                    chunks.extend(told(choice, text));
                    chunks.push(chunk);
                }
                Chunk::Delta { .. }
                | Chunk::Finish { .. }
                | Chunk::Start { .. }
                | Chunk::Aside(_)
                | Chunk::Warning(_)
                | Chunk::UsageReport(_)
                | Chunk::Usage(_) => chunks.push(chunk),
            }
        }
        Ok(self.passed)
    }

    /// What is new of a text that came.
    fn new_of(&mut self, text: &str) -> Result<String, Differs> {
        let expected = &self.seen[self.at..];
        let same = common(expected, text);
        if same < expected.len() && same < text.len() {
            return self.give_up(text);
        }
        self.at += same;
        self.passed = self.at == self.seen.len();
        Ok(text[same..].to_owned())
    }

    /// It does not come again, whatever it looked like: what was held back of it is new, and so is `text`.
    fn give_up(&mut self, text: &str) -> Result<String, Differs> {
        let How::Rest { from, sent } = self.how else {
            return Err(Differs);
        };
        self.passed = true;
        let all = format!("{}{text}", &self.seen[from..self.at]);
        // The white space that the provider was not sent, and that it says first.
        let space = common(&self.seen[sent..], &all);
        Ok(all[space..].to_owned())
    }
}

fn told(choice: u32, text: String) -> Option<Chunk> {
    let delta = Delta::Text(text);
    (delta != Delta::Text(String::new())).then_some(Chunk::Delta { choice, delta })
}

/// How many bytes two texts begin with in common.
fn common(one: &str, other: &str) -> usize {
    let pairs = one.chars().zip(other.chars());
    pairs
        .take_while(|(one, other)| one == other)
        .map(|(one, _)| one.len_utf8())
        .sum()
}

#[cfg(test)]
mod tests {
    use tollgate_provider::chat::FinishReason;

    use super::*;

    fn text(text: &str) -> Chunk {
        Chunk::Delta {
            choice: 0,
            delta: Delta::Text(text.to_owned()),
        }
    }

    const FINISH: Chunk = Chunk::Finish {
        choice: 0,
        reason: FinishReason::Stop,
    };

    /// What a caller is told of pieces that come one by one, and whether it ends with something else.
    fn told_of(mut echo: Echo, pieces: &[&str]) -> Result<String, Differs> {
        let mut all = String::new();
        let pieces = pieces.iter().map(|it| text(it));
        for piece in pieces.chain([FINISH]) {
            let mut chunks = vec![piece];
            echo.leave_out(&mut chunks)?;
            for chunk in chunks {
                if let Chunk::Delta {
                    delta: Delta::Text(text),
                    ..
                } = chunk
                {
                    all.push_str(&text);
                }
            }
        }
        Ok(all)
    }

    #[test]
    fn an_answer_that_is_given_anew_is_told_from_where_it_broke_off() {
        let again = |pieces: &[&str]| told_of(Echo::of_all("one é two"), pieces);
        for pieces in [
            &["one é two three"][..],
            &["one", " é", " two", " three"],
            &["o", "ne é t", "wo three"],
        ] {
            assert_eq!(again(pieces).as_deref(), Ok(" three"), "{pieces:?}");
        }
        assert_eq!(again(&["one é two"]).as_deref(), Ok(""));
        for other in [
            &["one è two three"][..],
            &["One"],
            &["one é", " too"],
            &["one é"],
            &[],
        ] {
            assert_eq!(again(other), Err(Differs), "{other:?}");
        }
    }

    #[test]
    fn what_follows_a_beginning_is_told_whole() {
        let rest = |seen, pieces: &[&str]| told_of(Echo::of_rest(seen, false), pieces).unwrap();
        assert_eq!(rest("one two", &[" three"]), " three");
        // The space was not sent: it is said again, or not, or otherwise.
        assert_eq!(rest("one two ", &[" three"]), "three");
        assert_eq!(rest("one two \n", &[" ", "\n", "three"]), "three");
        assert_eq!(rest("one two ", &["three"]), "three");
        assert_eq!(rest("one two \n", &[" three"]), "three");
        assert_eq!(rest("one two ", &[]), "");
    }

    #[test]
    fn a_beginning_may_be_repeated() {
        let rest = |seen, pieces: &[&str]| told_of(Echo::of_rest(seen, true), pieces).unwrap();
        assert_eq!(rest("one two", &["one", " two three"]), " three");
        assert_eq!(rest("one two ", &["one two", " three"]), "three");
        assert_eq!(rest("one two", &[" three one two"]), " three one two");
        // What looked like it and was not is told after all.
        assert_eq!(rest("one two", &["one", " too"]), "one too");
        assert_eq!(rest("one two", &["one"]), "one");
    }

    #[test]
    fn other_things_than_text_do_not_come_before_what_was_seen() {
        let mut echo = Echo::of_all("one");
        let reasoning = Chunk::Delta {
            choice: 0,
            delta: Delta::Reasoning("hm".to_owned()),
        };
        let mut chunks = vec![reasoning.clone(), text("one")];
        assert_eq!(echo.leave_out(&mut chunks), Err(Differs));
        let mut chunks = vec![text("one"), reasoning.clone()];
        assert_eq!(Echo::of_all("one").leave_out(&mut chunks), Ok(true));
        assert_eq!(chunks, [reasoning]);
    }
}
