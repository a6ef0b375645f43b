use proptest::prelude::*;

use super::{Pool, Route, Target};
use crate::{Error, Standing};

fn pool(targets: &[(u8, u32)]) -> Pool<u8> {
    Pool::new(
        targets
            .iter()
            .map(|&(id, weight)| Target { id, weight })
            .collect(),
    )
    .unwrap()
}

fn route(pools: &[&[(u8, u32)]]) -> Route<u8> {
    Route::new(pools.iter().map(|targets| pool(targets)).collect()).unwrap()
}

#[test]
fn what_cannot_be_balanced_over_is_refused() {
    let make = |targets: &[(u8, u32)]| {
        Pool::new(
            targets
                .iter()
                .map(|&(id, weight)| Target { id, weight })
                .collect(),
        )
    };
    assert_eq!(make(&[]), Err(Error::Empty));
    assert_eq!(
        make(&[(1, 1), (2, 0)]),
        Err(Error::ZeroWeight { position: 1 })
    );
    assert_eq!(
        make(&[(1, 1), (2, 1), (1, 3)]),
        Err(Error::Duplicate { position: 2 })
    );
    assert_eq!(Route::<u8>::new(vec![]), Err(Error::Empty));
}

#[test]
fn evenly_spaced_randomness_gives_exactly_the_weights() {
    let pool = pool(&[(1, 1), (2, 2), (3, 5)]);
    let mut counts = [0_u32; 4];
    let steps = 8_000_u64;
    for step in 0..steps {
        let random = (u128::from(step) * (1 << 64) / u128::from(steps)) as u64;
        counts[usize::from(pool.pick(random, |_| true).unwrap())] += 1;
    }
    assert_eq!(counts, [0, 1000, 2000, 5000]);
}

#[test]
fn the_borders_between_targets_lie_where_the_weights_put_them() {
    let pool = pool(&[(1, 1), (2, 3)]);
    let quarter = 1_u64 << 62;
    for (random, expect) in [(0, 1), (quarter - 1, 1), (quarter, 2), (u64::MAX, 2)] {
        assert_eq!(pool.pick(random, |_| true), Some(expect), "{random}");
    }
}

#[test]
fn weights_are_shared_among_the_allowed_only() {
    let pool = pool(&[(1, 1), (2, 1_000_000), (3, 1)]);
    let half = 1_u64 << 63;
    assert_eq!(pool.pick(half - 1, |id| id != 2), Some(1));
    assert_eq!(pool.pick(half, |id| id != 2), Some(3));
    assert_eq!(pool.pick(half, |_| false), None);
}

#[test]
fn the_largest_weights_do_not_overflow() {
    let pool = Pool::new(
        (0..1000_u32)
            .map(|id| Target {
                id,
                weight: u32::MAX,
            })
            .collect(),
    )
    .unwrap();
    assert_eq!(pool.pick(0, |_| true), Some(0));
    assert_eq!(pool.pick(u64::MAX, |_| true), Some(999));
}

/// Walks the route to its end, all targets but the named ones ready.
fn walk(route: &Route<u8>, most: u32, ejected: &[u8], cooling: &[u8]) -> Vec<u8> {
    let mut attempts = route.attempts(most);
    let standing = |id| match id {
        _ if cooling.contains(&id) => Standing::Cooling,
        _ if ejected.contains(&id) => Standing::Ejected,
        _ => Standing::Ready,
    };
    while attempts.next(0, standing).is_some() {}
    attempts.tried().to_vec()
}

#[test]
fn pools_are_exhausted_in_order_of_preference() {
    let route = route(&[&[(1, 1), (2, 1)], &[(3, 1)], &[(1, 1), (4, 1)]]);
    for (most, ejected, cooling, expect) in [
        (9, &[][..], &[][..], &[1, 2, 3, 4][..]),
        (3, &[], &[], &[1, 2, 3]),
        (0, &[], &[], &[]),
        // An ejected target comes after every ready one, whatever its pool.
        (9, &[1], &[], &[2, 3, 4, 1]),
        (1, &[1, 2, 3, 4], &[], &[1]),
        (9, &[1, 2, 3, 4], &[2], &[1, 3, 4]),
        // A cooling one never comes.
        (9, &[], &[1, 3], &[2, 4]),
        (9, &[1], &[1, 2, 3, 4], &[]),
    ] {
        assert_eq!(
            walk(&route, most, ejected, cooling),
            expect,
            "{most} {ejected:?} {cooling:?}"
        );
    }
    assert_eq!(route.targets().collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn a_target_that_is_passed_over_is_no_attempt() {
    let route = route(&[&[(1, 1)], &[(2, 1)], &[(3, 1)]]);
    let mut attempts = route.attempts(1);
    assert_eq!(attempts.next(0, |_| Standing::Ready), Some(1));
    attempts.pass_over();
    assert_eq!(attempts.made(), 0);
    assert_eq!(attempts.next(0, |_| Standing::Ready), Some(2));
    assert_eq!(attempts.made(), 1);
    assert_eq!(attempts.next(0, |_| Standing::Ready), None);
}

proptest! {
    #[test]
    fn a_walk_tries_each_target_once_and_every_target_if_it_may(
        pools in prop::collection::vec(prop::collection::btree_map(0_u8..12, 1_u32..1000, 1..6), 1..5),
        standings in prop::collection::vec(0_u8..3, 12),
        randoms in prop::collection::vec(any::<u64>(), 13),
        most in 0_u32..14,
    ) {
        let targets: Vec<Vec<_>> = pools.iter().map(|pool| pool.iter().map(|(&id, &w)| (id, w)).collect()).collect();
        let route = route(&targets.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let standing = |id: u8| match standings[usize::from(id)] {
            0 => Standing::Ready,
            1 => Standing::Ejected,
            _ => Standing::Cooling,
        };
        let mut attempts = route.attempts(most);
        for random in &randoms {
            let ready_left = route.targets().any(|id| standing(id) == Standing::Ready && !attempts.tried().contains(&id));
            match attempts.next(*random, standing) {
                Some(id) if ready_left => prop_assert_eq!(standing(id), Standing::Ready),
                Some(id) => prop_assert_eq!(standing(id), Standing::Ejected),
                None => break,
            }
        }
        let tried = attempts.tried();
        let unique: std::collections::HashSet<_> = tried.iter().collect();
        prop_assert_eq!(unique.len(), tried.len());
        let open = route.targets().filter(|id| standing(*id) != Standing::Cooling).count();
        prop_assert_eq!(tried.len(), open.min(most as usize));
    }

    #[test]
    fn any_randomness_picks_an_allowed_target(
        weights in prop::collection::vec(1_u32..=u32::MAX, 1..20),
        allowed in prop::collection::vec(any::<bool>(), 20),
        random: u64,
    ) {
        let targets = weights.iter().enumerate().map(|(id, &weight)| Target { id, weight }).collect();
        let picked = Pool::new(targets).unwrap().pick(random, |id| allowed[id]);
        match picked {
            Some(id) => prop_assert!(allowed[id]),
            None => prop_assert!(!allowed[..weights.len()].contains(&true)),
        }
    }
}
