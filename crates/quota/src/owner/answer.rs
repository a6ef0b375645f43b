//! What a step says in the end: its effects, and one message to each process that there is news for.

use std::collections::BTreeMap;

use crate::owner::{Effect, Owner};
use crate::{Close, Counter, Incarnation, OwnerMessage, OwnerTime};

/// What one step gathers.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) effects: Vec<Effect>,
    pub(super) tell: BTreeMap<Incarnation, Vec<Counter>>,
    /// What each process is told to be closed.
    pub(super) closed: BTreeMap<Incarnation, Vec<Close>>,
}

impl Owner {
    pub(super) fn finish(&mut self, now: OwnerTime, mut gathered: Gathered) -> Vec<Effect> {
        let act = self
            .world
            .horizon
            .work(now, self.world.limits.revision(), &self.world.config);
        gathered.effects.extend(act.map(Effect::from));
        if let Some(reason) = self.ended {
            return vec![Effect::StepDown(reason)];
        }
        let Gathered {
            mut effects,
            tell,
            mut closed,
        } = gathered;
        for (incarnation, counters) in tell {
            let closed = closed.remove(&incarnation).unwrap_or_default();
            let message = self.message(now, incarnation, counters, closed);
            effects.extend(message.map(Effect::Send));
        }
        effects
    }

    fn message(
        &self,
        now: OwnerTime,
        incarnation: Incarnation,
        mut counters: Vec<Counter>,
        closed: Vec<Close>,
    ) -> Option<OwnerMessage> {
        let session = self.world.sessions.get(incarnation)?;
        counters.sort_unstable();
        counters.dedup();
        let tell = |counter: &Counter| {
            let pool = counter.pool();
            let account = self.accounts.get(pool)?;
            let holder = account.holder(counter, incarnation)?;
            account.tell(&self.world.context(now, pool), holder)
        };
        Some(OwnerMessage {
            epoch: self.world.epoch,
            incarnation,
            echo_t_node: session.t_node,
            owner_now: now,
            accounts: counters.iter().filter_map(tell).collect(),
            closed,
        })
    }
}
