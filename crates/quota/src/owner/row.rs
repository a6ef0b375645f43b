use std::sync::Arc;

use crate::{NodeAccount, NodeTime, OwnerTime};

/// What a report speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// The account's window and the owner's own epoch: the row's very ledger.
    Ledger,
    /// The account's window, but what another owner granted.
    Window,
    /// Another window.
    Neither,
}

/// What the owner knows of one node process's part of an account.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) node: Arc<str>,
    /// Totals of the current window in this epoch (R3).
    pub(super) granted: u64,
    pub(super) seen: u64,
    pub(super) returned: u64,
    pub(super) spent: u64,
    /// The node's state as of `t_node`; older messages do not overwrite it.
    t_node: NodeTime,
    pub(super) heard_at: OwnerTime,
    pub(super) need: u64,
    pub(super) demand: u64,
    pub(super) avail: i64,
    pub(super) waiters: u32,
    answered: u64,
    /// Since which version, and when, the node is asked to keep nothing, while that stands.
    pub(super) recalled: Option<(u64, OwnerTime)>,
}

impl Row {
    pub(super) fn new(node: Arc<str>) -> Self {
        Self {
            node,
            granted: 0,
            seen: 0,
            returned: 0,
            spent: 0,
            t_node: NodeTime(0),
            heard_at: OwnerTime(0),
            need: 0,
            demand: 0,
            avail: 0,
            waiters: 0,
            answered: 0,
            recalled: None,
        }
    }

    /// Forgets the totals of a window that is over. What the node wants stays of interest, if it said
    /// so lately.
    pub(super) fn roll(&mut self, fresh: bool) {
        if !fresh {
            self.demand = 0;
        }
        self.granted = 0;
        self.seen = 0;
        self.returned = 0;
        self.spent = 0;
        self.avail = 0;
        self.answered = 0;
        self.recalled = None;
    }

    /// Takes in totals of this window, epoch and generation. Answers how many units came back.
    ///
    /// A node cannot give back what it was not given: a report that says so is cut to `granted`, so
    /// that whatever a node says, `free` never exceeds what was debited.
    pub(super) fn merge_totals(&mut self, report: &NodeAccount) -> u64 {
        let returned = report.returned.min(self.granted).max(self.returned);
        let back = returned - self.returned;
        self.returned = returned;
        self.seen = self.seen.max(report.seen.min(self.granted));
        self.spent = self.spent.max(report.spent);
        back
    }

    /// Takes in the node's state, unless a later one is known.
    pub(super) fn merge_state(
        &mut self,
        now: OwnerTime,
        t_node: NodeTime,
        report: &NodeAccount,
        fit: Fit,
    ) {
        if t_node < self.t_node {
            return;
        }
        self.t_node = t_node;
        self.heard_at = now;
        self.demand = report.demand;
        self.waiters = report.waiters;
        self.avail = if fit == Fit::Neither { 0 } else { report.avail };
        // What is on its way to the node answers part of its need.
        let seen = if fit == Fit::Ledger { report.seen } else { 0 };
        self.need = report
            .need
            .saturating_sub(self.granted.saturating_sub(seen));
        if fit == Fit::Ledger {
            self.answered = self.answered.max(report.answered);
        }
    }

    /// Units the node may still use or give back.
    pub(super) fn outstanding(&self) -> u64 {
        self.granted
            .saturating_sub(self.returned)
            .saturating_sub(self.spent)
    }

    /// Units on their way to the node.
    pub(super) fn in_flight(&self) -> u64 {
        self.granted - self.seen
    }

    /// Idle units as last reported plus those on their way.
    pub(super) fn idle(&self) -> u64 {
        self.avail
            .saturating_add_unsigned(self.in_flight())
            .max(0)
            .unsigned_abs()
    }

    /// Whether nothing idle can be left there: the recall was obeyed and no grant is on its way.
    pub(super) fn is_dry(&self) -> bool {
        let obeyed = self
            .recalled
            .is_some_and(|(version, _)| self.answered >= version);
        self.outstanding() == 0 || (obeyed && self.in_flight() == 0)
    }
}
