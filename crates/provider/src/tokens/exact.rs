//! Counting tokens as `OpenAI`'s models do, exactly.
//!
//! Their encoders cut a text into pieces (`split`) and join the bytes of each piece as far as a vocabulary goes: always
//! the pair whose joint token has the lowest number, the first of them where it occurs more than once (Sennrich et al.,
//! "Neural Machine Translation of Rare Words with Subword Units", 2016). Most pieces are tokens as a whole.
//!
//! The vocabularies are those that `OpenAI` publishes with [tiktoken] (MIT), rewritten to lengths and bytes; a test
//! restores the published files and compares their digests. The table of characters is of Unicode 16, from the crate
//! `regex`.
//!
//! [tiktoken]: https://github.com/openai/tiktoken

mod merge;
mod split;
mod vocabulary;

use split::Characters;
use vocabulary::Vocabulary;

/// Longest piece that is always counted exactly: words and rows of signs that people and programs write are shorter.
const LONG: usize = 256;
/// Bytes of longer pieces in one text that are counted exactly; the others are estimated. To join the bytes of an endless
/// row of letters takes about a microsecond for each, and nobody's text may hold up other people's requests for long.
const LONG_BYTES: usize = 1 << 15;

/// An encoder of `OpenAI`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Of the models since GPT-4o.
    O200k,
    /// Of GPT-3.5 and GPT-4, and of the models for embeddings.
    Cl100k,
}

/// Families of models by how their names begin. The first that fits counts.
const FAMILIES: [(&str, Encoding); 12] = [
    ("gpt-4o", Encoding::O200k),
    ("gpt-4.", Encoding::O200k),
    ("gpt-4", Encoding::Cl100k),
    ("gpt-3.5", Encoding::Cl100k),
    ("gpt-35", Encoding::Cl100k),
    ("text-embedding-", Encoding::Cl100k),
    ("gpt-", Encoding::O200k),
    ("chatgpt-", Encoding::O200k),
    ("codex-", Encoding::O200k),
    ("o1", Encoding::O200k),
    ("o3", Encoding::O200k),
    ("o4", Encoding::O200k),
];

impl Encoding {
    /// Returns the encoding of a model by its maker's name for it. None where it is not one of `OpenAI`'s, or not known
    /// to encode text in a published way.
    #[must_use]
    pub fn of_model(name: &str) -> Option<Self> {
        let name = name.strip_prefix("ft:").unwrap_or(name);
        let name = name.rsplit_once("openai.").map_or(name, |(_, name)| name);
        let begins = |(start, _): &&(&str, Self)| name.starts_with(start);
        FAMILIES.iter().find(begins).map(|(_, encoding)| *encoding)
    }
}

/// Counts the tokens of one encoding.
#[derive(Debug)]
pub struct Tokeniser {
    encoding: Encoding,
    characters: Characters,
    vocabulary: Vocabulary,
}

impl Tokeniser {
    /// Makes ready to count: about 10 ms, and 3 MB of memory (`Cl100k`: 2 MB) beside those parts of the program's own
    /// file that are read.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            characters: Characters::new(),
            vocabulary: Vocabulary::new(match encoding {
                Encoding::O200k => include_bytes!("exact/data/o200k.vocabulary"),
                Encoding::Cl100k => include_bytes!("exact/data/cl100k.vocabulary"),
            }),
        }
    }

    /// Returns its encoding.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Counts the tokens of a text. Marks that stand for the frame of a conversation are text like any other. Where a text
    /// holds more than 32 KiB of words longer than 256 bytes, the rest of them is estimated.
    #[must_use]
    pub fn count(&self, text: &str) -> u64 {
        let mut rest = text;
        let mut tokens = 0;
        let mut left = LONG_BYTES;
        while !rest.is_empty() {
            let length = match self.encoding {
                Encoding::O200k => self.characters.o200k_piece(rest),
                Encoding::Cl100k => self.characters.cl100k_piece(rest),
            };
            // Pieces end between characters.
            let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            tokens += self.count_piece(piece, &mut left);
            rest = after;
        }
        tokens
    }

    /// Counts the tokens of a piece, while `left` lasts.
    fn count_piece(&self, piece: &str, left: &mut usize) -> u64 {
        let bytes = piece.as_bytes();
        if self.vocabulary.rank(bytes).is_some() {
            return 1;
        }
        if bytes.len() > LONG {
            match left.checked_sub(bytes.len()) {
                Some(rest) => *left = rest,
                None => return super::count_text(piece),
            }
        }
        merge::count(&self.vocabulary, bytes)
    }
}

#[cfg(test)]
mod tests;
