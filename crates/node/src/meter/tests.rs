//! However a request ends, it is settled once, at what it used.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tollgate_proto::node::v1::Key;
use tollgate_provider::chat::Delta;
use tollgate_provider::chat::{Choice, Details, FinishReason, Message, Response, Role};
use tollgate_provider::tokens;
use tollgate_provider::{Class, Failure};
use tollgate_quota::{
    Counter, Epoch, Generation, Incarnation, NodeMessage, OwnerAccount, OwnerMessage, OwnerTime,
    Window,
};

mod carry;
mod ceilings;
mod race;
mod served;
mod vectors;

use super::*;
use crate::asked::Asked;
use crate::limiter::Limiter;
use crate::permit::Needs;
use crate::plan::{Line, Plan};
use crate::revision::Revision;
use crate::upstream::Reached;

const POLICY: &str = r#"
providers: { p: { kind: simulated } }
deployments:
  d:
    provider: p
    model: m
    price: { input: "1", output: "2" }
    limits: { requests_per_minute: 9, tokens_per_minute: 9000, concurrent: 9 }
pools: { p: { targets: [ { deployment: d } ] } }
models: { chat: { routes: [ { pools: [p] } ] } }
limits:
  - { name: a-requests, requests: 100, window: 1h }
  - { name: b-tokens, tokens: 1000, window: 1h }
  - { name: c-money, cost_usd: "1", window: 1h }
  - { name: d-shadow, tokens: 1000, window: 1h, mode: shadow }
  - { name: e-full, requests: 1, window: 1h, mode: shadow }
"#;

/// Tokens that every request here reserves, what its input is estimated at, and what it costs then.
const RESERVED: u64 = 100;
const INPUT: u64 = 10;
const COST: u64 = INPUT * 1000 + (RESERVED - INPUT) * 2000;

fn bounds() -> Bounds {
    Bounds {
        input: INPUT,
        output: RESERVED - INPUT,
        ..Bounds::default()
    }
}

/// Units of every limit that the owner grants.
const GRANTED: u64 = 1_000_000_000;

/// A limiter whose owner grants everything, and what a meter needs.
struct Bench {
    limiter: Arc<Limiter>,
    plan: Arc<Plan>,
    model: Arc<Model>,
    deployment: Arc<Deployment>,
    ceilings: Arc<[Line]>,
    needs: Needs,
}

impl Bench {
    fn new() -> Self {
        let revision = Revision::of_text(POLICY);
        let model = Arc::clone(revision.table.model("chat").unwrap());
        let key = Key {
            id: "k1".into(),
            subject: "acme".into(),
            ..Default::default()
        };
        let plan = Known::new(&key).unwrap().plan(&revision, &model).unwrap();
        let needs = plan.needs(&revision, &model, &bounds());
        Self {
            needs,
            limiter: Arc::new(Limiter::new("n", 7, None)),
            plan,
            model,
            deployment: Arc::clone(revision.deployment(0).unwrap().0),
            ceilings: Arc::clone(revision.ceilings(0).unwrap()),
        }
    }

    /// A request that was admitted.
    async fn meter(&self) -> Meter {
        let until = Instant::now() + Duration::from_secs(5);
        let permit = Permit::take(&self.limiter, &self.plan, self.needs, until);
        let permit = self.with_owner(permit).await.unwrap();
        let mut meter = Meter::start("http", Instant::now());
        let asked = Asked::Completion {
            request: Box::default(),
            stream: false,
        };
        meter.asked(&self.model, 1, &asked, bounds());
        meter.admitted(permit);
        meter
    }

    /// Lets something happen that may wait for the owner's grants.
    async fn with_owner<T>(&self, work: impl Future<Output = T>) -> T {
        self.limiter.connected();
        let owner = async {
            loop {
                let asked = self.limiter.next_message(|_| true).await.unwrap();
                self.grant(&asked.message);
            }
        };
        tokio::select! {
            result = work => result,
            () = owner => unreachable!("the owner goes on"),
        }
    }

