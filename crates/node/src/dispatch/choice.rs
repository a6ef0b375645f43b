//! Which deployment a request tries next.

use tollgate_balance::{self as balance, Attempts, Wish};
use tollgate_policy::price::{Bounds, Tokens};
use tollgate_policy::table::{Model, Route};

use super::Walk;
use crate::asked::Asked;
use crate::keys::Known;
use crate::meter::Meter;
use crate::revision::Revision;
use crate::route::affinity;
use crate::traffic::Chooser;

impl Walk<'_> {
    /// The next deployment to try, if there is any left that makes sense.
    pub(super) fn next(&self, attempts: &mut Attempts<'_>, meter: &Meter) -> Option<usize> {
        let facts = Facts {
            revision: self.revision,
            meter: Some(meter),
            bounds: meter.bounds(),
            output: self.wish.output,
        };
        let key = meter.key().map_or("", |key| &key.id);
        next(attempts, (self.wish, facts), (self.route, key, self.asked))
    }
}

/// The deployment that a caller's request within these bounds would most likely go to.
pub(crate) fn likeliest(
    revision: &Revision,
    model: &Model,
    key: &Known,
    asked: &Asked,
    bounds: &Bounds,
) -> Option<usize> {
    let place = model.route_for(&key.caller(), &asked.features(bounds));
    let facts = Facts {
        revision,
        meter: None,
        bounds,
        output: bounds.output,
    };
    let mut attempts = revision.route(model, place)?.attempts(1);
    let wish = Wish {
        output: bounds.output,
        ..Wish::default()
    };
    let of = (model.routes.get(place)?, &*key.id, asked);
    next(&mut attempts, (wish, facts), of)
}

fn next(
    attempts: &mut Attempts<'_>,
    (wish, facts): (Wish, Facts<'_>),
    (route, key, asked): (&Route, &str, &Asked),
) -> Option<usize> {
    let revision = facts.revision;
    let pool = |step: usize| route.every_pool().nth(step);
    let affinities = |step| affinity(pool(step)?, key, asked);
    let chooser = Chooser {
        wish,
        known: facts,
        affinities: &affinities,
    };
    revision.traffic().next(attempts, &chooser)
}

/// What a request would cost, and the room that there is.
struct Facts<'a> {
    revision: &'a Revision,
    /// Of a request that was admitted.
    meter: Option<&'a Meter>,
    bounds: &'a Bounds,
    output: u64,
}

impl balance::Known for Facts<'_> {
    fn price(&self, target: usize) -> Option<u64> {
        let (deployment, _) = self.revision.deployment(target)?;
        let tokens = Tokens {
            input: self.bounds.input,
            output: self.output,
            ..Tokens::default()
        };
        let price = deployment.price.as_ref()?;
        Some(price.cost(self.bounds.served, &tokens))
    }

    fn room(&self, target: usize) -> f64 {
        let ceilings = self.meter.zip(self.revision.ceilings(target));
        ceilings.map_or(1.0, |(meter, lines)| meter.room_left(lines))
    }
}
