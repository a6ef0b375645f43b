//! Callers that race at all nodes for more than there is, and what they met.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate_proto::completion::v1::CompleteRequest;
use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt;

use super::limits::{Cell, KEYS, Model};
use super::member::Member;
use super::now_ms;
use super::operator::Key;
use crate::gateway::user;

/// Callers at each node: unevenly, as in real fleets.
const AT_NODES: [usize; 3] = [24, 14, 10];
/// How long a refused caller waits at most before it tries again, although it was told to wait longer.
const IMPATIENCE: Duration = Duration::from_millis(120);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// What all callers met.
#[derive(Debug, Default, Clone)]
pub(super) struct Met {
    pub(super) answered: u64,
    /// Refused by a limit that is used up.
    pub(super) refused: u64,
    /// Nobody could say whether the limit had units.
    pub(super) unavailable: u64,
    /// Any other error: the node was dead, stopped or restarting.
    pub(super) failed: BTreeMap<String, u64>,
    /// Counters and windows in which somebody was refused by them.
    pub(super) refused_in: BTreeSet<(Cell, u64)>,
    /// Times in which a node could not say for any key: the node, and from its last answer to its next.
    pub(super) mute: Vec<(Member, u64, u64)>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    pub(super) model: Model,
    /// The first so many keys are used; none stops the callers.
    pub(super) keys: usize,
}

/// Nothing.
const NONE: Demand = Demand {
    model: Model::Chat,
    keys: 0,
};

/// All callers. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Callers {
    demand: watch::Sender<Demand>,
    met: Arc<Mutex<Shared>>,
    _callers: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    met: Met,
    nodes: HashMap<Member, Hearing>,
    cells: HashMap<String, Cell>,
    window_ms: u64,
}

/// When a node last said yes or no.
#[derive(Debug, Default, Clone, Copy)]
struct Hearing {
    answer_ms: u64,
    mute: bool,
}

struct Caller {
    node: Member,
    client: CompletionServiceClient<Channel>,
    secrets: Arc<[MetadataValue<Ascii>]>,
    demand: watch::Receiver<Demand>,
    met: Arc<Mutex<Shared>>,
    random: StdRng,
}

impl Callers {
    /// Starts them. They wait until they are given keys.
    pub(super) fn start(keys: &[Key], window_ms: u64, seed: u64) -> anyhow::Result<Self> {
        let ids: Vec<String> = keys.iter().map(|key| key.id.clone()).collect();
        let secrets = keys
            .iter()
            .map(|key| format!("Bearer {}", key.secret).parse());
        let secrets: Arc<[_]> = secrets.collect::<Result<Vec<_>, _>>()?.into();
        let shared = Shared {
            cells: Cell::all().map(|cell| (cell.label(&ids), cell)).collect(),
            window_ms,
            ..Shared::default()
        };
        let met = Arc::new(Mutex::new(shared));
        let (wanted, demand) = watch::channel(NONE);
        let mut callers = JoinSet::new();
        for (node, at_node) in Member::nodes().zip(AT_NODES) {
            let endpoint = Endpoint::from_shared(format!("http://{}", node.serves_at()))?;
            let endpoint = endpoint
                .connect_timeout(Duration::from_secs(1))
                .tcp_nodelay(true);
            let channels = [endpoint.connect_lazy(), endpoint.connect_lazy()];
            for (index, channel) in channels.iter().cycle().take(at_node).enumerate() {
                let number = u64::from(node.address().to_bits()) << 8 | index as u64;
                let caller = Caller {
                    node,
                    client: CompletionServiceClient::new(channel.clone()),
                    secrets: Arc::clone(&secrets),
                    demand: demand.clone(),
                    met: Arc::clone(&met),
                    random: StdRng::seed_from_u64(seed ^ number),
                };
                callers.spawn(caller.run());
            }
        }
        Ok(Self {
            demand: wanted,
            met,
            _callers: callers,
        })
    }

    /// What is asked for from now on.
    pub(super) fn ask_for(&self, demand: Demand) {
        let keys = demand.keys.min(KEYS);
        self.demand.send_replace(Demand { keys, ..demand });
    }

    /// Stops the callers, until something is asked for.
    pub(super) fn rest(&self) {
        self.ask_for(NONE);
    }

    /// What they have met so far.
    pub(super) fn met(&self) -> Met {
        let shared = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        shared.met.clone()
    }
}

impl Caller {
    async fn run(mut self) {
        loop {
            let demand = *self.demand.borrow_and_update();
            if demand.keys == 0 {
                if self.demand.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let key = self.random.random_range(0..demand.keys);
            let begun_ms = now_ms();
            let request = self.request(demand.model, key);
            let call = tokio::time::timeout(PATIENCE, self.client.complete(request));
            let outcome = match call.await {
                Ok(answer) => answer.map(drop),
                Err(_) => Err(Status::deadline_exceeded("no answer at all")),
            };
            let pause = outcome.is_err();
            self.note(begun_ms, outcome);
            if pause {
                let impatience = IMPATIENCE.mul_f64(self.random.random_range(0.5..1.0));
                tokio::time::sleep(impatience).await;
            }
        }
    }

    fn note(&self, begun_ms: u64, outcome: Result<(), Status>) {
        let mut shared = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        shared.note(self.node, begun_ms, outcome);
    }

    fn request(&self, model: Model, key: usize) -> Request<CompleteRequest> {
        let mut request = Request::new(CompleteRequest {
            model: model.name().to_owned(),
            messages: vec![user(format!("nonce={key} say some words"))],
            ..CompleteRequest::default()
        });
        let secret = self.secrets[key].clone();
        request.metadata_mut().insert("authorization", secret);
        request
    }
}

impl Shared {
    fn note(&mut self, node: Member, begun_ms: u64, outcome: Result<(), Status>) {
        let now = now_ms();
        let status = match outcome {
            Ok(()) => {
                self.met.answered += 1;
                return self.heard(node, now);
            }
            Err(status) => status,
        };
        let info = status.get_details_error_info();
        match info.map(|info| info.reason).as_deref() {
            Some("LIMIT_EXCEEDED") => {
                self.met.refused += 1;
                self.heard(node, now);
                let failure = status.get_details_quota_failure();
                for violation in failure.map(|f| f.violations).unwrap_or_default() {
                    let window = now / self.window_ms;
                    // At a window's edge it is not known which of the two had nothing left.
                    if let Some(cell) = self.cells.get(&violation.subject)
                        && begun_ms / self.window_ms == window
                    {
                        self.met.refused_in.insert((*cell, window));
                    }
                }
            }
            Some("LIMIT_UNAVAILABLE") => {
                self.met.unavailable += 1;
                self.nodes.entry(node).or_default().mute = true;
            }
            reason => {
                let name = match reason {
                    Some(reason) => reason.to_owned(),
                    None => format!("{:?}", status.code()),
                };
                *self.met.failed.entry(name).or_default() += 1;
            }
        }
    }

    fn heard(&mut self, node: Member, now: u64) {
        let hearing = self.nodes.entry(node).or_default();
        if std::mem::take(&mut hearing.mute) && hearing.answer_ms > 0 {
            self.met.mute.push((node, hearing.answer_ms, now));
        }
        hearing.answer_ms = now;
    }
}
