//! How the charge of a counter is kept.
//!
//! *Sharing* (tickets, blocks, recalls, bounds: `account` and `vend`) decides who gets how much. It asks
//! the *keeping* of the counter's kind how much there is, and tells it what went out, came back and was
//! spent. So a keeping knows limits, time and what is durable, but no queue; sharing knows no window, no
//! refill and no record.
//!
//! A kind is served by one implementation of [`Keeping`], chosen in [`of`].

mod brief;
mod counted;
mod ledger;
mod link;
mod rolling;

use std::fmt;
use std::sync::Arc;

use brief::Brief;
use counted::Counted;
use ledger::Ledger;
pub use ledger::MOST_ROWS;
use rolling::Rolling;

use crate::owner::account::{Context, Wishes, Write};
use crate::owner::{Commit, LedgerRow, Legacy, Load, Record};
use crate::{Close, Counter, Incarnation, OwnerTime, Promise, Window};

/// The keeping of a counter's kind, with nothing known of it yet.
pub(super) fn of(counter: &Counter, now: OwnerTime) -> Box<dyn Keeping> {
    let kind = counter.kind();
    if kind.is_ledger() {
        Box::new(Ledger::new(kind, now))
    } else if !kind.is_windowed() {
        Box::new(Rolling::new(kind))
    } else if kind.is_by_horizon() {
        Box::new(Brief::new(kind.window_ms(), now))
    } else {
        Box::new(Counted::new(kind.window_ms(), now))
    }
}

/// The limit to be in force.
#[derive(Debug, Clone, Copy)]
struct Force {
    /// By policy, and the revision that says so.
    units: u64,
    revision: u64,
    /// With what it is raised to for a while.
    limit: u64,
}

/// The limit to be in force: the stored one unless policy's is newer (a new owner whose policy lags must not bring
/// back a limit that was lowered already), or what it is raised to.
fn in_force(context: &Context<'_>, stored: Option<&Record>) -> Option<Force> {
    let stored = stored.map(|record| (record.limit, record.revision));
    let policy = context.spec.map(|spec| (spec.units, spec.revision));
    let (units, revision) = match (stored, policy) {
        (Some(stored), Some(policy)) if policy.1 > stored.1 => policy,
        (stored, policy) => stored.or(policy)?,
    };
    Some(Force {
        units,
        revision,
        limit: units.max(context.raised),
    })
}

/// What something that happened means for those who share the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing that they have to be told.
    Same,
    /// They have to be told.
    News,
    /// What they held is void, and they begin anew: another window.
    Anew,
}

/// What is missing, by sharing's word.
#[derive(Debug, Clone, Default)]
pub(super) struct Lack {
    /// Units that the process first in the queue lacks, and that process. They lie within
    /// [`Keeping::free_total`].
    pub(super) head: Option<(Incarnation, u64)>,
    /// Demand of all nodes, in units per second.
    pub(super) demand: u64,
    /// Where writing is granting: what should be granted, in this order, as far as there is.
    pub(super) wants: Vec<(Incarnation, u64)>,
    /// Where units are promised ahead: the processes that are there.
    pub(super) members: Vec<Incarnation>,
}

/// A process's own totals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    pub(super) returned: u64,
    pub(super) spent: u64,
}

/// The state of a charge, for operators.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// The window's label, its start and its end, for kinds that have windows.
    pub(super) window: Option<(Window, OwnerTime, OwnerTime)>,
    /// What this owner may hand out of, whether handed out or not.
    pub(super) hwm: u64,
    /// What of it is not handed out.
    pub(super) free: u64,
    /// The rows of a counter that is kept by them, and when its next write is due.
    pub(super) rows: Option<Vec<LedgerRow>>,
    /// What resets have forgiven of what was spent.
    pub(super) forgiven: u64,
    /// Whether something that an operator did is not in force, or not durable, yet.
    pub(super) pending: bool,
    /// Units of this window that are promised.
    pub(super) promised: u64,
}

/// What has to be known of a charge of which nothing is going on: that of a mark, which is the one that was written
/// last, by this owner.
#[derive(Debug, Clone)]
pub(super) struct Rested {
    pub(super) window: Window,
    pub(super) limit: u64,
    revision: u64,
    mod_revision: i64,
    hwm: u64,
    free: u64,
    gone: u64,
}

/// The keeping that has rested.
pub(super) fn wake(counter: &Counter, rested: &Rested, context: &Context<'_>) -> Box<dyn Keeping> {
    Box::new(Counted::wake(counter.kind().window_ms(), rested, context))
}

/// Lets an owner be copied with its accounts.
pub(super) trait Copied {
    fn copied(&self) -> Box<dyn Keeping>;
}

impl<K: Keeping + Clone + 'static> Copied for K {
    fn copied(&self) -> Box<dyn Keeping> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Keeping> {
    fn clone(&self) -> Self {
        (**self).copied()
    }
}

/// How the charge of one counter is kept: what may be handed out, and what makes sure that no other owner,
/// before or after, hands the same out.
///
/// At every step of the owner `roll` is called before anything else, so that time-dependent state is that
/// of `context.now`.
pub(super) trait Keeping: fmt::Debug + Send + Copied {
    /// Whether a record has to be read before anything can be said: [`Keeping::loaded`] follows.
    fn is_read_first(&self) -> bool {
        false
    }

