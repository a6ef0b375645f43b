//! Handing units out: tickets, blocks, recall, exhaustion.

use std::cmp::Reverse;

use crate::owner::account::{Account, Context, DEMAND_FRESH_MS, Supply, Wishes};
use crate::owner::block::{Situation, block};
use crate::owner::keeping::Lack;
use crate::owner::part::Holder;
use crate::owner::row::Row;
use crate::{Generation, Incarnation, NodeTime, OwnerTime};

/// How long news that units can be had again waits for more of its kind at most, in milliseconds.
const RELIEF_EVERY_MS: u64 = 20;

/// How a recall stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recall {
    /// Somebody has not answered yet; look again then.
    Until(OwnerTime),
    /// Nobody can give anything.
    Dry,
}

impl Account {
    /// Does everything that can be done now: called after whatever changed the account.
    pub(super) fn work(
        &mut self,
        context: &Context<'_>,
        reporter: Option<Holder>,
        wishes: &mut Wishes,
    ) {
        self.keeping.prepare(context, wishes);
        if context.restore.frozen {
            // Closings become durable, and nothing goes out.
            return self.keeping.debit(context, &Lack::default(), wishes);
        }
        let Some(limit) = self.keeping.limit(context) else {
            return;
        };
        self.refused.clear();
        self.share_out(context);
        self.cut_back(context, limit, wishes);
        self.ask_returned(context, wishes);
        self.rebound(context, limit);
        let version = self.version;
        let head = self.serve(context, limit, wishes);
        // Somebody was refused just now: not the moment to give more than is asked for.
        let calm = self.version == version;
        if calm {
            self.top_up(context, reporter, wishes);
        }
        let demand = self.demand;
        let wants = self.wants(context, reporter, calm);
        let lack = Lack {
            head: head.map(|(holder, units)| (holder.incarnation, units)),
            demand,
            wants,
            members: self.members(context),
        };
        self.keeping.debit(context, &lack, wishes);
        self.end_recall();
        self.relieve(context, limit, wishes);
        self.relieve_shares(context, wishes);
        self.look_ahead(context, wishes);
    }

    /// Sees to it that new units are with the nodes that will want them as soon as there are any.
    fn look_ahead(&self, context: &Context<'_>, wishes: &mut Wishes) {
        let refills_at = self.keeping.refills_at(context);
        if self.keeping.ends_at().is_some() {
            if self.demand > 0 {
                wishes.look(refills_at);
            }
        } else if self.supply.is_scarce() || !self.tickets.is_empty() {
            // Where units come one by one, not for each.
            wishes.look(refills_at.max(context.now.after(self.relief_every_ms())));
            wishes.look(self.lapses_at);
        }
    }

    /// News that units can be had again goes out at most this often, in milliseconds.
    fn relief_every_ms(&self) -> u64 {
        let kind = self.counter.kind();
        if kind.is_windowed() {
            RELIEF_EVERY_MS
        } else {
            // What waits for the news is lost to the window.
            (kind.window_ms() / 250).clamp(1, RELIEF_EVERY_MS)
        }
    }

    /// Calls everything idle back when a lowered limit is below what is out already.
    fn cut_back(&mut self, context: &Context<'_>, limit: u64, wishes: &mut Wishes) {
        if self.keeping.is_over(context) && !self.supply.is_scarce() {
            self.exhaust(context, limit);
            wishes.tell.extend(self.rows.keys());
        }
    }

