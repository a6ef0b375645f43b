//! `tollgate dev`: everything in one process, to try it out.

mod home;
mod prepare;
mod welcome;

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate_control::app::App;
use tollgate_telemetry::metrics::Metrics;

use crate::error::{Error, with_causes};
use crate::listen::{self, Bound};
use crate::ops::Ops;
use crate::service::{self, Common};
use crate::signals::Signals;
use crate::verbs::control::{DRAIN, explain, open_embedded};
use home::Home;
use welcome::Facts;

/// Arguments of `tollgate dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory to keep state in [default: a temporary one, removed at the end]
    #[arg(long, env = "TOLLGATE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address to serve callers on, gRPC and HTTP
    #[arg(
        long,
        env = "TOLLGATE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,
    /// Address to serve operators on
    #[arg(
        long,
        env = "TOLLGATE_CONTROL_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8081"
    )]
    control_listen: SocketAddr,
    /// Address to serve /metrics, /healthz, /readyz and /shadows on
    #[arg(
        long,
        env = "TOLLGATE_OPS_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9080"
    )]
    ops_listen: SocketAddr,
    #[command(flatten)]
    common: Common,
}

/// Runs everything until it is told to stop.
///
/// It prints what to paste once all of it works.
///
/// # Errors
/// Why it cannot start, or why it ended.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    service::require_token(arguments.control_listen, None)?;
    let (_logs, metrics) = arguments.common.start()?;
    tollgate_control::metrics::describe();
    tollgate_node::describe_metrics();
    let signals = Signals::install()?;
    let places = Places::bind(&arguments).await?;
    let home = Home::open(arguments.data_dir.as_deref())?;
    let drain = CancellationToken::new();
    let running = everything(metrics, places, &home, drain.clone());
    signals.supervise(drain.clone(), Box::pin(running)).await
}

/// The listeners.
#[derive(Debug)]
struct Places {
    callers: Bound,
    operators: Bound,
    ops: Bound,
}

impl Places {
    async fn bind(arguments: &Arguments) -> Result<Self, Error> {
        Ok(Self {
            callers: listen::bind(arguments.listen, "--listen").await?,
            operators: listen::bind(arguments.control_listen, "--control-listen").await?,
            ops: listen::bind(arguments.ops_listen, "--ops-listen").await?,
        })
    }
}

/// Control plane and node, side by side, and the preparations that make them useful.
async fn everything(
    metrics: Metrics,
    places: Places,
    home: &Home,
    drain: CancellationToken,
) -> Result<(), Error> {
    let control = format!("http://{}", places.operators.address);
    let (readiness, ready) = watch::channel(false);
    let facts = Facts {
        node: places.callers.address,
        control: places.operators.address,
        ops: places.ops.address,
    };
    let node = node_config(home, &control, places.callers.address, readiness);
    // The node hands its leases back while it drains, so the control plane goes last.
    let control_drain = CancellationToken::new();
    let store = open_embedded(&home.path().join("control"))?;
    let app = App::new(control_config(), &store, control_drain.clone());
    let control_ready = app.ready();
    let control_plane = async { app.serve(places.operators.listener).await.map_err(explain) };
    let data_plane = async {
        let served = tollgate_node::serve(node, places.callers.listener, drain).await;
        control_drain.cancel();
        served.map_err(|error| Error::Failed(with_causes(&error)))
    };
    let mut observers = JoinSet::new();
    let ops = Ops {
        metrics,
        ready: ready.clone(),
    };
    observers.spawn(ops.serve(places.ops.listener));
    let welcome = async {
        let prepared = prepare::prepare(&control, home, control_ready).await?;
        wait_for(ready).await;
        service::tell(&welcome::text(&facts, home, &prepared));
        Ok(())
    };
    tokio::try_join!(
        Box::pin(control_plane),
        Box::pin(data_plane),
        Box::pin(welcome)
    )?;
    Ok(())
}

/// Waits until something is ready. It never is once its channel is closed, and then nobody waits any more.
async fn wait_for(mut ready: watch::Receiver<bool>) {
    if ready.wait_for(|ready| *ready).await.is_err() {
        tracing::debug!("ended before it was ready");
    }
}

fn control_config() -> tollgate_control::app::Config {
    tollgate_control::app::Config {
        name: "dev".to_owned(),
        // There is no other replica.
        url: String::new(),
        token: None,
        drain: DRAIN,
    }
}

fn node_config(
    home: &Home,
    control: &str,
    address: SocketAddr,
    readiness: watch::Sender<bool>,
) -> tollgate_node::Config {
    tollgate_node::Config {
        name: "dev".to_owned(),
        control: vec![control.to_owned()],
        token: None,
        data_dir: home.path().join("node"),
        advertised_address: service::reachable(address),
        limits: tollgate_node::Bounds::default(),
        readiness: Some(readiness),
    }
}
