use std::collections::{BTreeSet, VecDeque};

use crate::owner::few::Few;
use crate::owner::horizon::View;
use crate::owner::keeping::{self, Keeping, Totals, Turn};
use crate::owner::legacy::Legacy;
use crate::owner::part::{Holder, Parts};
use crate::owner::promised::promised;
use crate::owner::row::{Fit, Row};
use crate::owner::session::Sessions;
use crate::owner::terms::Restore;
use crate::owner::{Commit, Config, Effect, LedgerRow, Load, Record};
use crate::{
    Close, Counter, Epoch, Generation, Incarnation, LimitSpec, NodeAccount, NodeMessage, OwnerTime,
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
    /// What each of those who share the counter is sure of; nothing where they are equal.
    pub(super) shares: &'a [(Box<str>, u32)],
    /// How much of each window is promised ahead, in per cent.
    pub(super) promised: u32,
    /// Units that the limit is raised to for a while; 0 when it is not.
    pub(super) raised: u64,
    pub(super) restore: Restore,
    pub(super) horizon: View,
    /// What an earlier owner left word of, of a counter that has no record.
    pub(super) legacy: Option<&'a Legacy>,
}

impl Context<'_> {
    /// What policy says, with what it is raised to for a while.
    pub(super) fn spec_now(&self) -> Option<LimitSpec> {
        self.spec.map(|spec| LimitSpec {
            units: spec.units.max(self.raised),
            burst: spec.burst.max(self.raised),
            ..spec
        })
    }
}

/// What an account wants done.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Tell these the account's state.
    pub(super) tell: BTreeSet<Holder>,
    /// Read the key.
    pub(super) read: bool,
    pub(super) write: Option<Write>,
    /// Look again at that time at the latest.
    pub(super) look_at: Option<OwnerTime>,
    /// A record bears a later epoch than this owner's.
    pub(super) overtaken_by: Option<Epoch>,
}

/// Write the counter's key and these rows, if the key's modification revision still is that.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) record: Record,
    pub(super) rows: Vec<LedgerRow>,
    pub(super) expected_mod_revision: i64,
}

impl Write {
    pub(super) fn effect(self, counter: Counter) -> Effect {
        Effect::Persist {
            counter,
            record: self.record,
            rows: self.rows,
            expected_mod_revision: self.expected_mod_revision,
        }
    }
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
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) counter: Counter,
    pub(super) keeping: Box<dyn Keeping>,
    pub(super) rows: Few<Holder, Box<Row>>,
    /// Those who share the counter, where they are told apart.
    pub(super) parts: Parts,
    /// Holders that wait for units, oldest first; at most one ticket each.
    pub(super) tickets: VecDeque<Holder>,
    /// Orders what is said about `supply` and recalls.
    pub(super) version: u64,
    pub(super) supply: Supply,
    /// Whose tickets were refused in this step, and the need of each.
    pub(super) refused: Vec<(Holder, u64)>,
    /// Some row is recalled.
    pub(super) recalling: bool,
    /// News that units can be had again goes out then, not at once for each returned unit.
    pub(super) relief_at: Option<OwnerTime>,
    pub(super) relieved_at: OwnerTime,
    /// The lowest bound since it was last announced that one rose.
    pub(super) bound_told: u64,
    /// Sums over the rows: demand in units per second, idle units and those on their way.
    pub(super) demand: u64,
    pub(super) idle: u64,
    /// No row lapses before this.
    pub(super) lapses_at: OwnerTime,
    /// The entry among the owner's timers.
    pub(super) timer: Option<OwnerTime>,
}

impl Account {
    pub(super) fn new(counter: Counter, now: OwnerTime) -> Self {
        let keeping = keeping::of(&counter, now);
        // An account without windows may be dropped and begun anew within a term: what it says then must not
        // be taken for older than what it said before.
        let version = if keeping.grants_by_writing() {
            now.0
        } else {
            1
        };
        Self {
            keeping,
            counter,
            rows: Few::default(),
            parts: Parts::default(),
            tickets: VecDeque::new(),
            version,
            supply: Supply::Ample,
            refused: Vec::new(),
            recalling: false,
            relief_at: None,
            relieved_at: OwnerTime(0),
            bound_told: 0,
            demand: 0,
            idle: 0,
            lapses_at: OwnerTime(0),
            timer: None,
        }
    }

    /// Lets time pass, and begins anew where the keeping does.
    pub(super) fn roll(&mut self, context: &Context<'_>) {
        if self.keeping.roll(context) == Turn::Anew {
            self.begin(context);
        }
        if self.keeping.ends_at().is_none() && context.now >= self.lapses_at {
            self.lapse(context);
        }
    }

