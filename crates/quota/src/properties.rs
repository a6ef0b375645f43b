//! Random schedules of one owner, three nodes and a store that may not answer, shrunk to the shortest
//! that breaks an invariant. Every message ever sent may be delivered at any time, any number of
//! times. The simulation under `tests/` has the faults that need more of a world: clocks, takeovers,
//! crashes.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names only what it expects"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::node::{self, Ask, Node, Outcome, RequestId, Scope};
use crate::owner::{self, Commit, Effect, Load, Owner, Record};
use crate::{
    Counter, Epoch, Incarnation, Kind, LimitSpec, Limits, NodeMessage, NodeTime, OwnerMessage,
    OwnerTime, Window,
};

const T: u64 = 20_000;
const KIND: Kind = Kind::Fixed { window_ms: T };
const NODES: usize = 3;
const BEGIN: u64 = 1_700_000_000_000;

#[derive(Debug, Clone)]
enum Step {
    Reserve {
        node: usize,
        units: u64,
    },
    /// Settles the oldest open reservation with that many percent of it.
    Settle {
        node: usize,
        percent: u64,
    },
    Report {
        node: usize,
        all: bool,
    },
    ToOwner {
        message: usize,
    },
    ToNode {
        message: usize,
    },
    /// The oldest store operation is done; its owner hears of it, or that nobody knows.
    Store {
        known: bool,
        done: bool,
    },
    Limit {
        units: u64,
    },
    /// An operator raises the limit for a while.
    Raise {
        units: u64,
        ms: u64,
    },
    /// An operator forgives what was spent.
    Reset,
    Wait {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        4 => (node.clone(), 1..6u64).prop_map(|(node, units)| Step::Reserve { node, units }),
        3 => (node.clone(), 0..150u64).prop_map(|(node, percent)| Step::Settle { node, percent }),
        4 => (node, any::<bool>()).prop_map(|(node, all)| Step::Report { node, all }),
        6 => (0..1_000usize).prop_map(|message| Step::ToOwner { message }),
        6 => (0..1_000usize).prop_map(|message| Step::ToNode { message }),
        4 => (0..10u8, any::<bool>()).prop_map(|(known, done)| Step::Store { known: known > 2, done }),
        1 => (0..40u64).prop_map(|units| Step::Limit { units }),
        1 => (0..60u64, 1..30_000u64).prop_map(|(units, ms)| Step::Raise { units, ms }),
        1 => Just(Step::Reset),
        2 => (1..3_000u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

struct Bench {
    counter: Counter,
    now: u64,
    owner: Owner,
    nodes: Vec<Node>,
    open: Vec<BTreeMap<RequestId, (u64, Option<Window>)>>,
    to_owner: Vec<NodeMessage>,
    to_node: Vec<OwnerMessage>,
    operations: Vec<Effect>,
    stored: Option<(Record, i64)>,
    revision: u64,
    largest_limit: BTreeMap<Window, u64>,
    admitted: BTreeMap<Window, u64>,
    /// What was truly spent, and what of it the owner has forgiven.
    spent: BTreeMap<Window, u64>,
    forgiven: BTreeMap<Window, u64>,
    totals: BTreeMap<(Incarnation, Window), [u64; 3]>,
}

impl Bench {
    fn new() -> Self {
        let node = |n| Node::new("n", Incarnation(n as u64), node::Config::default());
        Self {
            counter: Counter::new("limit", KIND, "").unwrap(),
            now: BEGIN,
            owner: Owner::new(Epoch(1), owner::Config::default(), limits(10, 1)),
            nodes: (0..NODES).map(node).collect(),
            open: vec![BTreeMap::new(); NODES],
            to_owner: Vec::new(),
            to_node: Vec::new(),
            operations: Vec::new(),
            stored: None,
            revision: 1,
            largest_limit: BTreeMap::new(),
            admitted: BTreeMap::new(),
            spent: BTreeMap::new(),
            forgiven: BTreeMap::new(),
            totals: BTreeMap::new(),
        }
    }

    fn node_time(&self) -> NodeTime {
        NodeTime(self.now - BEGIN)
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Reserve { node, units } => {
                let asks = [Ask {
                    counter: self.counter.clone(),
                    units,
                }];
                let now = self.node_time();
                let (id, outcome) = self.nodes[node].reserve(now, &asks, now.after(1_000));
                self.open[node].insert(id, (units, None));
                self.resolve(node, id, &outcome);
            }
            Step::Settle { node, percent } => self.settle(node, percent),
            Step::Report { node, all } => {
                let scope = if all { Scope::All } else { Scope::Changed };
                self.report(node, scope);
            }
            Step::ToOwner { message } if !self.to_owner.is_empty() => {
                let message = self.to_owner[message % self.to_owner.len()].clone();
                self.owner_step(owner::Event::Node(message));
            }
            Step::ToNode { message } if !self.to_node.is_empty() => {
                let message = self.to_node[message % self.to_node.len()].clone();
                let node = usize::try_from(message.incarnation.0).unwrap();
                let now = self.node_time();
                self.nodes[node].receive(now, &message);
            }
            Step::Store { known, done } if !self.operations.is_empty() => self.store(known, done),
            Step::Limit { units } => {
                self.revision += 1;
                let limits = limits(units, self.revision);
                self.owner_step(owner::Event::Limits(limits));
            }
            Step::Raise { units, ms } => self.raise(units, ms),
            Step::Reset => self.owner_step(owner::Event::Reset(self.counter.clone())),
            Step::Wait { ms } => {
                self.now += ms;
                self.owner_step(owner::Event::Tick);
                let now = self.node_time();
                self.nodes.iter_mut().for_each(|node| node.tick(now));
            }
            _ => {}
        }
        for node in 0..NODES {
            while let Some(wake) = self.nodes[node].poll_wake() {
                self.resolve(node, wake.id, &wake.outcome);
            }
        }
    }

    fn resolve(&mut self, node: usize, id: RequestId, outcome: &Outcome) {
        match outcome {
            Outcome::Waiting => {}
            Outcome::Taken => {
                let now = self.node_time();
                let outcome = self.nodes[node].stamp(now, id);
                self.resolve(node, id, &outcome);
            }
            Outcome::Denied(_) => drop(self.open[node].remove(&id).unwrap()),
            Outcome::Admitted(admission) => {
                let window = admission.limits[0].window;
                let open = self.open[node].get_mut(&id).unwrap();
                open.1 = Some(window);
                *self.admitted.entry(window).or_default() += open.0;
            }
        }
    }

    fn settle(&mut self, node: usize, percent: u64) {
        let admitted = |(id, (units, window)): (&RequestId, &(u64, Option<Window>))| {
            Some((*id, *units, (*window)?))
        };
        let Some((id, units, window)) = self.open[node].iter().find_map(admitted) else {
            return;
        };
        self.open[node].remove(&id);
        let actual = units * percent / 100;
        let now = self.node_time();
        let settled = self.nodes[node].settle(now, id, &[actual]).unwrap()[0];
        assert_eq!(
            settled.spent + settled.refunded + settled.overrun + settled.lapsed,
            units.max(actual)
        );
        *self.admitted.get_mut(&window).unwrap() -= settled.refunded;
        *self.spent.entry(window).or_default() += settled.spent + settled.overrun;
    }

    fn raise(&mut self, units: u64, ms: u64) {
        let until = OwnerTime(self.now + ms);
        let first = Window::at(OwnerTime(self.now), T).0;
        for window in first..=Window::at(until, T).0 {
            let largest = self.largest_limit.entry(Window(window)).or_default();
            *largest = units.max(*largest);
        }
        let (counter, raise) = (self.counter.clone(), Some(owner::Raise { units, until }));
        self.owner_step(owner::Event::Raised { counter, raise });
    }

    fn owner_step(&mut self, event: owner::Event) {
        for effect in self.owner.step(OwnerTime(self.now), event) {
            match effect {
                Effect::Send(message) => self.to_node.push(message),
                Effect::StepDown(reason) => panic!("{reason:?}"),
                operation => self.operations.push(operation),
            }
        }
    }

    fn store(&mut self, known: bool, done: bool) {
        let event = match self.operations.remove(0) {
            Effect::Load(counter) => {
                let outcome = match (known, self.stored) {
                    (false, _) => Load::Failed,
                    (true, None) => Load::Absent,
                    (true, Some((record, modified))) => Load::Found(record, modified),
                };
                owner::Event::Loaded { counter, outcome }
            }
            Effect::Persist {
                counter,
                record,
                expected_mod_revision,
                ..
            } => {
                assert_eq!(expected_mod_revision, self.stored.map_or(0, |(_, m)| m));
                let modified = expected_mod_revision + 1;
                if known || done {
                    self.stored = Some((record, modified));
                    let largest = self.largest_limit.entry(record.window).or_default();
                    *largest = record.limit.max(*largest);
                }
                let outcome = if known {
                    Commit::Committed(modified)
                } else {
                    Commit::Unknown
                };
                owner::Event::Persisted { counter, outcome }
            }
            other => panic!("{other:?} is no store operation"),
        };
        self.owner_step(event);
    }

    fn check(&mut self) {
        for state in self.owner.snapshot(OwnerTime(self.now)) {
            let out: u64 = state.nodes.iter().map(|n| n.granted - n.returned).sum();
            let (window, _, _) = state.window.unwrap();
            let largest = self.largest_limit.get(&window).copied().unwrap_or(0);
            let spent: u64 = state.nodes.iter().map(|n| n.spent).sum();
            let forgiven = spent - state.spent;
            self.forgiven.insert(window, forgiven);
            let truly = self.spent.get(&window).copied().unwrap_or(0);
            assert!(forgiven <= truly, "{forgiven} of {truly}: {state:?}");
            assert!(
                out + state.free <= state.hwm + forgiven && state.hwm <= largest,
                "{state:?} of {largest}"
            );
        }
        for (window, admitted) in &self.admitted {
            let largest = self.largest_limit.get(window).copied().unwrap_or(0);
            let forgiven = self.forgiven.get(window).copied().unwrap_or(0);
            assert!(
                *admitted <= largest + forgiven,
                "{admitted} of {largest} and {forgiven} forgiven in {window:?}"
            );
        }
    }

    /// Makes a message and checks its figures: totals never fall, and what is idle is what was seen
    /// less what was returned, spent, and is held.
    fn report(&mut self, node: usize, scope: Scope) {
        let now = self.node_time();
        let Some(message) = self.nodes[node].poll_message(now, scope) else {
            return;
        };
        for a in &message.accounts {
            let totals = [a.seen, a.returned, a.spent];
            let before = self.totals.insert((message.incarnation, a.window), totals);
            let pairs = before.unwrap_or_default().into_iter().zip(totals);
            assert!(
                pairs.into_iter().all(|(before, after)| before <= after),
                "{before:?} {a:?}"
            );
            let held = self.open[node]
                .values()
                .filter(|(_, window)| *window == Some(a.window));
            let held: u64 = held.map(|(units, _)| units).sum();
            let [seen, gone @ ..] = totals.map(u64::cast_signed);
            assert_eq!(
                a.avail,
                seen - gone.iter().sum::<i64>() - held.cast_signed(),
                "{a:?}"
            );
        }
        self.to_owner.push(message);
    }
}

fn limits(units: u64, revision: u64) -> Arc<Limits> {
    let spec = LimitSpec {
        kind: KIND,
        units,
        burst: 0,
        revision,
    };
    Arc::new(Limits::new([(Arc::from("limit"), spec)]).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_schedule_breaks_an_invariant(steps in prop::collection::vec(step(), 1..250)) {
        let mut bench = Bench::new();
        for step in &steps {
            bench.take(step);
            bench.check();
        }
    }
}
