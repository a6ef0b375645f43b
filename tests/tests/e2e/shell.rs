//! A shell like the one that a newcomer pastes commands into.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::cluster::texts;
use super::environment::{required, tollgate_program};

/// Runs commands in a directory, with the tests' Python and the program under test on its `PATH`.
#[derive(Debug)]
pub struct Shell {
    directory: PathBuf,
    path: OsString,
    variables: BTreeMap<&'static str, String>,
}

impl Shell {
    pub fn new(directory: &Path) -> anyhow::Result<Self> {
        let python = PathBuf::from(required("TOLLGATE_TEST_PYTHON")?);
        let program = tollgate_program()?;
        let first = [python.parent(), program.parent()].into_iter().flatten();
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let inherited: Vec<PathBuf> = std::env::split_paths(&inherited).collect();
        let all = first.map(Path::to_owned).chain(inherited);
        Ok(Self {
            directory: directory.to_owned(),
            path: std::env::join_paths(all)?,
            variables: BTreeMap::new(),
        })
    }

    /// Sets an environment variable.
    pub fn export(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    /// Runs a block of commands and returns all it wrote. Fails if one of them fails.
    pub fn paste(&self, block: &str) -> anyhow::Result<String> {
        self.run("bash", &["-ec", block])
    }

    /// Runs a Python program likewise.
    pub fn python(&self, program: &str) -> anyhow::Result<String> {
        self.run("python3", &["-c", program])
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.directory);
        command.env("PATH", &self.path).envs(&self.variables);
        let output = command.output().with_context(|| format!("run {program}"))?;
        let (out, err) = texts(&output);
        ensure!(output.status.success(), "{arguments:?}\n=> {out}{err}");
        Ok(out + &err)
    }
}
