//! What the run limits: the policy's limits, the callers' keys, and the amounts that change from stage to stage.
//!
//! A limit of another kind is one more row of [`LIMITS`] and an amount in a stage; a unit that is counted
//! otherwise is one more [`Unit`].

use std::fmt::Write as _;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    /// Requests.
    Requests,
    /// Tokens that the provider charges, input and output.
    Tokens,
}

impl Unit {
    /// Its field in a policy.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }

    /// What one request of `tokens` tokens counts.
    pub(super) fn of(self, tokens: u64) -> u64 {
        match self {
            Self::Requests => 1,
            Self::Tokens => tokens,
        }
    }
}

/// What has a counter of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Per {
    Key,
    Team,
}

/// One limit of the policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    pub(super) per: Per,
    pub(super) unit: Unit,
}

/// All limits, of which each stage sets some.
pub(super) const LIMITS: [Limit; 3] = [
    Limit {
        name: "key-requests",
        per: Per::Key,
        unit: Unit::Requests,
    },
    Limit {
        name: "team-requests",
        per: Per::Team,
        unit: Unit::Requests,
    },
    Limit {
        name: "team-tokens",
        per: Per::Team,
        unit: Unit::Tokens,
    },
];

/// Keys there are.
pub(super) const KEYS: usize = 24;
/// Teams that they belong to, in turn.
const TEAMS: usize = 2;

/// One counter of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    /// Index into [`LIMITS`].
    pub(super) limit: usize,
    /// Number of the key or team.
    pub(super) member: usize,
}

impl Cell {
    /// The cell that a request of `key` counts in.
    pub(super) fn of(limit: usize, key: usize) -> Self {
        let member = match LIMITS[limit].per {
            Per::Key => key,
            Per::Team => key % TEAMS,
        };
        Self { limit, member }
    }

    /// Every cell of every limit.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..LIMITS.len()).flat_map(|limit| {
            let members = match LIMITS[limit].per {
                Per::Key => KEYS,
                Per::Team => TEAMS,
            };
            (0..members).map(move |member| Self { limit, member })
        })
    }

    /// The cells of other limits that a request of this key's cell counts in too.
    pub(super) fn wider(self) -> impl Iterator<Item = Self> {
        let of_a_key = LIMITS[self.limit].per == Per::Key;
        let others = (0..LIMITS.len()).filter(move |other| of_a_key && *other != self.limit);
        others.map(move |other| Self::of(other, self.member))
    }

    /// How logs, refusals and `tollgate limits` name the counter. `keys` are the keys' identifiers.
    pub(super) fn label(self, keys: &[String]) -> String {
        let name = LIMITS[self.limit].name;
        match LIMITS[self.limit].per {
            Per::Key => format!("{name}/key={}", keys[self.member]),
            Per::Team => format!("{name}/team=chaos/team{}", self.member),
        }
    }
}

/// To whom a key belongs.
pub(super) fn subject(key: usize) -> String {
    format!("chaos/team{}/caller{key}", key % TEAMS)
}

/// The amount of each limit, in the order of [`LIMITS`]; none where it is not in the policy.
pub(super) type Amounts = [Option<u64>; LIMITS.len()];

/// A part of the run in which the amounts stay, but for what faults do to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) amounts: Amounts,
    /// The first so many keys are used.
    pub(super) keys: usize,
}

/// In turn, each first without and then with faults.
pub(super) const STAGES: [Stage; 6] = [
    Stage {
        name: "10 per key, 100 per team",
        amounts: [Some(10), Some(100), None],
        keys: KEYS,
    },
    Stage {
        name: "10,000 per key",
        amounts: [Some(10_000), None, None],
        keys: 1,
    },
    Stage {
        name: "1 per key",
        amounts: [Some(1), Some(100), None],
        keys: KEYS,
    },
    Stage {
        name: "10,000 tokens per team",
        amounts: [None, None, Some(10_000)],
        keys: 4,
    },
    Stage {
        name: "100 per key, 1,000 per team",
        amounts: [Some(100), Some(1000), None],
        keys: KEYS,
    },
    Stage {
        name: "1,000 tokens per team, 100 requests per key",
        amounts: [Some(100), None, Some(1000)],
        keys: KEYS,
    },
];

/// The policy with these amounts, in windows of `window_s` seconds.
///
/// A request is tried at the provider once: what arrives there twice for one admission would count twice.
pub(super) fn policy(amounts: &Amounts, window_s: u64, provider: &str) -> String {
    let mut text = format!(
        "providers:   {{ mock: {{ kind: openai_compatible, base_url: \"{provider}\", internal: true }} }}
deployments: {{ words: {{ provider: mock, model: ok-8, price: {{ input: \"1\", output: \"2\" }} }} }}
pools:       {{ main: {{ targets: [ {{ deployment: words }} ] }} }}
models:
  chat: {{ routes: [ {{ pools: [main] }} ], max_output_tokens: 16, deadline: 5s, retry: {{ attempts: 1 }} }}
limits:
"
    );
    for (limit, amount) in LIMITS.iter().zip(amounts) {
        let Some(amount) = amount else { continue };
        let per = match limit.per {
            Per::Key => "key",
            Per::Team => "team",
        };
        let (name, unit) = (limit.name, limit.unit.name());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  - {{ name: {name}, per: [{per}], {unit}: {amount}, window: {window_s}s }}"
        );
    }
    text
}
