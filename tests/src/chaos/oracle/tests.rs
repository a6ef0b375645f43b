use super::*;
use crate::chaos::limits::{Model, Unit};

const ASSUMED: Assumptions = Assumptions {
    window_ms: 20_000,
    delay_ms: 1_500,
    skew_ms: 100,
    notice_ms: 1_000,
};
/// Start of a window.
const START: u64 = 1_000_000 * 20_000;

/// 10 requests per key, 15 per team, 1,000 tokens per team; sliding 10 per key, a bucket of 5 per team; 100,000
/// billionths of a dollar per key, 150,000 per team and month; 2 slots per key, 3 per team; 20 per key in any interval as
/// long as a window.
fn amounts() -> Amounts {
    [10, 15, 1_000, 10_000_000, 10, 5, 100_000, 150_000, 2, 3, 20].map(Some)
}

fn lowered(limit: usize, amount: u64) -> Amounts {
    let mut amounts = amounts();
    amounts[limit] = Some(amount);
    amounts
}

fn of_model(model: Model, key: usize, at_ms: u64) -> Arrival {
    Arrival {
        at_ms,
        until_ms: at_ms + 500,
        broken_off: false,
        key,
        model,
        tokens: (10, 8),
    }
}

/// `count` requests of a key, so many milliseconds apart, from `at` on.
fn requests(key: usize, at: u64, apart: u64, count: u64) -> impl Iterator<Item = Arrival> {
    asked(Model::Chat, key, at, (apart, count))
}

fn asked(
    model: Model,
    key: usize,
    at: u64,
    (apart, count): (u64, u64),
) -> impl Iterator<Item = Arrival> {
    (0..count).map(move |n| of_model(model, key, at + n * apart))
}

fn evidence(arrivals: impl Iterator<Item = Arrival>) -> Evidence {
    let mut arrivals: Vec<Arrival> = arrivals.collect();
    arrivals.sort_by_key(|arrival| arrival.at_ms);
    let setting = Setting {
        amounts: amounts(),
        from_ms: START - 60_000,
        until_ms: None,
    };
    Evidence {
        arrivals,
        settings: vec![setting],
        ..Evidence::default()
    }
}

fn promises(evidence: &Evidence) -> Vec<(&'static str, &'static str, u64, u64)> {
    let broken = judge(ASSUMED, evidence).broken.into_iter();
    let mut found: Vec<_> = broken
        .map(|b| (b.promise, b.limit, b.units, b.allowed))
        .collect();
    found.dedup();
    found
}

#[test]
fn what_was_promised_passes() {
    // A whole limit at the end of one window and at the start of the next, late by as much as is assumed.
    let run = requests(0, START + 19_000, 50, 10).chain(requests(0, START + 20_500, 50, 10));
    let mut seen = evidence(run);
    seen.admitted
        .insert((Cell::of(0, 0), START / ASSUMED.window_ms), 10);
    let verdict = judge(ASSUMED, &seen);
    assert_eq!(verdict.broken, []);
    assert_eq!(verdict.checks["key-requests"]["label"], 1);
    assert!(
        verdict.checks["key-requests"]["interval"] >= 20,
        "{verdict:?}"
    );
}

#[test]
fn one_request_too_many_in_a_window_is_found() {
    let seen = evidence(requests(0, START + 5_000, 10, 11));
    let found = promises(&seen);
    assert_eq!(found, [("inside", "key-requests", 11, 10)]);
}

#[test]
fn one_request_too_many_at_a_windows_edge_is_found() {
    // Neither window holds more than its limit in its inside, but both edges together more than two.
    let edge = requests(0, START + 19_000, 50, 11).chain(requests(0, START + 20_500, 50, 10));
    let found = promises(&evidence(edge));
    assert!(
        found.contains(&("interval", "key-requests", 21, 20)),
        "{found:?}"
    );
}

#[test]
fn a_team_is_judged_by_what_its_keys_do_together() {
    let keys = [0, 2].into_iter();
    let seen = evidence(keys.flat_map(|key| requests(key, START + 5_000, 100, 8)));
    assert_eq!(promises(&seen), [("inside", "team-requests", 16, 15)]);
}

#[test]
fn tokens_are_what_the_provider_charges() {
    let heavy = requests(0, START + 5_000, 100, 6).map(|arrival| Arrival {
        tokens: (150, 50),
        ..arrival
    });
    let found = promises(&evidence(heavy));
    assert_eq!(found, [("inside", "team-tokens", 1_200, 1_000)]);
}

#[test]
fn a_label_that_bears_too_much_is_found() {
    let mut seen = evidence(std::iter::empty());
    let window = START / ASSUMED.window_ms;
    seen.admitted.insert((Cell::of(0, 3), window), 10);
    seen.admitted.insert((Cell::of(0, 4), window), 11);
    let broken = judge(ASSUMED, &seen).broken;
    let expected = Broken {
        promise: "label",
        limit: "key-requests",
        member: 4,
        from_ms: START,
        units: 11,
        allowed: 10,
    };
    assert_eq!(broken, [expected]);
}

#[test]
fn a_lowered_limit_holds_from_the_window_after_every_replica_runs_it() {
    let mut seen =
        evidence(requests(0, START + 5_000, 10, 10).chain(requests(0, START + 25_000, 10, 10)));
    seen.settings[0].until_ms = Some(START + 12_000);
    seen.settings.push(Setting {
        amounts: lowered(0, 3),
        from_ms: START + 10_000,
        until_ms: None,
    });
    assert!(promises(&seen).contains(&("inside", "key-requests", 10, 3)));
    // A replica that heard of it in the next window only may have gone by the old one.
    seen.settings[0].until_ms = Some(START + 21_000);
    assert_eq!(promises(&seen), []);
}

