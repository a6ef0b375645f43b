//! `cargo xtask fuzz`: builds the fuzzer of the provider's decoders and becomes it.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};

use crate::process;
use crate::workspace::Workspace;

/// Does not return when cargo starts: it takes this process's place, so that signals reach it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let mut command = workspace.cargo(&["run", "--quiet", "--profile", "fuzz"]);
    command
        .current_dir(workspace.root())
        .args(["-p", "tollgate-provider", "--example", "fuzz", "--"])
        .args(arguments);
    let error = command.exec();
    Err(anyhow!(error)).with_context(|| format!("cannot start `{}`", process::shown(&command)))
}