    fn grant(&self, asked: &NodeMessage) {
        let account = |counter: &Counter| {
            let full = counter.limit() == "e-full";
            OwnerAccount {
                counter: counter.clone(),
                window: Window(1),
                generation: Generation::FIRST,
                granted: if full { 0 } else { GRANTED },
                rem_ms: 3_000_000,
                version: 1,
                exhausted_above: full.then_some(0),
                keep: None,
                limit: GRANTED,
                remaining: GRANTED,
                share: None,
                coming: Vec::new(),
                promises: Vec::new(),
            }
        };
        self.limiter.receive(&OwnerMessage {
            epoch: Epoch(1),
            incarnation: Incarnation(7),
            echo_t_node: asked.t_node,
            owner_now: OwnerTime(3_600_000),
            accounts: asked
                .accounts
                .iter()
                .map(|asked| account(&asked.counter))
                .collect(),
            closed: Vec::new(),
        });
    }

    /// Requests, tokens and money that are spent for good.
    async fn spent(&self) -> (u64, u64, u64) {
        let [requests, tokens, money] = self.spent_of(["a-requests", "b-tokens", "c-money"]).await;
        (requests, tokens, money)
    }

    async fn spent_of<const N: usize>(&self, limits: [&str; N]) -> [u64; N] {
        self.limiter.connected();
        let message = self.limiter.next_message(|_| true).await.unwrap().message;
        limits.map(|limit| {
            let mut accounts = message.accounts.iter();
            accounts
                .find(|account| account.counter.limit() == limit)
                .map_or(0, |account| account.spent)
        })
    }

    /// Waits until the owner has said something of every limit that is a mere shadow.
    async fn shadows_answered(&self) {
        let unanswered = || {
            let mut shadows = self.plan.shadows.iter();
            shadows.any(|line| self.limiter.view(&line.counter).is_none())
        };
        let wait = async {
            while unanswered() {
                tokio::task::yield_now().await;
            }
        };
        self.with_owner(wait).await;
    }
}

fn ended(reached: Reached) -> Ended {
    Ended {
        outcome: AttemptOutcome::ServerError,
        failure: Arc::new(Failure::new(Class::Server, "broken")),
        reached,
        field: None,
        usage: None,
        key: None,
        readable: None,
    }
}

fn response(usage: Option<Usage>) -> Response {
    let message = Message::text(Role::Assistant, "four words of text");
    let choice = Choice {
        index: 0,
        message,
        finish_reason: FinishReason::Stop,
        logprobs: None,
        stop_sequence: None,
        details: Details::new(),
    };
    Response {
        id: "1".into(),
        model: "m".into(),
        choices: vec![choice],
        usage,
        usage_report: None,
        fingerprint: None,
        details: Details::new(),
        warnings: Vec::new(),
    }
}

fn text() -> Chunk {
    Chunk::Delta {
        choice: 0,
        delta: Delta::Text("four words of text".into()),
    }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage::of(input, output, UsageSource::Provider)
}

/// Lets a request run as `course` says and tells what it was settled at.
async fn settled(course: impl FnOnce(&mut Meter, &Bench)) -> (u64, u64, u64) {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    course(&mut meter, &bench);
    drop(meter);
    bench.spent().await
}

#[tokio::test]
async fn an_answer_is_charged_what_the_provider_counted() {
    let spent = settled(|meter, bench| {
        let _ = meter.attempt(&bench.deployment, None);
        meter.answered(&response(Some(usage(12, 30))));
        let summary = meter.complete().unwrap();
        assert_eq!(summary.cost, Some(12 * 1000 + 30 * 2000));
    });
    assert_eq!(spent.await, (1, 42, 12 * 1000 + 30 * 2000));
}

#[tokio::test]
async fn an_answer_without_usage_is_charged_by_estimate() {
    let counted = tokens::count_text("four words of text");
    let spent = settled(|meter, bench| {
        let _ = meter.attempt(&bench.deployment, None);
        meter.answered(&response(None));
        assert_eq!(
            meter.complete().unwrap().usage.source,
            UsageSource::Estimated
        );
    });
    assert_eq!(
        spent.await,
        (1, INPUT + counted, INPUT * 1000 + counted * 2000)
    );
}

#[tokio::test]
async fn what_was_never_sent_is_refunded_whole() {
    assert_eq!(settled(|_, _| {}).await, (0, 0, 0));
    let unreachable = |meter: &mut Meter, bench: &Bench| {
        let place = meter.attempt(&bench.deployment, None);
        meter.attempt_failed(place, &ended(Reached::Nobody));
        meter.fail(&Error::Internal { what: "test" });
    };
    assert_eq!(settled(unreachable).await, (0, 0, 0));
}

