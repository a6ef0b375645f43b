//! Cutting a text into the pieces that are encoded one by one.
//!
//! The encodings define them by regular expressions, of which the first alternative that matches counts. Here each
//! alternative is a few lines, in the same order; there is nothing that goes back and forth, so that no text takes
//! longer than its length.

/// What the expressions tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Letters: capitals (`Lu`, `Lt`), small ones (`Ll`), and those that are neither (`Lm`, `Lo`).
    Capital,
    Small,
    Letter,
    /// What is put onto letters (`M`).
    Mark,
    /// `N`.
    Number,
    /// `\r` and `\n`.
    Newline,
    /// Other white space.
    Space,
    Other,
}

use Class::{Capital, Letter, Mark, Newline, Number, Other, Small, Space};

const CLASSES: [Class; 8] = [Capital, Small, Letter, Mark, Number, Newline, Space, Other];
/// Where the classes of characters change: the first character in three bytes, and the class in one.
const CHANGES: &[u8] = include_bytes!("data/classes");
/// Characters whose class is looked up at once; others are rare.
const DIRECT: usize = 0x1_0000;

/// The class of every character.
#[derive(Debug)]
pub(super) struct Characters {
    direct: Box<[Class]>,
}

impl Characters {
    pub(super) fn new() -> Self {
        let mut direct = vec![Other; DIRECT].into_boxed_slice();
        for change in CHANGES.chunks_exact(4) {
            let (first, class) = read(change);
            if let Some(rest) = direct.get_mut(first as usize..) {
                rest.fill(class);
            }
        }
        Self { direct }
    }

    #[inline]
    fn class(&self, character: char) -> Class {
        let code = character as u32;
        self.direct.get(code as usize).copied().unwrap_or_else(|| {
            let changes = CHANGES.as_chunks::<4>().0;
            let at = changes.partition_point(|change| read(change).0 <= code);
            changes
                .get(at.wrapping_sub(1))
                .map_or(Other, |change| read(change).1)
        })
    }

    /// The length of the first piece of a text, by the expression of `o200k`.
    #[inline]
    pub(super) fn o200k_piece(&self, text: &str) -> usize {
        let Some(first) = text.chars().next() else {
            return 0;
        };
        let class = self.class(first);
        let word = match class {
            Capital | Small | Letter => self.cased_word(text),
            Number | Newline => None,
            // What stands before a word belongs to it, unless it is a mark that makes a word itself.
            Mark => self
                .prefixed(text, first, |rest| self.word_with_small(rest))
                .or_else(|| self.word_with_small(text))
                .or_else(|| self.prefixed(text, first, |rest| self.capitals(rest))),
            Space | Other => self.prefixed(text, first, |rest| self.cased_word(rest)),
        };
        match word {
            Some(length) => length + contraction(&text[length..]),
            None if class == Number => self.digits(text),
            None => self
                .symbols(text, first, |byte| matches!(byte, b'\r' | b'\n' | b'/'))
                .unwrap_or_else(|| self.white(text, false)),
        }
    }

    /// The length of the first piece of a text, by the expression of `cl100k`.
    #[inline]
    pub(super) fn cl100k_piece(&self, text: &str) -> usize {
        let Some(first) = text.chars().next() else {
            return 0;
        };
        let short = contraction(text);
        if short > 0 {
            return short;
        }
        let letters = |rest: &str| {
            let length = self.run(rest, |class| matches!(class, Capital | Small | Letter));
            (length > 0).then_some(length)
        };
        let class = self.class(first);
        let word = match class {
            Capital | Small | Letter => letters(text),
            Number | Newline => None,
            Mark | Space | Other => self.prefixed(text, first, letters),
        };
        match word {
            Some(length) => length,
            None if class == Number => self.digits(text),
            None => self
                .symbols(text, first, |byte| matches!(byte, b'\r' | b'\n'))
                .unwrap_or_else(|| self.white(text, true)),
        }
    }

