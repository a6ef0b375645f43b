//! What is wrong with a policy.
//!
//! Everything is checked on the contract's messages, so that the control plane and every node judge what they
//! receive by the rules that also hold for files.

use std::collections::{BTreeSet, HashMap};

use prost::Message;

use crate::fault::Fault;
use crate::table::build;
use crate::{nearest, path, pb};

mod limit;
mod price;
mod provider;
mod routing;
mod serving;
mod sharing;
mod standing;
mod unmeant;

/// Largest policy, encoded. It travels as one message and is stored within what a store takes at once, by default
/// 4 MiB (gRPC) and 1.5 MiB (etcd).
const MAX_BYTES: usize = 1 << 20;
/// Longest name of a part.
const MAX_NAME: usize = 63;
/// Longest of all lengths of time but windows, in seconds.
const MAX_SECONDS: u64 = 3600;

/// Faults that get the nearest name as a hint. Comparing every wrong name with every right one takes time in the
/// square of the policy's size, and nobody reads that far.
const MAX_HINTS: usize = 100;

/// Returns everything that is wrong with a policy, in the order of the policy's parts. Nothing: it can run. An
/// empty policy is valid; it serves no model.
#[must_use]
pub fn validate(policy: &pb::Policy) -> Vec<Fault> {
    let mut faults = Vec::new();
    let size = policy.encoded_len();
    if size > MAX_BYTES {
        let fault = Fault::new(
            "",
            format!("the policy is {size} bytes long, at most {MAX_BYTES} can be stored"),
        );
        faults.push(fault.hint("remove what no longer serves"));
        return faults;
    }
    provider::check(policy, &mut faults);
    serving::deployments(policy, &mut faults);
    serving::pools(policy, &mut faults);
    serving::models(policy, &mut faults);
    limit::check(policy, &mut faults);
    routing::budgets(policy, &mut faults);
    faults
}

/// Returns what a policy may hold but probably does not mean: parts that nothing uses, limits below what a single
/// request needs. Ask for it once [`validate`] finds nothing; it never refuses a policy.
#[must_use]
pub fn warnings(policy: &pb::Policy) -> Vec<Fault> {
    unmeant::warnings(policy)
}

/// The entries of a map by name, with the path of each, after a look at their names.
fn entries<'a, T>(
    section: &str,
    map: impl IntoIterator<Item = (&'a String, &'a T)>,
    faults: &mut Vec<Fault>,
) -> Vec<(String, &'a str, &'a T)> {
    let mut entries: Vec<_> = map.into_iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    let mut named = Vec::with_capacity(entries.len());
    for (name, it) in entries {
        let at = path::entry(section, name);
        check_name(name, &at, faults);
        named.push((at, name.as_str(), it));
    }
    named
}

fn check_name(name: &str, at: &str, faults: &mut Vec<Fault>) {
    let problem = if name.is_empty() {
        "has no name".to_owned()
    } else if name.len() > MAX_NAME {
        format!("the name is longer than {MAX_NAME} characters")
    } else if let Some(bad) = name
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
    {
        format!("the name holds {bad:?}")
    } else {
        return;
    };
    let hint = format!("use 1 to {MAX_NAME} lower-case letters, digits and dashes");
    faults.push(Fault::new(at, problem).hint(hint));
}

/// The names of a section, to resolve references with.
type Names<'a> = BTreeSet<&'a str>;

fn names<'a>(keys: impl IntoIterator<Item = &'a String>) -> Names<'a> {
    keys.into_iter().map(String::as_str).collect()
}

/// Looks whether a name refers to a `what` that is there.
fn check_reference(name: &str, what: &str, at: &str, known: &Names<'_>, faults: &mut Vec<Fault>) {
    if known.contains(name) {
        return;
    }
    let fault = if name.is_empty() {
        Fault::new(at, "is missing").hint(format!("name a {what}"))
    } else {
        let fault = Fault::new(at, format!("there is no {what} `{}`", path::shorten(name)));
        if known.is_empty() {
            fault.hint(format!(
                "the policy has no {what}s: define it under `{what}s`"
            ))
        } else if faults.len() < MAX_HINTS {
            fault.maybe_hint(nearest::hint(name, known.iter().copied()))
        } else {
            fault
        }
    };
    faults.push(fault);
}

/// Reports the items of a list that were there before. `path_of` gives the path of an item.
fn check_repeats<'a>(
    items: impl IntoIterator<Item = &'a str>,
    path_of: impl Fn(usize) -> String,
    faults: &mut Vec<Fault>,
) {
    let mut first = HashMap::new();
    for (index, item) in items.into_iter().enumerate() {
        if let Some(first) = first.get(item) {
            let problem = format!(
                "`{}` is here twice, first as {}",
                path::shorten(item),
                path_of(*first)
            );
            faults.push(Fault::new(path_of(index), problem).hint("remove one of them"));
        } else {
            first.insert(item, index);
        }
    }
}

/// The least that a length of time may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Least {
    Zero,
    AboveZero,
}

fn check_time(it: Option<&prost_types::Duration>, least: Least, at: &str, faults: &mut Vec<Fault>) {
    let Some(it) = it else { return };
    let problem = match build::duration(it) {
        None => "is negative or malformed".to_owned(),
        Some(time) if time.is_zero() && least == Least::AboveZero => "is zero".to_owned(),
        Some(time) if time > std::time::Duration::from_secs(MAX_SECONDS) => {
            "is longer than an hour".to_owned()
        }
        Some(_) => return,
    };
    let least = match least {
        Least::Zero => "from `0s`",
        Least::AboveZero => "above zero",
    };
    faults
        .push(Fault::new(at, problem).hint(format!("write a length of time {least}, up to `1h`")));
}

/// Reports an enum's value that is not set or that this version does not know.
fn check_known<T: TryFrom<i32> + PartialEq>(
    number: i32,
    unset: &T,
    at: &str,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    match T::try_from(number) {
        Ok(it) if it == *unset => faults.push(Fault::new(at, "is missing")),
        Ok(it) => return Some(it),
        Err(_) => {
            let fault = Fault::new(
                at,
                format!("the value {number} is not known to this version"),
            );
            faults.push(fault.hint("update the part of Tollgate that says so"));
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