    /// Lets time pass: begins the window of the owner's clock, if it is later than the one kept; refills.
    fn roll(&mut self, context: &Context<'_>) -> Turn;

    /// The window whose units are handed out; 0 for kinds without windows.
    fn window(&self) -> Window {
        Window(0)
    }

    /// When that window ends, and with it all that is out. None for kinds without windows: what is out
    /// lasts as long as the owner hears of the node that has it (R4).
    fn ends_at(&self) -> Option<OwnerTime>;

    /// The most that can ever be out at once: the limit in force. None while it is not known, or while
    /// nothing may be said of the counter yet.
    fn limit(&self, context: &Context<'_>) -> Option<u64>;

    /// Units that can still be handed out, whether or not a write has to come first.
    fn free_total(&self, context: &Context<'_>) -> u64;

    /// Units that may be handed out to that process now.
    fn usable(&self, context: &Context<'_>, to: Incarnation) -> u64;

    /// Whether more is out than the limit, which must have been lowered.
    fn is_over(&self, context: &Context<'_>) -> bool;

    /// Units go out; at most [`Keeping::usable`].
    fn take(&mut self, to: Incarnation, units: u64);

    /// Units that were out come back.
    fn give_back(&mut self, from: Incarnation, units: u64);

    /// Whether writing is granting: units go out as the rows of [`Keeping::row`] say, and in no other way.
    fn grants_by_writing(&self) -> bool {
        false
    }

    /// Units of this window that are promised to that process, whatever it is granted.
    fn promised(&self, _to: Incarnation) -> u64 {
        0
    }

    /// What is promised to that process, of this window and later ones.
    fn promises(&self, _to: Incarnation) -> Vec<Promise> {
        Vec::new()
    }

    /// The most that is granted to one process at once beyond its need.
    fn largest_block(&self, _context: &Context<'_>) -> u64 {
        u64::MAX
    }

    /// Units that can be granted to that process on top of [`Keeping::free_total`], since they are charged.
    fn owed(&self, _to: Incarnation) -> u64 {
        0
    }

    /// What is known of that process's share, where that outlives terms.
    fn row(&self, _of: Incarnation) -> Option<&LedgerRow> {
        None
    }

    /// Shares of which something may come back, whether or not their processes were heard in this term.
    fn open_shares(&self) -> Vec<&LedgerRow> {
        Vec::new()
    }

    /// Takes in that process's totals of returned and spent units.
    fn report(&mut self, _context: &Context<'_>, _from: (Incarnation, &Arc<str>), _totals: Totals) {
    }

    /// Closes a dead process's share; an operator may do so `again`, at a lower mark. Answers whether it is
    /// durably closed, or there is nothing to close.
    fn close(&mut self, _context: &Context<'_>, _close: &Close, _again: bool) -> bool {
        true
    }

    /// Forgives all that was spent, once that is durable where it has to be. What is out, or may be for all that is
    /// known, stays charged.
    fn reset(&mut self, context: &Context<'_>);

    /// Units that were out cannot come back any more. Nothing changes for those that stay charged until
    /// their window ends.
    fn spend(&mut self, _now: OwnerTime, _units: u64) {}

    /// Takes in what a read found.
    fn loaded(&mut self, _context: &Context<'_>, _outcome: Load, _wishes: &mut Wishes) -> Turn {
        Turn::Same
    }

    /// Takes in what became of a write. Only what is known to be durable may be vended: where that is
    /// not known, or the key was not as expected, it is read again.
    fn persisted(
        &mut self,
        _context: &Context<'_>,
        _outcome: Commit,
        _wishes: &mut Wishes,
    ) -> Turn {
        Turn::Same
    }

    /// Does what is due before anything can be said: a read that failed is tried anew, a beginning waited
    /// for.
    fn prepare(&mut self, _context: &Context<'_>, _wishes: &mut Wishes) {}

    /// Charges what is missing ahead of its use, and makes durable what else has to be.
    fn debit(&mut self, _context: &Context<'_>, _lack: &Lack, _wishes: &mut Wishes) {}

    /// What an owner that hands out nothing more leaves behind, where that differs from what is durable.
    fn last(&self, _context: &Context<'_>) -> Option<Write> {
        None
    }

    /// What such an owner leaves word of, where the charge is written down nowhere else and something counts.
    fn legacy(&self, _context: &Context<'_>) -> Option<Legacy> {
        None
    }

    /// All that has to be known of it, where nothing is going on and that is little.
    fn rested(&self, _context: &Context<'_>) -> Option<Rested> {
        None
    }

    /// When time alone brings new units.
    fn refills_at(&self, context: &Context<'_>) -> OwnerTime;

    /// When so many units will be there if what is out is used up now and nothing more goes out. None where
    /// that is never, or only when the window ends.
    fn comes_at(&self, _context: &Context<'_>, _units: u64) -> Option<OwnerTime> {
        None
    }

    /// Whether nothing that was said of the counter matters any more.
    fn is_past(&self, now: OwnerTime) -> bool;

    /// The state for operators; none while there is nothing live.
    fn shown(&self, context: &Context<'_>) -> Option<Shown>;
}
