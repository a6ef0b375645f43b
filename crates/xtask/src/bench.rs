//! `cargo xtask bench`: prepares nginx and release builds, then becomes the benchmark of `tests/`; or, as
//! `cargo xtask bench limits`, prepares redis, and becomes the limiter's benchmark of the quota crate; or, as
//! `cargo xtask bench nodes`, prepares etcd, and becomes a fleet of nodes, an example of the node crate.

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
        Some(_) | None => gateway(workspace, arguments),
    }
}

/// What decisions about limits cost.
fn limits(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let redis = tools::redis(workspace)?;
    let example = [
        "build",
        "--release",
        "-p",
        "tollgate-quota",
        "--example",
        "limits",
    ];
    process::run(&mut workspace.cargo(&example)).context("the release build failed")?;
    let mut command = Command::new(workspace.built("release", "examples/limits"));
    command
        .current_dir(workspace.root())
        .arg("--redis")
        .arg(redis)
        .args(arguments);
    become_it(command)
}

/// How a limit is shared by a hundred nodes, and what that takes in messages.
fn nodes(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let etcd = tools::etcd(workspace)?;
    let tollgate = ["build", "--release", "-p", "tollgate", "--bins"];
    let fleet = [
        "build",
        "--release",
        "-p",
        "tollgate-node",
        "--example",
        "fleet",
    ];
    for build in [&tollgate[..], &fleet[..]] {
        process::run(&mut workspace.cargo(build)).context("the release build failed")?;
    }
    let mut command = Command::new(workspace.built("release", "examples/fleet"));
    command
        .current_dir(workspace.root())
        .arg("--etcd")
        .arg(etcd)
        .arg("--tollgate")
        .arg(workspace.built("release", "tollgate"))
        .args(arguments);
    become_it(command)
}

/// What the gateway costs.
fn gateway(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let nginx = tools::nginx(workspace)?;
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

    let mut command = Command::new(workspace.built("release", "bench"));
    command
        .current_dir(workspace.root())
        .arg("--nginx")
        .arg(nginx)
        .arg("--tollgate")
        .arg(workspace.built("release", "tollgate"))
        .args(arguments);
    become_it(command)
}

fn become_it(mut command: Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(anyhow!(error)).with_context(|| format!("cannot start `{}`", process::shown(&command)))
}
