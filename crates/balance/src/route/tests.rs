use proptest::prelude::*;

use super::{Attempts, Cause, Causes, Pool, Route, Step};
use crate::{Error, Sight, Standing, Strategy, Target};

fn target((id, weight): (usize, u32)) -> Target {
    Target {
        id,
        weight,
        hash: id as u64,
    }
}

fn pool(targets: &[(usize, u32)]) -> Result<Pool, Error> {
    Pool::new(
        Strategy::Weighted,
        targets.iter().copied().map(target).collect(),
    )
}

fn step(targets: &[usize], after: Option<Causes>) -> Step {
    let targets: Vec<_> = targets.iter().map(|id| (*id, 1)).collect();
    Step {
        pool: pool(&targets).unwrap(),
        after,
    }
}

fn route(pools: &[&[usize]]) -> Route {
    Route::new(pools.iter().map(|targets| step(targets, None)).collect()).unwrap()
}

fn next(attempts: &mut Attempts<'_>, standing: impl Fn(usize) -> Standing) -> Option<usize> {
    attempts.next(0, |_| None, |id, _| Sight::of(standing(id)))
}

#[test]
fn what_cannot_be_balanced_over_is_refused() {
    assert_eq!(pool(&[]), Err(Error::Empty));
    assert_eq!(
        pool(&[(1, 1), (2, 0)]),
        Err(Error::ZeroWeight { position: 1 })
    );
    assert_eq!(
        pool(&[(1, 1), (2, 1), (1, 3)]),
        Err(Error::Duplicate { position: 2 })
    );
    assert_eq!(Route::new(vec![]), Err(Error::Empty));
    let only_after = vec![step(&[1], Some(Causes::ALL))];
    assert_eq!(Route::new(only_after), Err(Error::Empty));
}

/// Walks the route to its end, all targets but the named ones ready.
fn walk(route: &Route, most: u32, ejected: &[usize], cooling: &[usize]) -> Vec<usize> {
    let mut attempts = route.attempts(most);
    let standing = |id| match id {
        _ if cooling.contains(&id) => Standing::Cooling,
        _ if ejected.contains(&id) => Standing::Ejected,
        _ => Standing::Ready,
    };
    std::iter::from_fn(|| next(&mut attempts, standing)).collect()
}

#[test]
fn pools_are_exhausted_in_order_of_preference() {
    let route = route(&[&[1, 2], &[3], &[1, 4]]);
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
    let route = route(&[&[1], &[2], &[3]]);
    let mut attempts = route.attempts(1);
    assert_eq!(next(&mut attempts, |_| Standing::Ready), Some(1));
    attempts.pass_over();
    assert_eq!(attempts.made(), 0);
    assert_eq!(next(&mut attempts, |_| Standing::Ready), Some(2));
    assert_eq!(attempts.made(), 1);
    assert_eq!(next(&mut attempts, |_| Standing::Ready), None);
}

#[test]
fn who_is_shunned_comes_after_all_that_are_ready() {
    let route = route(&[&[1, 2], &[3], &[200]]);
    let mut attempts = route.attempts(9);
    let standing = |id| match id {
        3 => Standing::Ejected,
        _ => Standing::Ready,
    };
    assert_eq!(next(&mut attempts, standing), Some(1));
    attempts.shun(|id| id == 2);
    assert_eq!(next(&mut attempts, standing), Some(200));
    assert_eq!(next(&mut attempts, standing), Some(2));
    assert_eq!(next(&mut attempts, standing), Some(3));
}

#[test]
fn the_affinity_of_each_sticky_pool_is_its_own() {
    let sticky = |ids: &[usize]| Step {
        pool: Pool::new(
            Strategy::Sticky,
            ids.iter().map(|id| target((*id, 1))).collect(),
        )
        .unwrap(),
        after: None,
    };
    let route = Route::new(vec![step(&[1], None), sticky(&[2, 3]), sticky(&[4, 5])]).unwrap();
    let walk = |second: u64, third: u64| {
        let mut attempts = route.attempts(9);
        let affinity = |place| [None, Some(second), Some(third)][place];
        let see = |_, _| Sight::of(Standing::Ready);
        std::iter::from_fn(|| attempts.next(0, affinity, see)).collect::<Vec<_>>()
    };
    let (some, other) = (walk(1, 1), walk(1, 7));
    assert_eq!(some[..3], other[..3]);
    assert!((0..9).any(|third| walk(1, third)[3] != some[3]));
}

