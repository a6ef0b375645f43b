//! `cargo xtask bench`: prepares nginx and release builds, then becomes the benchmark of `tests/`; or, as
//! `cargo xtask bench limits`, prepares redis, and becomes the limiter's benchmark of the quota crate; or, as
//! `cargo xtask bench codec`, becomes the codecs' benchmark of the provider crate.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow};

use crate::workspace::Workspace;
use crate::{process, tools};

/// Does not return when the benchmark starts: it takes this process's place, so that signals reach it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    match arguments.split_first() {
        Some((first, rest)) if first == "limits" => limits(workspace, rest),
        Some((first, rest)) if first == "codec" => {
            become_it(built(workspace, "tollgate-provider", "codec")?.args(rest))
        }
        Some(_) | None => gateway(workspace, arguments),
    }
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
    become_it(&mut command)
}

fn become_it(command: &mut Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(anyhow!(error)).with_context(|| format!("cannot start `{}`", process::shown(command)))
}
