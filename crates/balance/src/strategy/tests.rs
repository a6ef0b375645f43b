use proptest::prelude::*;

use super::{Draw, Sight, Strategy, Target, choose, mix};
use crate::Standing;

fn targets(weights: &[u32]) -> Vec<Target> {
    let target = |(id, &weight): (usize, &u32)| Target {
        id,
        weight,
        hash: mix(id as u64 + 1),
    };
    weights.iter().enumerate().map(target).collect()
}

fn draw(random: u64) -> Draw {
    Draw {
        random,
        affinity: None,
    }
}

fn ready(rank: f64, in_flight: u32) -> Sight {
    Sight {
        rank,
        in_flight,
        ..Sight::of(Standing::Ready)
    }
}

/// How often each is chosen by `steps` evenly spread draws.
fn shares(strategy: Strategy, targets: &[Target], sights: &[Sight], steps: u64) -> Vec<u32> {
    let mut counts = vec![0; targets.len()];
    for step in 0..steps {
        let random = (u128::from(step) * (1 << 64) / u128::from(steps)) as u64;
        let see = |id: usize| sights.get(id).copied();
        counts[choose(strategy, targets, draw(random), see).unwrap()] += 1;
    }
    counts
}

#[test]
fn evenly_spaced_randomness_gives_exactly_the_weights() {
    let sights = [ready(0.0, 0); 3];
    let counts = shares(Strategy::Weighted, &targets(&[1, 2, 5]), &sights, 8_000);
    assert_eq!(counts, [1000, 2000, 5000]);
}

#[test]
fn the_borders_between_targets_lie_where_the_weights_put_them() {
    let pool = targets(&[1, 3]);
    let quarter = 1_u64 << 62;
    for (random, expect) in [(0, 0), (quarter - 1, 0), (quarter, 1), (u64::MAX, 1)] {
        let see = |_| Some(ready(0.0, 0));
        let chosen = choose(Strategy::Weighted, &pool, draw(random), see);
        assert_eq!(chosen, Some(expect), "{random}");
    }
}

#[test]
fn the_largest_weights_do_not_overflow() {
    let pool = targets(&[u32::MAX; 1000]);
    let affine = Some(7);
    for strategy in [Strategy::Weighted, Strategy::LeastBusy, Strategy::Sticky] {
        for random in [0, u64::MAX] {
            let draw = Draw {
                random,
                affinity: affine,
            };
            let see = |_| Some(ready(0.0, u32::MAX - 1));
            assert!(choose(strategy, &pool, draw, see).is_some(), "{strategy:?}");
        }
    }
}

#[test]
fn the_best_rank_wins_and_equals_share_by_weight() {
    use Strategy::{Cheapest, LeastBusy, LeastLatency, MostRoom};
    for (strategy, sights, expect) in [
        // 5, 0 and 0 under way for weights 1, 1, 2: the last has the least for its weight.
        (
            LeastBusy,
            [ready(0.0, 5), ready(0.0, 0), ready(0.0, 0)],
            [0, 0, 400],
        ),
        (
            LeastBusy,
            [ready(0.0, 0), ready(0.0, 0), ready(0.0, 1)],
            [100, 100, 200],
        ),
        (
            Cheapest,
            [ready(3.0, 9), ready(2.0, 9), ready(2.0, 0)],
            [0, 133, 267],
        ),
        // Less than a fifth slower is no difference.
        (
            LeastLatency,
            [ready(1.0, 0), ready(1.19, 0), ready(1.21, 0)],
            [200, 200, 0],
        ),
        (
            MostRoom,
            [ready(1.0, 0), ready(2.0, 0), ready(1.04, 0)],
            [133, 0, 267],
        ),
    ] {
        let counts = shares(strategy, &targets(&[1, 1, 2]), &sights, 400);
        for (count, expect) in counts.iter().zip(expect) {
            assert!(count.abs_diff(expect) <= 1, "{strategy:?} {counts:?}");
        }
    }
}

