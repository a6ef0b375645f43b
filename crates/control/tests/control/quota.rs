//! Limits over several nodes, through the real owner: exact, whatever is killed.

mod operator;
mod replicas;
mod restore;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tollgate_control::store::{SharedStore, Txn};
use tollgate_proto::admin::v1::ListLimitsRequest;
use tollgate_proto::node::v1 as pb;
use tollgate_proto::node::v1::quota_service_client::QuotaServiceClient;
use tollgate_quota::node::{Ask, Config, Node, Outcome, RequestId, Scope, Why};
use tollgate_quota::{
    Counter, Epoch, Generation, Incarnation, Kind, NodeMessage, NodeTime, OwnerAccount,
    OwnerMessage, OwnerTime, Shard, Window,
};
use tonic::{Code, Status, Streaming};

use crate::control::{Control, LONG, embedded, embedded_again, policy};
use crate::etcd::Server;
use crate::faulty::{Faulty, Lost};

const HOUR_MS: u64 = 3_600_000;
const HOUR: Kind = Kind::Fixed { window_ms: HOUR_MS };

fn counter(key: &str) -> Counter {
    Counter::new("per-key", HOUR, &format!("requests=3600s/key={key}")).unwrap()
}

/// The node's half of the protocol over a real stream, one request at a time.
struct Caller {
    machine: Node,
    started: Instant,
    link: Option<Link>,
    /// How long a request waits for units.
    patience_ms: u64,
}

struct Link {
    outbound: mpsc::Sender<pb::StreamQuotaRequest>,
    inbound: Streaming<pb::StreamQuotaResponse>,
    /// The shards that the replica owns; none before it has said so.
    owned: Option<BTreeSet<Shard>>,
}

impl Caller {
    fn new(name: &str, incarnation: u64) -> Self {
        Self {
            machine: Node::new(name, Incarnation(incarnation), Config::default()),
            started: Instant::now(),
            link: None,
            patience_ms: 2_000,
        }
    }

    async fn connect(&mut self, control: &Control) {
        let mut client = QuotaServiceClient::new(control.channel.clone());
        let (outbound, requests) = mpsc::channel(64);
        let inbound = client
            .stream_quota(ReceiverStream::new(requests))
            .await
            .unwrap();
        self.link = Some(Link {
            outbound,
            inbound: inbound.into_inner(),
            owned: None,
        });
        self.machine.connected(self.now());
    }

    /// Which shards the replica says to own that it is connected to, once it has said something.
    async fn owned(&mut self) -> BTreeSet<Shard> {
        loop {
            self.exchange().await.unwrap();
            let link = self.link.as_ref().unwrap();
            if let Some(owned) = &link.owned {
                return owned.clone();
            }
        }
    }

    /// Waits until the replica says to own as much as wanted.
    async fn until_owned(&mut self, wanted: impl Fn(&BTreeSet<Shard>) -> bool) {
        let said = async { while !wanted(&self.owned().await) {} };
        timeout(LONG, said).await.expect("it owns something else");
    }

    fn now(&self) -> NodeTime {
        NodeTime(u64::try_from(self.started.elapsed().as_millis()).unwrap())
    }

    /// Asks for one unit; the window it was admitted in, or why not.
    async fn admit(&mut self, counter: &Counter) -> Result<Window, Why> {
        let now = self.now();
        let ask = Ask {
            counter: counter.clone(),
            units: 1,
        };
        let (id, mut outcome) = self
            .machine
            .reserve(now, &[ask], now.after(self.patience_ms));
        loop {
            outcome = match outcome {
                Outcome::Taken => self.machine.stamp(self.now(), id),
                Outcome::Waiting => self.wait(id).await,
                Outcome::Denied(denial) => return Err(denial.why),
                Outcome::Admitted(admission) => {
                    self.machine.settle(self.now(), id, &[1]).unwrap();
                    return Ok(admission.limits[0].window);
                }
            };
        }
    }

    async fn wait(&mut self, id: RequestId) -> Outcome {
        loop {
            while let Some(wake) = self.machine.poll_wake() {
                if wake.id == id {
                    return wake.outcome;
                }
            }
            // A stream that has ended is nothing to this request: it waits to its end.
            let _ = self.exchange().await;
        }
    }

