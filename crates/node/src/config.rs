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
    /// Requests worked on at once. Tenants share them; what finds no place is refused with `OVERLOADED`.
    pub max_in_flight: usize,
    /// Requests that wait at once for the control plane's word on a key that the node has not met. They are not worked on,
    /// and their bodies are not read. Further ones are refused with `OVERLOADED`.
    pub max_strangers: usize,
    /// Bytes of the bodies of requests at work, as far as each is larger than 32 KiB. Further ones are refused.
    pub max_body_bytes: usize,
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

/// A memory budget that is too small for a node to be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node needs a memory budget of at least {} MiB", LEAST_BUDGET / MIB)]
pub struct BudgetTooSmall;

const MIB: u64 = 1024 * 1024;
/// The program, a policy with its tables, leases, metrics, and lines of the log that are to be written.
const BASE: u64 = 64 * MIB;
const LEAST_BUDGET: u64 = 80 * MIB;
/// A request at work: what waits to be sent to a caller who does not read (64 KiB), a buffer for what its provider sends,
/// and its own first 32 KiB, as they came and as they go out.
const REQUEST: u64 = 128 * 1024;
/// A request whose caller is not known yet: its head, and what HTTP/2 lets it send unasked.
const STRANGER: u64 = 288 * 1024;
/// A connection without a request: its buffers, and its task.
const CONNECTION: u64 = 16 * 1024;
/// A key, with its plans for a few models.
const KEY: u64 = 2 * 1024;
/// Most of each, however much memory there is: beyond that, other things are scarce, such as descriptors.
const MOST_REQUESTS: u64 = 10_000;
const MOST_STRANGERS: u64 = 1024;
const MOST_CONNECTIONS: u64 = 10_000;
const MOST_KEYS: u64 = 65_536;

impl Bounds {
    /// The bounds that keep a node within so many bytes of memory.
    ///
    /// 64 MiB are for what does not depend on load. Of the rest a half is for requests at work, 128 KiB each; three
    /// sixteenths for the bodies of large ones, beyond what each has; one for those whose callers are not known yet, 288 KiB
    /// each; an eighth for connections, 16 KiB each; and an eighth for keys, 2 KiB each. So 1 GiB is for 3,840 requests at
    /// once, 180 MiB of large bodies, 213 strangers, 7,680 connections and 61,440 keys.
    ///
    /// # Errors
    /// The budget is less than 80 MiB.
    pub fn within(budget: u64) -> Result<Self, BudgetTooSmall> {
        if budget < LEAST_BUDGET {
            return Err(BudgetTooSmall);
        }
        let rest = budget - BASE;
        let count = |part: u64, each: u64, most: u64| {
            usize::try_from((part / each).min(most)).unwrap_or(usize::MAX)
        };
        Ok(Self {
            max_in_flight: count(rest / 2, REQUEST, MOST_REQUESTS),
            max_strangers: count(rest / 16, STRANGER, MOST_STRANGERS),
            max_body_bytes: count(rest / 16 * 3, 1, u64::MAX),
            max_connections: count(rest / 8, CONNECTION, MOST_CONNECTIONS),
            max_keys: count(rest / 8, KEY, MOST_KEYS),
            ..Self::default()
        })
    }
}

/// Text that must not be shown. Its `Debug` form is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_in_flight: 10_000,
            max_strangers: 1024,
            max_body_bytes: 1 << 30,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the bounds come to, at the most.
    fn sum(bounds: &Bounds) -> u64 {
        let times = |count: usize, each| count as u64 * each;
        BASE + times(bounds.max_in_flight, REQUEST)
            + times(bounds.max_strangers, STRANGER)
            + times(bounds.max_body_bytes, 1)
            + times(bounds.max_connections, CONNECTION)
            + times(bounds.max_keys, KEY)
    }

    #[test]
    fn bounds_keep_within_the_budget() {
        for mebibytes in [80, 96, 256, 1024, 16 * 1024, 1024 * 1024] {
            let budget = mebibytes * MIB;
            let bounds = Bounds::within(budget).unwrap();
            assert!(sum(&bounds) <= budget, "{mebibytes}: {bounds:?}");
            assert!(bounds.max_in_flight >= 64 && bounds.max_keys >= 1000);
            assert!(bounds.max_strangers >= 3);
        }
        assert!(Bounds::within(LEAST_BUDGET - 1).is_err());
    }

    #[test]
    fn the_example_is_right() {
        let bounds = Bounds::within(1024 * MIB).unwrap();
        assert_eq!(bounds.max_in_flight, 3840);
        assert_eq!(bounds.max_body_bytes as u64, 180 * MIB);
        assert_eq!(bounds.max_strangers, 213);
        assert_eq!(bounds.max_connections, 7680);
        assert_eq!(bounds.max_keys, 61_440);
    }
}
