//! `cargo xtask live`: builds the gateway and the suite against real providers of `tests/`, and becomes the latter.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow};

use crate::process;
use crate::workspace::Workspace;

/// Does not return when the suite starts: it takes this process's place, so that signals reach it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let build = ["build", "-p", "tollgate", "-p", "tollgate-tests", "--bins"];
    process::run(&mut workspace.cargo(&build)).context("the build failed")?;
    let mut command = Command::new(workspace.built("debug", "live"));
    command
        .current_dir(workspace.root())
        .arg("--tollgate")
        .arg(workspace.built("debug", "tollgate"))
        .args(arguments);
    let error = command.exec();
    Err(anyhow!(error)).with_context(|| format!("cannot start `{}`", process::shown(&command)))
}