    /// Sends what is due, and waits for one message or the next thing to do.
    async fn exchange(&mut self) -> Result<(), Status> {
        let now = self.now();
        self.machine.tick(now);
        let heartbeat = self.machine.next_heartbeat();
        let scope = if now >= heartbeat {
            Scope::All
        } else {
            Scope::Changed
        };
        if let Some(message) = self.machine.poll_message(now, scope)
            && let Some(link) = &self.link
        {
            // Lost where the stream has ended.
            let _ = link.outbound.send(encode(&message)).await;
        }
        let due = [
            self.machine.next_message(),
            self.machine.next_tick(),
            Some(heartbeat),
        ];
        let due = due.into_iter().flatten().min().unwrap();
        let until = self.started + Duration::from_millis(due.0.max(now.0 + 1));
        let message = match &mut self.link {
            Some(link) => tokio::select! {
                message = link.inbound.message() => message,
                () = sleep_until(until) => return Ok(()),
            },
            None => {
                sleep_until(until).await;
                return Ok(());
            }
        };
        match message {
            Ok(Some(message)) => {
                if let (Some(link), Some(owned)) = (&mut self.link, &message.owned) {
                    let shards = owned.terms.iter().flat_map(|term| &term.shards);
                    let shards = shards.map(|shard| Shard(u8::try_from(*shard).unwrap()));
                    link.owned = Some(shards.collect());
                }
                for message in decode(message) {
                    self.machine.receive(self.now(), &message);
                }
                Ok(())
            }
            Ok(None) => {
                self.link = None;
                Err(Status::unavailable("ended"))
            }
            Err(status) => {
                self.link = None;
                Err(status)
            }
        }
    }

    /// Waits for the stream to end.
    async fn end(&mut self) -> Status {
        let end = async {
            loop {
                if let Err(status) = self.exchange().await {
                    return status;
                }
            }
        };
        timeout(LONG, end).await.expect("the stream did not end")
    }
}

fn encode(message: &NodeMessage) -> pb::StreamQuotaRequest {
    let accounts = message.accounts.iter().map(|account| pb::NodeAccount {
        counter: account.counter.as_str().to_owned(),
        window: account.window.0,
        epoch: account.epoch.0,
        generation: account.generation.0,
        seen: account.seen,
        returned: account.returned,
        spent: account.spent,
        need: account.need,
        demand: account.demand,
        available: account.avail,
        waiters: account.waiters,
        answered: account.answered,
        promised_back: 0,
    });
    pb::StreamQuotaRequest {
        store: 0,
        closes: message.closes.iter().map(restore::encode_close).collect(),
        node: message.node.to_string(),
        incarnation: message.incarnation.0,
        node_time_ms: message.t_node.0,
        accounts: accounts.collect(),
        left_out: None,
    }
}

/// One message for each account, as each has an owner of its own.
fn decode(message: pb::StreamQuotaResponse) -> Vec<OwnerMessage> {
    let accounts = message.accounts.into_iter().map(|account| OwnerMessage {
        closed: Vec::new(),
        epoch: Epoch(account.epoch),
        incarnation: Incarnation(message.incarnation),
        echo_t_node: NodeTime(message.echo_node_time_ms),
        owner_now: OwnerTime(message.owner_time_ms),
        accounts: vec![OwnerAccount {
            counter: Counter::parse(&account.counter).unwrap(),
            window: Window(account.window),
            generation: Generation(account.generation),
            granted: account.granted,
            rem_ms: account.remaining_ms,
            version: account.version,
            exhausted_above: account.exhausted_above,
            keep: account.keep,
            limit: account.limit,
            remaining: account.remaining,
            share: None,
            coming: Vec::new(),
            promises: Vec::new(),
        }],
    });
    let closed = OwnerMessage {
        closed: message.closed.iter().map(restore::decode_close).collect(),
        epoch: Epoch(0),
        incarnation: Incarnation(message.incarnation),
        echo_t_node: NodeTime(message.echo_node_time_ms),
        owner_now: OwnerTime(message.owner_time_ms),
        accounts: Vec::new(),
    };
    accounts.chain([closed]).collect()
}

