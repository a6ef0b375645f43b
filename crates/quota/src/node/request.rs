use std::borrow::Borrow;

use crate::node::account::Account;
use crate::node::book::{Book, Slot};
use crate::node::units::{Label, Pieces};
use crate::node::{Ask, RequestId};
use crate::{Counter, NodeTime};

/// One ask of a request, and what is held for it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Index among the caller's asks.
    pub(super) ask: usize,
    pub(super) units: u64,
    /// Of these, what is spent already.
    pub(super) spent: u64,
    pub(super) slot: Slot,
    /// The account that was at `slot`.
    serial: u64,
    /// How the counter's text begins.
    prefix: u128,
    /// What the units held bear.
    label: Label,
    pieces: Pieces,
}

impl Part {
    /// The account, provided it still has the label that the units bear: otherwise they
    /// are void.
    pub(super) fn account<'a>(&self, book: &'a mut Book) -> Option<&'a mut Account> {
        let current = |a: &&mut Account| a.serial == self.serial && a.label == self.label;
        book.get_mut(self.slot).filter(current)
    }

    pub(super) fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// Turns held units spent until `total` of them are. False when they already are, or are void.
    pub(super) fn spend(&mut self, book: &mut Book, total: u64) -> bool {
        let units = total.min(self.units).saturating_sub(self.spent);
        let current = |a: &&mut Account| a.serial == self.serial && a.label == self.label;
        let Some(account) = book.get_mut(self.slot).filter(current) else {
            return false;
        };
        let spent = account.spend(&mut self.pieces, units);
        self.spent += spent;
        spent > 0
    }

    fn put_back(&mut self, book: &mut Book) {
        if let Some(account) = self.account(book) {
            account.put_back(&self.pieces);
        }
        self.pieces = Pieces::default();
    }
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// In the queue of the account of the first part not yet taken.
    Waiting,
    /// Everything is held, the clock not yet read again.
    Taken,
    /// Stamped.
    Admitted,
}

/// One reservation.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) id: RequestId,
    /// In the order of their counters, which is the same on every node.
    pub(super) parts: Vec<Part>,
    /// This many of the parts are held.
    pub(super) taken: usize,
    pub(super) phase: Phase,
    pub(super) wait_until: NodeTime,
    /// A stamp came too late once.
    pub(super) late: bool,
}

impl Request {
    /// `parts` is room for the parts, empty.
    pub(super) fn new<C: Borrow<Counter>>(
        id: RequestId,
        (asks, mut parts): (&[Ask<C>], Vec<Part>),
        book: &mut Book,
        now: NodeTime,
        wait_until: NodeTime,
    ) -> Self {
        // Short passes rather than a long one: accounts of very many counters are in no cache, and a processor
        // fetches several at once as long as little has to be done between them.
        let found = |(ask, Ask { counter, units }): (usize, &Ask<C>)| Part {
            ask,
            units: *units,
            spent: 0,
            slot: book.open(counter.borrow(), now),
            serial: 0,
            prefix: 0,
            label: Label::default(),
            pieces: Pieces::default(),
        };
        parts.extend(asks.iter().enumerate().map(found));
        for part in &mut parts {
            if let Some(account) = book.get(part.slot) {
                part.serial = account.serial;
                part.prefix = account.prefix;
            }
        }
        for part in &parts {
            if let Some(account) = book.get_mut(part.slot) {
                account.note_demand(now, part.units);
                account.come_round(now);
            }
        }
        let counter = |part: &Part| asks[part.ask].counter.borrow();
        parts.sort_by(|a, b| {
            let by_prefix = a.prefix.cmp(&b.prefix);
            by_prefix.then_with(|| counter(a).cmp(counter(b)))
        });
        Self {
            id,
            parts,
            taken: 0,
            phase: Phase::Waiting,
            wait_until,
            late: false,
        }
    }

    /// The part this request lacks, if any.
    pub(super) fn lacking(&self) -> Option<&Part> {
        self.parts.get(self.taken)
    }

    /// Takes part after part until all are held or one is short. Nobody overtakes those who already
    /// wait at an account.
    pub(super) fn advance(&mut self, book: &mut Book, now: NodeTime) -> bool {
        let missing = &self.parts[self.taken..];
        let ready = missing
            .iter()
            .take_while(|part| self.may_take(part, book, now));
        let until = self.taken + ready.count();
        while self.taken < until {
            let part = &mut self.parts[self.taken];
            let Some(account) = book.get_mut(part.slot) else {
                return false;
            };
            if part.units > 0 {
                // The same counter may be asked for twice.
                let Some(pieces) = account.take(now, part.units) else {
                    return false;
                };
                part.pieces = pieces;
            }
            part.label = account.label;
            self.taken += 1;
        }
        let all = self.taken == self.parts.len();
        if all {
            self.phase = Phase::Taken;
        }
        all
    }

    fn may_take(&self, part: &Part, book: &Book, now: NodeTime) -> bool {
        book.get(part.slot).is_some_and(|account| {
            let first = account.queue.front().is_none_or(|first| first == self.id);
            account.serial == part.serial
                && (part.units == 0 || first && account.has(now, part.units))
        })
    }

    /// Whether every part's window is still open at `now` (R7).
    pub(super) fn is_in_time(&self, book: &mut Book, now: NodeTime) -> bool {
        let in_time =
            |part: &Part| part.units == 0 || part.account(book).is_some_and(|a| a.is_open(now));
        self.parts.iter().all(in_time)
    }

    /// Begins windows that have begun by themselves.
    pub(super) fn come_round(&self, book: &mut Book, now: NodeTime) {
        for part in &self.parts {
            if let Some(account) = book.get_mut(part.slot) {
                account.come_round(now);
            }
        }
    }

    /// Puts everything held back.
    pub(super) fn undo(&mut self, book: &mut Book) {
        for part in &mut self.parts[..self.taken] {
            part.put_back(book);
        }
        self.taken = 0;
        self.phase = Phase::Waiting;
    }
}
