//! `cargo xtask check`: everything about the code that a program can judge without running it.
//!
//! The steps come in order of cost. All of them run even when one fails, so that one run shows all there is
//! to mend.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{arrows, contract, dependencies, process, rules, unused};

/// How a step ended that found nothing wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Looked at, and right.
    Passed,
    /// Could not be looked at here, for the reason given; not a failure.
    NotChecked(String),
}

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Options {
    /// Fetch the advisory database, and fail where that is not possible.
    pub(crate) fetch_advisories: bool,
    steps: Vec<&'static Step>,
}

impl Options {
    /// Reads what follows `check` on the command line.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            fetch_advisories: false,
            steps: Vec::new(),
        };
        for argument in arguments {
            if argument == "--advisories" {
                options.fetch_advisories = true;
            } else if let Some(step) = STEPS.iter().find(|step| step.name == argument) {
                options.steps.push(step);
            } else {
                let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
                bail!(
                    "unknown step `{argument}`; the steps are {}",
                    names.join(", ")
                );
            }
        }
        if options.steps.is_empty() {
            options.steps = STEPS.iter().collect();
        }
        Ok(options)
    }
}

/// One thing to check.
#[derive(Debug)]
struct Step {
    name: &'static str,
    run: fn(&Workspace, &Options) -> Result<Outcome>,
}

const STEPS: [Step; 11] = [
    Step {
        name: "fmt",
        run: |workspace, _| fmt(workspace),
    },
    Step {
        name: "rules",
        run: |workspace, _| rules::check(workspace),
    },
    Step {
        name: "arrows",
        run: |workspace, _| arrows::check(workspace),
    },
    Step {
        name: "unused",
        run: |workspace, _| unused::check(workspace),
    },
    Step {
        name: "buf-lint",
        run: |workspace, _| contract::lint(workspace),
    },
    Step {
        name: "buf-format",
        run: |workspace, _| contract::format(workspace),
    },
    Step {
        name: "buf-breaking",
        run: |workspace, _| contract::breaking(workspace),
    },
    Step {
        name: "deny",
        run: |workspace, _| dependencies::deny(workspace),
    },
    Step {
        name: "advisories",
        run: dependencies::advisories,
    },
    Step {
        name: "clippy",
        run: |workspace, _| clippy(workspace),
    },
    Step {
        name: "doc",
        run: |workspace, _| doc(workspace),
    },
];

/// Runs the steps, prints a summary; the exit code is failure when any step failed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let mut ended = Vec::new();
    for step in &options.steps {
        println!("── {}", step.name);
        let (outcome, took) = timed(|| (step.run)(workspace, options));
        if let Err(error) = &outcome {
            println!("{error:#}");
        }
        ended.push((step.name, outcome, took));
    }

    println!("── summary");
    for (name, outcome, took) in &ended {
        let took = took.as_secs_f64();
        match outcome {
            Ok(Outcome::Passed) => println!("{name:<14}ok        {took:>7.1} s"),
            Ok(Outcome::NotChecked(reason)) => println!("{name:<14}not checked ({reason})"),
            Err(_) => println!("{name:<14}FAILED    {took:>7.1} s"),
        }
    }
    let failed = ended.iter().any(|(_, outcome, _)| outcome.is_err());
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a step took, for the person who waits; nothing depends on it"
)]
fn timed<T>(step: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let outcome = step();
    (outcome, start.elapsed())
}

fn fmt(workspace: &Workspace) -> Result<Outcome> {
    process::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))?;
    Ok(Outcome::Passed)
}

fn clippy(workspace: &Workspace) -> Result<Outcome> {
    let everything = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--keep-going",
        "--",
        "-D",
        "warnings",
    ];
    process::run(&mut workspace.cargo(&everything))?;
    Ok(Outcome::Passed)
}

fn doc(workspace: &Workspace) -> Result<Outcome> {
    let mut command = workspace.cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--locked",
        "--keep-going",
    ]);
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn all_steps_unless_some_are_named() {
        let all = parse("--advisories").expect("valid");
        assert!(all.fetch_advisories);
        assert_eq!(all.steps.len(), STEPS.len());

        let named = parse("doc fmt").expect("valid");
        let names: Vec<_> = named.steps.iter().map(|step| step.name).collect();
        assert_eq!(names, ["doc", "fmt"]);
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_known_ones() {
        let error = parse("clipy").expect_err("a typing error").to_string();
        assert!(
            error.starts_with("unknown step `clipy`; the steps are fmt, "),
            "{error}"
        );
    }
}
