use std::sync::Arc;

use crate::{Close, Incarnation, Window};

/// What is durable of one process's share of a counter that is kept by rows. Every figure only rises.
///
/// Rows are per process because nodes report totals: one sum per counter could not tell a repeated report
/// from a new one after a takeover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The window it belongs to.
    pub window: Window,
    /// Whose share it is.
    pub incarnation: Incarnation,
    /// The node's name, for people.
    pub node: Arc<str>,
    /// Units granted. Writing this is the grant: the node hears of it afterwards.
    pub granted: u64,
    /// Units the process gave back.
    pub returned: u64,
    /// Units the process spent for good. More than it was granted where requests used more than was reserved.
    pub settled: u64,
    /// Units that its closing has freed.
    pub freed: u64,
    /// Units of those settled that no longer count: what the counter's resets have forgiven.
    pub forgiven: u64,
    /// The process is dead: nothing is granted to it any more, and what it returns no longer counts.
    pub closed: bool,
}

impl LedgerRow {
    /// A share of nothing.
    #[must_use]
    pub fn new(window: Window, incarnation: Incarnation, node: Arc<str>) -> Self {
        Self {
            window,
            incarnation,
            node,
            granted: 0,
            returned: 0,
            settled: 0,
            freed: 0,
            forgiven: 0,
            closed: false,
        }
    }

    /// Units that the limit is charged for this share: what the process may still use or has used, except for what
    /// was forgiven.
    #[must_use]
    pub fn charge(&self) -> u64 {
        self.counted() + self.open()
    }

    /// Units settled that count.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.settled - self.forgiven
    }

    /// Units charged that are not settled: the process may still use them.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.kept().saturating_sub(self.settled)
    }

    /// Units granted that have not come back, neither returned nor freed.
    fn kept(&self) -> u64 {
        self.granted
            .saturating_sub(self.returned)
            .saturating_sub(self.freed)
    }

    /// Units spent beyond what was granted: granting them costs the limit nothing, since they are charged.
    #[must_use]
    pub fn debt(&self) -> u64 {
        if self.closed {
            return 0;
        }
        self.settled.saturating_sub(self.kept())
    }

    /// Takes in a process's totals. What a closed one returns is not counted: its closing has freed that. Nobody
    /// can return more than was granted.
    pub(super) fn merge(&mut self, returned: u64, settled: u64) {
        if !self.closed {
            self.returned = self.returned.max(returned.min(self.granted));
        }
        self.settled = self.settled.max(settled);
    }

    /// Forgives all that is settled. What is out stays charged, and a process's totals go on from where they are.
    pub(super) fn reset(&mut self) {
        self.forgiven = self.settled;
    }

    /// Closes the share. The first word is the one that frees, unless an operator vouches for another
    /// (`again`); what was spent counts whoever says it.
    pub(super) fn close(&mut self, close: &Close, again: bool) {
        self.settled = self.settled.max(close.settled);
        if self.closed && !again {
            return;
        }
        let used = close.mark.max(self.settled);
        if !self.closed {
            // Overruns may have brought its use beyond what it was granted, with requests still running.
            self.granted += used.saturating_sub(self.kept());
        }
        self.closed = true;
        self.freed += self.kept().saturating_sub(used);
    }

    /// Takes in the row as the store has it; what is known beyond it stays.
    pub(super) fn adopt(&mut self, stored: &Self) {
        let fresh = stored.granted.saturating_sub(self.granted);
        self.granted += fresh;
        self.settled = self.settled.max(stored.settled);
        self.forgiven = self.forgiven.max(stored.forgiven);
        if stored.closed {
            // Whoever closed it knew what had come back by then.
            self.returned = stored.returned;
            self.closed = true;
            let most = self.granted.saturating_sub(self.returned);
            self.freed = self.freed.max(stored.freed).min(most);
        } else {
            self.returned = self.returned.max(stored.returned);
            if self.closed {
                // A grant that was under way when it was closed: the dead cannot take it.
                self.freed += fresh;
            }
        }
    }
}

#[cfg(test)]
mod tests;
