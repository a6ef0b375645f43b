//! Who takes part.

use std::fmt;
use std::net::Ipv4Addr;

/// Members of each kind but the provider.
pub(super) const OF_A_KIND: u8 = 3;

/// A process of the run, in a namespace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Member {
    Etcd(u8),
    Control(u8),
    Node(u8),
    Provider,
}

impl Member {
    /// All of them, in the order in which they can be started.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Provider).chain(Self::planes())
    }

    /// Those that faults strike.
    pub(super) fn planes() -> impl Iterator<Item = Self> {
        Self::etcds().chain(Self::controls()).chain(Self::nodes())
    }

    /// The store's members.
    pub(super) fn etcds() -> impl Iterator<Item = Self> {
        (0..OF_A_KIND).map(Self::Etcd)
    }

    /// The control plane's replicas.
    pub(super) fn controls() -> impl Iterator<Item = Self> {
        (0..OF_A_KIND).map(Self::Control)
    }

    /// The nodes.
    pub(super) fn nodes() -> impl Iterator<Item = Self> {
        (0..OF_A_KIND).map(Self::Node)
    }

    /// Its address in the run's network.
    pub(super) fn address(self) -> Ipv4Addr {
        let last = match self {
            Self::Etcd(index) => 11 + index,
            Self::Control(index) => 21 + index,
            Self::Node(index) => 31 + index,
            Self::Provider => 41,
        };
        Ipv4Addr::new(10, 77, 0, last)
    }

    /// Where it serves, without a scheme.
    pub(super) fn serves_at(self) -> String {
        let port = match self {
            Self::Etcd(_) => 2379,
            Self::Control(_) => 8081,
            Self::Node(_) => 8080,
            Self::Provider => 8000,
        };
        format!("{}:{port}", self.address())
    }

    /// Where its metrics are, without a scheme.
    pub(super) fn observed_at(self) -> String {
        match self {
            Self::Control(_) => format!("{}:9081", self.address()),
            Self::Node(_) => format!("{}:9080", self.address()),
            Self::Etcd(_) | Self::Provider => self.serves_at(),
        }
    }

    /// The members that it exchanges anything with but callers and the provider.
    pub(super) fn peers(self) -> Vec<Self> {
        let peers: Vec<Self> = match self {
            Self::Etcd(_) => Self::etcds().chain(Self::controls()).collect(),
            Self::Control(_) => Self::etcds().chain(Self::nodes()).collect(),
            Self::Node(_) => Self::controls().collect(),
            Self::Provider => Vec::new(),
        };
        peers.into_iter().filter(|peer| *peer != self).collect()
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd(index) => write!(f, "etcd-{index}"),
            Self::Control(index) => write!(f, "control-{index}"),
            Self::Node(index) => write!(f, "node-{index}"),
            Self::Provider => f.write_str("provider"),
        }
    }
}
