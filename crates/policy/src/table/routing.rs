//! Where requests for a model go.

use std::sync::Arc;
use std::time::Duration;

use super::Caller;
use crate::condition::{Condition, Facts, Features};

/// A model as callers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name in the policy, whichever alias the caller used.
    pub name: Arc<str>,
    /// Further names for it.
    pub aliases: Vec<String>,
    /// Ways to serve it. At least one, and the last is for every request.
    pub routes: Vec<Route>,
    /// Most attempts of one request over all pools, the first included. 1 to 10.
    pub attempts: u32,
    /// For one attempt up to its first content. None: only the provider's own time-outs bound it.
    pub per_attempt_timeout: Option<Duration>,
    /// The same for streamed requests, where that is shorter.
    pub first_token_timeout: Option<Duration>,
    /// How fast a stream has to begin. None: its first content is handed on at once.
    pub slow_stream: Option<SlowStream>,
    /// After how long without content a second attempt begins beside the first. None: never.
    pub hedge_after: Option<Duration>,
    /// For the whole request with all its attempts.
    pub deadline: Duration,
    /// What becomes of a stream that breaks off after its caller has seen some of it.
    pub on_cut: OnCut,
    /// Most output tokens of one request, and what a request gets that names no maximum. At least 1.
    pub max_output_tokens: u32,
    /// Whether the tokens of a prompt are counted exactly, where that can be done.
    pub exact_tokens: bool,
    /// Whether a route's condition looks at how complex a request is.
    pub weighs_complexity: bool,
    /// The limits whose use the routes' conditions look at, each once.
    pub budgets: Vec<Arc<str>>,
}

/// What becomes of a stream that breaks off after its caller has seen some of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCut {
    /// It ends with an error.
    #[default]
    Fail,
    /// Another deployment is asked the same, and what it repeats is left out.
    Replay,
    /// Deployments that can go on with a text are asked to; others as for a replay.
    Prefill,
}

impl OnCut {
    /// Returns its name, as in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Replay => "replay",
            Self::Prefill => "prefill",
        }
    }
}

/// One way to serve a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// For which requests. None: for all.
    pub condition: Option<Arc<Condition>>,
    /// Where to serve them, in the order in which to try. At least one.
    pub pools: Vec<Pool>,
    /// Where to go on after failures of some kinds, in the order in which to try.
    pub fallbacks: Vec<Fallback>,
    /// What requests that it serves are called in comparisons.
    pub variant: Option<Arc<str>>,
    /// Where copies of its requests go.
    pub shadow: Option<Shadow>,
}

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// What copies are sent as: a model of one route with the one pool. Its name is no caller's to ask for.
    pub model: Arc<Model>,
    /// Copies of a hundred requests.
    pub percent: u32,
    /// Copies under way at once at a node, at most.
    pub max_in_flight: u32,
}

/// What a route's condition says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The route serves it.
    Serves,
    /// It does not.
    Not,
    /// Why that cannot be said. It does not, then.
    Undecided(String),
}

impl Model {
    /// Returns the place among [`routes`](Self::routes) of the one that serves a request: the first whose condition
    /// holds. One that cannot be decided does not.
    #[must_use]
    pub fn route_for(&self, caller: &Caller<'_>, features: &Features<'_>) -> usize {
        let found = self
            .judge(caller, features)
            .position(|it| it == Verdict::Serves);
        found.unwrap_or(self.routes.len().saturating_sub(1))
    }

    /// Judges the routes one by one, in their order.
    pub fn judge(
        &self,
        caller: &Caller<'_>,
        features: &Features<'_>,
    ) -> impl Iterator<Item = Verdict> {
        let mut facts = None;
        self.routes.iter().map(move |route| {
            let Some(condition) = &route.condition else {
                return Verdict::Serves;
            };
            let new = || Facts::of_request(caller, &self.name, features);
            match condition.holds(facts.get_or_insert_with(new)) {
                Ok(true) => Verdict::Serves,
                Ok(false) => Verdict::Not,
                Err(why) => Verdict::Undecided(why),
            }
        })
    }

    /// Returns every target that a request can reach. One that is in several pools comes as often.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let pools = self.routes.iter().flat_map(Route::every_pool);
        pools.flat_map(|pool| &pool.targets)
    }
}

impl Route {
    /// Returns every pool that a request can reach by it.
    pub fn every_pool(&self) -> impl Iterator<Item = &Pool> {
        let fallbacks = self.fallbacks.iter().flat_map(|it| &it.pools);
        self.pools.iter().chain(fallbacks)
    }
}

/// Interchangeable deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// How one of them is chosen.
    pub strategy: Strategy,
    /// When one of them is taken out of use.
    pub health: Health,
    /// The deployments, each once. At least one.
    pub targets: Vec<Target>,
}

/// How one of a pool's deployments is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// By weight alone.
    #[default]
    Weighted,
    /// The fewest requests under way.
    LeastBusy,
    /// The soonest answer by experience.
    LeastLatency,
    /// The lowest cost of the request.
    Cheapest,
    /// The largest part of its ceilings left.
    MostRoom,
    /// The same one for requests that have this in common.
    Sticky(Sticky),
}

impl Strategy {
    /// Returns its name, as in a policy.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Weighted => "weighted",
            Self::LeastBusy => "least_busy",
            Self::LeastLatency => "least_latency",
            Self::Cheapest => "cheapest",
            Self::MostRoom => "most_room",
            Self::Sticky(_) => "sticky",
        }
    }
}

/// What requests have in common that go to the same deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// The caller's key.
    Key,
    /// The request's user.
    User,
    /// The request's metadata of this name.
    Metadata(String),
    /// The beginning of the prompt.
    Prompt,
}

/// When a deployment is taken out of use, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// After so many failures in a row. At least 1.
    pub failures: u32,
    /// After so many failed of a hundred requests of the last 10 s. 1 to 100.
    pub error_percent: u32,
    /// The fewest requests of which the percentage says anything.
    pub least_requests: u32,
    /// How many times as long as others answers have to take to count as failures. None: none does.
    pub slow_factor: Option<u32>,
    /// For how long at first.
    pub first_ejection: Duration,
    /// For how long at most.
    pub longest_ejection: Duration,
    /// How long its share grows when it is back.
    pub slow_start: Duration,
}

/// One deployment of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index of the deployment in [`Table::deployments`](super::Table::deployments).
    pub deployment: usize,
    /// Its share of requests relative to the pool's other targets. At least 1.
    pub weight: u32,
}

/// Pools for requests that the pools of the route did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// After which failures. Not empty.
    pub on: Causes,
    /// The pools, in the order in which to try. At least one.
    pub pools: Vec<Pool>,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    /// The request is too long for the model.
    pub context_length: bool,
    /// The provider's filter refused the request.
    pub content_filter: bool,
    /// A limit of the provider, or a ceiling.
    pub rate_limit: bool,
    /// Any other failure of the provider.
    pub other: bool,
}

impl Causes {
    /// Returns the names of those that are in it, as in a policy.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.context_length, "context_length"),
            (self.content_filter, "content_filter"),
            (self.rate_limit, "rate_limit"),
            (self.other, "other"),
        ];
        all.into_iter()
            .filter_map(|(named, name)| named.then_some(name))
    }
}

/// How fast a stream has to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowStream {
    /// So many tokens have to come. At least 2.
    pub tokens: u32,
    /// Within so long after the first of them.
    pub within: Duration,
}
