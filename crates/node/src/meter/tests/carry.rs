//! Answers that broke off and are gone on with are charged part by part, and told as one.

use super::*;

/// What the tests look at: the request, its tokens, and both attempts' ceilings.
const LIMITS: [&str; 4] = [
    "a-requests",
    "b-tokens",
    "deployment.d.requests_per_minute",
    "deployment.d.tokens_per_minute",
];

/// What is charged where a stream breaks off after 7 tokens, and another attempt within the same bounds ends so.
async fn charged(course: impl FnOnce(&mut Meter, Place)) -> [u64; 4] {
    let bench = Bench::new();
    let revision = Revision::of_text(POLICY);
    let mut meter = bench.meter().await;
    let room = bench.with_owner(meter.take_room(&bench.ceilings)).await;
    let _ = meter.attempt(&bench.deployment, room.unwrap());
    meter.streaming(0);
    meter.streamed(&[text()]);
    meter.broke(&ended(Reached::Perhaps), Some(usage(12, 7)));
    let carried = meter.carry_on(&revision, bounds());
    bench.with_owner(carried).await.unwrap();
    let room = bench.with_owner(meter.take_room(&bench.ceilings)).await;
    let second = meter.attempt(&bench.deployment, room.unwrap());
    course(&mut meter, second);
    drop(meter);
    bench.spent_of(LIMITS).await
}

#[tokio::test]
async fn both_parts_are_charged_and_told_as_a_sum() {
    let charged = charged(|meter, _| {
        meter.streaming(5);
        meter.streamed(&[text(), Chunk::Usage(usage(20, 30))]);
        let summary = meter.complete().unwrap();
        let told = summary.usage;
        assert_eq!((told.input_total, told.output_total), (32, 37));
        assert_eq!(summary.cost, Some(32 * 1000 + 37 * 2000));
        let outcomes: Vec<_> = summary.attempts.iter().map(|it| it.outcome).collect();
        let expected = [AttemptOutcome::ServerError, AttemptOutcome::Answered];
        assert_eq!(outcomes, expected);
        assert!(summary.attempts.iter().all(|it| it.handed_on));
    });
    assert_eq!(charged.await, [1, 19 + 50, 2, 19 + 50]);
}

#[tokio::test]
async fn what_was_left_out_of_the_second_part_counts_where_its_provider_tells_nothing() {
    let counted = tokens::count_text("four words of text");
    let charged = charged(|meter, _| {
        meter.streaming(5);
        meter.streamed(&[text()]);
        let told = meter.complete().unwrap().usage;
        assert_eq!(told.output_total, 7 + 5 + counted);
        assert_eq!(told.source, UsageSource::Estimated);
    });
    let tokens = 19 + INPUT + 5 + counted;
    assert_eq!(charged.await, [1, tokens, 2, tokens]);
}

#[tokio::test]
async fn a_second_part_that_fails_is_charged_by_how_far_it_came() {
    for (reached, tokens) in [
        (Reached::Nobody, 0),
        (Reached::Refusal, 0),
        (Reached::Perhaps, RESERVED),
    ] {
        let charged = charged(|meter, second| {
            meter.attempt_failed(second, &ended(reached));
            meter.fail(&Error::Truncated);
        });
        let expected = [1, 19 + tokens, 2, 19 + tokens];
        assert_eq!(charged.await, expected, "{reached:?}");
    }
    let left = charged(|_, _| {}).await;
    assert_eq!(left, [1, 19 + RESERVED, 2, 19 + RESERVED]);
}
