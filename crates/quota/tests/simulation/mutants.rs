//! The protocol's rules broken one at a time, on the wire and at the store.

use std::collections::BTreeMap;

use tollgate_quota::node::{Admission, Ask, Settled};
use tollgate_quota::owner::{HorizonRecord, Load, Owner};
use tollgate_quota::{
    Counter, Epoch, Generation, Incarnation, NodeAccount, NodeMessage, NodeTime, OwnerMessage,
    OwnerTime, Window,
};

use crate::oracle::Oracle;
use crate::plan::Mutation;
use crate::store::Store;

type Ledger = (i64, Incarnation, Counter, Window, Generation);

#[derive(Debug)]
pub(crate) struct Mutants {
    mutation: Option<Mutation>,
    /// Last grant sent, and the sum of what arrived, per ledger.
    sent: BTreeMap<Ledger, u64>,
    arrived: BTreeMap<Ledger, u64>,
    /// Refunds counted once more.
    twice: BTreeMap<(Incarnation, Counter, Window), u64>,
    /// Generations told to nodes last.
    generations: BTreeMap<(Incarnation, Counter), Generation>,
}

impl Mutants {
    pub(crate) fn new(mutation: Option<Mutation>) -> Self {
        let (sent, arrived, twice, generations) = Default::default();
        Self {
            mutation,
            sent,
            arrived,
            twice,
            generations,
        }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub(crate) fn sent_to_node(&mut self, mut message: OwnerMessage) -> OwnerMessage {
        if self.is(Mutation::Deltas) {
            for a in &mut message.accounts {
                let key = (
                    message.epoch.0,
                    message.incarnation,
                    a.counter.clone(),
                    a.window,
                    a.generation,
                );
                let before = self.sent.insert(key, a.granted).unwrap_or_default();
                a.granted -= before;
            }
        }
        for a in &mut message.accounts {
            let key = (message.incarnation, a.counter.clone());
            self.generations.insert(key, a.generation);
            if self.is(Mutation::NoGeneration) {
                a.generation = Generation::FIRST;
            }
        }
        message
    }

    pub(crate) fn arrived_at_node(
        &mut self,
        now: NodeTime,
        mut message: OwnerMessage,
    ) -> OwnerMessage {
        if self.is(Mutation::Deltas) {
            for a in &mut message.accounts {
                let key = (
                    message.epoch.0,
                    message.incarnation,
                    a.counter.clone(),
                    a.window,
                    a.generation,
                );
                let sum = self.arrived.entry(key).or_default();
                *sum += a.granted;
                a.granted = *sum;
            }
        }
        if self.is(Mutation::DeadlineFromReceipt) {
            message.echo_t_node = now;
        }
        message
    }

    pub(crate) fn settled(
        &mut self,
        incarnation: Incarnation,
        asks: &[Ask],
        admission: &Admission,
        settled: &[Settled],
    ) {
        if !self.is(Mutation::SettledTwice) {
            return;
        }
        for ((ask, told), settled) in asks.iter().zip(&admission.limits).zip(settled) {
            let key = (incarnation, ask.counter.clone(), told.window);
            *self.twice.entry(key).or_default() += settled.refunded;
        }
    }

    pub(crate) fn sent_to_owner(&mut self, mut message: NodeMessage) -> NodeMessage {
        for a in &mut message.accounts {
            let key = (message.incarnation, a.counter.clone(), a.window);
            a.returned += self.twice.get(&key).copied().unwrap_or_default();
            let out = a.seen.saturating_sub(a.returned).saturating_sub(a.spent);
            let idle = a.avail.max(0).unsigned_abs();
            if self.is(Mutation::HeldAsSpent) {
                a.spent += out.saturating_sub(idle);
            }
            if self.is(Mutation::SpentAtGrant) {
                a.spent += out;
            }
            let generation = self
                .generations
                .get(&(message.incarnation, a.counter.clone()));
            if let Some(generation) = generation.filter(|_| self.is(Mutation::NoGeneration)) {
                a.generation = *generation;
            }
        }
        message
    }

    /// A report nobody made: everything that is out at that process has come back.
    pub(crate) fn recredit(
        &self,
        (owner, epoch): (&Owner, Epoch),
        now: OwnerTime,
        of: Incarnation,
    ) -> Option<NodeMessage> {
        if !self.is(Mutation::RecreditOnExpiry) {
            return None;
        }
        let mut accounts = Vec::new();
        for state in owner.snapshot(now) {
            let Some(holding) = state.nodes.iter().find(|holding| holding.incarnation == of) else {
                continue;
            };
            accounts.push(NodeAccount {
                counter: state.counter.clone(),
                window: state.window.map_or(Window(0), |(window, _, _)| window),
                epoch,
                generation: self.generation(of, &state.counter),
                seen: holding.granted,
                returned: holding.granted.saturating_sub(holding.spent),
                spent: holding.spent,
                need: 0,
                demand: 0,
                avail: 0,
                waiters: 0,
                answered: 0,
            });
        }
        accounts.sort_by(|a, b| a.counter.cmp(&b.counter));
        let t_node = NodeTime(0);
        Some(NodeMessage {
            node: "forged".into(),
            incarnation: of,
            t_node,
            accounts,
            closes: Vec::new(),
        })
    }

    fn generation(&self, of: Incarnation, counter: &Counter) -> Generation {
        let told = self.generations.get(&(of, counter.clone()));
        told.copied().unwrap_or(Generation::FIRST)
    }

    /// What a read of the horizon finds.
    pub(crate) fn horizon(&self, store: &Store, epoch: Epoch) -> Load<HorizonRecord> {
        let found = match self.mutation {
            Some(Mutation::HorizonReadEarly) => store.read_horizon_early(),
            _ => store.read_horizon(),
        };
        let Load::Found(mut record, revision) = found else {
            return found;
        };
        if record.epoch == epoch {
            return found;
        }
        if self.is(Mutation::NoHorizonWait) {
            record.until = OwnerTime(0);
        }
        if self.is(Mutation::LimitFromOwnCache) {
            record.revision = 0;
        }
        Load::Found(record, revision)
    }

    pub(crate) fn loaded(
        &self,
        found: Load,
        counter: &Counter,
        (epoch, now): (Epoch, OwnerTime),
        oracle: &Oracle,
    ) -> Load {
        let Load::Found(mut record, revision) = found else {
            return found;
        };
        if record.epoch == epoch {
            return found;
        }
        let own = Window::at(now, counter.kind().window_ms());
        if self.is(Mutation::TrustReports) {
            record.hwm = oracle.total(counter, record.window);
        }
        if self.is(Mutation::LimitFromOwnCache) {
            record.revision = 0;
        }
        if self.is(Mutation::WindowsGoBack) && record.window > own {
            record.window = own;
            record.hwm = 0;
        }
        Load::Found(record, revision)
    }
}
