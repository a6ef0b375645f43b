//! The workspace's own commands: `cargo xtask test`, `env`, `check`, `fuzz`, `bench`, `chaos`, `live` and `prices`.
//!
//! They install what they use under `target/tools/` (Debian packages, PyPI, npm and crates.io, each through
//! its ordinary client), so that a machine with a Rust toolchain and a C compiler is enough. What does not
//! fit in there, such as Python's venv module or npm itself, they install with `apt-get`.
//!
//! This crate does NOT know what the gateway does: tests live beside the code and under `tests/`, and the
//! benchmark and the chaos run are programs of `tests/` that `bench` and `chaos` prepare the ground for and start. It uses no other
//! crate of the workspace and few from outside, because it is compiled before anything else.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool: its output is for the person who ran it"
)]

mod arrows;
mod bench;
mod chaos;
mod check;
mod contract;
mod debian;
mod dependencies;
mod fuzz;
mod live;
mod prices;
mod process;
mod rules;
mod test;
mod tools;
mod unused;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = r#"usage: cargo xtask COMMAND

  test [--seeds N] [-- ARGS…]    install what the tests need, build, run every test;
                                 ARGS go to `cargo test`: a name filter, `-p CRATE`, …
  env                            install what the tests need and print where it is:
                                 `eval "$(cargo xtask env)"`, then plain `cargo test -p CRATE`
  check [--advisories] [STEP…]   everything about the code that is not a test;
                                 all steps unless some are named
  fuzz [--minutes N] [--seed S]  feed the decoders of providers' answers with damaged samples;
                                 what breaks one is written to target/fuzz/
  bench [ARGS…]                  compare the gateway with nginx and with no proxy at all;
                                 `bench --help` lists ARGS
  bench limits [ARGS…]           what decisions about limits cost, beside `governor` and redis
  bench nodes                    how a hundred nodes share limits, against a real control plane
  bench codec [ARGS…]            what it costs to read and write each provider's format,
                                 and to count tokens
  bench routes [ARGS…]           how callers fare while deployments are in trouble
  bench overload [ARGS…]         how they fare while a node is asked for more than it can do
  bench faults [ARGS…]           what a node makes of callers and providers that misbehave
  chaos [ARGS…]                  faults on real processes while callers race, judged by
                                 the provider's ledger; needs root; `chaos --help` lists ARGS
  live                           ask the real providers whose keys are in the environment, some
                                 cents' worth each, and show where they differ from the fixtures,
                                 in meaning and on the wire; without a key, show what would be done
  prices                         write the price catalog anew, from the release of genai-prices
                                 that `src/tools.rs` pins
"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = arguments.split_first() else {
        bail!("no command given\n\n{USAGE}");
    };
    match command.as_str() {
        "test" => test::run(&Workspace::find()?, &test::Options::parse(rest)?),
        "env" => test::print_environment(&Workspace::find()?),
        "check" => check::run(&Workspace::find()?, &check::Options::parse(rest)?),
        "fuzz" => fuzz::run(&Workspace::find()?, rest),
        "bench" => bench::run(&Workspace::find()?, rest),
        "chaos" => chaos::run(&Workspace::find()?, rest),
        "live" => live::run(&Workspace::find()?, rest),
        "prices" => prices::run(&Workspace::find()?, rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        unknown => bail!("unknown command `{unknown}`\n\n{USAGE}"),
    }
}
