//! A policy revision made ready to serve requests: the compiled table, a client for each provider, and what
//! traffic has told of its deployments.
//!
//! Built off the way of requests and swapped in whole. A request keeps the revision it began with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_balance::{
    Attempts, Health, HealthConfig, Pool, RetryBudget, RetryBudgetConfig, Route, Target,
};
use tollgate_policy::table::{Deployment, Limit, Model, Provider};
use tollgate_policy::{Fault, Table, compile};
use tollgate_proto::policy::v1::Policy;

use crate::counting::{Counting, Tokenisers};
use crate::expected::Expected;
use crate::keys::Known;
use crate::upstream::{Ended, Upstream};
use crate::{clock, random};

/// How long a deployment is left alone whose provider does not accept the key. A policy with another key, or a
/// corrected one, starts afresh.
const DEAD_KEY_COOL_DOWN: Duration = Duration::from_secs(30);

/// A policy revision made ready to serve requests.
#[derive(Debug)]
pub(crate) struct Revision {
    /// The compiled policy.
    pub(crate) table: Table,
    upstreams: Vec<Arc<Upstream>>,
    routes: HashMap<Arc<str>, Route<usize>>,
    health: Mutex<Health<usize>>,
    retries: Mutex<RetryBudget>,
    /// How long answers are, by model.
    expected: HashMap<Arc<str>, Arc<Expected>>,
    /// How each model's prompts are counted.
    counting: HashMap<Arc<str>, Arc<Counting>>,
    tokenisers: Tokenisers,
    /// Limits of which it was reported that their condition cannot be decided for somebody.
    doubted: Mutex<HashSet<usize>>,
}

/// Why a policy cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<Fault>),
    #[error("model `{model}` has no usable route: {source}")]
    Route {
        model: Arc<str>,
        source: tollgate_balance::Error,
    },
}

impl Revision {
    /// Compiles a policy and prepares its providers. Clients of providers that did not change are taken over
    /// from the revision before, so that their connections stay.
    ///
    /// # Errors
    /// The policy breaks a rule. Providers that cannot be called are no reason: they are logged, and fail when
    /// they are used.
    pub(crate) fn new(policy: &Policy, number: u64, before: Option<&Self>) -> Result<Self, Unfit> {
        let table = compile(policy, number).map_err(Unfit::Faults)?;
        let upstream = |provider: &Arc<Provider>| {
            let old =
                before.and_then(|before| before.upstreams.iter().find(|old| old.serves(provider)));
            old.cloned()
                .unwrap_or_else(|| Arc::new(Upstream::new(provider)))
        };
        let upstreams: Vec<_> = table.providers().iter().map(upstream).collect();
        for upstream in &upstreams {
            if let Some(problem) = upstream.fault() {
                tracing::error!(
                    provider = &*upstream.provider.name,
                    problem,
                    "a provider cannot be called"
                );
            }
        }
        let mut routes = HashMap::new();
        for model in table.models() {
            let route = route(model).map_err(|source| Unfit::Route {
                model: Arc::clone(&model.name),
                source,
            })?;
            routes.insert(Arc::clone(&model.name), route);
        }
        let (counting, tokenisers) = counting(&table, before);
        let experience = |model: &Arc<Model>| {
            let old = before.and_then(|before| before.expected(model));
            (Arc::clone(&model.name), old.unwrap_or_default())
        };
        Ok(Self {
            expected: table.models().iter().map(experience).collect(),
            counting,
            tokenisers,
            table,
            upstreams,
            routes,
            doubted: Mutex::default(),
            health: Mutex::new(Health::new(HealthConfig::default())),
            retries: Mutex::new(RetryBudget::new(RetryBudgetConfig::default())),
        })
    }

    /// The pools of a model.
    pub(crate) fn route(&self, model: &Model) -> Option<&Route<usize>> {
        self.routes.get(&model.name)
    }