/// A route over 1 and 2, with 3 for long requests, 4 for refused ones, 5 after limits, and 6 after anything.
fn typed() -> Route {
    let after = |causes: &[Cause]| Some(causes.iter().copied().collect());
    Route::new(vec![
        step(&[1, 2], None),
        step(&[3], after(&[Cause::ContextLength])),
        step(&[4], after(&[Cause::ContentFilter])),
        step(&[5], after(&[Cause::RateLimit])),
        step(&[6], Some(Causes::ALL)),
    ])
    .unwrap()
}

#[test]
fn fallbacks_come_after_what_they_are_for() {
    use Cause::{ContentFilter, ContextLength, Other, RateLimit};
    for (causes, expect) in [
        (&[Other, Other, Other][..], &[1, 2, 6][..]),
        (&[RateLimit, Other, Other, Other], &[1, 2, 5, 6]),
        // The other of the pool would find it too long as well.
        (&[ContextLength, Other, Other], &[1, 3, 6]),
        (&[ContentFilter, RateLimit, Other], &[1, 4, 6]),
        (&[Other, ContextLength, ContentFilter], &[1, 2, 3, 4, 6]),
    ] {
        let route = typed();
        let mut attempts = route.attempts(9);
        let mut met = Vec::new();
        let mut causes = causes.iter();
        while let Some(id) = next(&mut attempts, |_| Standing::Ready) {
            met.push(id);
            if let Some(cause) = causes.next() {
                assert!(attempts.failed(*cause));
            }
        }
        assert_eq!(met, expect);
    }
}

#[test]
fn a_request_at_fault_goes_nowhere_without_a_fallback_for_that() {
    let route = route(&[&[1, 2]]);
    let mut attempts = route.attempts(9);
    assert!(attempts.failed(Cause::Other));
    assert!(attempts.failed(Cause::RateLimit));
    assert!(!attempts.failed(Cause::ContextLength));
    assert_eq!(next(&mut attempts, |_| Standing::Ready), None);
}

proptest! {
    #[test]
    fn a_walk_tries_each_target_once_and_every_target_if_it_may(
        pools in prop::collection::vec(prop::collection::btree_map(0_usize..12, 1_u32..1000, 1..6), 1..5),
        standings in prop::collection::vec(0_u8..3, 12),
        randoms in prop::collection::vec(any::<u64>(), 13),
        most in 0_u32..14,
    ) {
        let steps = pools.iter().map(|targets| {
            let targets: Vec<_> = targets.iter().map(|(id, weight)| (*id, *weight)).collect();
            Step { pool: pool(&targets).unwrap(), after: None }
        });
        let route = Route::new(steps.collect()).unwrap();
        let standing = |id: usize| match standings[id] {
            0 => Standing::Ready,
            1 => Standing::Ejected,
            _ => Standing::Cooling,
        };
        let mut attempts = route.attempts(most);
        let mut tried = Vec::new();
        for random in randoms {
            let ready_left = route.targets().any(|id| standing(id) == Standing::Ready && !tried.contains(&id));
            let Some(id) = attempts.next(random, |_| None, |id, _| Sight::of(standing(id))) else { break };
            let expect = if ready_left { Standing::Ready } else { Standing::Ejected };
            prop_assert_eq!(standing(id), expect);
            prop_assert!(!tried.contains(&id));
            tried.push(id);
        }
        let open = route.targets().filter(|id| standing(*id) != Standing::Cooling).count();
        prop_assert_eq!(tried.len(), open.min(most as usize));
    }
}
