//! Turns a validated policy into a table.
//!
//! Every name was found and every number was in bounds when the policy was validated. What nevertheless turns
//! out otherwise here is reported as a fault of the policy rather than trusted.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Api, CounterSpec, Credential, Deployment, Dimension, Effect, Endpoint, Feature, Kind, Limit,
    Measure, Model, Overrun, Prefill, Protocol, Provider, Reserve, Scope, Sharing, Simulated,
    SimulatedFault, Table, Tier, Timeouts, Unit, Unreachable, Weights, defaults,
};
use crate::address::normal_base_url;
use crate::ceilings::{self, Ceiling};
use crate::condition::Condition;
use crate::price::{self, Price};
use crate::{Fault, counter, limits, path, pb};

mod routing;

/// Parts by name, to resolve references with.
type Index<'a, T> = HashMap<&'a str, T>;

pub(crate) fn build(policy: &pb::Policy, revision: u64) -> Result<Table, Fault> {
    let providers = numbered(sorted(&policy.providers), provider)?;
    let limits = all_limits(policy)?;
    let by_name: Index<'_, &Arc<Provider>> = providers.iter().map(|it| (&*it.name, it)).collect();
    let deployments = numbered(sorted(&policy.deployments), |index, name, it| {
        let price = policy
            .providers
            .get(&it.provider)
            .and_then(|provider| price::of(provider, it));
        deployment((index, name), it, price, &by_name, &limits)
    })?;
    let by_name: Index<'_, usize> = deployments.iter().map(|it| (&*it.name, it.index)).collect();
    let models = routing::models(policy, &by_name)?;
    Ok(Table {
        revision,
        by_name: names(&models),
        providers,
        deployments,
        models,
        limits,
        tiers: policy
            .tiers
            .iter()
            .map(|(name, it)| (name.as_str().into(), tier(it)))
            .collect(),
        explains_fully: explains_fully(policy.explanations()).unwrap_or_default(),
    })
}

fn tier(it: &pb::Tier) -> Tier {
    Tier {
        weight: it.weight.max(1),
        is_batch: it.priority() == pb::Priority::Batch,
        explains_fully: explains_fully(it.explanations()),
    }
}

fn explains_fully(it: pb::ExplanationMode) -> Option<bool> {
    match it {
        pb::ExplanationMode::Unspecified => None,
        pb::ExplanationMode::Brief => Some(false),
        pb::ExplanationMode::Full => Some(true),
    }
}

/// Limits and ceilings, by name.
fn all_limits(policy: &pb::Policy) -> Result<Vec<Arc<Limit>>, Fault> {
    let limits = limits::all(policy);
    let ceilings = ceilings::all(policy);
    let limits = limits.iter().map(limit);
    let ceilings = ceilings.iter().map(|it| Ok(ceiling(it)));
    let mut all = limits.chain(ceilings).collect::<Result<Vec<_>, _>>()?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    for (index, limit) in all.iter_mut().enumerate() {
        limit.index = index;
    }
    Ok(all.into_iter().map(Arc::new).collect())
}

/// The entries of a map in the order of their names.
pub(crate) fn sorted<'a, T: 'a>(
    map: impl IntoIterator<Item = (&'a String, &'a T)>,
) -> Vec<(&'a str, &'a T)> {
    let mut entries: Vec<_> = map
        .into_iter()
        .map(|(name, it)| (name.as_str(), it))
        .collect();
    entries.sort_by_key(|(name, _)| *name);
    entries
}

fn numbered<'a, T, U>(
    entries: Vec<(&'a str, &'a T)>,
    make: impl Fn(usize, &'a str, &'a T) -> Result<U, Fault>,
) -> Result<Vec<Arc<U>>, Fault> {
    let make = |(index, (name, it))| make(index, name, it).map(Arc::new);
    entries.into_iter().enumerate().map(make).collect()
}

fn names(models: &[Arc<Model>]) -> HashMap<Box<str>, Arc<Model>> {
    let mut names = HashMap::new();
    for model in models {
        for name in std::iter::once(&*model.name).chain(model.aliases.iter().map(String::as_str)) {
            names.insert(name.into(), Arc::clone(model));
        }
    }
    names
}

fn provider(index: usize, name: &str, it: &pb::Provider) -> Result<Provider, Fault> {
    Ok(Provider {
        index,
        name: name.into(),
        kind: kind(name, it)?,
        drop_unsupported: it.drop_unsupported,
        credential: credential(it.credential.as_ref()),
        internal: it.internal,
        timeouts: timeouts(it.timeouts.unwrap_or_default()),
    })
}

