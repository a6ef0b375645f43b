use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::vocabulary::Vocabulary;
use super::{Encoding, JOINED_BYTES, LONG_FACTOR, Tokeniser, merge};

/// Texts, and how many tokens `tiktoken` finds in them: by `o200k_base`, and by `cl100k_base`.
const COUNTED: &[(&str, u64, u64)] = &[
    ("", 0, 0),
    ("Hello, world!", 4, 4),
    (
        "The quick brown fox doesn't jump over 1234567 lazy dogs.",
        14,
        15,
    ),
    ("It'S I'LL we'Re 'ſ o'clock", 10, 12),
    ("fn main() {\n    println!(\"{}\", a/b);\r\n\r\n}\n", 11, 11),
    ("  leading, trailing  \n\n  ", 6, 6),
    ("\t\ttabs\u{a0}and\u{3000}wide\u{2028}spaces \n x", 11, 12),
    ("Straße ÉCOLE café cafe\u{301} ǅungla", 13, 13),
    ("人工智能正在改变世界。", 6, 12),
    ("人工知能は世界を変えている。", 10, 16),
    ("인공지능이 세상을 바꾸고 있다", 10, 15),
    ("الذكاء الاصطناعي يغير العالم", 10, 19),
    (
        "क\u{943}त\u{94d}रिम ब\u{941}द\u{94d}धिमत\u{94d}ता द\u{941}निया बदल रही ह\u{948}",
        11,
        39,
    ),
    ("😀😀👨\u{200d}👩\u{200d}👧\u{200d}👦 🇩🇪", 17, 28),
    ("{\"key\": [1, 2.5e10, null], \"ü\": \"\\u00fc\"}", 23, 23),
    ("https://example.com/a/b?c=d&e=f//", 12, 12),
    ("aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQgdGV4dA==", 27, 32),
    ("!!!!!!!!????----====////\n\n", 6, 6),
    ("½ ٣٤٥٦ Ⅷ 12345", 12, 16),
    ("\u{301}\u{301}ABC abcDEFghi ªº ʰx", 13, 13),
    ("<|endoftext|> <|im_start|>", 13, 12),
    ("𝐀𝐁 𐐀𐐨", 13, 15),
    (
        "wordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordwordword",
        40,
        40,
    ),
];

fn both() -> [Tokeniser; 2] {
    [Encoding::O200k, Encoding::Cl100k].map(Tokeniser::new)
}

/// The digests are those by which `tiktoken` itself knows the files.
#[test]
fn the_vocabularies_are_the_published_ones() {
    let digests = [
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ];
    for (tokeniser, expected) in both().iter().zip(digests) {
        let mut file = String::new();
        for (rank, token) in tokeniser.vocabulary.tokens().enumerate() {
            writeln!(file, "{} {rank}", STANDARD.encode(token)).unwrap();
            assert_eq!(tokeniser.vocabulary.rank(token), Some(rank as u32));
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, file.as_bytes());
        let digest = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        assert_eq!(digest.collect::<String>(), expected);
    }
}

#[test]
fn counts_as_the_reference_does() {
    let [o200k, cl100k] = both();
    for (text, first, second) in COUNTED {
        assert_eq!(
            (o200k.count(text), cl100k.count(text)),
            (*first, *second),
            "{text:?}"
        );
    }
}

#[test]
fn models_are_known_by_their_names() {
    let of = Encoding::of_model;
    for name in [
        "gpt-4o",
        "gpt-4.1-mini",
        "gpt-6-sol",
        "o3",
        "chatgpt-4o-latest",
        "ft:gpt-4o-2024-08-06:x",
        "openai.gpt-oss-120b-1:0",
    ] {
        assert_eq!(of(name), Some(Encoding::O200k), "{name}");
    }
    for name in [
        "gpt-4",
        "gpt-4-turbo",
        "gpt-3.5-turbo",
        "gpt-35-turbo",
        "text-embedding-3-small",
    ] {
        assert_eq!(of(name), Some(Encoding::Cl100k), "{name}");
    }
    for name in [
        "",
        "claude-opus-5",
        "gemini-2.5-pro",
        "my-gpt-4o",
        "llama-3",
    ] {
        assert_eq!(of(name), None, "{name}");
    }
}

#[test]
fn text_that_nobody_writes_is_estimated_in_the_end() {
    let [o200k, _] = both();
    let most = JOINED_BYTES / LONG_FACTOR;
    let row = |length: usize| o200k.count(&"a".repeat(length));
    assert_eq!(row(most), most as u64 / 8);
    // The estimate errs high, and knows of no joint token longer than a word.
    let estimated = row(most + 1);
    assert!(
        estimated > most as u64 / 8 && estimated <= most as u64 + 1,
        "{estimated}"
    );
}

/// The rule itself, and nothing to make it fast: of the joints of neighbours, the first of those with the lowest rank.
/// Gives where the parts end that are left, and where the parts of the last joint met.
fn joined(vocabulary: &Vocabulary, piece: &[u8]) -> (Vec<usize>, usize) {
    let mut ends: Vec<usize> = (1..=piece.len()).collect();
    let mut met = 0;
    loop {
        let start = |at: usize| at.checked_sub(1).map_or(0, |before: usize| ends[before]);
        let pairs = (0..ends.len().saturating_sub(1))
            .filter_map(|at| Some((vocabulary.rank(&piece[start(at)..ends[at + 1]])?, at)));
        let Some((_, at)) = pairs.min() else {
            return (ends, met);
        };
        met = ends.remove(at);
    }
}

#[test]
fn every_token_is_joined_of_the_two_that_the_rule_leaves_last() {
    let cuts: [&[u8]; 2] = [
        include_bytes!("data/o200k.cuts"),
        include_bytes!("data/cl100k.cuts"),
    ];
    for (tokeniser, cuts) in both().iter().zip(cuts) {
        let vocabulary = &tokeniser.vocabulary;
        assert_eq!(cuts.len(), vocabulary.tokens().count());
        for (token, cut) in vocabulary.tokens().zip(cuts) {
            let (ends, met) = joined(vocabulary, token);
            let expected = if ends.len() == 1 { met } else { 0 };
            assert_eq!(usize::from(*cut), expected, "{token:?}");
            if expected > 0 {
                let (left, right) = token.split_at(expected);
                let [left, right, whole] =
                    [left, right, token].map(|it| vocabulary.rank(it).unwrap());
                assert_eq!(vocabulary.joint(left, right), whole, "{token:?}");
            }
        }
    }
}

#[test]
fn pieces_are_joined_by_the_rule_whatever_their_length() {
    let both = both();
    let any = prop::collection::vec(any::<u8>(), 1..80);
    proptest!(|(
        text in "\\PC{0,80}",
        letters in "[a-d]{1,64}",
        word in "[a-zA-Z]{1,256}",
        ideographs in "[\u{4e00}-\u{9fff}]{1,40}",
        bytes in any,
    )| {
        for tokeniser in &both {
            let tokens = tokeniser.count(&text);
            prop_assert!(tokens <= text.len() as u64);
            prop_assert_eq!(tokens == 0, text.is_empty());
            let pieces = [letters.as_bytes(), word.as_bytes(), ideographs.as_bytes(), &bytes];
            for piece in pieces {
                let expected = joined(&tokeniser.vocabulary, piece).0.len() as u64;
                let counted = merge::both_ways(&tokeniser.vocabulary, piece);
                prop_assert_eq!(counted, (expected, expected), "{:?}", piece);
            }
        }
    });
}