    /// Writes off what processes hold that were not heard of for the length of a lease (R4): it counts as
    /// spent now, and whatever is said of it is refused from now on, since their next row is of another
    /// generation.
    fn lapse(&mut self, context: &Context<'_>) {
        let Self {
            rows,
            keeping,
            tickets,
            idle,
            demand,
            ..
        } = self;
        let lease_ms = context.config.lease_ms;
        let ends_at = |row: &Row| row.alive.1.after(lease_ms);
        rows.retain(|holder, row| {
            let lives = context.now < ends_at(row);
            if !lives {
                keeping.spend(context.now, row.outstanding());
                tickets.retain(|waiting| waiting != holder);
                *idle = idle.saturating_sub(row.idle());
                *demand = demand.saturating_sub(row.demand);
            }
            lives
        });
        let next = rows.values().map(Box::as_ref).map(ends_at).min();
        self.lapses_at = next.unwrap_or(context.now.after(lease_ms));
        self.forget_parts(context.now);
    }

    /// Everything that was said of the units of an earlier window is void.
    fn begin(&mut self, context: &Context<'_>) {
        self.supply = Supply::Ample;
        self.recalling = false;
        self.relief_at = None;
        // Of very many who share it, most are not back.
        let fresh = |row: &Row| context.now.since(row.heard_at) <= DEMAND_FRESH_MS;
        self.rows.retain(|holder, row| {
            let back = holder.is_whole() || fresh(row);
            back && context.sessions.reachable(holder.incarnation, context)
        });
        let Self { rows, keeping, .. } = self;
        self.idle = 0;
        for (holder, row) in rows.iter_mut() {
            row.roll(context.now.since(row.heard_at) <= DEMAND_FRESH_MS);
            // It has that without a word.
            row.begin_with(promised(keeping.as_ref(), *holder));
            self.idle = self.idle.saturating_add(row.idle());
        }
        self.tickets.retain(|holder| self.rows.contains_key(holder));
        self.forget_parts(context.now);
        self.demand = self
            .rows
            .values()
            .fold(0, |sum: u64, row| sum.saturating_add(row.demand));
    }

    /// The row of a holder that speaks, which is a sign of life. None for a word that is too old to begin
    /// a row with: its lease would be over.
    fn meet(
        &mut self,
        context: &Context<'_>,
        holder: Holder,
        message: &NodeMessage,
    ) -> Option<&mut Row> {
        let Context { now, config, .. } = *context;
        let leased = self.keeping.ends_at().is_none();
        let newest = context.sessions.get(message.incarnation)?.t_node;
        let old = leased && newest.since(message.t_node) >= config.lease_ms;
        if !self.rows.contains_key(&holder) {
            if old {
                return None;
            }
            let generation = if leased {
                Generation::at(now)
            } else {
                Generation::FIRST
            };
            let mut row = Row::new(message.node.clone(), generation, (message.t_node, now));
            row.promised = promised(self.keeping.as_ref(), holder);
            self.rows.insert(holder, Box::new(row));
        }
        let row = self.rows.get_mut(&holder)?;
        // Beyond the horizon another owner may already count on the lease's end.
        if now < context.horizon.until {
            row.renew(message.t_node, now);
        }
        Some(row)
    }

    /// What a report speaks of.
    fn fit(&self, context: &Context<'_>, from: Holder, report: &NodeAccount) -> Fit {
        let generation = self.rows.get(&from).map(|row| row.generation);
        // A ledger outlives terms: its totals count whoever the owner was.
        let term = report.epoch == context.epoch || self.keeping.grants_by_writing();
        let ledger = term && Some(report.generation) == generation;
        let window = report.window == self.keeping.window();
        match (window, ledger, self.keeping.ends_at()) {
            (true, true, _) => Fit::Ledger,
            (true, false, Some(_)) => Fit::Window,
            (true, false, None) | (false, _, _) => Fit::Neither,
        }
    }

