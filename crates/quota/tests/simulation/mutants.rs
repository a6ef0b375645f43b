//! The protocol's rules broken one at a time, on the wire and at the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate_quota::node::Settled;
use tollgate_quota::owner::{Effect, HorizonRecord, Load, Owner, Record};
use tollgate_quota::{
    Counter, Epoch, Generation, Incarnation, NodeAccount, NodeMessage, NodeTime, OwnerMessage,
    OwnerTime, Promises, Window,
};

use crate::oracle::Oracle;
use crate::store::Store;
use crate::world::Open;

/// One way to break the protocol. None of them touches the product's code: each alters what goes over
/// the wire, in or out of the store, or how the machines are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// R3: grants travel as differences to the last message.
    Deltas,
    /// R3: what comes back travels as differences to the last message.
    ReturnedAsDelta,
    /// R4: units of a node that is not heard of are credited again after a while.
    RecreditOnExpiry,
    /// R1: the store's transactions compare nothing.
    UnguardedWrite,
    /// R1: a write whose outcome nobody knows is taken for done.
    UnknownIsSuccess,
    /// R2: a new owner begins with what nodes have admitted instead of the stored mark.
    TrustReports,
    /// R1: a new owner obeys its own policy though a newer one is stored.
    LimitFromOwnCache,
    /// R8: a new owner begins with its own clock's window, though a later one is stored.
    WindowsGoBack,
    /// R6: a node counts the rest of the window from its receipt of the answer.
    DeadlineFromReceipt,
    /// R6: a node allows for no drift.
    NoDriftMargin,
    /// R7: a node stamps with the clock reading it had before taking.
    NoRestamp,
    /// R3: a node forgets its accounts when their window has passed by its own estimate.
    ForgetAtDeadline,
    /// R9: a settlement's refund is counted twice.
    SettledTwice,
    /// Horizon: a new owner does not wait for what earlier ones may have handed out.
    NoHorizonWait,
    /// Horizon: a new owner reads it before it holds the epoch.
    HorizonReadEarly,
    /// Horizon: an owner renews it though it is one no more.
    UnguardedHorizon,
    /// Records: a new owner takes no account of what may have gone out under the mark.
    MarkIgnored,
    /// Records: it takes it for charged when it was written, some seconds ago, and not when the last lease ends.
    MarkFromWriting,
    /// Records: a new owner takes no account of what was charged.
    ChargesIgnored,
    /// Word left: a new owner takes no account of what an earlier one left word of.
    WordIgnored,
    /// R4: what was written off bears the generation of what is granted afterwards.
    NoGeneration,
    /// R9: a node reports as spent what may still come back.
    HeldAsSpent,
    /// R9: a node reports as spent what it was granted and has not used.
    SpentAtGrant,
    /// Shell: a request that ends early, by its caller's leaving, is never settled.
    SettleSkipped,
    /// Shell: what a request holds is put back although the request was sent.
    UndoneAndSent,
    /// Shell: a request that waits is not told that its units have come.
    LostWake,
    /// Journal: an heir closes at what was noted as spent, as nothing says what was reserved.
    NoMark,
    /// Journal: a process goes on before its mark is on disk.
    MarkNotFlushed,
    /// Estate: who takes it up leaves it where the next one finds it.
    EstateKept,
    /// Estate: it is used before its removal is on disk.
    EstateUsedEarly,
    /// Estate: it is taken up after another start of the machine, by another clock.
    EstateOverBoot,
    /// Estate: units are handed on without the totals that they are part of.
    EstateWithoutTotals,
    /// Estate: a process goes on by an earlier mark than its last.
    EstateByOldMark,
    /// R4: what a dead process gave back counts although it is closed.
    LateReturn,
    /// R4: a closing frees what it frees twice.
    ClosedTwice,
    /// R4: a process that is cut off is closed by somebody who does not hold its lock.
    ClosedWithoutLock,
    /// R3: the processes of a node share a row.
    OneSum,
    /// Restore: owners hand out at once what an older copy of the store says is there.
    NotFrozen,
    /// Restore: they do before all that was open is closed.
    ThawedEarly,
    /// Restore: nodes go on with what they hold, and with their totals.
    KeptOverRestore,
    /// Promises: a new owner takes back what others promised.
    PromiseTakenBack,
    /// Promises: processes are told before they are durable.
    PromiseToldEarly,
    /// Promises: of a window that has begun.
    PromiseOfVended,
    /// Promises: what is given back of them is told to every owner.
    PromisedBackToAll,
    /// Promises: after a restore those count alone that the copy knows.
    PromisesOverRestore,
}

type Ledger = (i64, Incarnation, Counter, Window, Generation);
type Share = (Incarnation, Counter, Window);

#[derive(Debug, Clone)]
pub(crate) struct Mutants {
    mutation: Option<Mutation>,
    /// Last grant sent, and the sum of what arrived, per ledger.
    sent: BTreeMap<Ledger, u64>,
    arrived: BTreeMap<Ledger, u64>,
    /// Refunds counted once more.
    twice: BTreeMap<Share, u64>,
    /// What was said to have come back, and what has come back, per share.
    said: BTreeMap<Share, u64>,
    back: BTreeMap<Share, u64>,
    /// Generations told to nodes last.
    generations: BTreeMap<(Incarnation, Counter), Generation>,
    /// Promises that are, or are to be, written, and what was given back of them to each owner.
    asked: BTreeMap<Counter, Promises>,
    promised_back: BTreeMap<Share, BTreeMap<i64, u64>>,
}

