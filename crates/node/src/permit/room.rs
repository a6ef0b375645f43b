//! What an attempt takes of the ceilings of a deployment and its provider.

use std::sync::Arc;

use tollgate_policy::table::Use;
use tollgate_quota::node::Denial;

use super::held::Held;
use super::{Charge, Needs};
use crate::limiter::Limiter;
use crate::plan::Line;

/// Room for an attempt at a deployment. Dropped unsettled it goes back whole: nothing was sent.
#[derive(Debug)]
pub(crate) struct Room {
    lines: Arc<[Line]>,
    held: Held,
}

impl Room {
    /// Takes it.
    ///
    /// # Errors
    /// The ceiling that has no room.
    pub(super) async fn take(
        limiter: &Arc<Limiter>,
        lines: &Arc<[Line]>,
        most: Use,
    ) -> Result<Self, Denial> {
        let held = Held::take(limiter, lines, Needs::of_attempt(most)).await?;
        Ok(Self {
            lines: Arc::clone(lines),
            held,
        })
    }

    /// Notes what the attempt has used for certain.
    pub(crate) fn used(&self, used: &Use) {
        self.held.used(&self.lines, used);
    }

    /// Ends it at what the attempt is charged.
    pub(crate) fn settle(mut self, charge: Charge) {
        self.held.settle(&self.lines, charge);
    }
}
