use tollgate_policy::price::Bounds;
use tollgate_proto::node::v1::Key;
use tollgate_quota::{
    Epoch, Generation, Incarnation, NodeTime, OwnerAccount, OwnerMessage, OwnerTime, Window,
};

use super::*;
use crate::keys::Known;
use crate::plan::Plan;
use crate::revision::Revision;

/// Held at first, and what the limit has besides.
const FIRST: u64 = 100;
const REST: u64 = 1_000;

const POLICY: &str = r#"
providers:   { mock: { kind: openai_compatible, base_url: "http://127.0.0.1:1", internal: true } }
deployments: { small: { provider: mock, model: m } }
pools:       { main: { targets: [ { deployment: small } ] } }
models:      { chat: { routes: [ { pools: [main] } ], max_output_tokens: 20000 } }
limits:      [ { name: output, output_tokens: 1100, window: 1h, reserve: expected, on_overrun: MODE } ]
"#;

struct Stream {
    plan: Arc<Plan>,
    limiter: Arc<Limiter>,
    needs: Needs,
    growth: Growth,
}

impl Stream {
    /// One of a limit that has nothing beyond `REST`, all of it here.
    fn new(mode: &str) -> Self {
        let text = POLICY.replace("MODE", mode);
        let revision = Revision::of_text(&text);
        let model = Arc::clone(revision.table.model("chat").unwrap());
        let key = Key {
            id: "k1".into(),
            subject: "acme".into(),
            ..Default::default()
        };
        let plan = Known::new(&key).unwrap().plan(&revision, &model).unwrap();
        let bounds = Bounds {
            output: 20_000,
            ..Bounds::default()
        };
        let mut needs = plan.needs(&revision, &model, &bounds);
        needs.expected.output = FIRST;
        let stream = Self {
            limiter: Arc::new(Limiter::new("n", 7, None)),
            growth: Growth::default(),
            plan,
            needs,
        };
        stream.granted(REST);
        stream
    }

    fn granted(&self, granted: u64) {
        self.limiter.receive(&OwnerMessage {
            epoch: Epoch(1),
            incarnation: Incarnation(7),
            echo_t_node: NodeTime(0),
            owner_now: OwnerTime(1),
            accounts: vec![OwnerAccount {
                counter: self.plan.lines[0].counter.clone(),
                window: Window(1),
                generation: Generation::FIRST,
                granted,
                rem_ms: 1 << 50,
                version: 1,
                exhausted_above: Some(0),
                share: None,
                keep: None,
                limit: 1_100,
                remaining: 0,
                coming: Vec::new(),
                promises: Vec::new(),
            }],
            closed: Vec::new(),
        });
    }

    fn used(&mut self, output: u64) -> Course {
        let used = Use {
            output,
            ..Use::default()
        };
        let limits = (&*self.plan.lines, &[][..]);
        self.growth
            .keep_up(&self.limiter, limits, &self.needs, &used)
    }

    fn left(&self) -> i64 {
        let counter = &self.plan.lines[0].counter;
        self.limiter.view(counter).unwrap().avail
    }
}

#[test]
fn more_is_taken_ahead_of_its_use_as_long_as_there_is_any() {
    let mut stream = Stream::new("stop");
    assert_eq!(stream.used(74), Course::On);
    assert_eq!(stream.left(), 1_000, "enough is held");
    assert_eq!(stream.used(80), Course::On);
    assert_eq!(stream.left(), 1_000 - 256);
    for used in (90..1_100).step_by(10) {
        assert_eq!(stream.used(used), Course::On, "{used}");
    }
    assert_eq!(stream.used(1_105), Course::Ends("output".into()));
    assert!(stream.left() < 10, "{}", stream.left());
    // What one read brought too much is debt.
    assert_eq!(stream.growth.settle(0, FIRST, 1_105), FIRST);
    assert_eq!(stream.left(), -5);
}

#[test]
fn a_stream_goes_on_as_debt_where_policy_says_so() {
    let mut stream = Stream::new("finish");
    for used in (90..3_000).step_by(10) {
        assert_eq!(stream.used(used), Course::On, "{used}");
    }
    assert!(stream.left() < 256, "{}", stream.left());
    stream.growth.settle(0, FIRST, 3_000);
    assert_eq!(stream.left(), 1_000 - 2_900);
}

#[test]
fn what_was_not_used_comes_back_and_so_does_all_of_a_stream_that_never_was() {
    let mut stream = Stream::new("stop");
    stream.used(80);
    stream.used(300);
    assert_eq!(stream.growth.settle(0, FIRST, 90), 90);
    assert_eq!(stream.left(), 1_000);
    let mut stream = Stream::new("stop");
    stream.used(80);
    drop(std::mem::take(&mut stream.growth));
    assert_eq!(stream.left(), 1_000);
}

#[tokio::test]
async fn a_stream_waits_only_where_it_would_have_to_end() {
    let stream = Stream::new("stop");
    let counter = stream.plan.lines[0].counter.clone();
    // Of the owner it is not known any more whether it has some.
    stream.limiter.begin_anew(8);
    assert!(stream.limiter.view(&counter).is_none());
    let mut stream = Stream {
        growth: Growth::default(),
        ..stream
    };
    assert_eq!(stream.used(80), Course::On, "it is asked");
    assert_eq!(stream.used(100), Course::Waits);
    stream.growth.answered().await;
    assert_eq!(stream.used(100), Course::Ends("output".into()));
}