impl Mutants {
    pub(crate) fn new(mutation: Option<Mutation>) -> Self {
        let (sent, arrived, twice) = Default::default();
        let (said, back, generations) = Default::default();
        let (asked, promised_back) = Default::default();
        Self {
            mutation,
            sent,
            arrived,
            twice,
            said,
            back,
            generations,
            asked,
            promised_back,
        }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// An owner wants something written.
    pub(crate) fn asked_to_write(&mut self, effect: &Effect) {
        if let Effect::Persist {
            counter, record, ..
        } = effect
            && self.is(Mutation::PromiseToldEarly)
        {
            self.asked.insert(counter.clone(), record.promises.clone());
        }
    }

    fn promised_to_node(&mut self, message: &mut OwnerMessage) {
        for a in &mut message.accounts {
            if let Some(asked) = self.asked.get(&a.counter) {
                let own = asked.iter().filter(|(to, _)| *to == message.incarnation);
                a.promises.extend(own.map(|(_, promise)| promise));
            }
            if self.is(Mutation::PromiseOfVended) {
                a.promises.iter_mut().for_each(|it| it.from.0 -= 1);
            }
        }
    }

    pub(crate) fn sent_to_node(&mut self, mut message: OwnerMessage) -> OwnerMessage {
        self.promised_to_node(&mut message);
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

    pub(crate) fn settled(&mut self, by: Incarnation, open: &Open, settled: &[Settled]) {
        let Some((admission, _)) = &open.admission else {
            return;
        };
        if !self.is(Mutation::SettledTwice) {
            return;
        }
        for ((ask, told), settled) in open.asks.iter().zip(&admission.limits).zip(settled) {
            let key = (by, ask.counter.clone(), told.window);
            *self.twice.entry(key).or_default() += settled.refunded;
        }
    }

    pub(crate) fn sent_to_owner(&mut self, node: usize, mut message: NodeMessage) -> NodeMessage {
        for a in &mut message.accounts {
            let key = (message.incarnation, a.counter.clone(), a.window);
            a.returned += self.twice.get(&key).copied().unwrap_or_default();
            if self.is(Mutation::PromisedBackToAll) {
                let back = self.promised_back.entry(key.clone()).or_default();
                back.insert(a.epoch.0, a.promised_back);
                a.promised_back = back.values().sum();
            }
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
            if self.is(Mutation::ReturnedAsDelta) {
                let before = self.said.insert(key, a.returned).unwrap_or_default();
                a.returned -= before;
            }
        }
        if self.is(Mutation::OneSum) {
            message.incarnation = Incarnation(node as u64);
            message.closes.clear();
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
                generation: self.generation(of, &state.counter),
                seen: holding.granted,
                returned: holding.granted.saturating_sub(holding.spent),
                spent: holding.spent,
                need: 0,
                demand: 0,
                avail: 0,
                waiters: 0,
                answered: 0,
                promised_back: 0,
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
        let (mut record, revision) = match found {
            Load::Found(record, revision) => (record, revision),
            other @ (Load::Absent | Load::Failed | Load::Rows { .. }) => return other,
        };
        if record.epoch == epoch {
            return Load::Found(record, revision);
        }
        if self.is(Mutation::NoHorizonWait) {
            (record.until, record.untold) = (OwnerTime(1), OwnerTime(1));
        }
        if self.is(Mutation::WordIgnored) {
            record.left = Arc::default();
        }
        if self.is(Mutation::LimitFromOwnCache) {
            record.revision = 0;
        }
        Load::Found(record, revision)
    }

    /// What a read of a counter's key finds.
    pub(crate) fn loaded(
        &self,
        found: Load,
        counter: &Counter,
        at: (Epoch, OwnerTime),
        oracle: &Oracle,
    ) -> Load {
        let read = |record| self.read(record, counter, at, oracle);
        match found {
            Load::Found(record, revision) => Load::Found(read(record), revision),
            Load::Rows { record, rows } => Load::Rows {
                record: record.map(|(record, revision)| (read(record), revision)),
                rows,
            },
            other @ (Load::Absent | Load::Failed) => other,
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
        if self.is(Mutation::ChargesIgnored) {
            record.charged.clear();
        }
        if self.is(Mutation::MarkIgnored) {
            record.hwm = 0;
        }
        if self.is(Mutation::MarkFromWriting) {
            let released = OwnerTime(now.0 - 4_000).after(counter.kind().window_ms());
            let mark = std::mem::take(&mut record.hwm);
            record.charged.push((released, mark));
        }
        if self.is(Mutation::PromiseTakenBack) {
            record.promises = Promises::default();
        }
        if self.is(Mutation::WindowsGoBack) && record.window > own {
            record.window = own;
            record.hwm = 0;
        }
        record
    }
}
