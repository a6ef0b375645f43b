//! A control plane in memory: streams one policy and its keys, and owns the limits with the real state machine,
//! whose records it keeps in a map.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tollgate_proto::node::v1::config_service_server::{ConfigService, ConfigServiceServer};
use tollgate_proto::node::v1::quota_service_server::{QuotaService, QuotaServiceServer};
use tollgate_proto::node::v1::stream_config_request::Message as Heard;
use tollgate_proto::node::v1::stream_config_response::Message as Say;
use tollgate_proto::node::v1::{
    self as wire, Key, KeyUpdate, PolicyUpdate, StreamConfigRequest, StreamConfigResponse,
    StreamQuotaRequest, StreamQuotaResponse,
};
use tollgate_proto::policy::v1::Policy;
use tollgate_quota::owner::{Commit, Config, Effect, Event, Load, Owner, Record};
use tollgate_quota::{
    Counter, Epoch, Generation, Incarnation, LimitSpec, Limits, NodeAccount, NodeMessage, NodeTime,
    OwnerMessage, OwnerTime, Window,
};
use tonic::{Request, Response, Status, Streaming};

/// A control plane in memory.
#[derive(Clone)]
pub(crate) struct Control {
    policy: Arc<watch::Sender<(u64, Policy)>>,
    /// Keys by their text.
    keys: Arc<Mutex<HashMap<String, Key>>>,
    changed_keys: Arc<watch::Sender<u64>>,
    /// Whether nothing is said of keys that there are none of.
    is_silent: Arc<AtomicBool>,
    outcomes: Arc<watch::Sender<Vec<Heard>>>,
    owner: Arc<Mutex<Ownership>>,
    stop: CancellationToken,
    /// Keeps the address when nothing is served on it any more, so that no other test gets it. Connections are
    /// then taken and never answered, like those of a process that hangs.
    _listener: Arc<std::net::TcpListener>,
}

struct Ownership {
    machine: Owner,
    records: HashMap<Counter, (Record, i64)>,
    streams: HashMap<Incarnation, mpsc::Sender<Result<StreamQuotaResponse, Status>>>,
    writes: i64,
}

impl Control {
    /// Starts with a policy.
    pub(crate) fn start(policy: &str) -> (Self, SocketAddr) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let policy = parse(policy);
        let machine = Owner::new(Epoch(1), Config::default(), limits(&policy, 1));
        let control = Self {
            policy: Arc::new(watch::Sender::new((1, policy))),
            keys: Arc::default(),
            changed_keys: Arc::new(watch::Sender::new(0)),
            is_silent: Arc::default(),
            outcomes: Arc::new(watch::Sender::new(Vec::new())),
            owner: Arc::new(Mutex::new(Ownership {
                machine,
                records: HashMap::new(),
                streams: HashMap::new(),
                writes: 0,
            })),
            stop: CancellationToken::new(),
            _listener: Arc::new(listener.try_clone().unwrap()),
        };
        let listener = TcpListener::from_std(listener).unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(ConfigServiceServer::new(control.clone()))
            .add_service(QuotaServiceServer::new(control.clone()));
        let stop = control.stop.clone();
        let ticking = control.clone();
        tokio::task::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            tokio::select! {
                served = server.serve_with_incoming(incoming) => served.unwrap(),
                () = stop.cancelled() => {}
                () = ticking.tick() => {}
            }
        });
        (control, address)
    }

    /// Ends, and every stream with it.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Makes a key.
    pub(crate) fn add_key(&self, text: &str, id: &str) {
        self.add_key_of(text, id, "acme/search/ada");
    }

    /// Makes a key of a subject.
    pub(crate) fn add_key_of(&self, text: &str, id: &str, subject: &str) {
        let key = Key {
            id: id.to_owned(),
            subject: subject.to_owned(),
            ..Default::default()
        };
        self.keys.lock().unwrap().insert(text.to_owned(), key);
    }

    /// Says nothing any more of keys that there are none of.
    pub(crate) fn keep_silent(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    /// Revokes a key.
    pub(crate) fn revoke(&self, text: &str) {
        self.keys.lock().unwrap().remove(text);
        self.changed_keys.send_modify(|version| *version += 1);
    }

    /// Pushes a policy, valid or not.
    pub(crate) fn push(&self, revision: u64, policy: Policy) {
        let limits = limits(&policy, revision);
        self.step(Event::Limits(limits));
        self.policy.send_replace((revision, policy));
    }

    /// Waits until a node has acknowledged or refused so many policies, and returns what it said.
    pub(crate) async fn answers(&self, count: usize) -> Vec<Heard> {
        let mut outcomes = self.outcomes.subscribe();
        outcomes
            .wait_for(|said| said.len() >= count)
            .await
            .unwrap()
            .clone()
    }

    /// Units of each counter that its owner counts as used or held.
    pub(crate) fn used(&self, limit: &str) -> u64 {
        let owner = self.owner.lock().unwrap();
        let states = owner.machine.snapshot(now());
        states
            .filter(|state| state.counter.limit() == limit)
            .map(|state| state.nodes.iter().map(|holding| holding.spent).sum::<u64>())
            .sum()
    }

    /// Waits until what is counted as used or held by a limit is as wanted.
    pub(crate) async fn wait_used(&self, limit: &str, wanted: impl Fn(u64) -> bool) {
        let counted = async {
            while !wanted(self.used(limit)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), counted)
            .await
            .unwrap_or_else(|_| panic!("`{limit}` stands at {}", self.used(limit)));
    }

    fn find(&self, hash: &[u8]) -> KeyUpdate {
        let keys = self.keys.lock().unwrap();
        let key = keys
            .iter()
            .find(|(text, _)| blake3::hash(text.as_bytes()).as_bytes() == hash);
        KeyUpdate {
            hash: hash.to_vec().into(),
            key: key.map(|(_, key)| key.clone()),
        }
    }

    fn step(&self, event: Event) {
        let mut owner = self.owner.lock().unwrap();
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let effects = owner.machine.step(now(), event);
            events.extend(
                effects
                    .into_iter()
                    .filter_map(|effect| owner.perform(effect)),
            );
        }
    }

    async fn tick(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.step(Event::Tick);
        }
    }
}

