//! `cargo xtask bench`: prepares nginx and release builds, then becomes the benchmark of `tests/`; or, as
//! `cargo xtask bench limits`, prepares redis, and becomes the limiter's benchmark of the quota crate; or, as
//! `cargo xtask bench nodes`, prepares etcd, and becomes a fleet of nodes, an example of the node crate; or, as
//! `cargo xtask bench codec`, becomes the codecs' benchmark of the provider crate; or, as `cargo xtask bench routes`,
//! `overload` and `faults`, becomes a show of `tests/`: of routing in trouble, of more load than a node can take, and of
//! what callers and providers do wrong.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow};

use crate::workspace::Workspace;
use crate::{process, tools};

/// Does not return when the benchmark starts: it takes this process's place, so that signals reach it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    match arguments.split_first() {
        Some((first, rest)) if first == "limits" => limits(workspace, rest),
        Some((first, rest)) if first == "nodes" => nodes(workspace, rest),
        Some((first, rest)) if first == "codec" => {
            become_it(built(workspace, "tollgate-provider", "codec")?.args(rest))
        }
        Some((first, rest)) if matches!(first.as_str(), "routes" | "overload" | "faults") => {
            show(workspace, first, rest)
        }
        Some(_) | None => gateway(workspace, arguments),
    }
}

/// How callers fare in trouble: a program of `tests/` that wants nothing but the gateway's.
fn show(workspace: &Workspace, name: &str, arguments: &[String]) -> Result<ExitCode> {
    build_programs(workspace)?;
    let mut command = Command::new(workspace.built("release", name));
    let tollgate = workspace.built("release", "tollgate");
    command.current_dir(workspace.root());
    become_it(command.arg("--tollgate").arg(tollgate).args(arguments))
}

/// What decisions about limits cost.
fn limits(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let redis = tools::redis(workspace)?;
    let mut command = built(workspace, "tollgate-quota", "limits")?;
    become_it(command.arg("--redis").arg(redis).args(arguments))
}

/// An example of a crate, built for release.
fn built(workspace: &Workspace, package: &str, example: &str) -> Result<Command> {
    let build = ["build", "--release", "-p", package, "--example", example];
    process::run(&mut workspace.cargo(&build)).context("the release build failed")?;
    let mut command = Command::new(workspace.built("release", &format!("examples/{example}")));
    command.current_dir(workspace.root());
    Ok(command)
}

/// How a limit is shared by a hundred nodes, and what that takes in messages.
fn nodes(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let etcd = tools::etcd(workspace)?;
    let tollgate = ["build", "--release", "-p", "tollgate", "--bins"];
    process::run(&mut workspace.cargo(&tollgate)).context("the release build failed")?;
    let mut command = built(workspace, "tollgate-node", "fleet")?;
    command.arg("--etcd").arg(etcd);
    command
        .arg("--tollgate")
        .arg(workspace.built("release", "tollgate"));
    become_it(command.args(arguments))
}

/// What the gateway costs.
fn gateway(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let nginx = tools::nginx(workspace)?;
    build_programs(workspace)?;

    let mut command = Command::new(workspace.built("release", "bench"));
    command
        .current_dir(workspace.root())
        .arg("--nginx")
        .arg(nginx)
        .arg("--tollgate")
        .arg(workspace.built("release", "tollgate"))
        .args(arguments);
    become_it(&mut command)
}

/// The gateway and the programs of `tests/`, built for release.
fn build_programs(workspace: &Workspace) -> Result<()> {
    let packages = [
        "build",
        "--release",
        "-p",
        "tollgate",
        "-p",
        "tollgate-tests",
        "--bins",
    ];
    process::run(&mut workspace.cargo(&packages)).context("the release build failed")?;
    Ok(())
}

fn become_it(command: &mut Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(anyhow!(error)).with_context(|| format!("cannot start `{}`", process::shown(command)))
}