/// Units admitted by window. A test may meet the end of an hour: then it sees two.
type Admitted = BTreeMap<u64, u64>;

#[tokio::test]
async fn counters_that_a_limit_does_not_have_are_not_served() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    control.apply(policy("per-key", 100)).await.unwrap();
    let mut caller = Caller::new("n", 1);
    caller.connect(&control).await;
    caller.admit(&counter("k1")).await.unwrap();
    caller.patience_ms = 200;
    for subject in [
        "tokens=3600s/key=k1",
        "requests=3600s",
        "requests=3600s/org=acme",
        "",
    ] {
        let stray = Counter::new("per-key", HOUR, subject).unwrap();
        assert_eq!(caller.admit(&stray).await, Err(Why::NoAnswer), "{subject}");
    }
    caller.admit(&counter("k1")).await.unwrap();
    let limits = control
        .limits()
        .list_limits(ListLimitsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let counters: Vec<_> = limits
        .limits
        .iter()
        .map(|limit| limit.counter.as_str())
        .collect();
    assert_eq!(counters, ["per-key/key=k1"]);
}

/// Asks until refused because the window is used up. Returns how often each window admitted.
async fn use_up(caller: &mut Caller, counter: &Counter) -> Admitted {
    let mut admitted = Admitted::new();
    loop {
        match caller.admit(counter).await {
            Ok(window) => *admitted.entry(window.0).or_default() += 1,
            Err(Why::Exhausted { .. }) => return admitted,
            Err(why) => panic!("refused: {why:?}"),
        }
    }
}

/// Asks so often, whatever the answers.
async fn ask(caller: &mut Caller, counter: &Counter, times: usize) -> Admitted {
    let mut admitted = Admitted::new();
    for _ in 0..times {
        if let Ok(window) = caller.admit(counter).await {
            *admitted.entry(window.0).or_default() += 1;
        }
    }
    admitted
}

fn sum(parts: impl IntoIterator<Item = Admitted>) -> Admitted {
    let mut total = Admitted::new();
    for (window, count) in parts.into_iter().flatten() {
        *total.entry(window).or_default() += count;
    }
    total
}

#[tokio::test]
async fn three_nodes_racing_use_all_of_a_limit_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    control.apply(policy("per-key", 100)).await.unwrap();
    let counter = counter("k1");
    let mut callers = [1, 2, 3].map(|n| Caller::new(&format!("n{n}"), n));
    for caller in &mut callers {
        caller.connect(&control).await;
    }
    let races = callers.iter_mut().map(|caller| use_up(caller, &counter));
    let total = sum(timeout(LONG, futures_util::future::join_all(races))
        .await
        .unwrap());
    let last = total.values().last().copied();
    assert_eq!(last, Some(100), "{total:?}");

    // The owner hears of what was spent with the nodes' next reports.
    let shown = async {
        loop {
            for caller in &mut callers {
                caller.exchange().await.unwrap();
            }
            let request = ListLimitsRequest {
                limit: "per-key".to_owned(),
                ..ListLimitsRequest::default()
            };
            let limits = control
                .limits()
                .list_limits(request)
                .await
                .unwrap()
                .into_inner()
                .limits;
            if limits.len() == 1 && limits[0].spent == 100 {
                return limits[0].clone();
            }
        }
    };
    let shown = timeout(LONG, shown).await.unwrap();
    assert_eq!((shown.limit, shown.outstanding, shown.free), (100, 0, 0));
    assert_eq!((shown.unit.as_str(), shown.nodes.len()), ("requests", 3));
}