    /// Reports, once for each limit, that its condition cannot be decided for somebody.
    pub(crate) fn doubt(&self, limit: &Limit, why: &str, key: &Known) {
        if self.doubted.lock().insert(limit.index) {
            tracing::warn!(
                limit = &*limit.name,
                key = &*key.id,
                subject = key.subject.as_str(),
                why,
                "the `match` of a limit cannot be decided for a caller, so the limit applies; said once for all callers"
            );
        }
    }

    /// How the tokens of a model's prompts are counted.
    pub(crate) fn counting(&self, model: &Model) -> Arc<Counting> {
        self.counting.get(&model.name).cloned().unwrap_or_default()
    }

    /// The experience with a model's answers. It outlives the revision.
    pub(crate) fn expected(&self, model: &Model) -> Option<Arc<Expected>> {
        self.expected.get(&model.name).cloned()
    }

    /// A deployment by its number in routes.
    pub(crate) fn deployment(&self, target: usize) -> Option<(&Arc<Deployment>, &Arc<Upstream>)> {
        let deployment = self.table.deployments().get(target)?;
        let upstream = self.upstreams.get(deployment.provider.index)?;
        Some((deployment, upstream))
    }

    /// The next deployment for a request to try, if there is any left that makes sense.
    pub(crate) fn next(&self, attempts: &mut Attempts<'_, usize>) -> Option<usize> {
        let now = clock::boot_time();
        let health = self.health.lock();
        attempts.next(random::number(), |target| health.standing(target, now))
    }

    /// How long until one of a model's deployments may be asked again, where all of them asked to be left alone.
    pub(crate) fn cooling(&self, route: &Route<usize>) -> Option<Duration> {
        let now = clock::boot_time();
        let health = self.health.lock();
        let waits: Option<Vec<_>> = route
            .targets()
            .map(|target| health.cooling_for(target, now))
            .collect();
        waits?.into_iter().min()
    }

    /// A request makes its first attempt.
    pub(crate) fn first_attempt(&self) {
        self.retries.lock().deposit(clock::boot_time());
    }

    /// Whether a request may make a further attempt.
    pub(crate) fn may_retry(&self) -> bool {
        self.retries.lock().withdraw(clock::boot_time())
    }

    /// A deployment answered.
    pub(crate) fn succeeded(&self, target: usize) {
        self.health.lock().success(target, clock::boot_time());
    }

    /// A deployment did not answer.
    pub(crate) fn failed(&self, target: usize, ended: &Ended) {
        use tollgate_provider::Class;
        let now = clock::boot_time();
        let mut health = self.health.lock();
        match ended.failure.class {
            Class::KeyLimited | Class::Ramping => {
                health.cool_down(target, ended.failure.retry_after, now)
            }
            Class::KeyDead => health.cool_down(target, Some(DEAD_KEY_COOL_DOWN), now),
            Class::Overloaded | Class::Server | Class::Transport | Class::Truncated => {
                health.failure(target, now);
            }
            // The request was at fault.
            Class::CallerError | Class::ContextTooLong | Class::ContentFilter => {}
        }
    }
}

/// How each model's prompts are counted, and the tokenisers for that.
fn counting(
    table: &Table,
    before: Option<&Revision>,
) -> (HashMap<Arc<str>, Arc<Counting>>, Tokenisers) {
    let mut tokenisers = Tokenisers::default();
    let loaded = before.map(|before| &before.tokenisers);
    let counting = table.models().iter().map(|model| {
        let old = before.map(|before| before.counting(model));
        let counter = tokenisers.counter(loaded, table, model);
        let counting = Counting::new(counter, old.as_deref());
        (Arc::clone(&model.name), Arc::new(counting))
    });
    (counting.collect(), tokenisers)
}

fn route(model: &Model) -> Result<Route<usize>, tollgate_balance::Error> {
    let pool = |pool: &tollgate_policy::table::Pool| {
        let target = |target: &tollgate_policy::table::Target| Target {
            id: target.deployment,
            weight: target.weight,
        };
        Pool::new(pool.targets.iter().map(target).collect())
    };
    let pools: Result<_, _> = model.pools.iter().map(pool).collect();
    Route::new(pools?)
}
