//! Where things are that the tests start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

/// What an environment variable says, which `cargo xtask test` sets.
pub fn required(name: &str) -> anyhow::Result<OsString> {
    std::env::var_os(name).with_context(|| {
        format!("{name} is not set: run `cargo xtask test`, or `eval \"$(cargo xtask env)\"` first")
    })
}

/// The program under test: `TOLLGATE_TEST_BIN`, or the one that cargo built beside this test.
pub fn tollgate_program() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("TOLLGATE_TEST_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe().context("find this test")?;
    let profile = test.parent().and_then(|deps| deps.parent());
    let path = profile.context("the test's directory")?.join("tollgate");
    ensure!(
        path.exists(),
        "{} does not exist: run `cargo build -p tollgate`",
        path.display()
    );
    Ok(path)
}

/// A command of the program under test that no setting of the surrounding shell reaches.
pub fn tollgate(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(tollgate_program()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOLLGATE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    Ok(command)
}

/// The top of the repository.
pub fn repository() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}
