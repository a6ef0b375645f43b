use std::time::Duration;

use proptest::prelude::*;

use super::{Health, HealthConfig, Standing};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn failures_in_a_row_eject_for_a_growing_time() {
    let mut health = Health::new(HealthConfig::default());
    let mut now = ms(10);
    for _ in 0..2 {
        health.failure("a", now);
    }
    assert_eq!(health.standing("a", now), Standing::Ready);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        health.failure("a", now);
        let until = now + Duration::from_secs(seconds);
        assert_eq!(
            health.standing("a", until - ms(1)),
            Standing::Ejected,
            "{seconds}"
        );
        assert_eq!(health.standing("a", until), Standing::Ready, "{seconds}");
        assert_eq!(health.standing("b", now), Standing::Ready);
        now = until;
    }
}

#[test]
fn failures_under_way_at_the_ejection_count_once() {
    let mut health = Health::new(HealthConfig::default());
    for _ in 0..50 {
        health.failure(1, ms(0));
    }
    assert_eq!(health.standing(1, ms(999)), Standing::Ejected);
    assert_eq!(health.standing(1, ms(1000)), Standing::Ready);
}

/// Fails the target so often that it is ejected, and says for how many milliseconds.
fn eject(health: &mut Health<u8>, now: Duration) -> u64 {
    for _ in 0..3 {
        assert_eq!(health.standing(1, now), Standing::Ready);
        health.failure(1, now);
    }
    let lasts = |millis: &u64| health.standing(1, now + ms(*millis)) == Standing::Ejected;
    (0..60_000).take_while(lasts).count() as u64
}

#[test]
fn a_success_forgets_failures_and_ejections() {
    let mut health = Health::new(HealthConfig::default());
    assert_eq!(eject(&mut health, ms(0)), 1_000);
    health.success(1, ms(1_000));
    assert_eq!(eject(&mut health, ms(1_000)), 1_000);
}

#[test]
fn a_success_in_the_midst_of_an_ejection_ends_it_but_not_its_growth() {
    let mut health = Health::new(HealthConfig::default());
    assert_eq!(eject(&mut health, ms(0)), 1_000);
    health.success(1, ms(500));
    assert_eq!(health.standing(1, ms(500)), Standing::Ready);
    assert_eq!(eject(&mut health, ms(600)), 2_000);
}

#[test]
fn cool_down_lasts_as_asked_within_bounds_and_outlives_a_success() {
    for (wait, lasts) in [
        (Some(250), 250),
        (None, 5_000),
        (Some(3_600_000), 60_000),
        (Some(0), 0),
    ] {
        let mut health = Health::new(HealthConfig::default());
        health.cool_down(1, wait.map(ms), ms(100));
        health.success(1, ms(100));
        if lasts > 0 {
            assert_eq!(
                health.standing(1, ms(100 + lasts - 1)),
                Standing::Cooling,
                "{wait:?}"
            );
            assert_eq!(health.cooling_for(1, ms(100)), Some(ms(lasts)));
        }
        assert_eq!(
            health.standing(1, ms(100 + lasts)),
            Standing::Ready,
            "{wait:?}"
        );
        assert_eq!(health.cooling_for(1, ms(100 + lasts)), None);
    }
}

#[test]
fn a_shorter_cool_down_does_not_shorten_a_longer_one() {
    let mut health = Health::new(HealthConfig::default());
    health.cool_down(1, Some(ms(1000)), ms(0));
    health.cool_down(1, Some(ms(10)), ms(0));
    assert_eq!(health.cooling_for(1, ms(0)), Some(ms(1000)));
}

#[test]
fn forgotten_targets_are_ready() {
    let mut health = Health::new(HealthConfig::default());
    health.cool_down(1, None, ms(0));
    health.cool_down(2, None, ms(0));
    health.retain(|target| target == 2);
    assert_eq!(health.standing(1, ms(0)), Standing::Ready);
    assert_eq!(health.standing(2, ms(0)), Standing::Cooling);
}

proptest! {
    /// Whatever happens, a target that is left alone is ready again within the longest wait.
    #[test]
    fn nothing_is_held_against_a_target_for_ever(
        events in prop::collection::vec((0_u8..3, 0_u64..5_000, prop::option::of(0_u64..1_000_000)), 0..200),
    ) {
        let config = HealthConfig::default();
        let mut health = Health::new(config);
        let mut now = Duration::ZERO;
        for (kind, step, wait) in events {
            now += ms(step);
            match kind {
                0 => health.success(1, now),
                1 => health.failure(1, now),
                _ => health.cool_down(1, wait.map(ms), now),
            }
        }
        let longest = config.longest_ejection.max(config.longest_cool_down);
        prop_assert_eq!(health.standing(1, now + longest), Standing::Ready);
    }
}
