//! `tollgate control`: the control plane as a service.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tollgate_control::app::{App, Config};
use tollgate_control::store::SharedStore;
use tollgate_control::store::embedded::Embedded;
use tollgate_control::store::etcd::Etcd;

use crate::error::{Error, with_causes};
use crate::listen;
use crate::secret::Secret;
use crate::service::{self, Common};
use crate::signals::Signals;

/// Arguments of `tollgate control`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where state is kept: etcd://HOST:PORT[,HOST:PORT…] or embedded:DIR
    #[arg(long, env = "TOLLGATE_STORE", value_name = "STORE")]
    store: String,
    /// Address to serve nodes and operators on
    #[arg(
        long,
        env = "TOLLGATE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8081"
    )]
    listen: SocketAddr,
    /// Address to serve /metrics, /healthz and /readyz on
    #[arg(
        long,
        env = "TOLLGATE_OPS_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9081"
    )]
    ops_listen: SocketAddr,
    /// Name of this replica [default: the machine's, with the port]
    #[arg(long, env = "TOLLGATE_NAME")]
    name: Option<String>,
    /// Where other replicas and nodes reach this one [default: http:// and --listen, with the machine's name for 0.0.0.0]
    #[arg(long, env = "TOLLGATE_ADVERTISE", value_name = "URL")]
    advertise: Option<String>,
    /// Token that nodes and operators must show; needed to listen beyond 127.0.0.1
    #[arg(long, env = "TOLLGATE_TOKEN", hide_env_values = true)]
    token: Option<Secret>,
    #[command(flatten)]
    common: Common,
}

/// Runs the control plane until it is told to stop.
///
/// It prints `ready control http://ADDRESS` once it has read its store and answers.
///
/// # Errors
/// Why it cannot start, or why it ended.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    service::require_token(arguments.listen, arguments.token.as_ref())?;
    let place = Place::parse(&arguments.store)?;
    let (_logs, metrics) = arguments.common.start()?;
    tollgate_control::metrics::describe();
    let signals = Signals::install()?;
    let calls = listen::bind(arguments.listen, "--listen").await?;
    let ops = listen::bind(arguments.ops_listen, "--ops-listen").await?;
    let places = format!("http://{} ops http://{}", calls.address, ops.address);
    let reachable = || format!("http://{}", service::reachable(calls.address));
    let config = Config {
        url: arguments.advertise.unwrap_or_else(reachable),
        name: arguments
            .name
            .unwrap_or_else(|| service::default_name(calls.address)),
        token: arguments.token.map(|token| token.expose().to_owned()),
        drain: DRAIN,
    };
    let drain = CancellationToken::new();
    let starting = async {
        let store = place.open().await?;
        let app = App::new(config, &store, drain.clone());
        let line = format!("ready control {places}");
        let observers = service::observe(metrics, ops.listener, app.ready(), line);
        let served = app.serve(calls.listener).await;
        drop(observers);
        served.map_err(explain)
    };
    signals.supervise(drain.clone(), Box::pin(starting)).await
}

/// How long open calls may take to end.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Where the state is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Etcd(Vec<String>),
    Embedded(PathBuf),
}

impl Place {
    fn parse(text: &str) -> Result<Self, Error> {
        if let Some(members) = text.strip_prefix("etcd://") {
            let members: Vec<String> = members.split(',').map(str::to_owned).collect();
            if members.iter().all(|member| member.contains(':')) {
                return Ok(Self::Etcd(members));
            }
        }
        match text.strip_prefix("embedded:") {
            Some(directory) if !directory.is_empty() => Ok(Self::Embedded(directory.into())),
            Some(_) | None => Err(Error::Config(format!(
                "`{text}` is no store: set --store or TOLLGATE_STORE to etcd://HOST:PORT[,HOST:PORT…] \
                 or embedded:DIR"
            ))),
        }
    }

    async fn open(self) -> Result<SharedStore, Error> {
        match self {
            Self::Etcd(members) => {
                let store = Etcd::connect(&members).await.map_err(explain)?;
                Ok(Arc::new(store))
            }
            Self::Embedded(directory) => open_embedded(&directory),
        }
    }
}

/// Opens the embedded store in a directory, which is made where it is missing.
///
/// # Errors
/// Why it cannot be opened.
pub(crate) fn open_embedded(directory: &Path) -> Result<SharedStore, Error> {
    let store = Embedded::open(directory).map_err(explain)?;
    Ok(Arc::new(store))
}

/// Says why the control plane does not run.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
pub(crate) fn explain(error: tollgate_control::error::Error) -> Error {
    let text = with_causes(&error);
    if matches!(error, tollgate_control::error::Error::Config(_)) {
        return Error::Config(text);
    }
    Error::Failed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_named_by_scheme() {
        let members = vec!["a:2379".to_owned(), "b:2379".to_owned()];
        assert_eq!(
            Place::parse("etcd://a:2379,b:2379").unwrap(),
            Place::Etcd(members)
        );
        let embedded = Place::Embedded("/var/lib/x".into());
        assert_eq!(Place::parse("embedded:/var/lib/x").unwrap(), embedded);
        for wrong in ["", "etcd://", "etcd://host", "embedded:", "redis://a:1"] {
            assert_eq!(Place::parse(wrong).unwrap_err().exit_code(), 64, "{wrong}");
        }
    }
}
