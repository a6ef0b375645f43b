//! Dependencies that a crate names in its manifest and nowhere in its code.
//!
//! Looked for by name: a crate's code uses `some-crate` when it holds `some_crate::` or `use some_crate`. That
//! can miss one that is not used, never blame one that is, save where code is generated: see [`KEPT`].

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::check::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// Dependencies that no code of the crate names, and why they are there all the same.
const KEPT: [(&str, &str); 5] = [
    // Named by the code that its build script generates.
    ("tollgate-proto", "prost"),
    ("tollgate-proto", "prost-types"),
    ("tollgate-proto", "tonic"),
    ("tollgate-proto", "tonic-prost"),
    // Brings the program that a dependency's build script runs.
    ("tollgate-control", "protoc-bin-vendored"),
];

/// Prints each dependency that is not used; fails when there is one.
pub(crate) fn check(workspace: &Workspace) -> Result<Outcome> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--locked"];
    let metadata: Value =
        serde_json::from_str(&process::capture(&mut workspace.cargo(&arguments))?)
            .context("`cargo metadata` did not print JSON")?;
    let mut count = 0;
    for member in Member::all(workspace, &metadata)? {
        for unused in member.unused() {
            println!("{} does not use {unused}", member.name);
            count += 1;
        }
    }
    if count > 0 {
        bail!("{count} dependencies to take out of their Cargo.toml");
    }
    Ok(Outcome::Passed)
}

/// One crate of the workspace.
#[derive(Debug)]
struct Member {
    name: String,
    dependencies: BTreeSet<String>,
    /// All its code in one piece.
    code: String,
}

impl Member {
    fn all(workspace: &Workspace, metadata: &Value) -> Result<Vec<Self>> {
        let files = workspace.files()?;
        let packages = metadata["packages"]
            .as_array()
            .context("`cargo metadata` lists no packages")?;
        packages
            .iter()
            .map(|package| Self::read(workspace, &files, package))
            .collect()
    }

    fn read(workspace: &Workspace, files: &[String], package: &Value) -> Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
        let manifest = text(&package["manifest_path"]);
        let folder = manifest
            .strip_suffix("Cargo.toml")
            .with_context(|| format!("`{manifest}` is not a manifest"))?;
        let mut code = String::new();
        for file in files.iter().filter(|file| file.ends_with(".rs")) {
            let path = workspace.root().join(file);
            if path.starts_with(folder) {
                code += &std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {file}"))?;
            }
        }
        let dependencies = package["dependencies"].as_array();
        let names = dependencies.into_iter().flatten();
        Ok(Self {
            name: text(&package["name"]),
            dependencies: names.map(|dependency| text(&dependency["name"])).collect(),
            code,
        })
    }

    fn unused(&self) -> impl Iterator<Item = &str> {
        self.dependencies
            .iter()
            .map(String::as_str)
            .filter(|name| !names(&self.code, name) && !KEPT.contains(&(&self.name, name)))
    }
}

/// Whether `code` names the crate `dependency` where only a crate's name can stand.
fn names(code: &str, dependency: &str) -> bool {
    let name = dependency.replace('-', "_");
    code.match_indices(&name).any(|(start, _)| {
        let (before, after) = (&code[..start], &code[start + name.len()..]);
        let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let imported = before.ends_with("use ") && after.starts_with([';', ' ']);
        whole && (after.starts_with("::") || imported)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_named_by_a_path_or_an_import() {
        for (code, dependency, expected) in [
            ("use tokio_stream::StreamExt;", "tokio-stream", true),
            ("let x = ::rand::random();", "rand", true),
            ("#[tokio::main]", "tokio", true),
            ("use rand;", "rand", true),
            ("use bytes as raw;", "bytes", true),
            ("let bytes = 3;", "bytes", false),
            ("use tokio_stream::StreamExt;", "tokio", false),
            ("operand::new()", "rand", false),
        ] {
            assert_eq!(names(code, dependency), expected, "{dependency} in {code}");
        }
    }

    #[test]
    fn what_is_kept_is_kept_for_that_crate_alone() {
        let member = |name: &str| Member {
            name: name.to_owned(),
            dependencies: ["prost", "serde"].map(str::to_owned).into(),
            code: "serde::de".to_owned(),
        };
        assert_eq!(member("tollgate-proto").unused().count(), 0);
        assert_eq!(
            member("tollgate-node").unused().collect::<Vec<_>>(),
            ["prost"]
        );
    }
}
