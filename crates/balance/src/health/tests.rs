use std::time::Duration;

use proptest::prelude::*;

use super::{Condition, Health, HealthConfig, Return, Standing};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A target's health with its configuration.
#[derive(Default)]
struct Patient {
    config: HealthConfig,
    health: Health,
}

impl Patient {
    fn fails(&mut self, now: Duration) {
        let attempt = self.health.begin(now);
        self.health.failure(&self.config, attempt, now);
    }

    fn succeeds(&mut self, now: Duration) {
        let attempt = self.health.begin(now);
        self.health.success(&self.config, attempt, now);
    }

    fn cools(&mut self, wait: Option<Duration>, now: Duration) {
        self.health
            .cool_down(&self.config, (wait, Return::Whole), now);
    }

    fn standing(&self, now: Duration) -> Standing {
        self.health.condition(&self.config, now).standing()
    }

    fn share(&self, now: Duration) -> f64 {
        self.health.condition(&self.config, now).share()
    }

    /// Fails until ejected, and says for how many milliseconds that is.
    fn eject(&mut self, now: Duration) -> u64 {
        for _ in 0..3 {
            assert_eq!(self.standing(now), Standing::Ready);
            self.fails(now);
        }
        let lasts = |millis: &u64| self.standing(now + ms(*millis)) == Standing::Ejected;
        (0..60_000).take_while(lasts).count() as u64
    }
}

#[test]
fn failures_in_a_row_eject_and_each_failed_probe_for_twice_as_long() {
    let mut it = Patient::default();
    let mut now = ms(10);
    assert_eq!(it.eject(now), 1_000);
    now += ms(1_000);
    for seconds in [2, 4, 8, 16, 30, 30] {
        it.fails(now);
        let until = now + Duration::from_secs(seconds);
        assert_eq!(it.standing(until - ms(1)), Standing::Ejected, "{seconds}");
        assert_eq!(it.standing(until), Standing::Ready, "{seconds}");
        now = until;
    }
}

#[test]
fn a_quarter_of_ten_attempts_ejects_and_of_nine_does_not() {
    // Never two failures in a row, so that only their share counts.
    for (outcomes, expect) in [
        ("fssssssss", Standing::Ready),
        ("fsssfsssfs", Standing::Ready),
        ("fssfsssfsf", Standing::Ejected),
        ("ssssssssssssfsssf", Standing::Ready),
        ("fssfssfss", Standing::Ready),
    ] {
        let mut it = Patient::default();
        let mut now = ms(0);
        for outcome in outcomes.chars() {
            now += ms(100);
            match outcome {
                'f' => it.fails(now),
                _ => it.succeeds(now),
            }
        }
        assert_eq!(it.standing(now), expect, "{outcomes}");
    }
}

#[test]
fn failures_of_long_ago_count_no_more() {
    let mut it = Patient::default();
    for _ in 0..4 {
        it.fails(ms(0));
        it.succeeds(ms(0));
    }
    for _ in 0..9 {
        it.succeeds(ms(10_000));
    }
    it.fails(ms(10_000));
    assert_eq!(it.standing(ms(10_000)), Standing::Ready);
}

#[test]
fn attempts_under_way_at_the_ejection_say_nothing_about_it() {
    let mut it = Patient::default();
    let (early, late) = (it.health.begin(ms(0)), it.health.begin(ms(0)));
    assert_eq!(it.eject(ms(1)), 1_000);
    it.health.failure(&it.config, early, ms(2));
    it.health.success(&it.config, late, ms(3));
    assert_eq!(it.standing(ms(1_000)), Standing::Ejected);
    assert_eq!(it.standing(ms(1_001)), Standing::Ready);
}

#[test]
fn one_probe_at_a_time_and_two_of_them_bring_it_back_gradually() {
    let mut it = Patient::default();
    it.eject(ms(0));
    let probe = it.health.begin(ms(1_000));
    assert_eq!(it.standing(ms(1_000)), Standing::Ejected);
    it.health.success(&it.config, probe, ms(1_200));
    assert_eq!(it.standing(ms(1_200)), Standing::Ready);
    let probe = it.health.begin(ms(1_200));
    assert_eq!(it.standing(ms(1_200)), Standing::Ejected);
    it.health.success(&it.config, probe, ms(2_000));
    for (after, share) in [(0, 0.1), (1_000, 0.1), (5_000, 0.5), (10_000, 1.0)] {
        let now = ms(2_000 + after);
        assert_eq!(it.standing(now), Standing::Ready);
        assert!((it.share(now) - share).abs() < 1e-9, "{after}");
    }
}

#[test]
fn a_probe_that_nobody_waited_for_is_handed_back() {
    let mut it = Patient::default();
    it.eject(ms(0));
    let probe = it.health.begin(ms(1_000));
    assert_eq!(it.standing(ms(1_500)), Standing::Ejected);
    it.health.release(probe);
    assert_eq!(it.standing(ms(1_500)), Standing::Ready);
}

