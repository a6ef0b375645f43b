//! What enters the dependency graph, judged by cargo-deny with `.deny.toml`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::check::{Options, Outcome};
use crate::workspace::Workspace;
use crate::{process, tools};

/// Versions, licences and sources; needs nothing but the lock file and the manifests.
pub(crate) fn deny(workspace: &Workspace) -> Result<Outcome> {
    let mut command = cargo_deny(workspace)?;
    // A decision in `.deny.toml` that decides nothing any more is an error too.
    command.args([
        "check",
        "--hide-inclusion-graph",
        "--deny",
        "unmatched-skip",
    ]);
    process::run(command.args(["bans", "licenses", "sources"]))?;
    Ok(Outcome::Passed)
}

/// The advisory database, where it is at hand: asked for with `--advisories`, or fetched earlier.
///
/// It is a git repository on the internet. A check must not fail because that is out of reach, and must not
/// look as if it had been made; the version floor in `.deny.toml` holds in any case.
pub(crate) fn advisories(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    let mut command = cargo_deny(workspace)?;
    if options.fetch_advisories {
        process::run(command.args(["check", "advisories"]))
            .context("advisories found, or the database could not be fetched; see above")?;
        return Ok(Outcome::Passed);
    }
    let databases = databases()?;
    let fetched = std::fs::read_dir(&databases).is_ok_and(|entries| {
        entries
            .filter_map(Result::ok)
            .any(|entry| entry.path().join(".git").exists())
    });
    if !fetched {
        return Ok(Outcome::NotChecked(format!(
            "no database at {}; run `cargo xtask check --advisories` with network",
            databases.display()
        )));
    }
    process::run(command.args(["--offline", "check", "advisories"])).context(
        "advisories found, or the database is too old; `--advisories` fetches the present one",
    )?;
    Ok(Outcome::Passed)
}

/// Where cargo-deny keeps databases: beside cargo's registry.
fn databases() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    Ok(home.join("advisory-dbs"))
}

fn cargo_deny(workspace: &Workspace) -> Result<Command> {
    let mut command = Command::new(tools::cargo_deny(workspace)?);
    command
        .current_dir(workspace.root())
        .args(["--locked", "--config", ".deny.toml"]);
    Ok(command)
}
