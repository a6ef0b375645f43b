use super::*;

const ASSUMED: Assumptions = Assumptions {
    window_ms: 20_000,
    lateness_ms: 4_000,
    skew_ms: 100,
};
/// Start of a window.
const START: u64 = 1_000_000 * 20_000;
/// 10 requests per key, 15 per team, 1,000 tokens per team.
const AMOUNTS: Amounts = [Some(10), Some(15), Some(1_000)];

/// `count` requests of a key, so many milliseconds apart, from `at` on.
fn requests(key: usize, at: u64, apart: u64, count: u64) -> impl Iterator<Item = Arrival> {
    (0..count).map(move |n| Arrival {
        at_ms: at + n * apart,
        key,
        tokens: 20,
    })
}

fn evidence(arrivals: impl Iterator<Item = Arrival>) -> Evidence {
    let mut arrivals: Vec<Arrival> = arrivals.collect();
    arrivals.sort_by_key(|arrival| arrival.at_ms);
    let setting = Setting {
        amounts: AMOUNTS,
        from_ms: START - 60_000,
        until_ms: None,
    };
    Evidence {
        arrivals,
        admitted: Admitted::new(),
        settings: vec![setting],
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
    assert_eq!(verdict.checks["label"], 1);
    assert!(verdict.checks["interval"] >= 20, "{verdict:?}");
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
        tokens: 200,
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
    let lowered = Setting {
        amounts: [Some(3), Some(15), None],
        from_ms: START + 10_000,
        until_ms: None,
    };
    seen.settings[0].until_ms = Some(START + 12_000);
    seen.settings.push(lowered);
    assert_eq!(promises(&seen), [("inside", "key-requests", 10, 3)]);
    // A replica that heard of it in the next window only may have gone by the old one.
    seen.settings[0].until_ms = Some(START + 21_000);
    assert_eq!(promises(&seen), []);
}

#[test]
fn an_amount_is_constant_where_no_other_was_in_force() {
    let mut seen = evidence(std::iter::empty());
    assert_eq!(seen.constant(0, START, START + 20_000), Some(10));
    seen.settings[0].until_ms = Some(START + 12_000);
    seen.settings.push(Setting {
        amounts: [Some(3), Some(15), None],
        from_ms: START + 10_000,
        until_ms: None,
    });
    assert_eq!(seen.constant(0, START, START + 20_000), None);
    assert_eq!(seen.constant(1, START, START + 20_000), Some(15));
    assert_eq!(seen.constant(0, START + 20_000, START + 40_000), Some(3));
    assert_eq!(seen.constant(2, START + 20_000, START + 40_000), None);
}
