//! Debian's packages: unpacked into a folder of ours where that is enough, installed where it is not.
//!
//! Unpacking is preferred: an installed server package starts its service and adds users, one that is
//! unpacked does neither, and needs no root.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Downloads `packages` and unpacks them into `folder`; installs nothing and runs none of their scripts.
pub(crate) fn unpack(packages: &[&str], folder: &Path) -> Result<()> {
    let needed = packages.join(" ");
    if process::on_path("apt-get").is_none() || process::on_path("dpkg-deb").is_none() {
        bail!(
            "no apt-get here: install what Debian calls `{needed}` so that its programs are on PATH, then run this again"
        );
    }
    let archives = folder.join("archives");
    std::fs::create_dir_all(&archives)
        .with_context(|| format!("cannot create {}", archives.display()))?;
    let mut download = Command::new("apt-get");
    download
        .current_dir(&archives)
        .args(["-o", "APT::Sandbox::User=root", "-q=2", "download"])
        .args(packages);
    // The list of packages is missing on a fresh machine, and an old one names files that are gone.
    if !process::succeeds(&mut download) {
        update()?;
        process::capture(&mut download).with_context(|| {
            format!("cannot download {needed}; check the network and apt's sources")
        })?;
    }
    let entries = std::fs::read_dir(&archives)
        .with_context(|| format!("cannot read {}", archives.display()))?;
    for entry in entries {
        let archive = entry.context("cannot read a folder entry")?.path();
        process::capture(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(folder))?;
    }
    std::fs::remove_dir_all(&archives)
        .with_context(|| format!("cannot remove {}", archives.display()))
}

/// Installs `packages`, for `purpose`; they must be libraries and programs, not services.
pub(crate) fn install(packages: &[&str], purpose: &str) -> Result<()> {
    let needed = packages.join(" ");
    if process::on_path("apt-get").is_none() {
        bail!(
            "{purpose} needs what Debian calls `{needed}`, and there is no apt-get here: install it, then run this again"
        );
    }
    eprintln!("xtask: installing {needed} for {purpose}");
    let mut command = as_root("apt-get")?;
    command
        .args(["-q=2", "-y", "--no-install-recommends", "install"])
        .args(packages);
    // As in `unpack`: the list may be missing or old.
    if process::succeeds(&mut command) {
        return Ok(());
    }
    update()?;
    process::capture(&mut command).map(drop).with_context(|| {
        format!("cannot install {needed}; install it by hand as root, then run this again")
    })
}

fn update() -> Result<()> {
    process::capture(as_root("apt-get")?.args(["-q=2", "update"]))
        .map(drop)
        .context("cannot read the list of packages; check the network and apt's sources")
}

/// A command that runs `program` as root.
fn as_root(program: &str) -> Result<Command> {
    let user = process::capture(Command::new("id").arg("-u"))?;
    if user.trim() == "0" {
        let mut command = Command::new(program);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        return Ok(command);
    }
    if process::on_path("sudo").is_none() {
        bail!("`{program}` must run as root, and there is no sudo: run this command as root once");
    }
    let mut command = Command::new("sudo");
    command.args(["DEBIAN_FRONTEND=noninteractive", program]);
    Ok(command)
}
