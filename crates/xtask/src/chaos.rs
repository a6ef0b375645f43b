//! `cargo xtask chaos`: prepares etcd, the network tools and release builds, then becomes the chaos run of
//! `tests/`, inside namespaces that are made for it and end with it.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, bail};

use crate::workspace::Workspace;
use crate::{debian, process, tools};

/// Programs that the run calls, and Debian's packages that have them.
const NETWORK: [(&str, &str); 2] = [("ip", "iproute2"), ("nft", "nftables")];

/// Does not return when the run starts: `unshare` takes this process's place, and what it has started ends with
/// it, whatever ends it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    if process::capture(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("chaos makes network namespaces, which takes root: run `cargo xtask chaos` as root");
    }
    let missing: Vec<&str> = NETWORK
        .into_iter()
        .filter(|(program, _)| process::on_path(program).is_none())
        .map(|(_, package)| package)
        .collect();
    if !missing.is_empty() {
        debian::install(&missing, "the chaos run's network")?;
    }
    let etcd = tools::etcd(workspace)?;
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

    let mut command = Command::new("unshare");
    command
        .current_dir(workspace.root())
        .args(["--mount", "--net", "--pid", "--fork", "--mount-proc"])
        .arg("--kill-child=KILL")
        .arg(workspace.built("release", "chaos"))
        .arg("--etcd")
        .arg(etcd)
        .arg("--tollgate")
        .arg(workspace.built("release", "tollgate"))
        .args(arguments);
    let error = command.exec();
    Err(anyhow!(error)).with_context(|| format!("cannot start `{}`", process::shown(&command)))
}
