//! The composition root: everything a node consists of is put together here, and taken down in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_proto::node::v1::{Fleet, LeftOut, PolicyUpdate};
use tollgate_proto::policy::v1::Policy;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::arriving::Bodies;
use crate::config::Config;
use crate::control::Control;
use crate::error::{Error, StartError};
use crate::gate::Gate;
use crate::journal::{self, Inheritance, Journal};
use crate::keys::{Hash, Keys};
use crate::limiter::Limiter;
use crate::revision::Revision;
use crate::shadow::Copies;
use crate::snapshot::{self, Snapshot};
use crate::workers::Workers;
use crate::{config_stream, edge, metrics, quota_stream, random, server, workers};

/// How long leases may take to be returned at shutdown.
const LONGEST_FAREWELL: Duration = Duration::from_secs(2);
/// How long changes are collected before they are written to disk.
const SNAPSHOT_WAIT: Duration = Duration::from_millis(200);

/// What the parts of a node share.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: Config,
    /// Random number of this process.
    pub(crate) incarnation: u64,
    pub(crate) keys: Keys,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) bodies: Arc<Bodies>,
    /// Copies of requests that are under way.
    pub(crate) copies: Copies,
    /// Told when what the snapshot holds has changed.
    pub(crate) changed: Notify,
    /// Told when another policy is in force.
    adopted: Notify,
    revision: ArcSwapOption<Revision>,
    /// The policy that is run, as it arrived, for the snapshot.
    policy: ArcSwapOption<PolicyUpdate>,
    /// How many nodes there are, and whom others leave out, as the control plane said last.
    fleet: Mutex<Fleet>,
    /// Held while a policy is compiled, so that two never race.
    adopting: tokio::sync::Mutex<()>,
}

/// Serves callers on `listener` until `shutdown`, then lets requests in flight finish and returns leases.
///
/// # Errors
/// What keeps the node from starting. Once it serves, nothing ends it but `shutdown`.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let control = Control::new(&config)?;
    std::fs::create_dir_all(&config.data_dir).map_err(|source| StartError::DataFolder {
        folder: config.data_dir.clone(),
        source,
    })?;
    let (journal, inherited) = Journal::open(&config.data_dir).map_err(|source| {
        let folder = config.data_dir.clone();
        StartError::Journal { folder, source }
    })?;
    let journal = Arc::new(Mutex::new(journal));
    let (node, asked) = Node::new(config, inherited);
    node.restore().await;

    let (health, health_service) = tonic_health::server::health_reporter();
    let service = edge::service(&node, health_service)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(config_stream::run(
        Arc::clone(&node),
        control.clone(),
        asked,
    ));
    let leases = tasks.spawn(quota_stream::run(Arc::clone(&node), control));
    tasks.spawn(quota_stream::watch_clocks(Arc::clone(&node.limiter)));
    tasks.spawn(journal::run(
        Arc::clone(&journal),
        Arc::clone(&node.limiter),
    ));
    tasks.spawn(snapshot_writer(Arc::clone(&node)));
    let stopping = CancellationToken::new();
    tasks.spawn(announce(Arc::clone(&node), health, stopping.clone()));

    let address = listener.local_addr().map_err(StartError::Listener)?;
    node.say_bounds(address);
    let watch = || Arc::clone(&node.gate).keep_pace();
    let workers = Workers::start(watch).map_err(StartError::Workers)?;
    let connections = server::Connections::new(&node.config.limits);
    let accepting = CancellationToken::new();
    tokio::join!(
        connections.accept(listener, service, &workers, accepting.clone()),
        async {
            shutdown.cancelled().await;
            tracing::info!(in_flight = node.gate.in_flight(), "draining");
            stopping.cancel();
            // Those who have not noticed yet that the node is not ready are not turned away.
            tokio::time::sleep(node.config.limits.drain_delay).await;
            accepting.cancel();
        }
    );
    connections.finish(node.config.limits.drain_timeout).await;
    node.copies.end().await;
    workers.stop().await;
    farewell(&node, leases, &mut tasks).await;
    last_words(&node, journal).await;
    Ok(())
}

