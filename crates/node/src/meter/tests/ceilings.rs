//! What attempts take of ceilings is settled with the attempt.

use super::*;

/// Requests and tokens that an attempt is charged under ceilings.
async fn charged(course: impl FnOnce(&mut Meter, Place)) -> [u64; 2] {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    let room = bench.with_owner(meter.take_room(&bench.ceilings)).await;
    let place = meter.attempt(&bench.deployment, room.unwrap());
    course(&mut meter, place);
    drop(meter);
    bench
        .spent_of([
            "deployment.d.requests_per_minute",
            "deployment.d.tokens_per_minute",
        ])
        .await
}

fn failed(reached: Reached) -> impl FnOnce(&mut Meter, Place) {
    move |meter, place| {
        meter.attempt_failed(place, &ended(reached));
        meter.fail(&Error::Internal { what: "test" });
    }
}

#[tokio::test]
async fn an_attempt_is_charged_by_how_far_it_came() {
    // From its beginning on a request is spent for good: an attempt that reached nobody cannot have it back.
    assert_eq!(charged(failed(Reached::Nobody)).await, [1, 0]);
    assert_eq!(charged(failed(Reached::Refusal)).await, [1, 0]);
    assert_eq!(charged(failed(Reached::Perhaps)).await, [1, RESERVED]);
    // The caller went away.
    assert_eq!(charged(|_, _| {}).await, [1, RESERVED]);
}

#[tokio::test]
async fn an_answer_is_charged_what_the_provider_counted() {
    let answered = |meter: &mut Meter, _: Place| {
        meter.answered(&response(Some(usage(12, 30))));
        drop(meter.complete());
    };
    assert_eq!(charged(answered).await, [1, 42]);
}

#[tokio::test]
async fn a_stream_is_charged_to_where_it_came() {
    let counted = tokens::count_text("four words of text");
    let left = |meter: &mut Meter, _: Place| {
        meter.streaming(0);
        meter.streamed(&[text(), text()]);
    };
    assert_eq!(charged(left).await, [1, INPUT + 2 * counted]);
}

#[tokio::test]
async fn room_that_no_attempt_used_goes_back() {
    let bench = Bench::new();
    let meter = bench.meter().await;
    drop(
        bench
            .with_owner(meter.take_room(&bench.ceilings))
            .await
            .unwrap(),
    );
    let limits = [
        "deployment.d.requests_per_minute",
        "deployment.d.tokens_per_minute",
    ];
    assert_eq!(bench.spent_of(limits).await, [0, 0]);
}

#[tokio::test]
async fn each_attempt_takes_a_request_though_callers_count_one() {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    for _ in 0..2 {
        bench.with_owner(meter.another_attempt()).await.unwrap();
        let room = bench.with_owner(meter.take_room(&bench.ceilings)).await;
        let place = meter.attempt(&bench.deployment, room.unwrap());
        meter.attempt_failed(place, &ended(Reached::Perhaps));
    }
    drop(meter);
    let limits = [
        "a-requests",
        "deployment.d.requests_per_minute",
        "deployment.d.tokens_per_minute",
    ];
    assert_eq!(bench.spent_of(limits).await, [1, 2, 2 * RESERVED]);
}
