use std::sync::Arc;

use crate::owner::LedgerRow;
use crate::{Generation, NodeAccount, NodeTime, OwnerTime};

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

/// A node's own words, kept for a ledger that is not read yet.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    need: u64,
    seen: u64,
    returned: u64,
}

/// What the owner knows of one node process's part of an account.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) node: Arc<str>,
    /// Told from that of an earlier row of the process, whose units were written off (R4).
    pub(super) generation: Generation,
    /// The newest message that counts as a sign of life: the node's time in it, and its receipt.
    pub(super) alive: (NodeTime, OwnerTime),
    /// Totals of the current window in this epoch (R3).
    pub(super) granted: u64,
    pub(super) seen: u64,
    pub(super) returned: u64,
    pub(super) spent: u64,
    /// Units of the window that the process is promised besides, and what it gave back of them in this epoch.
    pub(super) promised: u64,
    promised_back: u64,
    /// The node's state as of `t_node`; older messages do not overwrite it.
    t_node: NodeTime,
    pub(super) heard_at: OwnerTime,
    pub(super) need: u64,
    pub(super) demand: u64,
    pub(super) avail: i64,
    pub(super) waiters: u32,
    answered: u64,
    /// What the latest report said it needs, and had seen by then, whatever this owner knew; and the highest
    /// total it ever said it gave back.
    said: Said,
    /// Since which version, and when, the node is asked to keep nothing, while that stands.
    pub(super) recalled: Option<(u64, OwnerTime)>,
    /// It was refused because others who share the counter want what is left, and that stands.
    pub(super) over_share: bool,
}

impl Row {
    pub(super) fn new(
        node: Arc<str>,
        generation: Generation,
        alive: (NodeTime, OwnerTime),
    ) -> Self {
        Self {
            node,
            generation,
            alive,
            granted: 0,
            seen: 0,
            returned: 0,
            spent: 0,
            promised: 0,
            promised_back: 0,
            t_node: NodeTime(0),
            heard_at: OwnerTime(0),
            need: 0,
            demand: 0,
            avail: 0,
            waiters: 0,
            answered: 0,
            said: Said::default(),
            recalled: None,
            over_share: false,
        }
    }

    /// Notes a sign of life. One that was overtaken is none: the node would not know how long it lasts.
    pub(super) fn renew(&mut self, t_node: NodeTime, now: OwnerTime) {
        if t_node > self.alive.0 {
            self.alive = (t_node, now);
        }
    }

    /// Milliseconds that a lease of that length still lasts at the node, counted from the receipt of its
    /// message of `t_node`, which need not have spoken of this account: no longer than from the node's
    /// own word on it, though the two clocks drift.
    pub(super) fn lease_left(&self, t_node: NodeTime, lease_ms: u64) -> u64 {
        let since = t_node.since(self.alive.0);
        lease_ms.saturating_sub(since + since.div_ceil(64) + 1)
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
        (self.promised, self.promised_back) = (0, 0);
        self.avail = 0;
        self.answered = 0;
        self.said = Said::default();
        self.recalled = None;
        self.over_share = false;
    }

    /// Takes in totals of this window, epoch and generation. Answers how many units came back, and how
    /// many cannot any more.
    ///
    /// A node cannot give back what it was not given, or has spent: a report that says so is cut, so that
    /// whatever a node says, no more comes back than went out.
    pub(super) fn merge_totals(&mut self, report: &NodeAccount) -> (u64, u64) {
        self.said.returned = self.said.returned.max(report.returned);
        let gone_before = self.gone();
        self.spent = self.spent.max(report.spent);
        let gone = self.gone();
        let returned = report.returned.min(self.granted - gone).max(self.returned);
        let back = returned - self.returned;
        self.returned = returned;
        self.seen = self.seen.max(report.seen.min(self.granted));
        (back, gone - gone_before)
    }

    /// Begins a window of which the process has so many units already.
    pub(super) fn begin_with(&mut self, promised: u64) {
        self.promised = promised;
        self.avail = i64::try_from(promised).unwrap_or(i64::MAX);
    }

    /// Takes in how many units the process gave back of those that it is promised. Answers how many are new.
    pub(super) fn take_back(&mut self, promised_back: u64) -> u64 {
        let all = promised_back.min(self.promised).max(self.promised_back);
        let back = all - self.promised_back;
        self.promised_back = all;
        back
    }

    /// Notes a grant. Answers how many units of it are gone already, because they pay a debt.
    pub(super) fn grant(&mut self, units: u64) -> u64 {
        let gone_before = self.gone();
        self.granted += units;
        self.gone() - gone_before
    }

    /// Of the units that went out, those that cannot come back.
    fn gone(&self) -> u64 {
        self.spent.min(self.granted - self.returned)
    }

    /// Takes over what a ledger that outlives terms has of this process: what is granted there is on its way.
    pub(super) fn adopt(&mut self, ledger: &LedgerRow) {
        self.granted = self.granted.max(ledger.granted);
        self.returned = self.returned.max(ledger.returned);
        self.spent = self.spent.max(ledger.settled);
        let Said {
            need,
            seen,
            returned,
        } = self.said;
        self.seen = self.seen.max(seen.min(self.granted));
        self.returned = self.returned.max(returned.min(self.granted));
        if self.need > 0 {
            self.need = need.saturating_sub(self.granted.saturating_sub(seen));
        }
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
        (self.said.need, self.said.seen) = (report.need, seen);
        self.need = report
            .need
            .saturating_sub(self.granted.saturating_sub(seen));
    }

    /// Takes in which version of what this owner said the node has obeyed.
    pub(super) fn answer(&mut self, version: u64) {
        self.answered = self.answered.max(version);
    }

    /// Units the node may still use or give back.
    pub(super) fn outstanding(&self) -> u64 {
        let promised = self.promised.saturating_sub(self.promised_back);
        promised + self.granted - self.returned - self.gone()
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