impl Ownership {
    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Load(counter) => {
                let found = self.records.get(&counter);
                let outcome = found.map_or(Load::Absent, |(record, at)| {
                    Load::Found(record.clone(), *at)
                });
                Some(Event::Loaded { counter, outcome })
            }
            Effect::Persist {
                counter, record, ..
            } => {
                self.writes += 1;
                self.records.insert(counter.clone(), (record, self.writes));
                Some(Event::Persisted {
                    counter,
                    outcome: Commit::Committed(self.writes),
                })
            }
            Effect::Send(message) => {
                if let Some(stream) = self.streams.get(&message.incarnation) {
                    let _ = stream.try_send(Ok(encode(&message)));
                }
                None
            }
            Effect::StepDown(reason) => panic!("stepped down: {reason:?}"),
            // It is read once, before it is first written.
            Effect::LoadHorizon => Some(Event::HorizonLoaded(Load::Absent)),
            Effect::PersistHorizon { .. } => {
                self.writes += 1;
                Some(Event::HorizonPersisted(Commit::Committed(self.writes)))
            }
        }
    }
}

#[tonic::async_trait]
impl ConfigService for Control {
    type StreamConfigStream =
        Pin<Box<dyn Stream<Item = Result<StreamConfigResponse, Status>> + Send>>;

    async fn stream_config(
        &self,
        request: Request<Streaming<StreamConfigRequest>>,
    ) -> Result<Response<Self::StreamConfigStream>, Status> {
        let mut said = request.into_inner();
        let (say, out) = mpsc::channel(64);
        let control = self.clone();
        tokio::task::spawn(async move {
            let mut policy = control.policy.subscribe();
            policy.mark_changed();
            let mut keys = control.changed_keys.subscribe();
            let mut asked: Vec<bytes::Bytes> = Vec::new();
            loop {
                let answer = tokio::select! {
                    changed = policy.changed() => {
                        changed.unwrap();
                        let (revision, policy) = policy.borrow_and_update().clone();
                        vec![Say::Policy(PolicyUpdate { revision, policy: Some(policy) })]
                    }
                    changed = keys.changed() => {
                        changed.unwrap();
                        asked.iter().map(|hash| Say::Key(control.find(hash))).collect()
                    }
                    message = said.next() => match message {
                        Some(Ok(message)) => control.hear(message, &mut asked),
                        _ => return,
                    },
                };
                for message in answer {
                    let _ = say
                        .send(Ok(StreamConfigResponse {
                            message: Some(message),
                        }))
                        .await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(out))))
    }
}

impl Control {
    fn hear(&self, message: StreamConfigRequest, asked: &mut Vec<bytes::Bytes>) -> Vec<Say> {
        match message.message.unwrap() {
            Heard::Hello(hello) => {
                asked.extend(hello.key_hashes);
                asked.iter().map(|hash| Say::Key(self.find(hash))).collect()
            }
            Heard::ResolveKey(resolve) => {
                asked.push(resolve.hash.clone());
                let found = self.find(&resolve.hash);
                if found.key.is_none() && self.is_silent.load(Ordering::Relaxed) {
                    return Vec::new();
                }
                vec![Say::Key(found)]
            }
            Heard::Heartbeat(_) => vec![Say::Heartbeat(wire::ControlHeartbeat::default())],
            outcome @ (Heard::Ack(_) | Heard::Nack(_)) => {
                self.outcomes.send_modify(|outcomes| outcomes.push(outcome));
                Vec::new()
            }
        }
    }
}

#[tonic::async_trait]
impl QuotaService for Control {
    type StreamQuotaStream = ReceiverStream<Result<StreamQuotaResponse, Status>>;

