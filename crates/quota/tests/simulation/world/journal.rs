//! The journals of nodes on disks that lose what was not flushed, and what heirs make of them.

use std::collections::BTreeMap;

use tollgate_quota::node::{Estate, Node, Note};
use tollgate_quota::{Close, Counter, Incarnation, NodeMessage, NodeTime, owner};

use crate::faults::Fault;
use crate::mutants::Mutation;
use crate::oracle::Violation;
use crate::world::{Event, World};

/// A node's disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    /// What is sure to be found after a crash.
    durable: Vec<Note>,
    /// What was written and not flushed: a crash leaves any part of it from the beginning.
    written: Vec<Note>,
    /// What was taken up of it and can still be found until that time (mutations).
    taken: Option<(Estate, u64)>,
}

impl Disk {
    /// The last note of every share.
    fn closes(&self) -> Vec<Close> {
        let mut last: BTreeMap<(Incarnation, Counter), &Note> = BTreeMap::new();
        for note in &self.durable {
            last.insert((note.incarnation, note.counter.clone()), note);
        }
        last.into_values().map(Note::close).collect()
    }

    /// All that was written is there.
    pub(super) fn settle(&mut self) {
        self.durable.append(&mut self.written);
    }
}

impl World {
    /// Writes what a process wants noted, and flushes it; what comes up meanwhile waits for the next flush.
    pub(super) fn flush_journal(&mut self, node: usize) {
        let process = &mut self.nodes[node];
        if !process.disk.written.is_empty() || !process.machine.has_notes() {
            return;
        }
        let notes = process.machine.poll_notes();
        process.disk.written = notes;
        let incarnation = process.incarnation;
        let takes = if self.calm {
            1
        } else {
            self.random.within(1, 40)
        };
        if self.mutated(Mutation::MarkNotFlushed) {
            let now = self.node_time(node);
            let notes = self.nodes[node].disk.written.clone();
            self.nodes[node].machine.noted(now, &notes);
        }
        self.schedule(takes, Event::Flushed { node, incarnation });
    }

    pub(super) fn flushed(
        &mut self,
        node: usize,
        incarnation: Incarnation,
    ) -> Result<(), Violation> {
        if self.nodes[node].incarnation != incarnation {
            return Ok(());
        }
        let now = self.node_time(node);
        let process = &mut self.nodes[node];
        let notes = std::mem::take(&mut process.disk.written);
        process.machine.noted(now, &notes);
        process.disk.durable.extend(notes);
        self.after_node(node)
    }

    /// A process is gone, and another takes its place and its disk.
    pub(super) fn replace(&mut self, node: usize) {
        let fresh = self.new_node();
        let old = std::mem::replace(&mut self.nodes[node], fresh);
        for call in old.open.values().filter(|call| call.admission.is_some()) {
            self.oracle.gave_up(old.incarnation, call);
            self.oracle.ended(call);
        }
        old.orphans.iter().for_each(|call| self.oracle.ended(call));
        let lost = self.random.chance(self.plan.disk_lost);
        if lost {
            self.oracle.lost(old.incarnation, &old.legacy);
            return;
        }
        let mut disk = old.disk;
        let left = disk.taken.take().filter(|(_, until)| self.now < *until);
        let mut estate = left.map(|(estate, _)| estate);
        if old.machine.is_drained() && old.open.is_empty() {
            disk.settle();
            disk.durable.extend(old.machine.last_notes());
            estate = old.machine.estate();
        } else {
            let kept = self.random.within(0, disk.written.len() as u64);
            disk.written.truncate(usize::try_from(kept).unwrap());
            disk.settle();
        }
        let same_boot = self.random.chance(80) && !self.mutated(Mutation::EstateOverBoot);
        if same_boot {
            (self.nodes[node].offset, self.nodes[node].drift_ppm) = (old.offset, old.drift_ppm);
        }
        if let Some(estate) = estate.filter(|_| same_boot || self.mutated(Mutation::EstateOverBoot))
        {
            (self.nodes[node].store, self.nodes[node].legacy) = (old.store, old.legacy);
            return self.go_on(node, estate, disk);
        }
        let mut closes = disk.closes();
        if self.mutated(Mutation::NoMark) {
            closes
                .iter_mut()
                .for_each(|close| close.mark = close.settled);
        }
        let process = &mut self.nodes[node];
        process.legacy = old.legacy;
        process.legacy.extend(closes);
        // What is on the disk is what this process notes from now on; what it inherits it has in mind.
        process.machine.inherit(process.legacy.clone());
    }

