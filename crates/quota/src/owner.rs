//! The owner: the one who hands out a counter's units. It debits them durably before they are handed
//! out, and counts them as gone until a node returns them.

mod account;
mod answer;
mod block;
mod config;
mod event;
mod few;
mod horizon;
mod idle;
mod keeping;
mod ledger_row;
mod legacy;
mod level;
mod part;
mod promised;
mod raise;
mod row;
mod session;
mod snapshot;
mod terms;
mod told;
mod vend;
mod world;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use account::{Account, Context, Wishes};
use answer::Gathered;
pub use config::Config;
pub use event::{Commit, Effect, Event, Load, Reason, Record};
pub use horizon::HorizonRecord;
use horizon::View;
use idle::Idle;
pub use keeping::MOST_ROWS;
pub use ledger_row::LedgerRow;
pub use legacy::Legacy;
use part::Holder;
pub use part::Sharer;
pub use raise::Raise;
pub use snapshot::{Books, CounterState, Holding};
use world::World;

use crate::{Close, Counter, Epoch, Incarnation, Limits, NodeMessage, OwnerTime};

/// Counters whose window is over are looked for this often, in milliseconds.
const SWEEP_EVERY_MS: u64 = 5_000;

/// One tick looks at no more accounts than this, so that nodes are answered in between when many
/// windows begin at once. What is left is due at once again.
const MOST_PER_TICK: usize = 1_000;

/// The owner's state machine, for one term of ownership. A copy goes on by itself: for trying out what may happen.
#[derive(Debug, Clone)]
pub struct Owner {
    world: World,
    /// Boxed, since there is room for more names than there are.
    accounts: HashMap<Counter, Box<Account>>,
    /// Those where nothing is going on.
    idle: HashMap<Counter, Idle>,
    /// When accounts are to be looked at again.
    timers: BTreeSet<(OwnerTime, Counter)>,
    sweep_at: Option<OwnerTime>,
    /// Why the term ended, once it has.
    ended: Option<Reason>,
    /// Nothing is handed out any more.
    retired: bool,
}

impl Owner {
    /// Begins a term of ownership. Nothing is loaded: each counter's record is read when a node first
    /// asks for it, and until then nothing is handed out.
    #[must_use]
    pub fn new(epoch: Epoch, config: Config, limits: Arc<Limits>) -> Self {
        Self {
            world: World::new(epoch, config, limits),
            accounts: HashMap::new(),
            idle: HashMap::new(),
            timers: BTreeSet::new(),
            sweep_at: None,
            ended: None,
            retired: false,
        }
    }

    /// Takes in what happened and says what to do about it. `now` never goes back. Once it has said
    /// [`Effect::StepDown`] it says nothing more.
    pub fn step(&mut self, now: OwnerTime, event: Event) -> Vec<Effect> {
        if self.ended.is_some() {
            return Vec::new();
        }
        if self.retired {
            self.take_in(now, event);
            return Vec::new();
        }
        let mut gathered = Gathered::default();
        match event {
            Event::Limits(limits) => self.limits_changed(now, limits, &mut gathered),
            Event::Node(message) => self.heard(now, &message, &mut gathered),
            Event::Loaded { counter, outcome } => {
                self.with(now, &counter, &mut gathered, |account, context, wishes| {
                    account.loaded(context, outcome, wishes);
                    account.roll(context);
                    account.work(context, None, wishes);
                });
            }
            Event::Persisted {
                outcome: Commit::Lost,
                ..
            } => self.ended = Some(Reason::GuardFailed),
            Event::Persisted { counter, outcome } => {
                self.with(now, &counter, &mut gathered, |account, context, wishes| {
                    account.roll(context);
                    account.persisted(context, outcome, wishes);
                    account.work(context, None, wishes);
                });
            }
            Event::HorizonLoaded(outcome) => {
                let before = self.world.view();
                match self.world.horizon.loaded(now, &outcome, &self.world.config) {
                    Ok(()) => self.horizon_changed(now, before, &mut gathered),
                    Err(epoch) => self.ended = Some(Reason::LaterEpoch(epoch)),
                }
            }
            Event::HorizonPersisted(Commit::Lost) => self.ended = Some(Reason::GuardFailed),
            Event::HorizonPersisted(outcome) => {
                let before = self.world.view();
                let act = self.world.horizon.persisted(outcome);
                gathered.effects.extend(act.map(Effect::from));
                self.horizon_changed(now, before, &mut gathered);
            }
            Event::Disconnected(incarnation) => self.disconnected(now, incarnation, &mut gathered),
            Event::Release(close) => drop(self.close(now, &close, true, &mut gathered)),
            Event::Raised { counter, raise } => {
                self.world.raises.set(&counter, raise);
                self.look(now, &counter, &mut gathered);
            }
            Event::Open(counter) => drop(self.is_kept(now, &counter, &mut gathered)),
            Event::Reset(counter) => self.reset(now, &counter, &mut gathered),
            Event::Tick => self.tick(now, &mut gathered),
        }
        self.finish(now, gathered)
    }

