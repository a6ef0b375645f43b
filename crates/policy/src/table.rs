//! The lookup table that requests are served from.
//!
//! Built once per revision by [`compile`], off the way of requests, and never changed: names are resolved,
//! defaults are applied, everything is in a fixed order. Nodes swap a whole table for another.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::condition::{Condition, Facts};
use crate::price::{Bounds, Part, Price};
use crate::subject::Subject;
use crate::{Fault, counter, pb};

pub(crate) mod build;
pub mod defaults;
mod deployment;
mod protocol;
mod provider;
mod routing;
mod unit;

pub use deployment::{Deployment, Feature, Prefill};
pub use protocol::{Api, Protocol};
pub use provider::{
    Credential, Effect, Endpoint, Kind, Provider, Simulated, SimulatedFault, Timeouts,
};
pub use routing::{
    Causes, Fallback, Health, Model, OnCut, Pool, Route, Shadow, SlowStream, Sticky, Strategy,
    Target, Verdict,
};
pub use unit::{Amount, Measure, Reserve, Unit, Use, Weights};

/// Compiles a policy. It is validated first.
///
/// # Errors
/// Everything that [`validate`](crate::validate) finds.
pub fn compile(policy: &pb::Policy, revision: u64) -> Result<Table, Vec<Fault>> {
    let faults = crate::validate(policy);
    if faults.is_empty() {
        build::build(policy, revision).map_err(|fault| vec![fault])
    } else {
        Err(faults)
    }
}

/// A policy as requests are served from it.
#[derive(Debug)]
pub struct Table {
    revision: u64,
    providers: Vec<Arc<Provider>>,
    deployments: Vec<Arc<Deployment>>,
    models: Vec<Arc<Model>>,
    by_name: HashMap<Box<str>, Arc<Model>>,
    limits: Vec<Arc<Limit>>,
    tiers: HashMap<Box<str>, Tier>,
    /// Whether callers are told everything, where their tiers do not say otherwise.
    explains_fully: bool,
}

impl Table {
    /// Returns the revision that the table was compiled from.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns a model by its name or one of its aliases.
    #[must_use]
    pub fn model(&self, name_or_alias: &str) -> Option<&Arc<Model>> {
        self.by_name.get(name_or_alias)
    }

    /// Returns every model once, by name.
    #[must_use]
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// Returns what copies of requests are sent as: a model for each route that has copies made.
    pub fn shadows(&self) -> impl Iterator<Item = &Shadow> {
        let routes = self.models.iter().flat_map(|model| &model.routes);
        routes.filter_map(|route| route.shadow.as_ref())
    }

    /// Returns the models, those that copies are sent as included.
    pub fn every_model(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.iter().chain(self.shadows().map(|it| &it.model))
    }

    /// Returns the deployments by name. [`Target::deployment`] counts in this list.
    #[must_use]
    pub fn deployments(&self) -> &[Arc<Deployment>] {
        &self.deployments
    }

    /// Returns the providers by name.
    #[must_use]
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// Returns the limits by name, ceilings of providers included: the one order in which a request takes from them,
    /// and each attempt from its ceilings after that. The order is the same for nodes on different revisions, so that
    /// no two requests ever wait for each other.
    #[must_use]
    pub fn limits(&self) -> &[Arc<Limit>] {
        &self.limits
    }

    /// Returns a limit by its name.
    #[must_use]
    pub fn limit(&self, name: &str) -> Option<&Arc<Limit>> {
        let at = self
            .limits
            .binary_search_by(|limit| (*limit.name).cmp(name))
            .ok()?;
        self.limits.get(at)
    }

    /// Whether there is such a tier.
    #[must_use]
    pub fn has_tier(&self, name: &str) -> bool {
        self.tier(name).is_some()
    }

    /// Returns what a tier is worth to a node that cannot serve everybody.
    #[must_use]
    pub fn tier(&self, name: &str) -> Option<Tier> {
        self.tiers.get(name).copied()
    }

    /// Whether callers of this tier are told everything that decides about their requests.
    #[must_use]
    pub fn explains_fully(&self, tier: Option<&str>) -> bool {
        let of_tier = tier.and_then(|name| self.tier(name)?.explains_fully);
        of_tier.unwrap_or(self.explains_fully)
    }

    /// Returns the counters that must all admit a request of this caller for this model, in the order of
    /// [`limits`](Self::limits). They depend on nothing else, so a node computes them once per key and model.
    #[must_use]
    pub fn counters(&self, caller: &Caller<'_>, model: &Model) -> Vec<CounterSpec> {
        let holds = |limit: &Limit| limit.holds_for(caller.tier);
        self.counters_of(holds, caller, &model.name)
    }

