//! The node machine as the node uses it: under one mutex, with readings of the boot clock.

use std::alloc::System;
use std::error::Error;

use parking_lot::Mutex;
use stats_alloc::{Region, StatsAlloc};
use tollgate_quota::node::{Ask, Config, Node, Outcome, RequestId, Scope};
use tollgate_quota::{Counter, Incarnation, Kind, NodeTime, OwnerAccount, OwnerMessage};

use crate::measure::{Limiter, Sizes, boot_ms};
use crate::owner;

const WINDOW_MS: u64 = 3_600_000;
const WINDOWS: Kind = Kind::Fixed {
    window_ms: WINDOW_MS,
};
/// Never used up.
pub(crate) const PLENTY: u64 = 1_000_000_000_000;
/// How long a request would wait.
const PATIENCE_MS: u64 = 1_000;

/// Limits of which a request meets the first so many: those of its key first, then ever wider ones.
pub(crate) const LIMITS: [(&str, Width); 6] = [
    ("requests-per-key", Width::Key),
    ("tokens-per-key", Width::Key),
    ("requests-per-team", Width::Team),
    ("tokens-per-team", Width::Team),
    ("whole-application", Width::All),
    ("whole-model", Width::All),
];

/// Keys of one team.
const TEAM: usize = 100;

/// Who shares a counter of a limit.
#[derive(Clone, Copy)]
pub(crate) enum Width {
    Key,
    Team,
    All,
}

impl Width {
    /// The number of the counter that a key falls to.
    pub(crate) fn of(self, key: usize) -> usize {
        match self {
            Self::Key => key,
            Self::Team => key / TEAM,
            Self::All => 0,
        }
    }
}

/// Allocations and bytes per request.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Allocations {
    pub(crate) allocations: f64,
    pub(crate) bytes: f64,
}

/// The machine and its mutex.
pub(crate) struct Shell {
    machine: Mutex<Node>,
    asks: Vec<Vec<Ask>>,
    used: Vec<u64>,
}

impl Shell {
    /// A node that has heard of plenty for each of so many keys in the first so many limits.
    pub(crate) fn new(keys: usize, limits: usize) -> Result<Self, Box<dyn Error>> {
        let limits = &LIMITS[..limits];
        let ask = |key: usize, (name, width): (&str, Width)| {
            let number = width.of(key);
            let subject = match width {
                Width::Key => format!("requests=3600s/key=k{number:08}"),
                Width::Team => format!("requests=3600s/team=acme/team{number}"),
                Width::All => "requests=3600s".to_owned(),
            };
            let counter = Counter::new(name, WINDOWS, &subject)?;
            Ok(Ask { counter, units: 2 })
        };
        let asks = (0..keys).map(|key| limits.iter().map(|limit| ask(key, *limit)).collect());
        let asks: Vec<Vec<Ask>> = asks.collect::<Result<_, tollgate_quota::Error>>()?;
        let mut machine = Node::new("bench", Incarnation(1), Config::default());
        let now = NodeTime(boot_ms());
        let template = owner::first_grant(WINDOW_MS)?;
        let granted = |counter: &Counter| OwnerAccount {
            counter: counter.clone(),
            granted: PLENTY,
            limit: PLENTY,
            remaining: PLENTY,
            ..template.accounts[0].clone()
        };
        for asks in &asks {
            let message = OwnerMessage {
                closed: Vec::new(),
                echo_t_node: now,
                accounts: asks.iter().map(|ask| granted(&ask.counter)).collect(),
                ..template.clone()
            };
            machine.receive(now, &message);
        }
        Ok(Self {
            machine: Mutex::new(machine),
            asks,
            used: vec![1; limits.len()],
        })
    }

    /// What a request allocates, from its decision to its end.
    pub(crate) fn allocations(
        &self,
        sizes: Sizes,
        allocator: &'static StatsAlloc<System>,
    ) -> Allocations {
        let pass = || {
            for n in 0..sizes.warmup {
                let held = self.admit(&mut (), n % self.asks.len());
                self.finish(&mut (), held);
            }
        };
        // Whatever grows once has grown after the first pass.
        pass();
        self.upkeep();
        pass();
        let region = Region::new(allocator);
        pass();
        let change = region.change();
        let count = change.allocations + change.reallocations;
        Allocations {
            allocations: count as f64 / sizes.warmup as f64,
            bytes: change.bytes_allocated as f64 / sizes.warmup as f64,
        }
    }
}

/// What the shell looks at after every call.
fn after(machine: &mut Node) {
    assert!(machine.poll_wake().is_none(), "nobody waits");
    let due = [machine.next_message(), machine.next_tick()];
    let due = due.into_iter().flatten();
    std::hint::black_box(due.fold(machine.next_heartbeat(), NodeTime::min));
}

impl Limiter for Shell {
    type Hand = ();
    type Held = RequestId;

    fn hand(&self) {}

    fn keys(&self) -> usize {
        self.asks.len()
    }

    fn admit(&self, (): &mut (), key: usize) -> RequestId {
        let mut machine = self.machine.lock();
        let now = NodeTime(boot_ms());
        let (id, outcome) = machine.reserve(now, &self.asks[key], now.after(PATIENCE_MS));
        assert_eq!(outcome, Outcome::Taken);
        let stamped = machine.stamp(NodeTime(boot_ms()), id);
        assert!(matches!(stamped, Outcome::Admitted(_)));
        after(&mut machine);
        id
    }

    fn finish(&self, (): &mut (), id: RequestId) {
        let mut machine = self.machine.lock();
        let settled = machine.settle(NodeTime(boot_ms()), id, &self.used);
        assert!(settled.is_ok());
        after(&mut machine);
    }

    fn upkeep(&self) {
        let mut machine = self.machine.lock();
        std::hint::black_box(machine.poll_message(NodeTime(boot_ms()), Scope::Changed));
    }
}