/// Leaves to the next process what was used in all, and what no owner could be told is given back, to go on from
/// there. Where requests had to be given up, what they had reserved stays in doubt, and nothing is left.
async fn last_words(node: &Arc<Node>, journal: Arc<Mutex<Journal>>) {
    if node.gate.in_flight() > 0 {
        return;
    }
    let (notes, left) = (node.limiter.last_notes(), node.limiter.estate());
    let written = tokio::task::spawn_blocking(move || journal.lock().leave(&notes, left.as_ref()));
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "writing the last notes failed"),
        Err(error) => tracing::warn!(%error, "writing the last notes failed"),
    }
}

/// Everything is settled by now: returns the leases, writes what was learned, and ends the tasks.
async fn farewell(node: &Arc<Node>, leases: tokio::task::AbortHandle, tasks: &mut JoinSet<()>) {
    if timeout(LONGEST_FAREWELL, node.gate.idle()).await.is_err() {
        tracing::warn!(
            in_flight = node.gate.in_flight(),
            "giving up requests that do not end"
        );
    }
    node.limiter.drain();
    let returned = async {
        while !leases.is_finished() {
            if tasks.join_next().await.is_none() {
                break;
            }
        }
    };
    if timeout(LONGEST_FAREWELL, returned).await.is_err() {
        tracing::warn!("the control plane did not take the leases back in time");
    }
    tasks.shutdown().await;
    node.write_snapshot().await;
    tracing::info!("stopped");
}

// === impl Node ===

impl Node {
    fn new(config: Config, inherited: Inheritance) -> (Arc<Self>, mpsc::Receiver<Hash>) {
        let incarnation = random::number();
        let (keys, asked) = Keys::new(config.limits.max_keys);
        let node = Self {
            incarnation,
            keys,
            limiter: Arc::new(Limiter::new(&config.name, incarnation, Some(inherited))),
            gate: Arc::new(Gate::new(
                config.limits.max_in_flight,
                config.limits.max_strangers,
                workers::deserved(),
            )),
            bodies: Arc::new(Bodies::new(config.limits.max_body_bytes)),
            copies: Copies::default(),
            changed: Notify::new(),
            adopted: Notify::new(),
            revision: ArcSwapOption::empty(),
            policy: ArcSwapOption::empty(),
            fleet: Mutex::new(Fleet {
                nodes: 1,
                ..Fleet::default()
            }),
            adopting: tokio::sync::Mutex::new(()),
            config,
        };
        (Arc::new(node), asked)
    }

    /// Says where it serves, and how much of everything there may be.
    fn say_bounds(&self, address: SocketAddr) {
        let bounds = &self.config.limits;
        tracing::info!(
            %address,
            node = self.config.name,
            requests = bounds.max_in_flight,
            strangers = bounds.max_strangers,
            body_bytes = bounds.max_body_bytes,
            connections = bounds.max_connections,
            keys = bounds.max_keys,
            "serving"
        );
    }

    /// The policy revision in force.
    pub(crate) fn revision(&self) -> Option<Arc<Revision>> {
        self.revision.load_full()
    }

    /// The policy revision that requests are decided by.
    ///
    /// # Errors
    /// There is none yet.
    pub(crate) fn in_force(&self) -> Result<Arc<Revision>, Error> {
        self.revision().ok_or(Error::NotReady {
            why: "the node has no policy yet",
        })
    }

    /// Whom this node leaves out, by what it has seen itself.
    pub(crate) fn left_out(&self) -> LeftOut {
        let sightings = self.revision().map(|revision| revision.left_out());
        LeftOut {
            sightings: sightings.unwrap_or_default(),
        }
    }

    /// Hears how many nodes there are, and whom others leave out.
    pub(crate) fn hear_of(&self, fleet: &Fleet) {
        // Kept first: whoever comes later, this or the first policy, finds the other.
        self.fleet.lock().clone_from(fleet);
        if let Some(revision) = self.revision() {
            revision.share_retries(fleet.nodes);
            revision.suspect(&fleet.left_out);
        }
    }

