//! `cargo xtask bench`: prepares nginx and release builds, then becomes the benchmark of `tests/`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow};

use crate::workspace::Workspace;
use crate::{process, tools};

/// Does not return when the benchmark starts: it takes this process's place, so that signals reach it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
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
    let error = command.exec();
    Err(anyhow!(error)).with_context(|| format!("cannot start `{}`", process::shown(&command)))
}
