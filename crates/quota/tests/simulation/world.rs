//! The world the machines run in: true time, clocks that differ from it, a network, a store, and all
//! that goes wrong. One seeded source of randomness and one queue of events: a seed is a run.

pub(crate) mod journal;
mod network;
mod nodes;
mod owners;
mod restore;

use std::collections::BTreeMap;

use tollgate_quota::node::{Admission, Ask, Denial, Node, RequestId};
use tollgate_quota::owner::{self, Effect, Owner};
use tollgate_quota::{Close, Epoch, Incarnation, NodeMessage, NodeTime, OwnerMessage, OwnerTime};

use crate::faults::Fault;
use crate::mutants::{Mutants, Mutation};
use crate::oracle::{Oracle, Violation};
use crate::plan::Plan;
use crate::random::Random;
use crate::store::Store;
use crate::world::journal::Disk;

/// One request at one node process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) node: usize,
    pub(crate) incarnation: Incarnation,
    /// One process may go on under another's number.
    pub(crate) process: u64,
    pub(crate) id: RequestId,
}

/// What happens; nodes and owners are named by their place.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Request(usize),
    Stamp {
        call: Call,
        taken_at: NodeTime,
    },
    Settle(Call),
    /// Some of what the call holds is used for good.
    Spend(Call),
    Cancel(Call),
    NodeTimer(usize),
    OwnerTimer(usize),
    /// Messages say which store their totals stand in.
    ToOwner {
        owner: usize,
        store: u64,
        message: NodeMessage,
    },
    ToNode {
        node: usize,
        store: u64,
        message: OwnerMessage,
    },
    /// A read or a transaction reaches the store.
    StoreOp {
        owner: usize,
        effect: Effect,
        answer: Answer,
    },
    Answer {
        owner: usize,
        event: owner::Event,
    },
    /// An owner hears of the newest policy.
    Policy {
        owner: usize,
    },
    Connect {
        node: usize,
        owner: usize,
    },
    /// What a process wrote to its journal is on disk.
    Flushed {
        node: usize,
        incarnation: Incarnation,
    },
    /// Somebody who does not hold the lock closes a process (a mutation).
    Usurp {
        owner: usize,
        closes: Vec<Close>,
    },
    /// An operator tries to thaw a restored store.
    Thaw,
    Fault(Fault),
}

/// What an owner hears of its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Truth,
    /// Already told that nobody knows.
    AlreadyUnknown,
}

#[derive(Debug, Clone)]
pub(crate) struct OwnerProcess {
    pub(crate) machine: Owner,
    pub(crate) epoch: Epoch,
    pub(crate) offset: i64,
    pub(crate) alive: bool,
    pub(crate) revision: usize,
    /// The store it began with.
    pub(crate) store: u64,
    paused_until: u64,
    timer_at: Option<u64>,
}

