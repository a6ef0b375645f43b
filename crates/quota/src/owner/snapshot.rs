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
    /// The window's label, its start and its end, for kinds that have windows.
    pub window: Option<(Window, OwnerTime, OwnerTime)>,
    /// What this owner may hand out of: the durable high-water mark where there is one, else the limit.
    pub hwm: u64,
    /// Units of that which can be handed out.
    pub free: u64,
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
        let shown = self.keeping.shown(context)?;
        let spent = match shown.window {
            Some(_) => self.rows.values().map(|row| row.spent).sum(),
            None => {
                let out = self.rows.values().map(|row| row.outstanding()).sum();
                shown.hwm.saturating_sub(shown.free).saturating_sub(out)
            }
        };
        let nodes = self
            .rows
            .iter()
            .filter(|(_, row)| row.granted > 0 || row.waiters > 0);
        Some(CounterState {
            counter: self.counter.clone(),
            limit,
            window: shown.window,
            hwm: shown.hwm,
            free: shown.free,
            spent,
            exhausted: self.supply.is_scarce(),
            per_request: self.supply.is_scarce() || self.is_small(limit),
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
