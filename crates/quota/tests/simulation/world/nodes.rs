//! Nodes and their callers.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_quota::node::{self, Admission, Ask, CounterView, Node, Outcome, Scope};
use tollgate_quota::{Counter, Incarnation, Kind, NodeTime};

use crate::mutants::Mutation;
use crate::oracle::{Allowed, Violation, by_horizon};
use crate::plan::{FIXED_12_S, Plan, Sharing};
use crate::store::Store;
use crate::world::journal::Disk;
use crate::world::{Call, Event, NodeProcess, Open, World};

/// Nodes' clocks drift by at most this.
const DRIFT_PPM: u64 = 5_000;
/// How long requests wait, in milliseconds.
const WAIT_MS: u64 = 50;

impl World {
    /// A machine that holds nothing.
    pub(super) fn new_machine(&self, incarnation: Incarnation) -> Node {
        Node::new(
            &format!("n{}", incarnation.0),
            incarnation,
            self.node_config(),
        )
    }

    pub(super) fn node_config(&self) -> node::Config {
        let margin = if self.mutated(Mutation::NoDriftMargin) {
            0
        } else {
            DRIFT_PPM
        };
        node::Config {
            drift_ppm: margin,
            journaled: true,
            ..node::Config::default()
        }
    }

    pub(super) fn new_incarnation(&mut self) -> Incarnation {
        self.incarnations += 1;
        Incarnation(self.incarnations)
    }

    pub(super) fn new_node(&mut self) -> NodeProcess {
        let incarnation = self.new_incarnation();
        self.processes += 1;
        let drift = if self.plan.faulty_ms == 0 {
            0
        } else {
            DRIFT_PPM
        };
        NodeProcess {
            machine: self.new_machine(incarnation),
            incarnation,
            number: self.processes,
            offset: self.random.within(1, 1_000_000),
            drift_ppm: self.random.within(0, 2 * drift).cast_signed() - drift.cast_signed(),
            owner: self.owners.len() - 1,
            paused_until: 0,
            timer_at: None,
            open: BTreeMap::new(),
            orphans: Vec::new(),
            admissions: 0,
            disk: Disk::default(),
            store: 0,
            legacy: Vec::new(),
        }
    }

    pub(crate) fn draw_asks(&mut self) -> Vec<Ask> {
        let mut asks = Vec::new();
        let counters: BTreeSet<u64> = (0..self.random.within(1, 3))
            .map(|_| self.random.within(0, self.plan.limits.len() as u64 - 1))
            .collect();
        for index in counters {
            let limit = self.plan.limits[usize::try_from(index).unwrap()];
            let subject = format!("k{}", self.random.within(1, limit.subjects));
            let counter = Counter::new(limit.name, limit.kind, &subject).unwrap();
            let counter = match self.plan.sharing {
                Sharing::Together => counter,
                Sharing::Equally | Sharing::By(_) => {
                    counter.part(&format!("u{}", self.random.within(1, 3)))
                }
            };
            let units = match limit.part {
                None => 1,
                Some(_) if !self.calm && self.random.chance(3) => limit.units * 3,
                Some(part) => self
                    .random
                    .within(1, (limit.size(limit.units) / part).max(1)),
            };
            asks.push(Ask { counter, units });
        }
        asks
    }

    pub(crate) fn request(&mut self, node: usize, asks: Vec<Ask>) -> Result<(), Violation> {
        self.requests += 1;
        let now = self.node_time(node);
        let process = &mut self.nodes[node];
        let (id, outcome) = process.machine.reserve(now, &asks, now.after(WAIT_MS));
        self.waits += u64::from(outcome == Outcome::Waiting);
        let spent = vec![0; asks.len()];
        let admission = None;
        process.open.insert(
            id,
            Open {
                asks,
                admission,
                spent,
            },
        );
        let call = Call {
            node,
            incarnation: process.incarnation,
            process: process.number,
            id,
        };
        if outcome == Outcome::Waiting && !self.calm && self.random.chance(5) {
            let after = self.random.within(0, WAIT_MS + 10);
            self.schedule(after, Event::Cancel(call));
        }
        self.resolve(call, outcome)?;
        self.after_node(node)
    }

