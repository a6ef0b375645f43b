//! A deployment that fails is passed over before the caller has seen anything of it.

use tollgate_proto::completion::v1::AttemptOutcome;

use super::caller::{self, ask, attempts};
use super::cluster::{Cluster, Store};

/// What goes wrong at the first pool, and what the route must say of it.
const FAULTS: [(&str, AttemptOutcome); 8] = [
    ("status-500", AttemptOutcome::ServerError),
    ("status-503", AttemptOutcome::ServerError),
    ("status-429-retry-2", AttemptOutcome::RateLimited),
    ("status-401", AttemptOutcome::KeyRefused),
    ("hang", AttemptOutcome::TimedOut),
    ("reset", AttemptOutcome::TransportError),
    ("close", AttemptOutcome::TransportError),
    ("bad-json", AttemptOutcome::BadResponse),
];

/// What the second pool answers.
const ANSWER: &str = "n:0 n:1 n:2 n:3 n:4 n:5 ";

fn policy() -> String {
    use std::fmt::Write;
    let mut deployments = String::from("  good: { provider: mock, model: good@ok-6 }\n");
    let mut pools = String::from("  good: { targets: [ { deployment: good } ] }\n");
    let mut models = String::new();
    for (fault, _) in FAULTS {
        // A refused key is the whole provider's.
        let provider = if fault == "status-401" {
            "keyless"
        } else {
            "mock"
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            deployments,
            "  {fault}: {{ provider: {provider}, model: {fault} }}"
        );
        let _ = writeln!(
            pools,
            "  {fault}: {{ targets: [ {{ deployment: {fault} }} ] }}"
        );
        let _ = writeln!(
            models,
            "  {fault}: {{ routes: [ {{ pools: [{fault}, good] }} ], retry: {{ per_attempt_timeout: 400ms }} }}"
        );
    }
    format!(
        "providers:\n  mock: {{ kind: openai_compatible, base_url: \"PROVIDER\", internal: true }}\n  \
           keyless: {{ kind: openai_compatible, base_url: \"PROVIDER\", internal: true }}\n\
         deployments:\n{deployments}pools:\n{pools}models:\n{models}"
    )
}

#[track_caller]
fn check(faults: &[(&'static str, AttemptOutcome)], met: &[(&str, Vec<(String, AttemptOutcome)>)]) {
    let answered = AttemptOutcome::Answered;
    let expected: Vec<_> = faults
        .iter()
        .map(|(fault, outcome)| {
            let first = ((*fault).to_owned(), *outcome);
            (*fault, vec![first, ("good".to_owned(), answered)])
        })
        .collect();
    assert_eq!(met, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_pool_answers_and_the_route_says_why() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let mut met = Vec::new();
    for (fault, _) in FAULTS {
        let answer = caller.complete(fault, "nonce=n").await?;
        assert_eq!(caller::text(&answer), ANSWER, "{fault}");
        met.push((fault, attempts(answer.route)));
    }
    check(&FAULTS, &met);
    // The log tells the operator the same.
    let requests = cluster.wait_requests(FAULTS.len()).await?;
    assert_eq!(
        requests[0].attempts,
        "status-500:server_error good:answered"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_fail_over_too_before_their_first_content() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, &policy()).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let mut met = Vec::new();
    // A stream with an event that is no JSON goes on: see `streams`.
    let faults = &FAULTS[..7];
    for (fault, _) in faults {
        let answer = caller.stream(ask(fault, "nonce=n")).await;
        let answer = answer.map_err(|(status, _)| status)?;
        assert_eq!(answer.text, ANSWER, "{fault}");
        met.push((*fault, attempts(answer.route)));
    }
    check(faults, &met);
    Ok(())
}
