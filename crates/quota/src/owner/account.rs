use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::owner::keeping::{self, Keeping, Turn};
use crate::owner::row::{Fit, Row};
use crate::owner::session::Sessions;
use crate::owner::{Commit, Config, Load, Record};
use crate::{
    Counter, Epoch, Incarnation, LimitSpec, NodeAccount, NodeMessage, OwnerAccount, OwnerTime,
};

/// A node's word on its demand counts for this long, in milliseconds.
pub(super) const DEMAND_FRESH_MS: u64 = 2_000;

/// What an account needs to know of the world at one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) now: OwnerTime,
    pub(super) epoch: Epoch,
    pub(super) config: &'a Config,
    pub(super) sessions: &'a Sessions,
    /// What policy says of the counter's limit, if it has it.
    pub(super) spec: Option<LimitSpec>,
}

/// What an account wants done.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Tell these processes the account's state.
    pub(super) tell: BTreeSet<Incarnation>,
    /// Read the key.
    pub(super) read: bool,
    /// Write the key, if its modification revision still is this.
    pub(super) write: Option<(Record, i64)>,
    /// Look again at that time at the latest.
    pub(super) look_at: Option<OwnerTime>,
    /// A record bears a later epoch than this owner's.
    pub(super) overtaken_by: Option<Epoch>,
}

impl Wishes {
    pub(super) fn look(&mut self, at: OwnerTime) {
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// How the units of a window stand against what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    /// Nobody was refused.
    Ample,
    /// A large request was refused: no more can be had than what is `free` and what is `idle` at
    /// nodes. Who needs less goes on as before.
    Bounded { free: u64, idle: u64 },
    /// Next to nothing is left, and this can be had at most: holders keep nothing idle, and each
    /// request gets what it needs and no more.
    Scarce(u64),
}

impl Supply {
    pub(super) fn is_scarce(self) -> bool {
        matches!(self, Self::Scarce(_))
    }
}

/// One counter, as its owner sees it: how its charge is kept, and who shares it.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) counter: Counter,
    pub(super) keeping: Box<dyn Keeping>,
    /// Boxed, since a map of one has room for eleven.
    pub(super) rows: BTreeMap<Incarnation, Box<Row>>,
    /// Processes that wait for units, oldest first; at most one ticket each.
    pub(super) tickets: VecDeque<Incarnation>,
    /// Orders what is said about `supply` and recalls.
    pub(super) version: u64,
    pub(super) supply: Supply,
    /// Whose tickets were refused in this step.
    pub(super) refused: Vec<Incarnation>,
    /// Some row is recalled.
    pub(super) recalling: bool,
    /// News that units can be had again goes out then, not at once for each returned unit.
    pub(super) relief_at: Option<OwnerTime>,
    pub(super) relieved_at: OwnerTime,
    /// Sums over the rows: demand in units per second, idle units and those on their way.
    pub(super) demand: u64,
    pub(super) idle: u64,
    /// The entry among the owner's timers.
    pub(super) timer: Option<OwnerTime>,
}

impl Account {
    pub(super) fn new(counter: Counter, now: OwnerTime) -> Self {
        Self {
            keeping: keeping::of(&counter, now),
            counter,
            rows: BTreeMap::new(),
            tickets: VecDeque::new(),
            version: 1,
            supply: Supply::Ample,
            refused: Vec::new(),
            recalling: false,
            relief_at: None,
            relieved_at: OwnerTime(0),
            demand: 0,
            idle: 0,
            timer: None,
        }
    }

    /// Lets time pass, and begins anew where the keeping does.
    pub(super) fn roll(&mut self, context: &Context<'_>) {
        if self.keeping.roll(context) == Turn::Anew {
            self.begin(context);
        }
    }

    /// Everything that was said of the units of an earlier window is void.
    fn begin(&mut self, context: &Context<'_>) {
        self.supply = Supply::Ample;
        self.recalling = false;
        self.relief_at = None;
        self.rows
            .retain(|incarnation, _| context.sessions.reachable(*incarnation, context));
        for row in self.rows.values_mut() {
            row.roll(context.now.since(row.heard_at) <= DEMAND_FRESH_MS);
        }
        self.tickets
            .retain(|incarnation| self.rows.contains_key(incarnation));
        self.idle = 0;
        self.demand = self
            .rows
            .values()
            .fold(0, |sum: u64, row| sum.saturating_add(row.demand));
    }

