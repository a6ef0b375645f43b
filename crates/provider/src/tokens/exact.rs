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

mod joints;
mod merge;
mod split;
mod vocabulary;

use merge::Joiner;
use split::Characters;
use vocabulary::Vocabulary;

/// Bytes of a text that are joined to tokens; words beyond that are estimated, if they are no tokens as a whole. Joining
/// takes up to a tenth of a microsecond a byte, and nobody's text may hold up other people's requests for long.
const JOINED_BYTES: usize = 1 << 17;
/// Pieces longer than this take longer for each byte: people and programs hardly write such words.
const LONG: usize = merge::SHORT;
/// How many bytes each of theirs counts as.
const LONG_FACTOR: usize = 4;

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
    /// Makes ready to count: about 15 ms, and 5.5 MB of memory (`Cl100k`: 3 MB) beside those parts of the program's own
    /// file that are read.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            characters: Characters::new(),
            vocabulary: match encoding {
                Encoding::O200k => Vocabulary::new(
                    include_bytes!("exact/data/o200k.vocabulary"),
                    include_bytes!("exact/data/o200k.cuts"),
                ),
                Encoding::Cl100k => Vocabulary::new(
                    include_bytes!("exact/data/cl100k.vocabulary"),
                    include_bytes!("exact/data/cl100k.cuts"),
                ),
            },
        }
    }

    /// Returns its encoding.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Counts the tokens of a text. Marks that stand for the frame of a conversation are text like any other. Where a text
    /// holds more than 128 KiB of words that are no tokens as a whole, the rest of them is estimated.
    #[must_use]
    pub fn count(&self, text: &str) -> u64 {
        let mut rest = text;
        let mut tokens = 0;
        let mut left = JOINED_BYTES;
        let mut joiner = Joiner::new();
        while !rest.is_empty() {
            let length = match self.encoding {
                Encoding::O200k => self.characters.o200k_piece(rest),
                Encoding::Cl100k => self.characters.cl100k_piece(rest),
            };
            // Pieces end between characters.
            let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            tokens += self.count_piece(piece, (&mut joiner, &mut left));
            rest = after;
        }
        tokens
    }

    /// Counts the tokens of a piece, while `left` lasts.
    fn count_piece(&self, piece: &str, (joiner, left): (&mut Joiner, &mut usize)) -> u64 {
        let bytes = piece.as_bytes();
        if self.vocabulary.rank(bytes).is_some() {
            return 1;
        }
        let factor = if bytes.len() > LONG { LONG_FACTOR } else { 1 };
        match left.checked_sub(factor * bytes.len()) {
            Some(rest) => *left = rest,
            None => return super::count_text(piece),
        }
        joiner.count(&self.vocabulary, bytes)
    }
}

#[cfg(test)]
mod tests;
