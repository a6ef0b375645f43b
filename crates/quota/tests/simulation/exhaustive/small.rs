//! One state of a small world, and what may happen next.

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};

use tollgate_quota::node::{Ask, Scope};
use tollgate_quota::owner::{self, Effect};
use tollgate_quota::{Counter, Kind};

use crate::exhaustive::instances::{Begin, Instance, Left};
use crate::faults::Fault;
use crate::mutants::Mutation;
use crate::oracle::Violation;
use crate::plan::{Family, Plan, PlannedLimit};
use crate::random::Random;
use crate::world::{Answer, Event, World};

#[derive(Debug, Clone, Copy)]
pub(super) enum Move {
    /// What is under way happens, with that number drawn; it stays under way where `again`.
    Happens {
        key: (u64, u64),
        number: u64,
        again: bool,
    },
    /// Nobody knows what became of a write, which is under way still.
    Doubt((u64, u64)),
    Ask(usize),
    Heartbeat(usize),
    Wait,
    Fault(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Small<'a> {
    instance: &'a Instance,
    world: World,
    left: Left,
}

impl<'a> Small<'a> {
    pub(super) fn new(instance: &'a Instance, mutation: Option<Mutation>) -> Self {
        let limit = PlannedLimit {
            name: "fleet",
            kind: instance.kind,
            units: instance.units,
            burst: 10,
            subjects: 1,
            part: None,
        };
        let plan = Plan {
            nodes: 2,
            limits: vec![limit],
            faulty_ms: 1,
            skew_ms: instance.skew_ms,
            number: Some(instance.number),
            pauses: instance.pauses,
            promised: instance.promised,
            promised_ms: 36_000,
            lost: 0,
            repeated: 0,
            unknown: 0,
            disk_lost: 0,
            mutation,
            ..Plan::stormy(0, Family::Counted)
        };
        let left = Left {
            waits: u8::try_from(instance.waits.len()).unwrap(),
            faults: (1 << instance.faults.len()) - 1,
            ..instance.left
        };
        let world = World::new(plan);
        Self {
            instance,
            world,
            left,
        }
    }

    pub(super) fn begin(&mut self, step: Begin) -> Result<(), Violation> {
        let ends = |event: &Event| matches!(event, Event::Settle(_));
        match step {
            Begin::Quiet => self.run(usize::MAX, |event| !ends(event)),
            Begin::Runs(most) => self.run(usize::from(most), |event| {
                !ends(event) && !matches!(event, Event::Connect { .. })
            }),
            Begin::Ask(node) => self.ask(node),
            Begin::Settles => self.run(usize::MAX, ends),
            Begin::Connect(of) => {
                let such =
                    |event: &Event| matches!(event, Event::Connect { node, .. } if *node == of);
                self.run(1, such)
            }
            Begin::Fails((fault, number)) => self.fail(fault, number),
            Begin::Waits(ms) => self.wait(ms),
            Begin::Speaks(node) => self.world.speak(node, Scope::All),
        }
    }

    /// What is such and under way happens in turn, so many times at most.
    fn run(&mut self, most: usize, such: impl Fn(&Event) -> bool) -> Result<(), Violation> {
        for _ in 0..most {
            let Some(key) = self.first(&such) else { break };
            self.happens(key, 5, false)?;
        }
        Ok(())
    }

    fn fail(&mut self, fault: Fault, number: u64) -> Result<(), Violation> {
        self.world.random = Random::Fixed(number);
        self.world.handle(Event::Fault(fault))
    }

    fn wait(&mut self, ms: u64) -> Result<(), Violation> {
        self.world.now += ms;
        let mut owners = 0..self.world.owners.len();
        owners.try_for_each(|owner| self.world.step(owner, owner::Event::Tick))
    }

    fn under_way(&self) -> impl Iterator<Item = ((u64, u64), &Event)> {
        let queue = self.world.queue.iter();
        queue.map(|(key, event)| (*key, event.as_ref()))
    }

    fn first(&self, such: impl Fn(&Event) -> bool) -> Option<(u64, u64)> {
        let found = self.under_way().find(|(_, event)| such(event));
        found.map(|(key, _)| key)
    }

