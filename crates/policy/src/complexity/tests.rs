use proptest::prelude::*;

use super::score;

const PROMPTS: &str = include_str!("../../examples/complexity/prompts.txt");

fn of(text: &str) -> f64 {
    score([[text]])
}

#[test]
fn hard_prompts_score_above_easy_ones() {
    const THRESHOLD: f64 = 0.1;
    let (mut right, mut all) = ([0, 0], [0, 0]);
    for (kind, text) in PROMPTS.lines().filter_map(|line| line.split_once('\t')) {
        let is_hard = kind == "hard";
        let found = of(&text.replace("\\n", "\n")) >= THRESHOLD;
        all[usize::from(is_hard)] += 1;
        right[usize::from(is_hard)] += i32::from(found == is_hard);
    }
    // What was measured, with some room: a change of the score that loses more shows here.
    assert!(right[0] * 100 >= all[0] * 95, "easy: {right:?} of {all:?}");
    assert!(right[1] * 100 >= all[1] * 80, "hard: {right:?} of {all:?}");
}

#[test]
fn what_was_asked_before_counts_less_the_longer_ago_it_was() {
    let hard = "Prove that the algorithm is correct, and derive its complexity.";
    let short = "and why?";
    let asked_before = |ago: usize| {
        let mut messages = vec![[short]; ago];
        messages.push([hard]);
        score(messages)
    };
    let scores: Vec<_> = (0..6).map(asked_before).collect();
    assert_eq!(scores[0], of(hard));
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert!(scores[1] > of(short) && scores[3] < scores[0], "{scores:?}");
    // Beyond the last few nobody looks.
    assert_eq!(scores[4], of(short));
}

#[test]
fn what_is_pasted_in_is_length_only() {
    let ask = "Summarize the following text. ";
    let pasted = "The harbour lay quiet, and two boats came in with the tide. ".repeat(200);
    let with = |inside: &str| of(&format!("{ask}{pasted}{inside}{pasted}"));
    assert_eq!(
        with(&"x".repeat(600)),
        with(&"prove this theorem ".repeat(32)[..600])
    );
    assert!(with("") < 0.2, "{}", with(""));
}

#[test]
fn one_sign_is_not_enough() {
    let shouted = of(&"prove ".repeat(500));
    assert!(shouted < 0.9, "{shouted}");
    assert_eq!(of(""), 0.0);
    assert_eq!(score::<[&str; 1]>([]), 0.0);
}

proptest! {
    #[test]
    fn any_text_has_a_score_and_always_the_same(text in "\\PC{0,400}", texts in proptest::collection::vec("\\PC{0,40}", 0..5)) {
        let scored = of(&text.repeat(9));
        prop_assert!((0.0..1.0).contains(&scored));
        prop_assert_eq!(scored.to_bits(), of(&text.repeat(9)).to_bits());
        prop_assert!((0.0..1.0).contains(&score(texts.iter().map(|it| [it.as_str()]))));
    }
}