#[test]
fn an_amount_is_constant_where_no_other_was_in_force() {
    let mut seen = evidence(std::iter::empty());
    assert_eq!(seen.constant(0, START, START + 20_000), Some(10));
    seen.settings[0].until_ms = Some(START + 12_000);
    let mut amounts = lowered(0, 3);
    amounts[2] = None;
    seen.settings.push(Setting {
        amounts,
        from_ms: START + 10_000,
        until_ms: None,
    });
    assert_eq!(seen.constant(0, START, START + 20_000), None);
    assert_eq!(seen.constant(1, START, START + 20_000), Some(15));
    assert_eq!(seen.constant(0, START + 20_000, START + 40_000), Some(3));
    assert_eq!(seen.constant(2, START + 20_000, START + 40_000), None);
}

#[test]
fn a_request_is_as_late_as_nodes_stood_still() {
    let arrivals: Vec<_> = requests(0, 10_000, 1_000, 12).collect();
    let freezes = [(15_000, 16_000), (17_000, 18_000)];
    let expected = [
        8_500, 9_500, 10_500, 11_500, 12_500, 13_500, 13_500, 13_500, 13_500, 13_500, 18_500,
        19_500,
    ];
    assert_eq!(earliest(1_500, &freezes, &arrivals), expected);
}

#[test]
fn one_request_too_many_in_any_interval_of_a_sliding_limit_is_found() {
    // Its window is a quarter of the run's: 5 s. Stamped up to 1.5 s earlier, these lie in 5 s.
    let flow = |count, apart| evidence(asked(Model::Flow, 0, START + 3_000, (apart, count)));
    let broken = |seen: &Evidence| {
        let found = promises(seen);
        found
            .into_iter()
            .any(|found| found == ("sliding", "key-sliding", 11, 10))
    };
    // In 20 s, which is as long as a window.
    let long = |apart| {
        let found = |it| it == ("sliding", "key-interval", 21, 20);
        promises(&flow(21, apart)).into_iter().any(found)
    };
    assert!(long(920) && !long(930));
    assert!(broken(&flow(11, 340)));
    assert!(!broken(&flow(11, 360)));
    assert!(!broken(&flow(10, 10)));
    // A node stood still: they may have been stamped long before.
    let mut frozen = flow(11, 340);
    frozen.freezes.push((START - 1_000, START + 2_000));
    assert!(!broken(&frozen));
}

#[test]
fn a_bucket_gives_what_it_holds_and_what_comes_in() {
    // One comes in each second. Up to 1.5 s earlier than it arrived, the first was stamped.
    let flow = |count, apart| evidence(asked(Model::Flow, 1, START + 3_000, (apart, count)));
    let broken = |seen: &Evidence| {
        let found = promises(seen).into_iter();
        found
            .filter(|(promise, ..)| *promise == "bucket")
            .collect::<Vec<_>>()
    };
    assert_eq!(broken(&flow(6, 1)), []);
    assert_eq!(broken(&flow(7, 1)), [("bucket", "team-bucket", 7, 6)]);
    // After a minute of one a second, a bucket that was empty cannot give two.
    let mut long = flow(60, 900);
    assert!(!broken(&long).is_empty());
    long = flow(60, 1_000);
    assert_eq!(broken(&long), []);
    long.arrivals
        .extend(asked(Model::Flow, 3, START + 62_500, (1, 7)));
    assert!(!broken(&long).is_empty());
}

#[test]
fn a_limit_that_is_new_binds_once_every_node_knows_it() {
    let mut seen = evidence(asked(Model::Flow, 1, START + 3_000, (1, 50)));
    let mut without = seen.settings[0];
    without.amounts[5] = None;
    without.from_ms = START - 10_000;
    seen.settings[0].from_ms = START;
    seen.settings.insert(0, without);
    seen.settings[0].until_ms = Some(START + 4_000);
    let bucket = |seen: &Evidence| {
        promises(seen)
            .iter()
            .any(|(promise, ..)| *promise == "bucket")
    };
    assert!(!bucket(&seen));
    seen.settings[0].until_ms = Some(START + 1_000);
    assert!(bucket(&seen));
}

#[test]
fn a_budget_is_never_overspent_however_long_it_takes() {
    let spend = |count| evidence(asked(Model::Spend, 0, START, (3_600_000, count)));
    let cost = Unit::Cost.of((10, 8));
    assert_eq!(promises(&spend(3)), []);
    let expected = [("budget", "key-budget", 4 * cost, 100_000)];
    assert_eq!(promises(&spend(4)), expected);
    let two_keys = [0, 2].into_iter();
    let months = two_keys.flat_map(|key| asked(Model::Month, key, START, (1_000, 3)));
    let expected = [("budget", "team-month", 6 * cost, 150_000)];
    assert_eq!(promises(&evidence(months)), expected);
    // The next month has a budget of its own.
    let month = 31 * 86_400_000;
    let apart = [(0, START), (2, START + month)].into_iter();
    let months = apart.flat_map(|(key, at)| asked(Model::Month, key, at, (1_000, 3)));
    assert_eq!(promises(&evidence(months)), []);
}

#[test]
fn one_request_too_many_at_once_is_found() {
    let hold = |apart, count| evidence(asked(Model::Hold, 0, START, (apart, count)));
    assert_eq!(promises(&hold(250, 10)), []);
    assert_eq!(promises(&hold(240, 3)), [("slots", "key-slots", 3, 2)]);
    // The provider sees a moment later only that a node was killed.
    let mut killed = hold(240, 3);
    killed.arrivals[0].broken_off = true;
    assert_eq!(promises(&killed), []);
}