    fn ask(&mut self, node: usize) -> Result<(), Violation> {
        let counter = Counter::new("fleet", self.instance.kind, "k1").unwrap();
        let units = 1;
        self.world.random = Random::Fixed(5);
        self.world.request(node, vec![Ask { counter, units }])?;
        self.world.speak(node, Scope::Changed)
    }

    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (key, event) in self.under_way() {
            let mut may = |number, again| moves.push(Move::Happens { key, number, again });
            may(5, false);
            let settles = matches!(event, Event::Settle(_));
            let used_up = self.instance.kind == Kind::Concurrent;
            if settles && !used_up {
                may(0, false);
            }
            let message = matches!(event, Event::ToNode { .. } | Event::ToOwner { .. });
            if message && self.left.repeats > 0 {
                may(5, true);
            }
            let write = matches!(
                event,
                Event::StoreOp {
                    effect: Effect::Persist { .. } | Effect::PersistHorizon { .. },
                    answer: Answer::Truth,
                    ..
                }
            );
            if write && self.left.doubts > 0 {
                moves.push(Move::Doubt(key));
            }
        }
        let nodes = 0..self.world.nodes.len();
        if self.left.asks > 0 {
            moves.extend(nodes.clone().map(Move::Ask));
        }
        if self.left.heartbeats > 0 {
            moves.extend(nodes.map(Move::Heartbeat));
        }
        if self.left.waits > 0 {
            moves.push(Move::Wait);
        }
        let faults = 0..self.instance.faults.len();
        moves.extend(
            faults
                .filter(|fault| self.left.faults >> fault & 1 == 1)
                .map(Move::Fault),
        );
        moves
    }

    pub(super) fn make(&mut self, step: Move) -> Result<(), Violation> {
        match step {
            Move::Happens { key, number, again } => {
                self.left.repeats -= u8::from(again);
                self.happens(key, number, again)
            }
            Move::Doubt(key) => {
                self.left.doubts -= 1;
                self.doubt(key)
            }
            Move::Ask(node) => {
                self.left.asks -= 1;
                self.ask(node)
            }
            Move::Heartbeat(node) => {
                self.left.heartbeats -= 1;
                self.world.speak(node, Scope::All)
            }
            Move::Wait => {
                let passed = self.instance.waits.len() - usize::from(self.left.waits);
                self.left.waits -= 1;
                self.wait(self.instance.waits[passed])
            }
            Move::Fault(at) => {
                self.left.faults &= !(1 << at);
                let (fault, number) = self.instance.faults[at];
                self.fail(fault, number)
            }
        }
    }

    fn happens(&mut self, key: (u64, u64), number: u64, again: bool) -> Result<(), Violation> {
        let queue = &mut self.world.queue;
        let event = if again {
            queue.get(&key).cloned()
        } else {
            queue.remove(&key)
        };
        self.world.random = Random::Fixed(number);
        event.map_or(Ok(()), |event| self.world.handle(*event))?;
        self.hear_answers()
    }

    fn doubt(&mut self, key: (u64, u64)) -> Result<(), Violation> {
        let Some(event) = self.world.queue.remove(&key) else {
            return Ok(());
        };
        if let Event::StoreOp { owner, effect, .. } = *event {
            let event = self.world.unknown(&effect);
            let answer = Answer::AlreadyUnknown;
            self.world.schedule(
                0,
                Event::StoreOp {
                    owner,
                    effect,
                    answer,
                },
            );
            self.world.handle(Event::Answer { owner, event })?;
        }
        self.hear_answers()
    }

    /// Owners hear at once what became of what they asked the store for: it is the store that may take its time.
    fn hear_answers(&mut self) -> Result<(), Violation> {
        while let Some(key) = self.first(|event| matches!(event, Event::Answer { .. })) {
            if let Some(event) = self.world.queue.remove(&key) {
                self.world.handle(*event)?;
            }
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), Violation> {
        let World { store, oracle, .. } = &self.world;
        let mut rows = store.all_rows();
        rows.try_for_each(|(counter, row)| oracle.row(row, counter))
    }

    /// Tells this state from others.
    pub(super) fn fingerprint(&self) -> u64 {
        let World {
            now,
            store,
            owners,
            nodes,
            policy,
            oracle,
            mutants,
            ..
        } = &self.world;
        // What is under way has no order.
        let under_way = self.under_way().map(|(_, event)| digest(event));
        let under_way = under_way.fold(0, u64::wrapping_add);
        let rest = (
            now, store, owners, nodes, policy, oracle, mutants, self.left,
        );
        digest(&rest).wrapping_add(under_way)
    }
}

struct Digest(DefaultHasher);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

fn digest(what: &impl fmt::Debug) -> u64 {
    let mut digest = Digest(DefaultHasher::new());
    write!(digest, "{what:?}").unwrap();
    digest.0.finish()
}
