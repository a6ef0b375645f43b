//! However a request ends, it is settled once, at what it used.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tollgate_proto::node::v1::Key;
use tollgate_provider::chat::{Choice, FinishReason, Message, Role};
use tollgate_provider::{Class, Failure};
use tollgate_quota::{
    Counter, Epoch, Generation, Incarnation, NodeMessage, OwnerAccount, OwnerMessage, OwnerTime,
    Window,
};

use super::*;
use crate::limiter::Limiter;
use crate::plan::Plan;
use crate::revision::Revision;

const POLICY: &str = r#"
providers: { p: { kind: simulated } }
deployments: { d: { provider: p, model: m, price: { input: "1", output: "2" } } }
pools: { p: { targets: [ { deployment: d } ] } }
models: { chat: { routes: [ { pools: [p] } ] } }
limits:
  - { name: a-requests, requests: 100, window: 1h }
  - { name: b-tokens, tokens: 1000, window: 1h }
"#;

/// Tokens that every request here reserves, and what its input is estimated at.
const RESERVED: u64 = 100;
const INPUT: u64 = 10;

/// A limiter whose owner grants everything, and what a meter needs.
struct Bench {
    limiter: Arc<Limiter>,
    plan: Arc<Plan>,
    model: Arc<Model>,
    deployment: Arc<Deployment>,
}

impl Bench {
    fn new() -> Self {
        let source = tollgate_policy::yaml::Source {
            name: "p",
            text: POLICY.as_bytes(),
        };
        let policy = tollgate_policy::yaml::load(&[source]).unwrap();
        let revision = Revision::new(&policy, 1, None).unwrap();
        let model = Arc::clone(revision.table.model("chat").unwrap());
        let key = Key {
            id: "k1".into(),
            subject: "acme".into(),
            name: String::new(),
        };
        let plan = Known::new(&key).unwrap().plan(&revision, &model).unwrap();
        Self {
            limiter: Arc::new(Limiter::new("n", 7)),
            plan,
            model,
            deployment: Arc::clone(revision.deployment(0).unwrap().0),
        }
    }

    /// A request that was admitted.
    async fn meter(&self) -> Meter {
        let asks = self.plan.asks(RESERVED);
        let term = self.limiter.connected();
        let owner = async {
            loop {
                let asked = self.limiter.next_message(term).await.unwrap();
                self.grant(&asked);
            }
        };
        let (reservation, admission) = tokio::select! {
            reserved = self.limiter.reserve(&asks, Duration::from_secs(5)) => reserved.unwrap(),
            () = owner => unreachable!("the owner goes on"),
        };
        let mut meter = Meter::start("http");
        meter.asked(&self.model, 1, false, INPUT);
        let plan = Arc::clone(&self.plan);
        meter.admitted(Permit::new(reservation, plan, admission, RESERVED));
        meter
    }

    fn grant(&self, asked: &NodeMessage) {
        let account = |counter: &Counter| OwnerAccount {
            counter: counter.clone(),
            window: Window(1),
            generation: Generation::FIRST,
            granted: 1000,
            rem_ms: 3_000_000,
            version: 1,
            exhausted_above: None,
            keep: None,
            limit: 1000,
            remaining: 1000,
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
        });
    }

    /// Requests and tokens that are spent for good.
    async fn spent(&self) -> (u64, u64) {
        let term = self.limiter.connected();
        let message = self.limiter.next_message(term).await.unwrap();
        let of = |limit: &str| {
            let mut accounts = message.accounts.iter();
            accounts
                .find(|account| account.counter.limit() == limit)
                .map_or(0, |account| account.spent)
        };
        (of("a-requests"), of("b-tokens"))
    }
}

fn ended(reached: Reached) -> Ended {
    Ended {
        outcome: AttemptOutcome::ServerError,
        failure: Box::new(Failure::new(Class::Server, "broken")),
        reached,
        field: None,
    }
}

