//! Which deployment a request tries next.

use tollgate_balance::{Attempts, Known};
use tollgate_policy::price::Tokens;

use super::Walk;
use crate::meter::Meter;
use crate::revision::Revision;
use crate::route::affinity;
use crate::traffic::Chooser;

impl Walk<'_> {
    /// The next deployment to try, if there is any left that makes sense.
    pub(super) fn next(&self, attempts: &mut Attempts<'_>, meter: &Meter) -> Option<usize> {
        let pool = |step: usize| self.route.every_pool().nth(step);
        let key = || meter.key().map_or("", |key| &key.id);
        let affinities = |step| affinity(pool(step)?, key(), self.request);
        let chooser = Chooser {
            wish: self.wish,
            known: Facts {
                revision: self.revision,
                meter,
                output: self.wish.output,
            },
            affinities: &affinities,
        };
        self.revision.traffic().next(attempts, &chooser)
    }
}

/// What a request would cost, and the room that there is.
struct Facts<'a> {
    revision: &'a Revision,
    meter: &'a Meter,
    output: u64,
}

impl Known for Facts<'_> {
    fn price(&self, target: usize) -> Option<u64> {
        let (deployment, _) = self.revision.deployment(target)?;
        let bounds = self.meter.bounds();
        let tokens = Tokens {
            input: bounds.input,
            output: self.output,
            ..Tokens::default()
        };
        Some(deployment.price.as_ref()?.cost(bounds.served, &tokens))
    }

    fn room(&self, target: usize) -> f64 {
        let ceilings = self.revision.ceilings(target);
        ceilings.map_or(1.0, |lines| self.meter.room_left(lines))
    }
}