    /// Returns the counters that must all admit a copy of such a request.
    #[must_use]
    pub fn copy_counters(&self, caller: &Caller<'_>, model: &Model) -> Vec<CounterSpec> {
        let holds = |limit: &Limit| limit.scope == Scope::Copies;
        self.counters_of(holds, caller, &model.name)
    }

    fn counters_of(
        &self,
        holds: impl Fn(&Limit) -> bool,
        caller: &Caller<'_>,
        model: &str,
    ) -> Vec<CounterSpec> {
        let mut facts = None;
        let spec = |limit: &Arc<Limit>| {
            let doubt = match (&limit.condition, holds(limit)) {
                (_, false) => return None,
                (None, true) => None,
                (Some(condition), true) => {
                    let facts = facts.get_or_insert_with(|| Facts::new(caller, model));
                    match condition.holds(facts) {
                        Ok(true) => None,
                        Ok(false) => return None,
                        Err(doubt) => Some(doubt),
                    }
                }
            };
            Some(CounterSpec {
                limit: Arc::clone(limit),
                counter: counter::name(limit, caller, model),
                part: counter::who(limit, caller, model),
                doubt,
            })
        };
        self.limits.iter().filter_map(spec).collect()
    }

    /// Returns the most that a request for this model can cost, in billionths of a US dollar, whichever of the
    /// model's deployments answers it. Deployments without a price are left out: where a limit counts money, there
    /// are none.
    #[must_use]
    pub fn highest_cost(&self, model: &Model, bounds: &Bounds) -> u64 {
        let prices = model
            .targets()
            .filter_map(|target| self.deployments.get(target.deployment)?.price.as_ref());
        let costs = prices.map(|price| price.highest_cost(bounds));
        costs.max().unwrap_or_default()
    }

    /// Returns a deployment that can answer for this model, and of whose price nobody says what this part costs, such
    /// as tokens of pictures. Searches are asked for of those only who make some. None: all of them are known.
    #[must_use]
    pub fn unpriced(&self, model: &Model, part: Part) -> Option<&Arc<Deployment>> {
        let knows = |price: &Price| price.knows(part);
        let mut targets = model
            .targets()
            .filter_map(|target| self.deployments.get(target.deployment));
        targets.find(|it| {
            let has = part != Part::Search || it.provider.kind.runs_tools(it.api);
            has && !it.price.as_ref().is_some_and(knows)
        })
    }

    /// Returns the limit that a counter belongs to. None where there is no such limit any more, or where it
    /// counts something else now (another unit, window or set of dimensions).
    #[must_use]
    pub fn limit_of_counter(&self, counter: &str) -> Option<&Arc<Limit>> {
        let limit = self.limit(counter::limit_name(counter))?;
        counter::belongs(counter, limit).then_some(limit)
    }

    /// Returns the limit and the name of its counter that is shown as this: the limit's name and the values of its
    /// dimensions, such as `per-key/key=k1`. None where the limit has no such counter.
    #[must_use]
    pub fn shown_counter(&self, shown: &str) -> Option<(&Arc<Limit>, String)> {
        let limit = self.limit(counter::limit_name(shown))?;
        let name = counter::of_shown(shown, limit);
        counter::belongs(&name, limit).then_some((limit, name))
    }
}

/// What the callers of a tier are worth to a node that cannot serve everybody at once. Its limits are among
/// [`Table::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its part in proportion to that of others, at least 1.
    pub weight: u32,
    /// Whether nobody waits for its answers just now.
    pub is_batch: bool,
    /// Whether its callers are told everything that decides about their requests. None: as others.
    pub explains_fully: Option<bool>,
}

/// Labels by their names.
pub type Labels = BTreeMap<String, String>;

/// Who asks: what limits can tell apart about a caller.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Public identifier of the key. Never the key itself: it becomes part of counters' names.
    pub key: &'a str,
    /// The name that its owner gave the key.
    pub key_name: &'a str,
    /// To whom the key belongs.
    pub subject: &'a Subject,
    /// The tier that the caller is of.
    pub tier: Option<&'a str>,
    /// The subject's labels.
    pub labels: &'a Labels,
}

impl<'a> Caller<'a> {
    /// A caller whose key has no name, without tier and labels.
    #[must_use]
    pub fn new(key: &'a str, subject: &'a Subject) -> Self {
        static NONE: Labels = Labels::new();
        Self {
            key,
            key_name: "",
            subject,
            tier: None,
            labels: &NONE,
        }
    }
}

