//! What of windows to come is promised to processes.

use super::{Counted, in_force};
use crate::owner::account::Context;
use crate::promise::{Aim, FEWEST_AHEAD};
use crate::{Incarnation, Promises, Window};

impl Counted {
    /// Units of a window that are promised, or may be for all that is known.
    pub(super) fn promised_of(&self, context: &Context<'_>, window: Window) -> u64 {
        let stored = self.stored.0.as_ref();
        let known = stored.map_or(0, |record| record.promises.units(window));
        let (unknown, last) = self.unknown(context);
        if window <= last {
            known.max(unknown)
        } else {
            known
        }
    }

    /// All that is promised of this window and later ones.
    pub(super) fn promises_since(&self) -> Promises {
        let stored = self.stored.0.as_ref();
        stored.map_or_else(Promises::default, |it| it.promises.since(self.window))
    }

    /// What is to be promised now to those who are there, of a limit of so many units by policy, where that is more
    /// than is.
    pub(super) fn renewed(
        &self,
        context: &Context<'_>,
        units: u64,
        members: &[Incarnation],
    ) -> Option<Promises> {
        if context.promised == 0 {
            return None;
        }
        let aim = Aim {
            window: self.window,
            ahead: self.ahead(context),
            units: part(units, context.promised),
            members,
            unknown: self.unknown(context),
        };
        match &self.stored.0 {
            Some(record) => record.promises.renewed(&aim),
            None => Promises::default().renewed(&aim),
        }
    }

    /// So many windows are promised ahead.
    fn ahead(&self, context: &Context<'_>) -> u64 {
        let reach = context.config.promised_ms.div_ceil(self.window_ms);
        reach.max(FEWEST_AHEAD)
    }

    /// Units of each window, up to that one, that owners may have promised of whom a restored store knows nothing.
    fn unknown(&self, context: &Context<'_>) -> (u64, Window) {
        let restored = context.restore.not_before;
        let force = in_force(context, self.stored.0.as_ref());
        let units = force.map_or(0, |force| part(force.units, context.promised));
        if restored.0 == 0 || units == 0 {
            return (0, Window(0));
        }
        // One more, for owners whose clocks were ahead.
        let last = Window::at(restored, self.window_ms).0 + self.ahead(context) + 1;
        (units, Window(last))
    }
}

/// So many per cent of the units, rounded down.
fn part(units: u64, percent: u32) -> u64 {
    let part = u128::from(units) * u128::from(percent.min(100)) / 100;
    u64::try_from(part).unwrap_or(units)
}
