use std::time::Duration;

use super::{Fleet, Known, Member, Outcome, Whom, Wish};
use crate::{HealthConfig, Load, Return, Standing, Strategy, Word, Words};

mod simulation;

const NOW: Duration = Duration::from_secs(100);

fn ms(millis: u64) -> Duration {
    NOW + Duration::from_millis(millis)
}

/// Targets of these providers.
fn fleet(providers: &[usize]) -> Fleet {
    fleet_of(providers, HealthConfig::default())
}

fn fleet_of(providers: &[usize], health: HealthConfig) -> Fleet {
    let peers: Vec<_> = (0..providers.len()).collect();
    let member = |&provider: &usize| Member {
        provider,
        health,
        peers: peers.clone(),
    };
    Fleet::new(providers.iter().map(member).collect())
}

/// Prices and room by target.
struct Facts(Vec<(Option<u64>, f64)>);

impl Known for Facts {
    fn price(&self, target: usize) -> Option<u64> {
        self.0[target].0
    }

    fn room(&self, target: usize) -> f64 {
        self.0[target].1
    }
}

fn standing(fleet: &Fleet, target: usize, now: Duration) -> Standing {
    let known = Facts(vec![(None, 1.0); 9]);
    let wish = Wish::default();
    fleet
        .sight(target, Strategy::Weighted, (&wish, &known), now)
        .standing
}

fn rank(fleet: &Fleet, target: usize, strategy: Strategy, facts: &Facts) -> f64 {
    let wish = Wish {
        output: 100,
        ..Wish::default()
    };
    fleet.sight(target, strategy, (&wish, facts), NOW).rank
}

/// An attempt that goes so, and is over.
fn attempt(fleet: &mut Fleet, target: usize, outcome: Outcome, now: Duration) {
    let mut attempt = fleet.begin(target, Load::default(), now).unwrap();
    fleet.went(&mut attempt, outcome, now);
    fleet.end(attempt, now);
}

#[test]
fn a_provider_out_of_reach_takes_all_its_targets_away_and_a_failing_target_only_itself() {
    for (outcome, expect) in [
        (Outcome::Failed, Standing::Ready),
        (Outcome::Unreachable, Standing::Ejected),
    ] {
        let mut fleet = fleet(&[0, 0, 1]);
        for _ in 0..3 {
            attempt(&mut fleet, 0, outcome, NOW);
        }
        assert_eq!(standing(&fleet, 0, NOW), Standing::Ejected);
        assert_eq!(standing(&fleet, 1, NOW), expect, "{outcome:?}");
        assert_eq!(standing(&fleet, 2, NOW), Standing::Ready);
        let left_out = [0, 1, 2].map(|target| fleet.is_left_out(target));
        assert_eq!(left_out, [true, expect == Standing::Ejected, false]);
    }
}

#[test]
fn a_refused_key_takes_all_targets_of_the_provider_away_and_a_limit_only_the_target() {
    let wait = Duration::from_secs(7);
    for (outcome, expect) in [
        (Outcome::KeyRefused(wait), Standing::Cooling),
        (Outcome::Limited(Some(wait), Return::Whole), Standing::Ready),
    ] {
        let mut fleet = fleet(&[0, 0, 1]);
        attempt(&mut fleet, 0, outcome, NOW);
        assert_eq!(fleet.cooling(0, Load::default(), NOW), Some(wait));
        assert_eq!(standing(&fleet, 0, NOW), Standing::Cooling);
        assert_eq!(standing(&fleet, 1, NOW), expect, "{outcome:?}");
        assert_eq!(standing(&fleet, 2, NOW), Standing::Ready);
    }
}

#[test]
fn a_key_and_the_way_to_its_provider_are_told_apart() {
    let refused = Outcome::KeyRefused(Duration::from_secs(7));
    let mut fleet = fleet(&[0, 0]);
    attempt(&mut fleet, 0, refused, NOW);
    assert_eq!(fleet.left_out().collect::<Vec<_>>(), [(Whom::Key(0), NOW)]);
    // Nothing but a word on the key itself brings it back; another key is another matter.
    let probed = NOW + Duration::from_secs(7);
    attempt(&mut fleet, 1, Outcome::Failed, probed);
    assert!(fleet.is_left_out(0));
    assert_eq!(standing(&fleet, 0, probed), Standing::Ready, "probed");
    fleet.renew_key(0);
    assert!(!fleet.is_left_out(0));
    // What others say of it holds without an attempt.
    assert!(fleet.suspect(Whom::Key(0), Duration::from_secs(5), NOW));
    assert_eq!(standing(&fleet, 1, ms(4_999)), Standing::Ejected);
    assert_eq!(
        fleet.left_out().count(),
        0,
        "it is nobody's word but theirs"
    );
    attempt(&mut fleet, 1, Outcome::Answered, ms(4_999));
    assert_eq!(standing(&fleet, 0, ms(4_999)), Standing::Ready);
}

