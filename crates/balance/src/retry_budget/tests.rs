use std::time::Duration;

use proptest::prelude::*;

use super::{RetryBudget, RetryBudgetConfig};

const NONE: RetryBudgetConfig = RetryBudgetConfig {
    per_mille: 0,
    per_second: 0,
    most: 0,
};

fn drain(budget: &mut RetryBudget, now: Duration) -> u32 {
    let mut taken = 0;
    while budget.withdraw(now) {
        taken += 1;
    }
    taken
}

#[test]
fn requests_earn_their_share_up_to_the_cap() {
    for (requests, per_mille, most, expect) in [
        (9, 100, 5, 0),
        (10, 100, 5, 1),
        (1000, 100, 5, 5),
        (1000, 100, 500, 100),
        (3, 2000, 9, 6),
    ] {
        let config = RetryBudgetConfig {
            per_mille,
            most,
            ..NONE
        };
        let mut budget = RetryBudget::new(config);
        drain(&mut budget, Duration::ZERO);
        for _ in 0..requests {
            budget.deposit(Duration::ZERO);
        }
        assert_eq!(
            drain(&mut budget, Duration::ZERO),
            expect,
            "{requests} {config:?}"
        );
    }
}

#[test]
fn time_earns_the_floor() {
    let config = RetryBudgetConfig {
        per_mille: 0,
        per_second: 2,
        most: 5,
    };
    let mut budget = RetryBudget::new(config);
    assert_eq!(drain(&mut budget, Duration::ZERO), 5);
    assert_eq!(drain(&mut budget, Duration::from_millis(499)), 0);
    assert_eq!(drain(&mut budget, Duration::from_millis(500)), 1);
    assert_eq!(
        drain(&mut budget, Duration::from_millis(400)),
        0,
        "time running backwards"
    );
    assert_eq!(drain(&mut budget, Duration::from_secs(3600)), 5);
}

#[test]
fn a_dead_provider_is_not_hit_much_harder_than_asked() {
    // 1 000 requests a second for two minutes, every one wanting two retries.
    let mut budget = RetryBudget::new(RetryBudgetConfig::default());
    let mut retries = 0_u32;
    for millisecond in 0..120_000 {
        let now = Duration::from_millis(millisecond);
        budget.deposit(now);
        retries += (0..2).map(|_| u32::from(budget.withdraw(now))).sum::<u32>();
    }
    assert!(
        (12_000..=12_000 + 120 + 100).contains(&retries),
        "{retries}"
    );
}

proptest! {
    #[test]
    fn retries_never_exceed_the_promise(
        per_mille in 0_u32..2000,
        per_second in 0_u32..20,
        most in 0_u32..50,
        events in prop::collection::vec((any::<bool>(), 0_u64..100_000), 0..400),
    ) {
        let mut budget = RetryBudget::new(RetryBudgetConfig { per_mille, per_second, most });
        let (mut now, mut requests, mut retries) = (Duration::ZERO, 0_u64, 0_u64);
        for (request, step) in events {
            now += Duration::from_micros(step);
            if request {
                budget.deposit(now);
                requests += 1;
            } else {
                retries += u64::from(budget.withdraw(now));
            }
        }
        let millionths = u128::from(most) * 1_000_000
            + u128::from(requests) * u128::from(per_mille) * 1000
            + now.as_micros() * u128::from(per_second);
        prop_assert!(u128::from(retries) * 1_000_000 <= millionths);
    }
}

#[test]
fn the_floor_is_one_for_all_who_share_it() {
    let config = RetryBudgetConfig::default();
    for sharers in [1, 4, 1000] {
        let mut all = vec![RetryBudget::new(config); sharers];
        let told = u32::try_from(sharers).unwrap();
        let taken = |all: &mut Vec<RetryBudget>, seconds| {
            let now = Duration::from_secs(seconds);
            all.iter_mut().map(|it| drain(it, now)).sum::<u32>()
        };
        all.iter_mut().for_each(|it| it.share(told, Duration::ZERO));
        // At least one each, so that a quiet process may retry at all.
        assert_eq!(taken(&mut all, 0), told.max(100), "{sharers}");
        let earned: u32 = (1..=100).map(|seconds| taken(&mut all, seconds)).sum();
        assert!(
            (95..=100).contains(&earned) || sharers == 1000 && earned <= 100,
            "{sharers}: {earned}"
        );
    }
}
