//! A policy revision made ready to serve requests: the compiled table, a client for each provider, and what
//! traffic has told of its deployments.
//!
//! Built off the way of requests and swapped in whole. A request keeps the revision it began with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tollgate_balance::{self as balance, RetryBudget, RetryBudgetConfig, Route};
use tollgate_policy::table::{Deployment, Limit, Model, Provider};
use tollgate_policy::{Fault, Table, compile};
use tollgate_proto::node::v1::sighting::Whom;
use tollgate_proto::node::v1::{self as wire, Sighting};
use tollgate_proto::policy::v1::Policy;

use crate::counting::{Counting, Tokenisers};
use crate::expected::Expected;
use crate::keys::Known;
use crate::plan::Line;
use crate::route::route;
use crate::traffic::{self, RefusedKey, Traffic};
use crate::upstream::{Fingerprint, Upstream};
use crate::{clock, metrics};

/// How many this node tells others that it leaves out.
const MOST_SIGHTINGS: usize = 64;

/// A policy revision made ready to serve requests.
#[derive(Debug)]
pub(crate) struct Revision {
    /// The compiled policy.
    pub(crate) table: Table,
    upstreams: Vec<Arc<Upstream>>,
    ways: HashMap<Arc<str>, Way>,
    /// The counters that must admit an attempt, by deployment.
    ceilings: Vec<Arc<[Line]>>,
    traffic: Arc<Traffic>,
    /// How long answers are, by model.
    expected: HashMap<Arc<str>, Arc<Expected>>,
    /// How each model's prompts are counted.
    counting: HashMap<Arc<str>, Arc<Counting>>,
    tokenisers: Tokenisers,
    /// Places for copies of requests, by what they are sent as.
    copies: HashMap<Arc<str>, Places>,
    /// Limits of which it was reported that their condition cannot be decided for somebody.
    doubted: Mutex<HashSet<usize>>,
}

/// How requests for a model are led.
#[derive(Debug)]
struct Way {
    /// As in the table.
    routes: Vec<Route>,
    /// Its retries, which one model's trouble does not take from another.
    retries: Arc<Mutex<RetryBudget>>,
}

/// Places for copies of requests.
#[derive(Debug, Clone)]
struct Places {
    most: u32,
    free: Arc<Semaphore>,
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

#[cfg(test)]
impl Revision {
    /// The first revision of a policy in YAML.
    pub(crate) fn of_text(text: &str) -> Self {
        let source = tollgate_policy::yaml::Source {
            name: "p",
            text: text.as_bytes(),
        };
        let policy = tollgate_policy::yaml::load(&[source]).unwrap();
        Self::new(&policy, 1, None).unwrap()
    }
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
        let mut ways = HashMap::new();
        for model in table.every_model() {
            let routes = model.routes.iter().map(|it| route(&table, it));
            let routes: Result<_, _> = routes.collect();
            let routes = routes.map_err(|source| Unfit::Route {
                model: Arc::clone(&model.name),
                source,
            })?;
            let old = before.and_then(|before| before.ways.get(&model.name));
            let new = || Arc::new(Mutex::new(RetryBudget::new(RetryBudgetConfig::default())));
            let retries = old.map_or_else(new, |old| Arc::clone(&old.retries));
            ways.insert(Arc::clone(&model.name), Way { routes, retries });
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
        let traffic = Arc::new(traffic(&table, &upstreams, before));
        Ok(Self {
            expected: table.every_model().map(experience).collect(),
            counting,
            tokenisers,
            copies: places(&table, before),
            ceilings: ceilings.collect::<Result<_, _>>().map_err(Unfit::Ceiling)?,
            table,
            upstreams,
            ways,
            doubted: Mutex::default(),
            traffic,
        })
    }

    /// The pools of a model's route, by its place among them.
    pub(crate) fn route(&self, model: &Model, place: usize) -> Option<&Route> {
        self.ways.get(&model.name)?.routes.get(place)
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

    /// What traffic tells of deployments.
    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// A place for another copy of a request, which is sent as this model, if there is one.
    pub(crate) fn place_of_copy(&self, model: &Model) -> Option<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.copies.get(&model.name)?.free);
        places.try_acquire_owned().ok()
    }