#[test]
fn a_stream_that_breaks_after_its_first_content_counts_against_its_target() {
    let mut fleet = fleet(&[0]);
    for _ in 0..3 {
        let mut attempt = fleet.begin(0, Load::default(), NOW).unwrap();
        fleet.went(&mut attempt, Outcome::Answered, NOW);
        fleet.went(&mut attempt, Outcome::Failed, NOW);
        fleet.end(attempt, NOW);
    }
    // Never three in a row, but half of them. Nothing is said of fewer than ten.
    assert_eq!(standing(&fleet, 0, NOW), Standing::Ready);
    for _ in 0..2 {
        let mut attempt = fleet.begin(0, Load::default(), NOW).unwrap();
        fleet.went(&mut attempt, Outcome::Answered, NOW);
        fleet.went(&mut attempt, Outcome::Failed, NOW);
        fleet.end(attempt, NOW);
    }
    assert_eq!(standing(&fleet, 0, NOW), Standing::Ejected);
}

#[test]
fn what_is_under_way_is_counted_until_it_is_over() {
    let mut fleet = fleet(&[0, 0]);
    let first = fleet.begin(0, Load::default(), NOW).unwrap();
    let second = fleet.begin(0, Load::default(), NOW).unwrap();
    assert_eq!((fleet.in_flight(0), fleet.in_flight(1)), (2, 0));
    fleet.end(first, NOW);
    fleet.end(second, NOW);
    assert_eq!(fleet.in_flight(0), 0);
    assert!(fleet.begin(7, Load::default(), NOW).is_none());
}

#[test]
fn a_probe_that_is_dropped_makes_way_for_another() {
    let mut fleet = fleet(&[0]);
    for _ in 0..3 {
        attempt(&mut fleet, 0, Outcome::Failed, NOW);
    }
    let probe = fleet.begin(0, Load::default(), ms(1_000)).unwrap();
    assert_eq!(standing(&fleet, 0, ms(1_000)), Standing::Ejected);
    fleet.end(probe, ms(1_500));
    assert_eq!(standing(&fleet, 0, ms(1_500)), Standing::Ready);
}

#[test]
fn ranks_are_prices_and_room() {
    let mut fleet = fleet(&[0, 0, 0]);
    let facts = Facts(vec![(Some(30), 1.0), (Some(20), 0.5), (None, 1.0)]);
    let cheapest = |target| rank(&fleet, target, Strategy::Cheapest, &facts);
    assert!(cheapest(1) < cheapest(0) && cheapest(0) < cheapest(2));

    // The provider of the last says that a tenth is left.
    let mark = fleet.begin(2, Load::default(), NOW).unwrap();
    let word = Word {
        limit: Some(1_000),
        remaining: 100,
        reset: Duration::from_secs(9),
    };
    let words = Words {
        requests: Some(word),
        ..Words::default()
    };
    fleet.told(&mark, &words, NOW);
    let room = |target| rank(&fleet, target, Strategy::MostRoom, &facts);
    assert!(room(0) < room(1) && room(1) < room(2));
}

#[test]
fn answers_much_slower_than_those_of_peers_count_as_failures_where_that_is_wanted() {
    for (slow_percent, expect) in [
        (None, Standing::Ready),
        (Some(400), Standing::Ejected),
        (Some(600), Standing::Ready),
    ] {
        let health = HealthConfig {
            slow_percent,
            ..HealthConfig::default()
        };
        let mut fleet = fleet_of(&[0, 1, 2], health);
        for _ in 0..3 {
            for (target, took) in [(0, 100), (1, 120), (2, 500)] {
                let mut attempt = fleet.begin(target, Load::default(), NOW).unwrap();
                fleet.went(&mut attempt, Outcome::Answered, ms(took));
                fleet.first_content(&attempt, ms(took));
                fleet.end(attempt, ms(took));
            }
        }
        assert_eq!(standing(&fleet, 2, ms(600)), expect, "{slow_percent:?}");
        assert_eq!(standing(&fleet, 0, ms(600)), Standing::Ready);
    }
}

#[test]
fn what_is_known_outlives_a_change_of_policy_but_not_what_is_under_way() {
    let mut before = fleet(&[0, 1]);
    for _ in 0..3 {
        attempt(&mut before, 1, Outcome::Failed, NOW);
    }
    let probe = before.begin(1, Load::default(), ms(1_000)).unwrap();
    let mut after = fleet(&[0, 1, 2]);
    after.inherit(2, &before, 1);
    assert_eq!(standing(&after, 2, ms(500)), Standing::Ejected);
    assert_eq!(standing(&after, 1, ms(500)), Standing::Ready);
    // The probe is the other fleet's.
    assert_eq!(standing(&after, 2, ms(1_000)), Standing::Ready);
    assert_eq!(after.in_flight(2), 0);
    before.end(probe, ms(1_000));
}