    /// Serves the ticket queue, oldest first: everything goes to the head until it has its need
    /// whole. Answers how many units the head lacks that a debit would bring.
    fn serve(
        &mut self,
        context: &Context<'_>,
        limit: u64,
        wishes: &mut Wishes,
    ) -> Option<(Holder, u64)> {
        while let Some(head) = self.tickets.front().copied() {
            let (need, waits) = self
                .rows
                .get(&head)
                .map_or((0, false), |r| (r.need, r.waiters > 0));
            let usable = self.keeping.usable(context, head.incarnation);
            let free_total = self.keeping.free_total(context);
            // What it owes is charged already.
            let free_total = free_total.saturating_add(self.keeping.owed(head.incarnation));
            let reachable = context.sessions.reachable(head.incarnation, context);
            let room = self.room(head);
            if need == 0 || need > limit || !reachable {
                // More than the whole limit is refused by the node once it has heard the limit.
                self.dismiss(wishes);
            } else if room == 0 {
                // It may exceed its share by the last of its requests: others have theirs in parts of other sizes.
                self.refuse_share(head, wishes);
            } else if free_total < need && waits {
                match self.recall(context, head, need - free_total, wishes) {
                    Recall::Until(at) => {
                        wishes.look(at);
                        return None;
                    }
                    Recall::Dry => {
                        self.exhaust(context, limit);
                        self.refused.push((head, need));
                        self.dismiss(wishes);
                    }
                }
            } else if free_total < need {
                // A debt that nobody waits behind: what there is goes to it, nothing is recalled.
                self.grant(context, head, usable, wishes);
                self.dismiss(wishes);
            } else if usable < need {
                return Some((head, need - usable));
            } else {
                let size = self.block(context, head, need).min(room.max(need));
                let size = size.min(usable);
                self.grant(context, head, size, wishes);
                self.dismiss(wishes);
            }
        }
        None
    }

    /// Takes the head off the queue: it has what it needs, or will learn that it cannot.
    pub(super) fn dismiss(&mut self, wishes: &mut Wishes) {
        let Some(head) = self.tickets.pop_front() else {
            return;
        };
        if let Some(row) = self.rows.get_mut(&head) {
            row.need = 0;
        }
        wishes.tell.insert(head);
    }

    fn grant(&mut self, context: &Context<'_>, to: Holder, units: u64, wishes: &mut Wishes) {
        if let Some(row) = self.rows.get_mut(&to).filter(|_| units > 0) {
            let before = row.idle();
            self.keeping.take(to.incarnation, units);
            self.parts.take(to, units);
            let gone = row.grant(units);
            self.keeping.spend(context.now, gone);
            self.idle = self.idle.saturating_sub(before).saturating_add(row.idle());
            wishes.tell.insert(to);
        }
    }

    fn block(&self, context: &Context<'_>, to: Holder, need: u64) -> u64 {
        if self.supply.is_scarce() {
            return self.scarce_block(context, to, need);
        }
        let fresh = |row: &&Row| context.now.since(row.heard_at) <= DEMAND_FRESH_MS;
        let wants = |row: &Row| {
            let ahead = |ms: u64| {
                let target = row
                    .need
                    .saturating_add(row.demand.saturating_mul(ms) / 1_000);
                target.saturating_sub(row.idle()).max(row.need)
            };
            (
                ahead(context.config.ahead_ms),
                ahead(context.config.ahead_scarce_ms),
            )
        };
        let active = self
            .rows
            .values()
            .map(Box::as_ref)
            .filter(fresh)
            .filter(|row| row.demand > 0 || row.need > 0);
        let (want, want_scarce) = self.rows.get(&to).map_or((need, need), |row| wants(row));
        let free_total = self.keeping.free_total(context);
        block(&Situation {
            need,
            want,
            want_scarce,
            free_total,
            wants: active.map(wants).collect(),
        })
    }

    /// Whether no node's share is more than one unit.
    pub(super) fn is_small(&self, limit: u64) -> bool {
        let nodes = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        limit < nodes.saturating_mul(4)
    }

    /// While units are scarce, each request gets what it needs. Where they come in steadily that is how
    /// things stay, so that all who wait at a node are served at once, within its share.
    fn scarce_block(&self, context: &Context<'_>, to: Holder, need: u64) -> u64 {
        if self.keeping.ends_at().is_some() {
            return need;
        }
        let waiters = self.rows.get(&to).map_or(1, |row| row.waiters.max(1));
        let sharers = self.rows.values().filter(|row| row.demand > 0).count();
        let share = self.keeping.free_total(context) / u64::try_from(sharers.max(1)).unwrap_or(1);
        need.saturating_mul(u64::from(waiters)).min(share.max(need))
    }

    /// Gives nodes more before they run dry, while nobody waits and units are plentiful: the reporter
    /// of the moment, or, when a window began or a debit came through, everybody.
    fn top_up(&mut self, context: &Context<'_>, reporter: Option<Holder>, wishes: &mut Wishes) {
        for holder in self.running_dry(context, reporter) {
            let usable = self.keeping.usable(context, holder.incarnation);
            if usable > 0 {
                let room = self.room(holder);
                let size = self.block(context, holder, 0).min(usable).min(room);
                self.grant(context, holder, size, wishes);
            }
        }
    }

