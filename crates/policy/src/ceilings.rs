//! The ceilings of providers: limits on attempts instead of callers' requests.

use crate::table::{Protocol, Scope, Unit, build};
use crate::{path, pb};

/// The names of ceilings, in the order of their amounts in [`of`].
const FIELDS: [(&str, Unit); 5] = [
    ("requests_per_minute", Unit::Requests),
    ("tokens_per_minute", Unit::Tokens),
    ("input_tokens_per_minute", Unit::InputTokens),
    ("output_tokens_per_minute", Unit::OutputTokens),
    ("concurrent", Unit::Concurrent),
];

/// A ceiling and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// Its path, such as `deployments.gpt.limits.concurrent`.
    pub(crate) at: String,
    /// Its name among limits, such as `deployment.gpt.concurrent`. No limit that is written as one has dots in its
    /// name.
    pub(crate) name: String,
    /// Whose attempts it caps.
    pub(crate) scope: Scope,
    /// What it counts.
    pub(crate) unit: Unit,
    /// How much of it.
    pub(crate) amount: u64,
    /// Whether input that the provider read from its cache counts.
    pub(crate) counts_cached: bool,
    /// What becomes of attempts while nobody can say whether there is room.
    pub(crate) on_unreachable: pb::UnreachableMode,
}

/// All ceilings: those of providers, then those of deployments, each by name.
pub(crate) fn all(policy: &pb::Policy) -> Vec<Ceiling> {
    let mut all = Vec::new();
    for (name, it) in build::sorted(&policy.providers) {
        let at = path::entry("providers", name);
        let scope = Scope::Provider(name.into());
        of(it.limits.as_ref(), &at, &scope, it.kind(), &mut all);
    }
    for (name, it) in build::sorted(&policy.deployments) {
        let at = path::entry("deployments", name);
        let scope = Scope::Deployment(name.into());
        let provider = policy.providers.get(&it.provider);
        let kind = provider.map_or(pb::ProviderKind::Unspecified, pb::Provider::kind);
        of(it.limits.as_ref(), &at, &scope, kind, &mut all);
    }
    all
}

/// What says ceilings, with its path.
pub(crate) fn holders(policy: &pb::Policy) -> Vec<(String, &pb::Ceilings)> {
    let providers = build::sorted(&policy.providers).into_iter();
    let providers = providers.map(|(name, it)| (path::entry("providers", name), &it.limits));
    let deployments = build::sorted(&policy.deployments).into_iter();
    let deployments = deployments.map(|(name, it)| (path::entry("deployments", name), &it.limits));
    let all = providers.chain(deployments);
    all.filter_map(|(at, limits)| Some((path::field(&at, "limits"), limits.as_ref()?)))
        .collect()
}

fn of(
    limits: Option<&pb::Ceilings>,
    at: &str,
    scope: &Scope,
    kind: pb::ProviderKind,
    all: &mut Vec<Ceiling>,
) {
    let Some(limits) = limits else { return };
    let at = path::field(at, "limits");
    let holder = match scope {
        Scope::Provider(name) => format!("provider.{name}"),
        Scope::Deployment(name) => format!("deployment.{name}"),
        Scope::Everybody | Scope::Tier(_) | Scope::Copies => return,
    };
    let counts_cached = Protocol::of(kind).is_none_or(Protocol::limits_cached_input);
    let amounts = [
        limits.requests_per_minute,
        limits.tokens_per_minute,
        limits.input_tokens_per_minute,
        limits.output_tokens_per_minute,
        limits.concurrent,
    ];
    for ((field, unit), amount) in FIELDS.into_iter().zip(amounts) {
        let Some(amount) = amount else { continue };
        all.push(Ceiling {
            at: path::field(&at, field),
            name: format!("{holder}.{field}"),
            scope: scope.clone(),
            unit,
            amount,
            counts_cached,
            on_unreachable: limits.on_unreachable(),
        });
    }
}
