//! The names of counters.
//!
//! A counter is one cell of a limit: what one combination of its dimensions has used. Its name is
//! `<limit>/<unit>=<window>`, with the window's kind where that is not fixed, followed by `/<dimension>=<value>` for
//! each dimension of the limit:
//!
//! ```text
//! whole-app/tokens=3600s
//! per-key/requests=60s/key=k1
//! burst/requests=bucket-1s/key=k1
//! team-model/tokens=60s/team=acme/search/model=chat
//! by-env/cost_usd=3600s/label.env=prod
//! team-month/cost_usd=1mo@Europe:Berlin/team=acme/search
//! at-once/concurrent=now/key=k1
//! ```
//!
//! *One name, one cell.* The name of a limit holds no `/`; the values of subjects are validated and hold no `=`;
//! every other value is percent-escaped outside of letters, digits, `-`, `_`, `.`, and one that a caller lacks (a
//! tier, a label) is `(none)`. So a part with `=` always
//! begins something new, a part without continues a subject, and the name can be taken apart in one way only.
//!
//! *Why unit, kind and window are part of it.* Windows are numbered from the Unix epoch by their length, and a
//! counter's windows never go back. Were a limit's window made longer under the same name, its numbers would be
//! lower than those already seen, and the counter would stand still for decades. With the length in the name a
//! limit whose window, kind or unit changes starts new counters; one whose amount changes keeps them.
//!
//! Dimensions are in one order whatever order the policy lists them in, so that reordering them resets nothing.

use std::fmt::Write as _;

use tollgate_quota::Kind;

use crate::table::{Caller, Dimension, Limit, Sharing, Unit};

/// Returns the name of the limit that a counter belongs to: what precedes the first `/`.
#[must_use]
pub fn limit_name(counter: &str) -> &str {
    counter.split_once('/').map_or(counter, |(limit, _)| limit)
}

/// What the names of all counters of a limit start with.
pub(crate) fn stem(limit: &str, unit: Unit, kind: Kind) -> String {
    let window = match kind {
        Kind::Fixed { window_ms } => format!("{}s", window_ms / 1000),
        Kind::Sliding { window_ms } => format!("sliding-{}s", window_ms / 1000),
        Kind::Bucket { window_ms } => format!("bucket-{}s", window_ms / 1000),
        Kind::Calendar { .. } | Kind::Endless => kind.to_string(),
        Kind::Concurrent => "now".to_owned(),
    };
    format!("{limit}/{}={window}", unit.as_str())
}

/// What stands for the value of a dimension that a caller lacks. No escaped value looks like it.
const NONE: &str = "(none)";

/// The name of the counter that a limit has for a caller and a model.
pub(crate) fn name(limit: &Limit, caller: &Caller<'_>, model: &str) -> String {
    let mut name = limit.stem.to_string();
    for dimension in &limit.per {
        name.push('/');
        value(dimension, caller, model, &mut name);
    }
    name
}

/// Whose part of that counter it is, where a limit tells those apart who share one: `user=acme/search/ada`, or
/// `tier=premium`.
pub(crate) fn who(limit: &Limit, caller: &Caller<'_>, model: &str) -> Option<String> {
    let mut who = String::new();
    match &limit.sharing {
        Sharing::Together => return None,
        Sharing::Fair(dimensions) => {
            for dimension in dimensions {
                let separator = if who.is_empty() { "" } else { "/" };
                who.push_str(separator);
                value(dimension, caller, model, &mut who);
            }
        }
        Sharing::Shares(shares) => {
            let named = |tier: &&str| shares.iter().any(|(name, _)| **name == **tier);
            who = of_tier(caller.tier.filter(named));
        }
    }
    Some(who)
}

/// What each part of a limit's counters is sure of, in per cent, by whose it is; nothing where they are equal.
#[must_use]
pub fn shares(limit: &Limit) -> Vec<(Box<str>, u32)> {
    let Sharing::Shares(shares) = &limit.sharing else {
        return Vec::new();
    };
    let named = shares.iter();
    let named = named.map(|(tier, percent)| (of_tier(Some(tier)).into(), *percent));
    let sum: u32 = shares.iter().map(|(_, percent)| percent).sum();
    let others = (of_tier(None).into(), 100u32.saturating_sub(sum));
    named.chain([others]).collect()
}

/// The part of a tier that has a share, or of all others.
fn of_tier(tier: Option<&str>) -> String {
    let mut who = "tier=".to_owned();
    optional(tier, &mut who);
    who
}

fn value(dimension: &Dimension, caller: &Caller<'_>, model: &str, name: &mut String) {
    name.push_str(&dimension.name());
    name.push('=');
    match dimension {
        Dimension::Key => escape(caller.key, name),
        Dimension::User => name.push_str(caller.subject.user()),
        Dimension::Team => name.push_str(caller.subject.team()),
        Dimension::Org => name.push_str(caller.subject.org()),
        Dimension::Model => escape(model, name),
        Dimension::Tier => optional(caller.tier, name),
        Dimension::Label(label) => {
            let value = caller.labels.get(&**label);
            optional(value.map(String::as_str), name);
        }
    }
}

fn optional(value: Option<&str>, into: &mut String) {
    match value {
        Some(value) => escape(value, into),
        None => into.push_str(NONE),
    }
}

/// What a counter is shown as: without the unit and the window, which are shown beside it.
#[must_use]
pub fn shown(counter: &str) -> String {
    let mut parts = counter.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(limit), Some(_), Some(dimensions)) => format!("{limit}/{dimensions}"),
        (limit, _, _) => limit.unwrap_or_default().to_owned(),
    }
}

/// The name of the limit's counter that is shown as this.
pub(crate) fn of_shown(shown: &str, limit: &Limit) -> String {
    format!("{}{}", limit.stem, &shown[limit.name.len()..])
}

/// Whether a counter is one that the limit could have now: same unit and window, same dimensions.
pub(crate) fn belongs(counter: &str, limit: &Limit) -> bool {
    let Some(rest) = counter.strip_prefix(&*limit.stem) else {
        return false;
    };
    let mut parts = rest.split('/');
    // What follows the stem must be nothing or start with the separator.
    if parts.next() != Some("") {
        return false;
    }
    let mut dimensions = limit.per.iter();
    let mut current = None;
    for part in parts {
        match part.split_once('=') {
            Some((name, value)) => {
                current = dimensions.next();
                if value.is_empty() || current.is_none_or(|dimension| dimension.name() != name) {
                    return false;
                }
            }
            None if part.is_empty() || !current.is_some_and(|dimension| dimension.is_subject()) => {
                return false;
            }
            None => {}
        }
    }
    dimensions.next().is_none()
}

fn escape(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            into.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests;
