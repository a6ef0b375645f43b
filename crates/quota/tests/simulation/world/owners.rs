//! Owners and their store.

use std::sync::Arc;

use tollgate_quota::owner::{self, Effect, HorizonRecord, Owner};
use tollgate_quota::{LimitSpec, Limits, Shares};

use crate::faults::Fault;
use crate::mutants::Mutation;
use crate::oracle::Violation;
use crate::plan::{PlannedLimit, Sharing};
use crate::world::{Answer, Event, OwnerProcess, World};

impl World {
    pub(crate) fn limits(&self, revision: usize) -> Arc<Limits> {
        let units = &self.policy[revision - 1];
        let spec = |limit: &PlannedLimit| {
            let spec = LimitSpec {
                kind: limit.kind,
                units: units[limit.name],
                burst: limit.burst(units[limit.name]),
                revision: revision as u64,
            };
            (Arc::from(limit.name), spec)
        };
        let limits = Limits::new(self.plan.limits.iter().map(spec)).unwrap();
        let names = || self.plan.limits.iter().map(|limit| Arc::from(limit.name));
        let restored = self.store.identity() > 1;
        let promised = match restored && self.mutated(Mutation::PromisesOverRestore) {
            true => 0,
            false => self.plan.promised,
        };
        let shares: Shares = match self.plan.sharing {
            Sharing::Together | Sharing::Equally => Arc::new([]),
            Sharing::By(shares) => {
                let names = ["u1", "u2", "u3"].into_iter().map(Box::from);
                names.zip(shares.iter().copied()).collect()
            }
        };
        Arc::new(
            limits
                .with_promises(names().map(|name| (name, promised)))
                .with_shares(names().map(|name| (name, shares.clone()))),
        )
    }

    pub(crate) fn new_owner(&mut self, lag: usize) {
        let epoch = self.store.take_over();
        let revision = self.policy.len().saturating_sub(lag).max(1);
        let config = owner::Config {
            lease_ms: if self.calm { 2_000 } else { self.plan.lease_ms },
            promised_ms: self.plan.promised_ms,
            ..owner::Config::default()
        };
        let mut machine = Owner::new(epoch, config, self.limits(revision));
        if let Some(at) = self.store.thawed {
            machine.restored(at);
        }
        if self.store.frozen {
            machine.freeze();
        }
        let skew = if self.calm { 0 } else { self.plan.skew_ms };
        let offset = self.random.within(0, 2 * skew).cast_signed() - skew.cast_signed();
        let process = OwnerProcess {
            machine,
            epoch,
            offset,
            alive: true,
            revision,
            store: self.store.identity(),
            paused_until: 0,
            timer_at: None,
        };
        self.owners.push(process);
        if revision < self.policy.len() {
            let lags = self.random.within(100, 15_000);
            self.schedule(
                lags,
                Event::Policy {
                    owner: self.owners.len() - 1,
                },
            );
        }
    }

    /// The newest owner hands out nothing from now on, and writes what it leaves behind. Earlier ones may go on.
    pub(super) fn leave(&mut self) {
        let newest = self.owners.len() - 1;
        let now = self.owner_time(newest);
        let process = &mut self.owners[newest];
        // Whoever stands still cannot; nor can who was told of another store.
        if !process.alive
            || process.paused_until > self.now
            || process.store != self.store.identity()
        {
            return;
        }
        process.machine.retire();
        process.alive = false;
        let epoch = process.epoch;
        for effect in process.machine.last_writes(now) {
            if let Effect::Persist {
                counter,
                record,
                rows,
                expected_mod_revision,
            } = effect
            {
                // What was written meanwhile, or by others, stays.
                self.store
                    .write(epoch, &counter, (record, rows), expected_mod_revision);
            }
        }
        if let Some(horizon) = process.machine.last_horizon(now) {
            let expected = self.store.horizon_modified();
            self.store
                .write_horizon((epoch, self.now), horizon, expected);
        }
    }

    pub(super) fn failover(&mut self, kill: bool) {
        if kill {
            self.owners.iter_mut().for_each(|owner| owner.alive = false);
        } else if self.random.chance(30) {
            // The one before may still be at work when its successor leaves.
            let soon = self.random.within(1, 2_500);
            self.schedule(soon, Event::Fault(Fault::Leave));
        }
        let lag = self.random.within(0, 1);
        self.new_owner(usize::try_from(lag).unwrap());
        let owner = self.owners.len() - 1;
        for node in 0..self.nodes.len() {
            let after = self.random.within(1, 3_000);
            self.schedule(after, Event::Connect { node, owner });
            if self.random.chance(15) {
                let back = self.random.within(0, owner as u64 - 1);
                let owner = usize::try_from(back).unwrap();
                let later = self.random.within(after, 8_000);
                self.schedule(later, Event::Connect { node, owner });
                self.schedule(
                    later + 1_000,
                    Event::Connect {
                        node,
                        owner: self.owners.len() - 1,
                    },
                );
            }
        }
    }

    pub(super) fn change_limits(&mut self) {
        let mut next = self.policy[self.policy.len() - 1].clone();
        for units in next.values_mut() {
            *units = match self.random.within(0, 2) {
                0 => *units,
                1 => (*units / 2).max(1),
                _ => (*units * 2).min(2_000),
            };
        }
        self.policy.push(next);
        for owner in 0..self.owners.len() {
            let after = self.random.within(1, 2_000);
            self.schedule(after, Event::Policy { owner });
        }
    }

