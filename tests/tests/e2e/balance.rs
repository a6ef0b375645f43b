//! Which of a pool's deployments answers, by the pool's strategy, and where requests go on that one cannot answer.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use tollgate_proto::completion::v1::{
    AttemptOutcome, CompleteRequest, CompleteResponse, FinishReason, RouteTaken,
};
use tollgate_tests::provider::Behaviour;

use super::caller::{self, Caller, ask, attempts};
use super::cluster::{Cluster, PATIENCE, Store};
use super::condition::eventually;
use super::http::Http;

const STRATEGIES: &str = r#"
providers:
  mock:  { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  other: { kind: openai_compatible, base_url: "PROVIDER", internal: true }
deployments:
  dear:  { provider: mock, model: dear@ok-4, price: { input: 3, output: 9 } }
  cheap: { provider: mock, model: cheap@ok-4, price: { input: 2, output: 8 } }
  slow:  { provider: mock, model: slow@slow-first-60ms+ok-4, price: { input: 1, output: 90 } }
  tight: { provider: mock, model: tight@ok-4, limits: { requests_per_minute: 40 } }
  wide:  { provider: mock, model: wide@ok-4, limits: { requests_per_minute: 4000 } }
  one:   { provider: mock, model: one@ok-4 }
  two:   { provider: mock, model: two@ok-4 }
  three: { provider: mock, model: three@ok-4 }
pools:
  cheapest: { strategy: cheapest, targets: [ { deployment: dear }, { deployment: slow }, { deployment: cheap } ] }
  fastest:  { strategy: least_latency, targets: [ { deployment: slow }, { deployment: dear } ] }
  roomiest: { strategy: most_room, targets: [ { deployment: tight }, { deployment: wide } ] }
  sticky:
    strategy: sticky
    sticky: { by: metadata, metadata: session }
    targets: [ { deployment: one }, { deployment: two }, { deployment: three } ]
models:
  cheapest: { routes: [ { pools: [cheapest] } ], max_output_tokens: 100 }
  fastest:  { routes: [ { pools: [fastest] } ] }
  roomiest: { routes: [ { pools: [roomiest] } ] }
  sticky:   { routes: [ { pools: [sticky] } ] }
"#;

/// The deployment that answered.
fn by(route: Option<RouteTaken>) -> String {
    route.unwrap_or_default().deployment
}

/// How often each deployment answered so many requests, one by one.
async fn answered(
    caller: &Caller,
    requests: impl IntoIterator<Item = CompleteRequest>,
) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut by_deployment = BTreeMap::new();
    for request in requests {
        let answer = caller.send(request).await?;
        *by_deployment.entry(by(answer.route)).or_default() += 1;
    }
    Ok(by_deployment)
}

fn in_session(session: usize) -> CompleteRequest {
    let mut request = ask("sticky", "nonce=n");
    let session = format!("session-{session}");
    request.metadata.insert("session".to_owned(), session);
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_strategy_has_its_own_favourite() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, STRATEGIES).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let many = |model: &str| vec![ask(model, "nonce=n"); 40];
    // The one with the cheaper input has the dearer output, and answers are mostly output.
    let cheapest = answered(&caller, many("cheapest")).await?;
    assert_eq!(cheapest, [("cheap".to_owned(), 40)].into());
    // The slow one is asked once, to know it.
    let fastest = answered(&caller, many("fastest")).await?;
    assert!(fastest["dear"] >= 38, "{fastest:?}");
    // A few go to the smaller one, until it has less left in proportion.
    let roomiest = answered(&caller, many("roomiest")).await?;
    assert!(roomiest["wide"] >= 34, "{roomiest:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_together_meets_the_same_deployment_at_every_node() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 2, STRATEGIES).await?;
    let key = cluster.key("acme/a").await?;
    let callers = [cluster.caller(0, &key)?, cluster.caller(1, &key)?];
    let mut met = BTreeMap::new();
    for session in 0..24 {
        let mut of_session = BTreeMap::new();
        for caller in &callers {
            of_session.extend(answered(caller, vec![in_session(session); 3]).await?);
        }
        assert_eq!(of_session.len(), 1, "{session}: {of_session:?}");
        met.extend(of_session);
    }
    assert_eq!(met.len(), 3, "{met:?}");
    Ok(())
}

