//! Units of windows to come that processes are promised, as those who share an account see it.

use crate::Incarnation;
use crate::owner::account::{Account, Context};
use crate::owner::keeping::Keeping;
use crate::owner::part::Holder;

/// Units of the window that a holder is promised. Parts are promised nothing.
pub(super) fn promised(keeping: &dyn Keeping, to: Holder) -> u64 {
    if to.is_whole() {
        keeping.promised(to.incarnation)
    } else {
        0
    }
}

impl Account {
    /// Brings the rows up to what is promised of the window. What of it is idle they say themselves.
    pub(super) fn note_promises(&mut self) {
        let Self { rows, keeping, .. } = self;
        for (holder, row) in rows.iter_mut() {
            row.promised = promised(keeping.as_ref(), *holder);
        }
    }

    /// The processes that units are to be promised to: all that are there and have spoken of the counter.
    pub(super) fn members(&self, context: &Context<'_>) -> Vec<Incarnation> {
        if context.promised == 0 {
            return Vec::new();
        }
        let there = self.rows.keys().filter(|holder| {
            holder.is_whole() && context.sessions.reachable(holder.incarnation, context)
        });
        there.map(|holder| holder.incarnation).collect()
    }
}
