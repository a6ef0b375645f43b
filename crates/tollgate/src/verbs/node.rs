//! `tollgate node`: a data-plane node as a service.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tollgate_node::{Bounds, Config};

use crate::error::{Error, with_causes};
use crate::listen;
use crate::memory::{self, Bytes};
use crate::secret::Secret;
use crate::service::{self, Common};
use crate::signals::Signals;

/// Arguments of `tollgate node`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Addresses of the control plane's replicas, separated by commas
    #[arg(
        long,
        env = "TOLLGATE_CONTROL",
        value_name = "URL",
        value_delimiter = ',',
        required = true
    )]
    control: Vec<String>,
    /// Directory for the snapshot of policy and keys, which the node starts from while the control plane is away, and
    /// for the journal of what limits lent it: keep it, and never put a copy back
    #[arg(long, env = "TOLLGATE_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Address to serve callers on, gRPC and HTTP
    #[arg(
        long,
        env = "TOLLGATE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,
    /// Address to serve /metrics, /healthz, /readyz and /shadows on
    #[arg(
        long,
        env = "TOLLGATE_OPS_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9080"
    )]
    ops_listen: SocketAddr,
    /// Name by which operators know the node [default: the machine's, with the port]
    #[arg(long, env = "TOLLGATE_NAME")]
    name: Option<String>,
    /// Address by which callers reach the node, shown to operators [default: where it listens]
    #[arg(long, env = "TOLLGATE_ADVERTISE", value_name = "ADDR")]
    advertise: Option<String>,
    /// Token that the control plane was started with
    #[arg(long, env = "TOLLGATE_TOKEN", hide_env_values = true)]
    token: Option<Secret>,
    /// Memory to stay within, such as 512MiB or 2GiB: it bounds requests at once, connections, large bodies and keys
    /// [default: three quarters of what the machine, or its control group, has]
    #[arg(long, env = "TOLLGATE_MEMORY_BUDGET", value_name = "SIZE")]
    memory_budget: Option<Bytes>,
    #[command(flatten)]
    common: Common,
}

/// Runs the node until it is told to stop.
///
/// It prints `listening node http://ADDRESS` once callers can connect, and `ready node http://ADDRESS` once
/// it has a policy to serve them by.
///
/// # Errors
/// Why it cannot start.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let (_logs, metrics) = arguments.common.start()?;
    tollgate_node::describe_metrics();
    let signals = Signals::install()?;
    let callers = listen::bind(arguments.listen, "--listen").await?;
    let ops = listen::bind(arguments.ops_listen, "--ops-listen").await?;
    let places = format!("http://{} ops http://{}", callers.address, ops.address);
    let (readiness, ready) = watch::channel(false);
    let observers = service::observe(metrics, ops.listener, ready, format!("ready node {places}"));
    let config = config(arguments, callers.address, readiness)?;
    service::tell(&format!("listening node {places}"));
    let drain = CancellationToken::new();
    let serving = async {
        let served = tollgate_node::serve(config, callers.listener, drain.clone()).await;
        served.map_err(|error| Error::Failed(with_causes(&error)))
    };
    let outcome = signals.supervise(drain.clone(), serving).await;
    drop(observers);
    outcome
}

fn config(
    arguments: Arguments,
    address: SocketAddr,
    readiness: watch::Sender<bool>,
) -> Result<Config, Error> {
    let Bytes(budget) = arguments.memory_budget.unwrap_or_else(memory::budget);
    let limits = Bounds::within(budget);
    let limits = limits.map_err(|it| Error::Config(format!("--memory-budget: {it}")))?;
    Ok(Config {
        name: arguments
            .name
            .unwrap_or_else(|| service::default_name(address)),
        control: arguments.control,
        token: arguments
            .token
            .map(|token| tollgate_node::Secret::new(token.expose())),
        data_dir: arguments.data_dir,
        advertised_address: arguments
            .advertise
            .unwrap_or_else(|| service::reachable(address)),
        limits,
        readiness: Some(readiness),
    })
}
