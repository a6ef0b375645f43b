//! How an owner's term begins after other terms, and what it leaves to the next.

use super::answer::Gathered;
use super::{Effect, Event, HorizonRecord, Owner};
use crate::{Counter, OwnerTime};

/// What an owner has to know of a store that was restored from an older copy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Restore {
    /// What processes held is not closed yet: nothing is handed out.
    pub(super) frozen: bool,
    /// Windows that began before this count as used up.
    pub(super) not_before: OwnerTime,
}

impl Owner {
    /// Begins with nothing to hand out, for a store that was restored from an older copy: what was granted since is
    /// not in it. Only closings are taken in, until nothing is open and an owner begins that is not frozen.
    pub fn freeze(&mut self) {
        self.world.restore.frozen = true;
    }

    /// Says that the store was restored from an older copy, and all that was handed out from what is not in it was
    /// given up or closed at that time: windows that had begun by then count as used up, and whatever earlier owners
    /// may have handed out by the horizon until then, or for as long as one is written ahead, counts.
    pub fn restored(&mut self, at: OwnerTime) {
        self.world.restore.not_before = at;
        self.world
            .horizon
            .distrust(at.after(self.world.config.horizon_ms));
    }

    /// Makes the owner wait as if others had handed out by the horizon until now: for one that follows an
    /// owner whose clock was wrong, so that its record says little.
    pub fn distrust_horizon(&mut self, now: OwnerTime) {
        self.world.horizon.distrust(now);
    }

    /// Ends handing out, for good: from now on only answers of the store are taken in, of what was under way.
    pub fn retire(&mut self) {
        self.retired = true;
    }

    /// The records to leave behind by an owner that has retired at `now` or before: what is charged and was not
    /// handed out is there for the next one at once, and all that nodes have said is known to it.
    #[must_use]
    pub fn last_writes(&self, now: OwnerTime) -> Vec<Effect> {
        let mut counters = self.counters();
        counters.extend(self.idle.keys().cloned());
        let writes = counters.into_iter().filter_map(|counter| {
            let account = self.account(&counter, now)?;
            let write = account.keeping.last(&self.world.context(now, &counter))?;
            Some(write.effect(counter))
        });
        writes.collect()
    }

    /// The horizon's record to leave behind by an owner that takes no step after `now`, where there is any: with what the
    /// next one has to know to go on at once.
    #[must_use]
    pub fn last_horizon(&self, now: OwnerTime) -> Option<HorizonRecord> {
        let is_kept = |counter: &Counter| self.accounts.contains_key(counter);
        let untouched = self.world.horizon.legacies().untouched(is_kept);
        let own = self.accounts.values().filter_map(|account| {
            let context = self.world.context(now, &account.counter);
            Some((account.counter.clone(), account.keeping.legacy(&context)?))
        });
        self.world.horizon.last(now, untouched.chain(own).collect())
    }

    /// All that an owner which has retired does.
    pub(super) fn take_in(&mut self, now: OwnerTime, event: Event) {
        if let Event::Persisted { counter, outcome } = event {
            let nothing = &mut Gathered::default();
            self.with(now, &counter, nothing, |account, context, wishes| {
                account.persisted(context, outcome, wishes);
            });
        }
    }
}
