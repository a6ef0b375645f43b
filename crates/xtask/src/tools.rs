//! The programs that the commands use, one function each: found on the machine, or installed under
//! `target/tools/` with a pinned version.
//!
//! A folder there is complete when it holds its stamp, which is written last and names what is inside. An
//! installation that was cut short, or that another version has replaced in this file, is made anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{debian, process};

/// The least that will do; which one Debian has is Debian's choice.
const ETCD: &str = "3.4.0";
const BUF: &str = "1.75.0";
const CARGO_DENY: &str = "0.20.2";
/// The prices of models that the catalog is made from.
pub(crate) const GENAI_PRICES: &str = "0.2.3";
const STAMP: &str = ".stamp";
/// What the Python clients of the tests import; kept beside them.
const REQUIREMENTS: &str = "tests/clients/requirements.txt";

/// The etcd server. `etcdctl` lies in the same folder when it was installed here.
pub(crate) fn etcd(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = on_path_since("etcd", ETCD) {
        return Ok(found);
    }
    let folder = workspace.tools().join("etcd");
    let program = folder.join("usr/bin/etcd");
    installed(&folder, "etcd-server etcd-client", || {
        eprintln!("xtask: unpacking etcd");
        debian::unpack(&["etcd-server", "etcd-client"], &folder)?;
        process::capture(Command::new(&program).arg("--version"))
            .map(drop)
            .context("the etcd that was unpacked does not start")
    })?;
    Ok(program)
}

/// A Python with the packages of `tests/clients/requirements.txt`, in an environment of its own.
pub(crate) fn python(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = workspace.root().join(REQUIREMENTS);
    let wanted = std::fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let folder = workspace.tools().join("venv");
    let program = folder.join("bin/python");
    installed(&folder, &wanted, || {
        eprintln!("xtask: installing {REQUIREMENTS}");
        create_venv(&folder)?;
        let mut pip = Command::new(&program);
        pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
            .args([
                "--disable-pip-version-check",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--requirement",
            ])
            .arg(&requirements);
        process::capture(&mut pip).map(drop).with_context(|| {
            format!("cannot install {REQUIREMENTS}; check the network and pip's index")
        })
    })?;
    Ok(program)
}

/// A folder of Python packages that holds genai-prices, and nothing that it depends on.
pub(crate) fn genai_prices(workspace: &Workspace) -> Result<PathBuf> {
    let python = python(workspace)?;
    let folder = workspace.tools().join("genai-prices");
    installed(&folder, GENAI_PRICES, || {
        eprintln!("xtask: installing genai-prices {GENAI_PRICES}");
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
            .args(["--disable-pip-version-check", "--no-deps", "--target"])
            .arg(&folder)
            .arg(format!("genai-prices=={GENAI_PRICES}"));
        process::capture(&mut pip).map(drop).with_context(|| {
            format!("cannot install genai-prices {GENAI_PRICES}; check the network and pip's index")
        })
    })?;
    Ok(folder)
}

/// Debian's `python3` comes without the venv module; with it, the system's own Python is used, because the
/// module was installed for that one.
fn create_venv(folder: &Path) -> Result<()> {
    if process::succeeds(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder),
    ) {
        return Ok(());
    }
    debian::install(
        &["python3", "python3-venv"],
        "the Python clients of the tests",
    )?;
    process::capture(
        Command::new("/usr/bin/python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder),
    )
    .map(drop)
    .context("cannot create a Python environment")
}

/// buf, which lints the contract and compares it with its earlier states.
pub(crate) fn buf(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.tools().join("npm");
    let program = folder.join("node_modules/.bin/buf");
    installed(&folder, BUF, || {
        let missing: Vec<&str> = [("node", "nodejs"), ("npm", "npm")]
            .into_iter()
            .filter(|(program, _)| process::on_path(program).is_none())
            .map(|(_, package)| package)
            .collect();
        if !missing.is_empty() {
            debian::install(&missing, "buf")?;
        }
        eprintln!("xtask: installing buf {BUF}");
        let mut npm = Command::new("npm");
        npm.current_dir(&folder)
            .args([
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--no-save",
                "--prefix",
            ])
            .arg(&folder)
            .arg(format!("@bufbuild/buf@{BUF}"));
        process::capture(&mut npm)
            .context("cannot install buf; check the network and npm's registry")?;
        process::capture(Command::new(&program).arg("--version"))
            .map(drop)
            .context("the buf that was installed does not start")
    })?;
    Ok(program)
}

/// cargo-deny, which guards the dependency graph.
///
/// Built without optimisation: that takes about a minute on two cores, and a check about two seconds.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = on_path_since("cargo-deny", CARGO_DENY) {
        return Ok(found);
    }
    let folder = workspace.tools().join("cargo-deny");
    installed(&folder, CARGO_DENY, || {
        eprintln!("xtask: building cargo-deny {CARGO_DENY}");
        let mut install =
            workspace.cargo(&["install", "cargo-deny", "--quiet", "--locked", "--debug"]);
        install
            .args(["--version", CARGO_DENY, "--root"])
            .arg(&folder);
        // Else its build would move into the workspace's own folder, and wait for builds there.
        install.env_remove("CARGO_TARGET_DIR");
        process::run(&mut install)
            .context("cannot build cargo-deny; check the network and the messages above")
    })?;
    Ok(folder.join("bin/cargo-deny"))
}

