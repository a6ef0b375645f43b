use std::sync::Arc;

use crate::owner::account::{Account, Context};
use crate::owner::part::Holder;
use crate::owner::row::Row;
use crate::owner::{LedgerRow, Raise, Sharer};
use crate::{Counter, Incarnation, OwnerTime, Window};

/// The live state of one counter, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterState {
    /// Which counter.
    pub counter: Counter,
    /// The limit in force, with what it is raised to for a while.
    pub limit: u64,
    /// What it is raised to for a while, while it is.
    pub raise: Option<Raise>,
    /// A reset or a closing was asked for and is not in force, or not durable, yet.
    pub pending: bool,
    /// While next to nothing is left: when there will be more, if that is ever.
    pub admits_at: Option<OwnerTime>,
    /// The window's label, its start and its end, for kinds that have windows.
    pub window: Option<(Window, OwnerTime, OwnerTime)>,
    /// What this owner may hand out of: the durable high-water mark where there is one, else the limit.
    pub hwm: u64,
    /// Units of that which can be handed out.
    pub free: u64,
    /// Units of the window that processes are promised, whether or not they use them.
    pub promised: u64,
    /// Units that can never come back and still count.
    pub spent: u64,
    /// Whether (next to) nothing is left: idle units are called in and handed out one need at a time.
    pub exhausted: bool,
    /// Whether each request at a node means a question: next to nothing is left, or the limit is too small to
    /// be lent ahead.
    pub per_request: bool,
    /// Node processes that wait for units.
    pub waiting: usize,
    /// Who holds what.
    pub nodes: Vec<Holding>,
    /// Those who use most of it, where they are told apart, most first: ten at most.
    pub sharers: Vec<Sharer>,
    /// The books of a counter that is kept by rows.
    pub books: Option<Books>,
}

/// How a counter that is kept by rows stands. At all times
/// settled + outstanding + suspense + free = limit + debt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    /// Spent for good, as reported.
    pub settled: u64,
    /// Held by processes that are alive.
    pub outstanding: u64,
    /// Charged for processes that are dead or out of reach, and perhaps not spent.
    pub suspense: u64,
    /// Can still be granted.
    pub free: u64,
    /// Charged beyond the limit: overruns, or a limit that was lowered.
    pub debt: u64,
}

/// One node process's part of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The node's name.
    pub node: Arc<str>,
    /// The process.
    pub incarnation: Incarnation,
    /// Units granted in this window by this owner.
    pub granted: u64,
    /// Units it gave back.
    pub returned: u64,
    /// Units that can never come back, whether or not resets have forgiven them.
    pub spent: u64,
    /// `granted - returned - spent`; negative for debt.
    pub outstanding: i64,
    /// Requests that wait for units there, by its last report.
    pub waiting: u32,
    /// What its closing has freed.
    pub freed: u64,
    /// Charged for it and perhaps not spent, while it is dead or out of reach. Only of counters kept by rows.
    pub suspense: u64,
    /// It is dead, and its share is closed.
    pub closed: bool,
    /// It was heard lately and its stream is open.
    pub alive: bool,
}

impl Books {
    /// By how much both sides of the identity differ: 0, or units were lost or invented.
    #[must_use]
    pub fn imbalance(&self, limit: u64) -> u64 {
        let held = self.settled + self.outstanding + self.suspense + self.free;
        held.abs_diff(limit + self.debt)
    }

    /// Adds another counter's books.
    pub fn add(&mut self, other: &Self) {
        self.settled += other.settled;
        self.outstanding += other.outstanding;
        self.suspense += other.suspense;
        self.free += other.free;
        self.debt += other.debt;
    }

    /// Adds up the rows. What is free is what is handed out by, so that the sum is a check and not a definition.
    fn of(rows: &[LedgerRow], (free, debt): (u64, u64), context: &Context<'_>) -> Self {
        let mut books = Self {
            free,
            debt,
            ..Self::default()
        };
        for row in rows {
            let open = row.open();
            books.settled += row.counted();
            if is_dead(row, context) {
                books.suspense += open;
            } else {
                books.outstanding += open;
            }
        }
        books
    }
}

fn is_dead(row: &LedgerRow, context: &Context<'_>) -> bool {
    row.closed || !context.sessions.reachable(row.incarnation, context)
}

