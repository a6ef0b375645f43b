use std::sync::Arc;

use crate::owner::account::{Account, Context};
use crate::{Counter, Incarnation, OwnerTime, Window};

/// The live state of one counter, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterState {
    /// Which counter.
    pub counter: Counter,
    /// The limit in force.
    pub limit: u64,
    /// The window's label.
    pub window: Window,
    /// When it began.
    pub start: OwnerTime,
    /// When it ends.
    pub end: OwnerTime,
    /// The durable high-water mark.
    pub hwm: u64,
    /// Charged units that no node holds.
    pub free: u64,
    /// Whether (next to) nothing is left: idle units are called in and handed out one need at a time.
    pub exhausted: bool,
    /// Node processes that wait for units.
    pub waiting: usize,
    /// Who holds what.
    pub nodes: Vec<Holding>,
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
    /// Units that can never come back.
    pub spent: u64,
    /// `granted - returned - spent`; negative for debt.
    pub outstanding: i64,
    /// Requests that wait for units there, by its last report.
    pub waiting: u32,
}

impl Account {
    /// The account's live state; `None` while nothing is known of it.
    pub(super) fn snapshot(&self, context: &Context<'_>) -> Option<CounterState> {
        let limit = self.keeping.limit(context)?;
        let shown = self.keeping.shown(context.now)?;
        let nodes = self
            .rows
            .iter()
            .filter(|(_, row)| row.granted > 0 || row.waiters > 0);
        Some(CounterState {
            counter: self.counter.clone(),
            limit,
            window: shown.window,
            start: shown.start,
            end: shown.end,
            hwm: shown.hwm,
            free: shown.free,
            exhausted: self.supply.is_scarce(),
            waiting: self.tickets.len(),
            nodes: nodes
                .map(|(incarnation, row)| Holding {
                    node: row.node.clone(),
                    incarnation: *incarnation,
                    granted: row.granted,
                    returned: row.returned,
                    spent: row.spent,
                    outstanding: (row.granted - row.returned)
                        .cast_signed()
                        .saturating_sub_unsigned(row.spent),
                    waiting: row.waiters,
                })
                .collect(),
        })
    }
}
