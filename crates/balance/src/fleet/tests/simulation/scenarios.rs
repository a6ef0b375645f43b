use super::{Behaviour, Figures, WELL, Way, World};
use crate::Strategy;

const LEAST_LATENCY: Way = Way::Fleet(Strategy::LeastLatency);

/// Five times as slow.
const SLOW: Behaviour = Behaviour {
    first_ms: 500.0,
    token_ms: 5.0,
    ..WELL
};

/// Two minutes of requests, of which the first ten seconds are not looked at.
fn run(way: Way, targets: &[Behaviour], per_second: f64) -> Figures {
    World::new(way, targets, (10_000.0, 120_000.0)).run(per_second)
}

#[test]
fn among_slow_and_flapping_targets_hardly_anybody_notices() {
    let flapping = Behaviour {
        failing: 50,
        period_ms: 7_000,
        ..WELL
    };
    let trouble = [WELL, SLOW, flapping];
    for per_second in [5.0, 50.0, 300.0] {
        let healthy = run(LEAST_LATENCY, &[WELL; 3], per_second).percentile(99);
        let turns = run(Way::Turns, &trouble, per_second).percentile(99);
        let figures = run(LEAST_LATENCY, &trouble, per_second);
        let ours = figures.percentile(99);
        println!("{per_second}/s: p99 {ours:.0} ms, healthy {healthy:.0}, in turns {turns:.0}");
        assert!(figures.success() >= 0.999, "{}", figures.success());
        assert!(ours <= 1.5 * healthy, "{ours} against {healthy}");
        assert!(2.0 * ours <= turns, "{ours} against {turns}");
    }
}

#[test]
fn equally_fast_targets_share_about_equally() {
    let figures = run(LEAST_LATENCY, &[WELL; 4], 50.0);
    let share = figures.latencies.len() / 4;
    let near = |it: &usize| (share / 2..share * 2).contains(it);
    assert!(
        figures.by_target.iter().all(near),
        "{:?}",
        figures.by_target
    );
}

#[test]
fn with_half_of_the_targets_slow_hardly_anybody_meets_one() {
    let figures = run(LEAST_LATENCY, &[WELL, SLOW, WELL, SLOW], 50.0);
    let slow = figures.by_target[1] + figures.by_target[3];
    assert!(
        slow * 100 < figures.latencies.len(),
        "{:?}",
        figures.by_target
    );
}

#[test]
fn a_fast_target_that_fills_up_does_not_drown() {
    // The fast one has room for a third of the requests; the others for all.
    let full = Behaviour { slots: 8, ..WELL };
    let slower = Behaviour {
        first_ms: 200.0,
        token_ms: 2.0,
        ..WELL
    };
    let targets = [full, slower, slower];
    let turns = run(Way::Turns, &targets, 100.0);
    let ours = run(LEAST_LATENCY, &targets, 100.0);
    let both = |percent| (ours.percentile(percent), turns.percentile(percent));
    println!("p50 {:?} p99 {:?} {:?}", both(50), both(99), ours.by_target);
    assert!(both(99).0 <= 1.2 * both(99).1, "{:?}", both(99));
    assert!(both(50).0 <= 1.1 * both(50).1, "{:?}", both(50));
}

#[test]
fn the_least_busy_of_a_slow_and_a_fast_target_is_mostly_the_fast_one() {
    let full = Behaviour { slots: 8, ..WELL };
    let slow = Behaviour { slots: 8, ..SLOW };
    let turns = run(Way::Turns, &[full, slow], 25.0);
    let ours = run(Way::Fleet(Strategy::LeastBusy), &[full, slow], 25.0);
    println!("p99 {} and {}", ours.percentile(99), turns.percentile(99));
    assert!(2.0 * ours.percentile(99) <= turns.percentile(99));
    assert!(
        ours.by_target[0] > 3 * ours.by_target[1],
        "{:?}",
        ours.by_target
    );
}

#[test]
fn a_dead_target_beside_good_ones_costs_a_probe_now_and_then() {
    let dead = Behaviour {
        failing: 100,
        ..WELL
    };
    for strategy in [
        Strategy::Weighted,
        Strategy::LeastBusy,
        Strategy::LeastLatency,
    ] {
        let figures = run(Way::Fleet(strategy), &[WELL, WELL, dead], 50.0);
        let attempts = figures.attempts_per_request();
        assert!(attempts <= 1.01, "{strategy:?} {attempts}");
        assert!(figures.success() >= 1.0, "{strategy:?}");
    }
}

#[test]
fn where_all_are_dead_retries_keep_to_their_budget_and_all_are_back_at_once() {
    // Dead for the first 67 s, then well for as long.
    let dying = Behaviour {
        failing: 100,
        period_ms: 67_000,
        ..WELL
    };
    let dead = World::new(LEAST_LATENCY, &[dying; 3], (0.0, 67_000.0)).run(50.0);
    let floor = (100.0 + 67.0) / dead.asked as f64;
    assert!(dead.attempts_per_request() <= 1.1 + floor, "{dead:?}");
    let back = World::new(LEAST_LATENCY, &[dying; 3], (67_100.0, 130_000.0)).run(50.0);
    assert!(back.success() >= 1.0, "{}", back.success());
}
