//! Budgets, windows longer than an hour, and slots: a durable row per process.
//!
//! Writing a row *is* the grant: a node hears of units only once the row that charges them is committed, so a
//! new owner reads the rows and goes on, with nothing lost. Rows are written together with the counter's record,
//! whose modification revision guards them all: two owners, or one owner's late and next transaction, never
//! write past each other.
//!
//! At all times, over the rows of a window: settled + outstanding + suspense + free = limit + debt, where what is
//! charged for a row beyond what it has settled is *outstanding* while its process lives and *suspense* when it
//! does not. Nothing but the process itself, its heir or an operator takes that back (R4).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::owner::account::{Context, Wishes, Write};
use crate::owner::few::Few;
use crate::owner::keeping::link::{Found, Link};
use crate::owner::keeping::{Force, Keeping, Lack, Shown, Totals, Turn, in_force};
use crate::owner::{Commit, LedgerRow, Load, Record};
use crate::{Close, Incarnation, Kind, OwnerTime, Promises, Span, Window};

/// Most rows in one write, so that a transaction of a counter stays within a store's 128 operations.
pub const MOST_ROWS: usize = 48;
/// A counter without windows of which nothing was heard for this long is dropped from memory, in milliseconds;
/// its rows stay.
const DROP_AFTER_MS: u64 = 3_600_000;
/// A block is at most this part of what remains, so that little is in the wrong place, or in suspense.
const BLOCK_PART: u64 = 200;

/// One process's share: as it is durable, and as it is known.
#[derive(Debug, Clone)]
struct Share {
    durable: LedgerRow,
    known: LedgerRow,
    /// When what is known and not durable is written at the latest, if they differ.
    due: OwnerTime,
}

impl Share {
    fn is_clean(&self) -> bool {
        self.known == self.durable
    }

    /// Whether a closing or a reset is not durable yet.
    fn is_pending(&self) -> bool {
        let of = |row: &LedgerRow| (row.closed, row.freed, row.forgiven);
        of(&self.known) != of(&self.durable)
    }
}

/// What is being written.
#[derive(Debug, Clone)]
struct Written {
    record: Record,
    rows: Vec<LedgerRow>,
}

#[derive(Debug, Clone)]
pub(super) struct Ledger {
    kind: Kind,
    /// The window; it never goes back (R8).
    span: Span,
    /// The durable record and its key's modification revision (0: there is none).
    stored: (Option<Record>, i64),
    /// Whether `stored` and the rows were ever read.
    known: bool,
    link: Link<Written>,
    shares: Few<Incarnation, Share>,
    /// The sum of what the shares are charged, as known.
    charged: u64,
    /// Closings, and a reset, that arrived before the rows were read.
    early: Vec<(Close, bool)>,
    early_reset: bool,
    touched: OwnerTime,
}

impl Ledger {
    pub(super) fn new(kind: Kind, now: OwnerTime) -> Self {
        Self {
            kind,
            span: kind.span(now),
            stored: (None, 0),
            known: false,
            link: Link::reading(),
            shares: Few::default(),
            charged: 0,
            early: Vec::new(),
            early_reset: false,
            touched: now,
        }
    }

    fn roll_to(&mut self, span: Span) -> Turn {
        if span.window <= self.span.window {
            return Turn::Same;
        }
        self.span = span;
        self.shares = Few::default();
        self.charged = 0;
        Turn::Anew
    }

    /// The window of that label: the one of now, or one that begins soon by this owner's clock.
    fn span_of(&self, window: Window, now: OwnerTime) -> Span {
        let mut span = self.kind.span(now);
        while span.window < window && span.end.0 < u64::MAX {
            span = self.kind.span(span.end);
        }
        span
    }

    /// Changes what is known of a share, to be durable by that time.
    fn change(
        &mut self,
        by: OwnerTime,
        of: (Incarnation, &Arc<str>),
        change: impl FnOnce(&mut LedgerRow),
    ) {
        let window = self.span.window;
        let share = self.shares.get_or_insert_with(of.0, || {
            let none = LedgerRow::new(window, of.0, Arc::clone(of.1));
            Share {
                durable: none.clone(),
                known: none,
                due: by,
            }
        });
        let (before, clean) = (share.known.charge(), share.is_clean());
        change(&mut share.known);
        share.due = if clean { by } else { share.due.min(by) };
        self.charged = self
            .charged
            .saturating_sub(before)
            .saturating_add(share.known.charge());
    }

    /// Takes in a row as the store has it.
    fn adopt(&mut self, context: &Context<'_>, row: LedgerRow) {
        let node = Arc::clone(&row.node);
        let by = context.now.after(context.config.settle_ms);
        self.change(by, (row.incarnation, &node), |known| known.adopt(&row));
        if let Some(share) = self.shares.get_mut(&row.incarnation) {
            // A closing that came while the rest was written does not wait.
            if share.known.closed == row.closed {
                share.due = share.due.max(by);
            }
            share.durable = row;
        }
    }

