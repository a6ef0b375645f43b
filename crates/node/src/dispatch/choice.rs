//! Which deployment a request tries next.

use tollgate_balance::{self as balance, Attempts, Candidate, Load, Report, Tried, Wish};
use tollgate_policy::condition::Budget;
use tollgate_policy::price::Tokens;
use tollgate_policy::table::{Pool, Route};

use crate::error::Error;
use crate::limiter::Limiter;
use crate::plan::{Line, Plan};
use crate::prepared::Prepared;
use crate::random;
use crate::route::{affinity, budgets};
use crate::traffic::Chooser;

/// A request and all that decides about where it goes. Nothing of it changes on the way.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) limiter: &'a Limiter,
    pub(crate) request: &'a Prepared,
    /// How far the limits are used that the routes' conditions ask for.
    pub(crate) budgets: Vec<Budget>,
    /// The model's route that serves the request.
    pub(crate) route: &'a Route,
    /// The place of that route among the model's.
    pub(crate) place: usize,
    /// What the request is to the balancer.
    pub(crate) wish: Wish,
    /// What its caller has seen of an answer that broke off. None: nothing was answered yet.
    pub(super) seen: Option<&'a str>,
    way: &'a balance::Route,
}

impl<'a> Case<'a> {
    /// Finds the route of a request that is counted by this plan.
    ///
    /// # Errors
    /// It has none, which is a defect.
    pub(crate) fn new(
        limiter: &'a Limiter,
        request: &'a Prepared,
        plan: &Plan,
    ) -> Result<Self, Error> {
        let Prepared { key, model, .. } = request;
        let budgets = budgets(&model.budgets, plan, |counter| limiter.view(counter));
        let place = model.route_for(&key.caller(), &request.features(&budgets));
        let case = Self::at(limiter, request, place)?;
        Ok(Self { budgets, ..case })
    }

    /// A request whose answer broke off, on the route that it took. Its caller has seen so much of it.
    ///
    /// # Errors
    /// There is no such route, which is a defect.
    pub(crate) fn broken_off(
        limiter: &'a Limiter,
        request: &'a Prepared,
        place: usize,
        seen: &'a str,
    ) -> Result<Self, Error> {
        let case = Self::at(limiter, request, place)?;
        Ok(Self {
            seen: Some(seen),
            ..case
        })
    }

    /// A copy of a request, on the one route of what it is sent as.
    ///
    /// # Errors
    /// There is no such route, which is a defect.
    pub(crate) fn of_copy(limiter: &'a Limiter, request: &'a Prepared) -> Result<Self, Error> {
        Self::at(limiter, request, 0)
    }

    fn at(limiter: &'a Limiter, request: &'a Prepared, place: usize) -> Result<Self, Error> {
        let Prepared {
            revision, model, ..
        } = request;
        let way = revision.route(model, place);
        let missing = Error::Internal {
            what: "finding the model's route",
        };
        let (route, way) = model.routes.get(place).zip(way).ok_or(missing)?;
        Ok(Self {
            limiter,
            request,
            budgets: Vec::new(),
            route,
            place,
            wish: wish(request),
            seen: None,
            way,
        })
    }

    /// The walk of the request over its route.
    pub(crate) fn attempts(&self) -> Attempts<'a> {
        self.way.attempts(self.request.model.attempts)
    }

    /// The walk of a request that has made a part of it.
    pub(crate) fn resume(&self, tried: Tried) -> Attempts<'a> {
        self.way.resume(tried)
    }

    /// The next deployment to try, if there is any left that makes sense.
    pub(crate) fn next(&self, attempts: &mut Attempts<'_>) -> Option<usize> {
        self.draw(attempts, random::number())
    }

    /// The same, drawn by `random`.
    pub(crate) fn draw(&self, attempts: &mut Attempts<'_>, random: u64) -> Option<usize> {
        let affinities = |step| self.affinity(step);
        let traffic = self.request.revision.traffic();
        traffic.next(attempts, &self.chooser(&affinities), random)
    }

    /// Every deployment of the route as it would be seen when the next is chosen.
    pub(crate) fn survey(&self, attempts: &Attempts<'_>) -> Vec<(Candidate, Report)> {
        let affinities = |step| self.affinity(step);
        let traffic = self.request.revision.traffic();
        traffic.survey(attempts, &self.chooser(&affinities))
    }

    /// The pool at a step of the route.
    pub(crate) fn pool(&self, step: usize) -> Option<&'a Pool> {
        self.route.every_pool().nth(step)
    }

    fn affinity(&self, step: usize) -> Option<u64> {
        affinity(self.pool(step)?, &self.request.key.id, &self.request.asked)
    }

    fn chooser<'b>(
        &'b self,
        affinities: &'b dyn Fn(usize) -> Option<u64>,
    ) -> Chooser<'b, Case<'a>> {
        Chooser {
            wish: self.wish,
            known: self,
            affinities,
        }
    }
}

/// What a request would cost, and the room that there is.
impl balance::Known for Case<'_> {
    fn price(&self, target: usize) -> Option<u64> {
        let (deployment, _) = self.request.revision.deployment(target)?;
        let bounds = &self.request.bounds;
        let tokens = Tokens {
            input: bounds.input,
            output: self.wish.output,
            ..Tokens::default()
        };
        let price = deployment.price.as_ref()?;
        Some(price.cost(bounds.served, &tokens))
    }

    fn room(&self, target: usize) -> f64 {
        let left = |line: &Line| {
            let view = self.limiter.view(&line.counter)?;
            let thousandths = u128::from(view.remaining) * 1000 / u128::from(view.limit.max(1));
            Some(f64::from(u32::try_from(thousandths).unwrap_or(1000)) / 1000.0)
        };
        let ceilings = self.request.revision.ceilings(target);
        let lines = ceilings.map_or(&[][..], |lines| lines);
        lines.iter().filter_map(left).fold(1.0, f64::min)
    }
}

/// What a request is to the balancer: what an attempt takes of what providers count, and the output that is expected.
fn wish(request: &Prepared) -> Wish {
    let most = &request.bounds;
    let expected = request.revision.expected(&request.model);
    Wish {
        load: Load {
            requests: 1,
            tokens: most.input.saturating_add(most.output),
            input_tokens: most.input,
            output_tokens: most.output,
        },
        output: expected.map_or(most.output, |it| it.typical(most.output)),
    }
}
