//! Faults on real processes as a program; see `tollgate_tests::chaos`. Ends with failure where a promise was
//! broken.

#![expect(clippy::print_stdout, reason = "the table is the program's result")]

use std::process::ExitCode;

use clap::Parser;
use tollgate_tests::chaos::{Options, run};

fn main() -> anyhow::Result<ExitCode> {
    let report = run(&Options::parse())?;
    println!("{report}");
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
