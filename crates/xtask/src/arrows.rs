//! Who may use whom: the crates' arrows, checked against what cargo resolved.
//!
//! Three tables say it. [`ARROWS`]: which of our crates each may name. [`GUARDED`]: crates from outside that
//! only some of ours may name, because they open sockets to the world. [`RUNTIME_FREE`]: the pure crates,
//! which must not reach a runtime or a socket through any chain of dependencies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::check::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// Each of our crates, and which of ours it may use, in tests and build scripts too.
const ARROWS: [(&str, &[&str]); 11] = [
    ("tollgate-proto", &[]),
    ("tollgate-policy", &["tollgate-proto", "tollgate-quota"]),
    ("tollgate-quota", &[]),
    ("tollgate-balance", &[]),
    ("tollgate-provider", &[]),
    ("tollgate-telemetry", &[]),
    // The two planes never see each other: they meet in the contract.
    (
        "tollgate-control",
        &["tollgate-proto", "tollgate-policy", "tollgate-quota"],
    ),
    (
        "tollgate-node",
        &[
            "tollgate-proto",
            "tollgate-policy",
            "tollgate-quota",
            "tollgate-balance",
            "tollgate-provider",
        ],
    ),
    ("tollgate", PRODUCT),
    ("tollgate-tests", PRODUCT),
    ("xtask", &[]),
];

/// Everything that the binary is made of.
const PRODUCT: &[&str] = &[
    "tollgate-proto",
    "tollgate-policy",
    "tollgate-quota",
    "tollgate-balance",
    "tollgate-provider",
    "tollgate-telemetry",
    "tollgate-control",
    "tollgate-node",
];

/// Crates from outside, and which of ours may name them.
const GUARDED: [(&str, &[&str]); 2] = [
    // The store is the control plane's; nodes know it only through the contract.
    ("etcd-client", &["tollgate-control"]),
    // Providers are called from the node alone. hyper is both a client and a server, so what is looked for
    // there is the use of its client: see `rules.rs`.
    ("reqwest", &["tollgate-node", "tollgate-tests"]),
];

/// Our crates that must reach none of [`RUNTIMES`], and the one of ours through which they may.
///
/// `policy` uses the contract's messages, and their crate holds the gRPC stubs too.
const RUNTIME_FREE: [(&str, Option<&str>); 4] = [
    ("tollgate-policy", Some("tollgate-proto")),
    ("tollgate-quota", None),
    ("tollgate-balance", None),
    ("tollgate-provider", None),
];

/// Runtimes, and what sockets are made with.
const RUNTIMES: [&str; 4] = ["tokio", "mio", "socket2", "async-io"];

/// Prints each arrow that should not be there; fails when there is one.
pub(crate) fn check(workspace: &Workspace) -> Result<Outcome> {
    let metadata =
        process::capture(&mut workspace.cargo(&["metadata", "--format-version", "1", "--locked"]))
            .context("cannot read the dependency graph; is Cargo.lock committed and up to date?")?;
    let metadata: Value =
        serde_json::from_str(&metadata).context("`cargo metadata` did not print JSON")?;
    let offences = Graph::from_metadata(&metadata)
        .context("`cargo metadata` lacks a field that it is known for")?
        .offences();
    if offences.is_empty() {
        return Ok(Outcome::Passed);
    }
    for offence in &offences {
        println!("{offence}");
    }
    bail!(
        "{} wrong arrows; the tables are in crates/xtask/src/arrows.rs",
        offences.len()
    )
}

/// What depends on what, as cargo resolved it.
#[derive(Debug, Default)]
struct Graph {
    /// The workspace's crates: their names, and the names of what they ask for in any section.
    members: BTreeMap<String, BTreeSet<String>>,
    /// Every package by cargo's id for it.
    packages: BTreeMap<String, Package>,
}

#[derive(Debug, Default)]
struct Package {
    name: String,
    /// Ids of its normal dependencies: not those of its tests and build script.
    uses: Vec<String>,
}

impl Graph {
    fn from_metadata(metadata: &Value) -> Option<Self> {
        let mut graph = Self::default();
        let members = metadata["workspace_members"].as_array()?;
        for package in metadata["packages"].as_array()? {
            let name = text(&package["name"])?;
            if members.contains(&package["id"]) {
                let asked: Option<_> = package["dependencies"]
                    .as_array()?
                    .iter()
                    .map(|dependency| text(&dependency["name"]))
                    .collect();
                graph.members.insert(name.clone(), asked?);
            }
            let uses = Vec::new();
            let package_id = text(&package["id"])?;
            graph.packages.insert(package_id, Package { name, uses });
        }
        for node in metadata["resolve"]["nodes"].as_array()? {
            let package = graph.packages.get_mut(node["id"].as_str()?)?;
            for dependency in node["deps"].as_array()? {
                let kinds = dependency["dep_kinds"].as_array()?;
                if kinds.iter().any(|kind| kind["kind"].is_null()) {
                    package.uses.push(text(&dependency["pkg"])?);
                }
            }
        }
        Some(graph)
    }