fn kind(name: &str, it: &pb::Provider) -> Result<Kind, Fault> {
    if it.kind() == pb::ProviderKind::Simulated {
        let settings = it.simulated.unwrap_or_default();
        return Ok(Kind::Simulated(simulated(name, &settings)?));
    }
    let at = path::entry("providers", name);
    let protocol = Protocol::of(it.kind()).ok_or_else(|| unset(&at, "kind"))?;
    let default = || {
        let regional = protocol.regional_base_url(&it.region);
        regional.or_else(|| protocol.default_base_url().map(str::to_owned))
    };
    let base_url = match default() {
        Some(default) if it.base_url.is_empty() => Some(default),
        _ => normal_base_url(&it.base_url),
    };
    Ok(Kind::Http(Endpoint {
        protocol,
        base_url: base_url.ok_or_else(|| unset(&at, "base_url"))?,
        api_version: Some(it.api_version.clone()).filter(|version| !version.is_empty()),
        region: it.region.clone(),
    }))
}

fn credential(it: Option<&pb::Credential>) -> Credential {
    match it.and_then(|it| it.source.as_ref()) {
        None => Credential::None,
        Some(pb::credential::Source::Env(name)) => Credential::Env(name.clone()),
        Some(pb::credential::Source::File(path)) => Credential::File(PathBuf::from(path)),
    }
}

fn timeouts(it: pb::Timeouts) -> Timeouts {
    Timeouts {
        connect: or(it.connect, defaults::CONNECT),
        first_byte: or(it.first_byte, defaults::FIRST_BYTE),
        idle: or(it.idle, defaults::IDLE),
    }
}

fn simulated(name: &str, it: &pb::Simulated) -> Result<Simulated, Fault> {
    let fault = match &it.fault {
        None => None,
        Some(fault) => Some(SimulatedFault {
            percent: or_default(fault.percent, defaults::FAULT_PERCENT),
            effect: effect(name, fault)?,
        }),
    };
    Ok(Simulated {
        first_token_latency: or(it.first_token_latency, Duration::ZERO),
        token_interval: or(it.token_interval, Duration::ZERO),
        output_tokens: or_default(it.output_tokens, defaults::SIMULATED_OUTPUT_TOKENS),
        fault,
    })
}

fn effect(name: &str, it: &pb::Fault) -> Result<Effect, Fault> {
    let after_tokens = it.after_tokens;
    let unset = |field| {
        Err(unset(
            &format!("{}.simulated.fault", path::entry("providers", name)),
            field,
        ))
    };
    match it.kind() {
        pb::FaultKind::Status => {
            u16::try_from(it.status).map_or_else(|_| unset("status"), |it| Ok(Effect::Status(it)))
        }
        pb::FaultKind::Hang => Ok(Effect::Hang { after_tokens }),
        pb::FaultKind::Reset => Ok(Effect::Reset { after_tokens }),
        pb::FaultKind::Truncate => Ok(Effect::Truncate { after_tokens }),
        pb::FaultKind::Unspecified => unset("kind"),
    }
}

fn deployment(
    (index, name): (usize, &str),
    it: &pb::Deployment,
    price: Option<Price>,
    providers: &Index<'_, &Arc<Provider>>,
    limits: &[Arc<Limit>],
) -> Result<Deployment, Fault> {
    let provider = providers
        .get(it.provider.as_str())
        .ok_or_else(|| unset(&path::entry("deployments", name), "provider"))?;
    let is_ceiling = |limit: &&Arc<Limit>| match &limit.scope {
        Scope::Provider(of) => **of == *it.provider,
        Scope::Deployment(of) => **of == *name,
        Scope::Everybody | Scope::Tier(_) | Scope::Copies => false,
    };
    let counted = |limit: &Arc<Limit>| CounterSpec {
        limit: Arc::clone(limit),
        counter: limit.stem.to_string(),
        part: None,
        doubt: None,
    };
    Ok(Deployment {
        index,
        name: name.into(),
        provider: Arc::clone(provider),
        model: it.model.clone(),
        base_model: price::name(it).to_owned(),
        api: Api::of(it.api()),
        price,
        prefill: Prefill::of(it.prefill()),
        lacks: it.lacks().filter_map(Feature::of).collect(),
        ceilings: limits.iter().filter(is_ceiling).map(counted).collect(),
    })
}

/// A ceiling counts over any minute, wherever the provider's own begins. What is sent within a minute may arrive
/// within less, by as much as delays differ: the window is so much longer.
const CEILING_WINDOW_MS: u64 = 60_500;