/// A request that is not over.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) asks: Vec<Ask>,
    /// Once it is admitted, and the oracle's number for that.
    pub(crate) admission: Option<(Admission, u64)>,
    /// What of each ask is used for good.
    pub(crate) spent: Vec<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct NodeProcess {
    pub(crate) machine: Node,
    pub(crate) incarnation: Incarnation,
    number: u64,
    offset: u64,
    drift_ppm: i64,
    pub(crate) owner: usize,
    paused_until: u64,
    timer_at: Option<u64>,
    open: BTreeMap<RequestId, Open>,
    /// Requests of its earlier numbers, which may run until the process dies.
    orphans: Vec<Open>,
    /// Requests that it admitted.
    pub(crate) admissions: u64,
    disk: Disk,
    /// The store that its totals stand in; 0 while it has heard of none.
    store: u64,
    /// All that dead processes have left to it, and what it was itself under earlier numbers.
    legacy: Vec<Close>,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) now: u64,
    begin: u64,
    sequence: u64,
    pub(crate) queue: BTreeMap<(u64, u64), Box<Event>>,
    pub(crate) store: Store,
    pub(crate) owners: Vec<OwnerProcess>,
    pub(crate) nodes: Vec<NodeProcess>,
    /// Cut directions (to the owner?, node) and until when.
    cuts: BTreeMap<(bool, usize), u64>,
    /// Units per limit, by policy revision.
    pub(crate) policy: Vec<BTreeMap<&'static str, u64>>,
    pub(crate) oracle: Oracle,
    pub(crate) mutants: Mutants,
    /// Faults are over: a quiet network, exact settlements.
    pub(crate) calm: bool,
    /// The last refusal, for the check that it was due.
    pub(crate) denials: Vec<(Vec<Ask>, Denial)>,
    incarnations: u64,
    processes: u64,
    /// Requests made, those that had to wait, messages to owners, and transactions.
    pub(crate) requests: u64,
    pub(crate) waits: u64,
    pub(crate) messages: u64,
    pub(crate) writes: u64,
    pub(crate) log: Vec<String>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut random = match plan.number {
            None => Random::new(plan.seed ^ 0x5eed),
            Some(number) => Random::Fixed(number),
        };
        let begin = 1_700_000_040_000 + random.within(0, 59_999);
        let mut world = Self {
            random,
            now: begin,
            begin,
            sequence: 0,
            queue: BTreeMap::new(),
            store: Store::default(),
            owners: Vec::new(),
            nodes: Vec::new(),
            cuts: BTreeMap::new(),
            policy: vec![plan.limits.iter().map(|l| (l.name, l.units)).collect()],
            oracle: Oracle::default(),
            mutants: Mutants::new(plan.mutation),
            calm: plan.faulty_ms == 0,
            denials: Vec::new(),
            incarnations: 0,
            processes: 0,
            requests: 0,
            waits: 0,
            messages: 0,
            writes: 0,
            log: Vec::new(),
            plan,
        };
        world.store.unguarded = world.mutated(Mutation::UnguardedWrite);
        world.new_owner(0);
        for index in 0..usize::try_from(world.plan.nodes).unwrap() {
            let process = world.new_node();
            world.nodes.push(process);
            world.schedule(
                1,
                Event::Connect {
                    node: index,
                    owner: 0,
                },
            );
        }
        world
    }

    pub(crate) fn mutated(&self, mutation: Mutation) -> bool {
        self.plan.mutation == Some(mutation)
    }

    pub(crate) fn schedule(&mut self, in_ms: u64, event: Event) {
        self.sequence += 1;
        self.queue
            .insert((self.now + in_ms, self.sequence), Box::new(event));
    }

    fn trace(&mut self, what: impl FnOnce() -> String) {
        if self.plan.trace {
            let line = format!("{:>7} {}", self.now - self.begin, what());
            self.log.push(line);
        }
    }

    /// Runs until true time `until`.
    pub(crate) fn run(&mut self, until: u64) -> Result<(), Violation> {
        while let Some(entry) = self
            .queue
            .first_entry()
            .filter(|entry| entry.key().0 <= until)
        {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            if let Some(resumed) = self.paused(&event) {
                self.schedule(resumed - at, *event);
                continue;
            }
            self.trace(|| format!("{event:?}"));
            self.handle(*event)?;
        }
        self.now = until;
        Ok(())
    }

    /// Until when the process that the event is for is stopped, if it is.
    fn paused(&self, event: &Event) -> Option<u64> {
        let until = match event {
            Event::Request(node)
            | Event::Stamp {
                call: Call { node, .. },
                ..
            }
            | Event::Settle(Call { node, .. })
            | Event::Spend(Call { node, .. })
            | Event::Cancel(Call { node, .. })
            | Event::NodeTimer(node)
            | Event::ToNode { node, .. }
            | Event::Flushed { node, .. }
            | Event::Connect { node, .. } => self.nodes[*node].paused_until,
            Event::ToOwner { owner, .. }
            | Event::Answer { owner, .. }
            | Event::Policy { owner }
            | Event::OwnerTimer(owner) => self.owners[*owner].paused_until,
            Event::StoreOp { .. } | Event::Usurp { .. } | Event::Thaw | Event::Fault(_) => {
                return None;
            }
        };
        Some(until).filter(|until| *until > self.now)
    }

    pub(crate) fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Request(node) => self.requests_of(node),
            Event::Stamp { call, taken_at } => self.stamp(call, taken_at),
            Event::Settle(call) => self.settle(call),
            Event::Spend(call) => self.spend(call),
            Event::Cancel(call) => self.cancel(call),
            Event::NodeTimer(node) => self.node_timer(node),
            Event::OwnerTimer(owner) => self.owner_timer(owner),
            Event::ToOwner {
                owner,
                store,
                message,
            } => self.hear(owner, store, message),
            Event::ToNode {
                node,
                store,
                message,
            } => self.deliver(node, store, message),
            Event::Flushed { node, incarnation } => self.flushed(node, incarnation),
            Event::Usurp { owner, closes } => self.usurp(owner, closes),
            Event::Thaw => self.thaw(),
            Event::StoreOp {
                owner,
                effect,
                answer,
            } => {
                self.transact(owner, effect, answer);
                Ok(())
            }
            Event::Answer { owner, event } => self.step(owner, event),
            Event::Policy { owner } => {
                self.owners[owner].revision = self.policy.len();
                let limits = self.limits(self.policy.len());
                self.step(owner, owner::Event::Limits(limits))
            }
            Event::Connect { node, owner } => self.connect(node, owner),
            Event::Fault(fault) => self.fault(fault),
        }
    }

    fn requests_of(&mut self, node: usize) -> Result<(), Violation> {
        // Node n asks as often as the first one divided by (n + 1) to the power `zipf`.
        let slower = (node as f64 + 1.0).powf(self.plan.zipf);
        let pace = (self.plan.pace_ms as f64 * slower) as u64;
        let wait = self.random.within(1, 2 * pace);
        self.schedule(wait, Event::Request(node));
        for _ in 0..self.plan.burst {
            let asks = self.draw_asks();
            self.request(node, asks)?;
        }
        Ok(())
    }

    fn fault(&mut self, fault: Fault) -> Result<(), Violation> {
        match fault {
            Fault::Crash(node) => {
                let old = self.nodes[node].incarnation;
                self.replace(node);
                let owner = self.owners.len() - 1;
                if self.random.chance(50) {
                    let event = owner::Event::Disconnected(old);
                    self.schedule(20, Event::Answer { owner, event });
                }
                self.schedule(50, Event::Connect { node, owner });
                self.schedule(1_000, Event::Fault(Fault::Silence(old)));
            }
            Fault::Restart(node) => {
                self.schedule(200, Event::Fault(Fault::Crash(node)));
                let told = self.random.chance(50);
                return self.drain(node, told);
            }
            Fault::PauseOwner { ms } => {
                if let Some(owner) = self.owners.last_mut() {
                    owner.paused_until = self.now + ms;
                }
            }
            Fault::Pause { node, ms } => self.nodes[node].paused_until = self.now + ms,
            Fault::Failover { kill } => self.failover(kill),
            Fault::Leave => {
                self.leave();
                self.failover(false);
            }
            Fault::ChangeLimits => self.change_limits(),
            Fault::Cut { to_owner, node, ms } => {
                self.cut((to_owner, node), ms);
                let incarnation = self.nodes[node].incarnation;
                self.schedule(1_000, Event::Fault(Fault::Silence(incarnation)));
            }
            Fault::Silence(incarnation) => return self.silence(incarnation),
            Fault::BackUp => self.store.back_up(),
            Fault::Restore => self.restore(),
        }
        Ok(())
    }

    /// Nothing follows from silence, except under the mutation that thinks otherwise.
    fn silence(&mut self, incarnation: Incarnation) -> Result<(), Violation> {
        self.claim_dead(incarnation);
        for owner in 0..self.owners.len() {
            let now = self.owner_time(owner);
            let process = &self.owners[owner];
            let of = (&process.machine, process.epoch);
            if let Some(message) = self.mutants.recredit(of, now, incarnation) {
                self.step(owner, owner::Event::Node(message))?;
            }
        }
        Ok(())
    }

    fn node_time(&self, node: usize) -> NodeTime {
        let NodeProcess {
            offset, drift_ppm, ..
        } = self.nodes[node];
        let elapsed = i64::try_from(self.now - self.begin).unwrap();
        NodeTime(offset + (elapsed + elapsed * drift_ppm / 1_000_000).unsigned_abs())
    }

    pub(crate) fn owner_time(&self, owner: usize) -> OwnerTime {
        OwnerTime(self.now.saturating_add_signed(self.owners[owner].offset))
    }
}