#[tokio::test]
async fn what_providers_refused_costs_no_tokens() {
    let refused = |meter: &mut Meter, bench: &Bench| {
        for _ in 0..2 {
            let place = meter.attempt(&bench.deployment, None);
            meter.attempt_failed(place, &ended(Reached::Refusal));
        }
        meter.fail(&Error::Internal { what: "test" });
    };
    assert_eq!(settled(refused).await, (1, 0, 0));
}

#[tokio::test]
async fn work_that_may_have_been_done_is_charged_as_reserved() {
    let lost = |meter: &mut Meter, bench: &Bench| {
        let place = meter.attempt(&bench.deployment, None);
        meter.attempt_failed(place, &ended(Reached::Perhaps));
        let place = meter.attempt(&bench.deployment, None);
        meter.attempt_failed(place, &ended(Reached::Nobody));
    };
    assert_eq!(settled(lost).await, (1, RESERVED, COST));
    let left = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment, None);
    };
    assert_eq!(settled(left).await, (1, RESERVED, COST));
}

#[tokio::test]
async fn a_stream_is_charged_to_where_it_came() {
    let counted = tokens::count_text("four words of text");
    let left = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment, None);
        meter.streaming(0);
        meter.streamed(&[text(), text()]);
    };
    let cost = INPUT * 1000 + 2 * counted * 2000;
    assert_eq!(settled(left).await, (1, INPUT + 2 * counted, cost));
    let broken = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment, None);
        meter.streaming(0);
        meter.broke(&ended(Reached::Perhaps), Some(usage(12, 3)));
        meter.fail(&Error::Truncated);
    };
    assert_eq!(settled(broken).await, (1, 15, 12 * 1000 + 3 * 2000));
    let lagging = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment, None);
        meter.streaming(0);
        meter.streamed(&[text(), text(), text(), text()]);
        meter.broke(&ended(Reached::Perhaps), Some(usage(12, 1)));
        meter.fail(&Error::Truncated);
    };
    let (_, charged, _) = settled(lagging).await;
    assert!(charged > 13, "{charged} for an answer of many words");
    let whole = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment, None);
        meter.streaming(0);
        meter.streamed(&[text(), Chunk::Usage(usage(12, 4))]);
        assert_eq!(meter.complete().unwrap().usage.total(), 16);
    };
    assert_eq!(settled(whole).await, (1, 16, 12 * 1000 + 4 * 2000));
}

#[tokio::test]
async fn more_than_was_reserved_is_charged_too() {
    let spent = settled(|meter, bench| {
        let _ = meter.attempt(&bench.deployment, None);
        meter.answered(&response(Some(usage(10, 500))));
        meter.complete();
    });
    assert_eq!(spent.await, (1, 510, 10 * 1000 + 500 * 2000));
}

#[tokio::test]
async fn an_attempt_of_unknown_outcome_is_charged_beside_the_one_that_answers() {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    for _ in 0..2 {
        bench.with_owner(meter.another_attempt()).await.unwrap();
        let place = meter.attempt(&bench.deployment, None);
        meter.attempt_failed(place, &ended(Reached::Perhaps));
    }
    bench.with_owner(meter.another_attempt()).await.unwrap();
    let _ = meter.attempt(&bench.deployment, None);
    meter.answered(&response(Some(usage(10, 30))));
    meter.complete();
    let permit = meter.permit.as_ref().unwrap();
    let money = format!("c-money@1:{COST}");
    let tokens = format!("b-tokens@1:{RESERVED}");
    let again = format!("{tokens} {money}");
    assert_eq!(
        permit.labels(),
        format!("a-requests@1:1 {again} {again} {again}")
    );
    drop(meter);
    let answered = 10 * 1000 + 30 * 2000;
    assert_eq!(
        bench.spent().await,
        (1, 2 * RESERVED + 40, 2 * COST + answered)
    );
}

#[tokio::test]
async fn an_attempt_without_an_answer_is_charged_what_its_provider_tells() {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    let place = meter.attempt(&bench.deployment, None);
    meter.attempt_failed(place, &Ended::withheld(Some(usage(7, 3))));
    bench.with_owner(meter.another_attempt()).await.unwrap();
    let _ = meter.attempt(&bench.deployment, None);
    meter.answered(&response(Some(usage(10, 30))));
    meter.complete();
    drop(meter);
    let cost = (7 + 10) * 1000 + (3 + 30) * 2000;
    assert_eq!(bench.spent().await, (1, 10 + 40, cost));
}