/// A counter that must admit a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterSpec {
    /// Its limit.
    pub limit: Arc<Limit>,
    /// Its name, as described in [`counter`](mod@crate::counter).
    pub counter: String,
    /// Whose part of the counter the request counts as, where a limit tells those apart who share one.
    pub part: Option<String>,
    /// Why it could not be said whether the limit is meant for the caller. It applies then: a limit that somebody
    /// wrote is not left out because of a slip in its condition.
    pub doubt: Option<String>,
}

/// A cap on use.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its place in [`Table::limits`].
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// What it is a cap on.
    pub scope: Scope,
    /// To whom of them it applies. None: to all.
    pub condition: Option<Condition>,
    /// What has a counter of its own, each at most once, in the order of [`Dimension`]. Empty: one for all.
    pub per: Vec<Dimension>,
    /// Who shares each counter.
    pub sharing: Sharing,
    /// What is counted, and how.
    pub measure: Measure,
    /// Units that a window admits, or brings in. At least 1.
    pub amount: u64,
    /// How it counts over time.
    pub kind: tollgate_quota::Kind,
    /// The most units that a bucket saves up. At least 1.
    pub burst: u64,
    /// What is held while a request runs.
    pub reserve: Reserve,
    /// What becomes of a stream that outgrows what is held for it.
    pub overrun: Overrun,
    /// Whether it only tells what it would refuse.
    pub shadow: bool,
    /// Nothing is admitted so close to an edge of a window.
    pub guard: Duration,
    /// How long a request waits at most that it has no room for now. None: it is refused.
    pub longest_wait: Option<Duration>,
    /// What becomes of requests while nobody can say whether it has room.
    pub unreachable: Unreachable,
    /// What the names of its counters start with.
    pub(crate) stem: Arc<str>,
}

impl Limit {
    /// The most units that can be admitted at once.
    #[must_use]
    pub fn at_once(&self) -> u64 {
        use tollgate_quota::Kind;
        match self.kind {
            Kind::Bucket { .. } => self.burst,
            Kind::Fixed { .. }
            | Kind::Sliding { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => self.amount,
        }
    }

    /// Whether it holds for requests of callers of this tier.
    fn holds_for(&self, tier: Option<&str>) -> bool {
        match &self.scope {
            Scope::Everybody => true,
            Scope::Tier(of) => tier == Some(of),
            Scope::Copies | Scope::Provider(_) | Scope::Deployment(_) => false,
        }
    }
}

/// What becomes of requests while a limit's owner cannot be asked, once what the node holds is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// They are refused: the limit holds whatever happens.
    #[default]
    Closed,
    /// They are let through, unbounded.
    Open,
    /// They are let through within what nodes are promised ahead, all of them together so many per cent of each window:
    /// the limit holds whatever happens.
    Shares(u32),
}

impl Unreachable {
    /// How much of each window is promised to nodes ahead, in per cent.
    #[must_use]
    pub fn promised_percent(self) -> u32 {
        match self {
            Self::Closed | Self::Open => 0,
            Self::Shares(percent) => percent,
        }
    }
}

/// What becomes of a stream whose answer outgrows what is held for it, where the limit has no room for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overrun {
    /// It goes on; what it uses beyond is debt.
    #[default]
    Finish,
    /// It is ended.
    Stop,
}

/// Who shares a counter of a limit, as far as they are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Whoever comes first is served.
    #[default]
    Together,
    /// Callers who differ in these are equals: under contention each gets the same part.
    Fair(Vec<Dimension>),
    /// Each of these tiers is sure of so many per cent, by name.
    Shares(Vec<(Box<str>, u32)>),
}

/// What a limit is a cap on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Requests of all callers.
    Everybody,
    /// Requests of this tier's callers.
    Tier(Arc<str>),
    /// Copies of requests.
    Copies,
    /// Attempts at any deployment of this provider: a ceiling of the provider's own.
    Provider(Arc<str>),
    /// Attempts at this deployment: a ceiling of its provider's.
    Deployment(Arc<str>),
}

/// What a limit can tell apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// The API key.
    Key,
    /// The key's whole subject.
    User,
    /// The first two parts of the subject, or its only one.
    Team,
    /// The first part of the subject.
    Org,
    /// The model's name in the policy.
    Model,
    /// The caller's tier.
    Tier,
    /// The subject's label of this name.
    Label(Arc<str>),
}

impl Dimension {
    /// Returns its name in those of counters, such as `key` or `label.env`.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Team => "team",
            Self::Org => "org",
            Self::Model => "model",
            Self::Tier => "tier",
            Self::Label(name) => return Cow::Owned(format!("label.{name}")),
        })
    }

    /// Whether its values are paths, which hold `/`.
    pub(crate) fn is_subject(&self) -> bool {
        matches!(self, Self::User | Self::Team | Self::Org)
    }
}

#[cfg(test)]
mod tests;
