//! What one run does: drawn from its seed.

use tollgate_quota::Kind;

use crate::random::Random;

/// The kind of most limits in a run.
pub(crate) const FIXED_12_S: Kind = Kind::Fixed { window_ms: 12_000 };

/// One way to break the protocol. None of them touches the product's code: each alters what goes over
/// the wire, in or out of the store, or how the machines are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// Grants travel as differences to the last message.
    Deltas,
    /// Units of a node that is not heard of are credited again after a while.
    RecreditOnExpiry,
    /// The store's transactions compare nothing.
    UnguardedWrite,
    /// A write whose outcome nobody knows is taken for done.
    UnknownIsSuccess,
    /// A new owner begins with what nodes have admitted instead of the stored mark.
    TrustReports,
    /// A node counts the rest of the window from its receipt of the answer.
    DeadlineFromReceipt,
    /// A node allows for no drift.
    NoDriftMargin,
    /// A node stamps with the clock reading it had before taking.
    NoRestamp,
    /// A new owner begins with its own clock's window, though a later one is stored.
    WindowsGoBack,
    /// A node forgets its accounts when their window has passed by its own estimate.
    ForgetAtDeadline,
    /// A settlement's refund is counted twice.
    SettledTwice,
    /// A new owner obeys its own policy though a newer one is stored.
    LimitFromOwnCache,
    /// A new owner does not wait for what earlier ones may have handed out by their horizon.
    NoHorizonWait,
    /// A new owner reads the horizon before it holds the epoch.
    HorizonReadEarly,
    /// An owner renews its horizon though it is one no more.
    UnguardedHorizon,
    /// Owners allow for no difference between their clocks.
    NoSkewMargin,
    /// What was written off bears the generation of what is granted afterwards.
    NoGeneration,
    /// A node reports as spent what may still come back.
    HeldAsSpent,
    /// A node reports as spent what it was granted and has not used.
    SpentAtGrant,
    /// A request that ends early, by its caller's leaving, is never settled.
    SettleSkipped,
    /// What a request holds is put back although the request was sent.
    UndoneAndSent,
    /// A request that waits is not told that its units have come.
    LostWake,
}

/// One limit with its initial units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedLimit {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) units: u64,
    /// How many tenths of its units a bucket holds.
    pub(crate) burst: u64,
    pub(crate) subjects: u64,
    /// Requests ask for one unit each; tokens for up to a third of the limit.
    pub(crate) tokens: bool,
}

/// Limits that are kept alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Brief,
    Sliding,
    Bucket,
}

impl Family {
    pub(crate) const ALL: [Self; 3] = [Self::Brief, Self::Sliding, Self::Bucket];

    pub(crate) fn kind(self, window_ms: u64) -> Kind {
        match self {
            Self::Brief => Kind::Fixed { window_ms },
            Self::Sliding => Kind::Sliding { window_ms },
            Self::Bucket => Kind::Bucket { window_ms },
        }
    }
}

impl PlannedLimit {
    /// What a bucket holds when its window brings so many units.
    pub(crate) fn burst(&self, units: u64) -> u64 {
        (units * self.burst / 10).max(1)
    }

    /// The most that can ever be admitted at once.
    pub(crate) fn size(&self, units: u64) -> u64 {
        match self.kind {
            Kind::Bucket { .. } => self.burst(units),
            Kind::Fixed { .. }
            | Kind::Sliding { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => units,
        }
    }
}

/// Everything that is fixed before a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: u64,
    pub(crate) limits: Vec<PlannedLimit>,
    /// How long the faulty part lasts, in milliseconds; 0 for none.
    pub(crate) faulty_ms: u64,
    /// Mean time between requests at one node, in milliseconds, and how many come at once.
    pub(crate) pace_ms: u64,
    pub(crate) burst: u64,
    /// How unevenly demand is spread over the nodes: the exponent of Zipf's law.
    pub(crate) zipf: f64,
    /// Owners' clocks differ from true time by at most this, in milliseconds.
    pub(crate) skew_ms: u64,
    /// Percentages of messages lost and repeated, and the longest usual delay.
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) delay_ms: u64,
    /// Percentage of writes whose outcome stays unknown.
    pub(crate) unknown: u64,
    /// How long a node keeps what it holds of limits without windows, in milliseconds.
    pub(crate) lease_ms: u64,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) trace: bool,
}

