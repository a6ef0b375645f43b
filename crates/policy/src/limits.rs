//! The limits of a policy, wherever they stand: those for all callers and those of tiers.

use std::borrow::Cow;

use crate::table::build;
use crate::yaml::write_window;
use crate::{path, pb};

/// A limit and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Placed<'a> {
    /// Its path, such as `limits[2]` or `tiers.free.limits[0]`.
    pub(crate) at: String,
    /// The tier whose callers it holds for. None: for all.
    pub(crate) tier: Option<&'a str>,
    /// Its name, made up where a tier's limit has none.
    pub(crate) name: Cow<'a, str>,
    /// What the policy says.
    pub(crate) limit: &'a pb::Limit,
}

/// All limits: those for all callers in their order, then those of tiers by the tiers' names.
pub(crate) fn all(policy: &pb::Policy) -> Vec<Placed<'_>> {
    let mut all = Vec::new();
    for (index, limit) in policy.limits.iter().enumerate() {
        all.push(Placed {
            at: path::item("limits", index),
            tier: None,
            name: Cow::Borrowed(&limit.name),
            limit,
        });
    }
    let mut tiers: Vec<_> = policy.tiers.iter().collect();
    tiers.sort_by_key(|(name, _)| *name);
    for (tier, it) in tiers {
        let at = path::field(&path::entry("tiers", tier), "limits");
        for (index, limit) in it.limits.iter().enumerate() {
            all.push(Placed {
                at: path::item(&at, index),
                tier: Some(tier),
                name: name(tier, limit),
                limit,
            });
        }
    }
    all
}

/// The name of a tier's limit: `free-requests-1h`, or `free-tokens-1d-team-model` where it counts otherwise than by
/// key. The same limit has the same name wherever it stands among the others, so that moving it resets nothing.
fn name<'a>(tier: &str, limit: &'a pb::Limit) -> Cow<'a, str> {
    if !limit.name.is_empty() {
        return Cow::Borrowed(&limit.name);
    }
    let mut parts = vec![tier.to_owned()];
    if let Some(amount) = &limit.amount {
        let (unit, _) = build::amount(amount);
        parts.push(unit.as_str().to_owned());
    }
    parts.extend(limit.window.map(write_window));
    match limit.kind() {
        pb::LimitKind::Unspecified | pb::LimitKind::Fixed => {}
        pb::LimitKind::Sliding => parts.push("sliding".to_owned()),
        pb::LimitKind::Bucket => parts.push("bucket".to_owned()),
    }
    let dimensions = limit.per().filter_map(build::dimension);
    parts.extend(dimensions.map(|it| it.name().into_owned()));
    parts.extend(limit.per_labels.iter().map(|it| format!("label-{it}")));
    // Names of labels may hold what names of limits may not.
    Cow::Owned(parts.join("-").replace(['_', '.'], "-"))
}