    /// Takes in a node's report. Totals count only for this very account: same window, epoch and
    /// generation. What the node wants counts always.
    pub(super) fn report(
        &mut self,
        context: &Context<'_>,
        message: &NodeMessage,
        report: &NodeAccount,
    ) {
        let row = self
            .rows
            .entry(message.incarnation)
            .or_insert_with(|| Box::new(Row::new(message.node.clone())));
        if self.supply.is_scarce() && row.recalled.is_none() {
            row.recalled = Some((self.version, context.now));
        }
        let fit = self.keeping.fit(context, report);
        let before = (row.idle(), row.demand);
        if fit == Fit::Ledger {
            let back = row.merge_totals(report);
            self.keeping.give_back(message.incarnation, back);
        }
        row.merge_state(context.now, message.t_node, report, fit);
        self.idle = self
            .idle
            .saturating_sub(before.0)
            .saturating_add(row.idle());
        self.demand = self
            .demand
            .saturating_sub(before.1)
            .saturating_add(row.demand);
        let waits = row.need > 0;
        let has_ticket = self.tickets.contains(&message.incarnation);
        match (waits, has_ticket) {
            (true, false) => self.tickets.push_back(message.incarnation),
            (false, true) => self.tickets.retain(|holder| *holder != message.incarnation),
            _ => {}
        }
    }

    /// Takes in what a read found.
    pub(super) fn loaded(&mut self, context: &Context<'_>, outcome: Load, wishes: &mut Wishes) {
        let turn = self.keeping.loaded(context, outcome, wishes);
        if turn == Turn::Anew {
            self.begin(context);
        }
        if turn != Turn::Same {
            wishes.tell.extend(self.rows.keys());
        }
    }

    /// Takes in what became of a write.
    pub(super) fn persisted(
        &mut self,
        context: &Context<'_>,
        outcome: Commit,
        wishes: &mut Wishes,
    ) {
        if self.keeping.persisted(context, outcome, wishes) != Turn::Same {
            wishes.tell.extend(self.rows.keys());
        }
    }

    /// The account's state towards one process; none while nothing is known of the limit.
    pub(super) fn tell(&self, context: &Context<'_>, to: Incarnation) -> Option<OwnerAccount> {
        let limit = self.keeping.limit(context)?;
        let row = self.rows.get(&to)?;
        let received_at = context.sessions.get(to)?.received_at;
        let left = self.keeping.free_total(context).saturating_add(self.idle);
        Some(OwnerAccount {
            counter: self.counter.clone(),
            window: self.keeping.window(),
            generation: self.keeping.generation(),
            granted: row.granted,
            // One millisecond less, because the receipt was read with that much of a step.
            rem_ms: self.keeping.lasts_ms(received_at.after(1)),
            version: self.version,
            exhausted_above: self.bound(to, row),
            keep: row.recalled.map(|_| 0),
            limit,
            remaining: left.min(limit),
        })
    }

    /// The most that a node can be given, where that is to be told.
    fn bound(&self, to: Incarnation, row: &Row) -> Option<u64> {
        match self.supply {
            Supply::Ample => None,
            Supply::Scarce(above) => Some(above),
            // What is idle elsewhere by its last report could not be had for it.
            Supply::Bounded { free, .. } if self.refused.contains(&to) => Some(free),
            // Whoever has a ticket will be given its need or refused; until then it is told none.
            Supply::Bounded { .. } if row.need > 0 => None,
            Supply::Bounded { free, idle } => {
                Some(free.saturating_add(idle.saturating_sub(row.idle())))
            }
        }
    }

    /// Nothing said about this account matters any more, and nobody waits.
    pub(super) fn is_over(&self, now: OwnerTime) -> bool {
        self.tickets.is_empty() && self.keeping.is_past(now)
    }
}