#[tokio::test]
async fn a_refused_attempt_leaves_its_reservation_to_the_next() {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    let place = meter.attempt(&bench.deployment, None);
    meter.attempt_failed(place, &ended(Reached::Refusal));
    // Nobody has to be asked.
    meter.another_attempt().await.unwrap();
    let _ = meter.attempt(&bench.deployment, None);
    meter.answered(&response(Some(usage(10, 30))));
    meter.complete();
    drop(meter);
    assert_eq!(bench.spent().await, (1, 40, 10 * 1000 + 30 * 2000));
}

#[tokio::test]
async fn a_shadow_counts_what_it_would_admit_and_names_what_it_would_refuse() {
    let bench = Bench::new();
    // Nobody has heard of the shadows' owner yet: the request was admitted without waiting for it.
    let mut meter = bench.meter().await;
    assert_eq!(meter.would_refuse(), "");
    bench.shadows_answered().await;
    assert_eq!(meter.would_refuse(), "e-full");
    let place = meter.attempt(&bench.deployment, None);
    meter.attempt_failed(place, &ended(Reached::Perhaps));
    bench.with_owner(meter.another_attempt()).await.unwrap();
    let _ = meter.attempt(&bench.deployment, None);
    meter.answered(&response(Some(usage(10, 30))));
    meter.complete();
    let state = meter.limits();
    assert!(state.gauges().all(|(_, gauge)| gauge.limit == GRANTED));
    drop(meter);
    let spent = bench.spent_of(["b-tokens", "d-shadow", "e-full"]).await;
    assert_eq!(spent, [RESERVED + 40, RESERVED + 40, 0]);
}

#[tokio::test]
async fn a_shadow_that_is_answered_late_is_settled_late() {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    let _ = meter.attempt(&bench.deployment, None);
    meter.answered(&response(Some(usage(10, 30))));
    meter.complete();
    // The request is over, and nobody has heard of the shadows' owner.
    drop(meter);
    bench.shadows_answered().await;
    let spent = bench.spent_of(["d-shadow", "e-full"]).await;
    assert_eq!(spent, [40, 0]);
    // One that was never sent leaves nothing behind.
    let mut meter = bench.meter().await;
    assert_eq!(meter.would_refuse(), "e-full", "known at once by now");
    drop(meter);
    assert_eq!(bench.spent_of(["d-shadow"]).await, [40]);
}

#[tokio::test]
async fn a_panic_settles_too() {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    let deployment = Arc::clone(&bench.deployment);
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _ = meter.attempt(&deployment, None);
        panic!("in the middle of an attempt");
    }));
    assert!(panicked.is_err());
    assert_eq!(bench.spent().await, (1, RESERVED, COST));
}

#[tokio::test]
async fn each_request_is_settled_once() {
    let bench = Bench::new();
    for _ in 0..5 {
        let mut meter = bench.meter().await;
        let _ = meter.attempt(&bench.deployment, None);
        meter.answered(&response(Some(usage(1, 1))));
        meter.complete();
    }
    assert_eq!(bench.spent().await, (5, 10, 5 * 3000));
}

#[tokio::test(start_paused = true)]
async fn what_goes_to_the_cache_is_charged_at_its_own_price() {
    let text = POLICY.replace(
        r#"output: "2" }"#,
        r#"output: "2", cached_input: "0.1", cache_write: "1.25", cache_write_1h: "2" }"#,
    );
    let revision = Revision::of_text(&text);
    let (deployment, _) = revision.deployment(0).unwrap();
    let usage = Usage {
        cache_read: 1000,
        cache_write: 3000,
        cache_write_1h: 1000,
        ..Usage::of(5000, 100, UsageSource::Provider)
    };
    let meter = Meter::start("grpc", Instant::now());
    // 1,000 of each: as they are, from the cache, to it for an hour; 2,000 to it for its usual time; 100 out at 2.
    let expected = 1_000_000 + 100_000 + 2_000_000 + 2_500_000 + 200_000;
    assert_eq!(meter.cost(deployment, &usage), Some(expected));
}