    fn resolve(&mut self, call: Call, outcome: Outcome) -> Result<(), Violation> {
        self.trace(|| format!("  {call:?}: {outcome:?}"));
        match outcome {
            Outcome::Waiting => Ok(()),
            Outcome::Taken => self.taken(call),
            Outcome::Denied(denial) => {
                let open = self.nodes[call.node].open.remove(&call.id).unwrap();
                if self.calm {
                    self.denials.push((open.asks, denial));
                }
                Ok(())
            }
            Outcome::Admitted(admission) => self.admitted(call, admission),
        }
    }

    /// Stamps, perhaps after a pause in the worst place.
    fn taken(&mut self, call: Call) -> Result<(), Violation> {
        let taken_at = self.node_time(call.node);
        if self.random.is_fixed() && self.plan.pauses {
            self.schedule(0, Event::Stamp { call, taken_at });
            return Ok(());
        }
        if self.calm || !self.random.chance(5) {
            return self.stamp(call, taken_at);
        }
        let pause = self.random.within(1, 400);
        self.nodes[call.node].paused_until = self.now + pause;
        self.schedule(pause, Event::Stamp { call, taken_at });
        Ok(())
    }

    fn admitted(&mut self, call: Call, admission: Admission) -> Result<(), Violation> {
        let open = self.nodes[call.node].open.get_mut(&call.id).unwrap();
        let now = (self.now, self.plan.skew_ms);
        let (policy, plan, store) = (&self.policy, &self.plan, &self.store);
        let window = |index: usize| admission.limits[index].window;
        let allowed: Vec<Allowed> = open
            .asks
            .iter()
            .enumerate()
            .map(|(index, ask)| match by_horizon(ask.counter.kind()) {
                true => in_force(policy, plan, store, (&ask.counter, self.now)),
                false => Allowed {
                    units: store.allowed(ask.counter.pool(), window(index)),
                    burst: 0,
                    span_ms: 0,
                },
            })
            .collect();
        let number = self
            .oracle
            .admitted(now, &open.asks, &admission, &allowed)?;
        open.admission = Some((admission, number));
        self.nodes[call.node].admissions += 1;
        if self.mutated(Mutation::UndoneAndSent) && self.random.chance(20) {
            return self.undo_and_send(call);
        }
        let hold = match (self.calm, self.random.within(0, 9)) {
            (true, _) => 0,
            (false, 0) => self.random.within(0, 20_000),
            (false, _) => self.random.within(0, 80),
        };
        if self.random.chance(50) {
            let before = self.random.within(0, hold);
            self.schedule(before, Event::Spend(call));
        }
        self.schedule(hold, Event::Settle(call));
        Ok(())
    }

    fn undo_and_send(&mut self, call: Call) -> Result<(), Violation> {
        let now = self.node_time(call.node);
        let process = &mut self.nodes[call.node];
        let open = process.open.remove(&call.id).unwrap();
        let nothing = vec![0; open.asks.len()];
        let undone = process.machine.settle(now, call.id, &nothing);
        undone
            .map(drop)
            .map_err(|error| Violation(error.to_string()))
    }

    /// Whether the process that took the call still lives.
    fn lives(&self, call: Call) -> bool {
        let process = &self.nodes[call.node];
        (process.incarnation, process.number) == (call.incarnation, call.process)
    }

    pub(super) fn stamp(&mut self, call: Call, taken_at: NodeTime) -> Result<(), Violation> {
        // The process died, or the caller left, in the pause.
        if !self.lives(call) || !self.nodes[call.node].open.contains_key(&call.id) {
            return Ok(());
        }
        let fresh = self.node_time(call.node);
        let reading = if self.mutated(Mutation::NoRestamp) {
            taken_at
        } else {
            fresh
        };
        let outcome = self.nodes[call.node].machine.stamp(reading, call.id);
        self.resolve(call, outcome)?;
        self.after_node(call.node)
    }