    /// Nodes that run dry while nobody waits and units are plentiful.
    fn running_dry(&self, context: &Context<'_>, reporter: Option<Holder>) -> Vec<Holder> {
        if !self.tickets.is_empty() || self.supply.is_scarce() || self.recalling {
            return Vec::new();
        }
        // Where units come in steadily, a look at the clock is no occasion.
        if reporter.is_none() && self.keeping.ends_at().is_none() {
            return Vec::new();
        }
        let low = |row: &Row| {
            let target = row.demand.saturating_mul(context.config.ahead_ms) / 1_000;
            row.idle().saturating_mul(2) < target
                && context.now.since(row.heard_at) <= DEMAND_FRESH_MS
        };
        match reporter {
            Some(reporter) => self
                .rows
                .get(&reporter)
                .filter(|r| low(r))
                .map(|_| reporter)
                .into_iter()
                .collect(),
            None => self
                .rows
                .iter()
                .filter(|(_, row)| low(row))
                .map(|(i, _)| *i)
                .collect(),
        }
    }

    /// What the next write should grant, where writing is granting: the tickets in their order, as far as there
    /// is enough, or else those who run dry.
    fn wants(
        &self,
        context: &Context<'_>,
        reporter: Option<Holder>,
        calm: bool,
    ) -> Vec<(Incarnation, u64)> {
        let mut wants = Vec::new();
        if !self.keeping.grants_by_writing() {
            return wants;
        }
        let mut left = self.keeping.free_total(context);
        let most = self.keeping.largest_block(context);
        for to in &self.tickets {
            let need = self.rows.get(to).map_or(0, |row| row.need);
            let owed = self.keeping.owed(to.incarnation);
            let can_have = left.saturating_add(owed);
            if need > can_have {
                break;
            }
            let block = self.block(context, *to, need);
            let size = block.min(most).max(need).min(can_have);
            left -= size.saturating_sub(owed).min(left);
            wants.push((to.incarnation, size));
        }
        if calm {
            for to in self.running_dry(context, reporter) {
                let idle = self.rows.get(&to).map_or(0, |row| row.idle());
                let room = most.saturating_sub(idle).min(left);
                let size = self.block(context, to, 0).min(room);
                left -= size;
                wants.extend((size > 0).then_some((to.incarnation, size)));
            }
        }
        wants
    }

    /// Asks the other holders for their idle units, most idle first and as many of them as should
    /// cover `gap`; those who themselves wait are not spared, or two could block each other.
    fn recall(
        &mut self,
        context: &Context<'_>,
        head: Holder,
        gap: u64,
        wishes: &mut Wishes,
    ) -> Recall {
        self.enlist(context);
        let others = self.rows.iter().filter(|(holder, row)| {
            **holder != head
                && row.outstanding() > 0
                && context.sessions.reachable(holder.incarnation, context)
        });
        let mut until = None;
        let mut unasked = Vec::new();
        for (holder, row) in others {
            match row.recalled {
                None => unasked.push((Reverse(row.idle()), *holder)),
                Some((_, at)) if !row.is_dry() => {
                    until = until.max(Some(at.after(context.config.recall_ms)));
                }
                Some(_) => {}
            }
        }
        if let Some(at) = until.filter(|at| context.now < *at) {
            return Recall::Until(at);
        }
        if unasked.is_empty() {
            return Recall::Dry;
        }
        unasked.sort_unstable();
        self.version += 1;
        let mut covered = 0u64;
        let known_idle = unasked
            .iter()
            .fold(0u64, |sum, (idle, _)| sum.saturating_add(idle.0));
        for (Reverse(idle), holder) in unasked {
            // When what is reported does not suffice, everybody is asked: a report may be old.
            if covered >= gap && known_idle >= gap {
                break;
            }
            covered = covered.saturating_add(idle);
            self.ask_back(holder, context.now);
            wishes.tell.insert(holder);
        }
        Recall::Until(context.now.after(context.config.recall_ms))
    }

    /// Asks those back too who were out of reach when units became scarce and have not spoken of this counter since.
    fn ask_returned(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        if !self.supply.is_scarce() {
            return;
        }
        for returned in self.enlist(context) {
            self.ask_back(returned, context.now);
            wishes.tell.insert(returned);
        }
    }