    /// Runs a policy instead of the one that runs.
    ///
    /// # Errors
    /// Why the one that runs goes on, in a sentence.
    pub(crate) async fn adopt(&self, update: PolicyUpdate) -> Result<(), String> {
        let _turn = self.adopting.lock().await;
        let before = self.revision();
        let running = before.as_ref().map_or(0, |before| before.table.revision());
        if update.revision < running {
            return Err(format!(
                "revision {} is older than {running}, which the node runs",
                update.revision
            ));
        }
        let update = Arc::new(update);
        let (candidate, is_first) = (Arc::clone(&update), before.is_none());
        // Work that may be long, and a place where a defect must not take the stream down.
        let built = tokio::task::spawn_blocking(move || {
            let policy = candidate.policy.as_ref().unwrap_or(&NO_POLICY);
            Revision::new(policy, candidate.revision, before.as_deref())
        });
        let revision = built
            .await
            .map_err(|_| "compiling the policy panicked: this is a defect of the node".to_owned())?
            .map_err(|unfit| unfit.to_string())?;
        metrics::policy_revision(update.revision);
        let revision = Arc::new(revision);
        self.revision.store(Some(Arc::clone(&revision)));
        let fleet = self.fleet.lock().clone();
        revision.share_retries(fleet.nodes);
        if is_first {
            revision.suspect(&fleet.left_out);
        }
        self.policy.store(Some(update));
        self.changed.notify_one();
        self.adopted.notify_one();
        Ok(())
    }

    /// Takes over what the snapshot holds, if it can be used.
    async fn restore(&self) {
        let folder = self.config.data_dir.clone();
        let read = tokio::task::spawn_blocking(move || snapshot::read(&folder)).await;
        let Ok(Some(snapshot)) = read else {
            return;
        };
        for key in &snapshot.keys {
            self.keys.update(key);
        }
        let Some(policy) = snapshot.policy else {
            return;
        };
        let revision = policy.revision;
        match self.adopt(policy).await {
            Ok(()) => tracing::info!(
                revision,
                keys = snapshot.keys.len(),
                "running the policy of the snapshot"
            ),
            Err(reason) => {
                tracing::warn!(revision, reason, "passing over the policy of the snapshot")
            }
        }
    }

    async fn write_snapshot(&self) {
        let Some(policy) = self.policy.load_full() else {
            return;
        };
        let snapshot = Snapshot {
            policy: Some((*policy).clone()),
            keys: self.keys.to_updates(),
        };
        let folder = self.config.data_dir.clone();
        let written =
            tokio::task::spawn_blocking(move || snapshot::write(&folder, &snapshot)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "writing the snapshot failed, the old one stays")
            }
            Err(error) => tracing::error!(%error, "writing the snapshot failed"),
        }
    }
}

static NO_POLICY: std::sync::LazyLock<Policy> = std::sync::LazyLock::new(Policy::default);

/// Writes the snapshot whenever something has changed.
async fn snapshot_writer(node: Arc<Node>) {
    loop {
        node.changed.notified().await;
        tokio::time::sleep(SNAPSHOT_WAIT).await;
        node.write_snapshot().await;
    }
}

/// Tells health checkers and the readiness channel how the node stands, and looks after what nobody else does.
async fn announce(node: Arc<Node>, health: HealthReporter, stopping: CancellationToken) {
    let mut told = None;
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        let revision = node.revision();
        let ready = revision.is_some() && !stopping.is_cancelled();
        if told != Some(ready) {
            told = Some(ready);
            let status = if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            for service in [
                "",
                edge::COMPLETION_SERVICE,
                edge::EMBEDDING_SERVICE,
                edge::MODEL_SERVICE,
            ] {
                health.set_service_status(service, status).await;
            }
            if let Some(channel) = &node.config.readiness {
                channel.send_replace(ready);
            }
        }
        metrics::in_flight(node.gate.in_flight());
        metrics::places(node.gate.places());
        if let Some(revision) = revision {
            revision.traffic().look_at_keys();
        }
        tokio::select! {
            () = node.adopted.notified() => {}
            _ = beat.tick() => {}
            () = stopping.cancelled(), if told == Some(true) => {}
        }
    }
}