    /// Whom this node leaves out, by what it has seen itself.
    pub(crate) fn left_out(&self) -> Vec<Sighting> {
        let named = |whom| match whom {
            balance::Whom::Target(target) => {
                let deployment = self.table.deployments().get(target)?;
                Some(Whom::Deployment(deployment.name.to_string()))
            }
            balance::Whom::Provider(provider) => {
                let provider = self.table.providers().get(provider)?;
                Some(Whom::Provider(provider.name.to_string()))
            }
            balance::Whom::Key(provider) => {
                let refused = self.traffic.refused_key(provider)?;
                let provider = self.table.providers().get(provider)?;
                Some(Whom::Key(wire::RefusedKey {
                    provider: provider.name.to_string(),
                    // Where this node has no key at all, that is its own trouble.
                    fingerprint: refused.fingerprint?.0,
                    reason: refused.reason,
                }))
            }
        };
        let sighting = |(whom, lasts): (balance::Whom, Duration)| {
            Some(Sighting {
                whom: Some(named(whom)?),
                for_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
                node: String::new(),
            })
        };
        let all = self.traffic.left_out();
        let all = all.into_iter().filter_map(sighting);
        all.take(MOST_SIGHTINGS).collect()
    }

    /// Other nodes leave these out: it is found out here whether they are right.
    pub(crate) fn suspect(&self, sightings: &[Sighting]) {
        for it in sightings {
            let (name, reason, is_new) = match &it.whom {
                Some(Whom::Deployment(name)) => {
                    let mut all = self.table.deployments().iter();
                    let found = all.position(|deployment| *deployment.name == **name);
                    let suspect = |target| self.traffic.suspect(balance::Whom::Target(target));
                    (name, "", found.is_some_and(suspect))
                }
                Some(Whom::Provider(name)) => {
                    let suspect = |target| self.traffic.suspect(balance::Whom::Provider(target));
                    (name, "", self.provider(name).is_some_and(suspect))
                }
                Some(Whom::Key(key)) => (&key.provider, &*key.reason, self.suspect_key(key, it)),
                // A word of a later version.
                None => continue,
            };
            if is_new {
                metrics::suspected(name);
                tracing::info!(
                    name,
                    by = it.node,
                    for_ms = it.for_ms,
                    reason,
                    "another node leaves it out: a request finds out"
                );
            }
        }
    }

    fn suspect_key(&self, key: &wire::RefusedKey, it: &Sighting) -> bool {
        let refused = RefusedKey {
            fingerprint: Some(Fingerprint(key.fingerprint)),
            reason: key.reason.clone(),
        };
        let ago = Duration::from_millis(it.for_ms);
        let provider = self.provider(&key.provider);
        provider.is_some_and(|provider| self.traffic.suspect_key(provider, refused, ago))
    }

    /// The place of a provider in the table.
    fn provider(&self, name: &str) -> Option<usize> {
        let mut all = self.table.providers().iter();
        let found = all.find(|provider| *provider.name == *name);
        found.map(|it| it.index)
    }

    /// So many nodes share what retries there may be whatever the traffic.
    pub(crate) fn share_retries(&self, nodes: u32) {
        let now = clock::boot_time();
        for way in self.ways.values() {
            way.retries.lock().share(nodes, now);
        }
    }

    /// A request for a model makes its first attempt.
    pub(crate) fn first_attempt(&self, model: &Model) {
        if let Some(way) = self.ways.get(&model.name) {
            way.retries.lock().deposit(clock::boot_time());
        }
    }

    /// Whether a request for a model may make a further attempt.
    pub(crate) fn may_retry(&self, model: &Model) -> bool {
        let way = self.ways.get(&model.name);
        way.is_some_and(|way| way.retries.lock().withdraw(clock::boot_time()))
    }
}

/// Places for copies of requests. They stay what they were before where there are as many: copies that are under way
/// have theirs.
fn places(table: &Table, before: Option<&Revision>) -> HashMap<Arc<str>, Places> {
    let places = table.shadows().map(|it| {
        let name = &it.model.name;
        let old = before.and_then(|before| before.copies.get(name));
        let old = old.filter(|old| old.most == it.max_in_flight).cloned();
        let most = usize::try_from(it.max_in_flight).unwrap_or(usize::MAX);
        let places = old.unwrap_or_else(|| Places {
            most: it.max_in_flight,
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
        });
        (Arc::clone(name), places)
    });
    places.collect()
}

/// What traffic tells of the table's deployments. What it told of those that are the same as before goes on: a change of
/// policy makes no provider well.
fn traffic(table: &Table, upstreams: &[Arc<Upstream>], before: Option<&Revision>) -> Traffic {
    let Some(before) = before else {
        return Traffic::new(table, upstreams, None);
    };
    let same = |target: usize| {
        let new = table.deployments().get(target)?;
        let upstream = upstreams.get(new.provider.index)?;
        let olds = before.table.deployments().iter();
        let mut olds =
            olds.filter(|old| old.name == new.name && old.model == new.model && old.api == new.api);
        let old = olds.next()?;
        let its_upstream = before.upstreams.get(old.provider.index)?;
        Arc::ptr_eq(upstream, its_upstream).then_some(old.index)
    };
    let before = traffic::Before {
        traffic: &before.traffic,
        place: &same,
    };
    Traffic::new(table, upstreams, Some(&before))
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