    async fn stream_quota(
        &self,
        request: Request<Streaming<StreamQuotaRequest>>,
    ) -> Result<Response<Self::StreamQuotaStream>, Status> {
        let mut said = request.into_inner();
        let (say, out) = mpsc::channel(1024);
        let control = self.clone();
        tokio::task::spawn(async move {
            let mut known = None;
            while let Some(Ok(message)) = said.next().await {
                let incarnation = Incarnation(message.incarnation);
                if known.replace(incarnation).is_none() {
                    let all = StreamQuotaResponse {
                        owned: Some(everything()),
                        ..StreamQuotaResponse::default()
                    };
                    let _ = say.try_send(Ok(all));
                }
                control
                    .owner
                    .lock()
                    .unwrap()
                    .streams
                    .insert(incarnation, say.clone());
                control.step(Event::Node(decode(message)));
            }
            if let Some(incarnation) = known {
                control.owner.lock().unwrap().streams.remove(&incarnation);
                control.step(Event::Disconnected(incarnation));
            }
        });
        Ok(Response::new(ReceiverStream::new(out)))
    }
}

/// All shards of counters.
fn everything() -> wire::OwnedShards {
    wire::OwnedShards {
        terms: vec![wire::OwnedSince {
            epoch: 1,
            shards: (0..256).collect(),
        }],
    }
}

/// A policy from its YAML form.
pub(crate) fn parse(text: &str) -> Policy {
    let source = tollgate_policy::yaml::Source {
        name: "policy.yaml",
        text: text.as_bytes(),
    };
    tollgate_policy::yaml::load(&[source]).unwrap()
}

fn limits(policy: &Policy, revision: u64) -> Arc<Limits> {
    let Ok(table) = tollgate_policy::compile(policy, revision) else {
        return Arc::default();
    };
    let spec = |limit: &Arc<tollgate_policy::table::Limit>| {
        let spec = LimitSpec {
            kind: limit.kind,
            units: limit.amount,
            burst: limit.at_once(),
            revision,
        };
        (Arc::clone(&limit.name), spec)
    };
    Arc::new(Limits::new(table.limits().iter().map(spec)).unwrap())
}

/// The owner's clock: it starts at the beginning of an hour, so that no window of an hour ends in a test.
fn now() -> OwnerTime {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let elapsed = u64::try_from(START.elapsed().as_millis()).unwrap();
    OwnerTime(490_000 * 3_600_000 + 1_000 + elapsed)
}

fn decode(message: StreamQuotaRequest) -> NodeMessage {
    let account = |account: wire::NodeAccount| NodeAccount {
        counter: Counter::parse(&account.counter).unwrap(),
        window: Window(account.window),
        epoch: Epoch(account.epoch),
        generation: Generation(account.generation),
        seen: account.seen,
        returned: account.returned,
        spent: account.spent,
        need: account.need,
        demand: account.demand,
        avail: account.available,
        waiters: account.waiters,
        answered: account.answered,
        promised_back: 0,
    };
    NodeMessage {
        closes: Vec::new(),
        node: message.node.into(),
        incarnation: Incarnation(message.incarnation),
        t_node: NodeTime(message.node_time_ms),
        accounts: message.accounts.into_iter().map(account).collect(),
    }
}

fn encode(message: &OwnerMessage) -> StreamQuotaResponse {
    let account = |account: &tollgate_quota::OwnerAccount| wire::OwnerAccount {
        counter: account.counter.as_str().to_owned(),
        window: account.window.0,
        generation: account.generation.0,
        granted: account.granted,
        remaining_ms: account.rem_ms,
        version: account.version,
        exhausted_above: account.exhausted_above,
        keep: account.keep,
        limit: account.limit,
        remaining: account.remaining,
        share: None,
        coming: Vec::new(),
        epoch: 0,
        promises: Vec::new(),
    };
    StreamQuotaResponse {
        closed: Vec::new(),
        epoch: message.epoch.0,
        incarnation: message.incarnation.0,
        echo_node_time_ms: message.echo_t_node.0,
        owner_time_ms: message.owner_now.0,
        accounts: message.accounts.iter().map(account).collect(),
        store: 0,
        owned: None,
        fleet: None,
    }
}