#[tokio::test]
async fn limits_hold_while_control_is_killed_and_started_again() {
    let home = tempfile::tempdir().unwrap();
    let counter = counter("k1");
    let mut caller = Caller::new("n", 1);
    let mut parts = Vec::new();
    let mut applied = false;
    for round in 0..6 {
        let control =
            Control::start(&format!("run-{round}"), &embedded_again(home.path()).await).await;
        if !applied {
            control.apply(policy("per-key", 100)).await.unwrap();
            applied = true;
        }
        caller.connect(&control).await;
        parts.push(timeout(LONG, ask(&mut caller, &counter, 12)).await.unwrap());
        control.kill();
        caller.end().await;
    }
    let total = sum(parts);
    assert!(total.values().all(|count| *count <= 100), "{total:?}");
    assert!(
        total.values().sum::<u64>() >= 50,
        "restarts cost too much: {total:?}"
    );
}

#[tokio::test]
async fn limits_hold_while_etcd_is_killed_and_started_again() {
    let mut server = Server::start();
    let store: SharedStore = Arc::new(server.client().await);
    let control = Control::start("a", &store).await;
    control.apply(policy("per-key", 200)).await.unwrap();
    let counter = counter("k1");
    let mut caller = Caller::new("n", 1);
    caller.connect(&control).await;
    let mut parts = vec![ask(&mut caller, &counter, 20).await];
    server.kill();
    // What is debited is still handed out; then requests wait in vain.
    parts.push(ask(&mut caller, &counter, 3).await);
    server.restart();
    let rest = async {
        loop {
            match caller.admit(&counter).await {
                Ok(window) => parts.push(Admitted::from([(window.0, 1)])),
                Err(Why::Exhausted { .. }) => return,
                Err(Why::NoAnswer | Why::Late | Why::TooLarge { .. } | Why::OverShare { .. }) => {}
            }
        }
    };
    timeout(LONG, rest).await.expect("quota did not come back");
    let total = sum(parts);
    assert!(total.values().all(|count| *count <= 200), "{total:?}");
    assert!(total.values().sum::<u64>() >= 180, "{total:?}");
}

#[tokio::test]
async fn a_lowered_limit_is_in_force_at_once() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    control.apply(policy("per-key", 1000)).await.unwrap();
    let counter = counter("k1");
    let mut caller = Caller::new("n", 1);
    caller.connect(&control).await;
    let before = ask(&mut caller, &counter, 10).await;
    control.apply(policy("per-key", 20)).await.unwrap();
    let lowered = async {
        loop {
            let limits = control
                .limits()
                .list_limits(ListLimitsRequest::default())
                .await
                .unwrap();
            if limits
                .into_inner()
                .limits
                .iter()
                .all(|limit| limit.limit == 20)
            {
                return;
            }
        }
    };
    timeout(LONG, lowered).await.unwrap();
    let mut other = Caller::new("other", 2);
    other.connect(&control).await;
    // What the first node still holds may be used; nothing more is handed out to the second.
    let after = timeout(LONG, ask(&mut other, &counter, 10)).await.unwrap();
    assert!(before.values().sum::<u64>() == 10);
    assert!(after.values().sum::<u64>() <= 10, "{after:?}");
}

/// Of every seven writes of quota, one is lost and the answers of two are, the claim of ownership included.
fn unreliable(number: usize, txn: &Txn) -> Option<Lost> {
    let quota = txn.puts.iter().any(|(key, _)| key.starts_with("/q/"));
    match number % 7 {
        0 | 3 if quota => Some(Lost::After),
        5 if quota => Some(Lost::Before),
        _ => None,
    }
}

#[tokio::test]
async fn limits_hold_over_a_store_that_loses_answers() {
    let home = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(embedded(home.path()), unreliable);
    let store: SharedStore = Arc::clone(&faulty) as SharedStore;
    let control = Control::start("a", &store).await;
    control.apply(policy("per-key", 300)).await.unwrap();
    let counter = counter("k1");
    let mut callers = [1, 2].map(|n| Caller::new(&format!("n{n}"), n));
    for caller in &mut callers {
        caller.connect(&control).await;
    }
    let races = callers.iter_mut().map(|caller| use_up(caller, &counter));
    let total = sum(timeout(LONG, futures_util::future::join_all(races))
        .await
        .unwrap());
    assert!(total.values().all(|count| *count <= 300), "{total:?}");
    assert!(faulty.lost() >= 3, "{}", faulty.lost());
}