    /// Takes in a node's report. Totals count only for this very account: same window, epoch and
    /// generation. What the node wants counts always. Answers who spoke; none where nobody can be answered.
    pub(super) fn report(
        &mut self,
        context: &Context<'_>,
        message: &NodeMessage,
        report: &NodeAccount,
    ) -> Option<Holder> {
        let from = message.incarnation;
        let holder = self.enter(&report.counter, from)?;
        self.meet(context, holder, message)?;
        let fit = self.fit(context, holder, report);
        let row = self.rows.get_mut(&holder)?;
        if self.supply.is_scarce() && row.recalled.is_none() {
            row.recalled = Some((self.version, context.now));
        }
        let before = (row.idle(), row.demand);
        let silent_ms = context.now.since(row.heard_at);
        if let Some(ledger) = self.keeping.row(from) {
            row.adopt(ledger);
        }
        let mut spent_now = 0;
        if fit == Fit::Ledger {
            let (back, gone) = row.merge_totals(report);
            let back = back + row.take_back(report.promised_back);
            self.keeping.give_back(from, back);
            self.keeping.spend(context.now, gone);
            spent_now = gone;
        }
        let (returned, spent) = (row.returned, row.spent);
        self.keeping
            .report(context, (from, &message.node), Totals { returned, spent });
        // What an earlier owner was answered orders nothing here.
        if fit == Fit::Ledger && report.epoch == context.epoch {
            row.answer(report.answered);
        }
        row.merge_state(context.now, message.t_node, report, fit);
        let waits = row.need > 0;
        self.idle = self
            .idle
            .saturating_sub(before.0)
            .saturating_add(row.idle());
        self.demand = self
            .demand
            .saturating_sub(before.1)
            .saturating_add(row.demand);
        self.parts
            .note(context.now, holder, (report.demand, silent_ms), spent_now);
        if self.is_closed(from) {
            self.bury(from);
            return Some(holder);
        }
        let has_ticket = self.tickets.contains(&holder);
        match (waits, has_ticket) {
            (true, false) => self.tickets.push_back(holder),
            (false, true) => self.tickets.retain(|waiting| *waiting != holder),
            _ => {}
        }
        Some(holder)
    }

    /// Takes in what a read found.
    pub(super) fn loaded(&mut self, context: &Context<'_>, outcome: Load, wishes: &mut Wishes) {
        let turn = self.keeping.loaded(context, outcome, wishes);
        if turn == Turn::Anew {
            self.begin(context);
        }
        if turn != Turn::Same {
            self.adopt(context, wishes);
            self.note_promises();
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
            self.note_promises();
            wishes.tell.extend(self.rows.keys());
        }
        self.adopt(context, wishes);
    }

    /// Brings the rows up to a ledger that outlives terms: what was granted there goes out, and what the nodes
    /// have said meanwhile goes in.
    fn adopt(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        if !self.keeping.grants_by_writing() {
            return;
        }
        for (holder, row) in self.rows.iter_mut() {
            let before = (row.idle(), row.granted);
            if let Some(ledger) = self.keeping.row(holder.incarnation) {
                row.adopt(ledger);
            }
            let (returned, spent) = (row.returned, row.spent);
            let from = (holder.incarnation, &row.node);
            self.keeping
                .report(context, from, Totals { returned, spent });
            self.idle = self
                .idle
                .saturating_sub(before.0)
                .saturating_add(row.idle());
            if row.granted > before.1 {
                wishes.tell.insert(*holder);
            }
        }
        let holders: Vec<_> = self.rows.keys().copied().collect();
        for Holder { incarnation, .. } in holders {
            if self.is_closed(incarnation) {
                self.bury(incarnation);
            }
        }
    }

    /// Closes a dead process's share. Answers whether that is durable.
    pub(super) fn close(&mut self, context: &Context<'_>, close: &Close, again: bool) -> bool {
        let done = self.keeping.close(context, close, again);
        if self.is_closed(close.incarnation) {
            self.bury(close.incarnation);
        }
        done
    }

    pub(super) fn is_closed(&self, incarnation: Incarnation) -> bool {
        self.keeping.row(incarnation).is_some_and(|row| row.closed)
    }

    /// Nothing can be had from a closed process, and nothing is given to it.
    fn bury(&mut self, incarnation: Incarnation) {
        // What is kept by rows has no parts.
        let buried = Holder::whole(incarnation);
        if let Some(row) = self.rows.remove(&buried) {
            self.idle = self.idle.saturating_sub(row.idle());
            self.demand = self.demand.saturating_sub(row.demand);
        }
        self.tickets.retain(|holder| *holder != buried);
    }

    /// Nothing said about this account matters any more, and nobody waits. Rows of kinds without windows
    /// bear generations that must not be forgotten before they lapse.
    pub(super) fn is_over(&self, now: OwnerTime) -> bool {
        let free = self.rows.is_empty() || self.keeping.ends_at().is_some();
        free && self.tickets.is_empty() && self.keeping.is_past(now)
    }
}
