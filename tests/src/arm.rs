//! What is compared within one run: the gateway as it is meant to be, the same program with what is shown left out of its
//! policy, and no gateway at all.

use std::fmt;

use serde::Serialize;

/// One of those that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Arm {
    /// With everything.
    Ours,
    /// Deployments take turns whatever becomes of their requests, each request is tried once, and nothing is limited.
    /// That a provider said with a `429` to be left alone is heeded also here: no policy turns it off.
    Plain,
    /// Callers ask the provider themselves: what it meets behind a proxy that passes everything on.
    Direct,
}

impl Arm {
    /// Those that a policy makes.
    pub(crate) const GATEWAYS: [Self; 2] = [Self::Ours, Self::Plain];

    /// The name of a model, or whatever there is one of for each.
    pub(crate) fn of(self, name: &str) -> String {
        match self {
            Self::Ours => name.to_owned(),
            Self::Plain | Self::Direct => format!("{name}-{self}"),
        }
    }

    /// How a pool chooses, as fields of a policy.
    pub(crate) fn pool(self) -> &'static str {
        match self {
            Self::Ours => "strategy: least_latency",
            Self::Plain | Self::Direct => {
                "strategy: weighted, health: { failures: 10000, error_percent: 100, least_requests: 10000 }"
            }
        }
    }

    /// How often a model is tried.
    pub(crate) fn attempts(self) -> u32 {
        match self {
            Self::Ours => 3,
            Self::Plain | Self::Direct => 1,
        }
    }

    /// What is there only where everything is, such as limits.
    pub(crate) fn only_ours(self, text: &str) -> &str {
        match self {
            Self::Ours => text,
            Self::Plain | Self::Direct => "",
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Plain => "plain",
            Self::Direct => "direct",
        })
    }
}
