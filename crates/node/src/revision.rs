//! A policy revision made ready to serve requests: the compiled table, a client for each provider, and what
//! traffic has told of its deployments.
//!
//! Built off the way of requests and swapped in whole. A request keeps the revision it began with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_balance::{
    Allowances, Attempts, Health, HealthConfig, Load, Mark, Pool, RetryBudget, RetryBudgetConfig,
    Route, Standing, Target, Words,
};
use tollgate_policy::table::{Deployment, Limit, Model, Provider};
use tollgate_policy::{Fault, Table, compile};
use tollgate_proto::policy::v1::Policy;

use crate::counting::{Counting, Tokenisers};
use crate::expected::Expected;
use crate::keys::Known;
use crate::plan::Line;
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
    /// The counters that must admit an attempt, by deployment.
    ceilings: Vec<Arc<[Line]>>,
    traffic: Mutex<Traffic>,
    retries: Mutex<RetryBudget>,
    /// How long answers are, by model.
    expected: HashMap<Arc<str>, Arc<Expected>>,
    /// How each model's prompts are counted.
    counting: HashMap<Arc<str>, Arc<Counting>>,
    tokenisers: Tokenisers,
    /// Limits of which it was reported that their condition cannot be decided for somebody.
    doubted: Mutex<HashSet<usize>>,
}

/// What traffic has told of deployments, by their places in the table.
#[derive(Debug)]
struct Traffic {
    health: Health<usize>,
    allowances: Allowances<usize>,
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
    #[error("a ceiling cannot be counted: {0}")]
    Ceiling(tollgate_quota::Error),
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
        let ceilings = table.deployments().iter().map(|it| {
            let lines = it.ceilings.iter().cloned().map(Line::new);
            lines.collect::<Result<Arc<[Line]>, _>>()
        });
        let experience = |model: &Arc<Model>| {
            let old = before.and_then(|before| before.expected(model));
            (Arc::clone(&model.name), old.unwrap_or_default())
        };
        Ok(Self {
            expected: table.models().iter().map(experience).collect(),
            counting,
            tokenisers,
            ceilings: ceilings.collect::<Result<_, _>>().map_err(Unfit::Ceiling)?,
            table,
            upstreams,
            routes,
            doubted: Mutex::default(),
            traffic: Mutex::new(Traffic {
                health: Health::new(HealthConfig::default()),
                allowances: Allowances::default(),
            }),
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

    /// The counters that must admit an attempt at a deployment; nothing where no ceiling is known.
    pub(crate) fn ceilings(&self, target: usize) -> Option<&Arc<[Line]>> {
        self.ceilings.get(target).filter(|lines| !lines.is_empty())
    }

    /// The next deployment for a request to try, if there is any left that makes sense. One whose provider says that
    /// it has no room for so much makes none.
    pub(crate) fn next(&self, attempts: &mut Attempts<'_, usize>, load: Load) -> Option<usize> {
        let now = clock::boot_time();
        let traffic = self.traffic.lock();
        attempts.next(random::number(), |target| {
            if traffic.allowances.wait(target, load, now).is_some() {
                return Standing::Cooling;
            }
            traffic.health.standing(target, now)
        })
    }

    /// How long a deployment is not to be asked, if so: it asked to be left alone, or has no room for so much.
    pub(crate) fn cooling(&self, target: usize, load: Load) -> Option<Duration> {
        let now = clock::boot_time();
        let traffic = self.traffic.lock();
        let full = traffic.allowances.wait(target, load, now);
        full.max(traffic.health.cooling_for(target, now))
    }

    /// An attempt at a deployment begins.
    pub(crate) fn begin(&self, target: usize, load: Load) -> Mark {
        let now = clock::boot_time();
        self.traffic.lock().allowances.begin(target, load, now)
    }

    /// The answer to an attempt says how the provider's limits stand.
    pub(crate) fn told(&self, target: usize, mark: &Mark, words: &Words) {
        if *words != Words::default() {
            let now = clock::boot_time();
            self.traffic
                .lock()
                .allowances
                .told(target, mark, words, now);
        }
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
        let now = clock::boot_time();
        self.traffic.lock().health.success(target, now);
    }

    /// A deployment did not answer.
    pub(crate) fn failed(&self, target: usize, ended: &Ended) {
        use tollgate_provider::Class;
        let now = clock::boot_time();
        let health = &mut self.traffic.lock().health;
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
