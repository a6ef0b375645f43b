//! Two attempts that race are settled each, whichever answers.

use super::*;

/// What the tests look at: the request, its tokens, and both attempts' ceilings.
const LIMITS: [&str; 4] = [
    "a-requests",
    "b-tokens",
    "deployment.d.requests_per_minute",
    "deployment.d.tokens_per_minute",
];

/// What is charged where two attempts of a request race.
async fn charged(course: impl FnOnce(&mut Meter, [Place; 2])) -> [u64; 4] {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    let room = bench.with_owner(meter.take_room(&bench.ceilings)).await;
    let first = meter.attempt(&bench.deployment, room.unwrap());
    bench.with_owner(meter.attempt_beside()).await.unwrap();
    let room = bench.with_owner(meter.take_room(&bench.ceilings)).await;
    let second = meter.attempt(&bench.deployment, room.unwrap());
    course(&mut meter, [first, second]);
    drop(meter);
    bench.spent_of(LIMITS).await
}

fn answer(meter: &mut Meter, winner: Place) {
    meter.attempt_won(winner);
    meter.answered(&response(Some(usage(12, 30))));
    drop(meter.complete());
}

#[tokio::test]
async fn the_one_that_is_given_up_is_charged_beside_the_one_that_answers() {
    for winner in [0, 1] {
        let charged = charged(|meter, places| answer(meter, places[winner])).await;
        assert_eq!(charged, [1, 42 + RESERVED, 2, 42 + RESERVED]);
    }
}

#[tokio::test]
async fn one_that_fails_is_charged_by_how_far_it_came() {
    for (reached, tokens) in [
        (Reached::Nobody, 0),
        (Reached::Refusal, 0),
        (Reached::Perhaps, RESERVED),
    ] {
        for loser in [0, 1] {
            let charged = charged(|meter, places| {
                meter.attempt_failed(places[loser], &ended(reached));
                answer(meter, places[1 - loser]);
            })
            .await;
            assert_eq!(charged, [1, 42 + tokens, 2, 42 + tokens], "{reached:?}");
        }
    }
}

#[tokio::test]
async fn both_are_charged_where_the_caller_goes_away_or_both_fail() {
    let left = charged(|_, _| {}).await;
    assert_eq!(left, [1, 2 * RESERVED, 2, 2 * RESERVED]);
    let failed = charged(|meter, places| {
        for place in places {
            meter.attempt_failed(place, &ended(Reached::Perhaps));
        }
        meter.fail(&Error::Internal { what: "test" });
    })
    .await;
    assert_eq!(failed, [1, 2 * RESERVED, 2, 2 * RESERVED]);
    let refused = charged(|meter, places| {
        for place in places {
            meter.attempt_failed(place, &ended(Reached::Refusal));
        }
        meter.fail(&Error::Internal { what: "test" });
    })
    .await;
    assert_eq!(refused, [1, 0, 2, 0]);
}

#[tokio::test]
async fn what_was_reserved_for_a_second_attempt_that_never_began_comes_back() {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    let first = meter.attempt(&bench.deployment, None);
    bench.with_owner(meter.attempt_beside()).await.unwrap();
    answer(&mut meter, first);
    drop(meter);
    assert_eq!(bench.spent_of(["a-requests", "b-tokens"]).await, [1, 42]);
}