fn response(usage: Option<Usage>) -> Response {
    let message = Message::text(Role::Assistant, "four words of text");
    let choice = Choice {
        index: 0,
        message,
        finish_reason: FinishReason::Stop,
        logprobs: None,
    };
    Response {
        id: "1".into(),
        model: "m".into(),
        choices: vec![choice],
        usage,
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
async fn settled(course: impl FnOnce(&mut Meter, &Bench)) -> (u64, u64) {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    course(&mut meter, &bench);
    drop(meter);
    bench.spent().await
}

#[tokio::test]
async fn an_answer_is_charged_what_the_provider_counted() {
    let spent = settled(|meter, bench| {
        let _ = meter.attempt(&bench.deployment);
        meter.answered(&response(Some(usage(12, 30))));
        let summary = meter.complete().unwrap();
        assert_eq!(summary.cost, Some(12 * 1000 + 30 * 2000));
    });
    assert_eq!(spent.await, (1, 42));
}

#[tokio::test]
async fn an_answer_without_usage_is_charged_by_estimate() {
    let counted = tokens::count_text("four words of text");
    let spent = settled(|meter, bench| {
        let _ = meter.attempt(&bench.deployment);
        meter.answered(&response(None));
        assert_eq!(
            meter.complete().unwrap().usage.source,
            UsageSource::Estimated
        );
    });
    assert_eq!(spent.await, (1, INPUT + counted));
}

#[tokio::test]
async fn what_was_never_sent_is_refunded_whole() {
    assert_eq!(settled(|_, _| {}).await, (0, 0));
    let unreachable = |meter: &mut Meter, bench: &Bench| {
        let before = meter.attempt(&bench.deployment);
        meter.attempt_failed(before, &ended(Reached::Nobody));
        meter.fail(&Error::Internal { what: "test" });
    };
    assert_eq!(settled(unreachable).await, (0, 0));
}

#[tokio::test]
async fn what_providers_refused_costs_no_tokens() {
    let refused = |meter: &mut Meter, bench: &Bench| {
        for _ in 0..2 {
            let before = meter.attempt(&bench.deployment);
            meter.attempt_failed(before, &ended(Reached::Refusal));
        }
        meter.fail(&Error::Internal { what: "test" });
    };
    assert_eq!(settled(refused).await, (1, 0));
}

#[tokio::test]
async fn work_that_may_have_been_done_is_charged_as_reserved() {
    let lost = |meter: &mut Meter, bench: &Bench| {
        let before = meter.attempt(&bench.deployment);
        meter.attempt_failed(before, &ended(Reached::Perhaps));
        let before = meter.attempt(&bench.deployment);
        meter.attempt_failed(before, &ended(Reached::Nobody));
    };
    assert_eq!(settled(lost).await, (1, RESERVED));
    let left = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment);
    };
    assert_eq!(settled(left).await, (1, RESERVED));
}

#[tokio::test]
async fn a_stream_is_charged_to_where_it_came() {
    let counted = tokens::count_text("four words of text");
    let left = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment);
        meter.streaming();
        meter.streamed(&[text(), text()]);
    };
    assert_eq!(settled(left).await, (1, INPUT + 2 * counted));
    let broken = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment);
        meter.streaming();
        meter.broke(&ended(Reached::Perhaps), Some(usage(12, 3)));
        meter.fail(&Error::Truncated);
    };
    assert_eq!(settled(broken).await, (1, 15));
    let lagging = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment);
        meter.streaming();
        meter.streamed(&[text(), text(), text(), text()]);
        meter.broke(&ended(Reached::Perhaps), Some(usage(12, 1)));
        meter.fail(&Error::Truncated);
    };
    let (_, charged) = settled(lagging).await;
    assert!(charged > 13, "{charged} for an answer of many words");
    let whole = |meter: &mut Meter, bench: &Bench| {
        let _ = meter.attempt(&bench.deployment);
        meter.streaming();
        meter.streamed(&[text(), Chunk::Usage(usage(12, 4))]);
        assert_eq!(meter.complete().unwrap().usage.total(), 16);
    };
    assert_eq!(settled(whole).await, (1, 16));
}

#[tokio::test]
async fn more_than_was_reserved_is_charged_too() {
    let spent = settled(|meter, bench| {
        let _ = meter.attempt(&bench.deployment);
        meter.answered(&response(Some(usage(10, 500))));
        meter.complete();
    });
    assert_eq!(spent.await, (1, 510));
}

#[tokio::test]
async fn a_panic_settles_too() {
    let bench = Bench::new();
    let mut meter = bench.meter().await;
    let deployment = Arc::clone(&bench.deployment);
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _ = meter.attempt(&deployment);
        panic!("in the middle of an attempt");
    }));
    assert!(panicked.is_err());
    assert_eq!(bench.spent().await, (1, RESERVED));
}

#[tokio::test]
async fn each_request_is_settled_once() {
    let bench = Bench::new();
    for _ in 0..5 {
        let mut meter = bench.meter().await;
        let _ = meter.attempt(&bench.deployment);
        meter.answered(&response(Some(usage(1, 1))));
        meter.complete();
    }
    assert_eq!(bench.spent().await, (5, 10));
}
