//! What applying a policy would change.

use std::collections::{BTreeMap, BTreeSet};

use crate::{path, pb};

/// Returns one line for each part that was added, changed or removed, such as `limits.per-key: changed`, by
/// section and name. Nothing where the policies mean the same: the order of limits has no meaning.
#[must_use]
pub fn diff(old: &pb::Policy, new: &pb::Policy) -> Vec<String> {
    let mut lines = Vec::new();
    section("providers", &old.providers, &new.providers, &mut lines);
    section(
        "deployments",
        &old.deployments,
        &new.deployments,
        &mut lines,
    );
    section("pools", &old.pools, &new.pools, &mut lines);
    section("models", &old.models, &new.models, &mut lines);
    section("limits", limits(old), limits(new), &mut lines);
    section("tiers", &old.tiers, &new.tiers, &mut lines);
    lines
}

fn limits(policy: &pb::Policy) -> impl Iterator<Item = (&String, &pb::Limit)> {
    policy.limits.iter().map(|limit| (&limit.name, limit))
}

fn section<'a, T: PartialEq + 'a>(
    name: &str,
    old: impl IntoIterator<Item = (&'a String, &'a T)>,
    new: impl IntoIterator<Item = (&'a String, &'a T)>,
    lines: &mut Vec<String>,
) {
    let old: BTreeMap<_, _> = old.into_iter().collect();
    let new: BTreeMap<_, _> = new.into_iter().collect();
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
    for key in keys {
        let what = match (old.get(key), new.get(key)) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(old), Some(new)) if old == new => continue,
            (Some(_), Some(_)) => "changed",
        };
        lines.push(format!("{}: {what}", path::entry(name, key)));
    }
}

#[cfg(test)]
mod tests {
    use super::diff;
    use crate::pb;

    fn limit(name: &str, requests: u64) -> pb::Limit {
        pb::Limit {
            name: name.to_owned(),
            amount: Some(pb::limit::Amount::Requests(requests)),
            ..Default::default()
        }
    }

    #[test]
    fn names_what_changed_and_nothing_else() {
        let mut old = pb::Policy::default();
        old.pools.insert("a".to_owned(), pb::Pool::default());
        old.pools.insert("b".to_owned(), pb::Pool::default());
        old.limits = vec![limit("per-key", 1), limit("app", 2)];
        let mut new = old.clone();
        new.limits.reverse();
        assert!(diff(&old, &new).is_empty());
        new.pools.remove("b");
        new.providers
            .insert("x".to_owned(), pb::Provider::default());
        new.limits = vec![limit("app", 2), limit("per-key", 3)];
        assert_eq!(
            diff(&old, &new),
            [
                "providers.x: added",
                "pools.b: removed",
                "limits.per-key: changed"
            ]
        );
    }
}
