//! Counters of which nothing is going on: what has to be known of them is little.
//!
//! There are very many counters, and few of them are in use at a time. Now and then those where nobody waits, nothing
//! is on its way and nobody was heard lately are reduced to the totals that the rules need; they come back whole as
//! soon as anything concerns them. So far that serves windows of more than 10 s up to an hour: shorter ones are over
//! before it is worth the while, and what is kept by rows can be read again.

use crate::owner::Owner;
use crate::owner::account::{Account, Context, DEMAND_FRESH_MS, Supply};
use crate::owner::few::Few;
use crate::owner::keeping::{self, Rested};
use crate::owner::part::Holder;
use crate::owner::row::Row;
use crate::{Counter, Generation, NodeTime, OwnerTime};

use std::borrow::Cow;
use std::sync::Arc;

/// What remains of an account.
#[derive(Debug, Clone)]
pub(super) struct Idle {
    keeping: Rested,
    version: u64,
    rows: Few<Holder, IdleRow>,
}

/// What remains of a process's part: everything that went out has arrived there.
#[derive(Debug, Clone)]
struct IdleRow {
    node: Arc<str>,
    granted: u64,
    returned: u64,
    spent: u64,
    avail: i64,
}

impl Idle {
    /// What remains of that account, if nothing is going on.
    pub(super) fn of(account: &Account, context: &Context<'_>) -> Option<Self> {
        let Account {
            tickets,
            supply,
            recalling,
            relief_at,
            ..
        } = account;
        let calm = tickets.is_empty() && *supply == Supply::Ample && !recalling;
        if !calm
            || !account.parts.is_empty()
            || relief_at.is_some()
            || context.raised > 0
            || context.restore.frozen
        {
            return None;
        }
        let keeping = account.keeping.rested(context)?;
        let quiet = |row: &Row| {
            row.need == 0
                && row.in_flight() == 0
                && row.recalled.is_none()
                && context.now.since(row.heard_at) > DEMAND_FRESH_MS
        };
        if !account.rows.values().all(|row| quiet(row)) {
            return None;
        }
        let mut rows = Few::default();
        for (holder, row) in account.rows.iter() {
            let row = IdleRow {
                node: Arc::clone(&row.node),
                granted: row.granted,
                returned: row.returned,
                spent: row.spent,
                avail: row.avail,
            };
            rows.insert(*holder, row);
        }
        Some(Self {
            keeping,
            version: account.version,
            rows,
        })
    }

    /// The account again.
    pub(super) fn wake(&self, counter: &Counter, context: &Context<'_>) -> Account {
        let mut account = Account::new(counter.clone(), context.now);
        account.keeping = keeping::wake(counter, &self.keeping, context);
        account.version = self.version;
        for (holder, idle) in self.rows.iter() {
            let alive = (NodeTime(0), OwnerTime(0));
            let mut row = Row::new(Arc::clone(&idle.node), Generation::FIRST, alive);
            row.granted = idle.granted;
            row.seen = idle.granted;
            row.returned = idle.returned;
            row.spent = idle.spent;
            row.avail = idle.avail;
            account.idle = account.idle.saturating_add(row.idle());
            account.rows.insert(*holder, Box::new(row));
        }
        account
    }

    /// Whether its window is over.
    fn is_over(&self, counter: &Counter, now: OwnerTime) -> bool {
        counter.kind().span(now).window > self.keeping.window
    }

    /// Whether policy has another limit for it than the one in force.
    pub(super) fn is_concerned(&self, units: Option<u64>) -> bool {
        units.is_some_and(|units| units != self.keeping.limit)
    }
}

impl Owner {
    /// An account, whether or not it is idle.
    pub(super) fn account(&self, counter: &Counter, now: OwnerTime) -> Option<Cow<'_, Account>> {
        if let Some(account) = self.accounts.get(counter) {
            return Some(Cow::Borrowed(account));
        }
        let idle = self.idle.get(counter)?;
        Some(Cow::Owned(
            idle.wake(counter, &self.world.context(now, counter)),
        ))
    }

    /// Brings an account back that something concerns.
    pub(super) fn wake(&mut self, now: OwnerTime, counter: &Counter) {
        if let Some(idle) = self.idle.remove(counter) {
            let account = idle.wake(counter, &self.world.context(now, counter));
            self.accounts.insert(counter.clone(), Box::new(account));
        }
    }

    /// Reduces accounts where nothing is going on, and forgets those of which nothing matters any more.
    pub(super) fn rest(&mut self, now: OwnerTime) {
        self.idle
            .retain(|counter, idle| !idle.is_over(counter, now));
        let resting = self.accounts.values().filter_map(|account| {
            let idle = Idle::of(account, &self.world.context(now, &account.counter))?;
            Some((account.counter.clone(), account.timer, idle))
        });
        let resting: Vec<_> = resting.collect();
        for (counter, timer, idle) in resting {
            self.accounts.remove(&counter);
            if let Some(at) = timer {
                self.timers.remove(&(at, counter.clone()));
            }
            self.idle.insert(counter, idle);
        }
        if self.accounts.len() < self.accounts.capacity() / 8 {
            self.accounts.shrink_to_fit();
        }
    }
}
