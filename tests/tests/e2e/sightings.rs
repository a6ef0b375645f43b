//! What nodes tell each other of deployments that fail.

use tollgate_proto::completion::v1::{AttemptOutcome, CandidateState};

use super::caller::{Caller, ask, attempts};
use super::cluster::{Cluster, PATIENCE, Store};
use super::condition::eventually;

const POLICY: &str = r#"
providers:
  mock:  { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  other: { kind: openai_compatible, base_url: "PROVIDER", internal: true }
deployments:
  broken: { provider: mock, model: broken@status-500 }
  good:   { provider: other, model: good@ok-4 }
pools:
  first: { targets: [ { deployment: broken } ], health: { first_ejection: 30s } }
  then:  { targets: [ { deployment: good } ] }
models: { chat: { routes: [ { pools: [first, then] } ] } }
"#;

async fn state(caller: &Caller) -> anyhow::Result<CandidateState> {
    let told = caller.explain(ask("chat", "nonce=n")).await?;
    Ok(told.pools[0].candidates[0].state())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_has_found_out_costs_another_a_single_failure() -> anyhow::Result<()> {
    use AttemptOutcome::{Answered, ServerError};
    let cluster = Cluster::start(Store::Embedded, 2, POLICY).await?;
    let key = cluster.key("acme/a").await?;
    let [one, two] = [cluster.caller(0, &key)?, cluster.caller(1, &key)?];
    assert_eq!(state(&two).await?, CandidateState::Ready);
    let failed = ("broken".to_owned(), ServerError);
    let answered = ("good".to_owned(), Answered);
    for _ in 0..3 {
        let answer = one.complete("chat", "nonce=n").await?;
        assert_eq!(attempts(answer.route), [failed.clone(), answered.clone()]);
    }
    assert_eq!(state(&one).await?, CandidateState::Ejected);
    let doubts = eventually("the other node doubts it", PATIENCE, async || {
        Ok((state(&two).await? == CandidateState::Probed).then_some(()))
    });
    doubts.await?;
    // It finds out by itself, once.
    let answer = two.complete("chat", "nonce=n").await?;
    assert_eq!(attempts(answer.route), [failed, answered.clone()]);
    assert_eq!(state(&two).await?, CandidateState::Ejected);
    let answer = two.complete("chat", "nonce=n").await?;
    assert_eq!(attempts(answer.route), [answered]);
    Ok(())
}
