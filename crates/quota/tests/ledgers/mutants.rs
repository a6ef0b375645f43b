//! The protocol's rules broken one at a time, on the wire and at the store.

use std::collections::BTreeMap;

use tollgate_quota::node::{Admission, Ask, Settled};
use tollgate_quota::owner::{Load, Owner, Record};
use tollgate_quota::{
    Counter, Epoch, Generation, Incarnation, NodeAccount, NodeMessage, NodeTime, OwnerMessage,
    OwnerTime, Window,
};

use crate::oracle::Oracle;
use crate::plan::Mutation;

type Ledger = (i64, Incarnation, Counter, Window);

#[derive(Debug)]
pub(crate) struct Mutants {
    mutation: Option<Mutation>,
    /// Last grant sent, and the sum of what arrived, per ledger.
    sent: BTreeMap<Ledger, u64>,
    arrived: BTreeMap<Ledger, u64>,
    /// What was said to have come back, and what has come back, per ledger.
    said: BTreeMap<(Incarnation, Counter, Window), u64>,
    back: BTreeMap<(Incarnation, Counter, Window), u64>,
    /// Refunds counted once more.
    twice: BTreeMap<(Incarnation, Counter, Window), u64>,
}

impl Mutants {
    pub(crate) fn new(mutation: Option<Mutation>) -> Self {
        let (sent, arrived, twice) = Default::default();
        let (said, back) = Default::default();
        Self {
            mutation,
            sent,
            arrived,
            said,
            back,
            twice,
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
                );
                let before = self.sent.insert(key, a.granted).unwrap_or_default();
                a.granted -= before;
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
            if self.is(Mutation::ReturnedAsDelta) {
                let before = self.said.insert(key, a.returned).unwrap_or_default();
                a.returned -= before;
            }
        }
        message
    }

    pub(crate) fn arrived_at_owner(&mut self, mut message: NodeMessage) -> NodeMessage {
        if self.is(Mutation::ReturnedAsDelta) {
            for a in &mut message.accounts {
                let key = (message.incarnation, a.counter.clone(), a.window);
                let back = self.back.entry(key).or_default();
                *back += a.returned;
                a.returned = *back;
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
                generation: Generation::FIRST,
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

    pub(crate) fn loaded(
        &self,
        found: Load,
        counter: &Counter,
        at: (Epoch, OwnerTime),
        oracle: &Oracle,
    ) -> Load {
        match found {
            Load::Found(record, revision) => {
                Load::Found(self.read(record, counter, at, oracle), revision)
            }
            Load::Rows {
                record: Some((record, revision)),
                rows,
            } => Load::Rows {
                record: Some((self.read(record, counter, at, oracle), revision)),
                rows,
            },
            other @ (Load::Absent | Load::Failed | Load::Rows { record: None, .. }) => other,
        }
    }

    fn read(
        &self,
        mut record: Record,
        counter: &Counter,
        (epoch, now): (Epoch, OwnerTime),
        oracle: &Oracle,
    ) -> Record {
        if record.epoch == epoch {
            return record;
        }
        let own = counter.kind().span(now).window;
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
        record
    }
}
