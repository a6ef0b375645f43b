//! The owner's state machine: what a grant costs, and what a counter weighs that nobody uses.
//!
//! Nodes report all they have as spent and ask for more; every write to the store is taken to succeed at once.

use std::alloc::System;
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use serde::Serialize;
use stats_alloc::{Region, StatsAlloc};
use tollgate_quota::node::{Ask, Node, Scope};
use tollgate_quota::owner::{Commit, Config, Effect, Event, Load, Owner};
use tollgate_quota::{
    Counter, Epoch, Incarnation, Kind, LimitSpec, Limits, NodeAccount, NodeMessage, NodeTime,
    OwnerAccount, OwnerMessage, OwnerTime,
};

use crate::measure::processor_time;
use crate::node::PLENTY;

const WINDOW_MS: u64 = 3_600_000;
const WINDOWS: Kind = Kind::Fixed {
    window_ms: WINDOW_MS,
};
const LIMIT: &str = "requests-per-key";
const NODES: usize = 4;
/// Counters that one message of a node speaks of.
const IN_A_MESSAGE: usize = 64;
/// Nobody is heard for so long before counters are weighed.
const REST_MS: u64 = 20_000;
/// Some time inside of a window.
const NOW: OwnerTime = OwnerTime(1_000_000 * WINDOW_MS + 1_000);

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) counters: usize,
    /// Heap per counter that one node has used once.
    pub(crate) idle_bytes: f64,
    /// Grants per second of processor time, messages read and written included.
    pub(crate) grants_per_second: f64,
    /// Records written per thousand grants.
    pub(crate) writes_per_1000: f64,
}

/// An owner, and what the store would keep.
struct Bench {
    owner: Owner,
    now: OwnerTime,
    revision: i64,
    writes: u64,
}

impl Bench {
    fn new() -> Result<Self, tollgate_quota::Error> {
        let spec = LimitSpec {
            units: PLENTY,
            kind: WINDOWS,
            burst: 0,
            revision: 1,
        };
        let limits = Limits::new([(Arc::from(LIMIT), spec)])?;
        Ok(Self {
            owner: Owner::new(Epoch(1), Config::default(), Arc::new(limits)),
            now: NOW,
            revision: 0,
            writes: 0,
        })
    }

    /// Takes a message in, answers for the store until nothing is left to do, and returns all that the node is told.
    fn step(&mut self, message: NodeMessage) -> Option<OwnerMessage> {
        let mut events = vec![Event::Node(message)];
        let mut told: Option<OwnerMessage> = None;
        while let Some(event) = events.pop() {
            for effect in self.owner.step(self.now, event) {
                match effect {
                    Effect::Load(counter) => events.push(Event::Loaded {
                        counter,
                        outcome: Load::Absent,
                    }),
                    Effect::Persist { counter, .. } => {
                        self.revision += 1;
                        self.writes += 1;
                        let outcome = Commit::Committed(self.revision);
                        events.push(Event::Persisted { counter, outcome });
                    }
                    Effect::Send(message) => match &mut told {
                        Some(told) => told.accounts.extend(message.accounts),
                        None => told = Some(message),
                    },
                    Effect::LoadHorizon | Effect::PersistHorizon { .. } => {
                        panic!("a window of an hour needs no horizon")
                    }
                    Effect::StepDown(reason) => panic!("the owner stepped down: {reason:?}"),
                }
            }
        }
        told
    }

    /// Lets so much time pass without a word that nothing is going on any more.
    fn rest(&mut self) {
        while let Some(at) = self
            .owner
            .next_deadline()
            .filter(|at| at.0 <= NOW.0 + REST_MS)
        {
            self.now = at;
            let effects = self.owner.step(self.now, Event::Tick);
            assert!(effects.is_empty(), "{effects:?}");
        }
    }
}

/// What a node says that has used one unit of what it was granted, and given back the others.
fn used_once(told: &OwnerAccount) -> NodeAccount {
    NodeAccount {
        counter: told.counter.clone(),
        window: told.window,
        epoch: Epoch(1),
        generation: told.generation,
        seen: told.granted,
        returned: told.granted.saturating_sub(1),
        spent: 1,
        need: 0,
        demand: 0,
        avail: 0,
        waiters: 0,
        answered: told.version,
        promised_back: 0,
    }
}