#[test]
fn who_is_asked_within_an_ejection_for_want_of_others_comes_back_by_success_only() {
    let mut it = Patient::default();
    it.eject(ms(0));
    for _ in 0..10 {
        it.fails(ms(500));
    }
    assert_eq!(it.standing(ms(999)), Standing::Ejected);
    it.succeeds(ms(600));
    assert_eq!(it.standing(ms(600)), Standing::Ejected);
    it.succeeds(ms(601));
    assert_eq!(it.standing(ms(601)), Standing::Ready);
}

#[test]
fn growth_is_forgotten_by_and_by() {
    for (well_for, expect) in [(0, 2_000), (9_000, 2_000), (10_000, 1_000)] {
        let mut it = Patient::default();
        it.eject(ms(0));
        it.succeeds(ms(1_000));
        it.succeeds(ms(1_000));
        assert_eq!(it.eject(ms(1_000 + well_for)), expect, "{well_for}");
    }
}

#[test]
fn cool_down_lasts_as_asked_within_bounds_and_outlives_a_success() {
    for (wait, lasts) in [
        (Some(250), 250),
        (None, 3_000),
        (Some(3_600_000), 60_000),
        (Some(0), 0),
    ] {
        let mut it = Patient::default();
        let early = it.health.begin(ms(50));
        it.cools(wait.map(ms), ms(100));
        it.health.success(&it.config, early, ms(100));
        if lasts > 0 {
            assert_eq!(
                it.standing(ms(100 + lasts - 1)),
                Standing::Cooling,
                "{wait:?}"
            );
            assert_eq!(it.health.cooling_for(ms(100)), Some(ms(lasts)));
        }
        // One probe, and everybody after it.
        let now = ms(100 + lasts);
        assert_eq!(it.standing(now), Standing::Ready, "{wait:?}");
        let probe = it.health.begin(now);
        assert_eq!(it.standing(now), Standing::Ejected, "{wait:?}");
        it.health.success(&it.config, probe, now);
        assert_eq!(
            it.health.condition(&it.config, now),
            Condition::Well,
            "{wait:?}"
        );
    }
}

#[test]
fn the_later_deadline_is_kept() {
    let mut it = Patient::default();
    it.cools(Some(ms(1_000)), ms(0));
    it.cools(Some(ms(10)), ms(0));
    assert_eq!(it.health.cooling_for(ms(0)), Some(ms(1_000)));

    let mut it = Patient::default();
    it.eject(ms(0));
    it.cools(Some(ms(100)), ms(0));
    assert_eq!(it.standing(ms(99)), Standing::Cooling);
    assert_eq!(it.standing(ms(999)), Standing::Ejected);
    assert_eq!(it.standing(ms(1_000)), Standing::Ready);
}

#[test]
fn who_is_overloaded_and_says_for_how_long_is_out_for_that_time_at_least() {
    for (wait, lasts) in [(200, 1_000), (8_000, 8_000), (90_000, 60_000)] {
        let mut it = Patient::default();
        it.health.stay_away(&it.config, ms(wait), ms(0));
        assert_eq!(it.standing(ms(lasts - 1)), Standing::Ejected, "{wait}");
        assert_eq!(it.standing(ms(lasts)), Standing::Ready, "{wait}");
        it.health.stay_away(&it.config, ms(10), ms(1));
        assert_eq!(it.standing(ms(lasts - 1)), Standing::Ejected, "{wait}");
    }
}

#[test]
fn a_failure_shortens_no_time_that_was_asked_for() {
    let mut it = Patient::default();
    it.health.stay_away(&it.config, ms(30_000), ms(0));
    let probe = crate::health::Try {
        began: ms(500),
        is_probe: true,
    };
    it.health.failure(&it.config, probe, ms(1_000));
    assert_eq!(it.standing(ms(29_999)), Standing::Ejected);
    assert_eq!(it.standing(ms(30_000)), Standing::Ready);
}

#[test]
fn slow_answers_in_a_row_eject() {
    let mut it = Patient::default();
    for is_slow in [true, true, false, true, true] {
        it.health.compared(&it.config, is_slow, ms(0));
        assert_eq!(it.standing(ms(0)), Standing::Ready);
    }
    it.health.compared(&it.config, true, ms(0));
    assert_eq!(it.standing(ms(0)), Standing::Ejected);
}