    /// When [`Event::Tick`] is due at the latest; `None` while nothing is timed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<OwnerTime> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let horizon = self.world.horizon.look_at(&self.world.config);
        let others = self.sweep_at.into_iter().chain(horizon);
        timer.into_iter().chain(others).min()
    }

    /// The live state of every counter in memory, in no order.
    pub fn snapshot(&self, now: OwnerTime) -> impl Iterator<Item = CounterState> + '_ {
        let counters = self.accounts.keys().chain(self.idle.keys());
        counters.filter_map(move |counter| {
            let account = self.account(counter, now)?;
            let state = account.snapshot(&self.world.context(now, counter))?;
            let raise = self.world.raises.of(counter, now);
            Some(CounterState { raise, ..state })
        })
    }

    /// The books of every counter in memory that is kept by rows, and its limit, in no order.
    pub fn books(&self, now: OwnerTime) -> impl Iterator<Item = (&Counter, u64, Books)> {
        let ledgers = self.accounts.values();
        ledgers.filter_map(move |account| {
            if !account.keeping.grants_by_writing() {
                return None;
            }
            let (limit, books) = account.books(&self.world.context(now, &account.counter))?;
            Some((&account.counter, limit, books))
        })
    }

    fn limits_changed(&mut self, now: OwnerTime, limits: Arc<Limits>, gathered: &mut Gathered) {
        self.world.limits = limits;
        let units = |counter| self.world.limits.of(counter).map(|spec| spec.units);
        let idle = self.idle.iter();
        let concerned = idle.filter(|(counter, idle)| idle.is_concerned(units(counter)));
        let concerned: Vec<_> = concerned.map(|(counter, _)| counter.clone()).collect();
        for counter in concerned {
            self.wake(now, &counter);
        }
        for counter in self.counters() {
            self.look(now, &counter, gathered);
        }
    }

    /// Lets those act who waited for the horizon. When it is renewed in time, nobody did.
    fn horizon_changed(&mut self, now: OwnerTime, before: View, gathered: &mut Gathered) {
        let after = self.world.view();
        let known = before.inherited == after.inherited && before.in_force == after.in_force;
        if known && now < before.until {
            return;
        }
        let mut counters = self.counters();
        counters.retain(|counter| counter.kind().is_by_horizon());
        for counter in counters {
            self.look(now, &counter, gathered);
        }
    }

    fn look(&mut self, now: OwnerTime, counter: &Counter, gathered: &mut Gathered) {
        self.with(now, counter, gathered, |account, context, wishes| {
            account.roll(context);
            account.work(context, None, wishes);
        });
    }

    fn heard(&mut self, now: OwnerTime, message: &NodeMessage, gathered: &mut Gathered) {
        if let Some(epoch) = message
            .accounts
            .iter()
            .map(|a| a.epoch)
            .find(|e| *e > self.world.epoch)
        {
            self.ended = Some(Reason::LaterEpoch(epoch));
            return;
        }
        self.world.sessions.hear(now, message);
        // Answered even when it has no accounts: a heartbeat's echo carries later pushes.
        gathered.tell.entry(message.incarnation).or_default();
        for close in &message.closes {
            if self.is_alive(now, close.incarnation) {
                // Whoever says so is mistaken, or does not know yet that its connection is gone.
                continue;
            }
            if self.close(now, close, false, gathered) {
                let closed = gathered.closed.entry(message.incarnation).or_default();
                closed.push(close.clone());
            }
        }
        for report in &message.accounts {
            let counter = report.counter.pool();
            if !self.is_kept(now, counter, gathered) {
                continue;
            }
            let from = message.incarnation;
            let mut disowned = false;
            self.with(now, counter, gathered, |account, context, wishes| {
                account.roll(context);
                let holder = account.report(context, message, report);
                account.work(context, holder, wishes);
                wishes.tell.extend(holder);
                disowned |= account.is_closed(from);
            });
            if disowned {
                let closed = gathered.closed.entry(from).or_default();
                closed.push(Close {
                    incarnation: from,
                    counter: report.counter.clone(),
                    window: report.window,
                    mark: 0,
                    settled: report.spent,
                });
            }
        }
    }

    /// Closes a dead process's share. Answers whether that is durable.
    fn close(
        &mut self,
        now: OwnerTime,
        close: &Close,
        again: bool,
        gathered: &mut Gathered,
    ) -> bool {
        let mut done = false;
        if self.is_kept(now, &close.counter, gathered) {
            self.with(now, &close.counter, gathered, |account, context, wishes| {
                account.roll(context);
                done = account.close(context, close, again);
                account.work(context, None, wishes);
            });
        }
        done
    }

    fn reset(&mut self, now: OwnerTime, counter: &Counter, gathered: &mut Gathered) {
        if self.is_kept(now, counter, gathered) {
            self.with(now, counter, gathered, |account, context, wishes| {
                account.roll(context);
                account.keeping.reset(context);
                account.work(context, None, wishes);
            });
        }
    }

    /// Whether that process was heard lately and its stream is open.
    fn is_alive(&self, now: OwnerTime, incarnation: Incarnation) -> bool {
        let silent_ms = self.world.config.silent_ms;
        self.world
            .sessions
            .is_reachable(incarnation, now, silent_ms)
    }

    /// Whether there is an account of the counter, or one can be begun (by reading its record).
    fn is_kept(&mut self, now: OwnerTime, counter: &Counter, gathered: &mut Gathered) -> bool {
        self.wake(now, counter);
        let room = self.accounts.len() + self.idle.len() < self.world.config.max_counters;
        match self.accounts.entry(counter.clone()) {
            Entry::Occupied(_) => true,
            Entry::Vacant(_) if !room => false,
            Entry::Vacant(vacant) => {
                let account = vacant.insert(Box::new(Account::new(counter.clone(), now)));
                if account.keeping.is_read_first() {
                    gathered.effects.push(Effect::Load(counter.clone()));
                }
                self.world.horizon.in_use |= counter.kind().is_by_horizon();
                self.sweep_at.get_or_insert(now.after(SWEEP_EVERY_MS));
                true
            }
        }
    }

    fn disconnected(&mut self, now: OwnerTime, incarnation: Incarnation, gathered: &mut Gathered) {
        self.world.sessions.disconnect(incarnation);
        for counter in self.counters() {
            self.with(now, &counter, gathered, |account, context, wishes| {
                let of = |holder: &Holder| holder.incarnation == incarnation;
                if account.rows.keys().any(of) {
                    account.tickets.retain(|holder| !of(holder));
                    account.roll(context);
                    account.work(context, None, wishes);
                }
            });
        }
    }

    fn tick(&mut self, now: OwnerTime, gathered: &mut Gathered) {
        for _ in 0..MOST_PER_TICK {
            if self.timers.first().is_none_or(|(at, _)| *at > now) {
                break;
            }
            let Some((_, counter)) = self.timers.pop_first() else {
                break;
            };
            self.look(now, &counter, gathered);
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep(now, gathered);
        }
    }

    /// Forgets counters of which nothing matters any more.
    fn sweep(&mut self, now: OwnerTime, gathered: &mut Gathered) {
        // Where no window ends, leases do, of nodes that nothing else is heard of.
        let mut leased = self.counters();
        leased.retain(|counter| !counter.kind().is_windowed());
        for counter in leased {
            self.look(now, &counter, gathered);
        }
        self.accounts.retain(|_, account| !account.is_over(now));
        let accounts = &self.accounts;
        self.world.horizon.in_use = accounts
            .keys()
            .any(|counter| counter.kind().is_by_horizon());
        self.world.horizon.forget(now, &self.world.config);
        self.timers
            .retain(|(_, counter)| accounts.contains_key(counter));
        self.world.sessions.forget(now);
        self.world.raises.forget(now);
        self.rest(now);
        let any = !self.accounts.is_empty() || !self.idle.is_empty();
        self.sweep_at = any.then(|| now.after(SWEEP_EVERY_MS));
    }

    /// All counters that something may be going on of, always in the same order.
    fn counters(&self) -> Vec<Counter> {
        let mut counters: Vec<_> = self.accounts.keys().cloned().collect();
        counters.sort_unstable();
        counters
    }

    /// Lets one account act and gathers what it wishes.
    fn with(
        &mut self,
        now: OwnerTime,
        counter: &Counter,
        gathered: &mut Gathered,
        act: impl FnOnce(&mut Account, &Context<'_>, &mut Wishes),
    ) {
        self.wake(now, counter);
        let Self {
            accounts,
            world,
            timers,
            ended,
            ..
        } = self;
        let Some(account) = accounts.get_mut(counter) else {
            return;
        };
        let context = world.context(now, counter);
        let mut wishes = Wishes::default();
        act(account, &context, &mut wishes);
        if let Some(raise) = world.raises.of(counter, now) {
            wishes.look(raise.until);
        }
        if let Some(epoch) = wishes.overtaken_by {
            *ended = Some(Reason::LaterEpoch(epoch));
        }
        if let Some(old) = std::mem::replace(&mut account.timer, wishes.look_at) {
            timers.remove(&(old, counter.clone()));
        }
        timers.extend(wishes.look_at.map(|at| (at, counter.clone())));
        if wishes.read {
            gathered.effects.push(Effect::Load(counter.clone()));
        }
        if let Some(write) = wishes.write {
            gathered.effects.push(write.effect(counter.clone()));
        }
        for holder in wishes.tell {
            let counter = account.parts.name(holder).unwrap_or(counter);
            let counters = gathered.tell.entry(holder.incarnation).or_default();
            counters.push(counter.clone());
        }
    }
}

#[cfg(test)]
mod tests;
