//! Composition root: every object of the control plane is made here and handed down.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_proto::FILE_DESCRIPTOR_SET;
use tollgate_proto::admin::v1::key_service_server::KeyServiceServer;
use tollgate_proto::admin::v1::limit_service_server::LimitServiceServer;
use tollgate_proto::admin::v1::node_service_server::NodeServiceServer;
use tollgate_proto::admin::v1::policy_service_server::PolicyServiceServer;
use tollgate_proto::admin::v1::subject_service_server::SubjectServiceServer;
use tollgate_proto::node::v1::quota_service_server::QuotaServiceServer;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::auth::{self, Bearer};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::nodes::Nodes;
use crate::owner::{Handle, Shell};
use crate::ownership::Replica;
use crate::peers::Peers;
use crate::revisions::Revisions;
use crate::snapshot::{Current, Follower};
use crate::store::SharedStore;
use crate::subjects::Subjects;
use crate::{
    config_service, incoming, key_service, limit_service, node_service, origin, policy_service,
    quota_service, subject_service,
};

/// Largest policy that can be sent, encoded.
const MOST_POLICY_BYTES: usize = 16 << 20;
/// Largest message of a node.
const MOST_NODE_BYTES: usize = 4 << 20;
/// A connection that has been silent for so long is asked for a sign of life,
const KEEPALIVE: Duration = Duration::from_secs(10);
/// and closed when none comes for so long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls and streams at once on one connection.
const MOST_STREAMS: u32 = 256;

/// What the control plane needs to know beside its store and listener.
#[derive(Clone)]
pub struct Config {
    /// Name of this replica, as others are told it.
    pub name: String,
    /// Where other replicas reach this one, such as `http://10.0.0.7:8081`.
    pub url: String,
    /// What nodes and operators prove themselves by, at least 16 characters. Without one, only a loopback
    /// address is served.
    pub token: Option<String>,
    /// How long open calls may take to end at shutdown.
    pub drain: Duration,
}

impl std::fmt::Debug for Config {
    /// Never shows the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("url", &self.url)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("drain", &self.drain)
            .finish()
    }
}

/// The control plane, made but not yet running.
#[derive(Debug)]
pub struct App {
    config: Config,
    services: Services,
    follower: Follower,
    shell: Shell,
    current: Current,
    owner: Handle,
    store: SharedStore,
    ready: watch::Sender<bool>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// What is served.
#[derive(Clone, Debug)]
struct Services {
    policy: policy_service::Service,
    keys: key_service::Service,
    subjects: subject_service::Service,
    nodes: node_service::Service,
    limits: limit_service::Service,
    config: config_service::Service,
    quota: quota_service::Service,
    directory: Arc<Directory>,
}

impl App {
    /// Makes the control plane on a store. Nothing runs yet.
    ///
    /// Cancelling `shutdown` ends it: streams are told, quota is released, open calls may finish.
    #[must_use]
    pub fn new(config: Config, store: &SharedStore, shutdown: CancellationToken) -> Self {
        let tasks = TaskTracker::new();
        let follower = Follower::new(SharedStore::clone(store));
        let current = follower.subscribe();
        let (shell, owner) = Shell::new(
            SharedStore::clone(store),
            Replica {
                name: config.name.clone(),
                url: config.url.clone(),
            },
            current.clone(),
            shutdown.clone(),
        );
        let peers = Peers::new(config.token.as_deref());
        let limits = limit_service::Service::new(
            owner.clone(),
            current.clone(),
            peers,
            SharedStore::clone(store),
        );
        let services = Services::new(store, &current, (owner.clone(), limits), &tasks, &shutdown);
        Self {
            config,
            services,
            follower,
            shell,
            current,
            owner,
            store: SharedStore::clone(store),
            ready: watch::Sender::new(false),
            tasks,
            shutdown,
        }
    }

    /// Turns true once the store has been read and calls are served, and false when going down.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Serves until the shutdown token is cancelled and everything has ended.
    ///
    /// # Errors
    /// [`Error::Config`] where the listener's address may not be served without a token; [`Error::Serve`]
    /// where the listener fails.
    pub async fn serve(self, listener: TcpListener) -> Result<()> {
        let address = listener
            .local_addr()
            .map_err(|error| Error::Serve(error.to_string()))?;
        auth::check_listener(address, self.config.token.as_deref())?;
        let Self {
            config,
            services,
            follower,
            shell,
            current,
            owner,
            store,
            ready,
            tasks,
            shutdown,
        } = self;
        let (reporter, health) = tonic_health::server::health_reporter();

        let mut parts = Parts::new();
        let end = || shutdown.clone();
        let directory = Arc::clone(&services.directory);
        parts.spawn(until(end(), "the policy's follower", follower.run()));
        parts.spawn(until(end(), "the keys' follower", directory.run()));
        parts.spawn(until(
            end(),
            "the store that this replica began with",
            origin::changed(store),
        ));
        // It ends by itself, to release what it owns.
        parts.spawn(async move {
            shell.run().await;
            "the owner of quota"
        });
        let announcement = announce(current, owner, ready, reporter);
        parts.spawn(until(end(), "the announcer", announcement));

        let bearer = Bearer::new(config.token.as_deref());
        let routes = services.routes(&bearer).add_service(health);
        let routes = with_reflection(routes)?;
        info!(%address, name = config.name, "control plane listening");
        let incoming = incoming::connections(listener);
        let server = transport()
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
        let served = drain(server, &mut parts, &shutdown, config.drain).await;
        shutdown.cancel();
        let ended = async {
            while parts.join_next().await.is_some() {}
            tasks.close();
            tasks.wait().await;
        };
        if tokio::time::timeout(config.drain, ended).await.is_err() {
            warn!("some tasks did not end in time");
        }
        info!("control plane stopped");
        served
    }
}

/// How connections are kept.
fn transport() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(MOST_STREAMS))
}

