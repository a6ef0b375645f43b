use std::time::Duration;

use proptest::prelude::*;

use super::{Allowance, Load, Word, Words};

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn requests(requests: u64) -> Load {
    Load {
        requests,
        ..Load::default()
    }
}

fn word(limit: Option<u64>, remaining: u64, reset: f64) -> Words {
    let reset = at(reset);
    Words {
        requests: Some(Word {
            limit,
            remaining,
            reset,
        }),
        ..Words::default()
    }
}

#[test]
fn nothing_is_known_of_a_target_that_says_nothing() {
    let mut it = Allowance::default();
    assert_eq!(it.wait(requests(1), at(0.0)), None);
    let mark = it.begin(requests(1), at(0.0));
    it.told(&mark, &Words::default(), at(0.1));
    assert_eq!(it.wait(requests(u64::MAX), at(0.2)), None);
}

#[test]
fn what_was_sent_after_the_attempt_is_taken_off_its_word() {
    let mut it = Allowance::default();
    let first = it.begin(requests(1), at(0.0));
    // Three more are on their way when the first is answered.
    for _ in 0..3 {
        it.begin(requests(1), at(0.1));
    }
    it.told(&first, &word(None, 4, 10.0), at(1.0));
    assert_eq!(it.wait(requests(1), at(1.0)), None);
    assert_eq!(it.wait(requests(2), at(1.0)), Some(at(10.0)));
    it.begin(requests(1), at(1.0));
    assert_eq!(it.wait(requests(1), at(2.0)), Some(at(9.0)));
    assert_eq!(it.wait(requests(1), at(11.0)), None);
}

#[test]
fn what_is_used_comes_back_steadily_where_the_limit_is_told() {
    let mut it = Allowance::default();
    let mark = it.begin(requests(1), at(0.0));
    // A hundred a minute, all used: one comes back every 0.6 s.
    it.told(&mark, &word(Some(100), 0, 60.0), at(0.0));
    assert_eq!(it.wait(requests(1), at(0.0)), Some(at(0.6)));
    assert_eq!(it.wait(requests(10), at(1.0)), Some(at(5.0)));
    assert_eq!(it.wait(requests(1), at(0.6)), None);
}

#[test]
fn the_word_on_the_later_attempt_counts_whichever_comes_first() {
    let mut it = Allowance::default();
    let early = it.begin(requests(1), at(0.0));
    let late = it.begin(requests(1), at(0.1));
    it.told(&late, &word(None, 0, 5.0), at(1.0));
    it.told(&early, &word(None, 9, 5.0), at(2.0));
    assert_eq!(it.wait(requests(1), at(2.0)), Some(at(4.0)));
}

#[test]
fn no_word_counts_for_longer_than_a_minute() {
    let mut it = Allowance::default();
    let mark = it.begin(requests(1), at(0.0));
    it.told(&mark, &word(None, 0, 86_400.0), at(0.0));
    assert_eq!(it.wait(requests(1), at(0.0)), Some(at(60.0)));
    assert_eq!(it.wait(requests(1), at(60.0)), None);
}

#[test]
fn the_longest_wait_of_all_units_counts() {
    let mut it = Allowance::default();
    let load = Load {
        requests: 1,
        tokens: 100,
        input_tokens: 60,
        output_tokens: 40,
    };
    let mark = it.begin(load, at(0.0));
    let say = |remaining, reset| {
        Some(Word {
            limit: None,
            remaining,
            reset: at(reset),
        })
    };
    let words = Words {
        requests: say(0, 1.0),
        tokens: say(99, 3.0),
        input_tokens: say(60, 9.0),
        output_tokens: None,
    };
    it.told(&mark, &words, at(0.0));
    assert_eq!(it.wait(load, at(0.0)), Some(at(3.0)));
    // A hundredth is left of the one that tells its limit.
    let mark = it.begin(load, at(0.0));
    it.told(&mark, &word(Some(100), 1, 9.0), at(0.0));
    assert!((it.left(at(1.0)) - 0.01).abs() < 1e-9);
    assert!((it.left(at(9.0)) - 1.0).abs() < 1e-9);
}

proptest! {
    /// Against a token bucket that says how it stands at every request, a lone sender that obeys is never refused.
    #[test]
    fn a_bucket_that_speaks_never_refuses_who_listens(
        limit in 1..50u64, per_s in 1..50u64, gaps in prop::collection::vec(0..200u64, 1..200),
    ) {
        let (limit_f, rate) = (limit as f64, per_s as f64);
        let mut it = Allowance::default();
        let (mut level, mut now) = (limit_f, 0.0);
        for gap in gaps {
            let gap = gap as f64 / 1000.0;
            now += gap;
            level = (level + gap * rate).min(limit_f);
            if it.wait(requests(1), at(now)).is_some() {
                continue;
            }
            prop_assert!(level >= 1.0 - 1e-6, "refused at {now} with {level}");
            level -= 1.0;
            let mark = it.begin(requests(1), at(now));
            let reset = (limit_f - level) / rate;
            it.told(&mark, &word(Some(limit), level as u64, reset), at(now));
        }
    }
}