    /// A sentence for each arrow that the tables do not allow.
    fn offences(&self) -> Vec<String> {
        let mut offences = Vec::new();
        for (name, asked) in &self.members {
            let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
                offences.push(format!("{name} is in no table: say what it may use"));
                continue;
            };
            for used in asked {
                let ours = self.members.contains_key(used);
                let guarded = GUARDED.iter().find(|(known, _)| known == used);
                let refused = guarded.is_some_and(|(_, users)| !users.contains(&name.as_str()));
                if refused || (ours && !allowed.contains(&used.as_str())) {
                    offences.push(format!("{name} → {used}"));
                }
            }
        }
        for (name, through) in RUNTIME_FREE {
            offences.extend(self.path_to_runtime(name, through));
        }
        offences
    }

    /// The shortest chain of normal dependencies from our crate `name` to a runtime, as a sentence.
    fn path_to_runtime(&self, name: &str, through: Option<&str>) -> Option<String> {
        if !self.members.contains_key(name) {
            return Some(format!(
                "{name} is named in a table, and is not in the workspace"
            ));
        }
        let (start, _) = self
            .packages
            .iter()
            .find(|(_, package)| package.name == name)?;
        let mut queue = VecDeque::from([vec![start.as_str()]]);
        let mut seen = BTreeSet::from([start.as_str()]);
        while let Some(path) = queue.pop_front() {
            let package = self.packages.get(*path.last()?)?;
            if RUNTIMES.contains(&package.name.as_str()) {
                let names: Vec<_> = path.iter().map(|id| self.name(id)).collect();
                return Some(names.join(" → "));
            }
            for used in &package.uses {
                if Some(self.name(used)) != through && seen.insert(used) {
                    queue.push_back(path.iter().copied().chain([used.as_str()]).collect());
                }
            }
        }
        None
    }

    fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.packages.get(id).map_or(id, |package| &package.name)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A workspace with all of our crates, and `arrows` (`from kind to`) beside none. What is not ours is a
    /// crate from outside.
    fn graph(arrows: &[&str]) -> Graph {
        let mut names: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
        let members: Vec<&str> = names.iter().copied().collect();
        let arrows: Vec<(&str, &str, &str)> = arrows
            .iter()
            .map(|arrow| {
                let mut words = arrow.split(' ');
                let mut next = || words.next().expect("from kind to");
                (next(), next(), next())
            })
            .collect();
        names.extend(arrows.iter().flat_map(|(from, _, to)| [from, to]));
        let from = |name: &str| {
            arrows
                .iter()
                .filter(move |(from, ..)| *from == name)
                .collect::<Vec<_>>()
        };
        let kind = |kind: &str| {
            if kind == "normal" {
                Value::Null
            } else {
                json!(kind)
            }
        };
        let packages: Vec<Value> = names
            .iter()
            .map(|name| {
                let asked: Vec<_> = from(name)
                    .iter()
                    .map(|(_, _, to)| json!({"name": to}))
                    .collect();
                json!({"id": name, "name": name, "dependencies": asked})
            })
            .collect();
        let nodes: Vec<Value> = names
            .iter()
            .map(|name| {
                let used: Vec<_> = from(name)
                    .iter()
                    .map(|(_, how, to)| json!({"pkg": to, "dep_kinds": [{"kind": kind(how)}]}))
                    .collect();
                json!({"id": name, "deps": used})
            })
            .collect();
        let metadata = json!({"workspace_members": members, "packages": packages, "resolve": {"nodes": nodes}});
        Graph::from_metadata(&metadata).expect("all fields are there")
    }

    fn check(arrows: &[&str], expected: &[&str]) {
        assert_eq!(graph(arrows).offences(), expected, "{arrows:?}");
    }

    #[test]
    fn the_arrows_of_the_design_are_allowed() {
        for (name, allowed) in ARROWS {
            for used in allowed {
                check(&[&format!("{name} normal {used}")], &[]);
            }
        }
        for (name, users) in GUARDED {
            for user in users {
                check(&[&format!("{user} normal {name}")], &[]);
            }
        }
    }

    #[test]
    fn other_arrows_are_offences_in_every_section() {
        for kind in ["normal", "dev", "build"] {
            for (from, to) in [
                ("tollgate-control", "tollgate-node"),
                ("tollgate-node", "tollgate-control"),
                ("tollgate-quota", "tollgate-proto"),
                ("tollgate-balance", "tollgate-provider"),
                ("tollgate-node", "tollgate-tests"),
                ("tollgate", "xtask"),
                ("tollgate-node", "etcd-client"),
                ("tollgate-control", "reqwest"),
            ] {
                check(
                    &[&format!("{from} {kind} {to}")],
                    &[&format!("{from} → {to}")],
                );
            }
        }
    }

    #[test]
    fn a_pure_crate_reaches_no_runtime_by_any_chain() {
        check(
            &["tollgate-quota normal a", "a normal b", "b normal tokio"],
            &["tollgate-quota → a → b → tokio"],
        );
        check(&["tollgate-quota dev tokio"], &[]);
        check(&["tollgate-quota normal a", "a build tokio"], &[]);
        check(
            &["tollgate-provider normal mio"],
            &["tollgate-provider → mio"],
        );
    }

    #[test]
    fn policy_may_use_the_messages_but_no_runtime_beside_them() {
        let stubs = [
            "tollgate-policy normal tollgate-proto",
            "tollgate-proto normal tokio",
        ];
        check(&stubs, &[]);
        check(
            &[
                stubs[0],
                stubs[1],
                "tollgate-policy normal a",
                "a normal tokio",
            ],
            &["tollgate-policy → a → tokio"],
        );
    }

    #[test]
    fn a_crate_that_no_table_knows_is_an_offence() {
        let mut graph = graph(&[]);
        graph
            .members
            .insert("tollgate-common".to_owned(), BTreeSet::new());
        assert_eq!(
            graph.offences(),
            ["tollgate-common is in no table: say what it may use"]
        );
    }
}
