//! The suite against real providers as a program; see `tollgate_tests::live`.

#![expect(clippy::print_stdout, reason = "the report is the program's result")]

use std::process::ExitCode;

use clap::Parser;
use tollgate_tests::live::{Options, run};

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let variables = std::env::vars().collect();
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(run(&options, &variables))?;
    print!("{}", report.text);
    Ok(match report.differ + report.strange {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