    /// When a write is due without a grant, if one is.
    fn flush_at(&self) -> Option<OwnerTime> {
        let changed = self.shares.values().filter(|share| !share.is_clean());
        changed.map(|share| share.due).min()
    }

    /// The rows to write: what is granted now, as far as there is enough, and what is known and not durable.
    fn rows_to_write(
        &self,
        limit: u64,
        wants: &[(Incarnation, u64)],
        now: OwnerTime,
    ) -> Vec<LedgerRow> {
        let mut free = limit.saturating_sub(self.charged);
        let mut rows: BTreeMap<Incarnation, LedgerRow> = BTreeMap::new();
        let debts = self
            .shares
            .iter()
            .map(|(of, share)| (*of, share.known.debt()));
        for (to, units) in debts.chain(wants.iter().copied()) {
            let Some(known) = self.shares.get(&to).map(|share| &share.known) else {
                continue;
            };
            // What a node wants includes what it owes.
            let granted = known.granted.saturating_add(units);
            let before = rows.get(&to).unwrap_or(known);
            if known.closed || granted <= before.granted || rows.len() >= MOST_ROWS {
                continue;
            }
            let row = LedgerRow {
                granted,
                ..before.clone()
            };
            let cost = row.charge() - before.charge();
            if cost <= free {
                free -= cost;
                rows.insert(to, row);
            }
        }
        let due = self.flush_at().is_some_and(|at| at <= now);
        if due || !rows.is_empty() {
            let changed = self.shares.iter().filter(|(_, share)| !share.is_clean());
            for (of, share) in changed {
                if rows.len() < MOST_ROWS {
                    rows.entry(*of).or_insert_with(|| share.known.clone());
                }
            }
        }
        rows.into_values().collect()
    }

    fn close_now(&mut self, context: &Context<'_>, close: &Close, again: bool) -> bool {
        if close.window > self.span.window {
            return false;
        }
        let mut close = close.clone();
        if close.window < self.span.window {
            // That window is over, and in this one nothing was reserved.
            (close.mark, close.settled) = (0, 0);
        }
        // Even one that was never granted anything is closed: it may have asked, and would be granted it late.
        let known = self.shares.get(&close.incarnation);
        let node = known.map_or_else(|| Arc::from(""), |share| Arc::clone(&share.known.node));
        self.change(context.now, (close.incarnation, &node), |row| {
            row.close(&close, again);
        });
        let share = self.shares.get(&close.incarnation);
        share.is_some_and(|share| share.durable.closed && share.durable.settled >= close.settled)
    }
}

impl Keeping for Ledger {
    fn is_read_first(&self) -> bool {
        true
    }

    fn roll(&mut self, context: &Context<'_>) -> Turn {
        if context.now < self.span.end {
            return Turn::Same;
        }
        self.roll_to(self.kind.span(context.now))
    }

    fn window(&self) -> Window {
        self.span.window
    }

    fn ends_at(&self) -> Option<OwnerTime> {
        Some(self.span.end)
    }

    fn limit(&self, context: &Context<'_>) -> Option<u64> {
        let force = in_force(context, self.stored.0.as_ref()).filter(|_| self.known)?;
        Some(force.limit)
    }

    fn free_total(&self, context: &Context<'_>) -> u64 {
        let limit = self.limit(context).unwrap_or(0);
        limit.saturating_sub(self.charged)
    }

    fn usable(&self, _context: &Context<'_>, _to: Incarnation) -> u64 {
        0
    }

    fn is_over(&self, context: &Context<'_>) -> bool {
        self.limit(context)
            .is_some_and(|limit| self.charged > limit)
    }

    fn take(&mut self, _to: Incarnation, _units: u64) {}

    fn give_back(&mut self, _from: Incarnation, _units: u64) {}

    fn grants_by_writing(&self) -> bool {
        true
    }

    /// Slots come back whenever a request ends, so there are no blocks to speak of.
    fn largest_block(&self, context: &Context<'_>) -> u64 {
        if self.kind == Kind::Concurrent {
            return u64::MAX;
        }
        let part = self.free_total(context) / BLOCK_PART;
        part.min(context.config.largest_block)
    }

    fn owed(&self, to: Incarnation) -> u64 {
        self.shares.get(&to).map_or(0, |share| share.known.debt())
    }

    fn row(&self, of: Incarnation) -> Option<&LedgerRow> {
        self.shares.get(&of).map(|share| &share.known)
    }

    fn open_shares(&self) -> Vec<&LedgerRow> {
        let rows = self.shares.values().map(|share| &share.known);
        rows.filter(|row| !row.closed && row.open() > 0).collect()
    }

    fn report(&mut self, context: &Context<'_>, from: (Incarnation, &Arc<str>), totals: Totals) {
        self.touched = context.now;
        if self.known {
            let by = context.now.after(context.config.settle_ms);
            self.change(by, from, |row| row.merge(totals.returned, totals.spent));
        }
    }

    fn close(&mut self, context: &Context<'_>, close: &Close, again: bool) -> bool {
        self.touched = context.now;
        if self.known {
            return self.close_now(context, close, again);
        }
        let known = |(early, _): &(Close, bool)| early.is_of_same(close);
        if !self.early.iter().any(known) {
            self.early.push((close.clone(), again));
        }
        false
    }