/// nginx, the plain reverse proxy that the benchmark compares the gateway with.
pub(crate) fn nginx(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = process::on_path("nginx") {
        return Ok(found);
    }
    let folder = workspace.tools().join("nginx");
    let program = folder.join("usr/sbin/nginx");
    installed(&folder, "nginx", || {
        eprintln!("xtask: unpacking nginx");
        debian::unpack(&["nginx"], &folder)?;
        if !process::succeeds(Command::new(&program).arg("-v")) {
            // A fresh Debian may lack a library that the package depends on. These start no service.
            debian::install(&["libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"], "nginx")?;
        }
        accepts_configuration(&program, &folder.join("probe"))
    })?;
    Ok(program)
}

/// redis, the usual way of counting over many processes, which the benchmark of the limiter compares with.
pub(crate) fn redis(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = process::on_path("redis-server") {
        return Ok(found);
    }
    let folder = workspace.tools().join("redis");
    let program = folder.join("usr/bin/redis-server");
    installed(&folder, "redis-server redis-tools", || {
        eprintln!("xtask: unpacking redis");
        // The server's program is in the package of its tools.
        debian::unpack(&["redis-server", "redis-tools"], &folder)?;
        let version = || {
            let mut command = Command::new(&program);
            command.arg("--version");
            command
        };
        if !process::succeeds(&mut version()) {
            // Libraries of the package's that a fresh Debian may lack. These start no service.
            let libraries = [
                "libatomic1",
                "libjemalloc2",
                "liblzf1",
                "libssl3",
                "libsystemd0",
            ];
            debian::install(&libraries, "redis")?;
        }
        process::capture(&mut version())
            .map(drop)
            .context("the redis that was unpacked does not start")
    })?;
    Ok(program)
}

/// Whether nginx runs with a prefix and a configuration of ours, using none of the paths built into it.
fn accepts_configuration(nginx: &Path, prefix: &Path) -> Result<()> {
    const PROBE: &str = "pid nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server { listen unix:probe.sock; }
}
";
    std::fs::create_dir_all(prefix)
        .with_context(|| format!("cannot create {}", prefix.display()))?;
    std::fs::write(prefix.join("probe.conf"), PROBE)
        .with_context(|| format!("cannot write {}/probe.conf", prefix.display()))?;
    let mut probe = Command::new(nginx);
    probe
        .current_dir(prefix)
        .args(["-t", "-q", "-e", "stderr", "-c", "probe.conf", "-p"])
        .arg(prefix);
    process::capture(&mut probe)
        .map(drop)
        .context("the nginx that was unpacked does not run from its folder")
}

/// Fills `folder` by `install` unless its stamp says that `content` is in it.
fn installed(folder: &Path, content: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join(STAMP);
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == content) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove the old {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    install()?;
    std::fs::write(&stamp, content).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Where `program` is on `PATH`, if it is there and at least at version `least`.
fn on_path_since(program: &str, least: &str) -> Option<PathBuf> {
    let found = process::on_path(program)?;
    let said = process::capture(Command::new(&found).arg("--version")).ok()?;
    (version_in(&said)? >= parsed(least)?).then_some(found)
}

/// The version that a program says it has: the end of the first line of what it prints.
fn version_in(said: &str) -> Option<[u32; 3]> {
    parsed(said.lines().next()?.split_whitespace().last()?)
}

/// A version as three numbers.
fn parsed(version: &str) -> Option<[u32; 3]> {
    let numbers: Vec<u32> = version
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(parsed("0.20.10") > parsed("0.20.2"));
        assert!(parsed("1.0.0") > parsed("0.20.2"));
        assert_eq!(
            version_in("etcd Version: 3.4.23\nGit SHA: 0a1"),
            Some([3, 4, 23])
        );
        assert_eq!(version_in("cargo-deny 0.20.2"), parsed(CARGO_DENY));
        assert_eq!(parsed("0.20"), None);
        assert_eq!(parsed("0.20.2-beta"), None);
    }

    #[test]
    fn an_installation_is_made_once_and_anew_when_cut_short_or_changed() {
        let folder = std::env::temp_dir().join(format!("xtask-installed-{}", std::process::id()));
        let count = std::cell::Cell::new(0);
        let install = |content: &str, outcome: Result<()>| {
            installed(&folder, content, || {
                count.set(count.get() + 1);
                std::fs::write(folder.join(content), "")?;
                outcome
            })
        };
        assert!(install("one", Err(anyhow::anyhow!("cut short"))).is_err());
        install("one", Ok(())).expect("the second try succeeds");
        install("one", Ok(())).expect("it is there");
        assert_eq!(count.get(), 2);
        install("two", Ok(())).expect("another version");
        assert_eq!(count.get(), 3);
        assert!(!folder.join("one").exists(), "the old version is gone");
        std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    }
}
