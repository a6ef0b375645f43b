//! What a node tells its owner, and when.

use crate::node::account::Account;
use crate::node::book::Slot;
use crate::node::{Node, Scope};
use crate::{NodeAccount, NodeMessage, NodeTime};

/// Every so many heartbeats, accounts where nothing goes on are reported and tidied.
const TURNS: u64 = 8;

/// What waits to be told.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    changed: Vec<Slot>,
    send_at: Option<NodeTime>,
    /// When the next message about everything is due.
    pub(super) heartbeat_at: NodeTime,
    /// That message repeats every total: those sent last may have been lost with their stream.
    pub(super) repeat: bool,
    /// Heartbeats so far.
    beats: u64,
}

impl Outbox {
    /// Notes that the account changed, to be told at `at` or with whatever is told earlier.
    pub(super) fn mark(&mut self, account: &mut Account, slot: Slot, at: NodeTime) {
        if account.mark.is_some_and(|mark| !mark.is_open()) {
            return;
        }
        if !account.dirty {
            account.dirty = true;
            self.changed.push(slot);
        }
        self.send_at = Some(self.send_at.map_or(at, |earlier| earlier.min(at)));
    }
}

impl Node {
    /// The message to send now: with [`Scope::Changed`] none when nothing changed, with
    /// [`Scope::All`] always one. Totals only (R3): a message that gets lost is made good by the next.
    pub fn poll_message(&mut self, now: NodeTime, scope: Scope) -> Option<NodeMessage> {
        let mut slots = match scope {
            Scope::Changed => Vec::new(),
            Scope::All => self.heartbeat(now),
        };
        slots.append(&mut self.outbox.changed);
        self.outbox.send_at = None;
        let accounts: Vec<NodeAccount> = slots
            .into_iter()
            .filter_map(|slot| self.report(now, slot))
            .collect();
        (scope == Scope::All || !accounts.is_empty()).then(|| NodeMessage {
            node: self.name.clone(),
            incarnation: self.incarnation,
            t_node: now,
            accounts,
            closes: match scope {
                Scope::Changed => Vec::new(),
                Scope::All => self.closes(),
            },
        })
    }

    /// What a heartbeat has to speak of besides what changed. Accounts where nothing goes on are
    /// looked after in turn, so that a node with very many of them does not stop for all at once.
    fn heartbeat(&mut self, now: NodeTime) -> Vec<Slot> {
        self.outbox.heartbeat_at = now.after(self.config.heartbeat_ms);
        self.outbox.beats += 1;
        let beat = self.outbox.beats;
        let in_turn = |slot: Slot| (u64::from(slot) + beat).is_multiple_of(TURNS);
        self.book.forget(now, in_turn);
        if !self.draining {
            self.shed_idle(now, in_turn);
        }
        self.note_settled();
        let repeat = std::mem::take(&mut self.outbox.repeat);
        let due = |slot: Slot, account: &Account| {
            if account.mark.is_some_and(|mark| !mark.is_open()) {
                return false;
            }
            account.is_busy(now)
                // What is not spoken of lapses where no window ends.
                || (account.has_units(now) && (in_turn(slot) || !account.is_windowed()))
                || (repeat && account.is_accountable(now))
        };
        let open = self
            .book
            .iter()
            .filter(|(slot, account)| !account.dirty && due(*slot, account));
        open.map(|(slot, _)| slot).collect()
    }

    /// When [`Node::poll_message`] with [`Scope::Changed`] should be called; may become earlier after
    /// any call.
    #[must_use]
    pub fn next_message(&self) -> Option<NodeTime> {
        self.outbox.send_at
    }

    /// When [`Node::poll_message`] with [`Scope::All`] should be called; may become earlier when a
    /// stream is opened.
    #[must_use]
    pub fn next_heartbeat(&self) -> NodeTime {
        self.outbox.heartbeat_at
    }

    /// When [`Node::tick`] is due; may become earlier after any reservation.
    #[must_use]
    pub fn next_tick(&self) -> Option<NodeTime> {
        self.waits.first().map(|(until, _)| *until)
    }

    /// Gives back what exceeds some seconds of demand, so that it is of use elsewhere.
    fn shed_idle(&mut self, now: NodeTime, in_turn: impl Fn(Slot) -> bool) {
        let Self {
            book,
            outbox,
            config,
            ..
        } = self;
        let due = |slot: Slot, account: &Account| in_turn(slot) || !account.is_windowed();
        for (slot, account) in book.iter_mut().filter(|(slot, it)| due(*slot, it)) {
            let keep = account.worth_keeping(now, config.ahead_ms);
            if account.is_open(now) && account.give_back(keep, false) {
                outbox.mark(account, slot, now);
            }
        }
    }

    /// The account's totals and state.
    pub(super) fn report(&mut self, now: NodeTime, slot: Slot) -> Option<NodeAccount> {
        let lacks = self.lacks(slot);
        let account = self.book.get_mut(slot)?;
        account.reported(now, account.need(now, lacks));
        let ledger = account.ledger().copied();
        Some(NodeAccount {
            counter: account.counter.clone(),
            window: account.label.window,
            epoch: account.epoch,
            generation: account.generation(),
            seen: ledger.map_or(0, |l| l.seen),
            returned: ledger.map_or(0, |l| l.returned),
            spent: ledger.map_or(0, |l| l.spent),
            need: account.said_need,
            demand: account.demand(now),
            avail: account.avail(),
            waiters: u32::try_from(account.queue.len()).unwrap_or(u32::MAX),
            answered: account.answered(account.epoch),
            promised_back: ledger.map_or(0, |l| l.promised_back),
        })
    }
}
