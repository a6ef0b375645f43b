//! What `dev`, `control` and `node` share as processes: settings, logs, metrics, names.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate_telemetry::logs::{self, Logs};
use tollgate_telemetry::metrics::Metrics;

use crate::error::Error;
use crate::ops::Ops;
use crate::output;
use crate::secret::Secret;

/// Flags of every service.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// TOML file with a line for each flag that is not given otherwise
    #[arg(long, env = "TOLLGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: a level, or levels by module such as info,tollgate_node=debug
    #[arg(long, env = "TOLLGATE_LOG", value_name = "FILTER", default_value = logs::DEFAULT_FILTER)]
    log: String,
    /// Form of the log: auto is text on a terminal and json elsewhere
    #[arg(
        long,
        env = "TOLLGATE_LOG_FORMAT",
        value_name = "auto|text|json",
        default_value = "auto"
    )]
    log_format: logs::Format,
}

impl Common {
    /// Starts logs and metrics. The logs are to be kept until the service has ended.
    ///
    /// # Errors
    /// A filter that cannot be read.
    pub(crate) fn start(&self) -> Result<(Logs, Metrics), Error> {
        let logs = logs::install(&self.log, self.log_format)?;
        Ok((logs, Metrics::install()?))
    }
}

/// Serves metrics and health, and prints `line` as soon as the service is ready, until it is dropped.
pub(crate) fn observe(
    metrics: Metrics,
    listener: TcpListener,
    ready: watch::Receiver<bool>,
    line: String,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(announce(ready.clone(), line));
    tasks.spawn(Ops { metrics, ready }.serve(listener));
    tasks
}

async fn announce(mut ready: watch::Receiver<bool>, line: String) {
    if ready.wait_for(|ready| *ready).await.is_ok() {
        tell(&line);
    }
}

/// Prints a line for whoever started the process. Nobody reading it is no reason to stop serving.
pub(crate) fn tell(line: &str) {
    if let Err(error) = output::print(&format!("{line}\n")) {
        tracing::warn!(%error, "cannot say so on standard output");
    }
}

/// Refuses to serve operators beyond this machine without a token.
///
/// # Errors
/// [`Error::Config`] that says so.
pub(crate) fn require_token(listen: SocketAddr, token: Option<&Secret>) -> Result<(), Error> {
    if listen.ip().is_loopback() || token.is_some() {
        return Ok(());
    }
    Err(Error::Config(format!(
        "{listen} can be reached from other machines, so the control plane wants a token there: \
         set --token or TOLLGATE_TOKEN, for its nodes and operators too, or listen on 127.0.0.1"
    )))
}

/// The name of a process that was given none: the machine's, and the port to tell several on one apart.
pub(crate) fn default_name(address: SocketAddr) -> String {
    format!("{}-{}", hostname(), address.port())
}

/// The address by which others reach a listener.
pub(crate) fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("{}:{}", hostname(), address.port());
    }
    address.to_string()
}

fn hostname() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_goes_without_a_token() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 8081));
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 8081));
        let token = Secret::from("t".to_owned());
        assert!(require_token(loopback, None).is_ok());
        assert!(require_token(everywhere, Some(&token)).is_ok());
        let error = require_token(everywhere, None).unwrap_err();
        assert_eq!(error.exit_code(), 64);
    }
}