const FALLBACKS: &str = r#"
providers:
  mock:  { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  other: { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  anthropic: { kind: anthropic, base_url: "PROVIDER", internal: true }
deployments:
  long:     { provider: mock, model: long@refuse-context }
  filtered: { provider: mock, model: filtered@refuse-filter }
  withheld: { provider: mock, model: withheld@ok-0+filtered }
  refusing: { provider: anthropic, model: refusing@ok-0+filtered }
  cut-off:  { provider: mock, model: cut-off@ok-2+filtered }
  limited:  { provider: mock, model: limited@status-429-retry-30 }
  broken:   { provider: mock, model: broken@status-500 }
  silent:   { provider: mock, model: silent@hang }
  beside:   { provider: mock, model: beside@ok-4 }
  breaking: { provider: mock, model: breaking@ok-4x75ms+close-after-2 }
  mute:     { provider: other, model: mute@hang }
  slow:     { provider: mock, model: slow@ok-20x150ms }
  good:     { provider: other, model: good@ok-4 }
  spare:    { provider: other, model: spare@ok-4 }
pools:
  long:     { targets: [ { deployment: long } ] }
  filtered: { targets: [ { deployment: filtered } ] }
  withheld: { targets: [ { deployment: withheld } ] }
  refusing: { targets: [ { deployment: refusing } ] }
  cut-off:  { targets: [ { deployment: cut-off } ] }
  limited:  { targets: [ { deployment: limited } ] }
  broken:   { targets: [ { deployment: broken } ] }
  silent:   { targets: [ { deployment: silent } ] }
  beside:   { targets: [ { deployment: beside } ] }
  breaking: { targets: [ { deployment: breaking } ] }
  mute:     { targets: [ { deployment: mute } ] }
  slow:     { targets: [ { deployment: slow } ] }
  good:     { targets: [ { deployment: good } ] }
  spare:    { targets: [ { deployment: spare } ] }
models:
  long:          { routes: [ { pools: [long, spare], fallbacks: [ { on: [context_length], pools: [good] } ] } ] }
  too-long:      { routes: [ { pools: [long, spare], fallbacks: [ { on: [rate_limit, other], pools: [good] } ] } ] }
  filtered:      { routes: [ { pools: [filtered, spare], fallbacks: [ { on: [content_filter], pools: [good] } ] } ] }
  refused:       { routes: [ { pools: [filtered, spare] } ] }
  withheld:      { routes: [ { pools: [withheld, spare], fallbacks: [ { on: [content_filter], pools: [good] } ] } ] }
  refusing:      { routes: [ { pools: [refusing, spare], fallbacks: [ { on: [content_filter], pools: [good] } ] } ] }
  cut-off:       { routes: [ { pools: [cut-off, spare], fallbacks: [ { on: [content_filter], pools: [good] } ] } ] }
  withheld-only: { routes: [ { pools: [withheld, spare] } ] }
  withheld-too:  { routes: [ { pools: [refusing], fallbacks: [ { on: [content_filter], pools: [withheld] } ] } ] }
  limited:       { routes: [ { pools: [limited], fallbacks: [ { on: [other], pools: [spare] }, { on: [rate_limit], pools: [good] } ] } ] }
  broken:        { routes: [ { pools: [broken], fallbacks: [ { on: [rate_limit], pools: [spare] }, { on: [other], pools: [good] } ] } ] }
  silent:        { routes: [ { pools: [silent, beside, good] } ], retry: { first_token_timeout: 300ms } }
  slow:          { routes: [ { pools: [slow, good] } ], retry: { slow_stream: { tokens: 20, within: 300ms } } }
  mute-beside:   { routes: [ { pools: [breaking, mute, beside, spare] } ], retry: { attempts: 4, hedge_after: 50ms, per_attempt_timeout: 700ms } }
  hedged:        { routes: [ { pools: [silent, good] } ], retry: { hedge_after: 200ms } }
  slow-alone:    { routes: [ { pools: [slow] } ], retry: { slow_stream: { tokens: 20, within: 300ms } } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_on_where_the_policy_says_for_what_went_wrong() -> anyhow::Result<()> {
    use AttemptOutcome::{Answered, ContentFiltered, ContextTooLong, RateLimited, ServerError};
    let cluster = Cluster::start(Store::Embedded, 1, FALLBACKS).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    for (model, outcome) in [
        ("long", ContextTooLong),
        ("filtered", ContentFiltered),
        ("limited", RateLimited),
        ("broken", ServerError),
    ] {
        let answer = caller.complete(model, "nonce=n").await?;
        let expected = [(model.to_owned(), outcome), ("good".to_owned(), Answered)];
        assert_eq!(attempts(answer.route), expected);
    }
    // Nothing was said of such requests: they go nowhere.
    for (model, reason) in [
        ("too-long", "CONTEXT_TOO_LONG"),
        ("refused", "CONTENT_FILTERED"),
    ] {
        let status = caller.complete(model, "nonce=n").await.unwrap_err();
        assert_eq!(caller::reason(&status), reason);
    }
    Ok(())
}

/// A filter may also say no in an answer that is a success otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_a_filter_withheld_goes_on_as_a_refusal_does() -> anyhow::Result<()> {
    use AttemptOutcome::{Answered, ContentFiltered};
    let cluster = Cluster::start(Store::Embedded, 1, FALLBACKS).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let reason = |it: &CompleteResponse| it.choices.first().map(|it| it.finish_reason());
    for model in ["withheld", "refusing", "cut-off"] {
        let expected = [
            (model.to_owned(), ContentFiltered),
            ("good".to_owned(), Answered),
        ];
        let answer = caller.complete(model, "nonce=n").await?;
        assert_eq!(reason(&answer), Some(FinishReason::Stop));
        assert_eq!(attempts(answer.route), expected);
        if model == "cut-off" {
            continue;
        }
        let streamed = caller.stream(ask(model, "nonce=n")).await;
        let streamed = streamed.map_err(|(status, _)| status)?;
        assert_eq!(streamed.text, "n:0 n:1 n:2 n:3 ", "{model}");
        assert_eq!(attempts(streamed.route), expected);
    }
    // What the caller has seen stays.
    let streamed = caller.stream(ask("cut-off", "nonce=n")).await;
    let streamed = streamed.map_err(|(status, _)| status)?;
    assert_eq!(streamed.text, "n:0 n:1 ");
    // Where there is nowhere else to go, the answer says itself what became of it.
    let answer = caller.complete("withheld-only", "nonce=n").await?;
    assert_eq!(reason(&answer), Some(FinishReason::ContentFilter));
    assert_eq!(attempts(answer.route), [("withheld".to_owned(), Answered)]);
    let answer = caller.complete("withheld-too", "nonce=n").await?;
    assert_eq!(reason(&answer), Some(FinishReason::ContentFilter));
    let expected = [
        ("refusing".to_owned(), ContentFiltered),
        ("withheld".to_owned(), Answered),
    ];
    assert_eq!(attempts(answer.route), expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_slow_streams_are_given_up_for_another_provider() -> anyhow::Result<()> {
    use AttemptOutcome::{Answered, TimedOut};
    let cluster = Cluster::start(Store::Embedded, 1, FALLBACKS).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    // Another deployment of the silent provider stands before the good one, and is left out.
    for model in ["silent", "slow"] {
        let answer = caller.stream(ask(model, "nonce=n")).await;
        let answer = answer.map_err(|(status, _)| status)?;
        assert_eq!(answer.text, "n:0 n:1 n:2 n:3 ", "{model}");
        let expected = [(model.to_owned(), TimedOut), ("good".to_owned(), Answered)];
        assert_eq!(attempts(answer.route), expected);
    }
    // Where there is no other, a slow stream is better than none.
    let answer = caller.stream(ask("slow-alone", "nonce=n")).await;
    let answer = answer.map_err(|(status, _)| status)?;
    assert_eq!(answer.text.split_whitespace().count(), 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_races_with_a_silent_one_and_both_are_in_the_books() -> anyhow::Result<()>
{
    use AttemptOutcome::{Answered, GivenUp};
    let limits = "limits: [ { name: all, tokens: 100000, window: 1h } ]\n";
    let cluster = Cluster::start(Store::Embedded, 1, &format!("{FALLBACKS}{limits}")).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let expected = [
        ("silent".to_owned(), GivenUp),
        ("good".to_owned(), Answered),
    ];
    let answer = caller.complete("hedged", "nonce=n").await?;
    assert_eq!(caller::text(&answer), "n:0 n:1 n:2 n:3 ");
    assert_eq!(attempts(answer.route), expected);
    let streamed = caller.stream(ask("hedged", "nonce=n")).await;
    let streamed = streamed.map_err(|(status, _)| status)?;
    assert_eq!(attempts(streamed.route), expected);
    // The provider noticed that nobody waits any more.
    let cancelled = eventually("it notices", PATIENCE, async || {
        Ok((cluster.provider.stats().cancelled == 2).then_some(()))
    });
    cancelled.await?;
    let logged = cluster.wait_requests(2).await?;
    assert_eq!(logged[0].attempts, "silent:given_up good:answered");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_attempts_that_failed_the_provider_of_the_silent_one_is_left_out()
-> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, FALLBACKS).await?;
    let key = cluster.key("acme/a").await?;
    let answer = cluster
        .caller(0, &key)?
        .complete("mute-beside", "nonce=n")
        .await?;
    let made = attempts(answer.route);
    let names: Vec<_> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["breaking", "mute", "beside"], "{made:?}");
    assert_eq!(made[1].1, AttemptOutcome::TimedOut, "{made:?}");
    assert_ne!(made[0].1, AttemptOutcome::TimedOut, "{made:?}");
    Ok(())
}

const CONDITIONS: &str = r#"
providers:
  mock:  { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  mute:  { kind: anthropic, base_url: "PROVIDER", internal: true }
deployments:
  long:   { provider: mock, model: long@ok-4 }
  gold:   { provider: mock, model: gold@ok-4 }
  canary: { provider: mock, model: canary@ok-4 }
  rest:   { provider: mock, model: rest@ok-4 }
  claude: { provider: mute, model: claude@ok-4 }
pools:
  long:   { targets: [ { deployment: long } ] }
  gold:   { targets: [ { deployment: gold } ] }
  canary: { targets: [ { deployment: canary } ] }
  rest:   { targets: [ { deployment: rest } ] }
  claude: { targets: [ { deployment: claude } ] }
models:
  chat:
    routes:
      - { when: "request.input_tokens > 1000", pools: [long] }
      - { when: "request.metadata.plan == 'gold' || request.stream", pools: [gold] }
      - { when: "key.bucket < 50", pools: [canary], variant: canary }
      - { pools: [rest] }
  able: { routes: [ { pools: [claude, rest] } ] }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_are_chosen_by_what_is_asked_and_by_whom() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, CONDITIONS).await?;
    let (mut sides, mut canaries) = (BTreeMap::new(), 0);
    for number in 0..12 {
        let key = cluster.key(&format!("acme/{number}")).await?;
        let caller = cluster.caller(0, &key)?;
        // A key stays on its side.
        let met = answered(&caller, vec![ask("chat", "nonce=n"); 3]).await?;
        assert_eq!(met.len(), 1, "{met:?}");
        canaries += met.get("canary").copied().unwrap_or_default();
        sides.extend(met);
        if number > 0 {
            continue;
        }
        let words = "many words ".repeat(1_000) + "nonce=n";
        assert_eq!(by(caller.complete("chat", &words).await?.route), "long");
        let mut golden = ask("chat", "nonce=n");
        golden.metadata.insert("plan".to_owned(), "gold".to_owned());
        assert_eq!(by(caller.send(golden).await?.route), "gold");
        let streamed = caller.stream(ask("chat", "nonce=n")).await;
        assert_eq!(by(streamed.map_err(|(status, _)| status)?.route), "gold");
    }
    assert!(
        sides.contains_key("canary") && sides.contains_key("rest"),
        "{sides:?}"
    );
    // What is compared is told apart where it is looked for.
    let ops = Http::new(&cluster.nodes[0].ops()?, "");
    let metrics = ops.send(Method::GET, "/metrics", "").await?.body;
    let name = "tollgate_variant_request_seconds_count{";
    let mut counts = metrics.lines().filter(|line| line.starts_with(name));
    let count = counts
        .find(|line| line.contains("variant=\"canary\""))
        .unwrap_or_default();
    assert!(
        count.ends_with(&format!("}} {canaries}")),
        "{canaries} {count}"
    );
    Ok(())
}

const SAVING: &str = r#"
providers: { mock: { kind: openai_compatible, base_url: "PROVIDER", internal: true } }
deployments:
  small:  { provider: mock, model: small@ok-4, price: { input: 0, output: 0 } }
  strong: { provider: mock, model: strong@ok-4, price: { input: 0, output: 1000 } }
pools:
  small:  { targets: [ { deployment: small } ] }
  strong: { targets: [ { deployment: strong } ] }
models:
  by-work:
    routes: [ { when: "request.complexity < 0.1", pools: [small] }, { pools: [strong] } ]
    max_output_tokens: 4
  by-budget:
    routes: [ { when: "budget('spend').used > 0.5", pools: [small] }, { pools: [strong] } ]
    max_output_tokens: 4
limits: [ { name: spend, per: [org], cost_usd: "0.1", window: 1h } ]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simple_requests_and_those_beyond_a_budget_go_to_the_cheap_model() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, SAVING).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let hard = "Prove that the algorithm below is correct, derive its complexity, and compare it with the \
                alternatives, step by step. It must never lock. nonce=n";
    for (text, by_work) in [("Hello! nonce=n", "small"), (hard, "strong")] {
        assert_eq!(by(caller.complete("by-work", text).await?.route), by_work);
    }
    // Each answer of the strong one costs 0.004 of 0.1 dollars: twelve with the one above use up half, and nobody is ever
    // refused. As the owner hears of it with a delay, one more or less may be counted for a moment.
    let met = answered(&caller, vec![ask("by-budget", "nonce=n"); 30]).await?;
    assert!((11..=13).contains(&met["strong"]), "{met:?}");
    // Another org has spent nothing.
    let other = cluster.caller(0, &cluster.key("beta/b").await?)?;
    assert_eq!(
        by(other.complete("by-budget", "nonce=n").await?.route),
        "strong"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_has_no_words_for_goes_to_another() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, CONDITIONS).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let plain = caller.complete("able", "nonce=n").await?;
    assert_eq!(by(plain.route), "claude");
    let seeded = CompleteRequest {
        seed: Some(7),
        ..ask("able", "nonce=n")
    };
    assert_eq!(by(caller.send(seeded).await?.route), "rest");
    Ok(())
}

const FLAPPING: &str = r#"
providers:
  mock:  { kind: openai_compatible, base_url: "PROVIDER", internal: true }
  other: { kind: openai_compatible, base_url: "PROVIDER", internal: true }
deployments:
  first:  { provider: mock, model: first@ok-4 }
  second: { provider: other, model: second@ok-4 }
pools:
  first:  { targets: [ { deployment: first } ], health: { first_ejection: 4s, slow_start: 0s } }
  second: { targets: [ { deployment: second } ] }
models:
  chat: { routes: [ { pools: [first, second] } ] }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_fails_is_left_out_and_comes_back_by_itself() -> anyhow::Result<()> {
    let cluster = Cluster::start(Store::Embedded, 1, FLAPPING).await?;
    let key = cluster.key("acme/a").await?;
    let caller = cluster.caller(0, &key)?;
    let many = |count| vec![ask("chat", "nonce=n"); count];
    let only = |name: &str, count| BTreeMap::from([(name.to_owned(), count)]);
    assert_eq!(answered(&caller, many(5)).await?, only("first", 5));

    let broken: Behaviour = "status-500".parse()?;
    cluster.provider.behave_for("first@ok-4", Some(broken));
    assert_eq!(answered(&caller, many(10)).await?, only("second", 10));
    // A change of policy that does not touch it makes nothing well.
    cluster.apply(&FLAPPING.replace("second@ok-4", "second@ok-5"))?;
    assert_eq!(answered(&caller, many(10)).await?, only("second", 10));
    // It was asked three times until it was left out, and no more.
    assert_eq!(cluster.provider.stats().refused, 3);

    cluster.provider.behave_for("first@ok-4", None);
    let back = super::condition::eventually("it is back", Duration::from_secs(10), async || {
        let answer = caller.complete("chat", "nonce=n").await?;
        Ok((by(answer.route) == "first").then_some(()))
    });
    back.await?;
    assert_eq!(answered(&caller, many(5)).await?, only("first", 5));
    Ok(())
}