    pub(super) fn settle(&mut self, call: Call) -> Result<(), Violation> {
        if !self.lives(call) {
            return Ok(());
        }
        let open = self.nodes[call.node].open.remove(&call.id).unwrap();
        if self.mutated(Mutation::SettleSkipped) && self.random.chance(20) {
            return Ok(());
        }
        let actual: Vec<u64> = open.asks.iter().map(|ask| self.draw_actual(ask)).collect();
        let now = self.node_time(call.node);
        let machine = &mut self.nodes[call.node].machine;
        let settled = machine.settle(now, call.id, &actual).unwrap();
        if machine.settle(now, call.id, &actual).is_ok() || machine.cancel(now, call.id) {
            return Err(Violation(format!("I6: {call:?} was resolved twice")));
        }
        self.oracle.settled(&open, &settled);
        self.oracle.spent(call.incarnation, &open, &actual);
        self.mutants.settled(call.incarnation, &open, &settled);
        self.after_node(call.node)
    }

    /// Some of what an admitted request holds is used for good before its end.
    pub(super) fn spend(&mut self, call: Call) -> Result<(), Violation> {
        if !self.lives(call) {
            return Ok(());
        }
        let now = self.node_time(call.node);
        let process = &mut self.nodes[call.node];
        let open = process.open.get_mut(&call.id);
        let Some(open) = open.filter(|open| open.admission.is_some()) else {
            return Ok(());
        };
        let used: Vec<u64> = open
            .asks
            .iter()
            .map(|ask| match ask.counter.kind() {
                Kind::Concurrent => 0,
                Kind::Fixed { .. }
                | Kind::Calendar { .. }
                | Kind::Endless
                | Kind::Sliding { .. }
                | Kind::Bucket { .. } => self.random.within(0, ask.units),
            })
            .collect();
        for (ask, used) in used.iter().enumerate() {
            process.machine.spend(now, call.id, ask, *used).unwrap();
        }
        self.oracle.spent(call.incarnation, open, &used);
        open.spent = used;
        self.after_node(call.node)
    }

    fn draw_actual(&mut self, ask: &Ask) -> u64 {
        let units = ask.units;
        match self.random.within(0, 9) {
            // A slot is never used up.
            _ if ask.counter.kind() == Kind::Concurrent => 0,
            _ if self.calm => units,
            0 => 0,
            1..=3 => self.random.within(0, units),
            4 if units > 1 => units + self.random.within(1, units),
            _ => units,
        }
    }

    pub(super) fn cancel(&mut self, call: Call) -> Result<(), Violation> {
        if !self.lives(call) {
            return Ok(());
        }
        let now = self.node_time(call.node);
        if self.nodes[call.node].machine.cancel(now, call.id) {
            self.nodes[call.node].open.remove(&call.id);
        }
        self.after_node(call.node)
    }

    pub(crate) fn view(&self, node: usize, counter: &Counter) -> Option<CounterView> {
        self.nodes[node].machine.view(self.node_time(node), counter)
    }

    /// The node shuts down in good order: it gives back what it has and says so, where the owner can be told.
    pub(crate) fn drain(&mut self, node: usize, told: bool) -> Result<(), Violation> {
        let now = self.node_time(node);
        let machine = &mut self.nodes[node].machine;
        machine.drain(now);
        machine.give_back(now, |_| told);
        self.after_node(node)
    }

    /// The node says what it has to say, though it may not be time.
    pub(crate) fn speak(&mut self, node: usize, scope: Scope) -> Result<(), Violation> {
        let now = self.node_time(node);
        let machine = &mut self.nodes[node].machine;
        machine.tick(now);
        if let Some(message) = machine.poll_message(now, scope) {
            self.send_to_owner(node, message)?;
        }
        self.after_node(node)
    }