impl Account {
    /// The account's live state; `None` while nothing is known of it.
    pub(super) fn snapshot(&self, context: &Context<'_>) -> Option<CounterState> {
        let limit = self.keeping.limit(context)?;
        let shown = self.keeping.shown(context)?;
        let spent = match (&shown.rows, shown.window) {
            (Some(rows), _) => rows.iter().map(LedgerRow::counted).sum(),
            (None, Some(_)) => {
                let spent: u64 = self.rows.values().map(|row| row.spent).sum();
                spent.saturating_sub(shown.forgiven)
            }
            (None, None) => {
                let out = self.rows.values().map(|row| row.outstanding()).sum();
                shown.hwm.saturating_sub(shown.free).saturating_sub(out)
            }
        };
        let waiting = |of: Incarnation| {
            let row = self.rows.get(&Holder::whole(of));
            row.map_or(0, |row| row.waiters)
        };
        let nodes = match &shown.rows {
            Some(rows) => rows
                .iter()
                .map(|row| Holding::of_ledger(row, waiting(row.incarnation), context))
                .collect(),
            None => self.holdings(context),
        };
        Some(CounterState {
            counter: self.counter.clone(),
            limit,
            raise: None,
            pending: shown.pending,
            admits_at: self.admits_at(context),
            window: shown.window,
            hwm: shown.hwm,
            free: shown.free,
            promised: shown.promised,
            spent,
            exhausted: self.supply.is_scarce(),
            per_request: self.supply.is_scarce() || self.is_small(limit),
            waiting: self.tickets.len(),
            sharers: self.sharers(context),
            books: self.books(context).map(|(_, books)| books),
            nodes,
        })
    }
}

impl Account {
    /// What processes hold, of all parts together.
    fn holdings(&self, context: &Context<'_>) -> Vec<Holding> {
        let mut holdings: Vec<Holding> = Vec::new();
        let rows = self.rows.iter();
        for (holder, row) in rows.filter(|(_, row)| row.granted > 0 || row.waiters > 0) {
            let holding = Holding::of_row(holder.incarnation, row, context);
            let same = |other: &&mut Holding| other.incarnation == holding.incarnation;
            match holdings.iter_mut().find(same) {
                Some(other) => other.add(&holding),
                None => holdings.push(holding),
            }
        }
        holdings
    }

    /// While next to nothing is left: when there will be more.
    fn admits_at(&self, context: &Context<'_>) -> Option<OwnerTime> {
        if !self.supply.is_scarce() {
            return None;
        }
        if self.counter.kind().has_windows() {
            return self.keeping.ends_at();
        }
        let one_more = self.keeping.free_total(context).saturating_add(1);
        self.keeping.comes_at(context, one_more)
    }

    /// The limit in force and the books, of a counter that is kept by rows.
    pub(super) fn books(&self, context: &Context<'_>) -> Option<(u64, Books)> {
        let limit = self.keeping.limit(context)?;
        let shown = self.keeping.shown(context)?;
        let debt = shown.hwm.saturating_sub(limit);
        let free = self.keeping.free_total(context);
        let rows = shown.rows?;
        Some((limit, Books::of(&rows, (free, debt), context)))
    }
}

impl Holding {
    fn of_row(incarnation: Incarnation, row: &Row, context: &Context<'_>) -> Self {
        Self {
            node: row.node.clone(),
            incarnation,
            granted: row.granted,
            returned: row.returned,
            spent: row.spent,
            outstanding: (row.granted - row.returned)
                .cast_signed()
                .saturating_sub_unsigned(row.spent),
            waiting: row.waiters,
            freed: 0,
            suspense: 0,
            closed: false,
            alive: context.sessions.reachable(incarnation, context),
        }
    }

    /// Adds what the same process holds of another part.
    fn add(&mut self, other: &Self) {
        self.granted += other.granted;
        self.returned += other.returned;
        self.spent += other.spent;
        self.outstanding = self.outstanding.saturating_add(other.outstanding);
        self.waiting = self.waiting.saturating_add(other.waiting);
    }

    fn of_ledger(row: &LedgerRow, waiting: u32, context: &Context<'_>) -> Self {
        let dead = is_dead(row, context);
        let kept = row.granted - row.returned - row.freed;
        Self {
            node: row.node.clone(),
            incarnation: row.incarnation,
            granted: row.granted,
            returned: row.returned,
            spent: row.settled,
            outstanding: kept.cast_signed().saturating_sub_unsigned(row.settled),
            waiting,
            freed: row.freed,
            suspense: if dead { row.open() } else { 0 },
            closed: row.closed,
            alive: context.sessions.reachable(row.incarnation, context),
        }
    }
}