    pub(crate) fn step(&mut self, owner: usize, event: owner::Event) -> Result<(), Violation> {
        if !self.owners[owner].alive {
            return Ok(());
        }
        let now = self.owner_time(owner);
        let effects = self.owners[owner].machine.step(now, event);
        // A look at every counter: at some of the steps, or it would be most of the work.
        if self.plan.mutation.is_none() && self.random.chance(10) {
            self.oracle.escrow(&self.owners[owner].machine, now)?;
        }
        for effect in effects {
            self.trace(|| format!("  owner {owner}: {effect:?}"));
            match effect {
                Effect::Send(message) => {
                    self.send_to_node(self.owners[owner].store, message)?;
                }
                Effect::StepDown(_) => self.owners[owner].alive = false,
                op @ (Effect::Load(_)
                | Effect::Persist { .. }
                | Effect::LoadHorizon
                | Effect::PersistHorizon { .. }) => self.send_to_store(owner, op),
            }
        }
        self.set_owner_timer(owner);
        Ok(())
    }

    pub(super) fn owner_timer(&mut self, owner: usize) -> Result<(), Violation> {
        // Another one was set for an earlier time, unless a pause held this one up; it is void.
        if self.owners[owner].timer_at.is_none_or(|at| at > self.now) {
            return Ok(());
        }
        self.owners[owner].timer_at = None;
        self.step(owner, owner::Event::Tick)
    }

    pub(super) fn set_owner_timer(&mut self, owner: usize) {
        let process = &self.owners[owner];
        let Some(due) = process.machine.next_deadline() else {
            return;
        };
        let at = due.0.saturating_add_signed(-process.offset).max(self.now);
        if !self.random.is_fixed() && process.timer_at.is_none_or(|earlier| earlier > at) {
            self.owners[owner].timer_at = Some(at);
            self.schedule(at - self.now, Event::OwnerTimer(owner));
        }
    }

    pub(super) fn send_to_store(&mut self, owner: usize, effect: Effect) {
        self.mutants.asked_to_write(&effect);
        let takes = if self.calm {
            1
        } else {
            self.random.within(1, 10)
        };
        let writes = matches!(
            effect,
            Effect::Persist { .. } | Effect::PersistHorizon { .. }
        );
        let unknown = writes && !self.calm && self.random.chance(self.plan.unknown);
        if !unknown {
            return self.schedule(
                takes,
                Event::StoreOp {
                    owner,
                    effect,
                    answer: Answer::Truth,
                },
            );
        }
        let event = self.unknown(&effect);
        self.schedule(takes, Event::Answer { owner, event });
        // Perhaps it is done, perhaps much later.
        if self.random.chance(60) {
            let later = self.random.within(1, 100);
            self.schedule(
                later,
                Event::StoreOp {
                    owner,
                    effect,
                    answer: Answer::AlreadyUnknown,
                },
            );
        }
    }

    /// What an owner hears of a write of which nobody knows what became.
    pub(crate) fn unknown(&self, effect: &Effect) -> owner::Event {
        let taken_for_done = self.mutated(Mutation::UnknownIsSuccess);
        let outcome = |modified| match taken_for_done {
            true => owner::Commit::Committed(modified),
            false => owner::Commit::Unknown,
        };
        if let Effect::Persist { counter, .. } = effect {
            return owner::Event::Persisted {
                counter: counter.clone(),
                outcome: outcome(self.store.modified(counter)),
            };
        }
        owner::Event::HorizonPersisted(outcome(self.store.horizon_modified()))
    }

    /// Reads the horizon, or writes it.
    fn transact_horizon(
        &mut self,
        owner: usize,
        write: Option<(HorizonRecord, i64)>,
    ) -> owner::Event {
        let epoch = self.owners[owner].epoch;
        let Some((record, expected)) = write else {
            let failed = !self.calm && self.random.chance(self.plan.unknown / 3);
            return owner::Event::HorizonLoaded(match failed {
                true => owner::Load::Failed,
                false => self.mutants.horizon(&self.store, epoch),
            });
        };
        let outcome = self
            .store
            .write_horizon((epoch, self.now), record, expected);
        let unguarded = outcome == owner::Commit::Lost && self.mutated(Mutation::UnguardedHorizon);
        owner::Event::HorizonPersisted(match unguarded {
            true => owner::Commit::Committed(expected + 1),
            false => outcome,
        })
    }

    pub(super) fn transact(&mut self, owner: usize, effect: Effect, answer: Answer) {
        let process = &self.owners[owner];
        // It was meant for another store than there is now.
        if process.store != self.store.identity() {
            return;
        }
        let epoch = process.epoch;
        let event = match effect {
            Effect::Load(counter) => {
                let own = self.owner_time(owner);
                let found = self.store.read(&counter);
                let outcome = match !self.calm && self.random.chance(self.plan.unknown / 3) {
                    true => owner::Load::Failed,
                    false => self
                        .mutants
                        .loaded(found, &counter, (epoch, own), &self.oracle),
                };
                owner::Event::Loaded { counter, outcome }
            }
            Effect::Persist {
                counter,
                record,
                rows,
                expected_mod_revision,
            } => {
                self.writes += 1;
                let written = (record, rows);
                let outcome = self
                    .store
                    .write(epoch, &counter, written, expected_mod_revision);
                owner::Event::Persisted { counter, outcome }
            }
            Effect::LoadHorizon => self.transact_horizon(owner, None),
            Effect::PersistHorizon {
                record,
                expected_mod_revision,
            } => self.transact_horizon(owner, Some((record, expected_mod_revision))),
            Effect::Send(_) | Effect::StepDown(_) => return,
        };
        if answer == Answer::Truth {
            self.schedule(1, Event::Answer { owner, event });
        }
    }
}
