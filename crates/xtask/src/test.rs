//! `cargo xtask test`: installs what the tests need, builds the gateway, runs every test.
//!
//! Plain `cargo test`, so that there is no runner to install and documentation examples run too. The tests
//! learn where things are from the environment:
//!
//! - `TOLLGATE_TEST_ETCD`: the etcd server to start;
//! - `TOLLGATE_TEST_PYTHON`: a Python with the packages of `tests/clients/requirements.txt`;
//! - `TOLLGATE_SIM_SEEDS`: how many seeds each simulation runs.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{process, tools};

/// Seeds per simulation unless `--seeds` says otherwise: some seconds' worth.
const SEEDS: u64 = 200;

/// The package whose tests start the programs of the others.
const STARTS_PROGRAMS: &str = "tollgate-tests";

/// What the command line asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    seeds: u64,
    passed_on: Vec<String>,
}

impl Options {
    /// Reads what follows `test` on the command line.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            seeds: SEEDS,
            passed_on: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--" => {
                    options.passed_on = rest.cloned().collect();
                    break;
                }
                "--seeds" => {
                    let number = rest.next().context("--seeds needs a number")?;
                    options.seeds = number
                        .parse()
                        .with_context(|| format!("--seeds needs a number, not `{number}`"))?;
                }
                unknown => bail!(
                    "unknown argument `{unknown}`; what is meant for `cargo test` follows `--`"
                ),
            }
        }
        Ok(options)
    }

    /// Whether the whole workspace is tested, or the caller chose packages.
    fn whole_workspace(&self) -> bool {
        !self.passed_on.iter().any(|argument| {
            argument == "-p" || argument.starts_with("--package") || argument == "--workspace"
        })
    }

    /// Whether tests are among them that start the workspace's programs.
    fn start_programs(&self) -> bool {
        self.whole_workspace()
            || self
                .passed_on
                .iter()
                .any(|argument| argument.contains(STARTS_PROGRAMS) || argument == "--workspace")
    }
}

/// Installs, builds, tests; the exit code is failure when a test failed or none ran.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let environment = environment(workspace)?;
    if options.start_programs() {
        // `cargo test` builds a package's programs for that package's own tests only.
        process::run(&mut workspace.cargo(&["build", "--workspace"]))
            .context("the workspace does not build")?;
    }

    let mut command = workspace.cargo(&["test", "--no-fail-fast"]);
    if options.whole_workspace() {
        command.arg("--workspace");
    }
    command
        .args(&options.passed_on)
        .envs(environment)
        .env("TOLLGATE_SIM_SEEDS", options.seeds.to_string());
    let mut tally = Tally::default();
    let mut succeeded = watch(&mut command, &mut tally)?;
    if options.whole_workspace() && options.passed_on.is_empty() {
        succeeded &= watch(&mut interleavings(workspace), &mut tally)?;
    }

    println!();
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    if tally.passed == 0 && tally.failed == 0 {
        eprintln!("xtask: no test ran; check the name filter");
        return Ok(ExitCode::FAILURE);
    }
    Ok(if succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The tests that try every order in which threads can meet: of one package, in a build of its own.
fn interleavings(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo(&["test", "--package", "tollgate-node", "--lib"]);
    command.args(["--features", "loom", "limiter::interleavings"]);
    command
}

/// Installs what the tests need, and prints for a shell where it is.
pub(crate) fn print_environment(workspace: &Workspace) -> Result<ExitCode> {
    for (name, path) in environment(workspace)? {
        println!("export {name}='{}'", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// What the tests look up, installed.
fn environment(workspace: &Workspace) -> Result<[(&'static str, PathBuf); 2]> {
    Ok([
        ("TOLLGATE_TEST_ETCD", tools::etcd(workspace)?),
        ("TOLLGATE_TEST_PYTHON", tools::python(workspace)?),
    ])
}

/// How the tests of all binaries ended, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// Adds `line` if it is the summary of a test binary: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|summary| summary.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count
                .split_once(' ')
                .map(|(n, what)| (n.parse::<u64>(), what))
            {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// Runs `command`, shows its output as it comes, and counts the tests in it.
fn watch(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::shown(command)))?;
    let output = child.stdout.take().context("the output was asked for")?;
    let mut terminal = std::io::stdout().lock();
    // By bytes, because a failing test may print what is not UTF-8.
    for line in BufReader::new(output).split(b'\n') {
        let mut line = line.context("cannot read the tests' output")?;
        tally.add(&String::from_utf8_lossy(&line));
        line.push(b'\n');
        terminal
            .write_all(&line)
            .context("cannot write to the terminal")?;
    }
    let status = child.wait().context("cannot wait for `cargo test`")?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn seeds_and_arguments_for_cargo_test() {
        let options = parse("--seeds 5000 -- -p tollgate-quota owner").expect("valid");
        assert_eq!(options.seeds, 5000);
        assert_eq!(options.passed_on, ["-p", "tollgate-quota", "owner"]);
        assert!(!options.whole_workspace());
        assert!(!options.start_programs());
        assert!(
            parse("-- -p tollgate-tests")
                .expect("valid")
                .start_programs()
        );

        let options = parse("").expect("valid");
        assert_eq!(options.seeds, SEEDS);
        assert!(options.whole_workspace());
        assert!(options.start_programs());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (line, complaint) in [
            ("--seeds", "--seeds needs a number"),
            ("--seeds many", "--seeds needs a number, not `many`"),
            (
                "owner",
                "unknown argument `owner`; what is meant for `cargo test` follows `--`",
            ),
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.to_string(), complaint);
        }
    }

    #[test]
    fn summaries_are_added_up_and_other_lines_are_not() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
            "test result: what a test might print",
        ] {
            tally.add(line);
        }
        let expected = Tally {
            passed: 5,
            failed: 5,
            skipped: 1,
        };
        assert_eq!(tally, expected);
    }
}