impl Plan {
    /// A run full of faults.
    pub(crate) fn stormy(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let units = [1, 2, 3, 5, 10, 30, 100];
        let limits = vec![
            PlannedLimit {
                name: "fleet",
                kind: FIXED_12_S,
                units: random.pick(&units),
                burst: 10,
                subjects: 1,
                tokens: false,
            },
            PlannedLimit {
                name: "per-key",
                kind: Kind::Fixed { window_ms: 15_000 },
                units: random.pick(&units),
                burst: 10,
                subjects: 2,
                tokens: false,
            },
            PlannedLimit {
                name: "tokens",
                kind: FIXED_12_S,
                units: random.pick(&[20, 100, 1_000]),
                burst: 10,
                subjects: 1,
                tokens: true,
            },
        ];
        Self {
            seed,
            nodes: random.within(2, 5),
            limits,
            faulty_ms: random.within(30, 45) * 1_000,
            pace_ms: random.pick(&[60, 150, 400]),
            burst: 1,
            zipf: 0.0,
            // The count must hold however far owners' clocks are apart.
            skew_ms: random.pick(&[3, 10, 10, 1_500]),
            lost: random.pick(&[0, 2, 15]),
            repeated: random.pick(&[0, 10, 30]),
            delay_ms: random.pick(&[2, 10, 60]),
            unknown: random.pick(&[0, 10, 30]),
            lease_ms: 2_000,
            mutation: None,
            trace: false,
        }
    }

    /// A run full of faults, of limits that one kind of horizon keeps: brief windows, sliding ones, or
    /// buckets.
    pub(crate) fn stormy_by_horizon(seed: u64, family: Family) -> Self {
        let mut random = Random::new(seed ^ 0xb0b);
        let mut limit = |name, subjects, tokens| {
            let window_ms = random.pick(&[1_000, 2_000, 3_000]);
            let units: &[u64] = if tokens {
                &[20, 100, 1_000]
            } else {
                &[1, 2, 3, 5, 10, 30]
            };
            PlannedLimit {
                name,
                kind: family.kind(window_ms),
                units: random.pick(units),
                burst: random.pick(&[5, 10, 30]),
                subjects,
                tokens,
            }
        };
        let mut limits = vec![limit("fleet", 1, false), limit("per-key", 2, false)];
        limits.push(limit("tokens", 1, true));
        // What is rare with several limits at once is looked for with one.
        limits.truncate(random.pick(&[1, 3]));
        Self {
            limits,
            pace_ms: random.pick(&[20, 60, 150]),
            // Within the margin between two owners' clocks.
            skew_ms: random.pick(&[3, 250]),
            delay_ms: random.pick(&[2, 10, 60, 500]),
            // As short as a heartbeat, so that leases lapse though nothing is wrong.
            lease_ms: random.pick(&[1_000, 2_000]),
            ..Self::stormy(seed)
        }
    }

    /// A run without any fault, of one limit over `nodes` nodes that race for it.
    pub(crate) fn race(seed: u64, nodes: u64, units: u64) -> Self {
        let limit = PlannedLimit {
            name: "raced",
            kind: FIXED_12_S,
            units,
            burst: 10,
            subjects: 1,
            tokens: false,
        };
        Self {
            limits: vec![limit],
            nodes,
            faulty_ms: 0,
            // At least twice as much demand as there are units, and twenty requests a second and node.
            pace_ms: 50,
            burst: units * 2 * 50 / (12_000 * nodes) + 1,
            skew_ms: 10,
            lost: 0,
            repeated: 0,
            delay_ms: 2,
            unknown: 0,
            ..Self::stormy(seed)
        }
    }
}
