//! What happens to messages on their way.

use tollgate_quota::{NodeMessage, OwnerMessage, owner};

use crate::mutants::Mutation;
use crate::oracle::Violation;
use crate::random::Random;
use crate::world::{Event, World};

impl World {
    /// When the copies of a message arrive, in milliseconds from now.
    pub(super) fn arrivals(&mut self, cut: (bool, usize)) -> Vec<u64> {
        if self.cuts.get(&cut).is_some_and(|until| *until > self.now) {
            return Vec::new();
        }
        if self.calm {
            return vec![1];
        }
        if self.random.chance(self.plan.lost) {
            return Vec::new();
        }
        let copies = if self.random.chance(self.plan.repeated) {
            2
        } else {
            1
        };
        let delay = |random: &mut Random, usual: u64| match random.chance(2) {
            true => random.within(1, 3_000),
            false => random.within(1, usual),
        };
        (0..copies)
            .map(|_| delay(&mut self.random, self.plan.delay_ms))
            .collect()
    }

    /// Messages of one direction are lost for a while.
    pub(crate) fn cut(&mut self, direction: (bool, usize), ms: u64) {
        self.cuts.insert(direction, self.now + ms);
    }

    /// None are from now on.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    pub(super) fn send_to_owner(
        &mut self,
        node: usize,
        message: NodeMessage,
    ) -> Result<(), Violation> {
        self.messages += 1;
        if self.plan.mutation.is_none() {
            self.oracle.reported(&message)?;
        }
        self.oracle.closing(&message.closes);
        let (owner, store) = (self.nodes[node].owner, self.nodes[node].store);
        let message = self.mutants.sent_to_owner(node, message);
        let mut arrivals = self.arrivals((true, node));
        if self.mutated(Mutation::LateReturn) && !self.calm && self.random.chance(40) {
            // It turns up when its process may be dead and closed, as any may.
            arrivals = vec![self.random.within(3_000, 10_000)];
        }
        for after in arrivals {
            let message = message.clone();
            self.schedule(
                after,
                Event::ToOwner {
                    owner,
                    store,
                    message,
                },
            );
        }
        Ok(())
    }

    /// Totals that stand in another store say nothing here.
    pub(super) fn hear(
        &mut self,
        owner: usize,
        store: u64,
        message: NodeMessage,
    ) -> Result<(), Violation> {
        let mut message = self.mutants.arrived_at_owner(message);
        if store != 0 && store != self.owners[owner].store {
            message.accounts.clear();
        }
        if let Some(release) = self.late_return(&message) {
            self.step(owner, release)?;
        }
        self.step(owner, owner::Event::Node(message))
    }

    pub(super) fn send_to_node(
        &mut self,
        store: u64,
        message: OwnerMessage,
    ) -> Result<(), Violation> {
        if self.plan.mutation.is_none() {
            self.oracle.told(store, &message)?;
        }
        // A stream belongs to a process; a new one at the same place may still get the old one's mail.
        let to = message.incarnation;
        let current = match self.mutated(Mutation::OneSum) {
            true => usize::try_from(to.0)
                .ok()
                .filter(|at| *at < self.nodes.len()),
            false => self.nodes.iter().position(|node| node.incarnation == to),
        };
        let Some(node) = current else { return Ok(()) };
        let mut message = self.mutants.sent_to_node(message);
        message.incarnation = self.nodes[node].incarnation;
        for after in self.arrivals((false, node)) {
            let message = message.clone();
            self.schedule(
                after,
                Event::ToNode {
                    node,
                    store,
                    message,
                },
            );
        }
        Ok(())
    }

    pub(super) fn deliver(
        &mut self,
        node: usize,
        store: u64,
        message: OwnerMessage,
    ) -> Result<(), Violation> {
        // A stream of an owner of before the restore is gone by now.
        if store < self.nodes[node].store {
            return Ok(());
        }
        self.stands_in(node, store);
        let now = self.node_time(node);
        let message = self.mutants.arrived_at_node(now, message);
        self.nodes[node].machine.receive(now, &message);
        self.disowned(node);
        self.after_node(node)
    }

    pub(super) fn connect(&mut self, node: usize, owner: usize) -> Result<(), Violation> {
        let old = std::mem::replace(&mut self.nodes[node].owner, owner);
        let now = self.node_time(node);
        self.nodes[node].machine.connected(now);
        if old != owner && self.random.chance(70) {
            let incarnation = self.nodes[node].incarnation;
            self.step(old, owner::Event::Disconnected(incarnation))?;
        }
        self.after_node(node)
    }
}