    pub(super) fn node_timer(&mut self, node: usize) -> Result<(), Violation> {
        // Another one was set for an earlier time, unless a pause held this one up; it is void.
        if self.nodes[node].timer_at.is_none_or(|at| at > self.now) {
            return Ok(());
        }
        self.nodes[node].timer_at = None;
        let now = self.node_time(node);
        let machine = &mut self.nodes[node].machine;
        machine.tick(now);
        let scope = if now >= machine.next_heartbeat() {
            Some(Scope::All)
        } else {
            machine
                .next_message()
                .filter(|at| *at <= now)
                .map(|_| Scope::Changed)
        };
        let message = scope.and_then(|scope| machine.poll_message(now, scope));
        if let Some(message) = message {
            self.send_to_owner(node, message)?;
        }
        self.after_node(node)
    }

    /// Hands out news and sets the timer: due after every call of a node.
    pub(super) fn after_node(&mut self, node: usize) -> Result<(), Violation> {
        while let Some(wake) = self.nodes[node].machine.poll_wake() {
            if self.mutated(Mutation::LostWake) && self.random.chance(20) {
                continue;
            }
            let NodeProcess {
                incarnation,
                number: process,
                ..
            } = self.nodes[node];
            self.resolve(
                Call {
                    node,
                    incarnation,
                    process,
                    id: wake.id,
                },
                wake.outcome,
            )?;
        }
        self.forget_at_deadline(node);
        self.flush_journal(node);
        let process = &self.nodes[node];
        let machine = &process.machine;
        let heartbeat = std::iter::once(machine.next_heartbeat());
        let due = heartbeat
            .chain(machine.next_message())
            .chain(machine.next_tick())
            .min()
            .unwrap();
        // Where the clock's drift makes this early, the timer is set again.
        let at = self.now + due.since(self.node_time(node)).max(1);
        if !self.random.is_fixed() && process.timer_at.is_none_or(|earlier| earlier > at) {
            self.nodes[node].timer_at = Some(at);
            self.schedule(at - self.now, Event::NodeTimer(node));
        }
        Ok(())
    }

    /// The mutation of that name: a process that remembers nothing of a window it thinks is over.
    pub(super) fn forget_at_deadline(&mut self, node: usize) {
        if !self.mutated(Mutation::ForgetAtDeadline) || !self.nodes[node].open.is_empty() {
            return;
        }
        let now = self.node_time(node);
        let counter = Counter::new("fleet", FIXED_12_S, "k1").unwrap();
        let over = self.nodes[node]
            .machine
            .view(now, &counter)
            .is_some_and(|view| view.reset_ms == 0);
        if over {
            let incarnation = self.nodes[node].incarnation;
            self.nodes[node].machine = self.new_machine(incarnation);
            self.nodes[node].machine.connected(now);
        }
    }
}

/// What the policies allow of which one was in force of late: an owner that has not heard of the newest
/// may go on by another for the length of its horizon and its leases.
pub(crate) fn in_force(
    policy: &[BTreeMap<&'static str, u64>],
    plan: &Plan,
    store: &Store,
    (counter, now): (&Counter, u64),
) -> Allowed {
    const LATE_MS: u64 = 6_500;
    let span_ms = match counter.kind() {
        Kind::Bucket { window_ms } => 6 * window_ms,
        kind @ (Kind::Sliding { .. }
        | Kind::Fixed { .. }
        | Kind::Calendar { .. }
        | Kind::Endless
        | Kind::Concurrent) => kind.window_ms(),
    };
    let since = now.saturating_sub(span_ms + LATE_MS);
    let limit = plan.limits.iter().find(|l| l.name == counter.limit());
    let limit = limit.unwrap();
    let units = store.revisions_since(since).filter_map(|revision| {
        let index = usize::try_from(revision).unwrap().checked_sub(1)?;
        policy.get(index).map(|units| units[limit.name])
    });
    let units = units.max().unwrap_or(0);
    Allowed {
        units,
        burst: limit.burst(units),
        span_ms,
    }
}