    fn reset(&mut self, context: &Context<'_>) {
        self.touched = context.now;
        self.early_reset = !self.known;
        let spent = self
            .shares
            .values()
            .filter(|share| share.known.counted() > 0);
        let spent: Vec<_> = spent
            .map(|share| (share.known.incarnation, Arc::clone(&share.known.node)))
            .collect();
        for (of, node) in spent {
            self.change(context.now, (of, &node), LedgerRow::reset);
        }
    }

    fn loaded(&mut self, context: &Context<'_>, outcome: Load, wishes: &mut Wishes) -> Turn {
        let Some(Found { record, rows }) = self.link.loaded(context, outcome, wishes) else {
            return Turn::Same;
        };
        self.stored = record;
        self.known = true;
        let window = self.stored.0.as_ref().map(|record| record.window);
        let mut turn = Turn::News;
        if let Some(window) = window
            && self.roll_to(self.span_of(window, context.now)) == Turn::Anew
        {
            turn = Turn::Anew;
        }
        let window = self.span.window;
        for row in rows.into_iter().filter(|row| row.window == window) {
            self.adopt(context, row);
        }
        for (close, again) in std::mem::take(&mut self.early) {
            self.close_now(context, &close, again);
        }
        if std::mem::take(&mut self.early_reset) {
            self.reset(context);
        }
        turn
    }

    fn persisted(&mut self, context: &Context<'_>, outcome: Commit, wishes: &mut Wishes) -> Turn {
        let Some(Written { record, rows }) = self.link.written() else {
            return Turn::Same;
        };
        match outcome {
            Commit::Committed(mod_revision) => {
                let before = self.stored.0.as_ref().map(|before| before.limit);
                let limit = record.limit;
                self.stored = (Some(record), mod_revision);
                let window = self.span.window;
                for row in rows.into_iter().filter(|row| row.window == window) {
                    self.adopt(context, row);
                }
                match before {
                    Some(before) if before != limit => Turn::News,
                    Some(_) | None => Turn::Same,
                }
            }
            Commit::Conflict | Commit::Unknown | Commit::Lost => {
                self.link.read(wishes);
                Turn::Same
            }
        }
    }

    fn prepare(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        self.link.retry(context, wishes);
    }

    /// Writes what is to be granted, with all that is known and not durable; without a grant that waits a while,
    /// to be written once for many reports.
    fn debit(&mut self, context: &Context<'_>, lack: &Lack, wishes: &mut Wishes) {
        let Some(Force {
            units,
            revision,
            limit,
        }) = in_force(context, self.stored.0.as_ref())
        else {
            return;
        };
        if !self.link.is_ready() || !self.known {
            return;
        }
        let rows = self.rows_to_write(limit, &lack.wants, context.now);
        let window = self.span.window;
        let changed = self
            .stored
            .0
            .as_ref()
            .is_some_and(|record| record.window == window && record.limit != units);
        if rows.is_empty() && !changed {
            if let Some(at) = self.flush_at() {
                wishes.look(at);
            }
            return;
        }
        let record = Record {
            window,
            hwm: 0,
            limit: units,
            revision,
            epoch: context.epoch,
            promises: Promises::default(),
            charged: Vec::new(),
        };
        self.link.write(Written {
            record: record.clone(),
            rows: rows.clone(),
        });
        wishes.write = Some(Write {
            record,
            rows,
            expected_mod_revision: self.stored.1,
        });
    }

    /// All that processes have said, which would have been written a while later.
    fn last(&self, context: &Context<'_>) -> Option<Write> {
        let (Some(stored), expected_mod_revision) = &self.stored else {
            return None;
        };
        let changed = self.shares.values().filter(|share| !share.is_clean());
        let rows: Vec<_> = changed
            .take(MOST_ROWS)
            .map(|share| share.known.clone())
            .collect();
        let current = stored.window <= self.span.window;
        (current && !rows.is_empty() && self.link.is_ready()).then_some(Write {
            record: Record {
                window: self.span.window,
                epoch: context.epoch,
                ..stored.clone()
            },
            rows,
            expected_mod_revision: *expected_mod_revision,
        })
    }

    fn refills_at(&self, _context: &Context<'_>) -> OwnerTime {
        self.span.end
    }

    fn is_past(&self, now: OwnerTime) -> bool {
        let over = now >= self.span.end || now.since(self.touched) >= DROP_AFTER_MS;
        self.link.is_resting() && self.flush_at().is_none() && over
    }

    fn shown(&self, context: &Context<'_>) -> Option<Shown> {
        (self.known && context.now < self.span.end).then(|| Shown {
            window: Some((self.span.window, self.span.start, self.span.end)),
            hwm: self.charged,
            free: 0,
            rows: Some(
                self.shares
                    .values()
                    .map(|share| share.known.clone())
                    .collect(),
            ),
            forgiven: 0,
            pending: self.shares.values().any(Share::is_pending),
            promised: 0,
        })
    }
}