fn ceiling(it: &Ceiling) -> Limit {
    let kind = match it.unit {
        Unit::Concurrent => tollgate_quota::Kind::Concurrent,
        Unit::Requests | Unit::Tokens | Unit::InputTokens | Unit::OutputTokens | Unit::Cost => {
            tollgate_quota::Kind::Sliding {
                window_ms: CEILING_WINDOW_MS,
            }
        }
    };
    let default = Weights::default();
    Limit {
        index: 0,
        scope: it.scope.clone(),
        condition: None,
        per: Vec::new(),
        sharing: Sharing::Together,
        measure: Measure {
            unit: it.unit,
            weights: Weights {
                cached_input: if it.counts_cached {
                    default.cached_input
                } else {
                    0
                },
                ..default
            },
        },
        amount: it.amount,
        kind,
        reserve: Reserve::WorstCase,
        overrun: Overrun::Finish,
        shadow: false,
        guard: Duration::ZERO,
        longest_wait: None,
        // The provider has the last word anyway.
        unreachable: unreachable(it.on_unreachable, None).unwrap_or(Unreachable::Open),
        burst: it.amount,
        stem: counter::stem(&it.name, it.unit, kind).into(),
        name: it.name.as_str().into(),
    }
}

fn limit(placed: &limits::Placed<'_>) -> Result<Limit, Fault> {
    let it = placed.limit;
    let unset = |field| unset(&placed.at, field);
    let (unit, amount) = it
        .amount
        .as_ref()
        .map(amount)
        .ok_or_else(|| unset("amount"))?;
    let kind = counts(it, unit).ok_or_else(|| unset("window"))?;
    let mut per = it
        .per()
        .map(|it| dimension(it).ok_or_else(|| unset("per")))
        .collect::<Result<Vec<_>, Fault>>()?;
    per.extend(
        it.per_labels
            .iter()
            .map(|it| Dimension::Label(it.as_str().into())),
    );
    if per.is_empty() && placed.tier.is_some() {
        per.push(Dimension::Key);
    }
    per.sort_unstable();
    let condition = Some(it.r#match.as_str()).filter(|text| !text.is_empty());
    let condition = condition.map(Condition::new).transpose();
    Ok(Limit {
        index: 0,
        condition: condition.map_err(|wrong| {
            Fault::new(path::field(&placed.at, "match"), wrong.problem).maybe_hint(wrong.hint)
        })?,
        name: (&*placed.name).into(),
        scope: match placed.tier {
            _ if it.copies => Scope::Copies,
            Some(tier) => Scope::Tier(tier.into()),
            None => Scope::Everybody,
        },
        per,
        sharing: sharing(it).ok_or_else(|| unset("fair"))?,
        measure: Measure {
            unit,
            weights: weights(it.weights.unwrap_or_default()),
        },
        amount,
        kind,
        reserve: reserve(it.reserve()),
        overrun: overrun(it.on_overrun()),
        shadow: it.mode() == pb::LimitMode::Shadow,
        guard: or(it.guard, Duration::ZERO),
        longest_wait: longest_wait(it),
        unreachable: unreachable(it.on_unreachable(), it.promised_percent).unwrap_or_default(),
        burst: if it.burst == 0 { amount } else { it.burst },
        stem: counter::stem(&placed.name, unit, kind).into(),
    })
}

/// Who shares a counter of a limit.
fn sharing(it: &pb::Limit) -> Option<Sharing> {
    if !it.fair.is_empty() {
        let mut fair = it.fair().map(dimension).collect::<Option<Vec<_>>>()?;
        fair.sort_unstable();
        return Some(Sharing::Fair(fair));
    }
    let mut shares: Vec<(Box<str>, u32)> = it
        .shares
        .iter()
        .map(|(tier, percent)| (tier.as_str().into(), *percent))
        .collect();
    shares.sort_unstable();
    Some(if shares.is_empty() {
        Sharing::Together
    } else {
        Sharing::Shares(shares)
    })
}

/// How a limit counts over time.
pub(crate) fn counts(it: &pb::Limit, unit: Unit) -> Option<tollgate_quota::Kind> {
    use tollgate_quota::{Kind, Zone};
    let window = match (it.window, unit) {
        (_, Unit::Concurrent) => return Some(Kind::Concurrent),
        (None, _) => return Some(Kind::Endless),
        (Some(window), _) => window,
    };
    if window.calendar == 0 {
        let window_ms = u64::from(window.seconds) * 1000;
        return Some(match it.kind() {
            pb::LimitKind::Unspecified | pb::LimitKind::Fixed => Kind::Fixed { window_ms },
            pb::LimitKind::Sliding => Kind::Sliding { window_ms },
            pb::LimitKind::Bucket => Kind::Bucket { window_ms },
        });
    }
    let zone = match it.timezone.as_str() {
        "" => Zone::UTC,
        name => Zone::named(name)?,
    };
    let period = period(window.calendar())?;
    Some(Kind::Calendar { period, zone })
}

pub(crate) fn period(it: pb::CalendarPeriod) -> Option<tollgate_quota::Period> {
    use tollgate_quota::Period;
    match it {
        pb::CalendarPeriod::Unspecified => None,
        pb::CalendarPeriod::Day => Some(Period::Day),
        pb::CalendarPeriod::Week => Some(Period::Week),
        pb::CalendarPeriod::Month => Some(Period::Month),
        pb::CalendarPeriod::Quarter => Some(Period::Quarter),
        pb::CalendarPeriod::Year => Some(Period::Year),
    }
}

/// What a limit counts, and how many units of it a window admits.
pub(crate) fn amount(it: &pb::limit::Amount) -> (Unit, u64) {
    match it {
        pb::limit::Amount::Requests(amount) => (Unit::Requests, *amount),
        pb::limit::Amount::Tokens(amount) => (Unit::Tokens, *amount),
        pb::limit::Amount::InputTokens(amount) => (Unit::InputTokens, *amount),
        pb::limit::Amount::OutputTokens(amount) => (Unit::OutputTokens, *amount),
        pb::limit::Amount::Concurrent(amount) => (Unit::Concurrent, *amount),
        // Negative amounts do not pass validation.
        pb::limit::Amount::CostUsd(usd) => {
            (Unit::Cost, u64::try_from(usd.nanos).unwrap_or_default())
        }
    }
}

fn weights(it: pb::TokenWeights) -> Weights {
    let default = Weights::default();
    let or = |weight: Option<pb::Weight>, default| weight.map_or(default, |it| it.thousandths);
    Weights {
        cached_input: or(it.cached_input, default.cached_input),
        output: or(it.output, default.output),
    }
}

fn longest_wait(it: &pb::Limit) -> Option<Duration> {
    match it.on_exhausted() {
        pb::ExhaustedMode::Unspecified | pb::ExhaustedMode::Reject => None,
        pb::ExhaustedMode::Wait => Some(or(it.longest_wait, defaults::LONGEST_WAIT)),
    }
}

fn unreachable(it: pb::UnreachableMode, percent: Option<u32>) -> Option<Unreachable> {
    match it {
        pb::UnreachableMode::Unspecified => None,
        pb::UnreachableMode::Closed => Some(Unreachable::Closed),
        pb::UnreachableMode::Open => Some(Unreachable::Open),
        pb::UnreachableMode::Shares => Some(Unreachable::Shares(
            percent.unwrap_or(defaults::PROMISED_PERCENT),
        )),
    }
}

fn reserve(it: pb::ReserveMode) -> Reserve {
    match it {
        pb::ReserveMode::Unspecified | pb::ReserveMode::WorstCase => Reserve::WorstCase,
        pb::ReserveMode::Expected => Reserve::Expected,
    }
}

fn overrun(it: pb::OverrunMode) -> Overrun {
    match it {
        pb::OverrunMode::Unspecified | pb::OverrunMode::Finish => Overrun::Finish,
        pb::OverrunMode::Stop => Overrun::Stop,
    }
}

pub(crate) fn dimension(it: pb::Dimension) -> Option<Dimension> {
    match it {
        pb::Dimension::Unspecified => None,
        pb::Dimension::Key => Some(Dimension::Key),
        pb::Dimension::User => Some(Dimension::User),
        pb::Dimension::Team => Some(Dimension::Team),
        pb::Dimension::Org => Some(Dimension::Org),
        pb::Dimension::Model => Some(Dimension::Model),
        pb::Dimension::Tier => Some(Dimension::Tier),
    }
}

/// A length of time, if it is a well-formed one that is not negative.
pub(crate) fn duration(it: &prost_types::Duration) -> Option<Duration> {
    let nanos = u32::try_from(it.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(it.seconds).ok()?, nanos))
}

fn or(it: Option<prost_types::Duration>, default: Duration) -> Duration {
    it.as_ref().and_then(duration).unwrap_or(default)
}

/// Zero is how the wire says that a number is not set.
fn or_default(it: u32, default: u32) -> u32 {
    if it == 0 { default } else { it }
}

fn unset(path: &str, field: &str) -> Fault {
    Fault::new(
        path::field(path, field),
        "is not set to anything that is known",
    )
}
