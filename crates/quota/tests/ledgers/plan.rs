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
    /// An heir closes at what was noted as spent: nothing says what was reserved.
    NoMark,
    /// A process goes on before its mark is on disk.
    MarkNotFlushed,
    /// What a dead process gave back counts although it is closed.
    LateReturn,
    /// A closing frees what it frees twice.
    ClosedTwice,
    /// A process that is cut off is closed by somebody who does not hold its lock.
    ClosedWithoutLock,
    /// The processes of a node share a row.
    OneSum,
    /// What comes back travels as differences to the last message.
    ReturnedAsDelta,
}

/// One limit with its initial units.
#[derive(Debug, Clone)]
pub(crate) struct PlannedLimit {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) units: u64,
    pub(crate) subjects: u64,
    /// Requests ask for one unit each; tokens for up to this part of the limit.
    pub(crate) part: Option<u64>,
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
    /// Percentage of crashes that take the journal with them.
    pub(crate) disk_lost: u64,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) trace: bool,
}

/// Limits that are kept by rows.
fn ledgers(random: &mut Random) -> Vec<PlannedLimit> {
    let budget = PlannedLimit {
        name: "budget",
        kind: Kind::Endless,
        units: random.pick(&[50, 1_000, 20_000]),
        subjects: 2,
        part: Some(random.pick(&[10, 50])),
    };
    let slots = PlannedLimit {
        name: "slots",
        kind: Kind::Concurrent,
        units: random.pick(&[1, 2, 3, 10]),
        subjects: 1,
        part: None,
    };
    vec![budget, slots]
}

impl Plan {
    /// A run full of faults over limits that are kept by rows only.
    pub(crate) fn ledger(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x1ed6e4);
        Self {
            limits: ledgers(&mut random),
            ..Self::stormy(seed)
        }
    }

    /// A run full of faults.
    pub(crate) fn stormy(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let units = [1, 2, 3, 5, 10, 30, 100];
        let limits = vec![
            PlannedLimit {
                name: "fleet",
                kind: FIXED_12_S,
                units: random.pick(&units),
                subjects: 1,
                part: None,
            },
            PlannedLimit {
                name: "per-key",
                kind: Kind::Fixed { window_ms: 15_000 },
                units: random.pick(&units),
                subjects: 2,
                part: None,
            },
            PlannedLimit {
                name: "tokens",
                kind: FIXED_12_S,
                units: random.pick(&[20, 100, 1_000]),
                subjects: 1,
                part: Some(3),
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
            disk_lost: random.pick(&[0, 0, 30]),
            mutation: None,
            trace: false,
        }
    }
}