    /// A process goes on in the place of one that has ended in good order, after a while.
    fn go_on(&mut self, node: usize, mut estate: Estate, mut disk: Disk) {
        for bequest in &mut estate.bequests {
            if self.mutated(Mutation::EstateByOldMark) {
                let seen = bequest.totals.iter().map(|it| it.seen - it.returned);
                bequest.mark = bequest.mark.map(|_| seen.sum());
            }
            if self.mutated(Mutation::EstateWithoutTotals) {
                for totals in &mut bequest.totals {
                    totals.seen = totals.seen.saturating_sub(totals.returned + totals.spent);
                    (totals.returned, totals.spent) = (0, 0);
                }
            }
        }
        let away = match self.random.within(0, 2) {
            0 => self.random.within(0, 15_000),
            _ => self.random.within(0, 500),
        };
        if !self.calm && self.random.chance(30) {
            // What it does first is the least known to anybody.
            let after = away + self.random.within(1, 1_000);
            self.schedule(after, Event::Fault(Fault::Crash(node)));
        }
        disk.taken = match self.plan.mutation {
            Some(Mutation::EstateKept) => Some((estate.clone(), u64::MAX)),
            Some(Mutation::EstateUsedEarly) => Some((estate.clone(), self.now + away + 5_000)),
            Some(_) | None => None,
        };
        let now = self.node_time(node);
        let (name, config) = (format!("n{}", estate.incarnation.0), self.node_config());
        let process = &mut self.nodes[node];
        process.incarnation = estate.incarnation;
        process.disk = disk;
        process.paused_until = self.now + away;
        process.machine = Node::resume(&name, config, now, &estate);
        process.machine.inherit(process.legacy.clone());
    }

    /// A process that the owner took for dead begins anew.
    pub(super) fn disowned(&mut self, node: usize) {
        if self.nodes[node].machine.is_disowned() {
            self.renew(node);
        }
    }

    /// The mutation that closes a process without its lock, from what it had noted by then.
    pub(super) fn claim_dead(&mut self, incarnation: Incarnation) {
        if !self.mutated(Mutation::ClosedWithoutLock) {
            return;
        }
        let living = self
            .nodes
            .iter()
            .find(|node| node.incarnation == incarnation);
        let Some(closes) = living.map(|node| node.disk.closes()) else {
            return;
        };
        let owner = self.owners.len() - 1;
        self.schedule(3_000, Event::Usurp { owner, closes });
    }

    pub(super) fn usurp(&mut self, owner: usize, closes: Vec<Close>) -> Result<(), Violation> {
        let message = NodeMessage {
            node: "usurper".into(),
            incarnation: Incarnation(u64::MAX),
            t_node: NodeTime(0),
            accounts: Vec::new(),
            closes,
        };
        self.step(owner, owner::Event::Node(message))
    }

    /// The books of a counter, by the newest owner.
    pub(crate) fn books_of(&self, counter: &Counter) -> Option<owner::Books> {
        let owner = self.owners.len() - 1;
        let now = self.owner_time(owner);
        let mut states = self.owners[owner].machine.snapshot(now);
        states.find(|state| state.counter == *counter)?.books
    }

    /// Nothing was lost and nothing invented, by the rows of the store.
    pub(crate) fn check_books(&self) -> Result<(), Violation> {
        for (counter, row) in self.store.all_rows() {
            let alive = self
                .nodes
                .iter()
                .any(|node| node.incarnation == row.incarnation);
            self.oracle.quiet_row(row, counter, alive)?;
        }
        let booked = |counter: &Counter, of| self.store.row(counter, of).is_some();
        self.oracle.all_booked(booked)
    }

    /// The mutations that free what is free already.
    pub(super) fn late_return(&mut self, message: &NodeMessage) -> Option<owner::Event> {
        if self.mutated(Mutation::ClosedTwice) {
            let close = message.closes.first()?;
            let row = self.store.row(&close.counter, close.incarnation)?;
            let kept = row.granted - row.returned;
            let freed = kept.saturating_sub(close.mark);
            let mark = close.mark.saturating_sub(freed);
            return row.closed.then(|| {
                owner::Event::Release(Close {
                    mark,
                    ..close.clone()
                })
            });
        }
        if self.mutated(Mutation::LateReturn) {
            let late = message.accounts.iter().find_map(|account| {
                let row = self.store.row(&account.counter, message.incarnation)?;
                let more = account.returned.saturating_sub(row.returned);
                let close = Close {
                    incarnation: message.incarnation,
                    counter: account.counter.clone(),
                    window: account.window,
                    mark: row.charge().saturating_sub(more),
                    settled: account.spent,
                };
                (row.closed && more > 0).then_some(close)
            });
            return late.map(owner::Event::Release);
        }
        None
    }
}