/// A real node's first message about a counter, and the owner's answer once it grants.
fn exchange(bench: &mut Bench) -> Result<(NodeMessage, OwnerMessage), Box<dyn Error>> {
    let mut node = Node::new("bench", Incarnation(1), Default::default());
    let ask = Ask {
        counter: Counter::new(LIMIT, WINDOWS, "requests=3600s/key=first")?,
        units: 1,
    };
    node.reserve(NodeTime(0), &[ask], NodeTime(1_000));
    let asked = node.poll_message(NodeTime(1), Scope::All);
    let asked = asked.ok_or("a node that lacks units asks")?;
    let granted = bench.step(asked.clone());
    let granted = granted.filter(|message| message.accounts.iter().any(|a| a.granted > 0));
    Ok((asked, granted.ok_or("an owner that has units grants")?))
}

/// A message by which a real owner grants units, to be changed as needed.
pub(crate) fn first_grant(window_ms: u64) -> Result<OwnerMessage, Box<dyn Error>> {
    assert_eq!(
        window_ms, WINDOW_MS,
        "the owner of this file has this window"
    );
    Ok(exchange(&mut Bench::new()?)?.1)
}

/// Measures with so many counters.
pub(crate) fn measure(
    counters: usize,
    quick: bool,
    allocator: &'static StatsAlloc<System>,
) -> Result<Figures, Box<dyn Error>> {
    let mut bench = Bench::new()?;
    let (asked, _) = exchange(&mut bench)?;
    let names =
        (0..counters).map(|n| Counter::new(LIMIT, WINDOWS, &format!("requests=3600s/key=k{n:08}")));
    let names: Vec<Counter> = names.collect::<Result<_, _>>()?;
    let template = asked.accounts.first().ok_or("it speaks of a counter")?;
    let first = |counter: &Counter| NodeAccount {
        counter: counter.clone(),
        ..template.clone()
    };

    let region = Region::new(allocator);
    for names in names.chunks(IN_A_MESSAGE) {
        let message = |accounts: Vec<NodeAccount>| NodeMessage {
            accounts,
            ..asked.clone()
        };
        let granted = bench.step(message(names.iter().map(first).collect()));
        let granted = granted.ok_or("the owner grants")?.accounts;
        bench.step(message(granted.iter().map(used_once).collect()));
    }
    bench.rest();
    let change = region.change();
    // What reallocations add or take away is part of both.
    let held = change.bytes_allocated as f64 - change.bytes_deallocated as f64;

    let rounds = if quick { 2 } else { 20 };
    let (grants, seconds) = rates(&mut bench, &names, &asked, rounds);
    Ok(Figures {
        counters,
        idle_bytes: held / counters as f64,
        grants_per_second: grants as f64 / seconds,
        writes_per_1000: bench.writes as f64 * 1_000.0 / grants.max(1) as f64,
    })
}

/// Some nodes ask for a tenth of the counters, over and over. Returns grants and the seconds they took.
fn rates(bench: &mut Bench, names: &[Counter], asked: &NodeMessage, rounds: u64) -> (u64, f64) {
    let busy = &names[..names.len() / 10];
    // What each node has seen granted: it reports all of it as spent.
    let mut seen: HashMap<(usize, Counter), (u64, u64)> = HashMap::new();
    let (mut grants, mut seconds) = (0, 0.0);
    bench.writes = 0;
    for round in 1..=rounds {
        bench.now = bench.now.after(1_000);
        for node in 0..NODES {
            for names in busy.chunks(IN_A_MESSAGE) {
                let accounts = names.iter().map(|counter| {
                    let (granted, answered) = seen
                        .get(&(node, counter.clone()))
                        .copied()
                        .unwrap_or((0, 0));
                    NodeAccount {
                        counter: counter.clone(),
                        window: tollgate_quota::Window(bench.now.0 / WINDOW_MS),
                        epoch: Epoch(1),
                        seen: granted,
                        spent: granted,
                        need: 1,
                        demand: 50,
                        avail: 0,
                        waiters: 1,
                        answered,
                        ..asked.accounts[0].clone()
                    }
                });
                let message = NodeMessage {
                    closes: Vec::new(),
                    node: format!("node-{node}").into(),
                    incarnation: Incarnation(100 + node as u64),
                    t_node: NodeTime(round * 1_000),
                    accounts: accounts.collect(),
                };
                let begin = processor_time();
                let answer = bench.step(message);
                seconds += (processor_time() - begin).as_secs_f64();
                for told in answer.into_iter().flat_map(|answer| answer.accounts) {
                    let entry = seen.entry((node, told.counter)).or_default();
                    grants += u64::from(told.granted > entry.0);
                    *entry = (told.granted, told.version);
                }
            }
        }
    }
    (grants, seconds)
}
