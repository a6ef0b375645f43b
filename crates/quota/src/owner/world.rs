//! What an owner knows beside its accounts, and they act by.

use std::sync::Arc;

use crate::owner::Config;
use crate::owner::account::Context;
use crate::owner::horizon::{Horizon, View};
use crate::owner::raise::Raises;
use crate::owner::session::Sessions;
use crate::owner::terms::Restore;
use crate::{Counter, Epoch, Limits, OwnerTime};

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) epoch: Epoch,
    pub(super) config: Config,
    pub(super) limits: Arc<Limits>,
    pub(super) raises: Raises,
    pub(super) sessions: Sessions,
    pub(super) horizon: Horizon,
    pub(super) restore: Restore,
}

impl World {
    pub(super) fn new(epoch: Epoch, config: Config, limits: Arc<Limits>) -> Self {
        Self {
            epoch,
            config,
            limits,
            raises: Raises::default(),
            sessions: Sessions::default(),
            horizon: Horizon::new(epoch),
            restore: Restore::default(),
        }
    }

    /// What accounts see of the horizon.
    pub(super) fn view(&self) -> View {
        self.horizon.view(self.limits.revision())
    }

    /// All of it that concerns a counter.
    pub(super) fn context(&self, now: OwnerTime, counter: &Counter) -> Context<'_> {
        let raise = self.raises.of(counter, now);
        Context {
            now,
            epoch: self.epoch,
            config: &self.config,
            sessions: &self.sessions,
            spec: self.limits.of(counter),
            shares: self.limits.shares(counter),
            promised: self.limits.promised(counter),
            raised: raise.map_or(0, |raise| raise.units),
            restore: self.restore,
            horizon: self.view(),
            legacy: self.horizon.legacies().of(counter),
        }
    }
}