    fn prefixed(
        &self,
        text: &str,
        first: char,
        word: impl Fn(&str) -> Option<usize>,
    ) -> Option<usize> {
        let length = first.len_utf8();
        word(&text[length..]).map(|word| length + word)
    }

    /// A word: capitals and then small letters, or capitals alone.
    #[inline]
    fn cased_word(&self, text: &str) -> Option<usize> {
        self.word_with_small(text).or_else(|| self.capitals(text))
    }

    /// `[Lu Lt Lm Lo M]* [Ll Lm Lo M]+`: letters that are neither may stand in for small ones.
    #[inline]
    fn word_with_small(&self, text: &str) -> Option<usize> {
        let mut at = 0;
        let mut after_neither = None;
        for character in text.chars() {
            match self.class(character) {
                Capital => at += character.len_utf8(),
                Letter | Mark => {
                    at += character.len_utf8();
                    after_neither = Some(at);
                }
                Small => {
                    let small = |class| matches!(class, Small | Letter | Mark);
                    return Some(at + self.run(&text[at..], small));
                }
                Number | Newline | Space | Other => break,
            }
        }
        after_neither
    }

    /// `[Lu Lt Lm Lo M]+`, where no small letter follows, nor a letter that is neither.
    #[inline]
    fn capitals(&self, text: &str) -> Option<usize> {
        let length = self.run(text, |class| class == Capital);
        (length > 0).then_some(length)
    }

    /// `\p{N}{1,3}`
    fn digits(&self, text: &str) -> usize {
        let digits = text.chars().take(3);
        let digits = digits.take_while(|it| self.class(*it) == Number);
        digits.map(char::len_utf8).sum()
    }

    /// ` ?[^\s\p{L}\p{N}]+`, and what may follow it.
    #[inline]
    fn symbols(&self, text: &str, first: char, follows: impl Fn(&u8) -> bool) -> Option<usize> {
        let start = usize::from(first == ' ');
        let symbols = self.run(&text[start..], |class| matches!(class, Mark | Other));
        if symbols == 0 {
            return None;
        }
        let end = start + symbols;
        let rest = &text.as_bytes()[end..];
        Some(end + rest.iter().take_while(|byte| follows(byte)).count())
    }

    /// White space up to its last line's end; or without the last character, which belongs to what follows.
    fn white(&self, text: &str, whole_at_end: bool) -> usize {
        let length = self.run(text, |class| matches!(class, Newline | Space));
        let white = &text[..length];
        let at_end = length == text.len();
        if at_end && whole_at_end {
            return length;
        }
        if let Some(newline) = white.rfind(['\r', '\n']) {
            return newline + 1;
        }
        let last = white.chars().next_back().map_or(0, char::len_utf8);
        match length - last {
            0 => length,
            _ if at_end => length,
            shorter => shorter,
        }
    }

    /// The length of a run of characters.
    #[inline]
    fn run(&self, text: &str, of: impl Fn(Class) -> bool) -> usize {
        let end = text.char_indices().find(|(_, it)| !of(self.class(*it)));
        end.map_or(text.len(), |(at, _)| at)
    }
}

/// The length of what is short for a word, such as `'s` or `'ll`, in whatever case. Unicode counts the long s too.
#[inline]
fn contraction(text: &str) -> usize {
    let Some(rest) = text.strip_prefix('\'') else {
        return 0;
    };
    let mut bytes = rest.bytes().map(|byte| byte.to_ascii_lowercase());
    match (bytes.next(), bytes.next()) {
        (Some(b's' | b't' | b'm' | b'd'), _) => 2,
        (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => 3,
        _ if rest.starts_with('ſ') => 1 + 'ſ'.len_utf8(),
        _ => 0,
    }
}

fn read(change: &[u8]) -> (u32, Class) {
    let at = |index: usize| u32::from(change.get(index).copied().unwrap_or(0));
    let first = at(0) | at(1) << 8 | at(2) << 16;
    (first, CLASSES.get(at(3) as usize).copied().unwrap_or(Other))
}