    /// Makes rows for living processes that have not spoken of this counter in this term, and perhaps do not know
    /// what they were granted: the message may have been lost with the last owner. Answers whose.
    fn enlist(&mut self, context: &Context<'_>) -> Vec<Holder> {
        let mut enlisted = Vec::new();
        for share in self.keeping.open_shares() {
            let of = Holder::whole(share.incarnation);
            let reachable = context.sessions.reachable(of.incarnation, context);
            if self.rows.contains_key(&of) || !reachable {
                continue;
            }
            let alive = (NodeTime(0), context.now);
            let mut row = Row::new(share.node.clone(), Generation::FIRST, alive);
            row.adopt(share);
            self.idle = self.idle.saturating_add(row.idle());
            self.rows.insert(of, Box::new(row));
            enlisted.push(of);
        }
        enlisted
    }

    fn ask_back(&mut self, from: Holder, now: OwnerTime) {
        if let Some(row) = self.rows.get_mut(&from) {
            row.recalled = Some((self.version, now));
            self.recalling = true;
        }
    }

    /// What can be had at most is state from now on, so that hopeless requests end at their node. When
    /// that is next to nothing, everything that comes back anywhere is handed in at once; otherwise
    /// one request for too much would make everybody else ask for each of theirs.
    fn exhaust(&mut self, context: &Context<'_>, limit: u64) {
        self.version += 1;
        let free_total = self.keeping.free_total(context);
        if free_total > (limit / 8).max(context.config.smallest_step) {
            self.bound_told = free_total.saturating_add(self.idle);
            self.supply = Supply::Bounded {
                free: free_total,
                idle: self.idle,
            };
            return;
        }
        self.supply = Supply::Scarce(free_total);
        let unasked: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, row)| row.recalled.is_none())
            .map(|(i, _)| *i)
            .collect();
        for holder in unasked {
            self.ask_back(holder, context.now);
        }
    }

    /// Ends a recall that has brought what was needed.
    fn end_recall(&mut self) {
        if self.recalling && self.tickets.is_empty() && !self.supply.is_scarce() {
            self.version += 1;
            self.recalling = false;
            self.rows.values_mut().for_each(|row| row.recalled = None);
        }
    }

    /// Keeps the bound true to what there is. Once everything is back, nothing is left to refuse. That is
    /// news, and so is a bound that rose by much.
    fn rebound(&mut self, context: &Context<'_>, limit: u64) {
        let Supply::Bounded { .. } = self.supply else {
            return;
        };
        let free = self.keeping.free_total(context);
        let idle = self.idle;
        let above = free.saturating_add(idle);
        let bound = if above < limit {
            Supply::Bounded { free, idle }
        } else {
            Supply::Ample
        };
        if self.supply != bound {
            self.supply = bound;
            self.version += 1;
        }
        self.bound_told = self.bound_told.min(above);
        if bound == Supply::Ample || above > self.bound_told.saturating_add(limit / 8) {
            self.bound_told = above;
            self.announce(context);
        }
    }

    /// Has those told soon who want units that can be had again.
    fn announce(&mut self, context: &Context<'_>) {
        let earliest = self.relieved_at.after(self.relief_every_ms());
        self.relief_at.get_or_insert(earliest.max(context.now));
    }

    /// Keeps what is said of scarcity true, and tells those who want some when it eases.
    fn relieve(&mut self, context: &Context<'_>, limit: u64, wishes: &mut Wishes) {
        if let Supply::Scarce(above) = self.supply {
            let free_total = self.keeping.free_total(context);
            if free_total != above {
                self.supply = Supply::Scarce(free_total);
                self.version += 1;
            }
            if free_total > above {
                self.announce(context);
                self.leave_scarcity(limit, free_total);
            }
        }
        match self.relief_at {
            Some(at) if context.now >= at => {
                self.relief_at = None;
                self.relieved_at = context.now;
                let wanting = self
                    .rows
                    .iter()
                    .filter(|(_, row)| row.demand > 0 || row.need > 0);
                wishes.tell.extend(wanting.map(|(holder, _)| *holder));
            }
            Some(at) => wishes.look(at),
            None => {}
        }
    }

    /// So much came back that blocks are of use again.
    fn leave_scarcity(&mut self, limit: u64, free_total: u64) {
        if free_total > limit / 4 && self.tickets.is_empty() {
            self.supply = Supply::Ample;
            self.end_recall();
        }
    }
}