#[test]
fn what_others_say_is_decided_by_the_next_attempt_here() {
    let mut it = Patient::default();
    let early = it.health.begin(ms(0));
    assert!(it.health.suspect(Duration::ZERO, ms(10)));
    assert_eq!(
        it.health.away_since(),
        None,
        "it is nobody's word but theirs"
    );
    // One attempt at a time finds out, for a moment.
    assert_eq!(it.standing(ms(10)), Standing::Ready);
    let probe = it.health.begin(ms(20));
    assert_eq!(it.standing(ms(20)), Standing::Ejected);
    assert_eq!(it.standing(ms(3_010)), Standing::Ready);
    // A success clears it at once, be it of an attempt that began before, and for a while.
    it.health.success(&it.config, early, ms(100));
    assert_eq!(it.health.condition(&it.config, ms(100)), Condition::Well);
    assert!(!it.health.suspect(Duration::ZERO, ms(10_099)));
    it.health.failure(&it.config, probe, ms(110));
    assert_eq!(
        it.standing(ms(110)),
        Standing::Ready,
        "one failure is one failure"
    );
    // A single failure is enough where others have seen some.
    assert!(it.health.suspect(Duration::ZERO, ms(10_100)));
    it.fails(ms(10_110));
    assert_eq!(it.standing(ms(11_109)), Standing::Ejected);
    assert_eq!(it.health.away_since(), Some(ms(10_110)));
    // And nothing is added to what is known.
    assert!(!it.health.suspect(Duration::ZERO, ms(10_120)));
    assert_eq!(it.standing(ms(11_110)), Standing::Ready);
}

#[test]
fn a_liar_takes_nobody_down() {
    let mut it = Patient::default();
    let mut turned_away = 0;
    // Somebody says all the time that a target is away that answers every request within 50 ms.
    let mut under_way: Option<(Duration, _)> = None;
    for now in (0..60_000).step_by(10).map(ms) {
        it.health.suspect(Duration::ZERO, now);
        if let Some((_, attempt)) = under_way.take_if(|(began, _)| now >= *began + ms(50)) {
            it.health.success(&it.config, attempt, now);
        }
        match it.standing(now) {
            Standing::Ready if under_way.is_none() => {
                under_way = Some((now, it.health.begin(now)));
            }
            Standing::Ready => {}
            Standing::Ejected | Standing::Cooling => turned_away += 1,
        }
    }
    assert!(turned_away <= 6 * 5, "{turned_away} of 6000");
}

#[test]
fn what_is_believed_without_an_attempt_is_for_its_time_and_not_again_at_once() {
    let mut it = Patient::default();
    assert!(it.health.suspect(ms(20_000), ms(0)));
    // Only for want of anything better.
    assert_eq!(it.standing(ms(19_999)), Standing::Ejected);
    // Its time is over: one attempt at a time, for a moment.
    let probe = it.health.begin(ms(20_000));
    assert_eq!(it.standing(ms(20_000)), Standing::Ejected);
    it.health.success(&it.config, probe, ms(20_100));
    assert_eq!(it.health.condition(&it.config, ms(20_100)), Condition::Well);
    assert!(!it.health.suspect(ms(20_000), ms(100_099)));
    // An attempt for want of anything better decides, too, and no word is believed for longer than half a minute.
    assert!(it.health.suspect(Duration::MAX, ms(100_100)));
    assert_eq!(it.standing(ms(130_099)), Standing::Ejected);
    assert_eq!(it.standing(ms(130_100)), Standing::Ready);
    it.cools(Some(ms(30_000)), ms(110_000));
    assert_eq!(it.standing(ms(130_100)), Standing::Cooling);
    assert_eq!(it.health.away_since(), Some(ms(110_000)));
}

proptest! {
    /// Whatever happens, a target that is left alone is ready again within the longest wait, and never are more probes
    /// under way than may be.
    #[test]
    fn nothing_is_held_against_a_target_for_ever(
        events in prop::collection::vec((0_u8..6, 0_u64..5_000, prop::option::of(0_u64..1_000_000)), 0..200),
    ) {
        let mut it = Patient::default();
        let mut now = Duration::ZERO;
        let mut under_way = Vec::new();
        for (kind, step, wait) in events {
            now += ms(step);
            match (kind, under_way.pop()) {
                (0, Some(attempt)) => it.health.success(&it.config, attempt, now),
                (1, Some(attempt)) => it.health.failure(&it.config, attempt, now),
                (2, Some(attempt)) => it.health.release(attempt),
                (5, attempt) => {
                    it.health.suspect(wait.map_or(Duration::ZERO, ms), now);
                    under_way.extend(attempt);
                }
                (3, attempt) => {
                    it.cools(wait.map(ms), now);
                    under_way.extend(attempt);
                }
                (_, attempt) => {
                    under_way.extend(attempt);
                    under_way.push(it.health.begin(now));
                }
            }
        }
        for attempt in under_way {
            it.health.release(attempt);
        }
        let longest = it.config.longest_ejection.max(it.config.longest_cool_down);
        prop_assert_eq!(it.standing(now + longest), Standing::Ready);
    }
}
