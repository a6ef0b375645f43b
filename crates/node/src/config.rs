//! What a node is started with. The binary parses it once; nothing here reads the environment.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name by which operators know the node.
    pub name: String,
    /// Addresses of the control plane, such as `http://127.0.0.1:8081`. At least one.
    pub control: Vec<String>,
    /// Token that proves the node to the control plane, if it asks for one.
    pub token: Option<Secret>,
    /// Folder for the snapshot of policy and keys. Created where it is missing.
    pub data_dir: PathBuf,
    /// Address that callers reach the node by, told to the control plane.
    pub advertised_address: String,
    /// Bounds.
    pub limits: Bounds,
    /// Told whether the node is ready: it has a policy and is not going down.
    pub readiness: Option<watch::Sender<bool>>,
}

/// What bounds a node's use of memory and time, whatever its load.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Requests worked on at once. Further ones are refused with `OVERLOADED`.
    pub max_in_flight: usize,
    /// Connections open at once. Further ones wait to be accepted.
    pub max_connections: usize,
    /// Keys remembered. A node that sees more forgets some and asks again when they come back.
    pub max_keys: usize,
    /// How long after the signal to stop the node still accepts connections, so that balancers notice that it
    /// is no longer ready.
    pub drain_delay: Duration,
    /// How long requests in flight may take to finish after that.
    pub drain_timeout: Duration,
}

/// Text that must not be shown. Its `Debug` form is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_in_flight: 10_000,
            max_connections: 10_000,
            max_keys: 65_536,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(300),
        }
    }
}

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