#[test]
fn who_comes_back_takes_its_share_and_everything_where_it_is_alone() {
    let pool = targets(&[1, 1]);
    let back = Sight {
        share: 0.25,
        ..ready(0.0, 0)
    };
    let counts = shares(Strategy::Weighted, &pool, &[back, ready(0.0, 0)], 10_000);
    // An eighth: a quarter of the half.
    assert!((1_100..1_400).contains(&counts[0]), "{counts:?}");
    assert_eq!(shares(Strategy::Cheapest, &pool[..1], &[back], 100), [100]);
}

#[test]
fn the_same_affinity_meets_the_same_target_wherever_it_stands() {
    let pool = targets(&[1; 5]);
    let mut turned = pool.clone();
    turned.rotate_left(2);
    let choose = |pool: &[Target], affinity, random, gone| {
        let draw = Draw {
            random,
            affinity: Some(affinity),
        };
        let see = |id| (id != gone).then(|| ready(0.0, 0));
        choose(Strategy::Sticky, pool, draw, see).unwrap()
    };
    let mut met = [0; 5];
    for session in 0..1_000 {
        let target = choose(&pool, session, 0, 99);
        assert_eq!(choose(&turned, session, u64::MAX, 99), target);
        met[target] += 1;
        // Only the sessions of one that is gone go elsewhere.
        let without = choose(&pool, session, 0, 3);
        assert!(target == 3 || without == target);
    }
    assert!(met.iter().all(|it| (150..250).contains(it)), "{met:?}");
}

#[test]
fn sessions_are_spread_by_weight() {
    let pool = targets(&[1, 3]);
    let met = (0..4_000).filter(|session| {
        let draw = Draw {
            random: 0,
            affinity: Some(mix(*session)),
        };
        choose(Strategy::Sticky, &pool, draw, |_| Some(ready(0.0, 0))) == Some(0)
    });
    let met = met.count();
    assert!((900..1_100).contains(&met), "{met}");
}

#[test]
fn one_session_alone_never_loads_a_target_beyond_its_bound() {
    // The more its cache saves, the more of them is worth it. Where nothing is saved all get their parts.
    for (saving, slack) in [(None, 1.25), (Some(0.0), 1.0), (Some(0.9), 1.9)] {
        let pool = targets(&[1, 1, 2]);
        let mut in_flight = [0_u32; 3];
        let mut most: f64 = 0.0;
        for sent in 1..=400_u32 {
            let draw = Draw {
                random: 0,
                affinity: Some(42),
            };
            let see = |id: usize| {
                Some(Sight {
                    saving,
                    ..ready(0.0, in_flight[id])
                })
            };
            in_flight[choose(Strategy::Sticky, &pool, draw, see).unwrap()] += 1;
            for (load, weight) in in_flight.iter().zip([1, 1, 2]) {
                let part = f64::from(sent * weight) / 4.0;
                assert!(
                    f64::from(*load) <= (part * slack).ceil(),
                    "{in_flight:?} of {sent}"
                );
                most = most.max(f64::from(*load) / part.max(10.0));
            }
        }
        // The session's own has all that it may.
        assert!(most > slack - 0.05, "{most} of {slack}");
    }
}

proptest! {
    #[test]
    fn any_randomness_chooses_one_that_is_seen_if_there_is_one(
        weights in prop::collection::vec(1_u32..=u32::MAX, 1..20),
        seen in prop::collection::vec(any::<bool>(), 20),
        ranks in prop::collection::vec((0.0_f64..1e15, 0_u32..1000, 0.1_f64..1.0), 20),
        affinity: Option<u64>,
        random: u64,
        strategy in 0_usize..6,
    ) {
        use Strategy::{Cheapest, LeastBusy, LeastLatency, MostRoom, Sticky, Weighted};
        let strategy = [Weighted, LeastBusy, LeastLatency, Cheapest, MostRoom, Sticky][strategy];
        let see = |id: usize| {
            let (rank, in_flight, share) = ranks[id];
            seen[id].then(|| Sight { share, ..ready(rank, in_flight) })
        };
        match choose(strategy, &targets(&weights), Draw { random, affinity }, see) {
            Some(id) => prop_assert!(seen[id]),
            None => prop_assert!(!seen[..weights.len()].contains(&true)),
        }
    }
}
