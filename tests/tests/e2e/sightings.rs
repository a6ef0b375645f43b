//! What nodes tell each other of deployments that fail, and of keys that are refused.

use tollgate_proto::completion::v1::{AttemptOutcome, CandidateState};
use tollgate_tests::provider::key_hash;

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

/// The key of the first provider is in a file.
fn keyed(file: &str) -> String {
    POLICY
        .replacen(
            "internal: true",
            &format!("internal: true, credential: {{ file: \"{file}\" }}"),
            1,
        )
        .replace("broken@status-500", KEYED)
}

/// What the first provider knows its model by.
const KEYED: &str = "keyed@ok-4";

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_one_node_was_refused_the_other_does_not_try_until_it_is_another()
-> anyhow::Result<()> {
    use AttemptOutcome::{Answered, KeyRefused};
    let key_file = tempfile::NamedTempFile::new()?;
    std::fs::write(key_file.path(), "sk-dead")?;
    let policy = keyed(&key_file.path().display().to_string());
    let cluster = Cluster::start(Store::Embedded, 2, &policy).await?;
    let key = cluster.key("acme/a").await?;
    let [one, two] = [cluster.caller(0, &key)?, cluster.caller(1, &key)?];
    let good = ("good".to_owned(), Answered);

    let provider = &cluster.provider;
    provider.behave_for(KEYED, Some("refuse-key".parse()?));
    let answer = one.complete("chat", "nonce=one").await?;
    let refused = ("broken".to_owned(), KeyRefused);
    assert_eq!(attempts(answer.route), [refused, good.clone()]);
    let heard = eventually("the other node hears of it", PATIENCE, async || {
        Ok((state(&two).await? == CandidateState::Ejected).then_some(()))
    });
    heard.await?;
    for _ in 0..5 {
        let answer = two.complete("chat", "nonce=two").await?;
        assert_eq!(attempts(answer.route), std::slice::from_ref(&good));
    }
    let asked = |nonce: &str| {
        let mut all = provider.ledger();
        all.retain(|it| it.model == KEYED && it.nonce == nonce);
        all
    };
    assert_eq!((asked("one").len(), asked("two").len()), (1, 0));
    let log = cluster.node_log(1)?;
    assert!(
        log.contains("invalid_api_key") && !log.contains("sk-dead"),
        "{log}"
    );

    // Another key is asked at once, by either node for itself.
    provider.behave_for(KEYED, None);
    std::fs::write(key_file.path(), "sk-new")?;
    for (caller, nonce) in [(&one, "one-more"), (&two, "two-more")] {
        let asks_again = eventually("the other key is tried", PATIENCE, async || {
            Ok((state(caller).await? == CandidateState::Ready).then_some(()))
        });
        asks_again.await?;
        let answer = caller.complete("chat", &format!("nonce={nonce}")).await?;
        assert_eq!(attempts(answer.route), [("broken".to_owned(), Answered)]);
        assert_eq!(asked(nonce)[0].key_hash, key_hash("sk-new"));
    }
    assert!(cluster.node_log(1)?.contains("there is another key"));
    Ok(())
}
