//! A store that is restored from an older copy: it is frozen, every process gives up what it has and closes it with
//! what it used, and an operator thaws it once nothing is open.

use tollgate_quota::node::Note;
use tollgate_quota::owner;

use crate::mutants::Mutation;
use crate::oracle::Violation;
use crate::world::{Event, World};

/// The operator looks so often whether the store can be thawed, in milliseconds.
const LOOK_MS: u64 = 300;

impl World {
    /// The control plane stands still meanwhile, as it has to.
    pub(super) fn restore(&mut self) {
        let bump = if self.random.chance(50) { 0 } else { 1 << 30 };
        self.store.restore(bump);
        if self.mutated(Mutation::NotFrozen) {
            self.store.thaw(self.owner_time(self.owners.len() - 1));
        }
        self.failover(true);
        // What owners handed out ahead of their time has begun by any clock once quota is thawed.
        self.schedule(LOOK_MS + 2 * self.plan.skew_ms, Event::Thaw);
    }

    pub(super) fn thaw(&mut self) -> Result<(), Violation> {
        if !self.store.frozen {
            return Ok(());
        }
        self.schedule(LOOK_MS, Event::Thaw);
        let owner = self.owners.len() - 1;
        let store = self.store.identity();
        let mut nodes = self.nodes.iter();
        // Who has nothing to close may not have heard of it.
        let unheard = self.plan.promised > 0;
        let early = self.mutated(Mutation::ThawedEarly);
        let settled = nodes.all(|node| {
            let closed = early || node.machine.inherited().is_empty();
            unheard || node.store == store && closed
        });
        if !settled || self.owners[owner].paused_until > self.now {
            return Ok(());
        }
        // By the providers' records, each until it is durable: the copy may know nothing of it.
        let mut closing = false;
        for close in self.oracle.records_of_lost(self.store.all_rows()) {
            let row = self.store.row(&close.counter, close.incarnation);
            if row.is_none_or(|row| !row.closed) {
                closing = true;
                self.step(owner, owner::Event::Release(close))?;
            }
        }
        let open = self.store.all_rows().any(|(_, row)| {
            // A living process stands here, as all do, and holds what is in this store's rows.
            let lives = self
                .nodes
                .iter()
                .any(|it| it.incarnation == row.incarnation);
            !row.closed && !lives
        });
        if (open || closing) && !early {
            return Ok(());
        }
        self.store.thaw(self.owner_time(owner));
        self.failover(true);
        Ok(())
    }

    /// Hears which store grants stand in. Where it is another one than before, it was restored.
    pub(super) fn stands_in(&mut self, node: usize, store: u64) {
        let before = std::mem::replace(&mut self.nodes[node].store, store);
        if before != 0 && before != store && !self.mutated(Mutation::KeptOverRestore) {
            self.renew(node);
            let process = &mut self.nodes[node];
            process.machine.inherit(process.legacy.clone());
        }
    }

    /// A process begins anew with nothing, on a stream of its own. What it had stays charged until it, or its heir, closes it.
    pub(super) fn renew(&mut self, node: usize) {
        let incarnation = self.new_incarnation();
        let machine = self.new_machine(incarnation);
        let now = self.node_time(node);
        let (owner, gone) = (self.nodes[node].owner, self.nodes[node].incarnation);
        let event = owner::Event::Disconnected(gone);
        self.schedule(20, Event::Answer { owner, event });
        let process = &mut self.nodes[node];
        let old = std::mem::replace(&mut process.machine, machine);
        for open in process.open.values() {
            self.oracle.gave_up(process.incarnation, open);
        }
        let open = std::mem::take(&mut process.open).into_values();
        let admitted = open.filter(|open| open.admission.is_some());
        process.orphans.extend(admitted);
        process.incarnation = incarnation;
        process.disk.settle();
        process
            .legacy
            .extend(old.last_notes().iter().map(Note::close));
        process.machine.inherit(old.inherited().to_vec());
        process.machine.connected(now);
    }
}
