//! How much work a prompt asks for: the number that conditions of routes know as `request.complexity`.
//!
//! It is a count of signs, not an understanding: verbs of work ("prove", "refactor", "compare"), constraints, steps, code
//! and formulas speak for it, verbs of lookup ("translate", "list", "what is") against it, and length a little for it.
//! The same text has the same score on every machine and in every process: there are only sums and quotients, no model,
//! and no randomness.
//!
//! What is asked for is in what the user says, so that only the user's messages are looked at, the last one first. A
//! short "and why?" is about what was asked before: earlier messages count too, each a fifth less than the one after it.
//! Of a message its beginning and its end are read, where instructions stand; what a user pastes between them is length
//! only.
//!
//! Its limits: the words are those of English, and a few of German, French and Spanish; in other languages only length,
//! code, formulas and lists speak. It knows nothing of the matter: a short riddle is taken for easy ("Which two of these
//! proofs are wrong?"), a long form letter for less so. `examples/complexity` measures it on prompts of known difficulty.

mod words;

use words::{Work, work_of};

/// Messages of the user that are looked at, the last ones.
pub const MOST_MESSAGES: usize = 4;
/// Bytes of the last message that are read at its beginning, and half as many at its end. Of the ones before a quarter.
const HEAD: usize = 2048;
/// What an earlier message counts of the one after it.
const EARLIER: f64 = 0.8;

/// Returns how much work is asked for by what a user has said, the last message first, each as its texts in order: from
/// 0, nothing, to below 1.
pub fn score<'a, M>(messages: impl IntoIterator<Item = M>) -> f64
where
    M: IntoIterator<Item = &'a str>,
{
    let (mut most, mut weight, mut head) = (0.0_f64, 1.0, HEAD);
    for message in messages.into_iter().take(MOST_MESSAGES) {
        let mut signs = Signs::default();
        for text in message {
            signs.read(text, head);
            head = head.saturating_sub(text.len());
        }
        most = most.max(signs.score() * weight);
        (weight, head) = (weight * EARLIER, HEAD / 4);
    }
    most
}

/// The signs of work that were counted in a message.
#[derive(Debug, Default, Clone, Copy)]
struct Signs {
    words: u32,
    /// Verbs of work, and nouns of what it brings.
    work: u32,
    /// Verbs of lookup and of small changes.
    light: u32,
    /// Words that bind the answer, and items of lists.
    constraints: u32,
    /// Questions, and words that put one step after another.
    steps: u32,
    /// Lines that look like code.
    code: u32,
    /// Signs of formulas.
    formulas: u32,
    /// Words read since the last end of a sentence.
    in_sentence: u32,
}

impl Signs {
    fn read(&mut self, text: &str, head: usize) {
        let (head, tail) = ends(text, head);
        let unread = text.len() - head.len() - tail.len();
        // About six bytes a word.
        self.words = self.words.saturating_add(count(unread / 6));
        for part in [head, tail] {
            for line in part.lines() {
                self.line(line);
            }
        }
    }

    fn line(&mut self, line: &str) {
        let line = line.trim();
        self.in_sentence = 0;
        if is_code(line) {
            self.code += 1;
            self.words += count(line.len() / 6);
            return;
        }
        self.constraints += u32::from(is_item(line));
        let mut start = None;
        for (at, character) in line.char_indices() {
            if is_wide(character) {
                // About two characters a word.
                self.words += u32::from(at % 2 == 0);
                continue;
            }
            match (character.is_alphabetic() || character == '\'', start) {
                (true, Some(_)) => {}
                (true, None) => start = Some(at),
                (false, from) => {
                    if let Some(from) = from {
                        self.word(&line[from..at]);
                    }
                    start = None;
                    self.sign(character);
                }
            }
        }
        if let Some(from) = start {
            self.word(&line[from..]);
        }
    }

    fn sign(&mut self, character: char) {
        match character {
            '?' | '\u{ff1f}' => self.steps += 1,
            '=' | '^' | '\\' | '\u{2200}'..='\u{22ff}' => self.formulas += 1,
            _ => {}
        }
        if matches!(character, '.' | '!' | '?' | ':' | ';' | '\u{3002}') {
            self.in_sentence = 0;
        }
    }

    fn word(&mut self, word: &str) {
        self.words += 1;
        let place = self.in_sentence;
        self.in_sentence += 1;
        match work_of(word) {
            Some(Work::Hard) => self.work += 1,
            // "List" begins a request; "the list" does not.
            Some(Work::Light) if place < 4 => self.light += 1,
            Some(Work::Constraint) => self.constraints += 1,
            Some(Work::Step) => self.steps += 1,
            Some(Work::Light) | None => {}
        }
    }

    /// Each sign counts less the more of it there are, and no sign is enough by itself.
    fn score(&self) -> f64 {
        // The first question is what makes it a request.
        let steps = self.steps.saturating_sub(1);
        let sum = 0.60 * part(self.work, 2.0)
            + 0.25 * part(self.constraints, 5.0)
            + 0.15 * part(steps, 3.0)
            + 0.30 * part(self.code, 4.0)
            + 0.25 * part(self.formulas, 4.0)
            + 0.20 * part(self.words, 200.0);
        let light = 1.0 + f64::from(self.light.min(2)) * if self.work == 0 { 0.7 } else { 0.3 };
        (sum / light).min(0.999)
    }
}

/// `number` as a part of the whole: 0 for none, a half for `half`, never the whole.
fn part(number: u32, half: f64) -> f64 {
    f64::from(number) / (f64::from(number) + half)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The beginning and the end of a text; the whole and nothing, where it is short.
fn ends(text: &str, head: usize) -> (&str, &str) {
    let tail = head / 2;
    if text.len() <= head + tail {
        return (text, "");
    }
    let head = text.floor_char_boundary(head);
    let tail = text.ceil_char_boundary(text.len() - tail);
    (&text[..head], &text[tail..])
}

/// Whether a line looks like code rather than prose: it ends or begins as code does.
fn is_code(line: &str) -> bool {
    let ends = ["{", "}", "};", ");", "):", "->", "=>", "</"];
    let begins = [
        "```", "def ", "fn ", "class ", "import ", "return ", "#include", "public ", "SELECT ",
        "//", "$ ",
    ];
    ends.iter().any(|it| line.ends_with(it)) || begins.iter().any(|it| line.starts_with(it))
}

/// Whether a line is an item of a list.
fn is_item(line: &str) -> bool {
    let rest = line.trim_start_matches(|it: char| it.is_ascii_digit());
    let numbered = rest.len() < line.len() && (rest.starts_with(". ") || rest.starts_with(") "));
    numbered
        || ["- ", "* ", "\u{2022} "]
            .iter()
            .any(|it| line.starts_with(it))
}

/// Whether a character is of a script without spaces between words.
fn is_wide(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

#[cfg(test)]
mod tests;