/// The tasks that run as long as the control plane does. Each says its name when it ends.
type Parts = JoinSet<&'static str>;

/// Runs a part until shutdown.
fn until(
    shutdown: CancellationToken,
    name: &'static str,
    part: impl Future<Output = ()> + Send,
) -> impl Future<Output = &'static str> + Send {
    let running = shutdown.run_until_cancelled_owned(part);
    async move {
        running.await;
        name
    }
}

impl Services {
    fn new(
        store: &SharedStore,
        current: &Current,
        (owner, limits): (Handle, limit_service::Service),
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        let nodes = Nodes::new();
        let directory = Directory::new(SharedStore::clone(store));
        let config = config_service::Service::new(
            current.clone(),
            Arc::clone(&directory),
            Arc::clone(&nodes),
            tasks.clone(),
            shutdown.clone(),
        );
        let revisions = Revisions::new(SharedStore::clone(store));
        Self {
            policy: policy_service::Service::new(revisions, Arc::clone(&nodes)),
            keys: key_service::Service::new(Keys::new(SharedStore::clone(store)), current.clone()),
            subjects: subject_service::Service::new(
                Subjects::new(SharedStore::clone(store)),
                current.clone(),
            ),
            nodes: node_service::Service::new(nodes, current.clone()),
            limits,
            config,
            quota: quota_service::Service::new(owner, tasks.clone(), shutdown.clone()),
            directory,
        }
    }

    /// Every service behind the token. Health and reflection are not: probes carry none, and both say
    /// nothing that is not public.
    fn routes(self, bearer: &Bearer) -> Routes {
        let policy = PolicyServiceServer::new(self.policy)
            .max_decoding_message_size(MOST_POLICY_BYTES)
            .max_encoding_message_size(MOST_POLICY_BYTES * 2);
        let quota = QuotaServiceServer::new(self.quota).max_decoding_message_size(MOST_NODE_BYTES);
        let config = config_service::Server::new(self.config);
        let guard = || bearer.clone();
        Routes::default()
            .add_service(InterceptedService::new(policy, guard()))
            .add_service(InterceptedService::new(
                KeyServiceServer::new(self.keys),
                guard(),
            ))
            .add_service(InterceptedService::new(
                SubjectServiceServer::new(self.subjects),
                guard(),
            ))
            .add_service(InterceptedService::new(
                NodeServiceServer::new(self.nodes),
                guard(),
            ))
            .add_service(InterceptedService::new(
                LimitServiceServer::new(self.limits),
                guard(),
            ))
            .add_service(InterceptedService::new(config, guard()))
            .add_service(InterceptedService::new(quota, guard()))
    }
}

/// Adds reflection, in the version that new tools speak and in the one that old ones do.
fn with_reflection(routes: Routes) -> Result<Routes> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let failed = |error: tonic_reflection::server::Error| Error::Serve(error.to_string());
    let new = builder().build_v1().map_err(failed)?;
    let old = builder().build_v1alpha().map_err(failed)?;
    Ok(routes.add_service(new).add_service(old))
}

/// Says that calls are served once they can be answered, and that they are not when it is dropped.
async fn announce(
    mut current: Current,
    mut owner: Handle,
    ready: watch::Sender<bool>,
    reporter: HealthReporter,
) {
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    owner.settled().await;
    // The follower lives as long as this does.
    let _ = current.wait_for(Option::is_some).await.is_ok();
    reporter
        .set_service_status("", ServingStatus::Serving)
        .await;
    let _ready = Ready::announce(ready);
    info!("control plane ready");
    std::future::pending::<()>().await;
}

/// Says "ready" while it lives.
struct Ready(watch::Sender<bool>);

impl Ready {
    fn announce(sender: watch::Sender<bool>) -> Self {
        sender.send_replace(true);
        Self(sender)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

/// Runs the server; after the shutdown token is cancelled, for so long at most. A part that ends before is a
/// failure of the whole: better no control plane than half of one.
async fn drain(
    server: impl Future<Output = std::result::Result<(), tonic::transport::Error>>,
    parts: &mut Parts,
    shutdown: &CancellationToken,
    patience: Duration,
) -> Result<()> {
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    tokio::select! {
        served = server => served.map_err(|error| Error::Serve(error.to_string())),
        failed = failure(parts, shutdown) => Err(Error::Serve(failed)),
        () = late => {
            warn!("some calls did not end in time, closing their connections");
            Ok(())
        }
    }
}

/// Waits for a part to end that should not.
async fn failure(parts: &mut Parts, shutdown: &CancellationToken) -> String {
    while let Some(ended) = parts.join_next().await {
        match ended {
            Ok(_) if shutdown.is_cancelled() => {}
            Ok(name) => return format!("{name} has ended"),
            Err(error) => return format!("a part has failed: {error}"),
        }
    }
    std::future::pending().await
}
