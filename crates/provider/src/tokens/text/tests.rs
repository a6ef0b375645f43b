use proptest::prelude::*;

use super::*;

/// The word that the letters at the beginning make up, taken one by one.
fn by_letters(text: &str) -> Word {
    let mut word = Word::default();
    let mut rest = text.as_bytes();
    while let Some(letter) = Letter::read(rest) {
        if !word.add(letter) {
            break;
        }
        rest = &rest[letter.length()..];
    }
    word
}

#[track_caller]
fn check(text: &str) {
    let plain = Word::plain(text.as_bytes()).unwrap();
    let other = by_letters(text);
    assert_eq!(plain.length as u64, other.letters, "{text:?}");
    assert_eq!(plain.price(), other.price(), "{text:?}");
}

#[test]
fn plain_words_cost_the_same_by_both_ways() {
    let words = [
        "a",
        "the",
        "camelCase",
        "HTTPServer",
        "XQJ",
        "aaaa",
        "AAAAb",
        "qzxv",
        "word9",
        "it's",
    ];
    for word in words {
        check(word);
    }
}

#[test]
fn a_mark_within_the_word_is_left_to_the_other_way() {
    assert_eq!(Word::plain("café".as_bytes()), None);
    assert_ne!(Word::plain("cafe, né".as_bytes()), None);
}

proptest! {
    #[test]
    fn any_plain_word_costs_the_same_by_both_ways(word in "[a-zA-Z]{1,40}( .{0,3})?") {
        check(&word);
    }
}
