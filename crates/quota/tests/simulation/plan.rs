//! What one run does: drawn from its seed.

use tollgate_quota::Kind;

use crate::mutants::Mutation;
use crate::oracle::by_horizon;
use crate::random::Random;

/// The kind of most limits that are kept by a mark.
pub(crate) const FIXED_12_S: Kind = Kind::Fixed { window_ms: 12_000 };

/// One limit with its initial units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedLimit {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) units: u64,
    /// How many tenths of its units a bucket holds.
    pub(crate) burst: u64,
    pub(crate) subjects: u64,
    /// Requests ask for up to this part of the limit; where there is none, for one unit each.
    pub(crate) part: Option<u64>,
}

/// Limits whose charge is kept alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Windows with a mark each.
    Counted,
    /// Short windows.
    Brief,
    Sliding,
    /// Sliding ones with windows that outlast faults.
    Long,
    Bucket,
    /// A budget, and slots.
    Ledger,
    /// Windows with a mark each, of which a part is promised ahead.
    Promised,
    /// Limits that several callers share.
    Shared,
}

/// How those who share a limit share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// They are not told apart.
    Together,
    Equally,
    /// By these per cent, the first ones.
    By(&'static [u32]),
}

impl Family {
    pub(crate) const ALL: [Self; 8] = [
        Self::Counted,
        Self::Brief,
        Self::Sliding,
        Self::Long,
        Self::Bucket,
        Self::Ledger,
        Self::Promised,
        Self::Shared,
    ];

    fn limits(self, seed: u64) -> Vec<PlannedLimit> {
        let mut random = Random::new(seed ^ 0xb0b);
        match self {
            Self::Counted | Self::Promised => counted(&mut Random::new(seed)),
            Self::Shared if seed.is_multiple_of(2) => counted(&mut random),
            Self::Shared => {
                let bucket = |window_ms| Kind::Bucket { window_ms };
                let sliding = |window_ms| Kind::Sliding { window_ms };
                let kind = if seed % 4 == 1 { bucket } else { sliding };
                rolling(&mut random, kind, SHORT)
            }
            Self::Brief => rolling(&mut random, |window_ms| Kind::Fixed { window_ms }, SHORT),
            Self::Sliding => rolling(&mut random, |window_ms| Kind::Sliding { window_ms }, SHORT),
            Self::Long => rolling(&mut random, |window_ms| Kind::Sliding { window_ms }, LONG),
            Self::Bucket => {
                let lengths = random.pick(&[SHORT, LONG]);
                rolling(&mut random, |window_ms| Kind::Bucket { window_ms }, lengths)
            }
            Self::Ledger => ledgers(&mut random),
        }
    }
}

fn counted(random: &mut Random) -> Vec<PlannedLimit> {
    let units = [1, 2, 3, 5, 10, 30, 100];
    let fleet = PlannedLimit {
        name: "fleet",
        kind: FIXED_12_S,
        units: random.pick(&units),
        burst: 10,
        subjects: 1,
        part: None,
    };
    let per_key = PlannedLimit {
        name: "per-key",
        kind: Kind::Fixed { window_ms: 15_000 },
        units: random.pick(&units),
        subjects: 2,
        ..fleet
    };
    let tokens = PlannedLimit {
        name: "tokens",
        units: random.pick(&[20, 100, 1_000]),
        part: Some(3),
        ..fleet
    };
    vec![fleet, per_key, tokens]
}

/// Lengths of windows, in milliseconds.
const SHORT: [u64; 3] = [1_000, 2_000, 3_000];
const LONG: [u64; 3] = [10_001, 12_000, 15_000];

fn rolling(random: &mut Random, kind: fn(u64) -> Kind, lengths: [u64; 3]) -> Vec<PlannedLimit> {
    let mut limit = |name, subjects, part: Option<u64>| PlannedLimit {
        name,
        kind: kind(random.pick(&lengths)),
        units: match part {
            Some(_) => random.pick(&[20, 100, 1_000]),
            None => random.pick(&[1, 2, 3, 5, 10, 30]),
        },
        burst: random.pick(&[5, 10, 30]),
        subjects,
        part,
    };
    let mut limits = vec![
        limit("fleet", 1, None),
        limit("per-key", 2, None),
        limit("tokens", 1, Some(3)),
    ];
    // What is rare with several limits at once is looked for with one.
    limits.truncate(random.pick(&[1, 3]));
    limits
}

fn ledgers(random: &mut Random) -> Vec<PlannedLimit> {
    let budget = PlannedLimit {
        name: "budget",
        kind: Kind::Endless,
        units: random.pick(&[50, 1_000, 20_000]),
        burst: 10,
        subjects: 2,
        part: Some(random.pick(&[10, 50])),
    };
    let slots = PlannedLimit {
        name: "slots",
        kind: Kind::Concurrent,
        units: random.pick(&[1, 2, 3, 10]),
        subjects: 1,
        part: None,
        ..budget
    };
    vec![budget, slots]
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
    /// Percentage of crashes that take the journal with them.
    pub(crate) disk_lost: u64,
    /// How long a node keeps what it holds of limits without windows, in milliseconds.
    pub(crate) lease_ms: u64,
    /// How much of each window is promised ahead, in per cent, and how far ahead, in milliseconds.
    pub(crate) promised: u32,
    pub(crate) promised_ms: u64,
    pub(crate) sharing: Sharing,
    /// The store is restored from an older copy.
    pub(crate) restored: bool,
    pub(crate) mutation: Option<Mutation>,
    /// Where nothing is left to chance: the number that is drawn instead, and whether stamps wait for their turn.
    pub(crate) number: Option<u64>,
    pub(crate) pauses: bool,
    pub(crate) trace: bool,
}

impl Plan {
    /// A run full of faults, over limits of that family.
    pub(crate) fn stormy(seed: u64, family: Family) -> Self {
        let mut random = Random::new(seed);
        let plan = Self {
            seed,
            nodes: random.within(2, 5),
            limits: family.limits(seed),
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
            lease_ms: 2_000,
            promised: 0,
            promised_ms: 0,
            sharing: Sharing::Together,
            restored: false,
            mutation: None,
            number: None,
            pauses: false,
            trace: false,
        };
        let plan = match family {
            Family::Promised => Self {
                faulty_ms: random.within(60, 90) * 1_000,
                promised: random.pick(&[30, 60, 100]),
                promised_ms: random.pick(&[1, 36_000]),
                ..plan
            },
            Family::Shared => Self {
                sharing: random.pick(&[
                    Sharing::Equally,
                    Sharing::By(&[50]),
                    Sharing::By(&[60, 40]),
                ]),
                ..plan
            },
            Family::Long => Self {
                faulty_ms: random.within(60, 90) * 1_000,
                ..plan
            },
            Family::Counted | Family::Brief | Family::Sliding | Family::Bucket | Family::Ledger => {
                plan
            }
        };
        if !plan.limits.iter().any(|limit| by_horizon(limit.kind)) {
            return plan;
        }
        Self {
            pace_ms: random.pick(&[20, 60, 150]),
            // Within the margin between two owners' clocks.
            skew_ms: random.pick(&[3, 250]),
            delay_ms: random.pick(&[2, 10, 60, 500]),
            // As short as a heartbeat, so that leases lapse though nothing is wrong.
            lease_ms: random.pick(&[1_000, 2_000]),
            ..plan
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
            part: None,
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
            ..Self::stormy(seed, Family::Counted)
        }
    }
}
