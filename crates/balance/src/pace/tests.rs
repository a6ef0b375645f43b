use std::time::Duration;

use super::Pace;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[track_caller]
fn close(left: Option<f64>, right: f64) {
    let left = left.unwrap();
    assert!((left - right).abs() < right * 0.02, "{left} is not {right}");
}

#[test]
fn a_long_answer_is_not_a_slow_target() {
    let (mut brief, mut long) = (Pace::default(), Pace::default());
    brief.first(ms(200), 1, ms(200));
    brief.tokens(ms(100), 10, ms(300));
    long.first(ms(200), 1, ms(200));
    long.tokens(ms(10_000), 1_000, ms(10_200));
    close(brief.predict(100), 1.2);
    close(long.predict(100), 1.2);
}

#[test]
fn a_slower_sample_counts_at_once_and_a_faster_one_by_time() {
    let mut it = Pace::default();
    it.first(ms(100), 1, ms(0));
    it.first(ms(500), 1, ms(1_000));
    close(it.predict(0), 0.5);
    it.first(ms(100), 1, ms(1_100));
    close(it.predict(0), 0.5);
    // After the decay a third of the difference is left.
    it.first(ms(100), 1, ms(11_100));
    close(it.predict(0), 0.1 + 0.4 * (-1.0_f64).exp());
}

#[test]
fn whole_answers_of_any_length_tell_the_same_of_a_target() {
    // 300 ms to the first token and 10 ms for each: what is not known at first is learned from streams.
    let mut it = Pace::default();
    it.first(ms(300), 1, ms(0));
    it.tokens(ms(500), 50, ms(500));
    for tokens in [1, 10, 100, 1_000] {
        it.whole(ms(300 + 10 * tokens), tokens, 1, ms(1_000 + tokens));
        close(it.predict(100), 1.3);
    }
}

#[test]
fn a_silent_target_is_at_least_as_slow_as_it_was_silent() {
    let mut it = Pace::default();
    it.first(ms(100), 1, ms(100));
    it.silent(ms(50), ms(200));
    close(it.predict(0), 0.1);
    it.silent(ms(5_000), ms(5_200));
    close(it.predict(0), 5.0);
}

#[test]
fn the_unknown_and_the_long_idle_are_asked_by_one_request_at_a_time() {
    let unknown = Pace::default();
    let mut fast = Pace::default();
    fast.first(ms(100), 4, ms(0));
    let known = fast.rank(10, 4, ms(0));
    assert!(unknown.rank(10, 0, ms(0)) < known);
    assert!(unknown.rank(10, 1, ms(0)) > known);

    let mut slow = Pace::default();
    slow.first(ms(500), 1, ms(0));
    assert!(slow.rank(10, 0, ms(10_000)) > known);
    assert!(slow.rank(10, 0, ms(17_000)) < known);
    assert!(slow.rank(10, 1, ms(17_000)) > known);
}

#[test]
fn more_to_do_than_when_it_was_measured_counts_as_slower() {
    let mut it = Pace::default();
    it.first(ms(100), 9, ms(0));
    close(Some(it.rank(0, 9, ms(0))), 0.1);
    close(Some(it.rank(0, 1, ms(0))), 0.1);
    close(Some(it.rank(0, 39, ms(0))), 0.2);
}
